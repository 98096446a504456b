"""Crypto lines: what we can do is read, what we can't is passed over, the broken is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.errors import SdpError
from signaling.sdp.crypto import Crypto, CryptoSuite, first_common

pytestmark = pytest.mark.unit

KEY = "8QVQSHJ2AM8gIumHpYRRdWHyZ5NkLhaTD1AENOWx"
LINE = f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"


@pytest.mark.parametrize("suite", list(CryptoSuite))
def test_each_suite_is_written_and_read_with_a_key_of_its_length(suite: CryptoSuite) -> None:
    crypto = Crypto(3, suite, bytes(range(suite.key_salt_octets)))
    assert Crypto.parse(str(crypto)) == crypto
    assert str(crypto).startswith(f"3 {suite} inline:AAEC")


def test_the_suites_have_the_lengths_of_their_standards() -> None:
    lengths = {suite.value: suite.key_salt_octets for suite in CryptoSuite}
    assert lengths == {
        "AES_CM_128_HMAC_SHA1_80": 30,
        "AEAD_AES_128_GCM": 28,
        "AEAD_AES_256_GCM": 44,
    }


def test_a_lifetime_is_kept() -> None:
    crypto = Crypto.parse(f"{LINE}|2^20")
    assert crypto is not None
    assert crypto.lifetime == "2^20"
    assert str(crypto) == f"{LINE}|2^20"


def test_missing_padding_and_harmless_parameters_are_taken() -> None:
    key = base64.b64encode(bytes(28)).decode()
    assert Crypto.parse(f"1 AEAD_AES_128_GCM inline:{key.rstrip('=')} -X-mine") == Crypto(
        1, CryptoSuite.AEAD_AES_128_GCM, bytes(28)
    )


@pytest.mark.parametrize(
    "text",
    [
        f"1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}",
        f"1 F8_128_HMAC_SHA1_80 inline:{KEY}",
        f"{LINE}|2^20|1:32",
        f"{LINE}|1:4",
        f"{LINE}|1:4;inline:{KEY}|2:4",
        f"{LINE} UNENCRYPTED_SRTP",
        f"{LINE} KDR=1",
        f"1 AES_CM_128_HMAC_SHA1_80 vault:{KEY}",
    ],
)
def test_what_we_cannot_do_is_passed_over(text: str) -> None:
    assert Crypto.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1 AES_CM_128_HMAC_SHA1_80",
        f"x AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        "1 AES_CM_128_HMAC_SHA1_80 inline:",
        "1 AES_CM_128_HMAC_SHA1_80 inline:short",
        "1 AES_CM_128_HMAC_SHA1_80 inline:é",
        f"1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}AAAA",
        f"1 AEAD_AES_256_GCM inline:{KEY}",
    ],
)
def test_a_broken_line_is_refused_with_488_and_shows_no_key(text: str) -> None:
    with pytest.raises(SdpError) as caught:
        Crypto.parse(text)
    assert caught.value.status_hint == 488
    assert KEY not in str(caught.value)


def test_a_key_is_not_shown() -> None:
    assert "key_salt" not in repr(Crypto.parse(LINE))


def test_the_offerer_s_first_that_we_have_is_common() -> None:
    cm, gcm = (
        Crypto(tag, suite, bytes(suite.key_salt_octets))
        for tag, suite in (
            (1, CryptoSuite.AES_CM_128_HMAC_SHA1_80),
            (2, CryptoSuite.AEAD_AES_256_GCM),
        )
    )
    assert first_common([gcm, cm], [cm, gcm]) == (gcm, gcm)
    assert first_common([gcm], [cm]) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*LINE.split(" "), "|", "2^20", ";", "-x"]) | st.text(max_size=9)))
def test_random_lines_raise_sdp_error_or_nothing(words: list[str]) -> None:
    try:
        Crypto.parse(" ".join(words))
    except SdpError:
        return
