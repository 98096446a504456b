"""The local CA lives on; the certificate is renewed when it nears its end or its names change."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from endpoint.app import certificates
from endpoint.app.settings import Config, HttpSettings
from endpoint.app.state import StateDirectory
from endpoint.errors import ConfigurationError

pytestmark = pytest.mark.unit


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state").prepared()


def now() -> datetime:
    return datetime.now(UTC)


def test_the_first_run_makes_a_ca_and_a_certificate_for_every_name(state: StateDirectory) -> None:
    config = Config.model_validate({"advertised_host": "phone.example.com"})
    made = certificates.provide(config, state, now())
    assert {"localhost", "127.0.0.1", "::1", "phone.example.com"} <= set(made.names)
    assert made.authority == state.tls / "ca.pem"
    for name in ("ca.key", "server.key", "ca.pem"):
        assert stat.S_IMODE((state.tls / name).stat().st_mode) == 0o600
    certificates.server_context(made)


def test_the_next_run_uses_the_same(state: StateDirectory) -> None:
    first = certificates.provide(Config(), state, now())
    before = first.certificate.read_bytes()
    again = certificates.provide(Config(), state, now())
    assert again.certificate.read_bytes() == before


def test_a_key_of_another_certificate_is_made_anew(state: StateDirectory) -> None:
    """A renewal that a crash cut in two leaves the new key beside the old certificate."""
    made = certificates.provide(Config(), state, now())
    before = made.certificate.read_bytes()
    certificates.provide(Config.model_validate({"advertised_host": "other.test"}), state, now())
    made.certificate.write_bytes(before)
    certificates.server_context(certificates.provide(Config(), state, now()))


@pytest.mark.parametrize("why", ["near its end", "another name"])
def test_a_certificate_is_renewed_by_the_same_ca(state: StateDirectory, why: str) -> None:
    certificates.provide(Config(), state, now())
    authority = (state.tls / "ca.pem").read_bytes()
    before = (state.tls / "server.pem").read_bytes()
    config, at = Config(), now()
    if why == "near its end":
        at += certificates.LIFETIME - certificates.RENEW_BEFORE + timedelta(days=1)
    else:
        config = Config.model_validate({"advertised_host": "new.example.com"})
    renewed = certificates.provide(config, state, at)
    assert renewed.certificate.read_bytes() != before
    assert (state.tls / "ca.pem").read_bytes() == authority


def test_a_wildcard_is_no_name() -> None:
    names = certificates.server_names(Config.model_validate({"host": "0.0.0.0"}))
    assert "0.0.0.0" not in names


def test_it_proves_where_pages_of_basiccall_come_to() -> None:
    at = {"basiccall": {"enabled": True, "host": "192.0.2.7"}}
    assert "192.0.2.7" in certificates.server_names(Config.model_validate(at))
    at["basiccall"]["enabled"] = False
    assert "192.0.2.7" not in certificates.server_names(Config.model_validate(at))


def test_an_operators_certificate_is_used_as_it_is(state: StateDirectory, tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("phone.example.com")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    config = Config(http=HttpSettings(certificate=chain, key=key))
    found = certificates.provide(config, state, now())
    assert (found.certificate, found.authority) == (chain, None)
    assert found.names == ("phone.example.com",)
    assert not (state.tls / "ca.pem").exists()


def test_a_key_of_another_certificate_is_refused(state: StateDirectory, tmp_path: Path) -> None:
    ca = trustme.CA()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(ca.issue_cert("a.example").cert_chain_pems[0].bytes())
    key.write_bytes(ca.issue_cert("b.example").private_key_pem.bytes())
    config = Config(http=HttpSettings(certificate=chain, key=key))
    with pytest.raises(ConfigurationError, match="its key"):
        certificates.provide(config, state, now())


def test_missing_files_are_both_told(state: StateDirectory, tmp_path: Path) -> None:
    config = Config(http=HttpSettings(certificate=tmp_path / "no.pem", key=tmp_path / "no.key"))
    with pytest.raises(ConfigurationError) as refused:
        certificates.provide(config, state, now())
    assert len(refused.value.mistakes) == 2


def shown_by(ca: trustme.CA, directory: Path, *names: str) -> certificates.ServerCertificate:
    leaf = ca.issue_cert(*names)
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return certificates.operators(chain, key)


@pytest.mark.parametrize(
    ("host", "advertised", "names", "expected"),
    [
        ("127.0.0.1", "phone.example.com", ["phone.example.com"], "localhost"),
        ("0.0.0.0", "", ["localhost", "phone.example.com", "www.example.com"], "phone.example.com"),
        ("0.0.0.0", "192.0.2.7", ["phone.example.com"], "phone.example.com"),
        ("0.0.0.0", "www.example.com", ["phone.example.com", "WWW.example.com"], "www.example.com"),
        ("0.0.0.0", "phone.example.com", ["example.com", "*.example.com"], "phone.example.com"),
        ("0.0.0.0", "", ["*.example.com"], "localhost"),
        ("0.0.0.0", "phone.example.org", ["*.example.com"], "phone.example.org"),
        ("192.0.2.7", "", ["phone.example.com", "192.0.2.7"], "192.0.2.7"),
        ("192.0.2.7", "", ["phone.example.com"], "phone.example.com"),
        ("192.0.2.7", "192.0.2.8", ["localhost"], "192.0.2.7"),
        ("2001:db8::7", "", ["2001:db8::7"], "[2001:db8::7]"),
    ],
)
def test_others_are_told_a_name_that_the_certificate_proves(
    tmp_path: Path, host: str, advertised: str, names: list[str], expected: str
) -> None:
    config = Config.model_validate({"host": host, "advertised_host": advertised})
    found = shown_by(trustme.CA(), tmp_path, *names)
    assert certificates.public_host(config.http.host, config, found) == expected


@pytest.mark.parametrize(
    ("host", "advertised", "expected"),
    [
        ("0.0.0.0", "", "localhost"),
        ("0.0.0.0", "phone.example.com", "phone.example.com"),
        ("192.0.2.7", "phone.example.com", "192.0.2.7"),
    ],
)
def test_our_own_certificate_proves_whatever_is_configured(
    state: StateDirectory, host: str, advertised: str, expected: str
) -> None:
    config = Config.model_validate({"host": host, "advertised_host": advertised})
    found = certificates.provide(config, state, now())
    assert certificates.public_host(config.http.host, config, found) == expected
