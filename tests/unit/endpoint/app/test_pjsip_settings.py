"""`media_engine = "pjsip"`: where it can be, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from endpoint.app.config import load
from endpoint.app.doctor import check_accounts
from endpoint.app.facts import outside_accounts, outside_trunks, pjsip_settings
from endpoint.app.settings import Config
from endpoint.errors import ConfigurationError
from endpoint.legs.line import MediaEngine
from endpoint.legs.terms import LOCAL
from endpoint.media import pjsip

pytestmark = pytest.mark.unit

TRUNK = {"name": "public", "account": "6001"}


def config(*trunks: dict[str, Any], **account: Any) -> Config:
    facts = {"device": "6001", "server": "sip:127.0.0.1", "password": "s", "media_engine": "pjsip"}
    return Config.model_validate({"account": [{**facts, **account}], "trunk": list(trunks)})


@pytest.mark.parametrize(
    ("account", "text"),
    [
        ({"server": "wss://pbx.example"}, "expected sip:host"),
        ({"server": "sips:pbx.example"}, "expected sip:host"),
        ({"server": "sip:pbx.example;transport=tls"}, "expected sip:host"),
        ({"server": "sip:[2001:db8::1]"}, "IPv4"),
        ({"media": "srtp"}, "rtp alone"),
        ({"dtmf": "inband"}, "rfc4733 or info"),
        ({"gruu": True}, "no GRUU"),
        ({"media_engine": "freeswitch"}, "'endpoint' or 'pjsip'"),
    ],
)
def test_what_pjsip_can_not_is_refused(account: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        config(**account)


def test_where_it_is_bound() -> None:
    settings = {"sip": {"host": "192.0.2.7"}, "media": {"host": "0.0.0.0"}}
    made = pjsip_settings(Config.model_validate(settings))
    assert (made.host, made.audio_host) == ("192.0.2.7", "127.0.0.1")
    assert pjsip_settings(Config.model_validate({"sip": {"host": "::"}})).host == ""


def test_without_the_wheel_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pjsip, "missing", lambda: "PJSIP is not installed: pip install it")
    with pytest.raises(ConfigurationError, match=r"account 6001: media_engine: PJSIP is not"):
        outside_accounts(config())


def test_a_check_of_the_file_says_so_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pjsip, "missing", lambda: "PJSIP is not installed: pip install it")
    file = tmp_path / "agent-endpoint.toml"
    file.write_text(
        'account = [{ device = "6001", server = "sip:127.0.0.1", password = "s", '
        'media_engine = "pjsip" }]'
    )
    with pytest.raises(ConfigurationError, match=r"media_engine.*: PJSIP is not installed"):
        load(file, files=True)


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pjsip, "missing", lambda: "")


@pytest.mark.usefixtures("_installed")
def test_an_account_says_whose_its_calls_are() -> None:
    (account,) = outside_accounts(config())
    assert (account.engine, account.audio) == (MediaEngine.PJSIP, LOCAL)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("wanted", "most"), [(None, 4), (3, 3), (30, 4)])
def test_a_trunk_has_no_more_calls_than_pjsip(wanted: int | None, most: int) -> None:
    (trunk,) = outside_trunks(config({**TRUNK, "most_calls": wanted}))
    assert (trunk.most_calls, trunk.audio) == (most, LOCAL)


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("fact", [{"srtp": "required"}, {"codecs": ["OPUS"]}])
def test_a_trunk_wants_nothing_that_pjsip_has_not(fact: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="trunk public: its account's media_engine"):
        outside_trunks(config({**TRUNK, **fact}))


@pytest.mark.usefixtures("_installed")
def test_the_doctor_says_that_a_transfer_can_not_be_refused() -> None:
    (check,) = check_accounts(config())
    assert (check.name, check.outcome) == ("account 6001", "warning")
    assert "REFER" in check.text
