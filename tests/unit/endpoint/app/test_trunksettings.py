"""`[[trunk]]` in the configuration: what is taken, what is refused, what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from endpoint.app.facts import outside_accounts, outside_trunks, sip_config
from endpoint.app.settings import Config
from endpoint.app.trunks import trunk_of
from endpoint.legs.base import DeviceId, DigitKind
from endpoint.legs.numbering import rewrite
from endpoint.legs.terms import Protection, SrtpUse
from signaling.sip.identity import Claim

pytestmark = pytest.mark.unit

ACCOUNT = {"device": "carrier", "server": "sip:pbx.example.com", "username": "u", "password": "s"}


def config(*trunks: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"trunk": list(trunks), **more})


def trunk(**facts: Any) -> dict[str, Any]:
    return {"name": "carrier", "peers": ["sip:203.0.113.10"], **facts}


def test_a_trunk_of_one_peer_needs_no_more() -> None:
    (made,) = outside_trunks(config(trunk()))
    assert [str(peer.uri) for peer in made.peers] == ["sip:203.0.113.10"]
    assert made.networks == ("203.0.113.10",)
    assert rewrite("95588", made.outgoing) == "95588"
    assert rewrite("95588", made.incoming) is None
    assert (made.claim, made.audio.protection) == (Claim.ASSERTED, Protection.RTP)
    assert made.audio.srtp is SrtpUse.OFF
    assert made.liveness is not None


def test_all_of_it() -> None:
    peers = ["sip:a.example:5070;transport=tcp", {"uri": "sip:[2001:db8::1]", "priority": 2}]
    settings = config(
        trunk(
            peers=peers,
            networks=["203.0.113.0/28"],
            outgoing=[{"match": "0*", "strip": 1, "add": "+49"}],
            incoming=[{"match": "+4930*", "to": "6001"}],
            numbers=["+4930*"],
            default_number="+49301",
            device_numbers={"6002": "+49302"},
            domain="carrier.example",
            identity="none",
            srtp="optional",
            codecs=["PCMA", "OPUS"],
            dtmf="inband",
            media_source="sdp",
            most_calls=30,
            options_interval_s=0,
        )
    ).trunk[0]
    made = trunk_of(settings, None)
    assert [(str(peer.uri), peer.priority) for peer in made.peers] == [
        ("sip:a.example:5070;transport=tcp", 1),
        ("sip:[2001:db8::1]", 2),
    ]
    assert rewrite("030123", made.outgoing) == "+4930123"
    assert made.device_numbers == {DeviceId("6002"): "+49302"}
    assert (made.claim, made.most_calls, made.liveness) == (Claim.NONE, 30, None)
    assert made.domain == "carrier.example"
    terms = made.audio
    assert (terms.protection, terms.srtp) == (Protection.SRTP, SrtpUse.OPTIONAL)
    assert (terms.codecs, terms.digits) == (("PCMA", "OPUS"), DigitKind.INBAND)
    assert terms.strict_source


def test_an_account_may_be_a_trunk_s_and_is_no_device_s_then() -> None:
    settings = config({"name": "carrier", "account": "carrier"}, account=[ACCOUNT])
    (made,) = outside_trunks(settings)
    assert made.account is not None
    assert (made.account.username, made.claim) == ("u", Claim.PREFERRED)
    assert outside_accounts(settings) == []


def test_its_networks_are_trusted_and_names_are_none() -> None:
    peers = ["sip:203.0.113.10", "sip:carrier.example", "sip:[2001:db8::1]:5080"]
    facts = sip_config(config(trunk(peers=peers, hide_topology=True))).user_agent
    assert facts.trusted_peers == ("203.0.113.10", "2001:db8::1")
    assert facts.hide_from == facts.trusted_peers


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"peers": []}, "exactly one of peers and account"),
        ({"account": "carrier"}, "exactly one of peers and account"),
        ({"peers": ["203.0.113.10"]}, "expected sip:host or sip:host:port"),
        ({"peers": ["sip:a.example:70000"]}, "expected a port"),
        ({"peers": ["sip:user@a.example"]}, "expected sip:host"),
        ({"networks": ["203.0.113.0/33"]}, "expected an address or a network"),
        ({"outgoing": [{"match": "0 1*"}]}, "its beginning and *"),
        ({"outgoing": [{"match": ""}]}, "its beginning and *"),
        ({"incoming": [{"match": "1", "to": "6001", "strip": 1}]}, "to says all"),
        ({"numbers": ["+49 30"]}, "its beginning and *"),
        ({"numbers": ["+4930*"], "default_number": "+4989"}, "expected one of numbers"),
        ({"numbers": ["+4930*"], "device_numbers": {"6001": "+4989"}}, "expected one of numbers"),
        ({"device_numbers": {"6 1": "+4989"}}, "expected 1 to 64"),
        ({"codecs": ["GSM"]}, "OPUS"),
        ({"dtmf": "rtp"}, "inband"),
        ({"name": "a carrier"}, "found 'a carrier', expected 1 to 32 letters"),
    ],
)
def test_what_can_not_be_meant_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("*", r"\*")):
        config(trunk(**wrong))


def test_names_are_given_once_and_accounts_exist() -> None:
    with pytest.raises(ValidationError, match="carrier twice"):
        config(trunk(), trunk())
    with pytest.raises(ValidationError, match="expected the device of an"):
        config({"name": "carrier", "account": "nobody"})
