"""Whom BasicCall's listener believes, and what the doctor says of it."""

from __future__ import annotations

import pytest

from endpoint.agents.identity import INSTALLATION, Identity, Scope, narrowed, of_agent
from endpoint.agents.model import Agent, AgentId
from endpoint.app.basiccall.proof import Proof, is_within
from endpoint.app.basiccall.settings import LOOPBACK_NETWORKS
from endpoint.app.doctor import check_basiccall
from endpoint.app.settings import Config

pytestmark = pytest.mark.unit

ANNA, BERT = AgentId("1001"), AgentId("1002")
OF_ANNA = of_agent(Agent(ANNA))
READS = narrowed(OF_ANNA, frozenset({Scope.AGENTS_READ, Scope.CALLS_READ}))


@pytest.mark.parametrize(
    ("identity", "trusted", "covers", "excludes"),
    [
        (None, False, set(), set()),
        (None, True, {ANNA, BERT}, set()),
        (OF_ANNA, False, {ANNA}, {BERT}),
        (OF_ANNA, True, {ANNA}, {BERT}),
        (READS, False, set(), {ANNA, BERT}),
        (INSTALLATION, False, {ANNA, BERT}, set()),
    ],
)
def test_a_token_is_for_its_agent_alone(
    identity: Identity | None, trusted: bool, covers: set[AgentId], excludes: set[AgentId]
) -> None:
    proof = Proof(identity, trusted=trusted)
    assert {each for each in (ANNA, BERT) if proof.covers(each)} == covers
    assert {each for each in (ANNA, BERT) if proof.excludes(each)} == excludes


@pytest.mark.parametrize(
    ("source", "within"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%lo", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_who_is_on_this_machine(source: str, within: bool) -> None:
    assert is_within(source, LOOPBACK_NETWORKS) is within


def config(**basiccall: object) -> Config:
    return Config.model_validate({"basiccall": {"enabled": True, **basiccall}})


def test_the_doctor_warns_of_networks_that_are_believed() -> None:
    assert check_basiccall(Config()) == []
    (fine,) = check_basiccall(config())
    assert fine.outcome == "ok"
    (warned,) = check_basiccall(config(trust_agent_id=["127.0.0.1", "10.0.0.0/8"]))
    assert warned.outcome == "warning"
    assert "10.0.0.0/8" in warned.text
    assert "127.0.0.1" not in warned.text
    assert "token" in warned.cure


def test_it_is_open_where_it_listens_to_others() -> None:
    assert config(host="0.0.0.0").open_hosts == ["basiccall"]
    assert Config.model_validate({"basiccall": {"host": "0.0.0.0"}}).open_hosts == []
    assert Config.model_validate({"host": "0.0.0.0"}).basiccall.host == "0.0.0.0"
