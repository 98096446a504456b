"""The call flows of RFC 3665, by the names of its sections, between stacks of ours."""

from __future__ import annotations

import pytest

from signaling.sip.events import Answered, Confirmed, Ended, Progress
from tests.unit.signaling.sip.network import ANSWER, Network, Party

pytestmark = pytest.mark.unit


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def alice(network: Network) -> Party:
    return network.party("alice")


@pytest.fixture
def bob(network: Network) -> Party:
    return network.party("bob")


def test_3_1_successful_session_establishment(network: Network, alice: Party, bob: Party) -> None:
    call = alice.call(bob)
    network.run(0.05)
    incoming = bob.incoming()
    bob.do(incoming.ring)
    network.run(1)
    bob.do(incoming.accept, ANSWER)
    network.run(1)
    bob.do(incoming.bye)
    network.run(1)

    assert network.ladder == [
        "alice > bob: INVITE",
        "bob > alice: 180 INVITE",
        "bob > alice: 200 INVITE",
        "alice > bob: ACK",
        "bob > alice: BYE",
        "alice > bob: 200 BYE",
    ]
    assert alice.session_events() == [
        Progress(180, "Ringing"),
        Answered(ANSWER),
        Ended(by_remote=True),
    ]
    assert bob.session_events() == [Confirmed(), Ended(by_remote=False)]
    assert call.sdp == ANSWER
    network.assert_idle()
