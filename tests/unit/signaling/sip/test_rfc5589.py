"""The transfers of RFC 5589, by the names of its sections, between stacks of ours."""

from __future__ import annotations

import pytest

from signaling.sip.events import (
    Ended,
    Event,
    ReferAccepted,
    ReferCompleted,
    ReferProgress,
    ReferralChanged,
    Referred,
    SessionChanged,
)
from signaling.sip.headers import NameAddr
from signaling.sip.invite import InviteUsage
from signaling.sip.message import Request
from signaling.sip.refer import ReferIssuer, ReferRecipient, referred_by_of
from signaling.sip.replaces import Replaces
from signaling.sip.uri import Uri
from tests.unit.signaling.sip.network import Network, Party, auto_answer
from tests.unit.signaling.sip.test_lossy import chaos

pytestmark = pytest.mark.unit

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REFER", "NOTIFY")


class Scene:
    """A transferee calls a transferor, who will send him to a transfer target."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.transferee, self.transferor, self.target = (
            network.party(name, allow=METHODS, supported=("replaces", "norefersub"))
            for name in ("transferee", "transferor", "target")
        )
        answered = auto_answer(self.transferor)
        self.call = self.transferee.call(self.transferor)
        network.run(1)
        self.transferor_call = answered[0]
        self.transferor.on_event = None
        self.new_call: InviteUsage | None = None
        self.told: list[object] = []
        network.ladder.clear()

    def refer(self, **headers: str) -> ReferIssuer:
        """The transferor asks the transferee to call the target."""
        uri = Uri("sip", "target", host=self.target.host, headers=tuple(headers.items()))
        return self.transferor.do(
            self.transferor_call.refer,
            NameAddr("", uri),
            referred_by=self.transferor.address,
        )

    def follow(self, event: Event) -> None:
        """What the transferee does: it calls whom it is told to, and tells what comes of it."""
        match event:
            case SessionChanged(event=Referred(referral)):
                self.referral = referral
                self.transferee.do(referral.accept)
                self._call_target(referral)
            case SessionChanged(session, Ended(status=status)) if session is self.new_call:
                self.transferee.do(self.referral.complete, status)
            case SessionChanged(session, change) if session is self.new_call:
                match type(change).__name__:
                    case "Progress":
                        self.transferee.do(self.referral.progress, 180)
                    case "Answered":
                        self.transferee.do(self.referral.complete, 200)

    def _call_target(self, referral: ReferRecipient) -> None:
        headers = []
        if referral.referred_by is not None:
            headers.append(("Referred-By", str(referral.referred_by)))
        if referral.replaces is not None:
            headers.append(("Replaces", str(referral.replaces)))
        self.new_call = self.transferee.call(self.target, headers=headers)

    def outcome(self) -> list[object]:
        """What the transferor was told of its REFER."""
        return [e.event for e in self.transferor.events if isinstance(e, ReferralChanged)]


@pytest.fixture
def scene(network: Network) -> Scene:
    made = Scene(network)
    made.transferee.on_event = made.follow
    return made


def invite_of(party: Party) -> Request:
    invites = [m for m in party.sent if isinstance(m, Request) and m.method == "INVITE"]
    return invites[-1]


def test_6_1_successful_transfer(scene: Scene) -> None:
    network = scene.network
    auto_answer(scene.target)
    scene.refer()
    network.run(1)
    assert scene.outcome() == [
        ReferAccepted(),
        ReferProgress(100, "Trying"),
        ReferProgress(180, "Ringing"),
        ReferCompleted(200, "OK"),
    ]
    assert network.ladder[:3] == [
        "transferor > transferee: REFER",
        "transferee > transferor: 202 REFER",
        "transferee > transferor: NOTIFY",
    ]
    assert "transferee > target: INVITE" in network.ladder
    invite = invite_of(scene.transferee)
    assert str(referred_by_of(invite)) == str(scene.transferor.address)
    scene.transferor.do(scene.transferor_call.bye)
    network.run(1)
    assert scene.transferee.told(Ended) == [Ended(by_remote=True)]
    scene.transferee.on_event = None
    assert scene.new_call is not None
    scene.transferee.do(scene.new_call.bye)
    network.assert_idle()


def test_6_2_the_transferor_hangs_up_before_the_outcome(scene: Scene) -> None:
    """NOTIFY goes on in the dialog, whose call is over (RFC 5057 §4)."""
    scene.refer()
    scene.network.run(0.2)
    scene.transferor.do(scene.transferor_call.bye)
    scene.network.run(0.2)
    target = scene.target.incoming()
    scene.target.do(target.ring)
    scene.network.run(0.2)
    scene.target.do(target.accept, b"answer")
    scene.network.run(1)
    assert scene.outcome()[-2:] == [ReferProgress(180, "Ringing"), ReferCompleted(200, "OK")]
    scene.target.do(target.bye)
    scene.network.assert_idle()


@pytest.mark.parametrize("status", [486, 603])
def test_6_3_1_target_busy(scene: Scene, status: int) -> None:
    scene.refer()
    scene.network.run(0.2)
    target = scene.target.incoming()
    scene.target.do(target.reject, status)
    scene.network.run(1)
    assert isinstance(scene.outcome()[-1], ReferCompleted)
    assert scene.outcome()[-1].status == status  # type: ignore[attr-defined]  # asserted above
    assert scene.transferor_call.is_confirmed
    assert scene.call.is_confirmed
    scene.transferee.on_event = None
    scene.transferor.do(scene.transferor_call.bye)
    scene.network.assert_idle()


def test_6_3_2_target_does_not_answer(scene: Scene) -> None:
    scene.network.parties.remove(scene.target)
    scene.refer()
    scene.network.run(60)
    assert scene.outcome()[-1] == ReferCompleted(408, "Request Timeout")
    assert scene.transferor_call.is_confirmed
    scene.transferor.do(scene.transferor_call.bye)
    scene.network.assert_idle()


def attended(scene: Scene) -> tuple[InviteUsage, InviteUsage]:
    """The transferor has called the target; both ends of that call."""
    answered = auto_answer(scene.target)
    consultation = scene.transferor.call(scene.target)
    scene.network.run(1)
    scene.network.ladder.clear()
    return consultation, answered[0]


def test_7_1_attended_transfer(scene: Scene) -> None:
    consultation, at_target = attended(scene)
    scene.refer(Replaces=str(Replaces.of(consultation.dialog)))
    scene.network.run(1)
    assert scene.outcome()[-1] == ReferCompleted(200, "OK")
    assert "target > transferor: BYE" in scene.network.ladder
    assert at_target.has_ended
    assert scene.target.told(Ended) == [Ended(by_remote=True, reason_text="Replaced", q850=16)]
    assert scene.transferor.told(Ended) == [Ended(by_remote=True, q850=16)]
    scene.transferor.do(scene.transferor_call.bye)
    scene.transferee.on_event = None
    assert scene.new_call is not None
    scene.transferee.do(scene.new_call.bye)
    scene.network.assert_idle()


def test_7_3_attended_transfer_where_the_target_hung_up_before(scene: Scene) -> None:
    """603: the call was there (RFC 3891 §3)."""
    consultation, at_target = attended(scene)
    scene.target.do(at_target.bye)
    scene.network.run(1)
    scene.refer(Replaces=str(Replaces.of(consultation.dialog)))
    scene.network.run(1)
    assert isinstance(scene.outcome()[-1], ReferCompleted)
    assert scene.outcome()[-1].status == 603  # type: ignore[attr-defined]  # asserted above
    assert scene.transferor_call.is_confirmed
    scene.transferor.do(scene.transferor_call.bye)
    scene.network.assert_idle()


@pytest.mark.parametrize("attends", [False, True], ids=["blind", "attended"])
@pytest.mark.parametrize("seed", range(40))
def test_f9_whatever_the_network_does_there_is_one_outcome_and_nothing_is_left(
    scene: Scene, seed: int, attends: bool
) -> None:
    """What is lost, doubled, late and out of order."""
    network, headers = scene.network, {}
    if attends:
        consultation, _ = attended(scene)
        headers = {"Replaces": str(Replaces.of(consultation.dialog))}
    else:
        auto_answer(scene.target)
    network.faults = chaos(seed, loss=0.25)
    scene.refer(**headers)
    network.run(10)
    scene.transferor.do(scene.transferor_call.hang_up)
    network.run(500)
    outcomes = [each for each in scene.outcome() if isinstance(each, ReferCompleted)]
    assert len(outcomes) == 1
    assert scene.outcome()[-1] is outcomes[0]
    scene.transferee.on_event = scene.target.on_event = None
    for party in scene.network.parties:
        for event in list(party.events):
            if isinstance(event, SessionChanged):
                party.do(event.session.hang_up)
    network.assert_idle()
