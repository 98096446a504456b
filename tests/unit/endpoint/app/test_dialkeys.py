"""Numbers that a page has encrypted, and what is shown of those that it may not show."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from endpoint.app.basiccall.dialkeys import DialKeys
from endpoint.app.settings import Config
from endpoint.errors import CommandRejected, ConfigurationError
from endpoint.gateways.basiccall.coinfos import masked

pytestmark = pytest.mark.unit

NUMBER = "13800138000"
DES_KEY = "k3y-0f-8"


def keys(**basiccall: object) -> DialKeys:
    return DialKeys.loaded(Config.model_validate({"basiccall": basiccall}).basiccall)


def pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined,no-any-return]  # of RSA, and another
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def private() -> RSAPrivateKey:
    return rsa_key(65537, 2048)


def by_rsa(private: RSAPrivateKey, text: str) -> str:
    padding = OAEP(mgf=MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    return base64.b64encode(private.public_key().encrypt(text.encode(), padding)).decode()


def by_des(text: str, key: str = DES_KEY) -> str:
    padder = PKCS7(64).padder()
    padded = padder.update(text.encode()) + padder.finalize()
    enciphering = Cipher(TripleDES(key.encode() * 3), modes.ECB()).encryptor()
    return base64.b64encode(enciphering.update(padded) + enciphering.finalize()).decode()


def test_a_number_is_read_with_the_key_that_is_set_up(
    private: RSAPrivateKey, tmp_path: Path
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(private))
    both = keys(rsa_key_file=path, des_key=DES_KEY)
    assert both.number("2", by_rsa(private, NUMBER)) == NUMBER
    assert both.number("3", by_des(NUMBER)) == NUMBER
    assert both.number("1", NUMBER) == both.number("", NUMBER) == NUMBER
    assert DES_KEY not in repr(both)


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        ("2", "13800138000"),
        ("2", "!"),
        ("3", "AAAA"),
        ("3", by_des(NUMBER, "an0ther1")),
        ("3", by_des("１３８")),
    ],
)
def test_what_can_not_be_read_is_said_and_not_shown(
    private: RSAPrivateKey, tmp_path: Path, mode: str, sent: str
) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(pem(private))
    with pytest.raises(CommandRejected) as refused:
        keys(rsa_key_file=path, des_key=DES_KEY).number(mode, sent)
    assert refused.value.reason == "bad_field"
    assert sent not in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "setting"), [("2", "basiccall.rsa_key_file"), ("3", "basiccall.des_key")]
)
def test_without_a_key_it_is_said_which_setting_has_one(mode: str, setting: str) -> None:
    with pytest.raises(CommandRejected, match=setting) as refused:
        keys().number(mode, "AAAA")
    assert refused.value.reason == "not_supported"


def test_another_key_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(ConfigurationError, match="expected an RSA private key as PEM"):
        keys(rsa_key_file=path)
    path.write_bytes(pem(generate_private_key(SECP256R1())))
    with pytest.raises(ConfigurationError, match="another key than one of RSA"):
        keys(rsa_key_file=path)
    with pytest.raises(ValueError, match="8 characters"):
        keys(des_key="short")


@pytest.mark.parametrize(
    ("number", "shown"),
    [("13800138000", "138****8000"), ("10087", "***87"), ("1008612", "*****12"), ("1", "1")],
)
def test_as_much_of_a_number_as_may_be_shown(number: str, shown: str) -> None:
    assert masked(number) == shown
