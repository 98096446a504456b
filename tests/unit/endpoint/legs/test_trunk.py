"""Trunks: which way a call goes, which number it shows, whose calls are taken from outside."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from endpoint.callcontrol.dialplan import Action, Direction, Line, PlanInUse, Rule
from endpoint.legs.base import (
    WITHHELD,
    Cause,
    DeviceId,
    DeviceRegistered,
    DigitDetected,
    DigitKind,
    DigitsSent,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegId,
    LegOffered,
    LegReleased,
    LegRole,
    OfferRefused,
    PlaceLeg,
    Route,
    Side,
    TrunkDown,
    TrunkUp,
)
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings
from endpoint.legs.numbering import NumberRule
from endpoint.legs.peer import PeerSettings, StaticPeer, in_order
from endpoint.legs.terms import AudioTerms, Protection, SrtpUse
from endpoint.legs.trunk import TrunkSettings
from endpoint.media import messages as m
from signaling.errors import TransportError
from signaling.sdp.crypto import Crypto, CryptoSuite
from signaling.sdp.description import SessionDescription
from signaling.sdp.security import Sdes
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.identity import Claim
from signaling.sip.liveness import LivenessState, PeerDown, PeerUp
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, InfoReceived, Progress, Registered
from tests.unit.endpoint.legs.fakes import FLOW, Desk, FakeSession, far_answer, far_offer

pytestmark = pytest.mark.unit

LEG, CALL = LegId("b"), InteractionId("i")
AGENT = DeviceId("6001")
FIRST, SECOND = "sip:192.0.2.1", "sip:192.0.2.2:5070"
CARRIER = Flow(TransportKind.UDP, "203.0.113.5", 5060, "udp1")


def peer(uri: str, **facts: int) -> PeerSettings:
    return PeerSettings(Uri.parse(uri), **facts)


def trunk(name: str = "carrier", **facts: Any) -> TrunkSettings:
    settings = TrunkSettings(
        name,
        peers=(peer(FIRST), peer(SECOND, priority=2)),
        networks=("203.0.113.0/28",),
        outgoing=(NumberRule("0*", strip=1, add="+49"),),
        incoming=(NumberRule("+4930100", to="6001"), NumberRule("+49301*", strip=6)),
        first_response_s=60.0,
    )
    return replace(settings, **facts)


def place(device: str = "030123", **facts: Any) -> PlaceLeg:
    said = {"calling": AGENT, "role": LegRole.LINE, "leg": LEG, **facts}
    return PlaceLeg(interaction=CALL, device=DeviceId(device), **said)


async def released(desk: Desk) -> LegReleased:
    event = await desk.next()
    assert isinstance(event, LegReleased)
    return event


def sent(session: FakeSession) -> dict[str, str]:
    """What an INVITE says of its caller, and where it goes."""
    said = session.invitation
    assert said is not None
    return {"to": str(said.target), "from": str(said.from_), **dict(said.headers)}


class TestOneTrunk:
    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        return [trunk(numbers=("+49301*",), default_number="+49301000")]

    async def test_a_number_that_is_not_ours_goes_there_rewritten(self, desk: Desk) -> None:
        desk.exchange.place(place(calling_name="Desk", on_behalf_of=DeviceId("10086")))
        session = await desk.session()
        shown = '"Desk" <sip:+49301000@example.test>'
        assert sent(session) == {
            "to": "sip:+4930123@192.0.2.1",
            "from": shown,
            "P-Asserted-Identity": shown,
        }
        session.end(status=486)
        assert (await released(desk)).cause is Cause.BUSY

    async def test_numbers_of_no_rule_and_of_our_extensions_do_not(self, desk: Desk) -> None:
        desk.exchange.place(place("95588"))
        assert (await released(desk)).cause is Cause.UNKNOWN_DEVICE
        desk.exchange.place(place("6002"))
        assert (await released(desk)).cause is Cause.NOT_REGISTERED
        desk.exchange.place(place("030123", role=LegRole.STATION))
        assert (await released(desk)).cause is Cause.UNKNOWN_DEVICE

    async def test_a_number_that_it_may_not_show_fails_before_anything_is_sent(
        self, desk: Desk
    ) -> None:
        desk.exchange.place(place(calling_number="+4989555"))
        end = await released(desk)
        assert (end.cause, end.released_by) == (Cause.CALLER_NOT_ALLOWED, Side.ENDPOINT)
        assert "+4989555" in end.text
        assert desk.server.sessions.empty()

    async def test_a_number_of_its_range_is_shown(self, desk: Desk) -> None:
        desk.exchange.place(place(calling_number="+49301777"))
        session = await desk.session()
        assert sent(session)["from"] == "<sip:+49301777@example.test>"
        session.end(status=486)
        await released(desk)

    async def test_who_withholds_his_number_is_told_to_the_trunk_alone(self, desk: Desk) -> None:
        desk.exchange.place(place(withheld=True))
        session = await desk.session()
        said = sent(session)
        assert said["from"] == '"Anonymous" <sip:anonymous@anonymous.invalid>'
        assert said["P-Asserted-Identity"] == "<sip:+49301000@example.test>"
        assert said["Privacy"] == "id"
        session.end(status=486)
        await released(desk)

    @pytest.mark.parametrize(
        "failure",
        [
            {"status": 503},
            {"status": 500},
            {"status": 408},
            {"status": 503, "error": TransportError("refused")},
        ],
    )
    async def test_the_next_peer_is_tried_where_one_fails(
        self, desk: Desk, failure: dict[str, Any]
    ) -> None:
        desk.exchange.place(place())
        (await desk.session()).end(**failure)
        second = await desk.session()
        assert sent(second)["to"] == "sip:+4930123@192.0.2.2:5070"
        assert desk.server.user_agent.watches[FIRST].suspected == 1
        second.tell(Progress(180, "Ringing"))
        assert await desk.next() == LegAlerting(LEG)
        second.end(status=486)
        assert (await released(desk)).cause is Cause.BUSY

    @pytest.mark.parametrize("status", [404, 480, 486, 488, 603, 403, 302])
    async def test_an_answer_about_the_called_one_is_the_last_word(
        self, desk: Desk, status: int
    ) -> None:
        desk.exchange.place(place())
        (await desk.session()).end(status=status)
        assert (await released(desk)).sip_status == status
        assert desk.server.sessions.empty()

    @pytest.mark.parametrize("progress", [180, 183])
    async def test_what_has_rung_is_not_tried_elsewhere(self, desk: Desk, progress: int) -> None:
        desk.exchange.place(place())
        session = await desk.session()
        session.tell(Progress(progress, "Ringing"))
        session.end(status=503)
        while not isinstance(event := await desk.next(), LegReleased):
            assert isinstance(event, LegAlerting)
        assert event.cause is Cause.NETWORK_FAILURE
        assert desk.server.sessions.empty()

    async def test_after_the_last_peer_the_call_has_failed(self, desk: Desk) -> None:
        desk.exchange.place(place())
        (await desk.session()).end(status=503, error=TransportError("refused"))
        (await desk.session()).end(status=503, reason_text="Service Unavailable")
        end = await released(desk)
        assert (end.cause, end.sip_status) == (Cause.NETWORK_FAILURE, 503)

    async def test_a_caller_who_gives_up_is_not_carried_on(self, desk: Desk) -> None:
        desk.exchange.place(place())
        session = await desk.session()
        desk.exchange.release(LEG, Cause.CANCELLED)
        assert (await released(desk)).cause is Cause.CANCELLED
        await session.until("hang_up")
        await desk.settle()
        assert desk.server.sessions.empty()

    async def test_a_dead_peer_is_passed_over_and_comes_back(self, desk: Desk) -> None:
        watches = desk.server.user_agent.watches
        desk.exchange.place(place())
        (await desk.session()).end(status=486)
        await released(desk)

        watches[SECOND].told.put(PeerUp(200))
        assert await desk.next() == TrunkUp("carrier")
        watches[FIRST].told.put(PeerDown(408, "no answer to OPTIONS"))
        watches[SECOND].told.put(PeerDown(None, "refused"))
        down = await desk.next()
        assert isinstance(down, TrunkDown)
        assert (down.cause, down.sip_status) == (Cause.UNREACHABLE, None)
        assert down.text == "192.0.2.1: no answer to OPTIONS; 192.0.2.2:5070: refused"
        desk.exchange.place(place())
        end = await released(desk)
        assert (end.cause, end.released_by) == (Cause.TRUNKS_DOWN, Side.ENDPOINT)
        assert "no answer to OPTIONS" in end.text

        watches[SECOND].told.put(PeerUp(200))
        assert await desk.next() == TrunkUp("carrier", "192.0.2.1: no answer to OPTIONS")
        assert [peer.state for peer in desk.exchange.trunks()[0].peers] == [
            LivenessState.DOWN,
            LivenessState.UP,
        ]
        desk.exchange.place(place())
        session = await desk.session()
        assert sent(session)["to"] == "sip:+4930123@192.0.2.2:5070"
        session.end(status=486)
        await released(desk)

    @pytest.mark.parametrize(
        ("called", "device"), [("+4930100", "6001"), ("+49301604", "604"), ("+49301", None)]
    )
    async def test_its_numbers_mean_devices_and_others_are_refused(
        self, desk: Desk, called: str, device: str | None
    ) -> None:
        session = FakeSession(called=called, sdp=far_offer(), flow=CARRIER)
        desk.server.offered.put(session)
        if device is None:
            assert await session.until("hang_up") == ("hang_up", 404, None)
            return
        offered = await desk.next()
        assert isinstance(offered, LegOffered)
        assert (offered.called, offered.role) == (device, LegRole.LINE)
        session.end()
        await released(desk)

    async def test_what_it_says_of_the_caller_is_believed(self, desk: Desk) -> None:
        headers = [
            ("P-Asserted-Identity", '"Customer" <tel:+4989123>'),
            ("Diversion", "<sip:7002@x>;reason=no-answer, <sip:7001@x>;reason=user-busy"),
        ]
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER, headers=headers)
        offered = await desk.offered(session)
        assert (offered.calling, offered.calling_name) == ("+4989123", "Customer")
        assert (offered.first_called, offered.last_redirection) == ("7001", "7002")
        assert not offered.withheld
        session.end()
        await released(desk)

    async def test_a_name_that_is_no_text_is_told_as_text(self, desk: Desk) -> None:
        headers = [("P-Asserted-Identity", '"\udcff" <sip:49%ff@h>')]
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER, headers=headers)
        offered = await desk.offered(session)
        assert (offered.calling, offered.calling_name) == ("49\ufffd", "\ufffd")
        session.end()
        await released(desk)

    async def test_a_caller_who_is_withheld_is_nobody(self, desk: Desk) -> None:
        headers = [("P-Asserted-Identity", "<tel:+4989123>"), ("Privacy", "id")]
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER, headers=headers)
        offered = await desk.offered(session)
        assert (offered.calling, offered.calling_name) == (WITHHELD, "")
        assert offered.withheld
        desk.server.add_phone("6001")
        request = place("6001", role=LegRole.STATION, calling=WITHHELD, withheld=True)
        desk.exchange.place(request)
        phone = await desk.session()
        assert sent(phone)["from"] == '"Anonymous" <sip:anonymous@anonymous.invalid>'
        phone.end(status=486)
        await released(desk)
        session.end()
        await released(desk)

    async def test_who_is_not_of_its_networks_is_not_believed(self, desk: Desk) -> None:
        headers = [("P-Asserted-Identity", "<tel:+4989123>"), ("Diversion", "<sip:1@x>")]
        session = FakeSession(called="6001", sdp=far_offer(), flow=FLOW, headers=headers)
        offered = await desk.offered(session)
        assert (offered.calling, offered.last_redirection) == ("10086", None)
        session.end()
        await released(desk)


class TestSilentPeer:
    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        return [trunk(first_response_s=0.02)]

    async def test_a_peer_that_says_nothing_is_passed_over(self, desk: Desk) -> None:
        desk.exchange.place(place())
        first = await desk.session()
        second = await desk.session()
        second.is_heard = True  # 100 Trying
        assert first.ended is not None
        second.end(status=486)
        assert (await released(desk)).cause is Cause.BUSY

    async def test_one_that_is_trying_is_waited_for(self, desk: Desk) -> None:
        desk.exchange.place(place())
        first = await desk.session()
        first.is_heard = True
        first.end(status=486)
        assert (await released(desk)).cause is Cause.BUSY


class TestSeveralTrunks:
    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        return [
            trunk("backup", order=2, peers=(peer(SECOND),), numbers=("+4989*",)),
            trunk(
                "main", peers=(peer(FIRST),), numbers=("+4930*",), most_calls=1, domain="main.test",
                default_number="+4930", device_numbers={DeviceId("6009"): "+49309"},
            ),
        ]  # fmt: skip

    async def test_the_first_by_order_that_may_show_the_number_takes_the_call(
        self, desk: Desk
    ) -> None:
        for number, where in (("", FIRST), ("+4930", FIRST), ("+4989", SECOND)):
            desk.exchange.place(place(calling_number=number))
            session = await desk.session()
            assert sent(session)["to"].endswith(where.partition(":")[2])
            session.end(status=486)
            await released(desk)

    async def test_each_device_has_its_number(self, desk: Desk) -> None:
        for device, number in ((AGENT, "+4930"), ("6009", "+49309")):
            desk.exchange.place(place(calling=DeviceId(device)))
            session = await desk.session()
            assert sent(session)["from"] == f"<sip:{number}@main.test>"
            session.end(status=486)
            await released(desk)

    async def test_a_trunk_that_is_full_takes_no_more_both_ways(self, desk: Desk) -> None:
        desk.exchange.place(place())
        first = await desk.session()
        desk.exchange.place(place(leg=LegId("c")))
        end = await released(desk)
        assert (end.cause, end.leg) == (Cause.TRUNK_FULL, "c")
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER)
        desk.server.offered.put(session)
        # Its networks are those of both, and the first by order is full.
        assert await session.until("hang_up") == ("hang_up", 503, 34)
        refused = await desk.next()
        assert isinstance(refused, OfferRefused)
        assert (refused.trunk, refused.called) == ("main", "+4930100")
        assert refused.cause is Cause.TRUNK_FULL
        first.end(status=486)
        await released(desk)
        desk.exchange.place(place())
        again = await desk.session()
        again.end(status=486)
        await released(desk)


class TestRegisteredTrunk:
    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        account = AccountSettings(
            DeviceId("any"), "sip:u123@carrier.example", "sip:203.0.113.9", "u123", "secret"
        )
        return [trunk(peers=(), networks=(), account=account, claim=Claim.PREFERRED)]

    async def test_its_account_carries_calls_of_many_both_ways(self, desk: Desk) -> None:
        desk.exchange.place(place())
        assert (await released(desk)).cause is Cause.TRUNKS_DOWN
        (registration,) = desk.server.user_agent.registrations
        registration.flow = CARRIER
        contact = Uri("sip", "u123", host="x")
        desk.server.user_agent.events.put(Registered(registration.account, contact, 300))
        assert await desk.next() == TrunkUp("carrier")

        desk.exchange.place(place(calling_number="+49301777"))
        session = await desk.session()
        assert sent(session) == {
            "to": "sip:+4930123@carrier.example",
            "from": "<sip:+49301777@carrier.example>",
            "P-Preferred-Identity": "<sip:+49301777@carrier.example>",
        }
        said = session.invitation
        assert said is not None
        assert said.credentials is not None
        assert (said.flow, said.contact_user) == (CARRIER, "u123")
        session.end(status=486)
        await released(desk)

        # The Request-URI names the account, To the number that was dialled.
        session = FakeSession(called="u123", sdp=far_offer(), flow=CARRIER)
        session.request.to = replace(session.request.to, uri=Uri("sip", "+4930100", host="x"))
        offered = await desk.offered(session)
        assert offered.called == "6001"
        session.end()
        await released(desk)

    async def test_no_device_is_told_to_be_registered(self, desk: Desk) -> None:
        desk.exchange.place(place())
        await released(desk)
        (registration,) = desk.server.user_agent.registrations
        contact = Uri("sip", "u123", host="x")
        desk.server.user_agent.events.put(Registered(registration.account, contact, 300))
        assert not isinstance(await desk.next(), DeviceRegistered)


class TestTerms:
    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        terms = AudioTerms(
            Protection.SRTP,
            SrtpUse.REQUIRED,
            codecs=("PCMA",),
            digits=DigitKind.INFO,
            strict_source=True,
        )
        return [trunk(audio=terms)]

    @pytest.fixture
    def leg_settings(self) -> LegSettings:
        return LegSettings(domain="example.test", shutdown_timeout_s=0.0, digit_pause_s=0.0)

    async def test_keys_codecs_and_source_are_as_the_trunk_has_them(self, desk: Desk) -> None:
        desk.exchange.place(place())
        session = await desk.session()
        assert session.invitation is not None
        assert session.invitation.sdp is not None
        (medium,) = SessionDescription.parse(session.invitation.sdp).media
        assert medium.protocol == "RTP/SAVP"
        assert [codec.encoding for codec in medium.codecs] == ["PCMA"]
        (opened,) = desk.media.all(m.OpenRtpPort)
        assert opened.strict_source
        assert not opened.relays_digits
        session.end(status=486)
        await released(desk)

    async def test_an_offer_in_the_clear_is_refused(self, desk: Desk) -> None:
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER)
        desk.server.offered.put(session)
        assert await session.until("hang_up") == ("hang_up", 488, None)

    async def test_digits_go_in_info_in_the_form_that_is_taken(self, desk: Desk) -> None:
        desk.exchange.place(place())
        session = await desk.session()
        assert session.invitation is not None
        session.takes_info = {"application/dtmf-relay": 415}
        session.tell(Answered(far_answer(session.invitation.sdp, security=SECRET)))
        assert await desk.next() == LegAnswered(LEG)
        desk.exchange.send_digits(LEG, "1#")
        assert await desk.next() == DigitsSent(LEG, "1#")
        assert session.informed == [
            ("application/dtmf-relay", b"Signal=1\r\nDuration=160\r\n"),
            ("application/dtmf", b"1"),
            ("application/dtmf", b"#"),
        ]
        session.takes_info["application/dtmf"] = 500
        session.takes_info["application/dtmf-relay"] = 500
        desk.exchange.send_digits(LEG, "9")
        assert await desk.next() == DigitsSent(LEG, "")
        session.end()
        await released(desk)

    async def test_a_key_at_a_phone_goes_on_in_info_and_one_in_info_to_the_phone(
        self, desk: Desk
    ) -> None:
        desk.exchange.place(place())
        session = await desk.session()
        assert session.invitation is not None
        session.tell(Answered(far_answer(session.invitation.sdp, security=SECRET)))
        await desk.next()
        desk.server.add_phone("6001")
        phone_leg = LegId("a")
        desk.exchange.place(place("6001", role=LegRole.STATION, leg=phone_leg))
        phone = await desk.session()
        assert phone.invitation is not None
        phone.tell(Answered(far_answer(phone.invitation.sdp)))
        await desk.next()
        desk.exchange.set_routes(CALL, [Route(LEG, phone_leg), Route(phone_leg, LEG)])

        port = desk.media.all(m.SetRemote)[-1].port
        desk.media.tell(m.DigitReceived(port, "5", 100))
        assert await desk.next() == DigitDetected(phone_leg, "5", 100)
        assert await desk.next() == DigitsSent(LEG, "5")
        assert session.informed[-1][1].startswith(b"Signal=5")

        session.tell(InfoReceived("application/dtmf", b"7"))
        assert await desk.next() == DigitDetected(LEG, "7", 250, DigitKind.INFO)
        desk.exchange.release(phone_leg, Cause.NORMAL)
        await released(desk)
        (pressed,) = desk.media.all(m.SendDigits)
        assert (pressed.port, pressed.digits) == (port, "7")
        session.end()
        await released(desk)


SECRET = Sdes((Crypto(1, CryptoSuite.AES_CM_128_HMAC_SHA1_80, bytes(30)),))  # of the far end


@pytest.mark.parametrize(
    ("use", "offered", "answered"),
    [
        (SrtpUse.REQUIRED, Protection.SRTP, Protection.SRTP),
        (SrtpUse.REQUIRED, Protection.RTP, None),
        (SrtpUse.OPTIONAL, Protection.RTP, Protection.RTP),
        (SrtpUse.OPTIONAL, Protection.SRTP, Protection.SRTP),
        (SrtpUse.OFF, Protection.RTP, Protection.RTP),
        (SrtpUse.OFF, Protection.SRTP, None),
    ],
)
def test_what_is_answered_to_an_offer(
    use: SrtpUse, offered: Protection, answered: Protection | None
) -> None:
    ours = Protection.RTP if use is SrtpUse.OFF else Protection.SRTP
    security = {"security": SECRET} if offered is Protection.SRTP else {}
    offer = SessionDescription.parse(far_offer(**security))
    terms = AudioTerms(ours, use)
    if answered is None:
        with pytest.raises(Exception, match="SRTP is") as refused:
            terms.protection_for(offer)
        assert refused.value.status_hint == 488  # type: ignore[attr-defined]  # of SdpError
    else:
        assert terms.protection_for(offer) is answered


def test_weights_say_how_often_a_peer_is_first_and_priorities_that_it_is() -> None:
    made = [
        StaticPeer(None, peer(f"sip:{host}", weight=weight, priority=priority), "us", None)  # type: ignore[arg-type]  # nothing is sent
        for host, weight, priority in (("a", 1, 1), ("b", 3, 1), ("c", 9, 2))
    ]
    random = Random(5)
    orders = [[each.name for each in in_order(made, random)] for _ in range(400)]
    assert all(order[2] == "c" for order in orders)
    share = sum(order[0] == "b" for order in orders) / len(orders)
    assert share == pytest.approx(0.75, abs=0.07)


class TestThePlan:
    """Rules of the database beside those of the trunks."""

    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        second = (peer("sip:192.0.2.9"),)
        return [
            trunk("first", numbers=("+4930*",), default_number="+49301000"),
            trunk("second", peers=second, networks=("198.51.100.1",), order=2),
        ]

    async def test_a_rule_says_the_order_the_number_and_who_is_shown(
        self, desk: Desk, plan: PlanInUse
    ) -> None:
        lines = (Line("second", add="9"), Line("first", strip=1, add="0049"))
        rule = Rule("abroad", "_0Z.", Action.TRUNK, lines=lines, shown="+4930555")
        plan.plan = replace(plan.plan, rules=(rule,))
        desk.exchange.place(place())
        seen = []
        for _ in range(3):
            session = await desk.session()
            seen.append(sent(session))
            session.end(status=503)
        end = await released(desk)
        assert end.sip_status == 503
        assert [each["to"] for each in seen] == [
            "sip:9030123@192.0.2.9",
            "sip:004930123@192.0.2.1",
            "sip:004930123@192.0.2.2:5070",
        ]
        assert {each["from"] for each in seen} == {"<sip:+4930555@example.test>"}

    async def test_a_refused_number_is_never_sent(self, desk: Desk, plan: PlanInUse) -> None:
        """Whoever places the call, and whatever was said before."""
        plan.plan = replace(plan.plan, refused=("+49900*",))
        desk.exchange.place(place("0900123"))
        end = await released(desk)
        assert (end.cause, end.released_by) == (Cause.NUMBER_REFUSED, Side.ENDPOINT)
        assert "+49900*" in end.text

    async def test_a_remote_agent_s_telephone_is_no_refused_number(
        self, desk: Desk, plan: PlanInUse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan.plan = replace(plan.plan, refused=("+49900*",))

        async def ours(device: DeviceId) -> DeviceId | None:
            return device if device.startswith("RP_") else None

        monkeypatch.setattr(desk.exchange._lines, "_extension", ours)
        desk.exchange.place(place("RP_0900123", role=LegRole.STATION))
        assert (await released(desk)).cause is Cause.NUMBER_REFUSED
        await desk.settle()
        desk.exchange.place(place("RP_030123", role=LegRole.STATION))
        session = await desk.session()
        assert sent(session)["to"] == "sip:+4930123@192.0.2.1"
        session.end(status=486)
        await released(desk)

    async def test_a_rule_says_who_is_called_and_refuses(self, desk: Desk, plan: PlanInUse) -> None:
        night = Rule("night", "+4930100", Action.DEVICE, Direction.IN, device="6009")
        nobody = Rule("nobody", "+493*", Action.REFUSE, Direction.IN, cause=Cause.BUSY)
        plan.plan = replace(plan.plan, rules=(night, nobody))
        refused = FakeSession(called="+4931", sdp=far_offer(), flow=CARRIER)
        desk.server.offered.put(refused)
        assert await refused.until("hang_up") == ("hang_up", 486, 17)
        said = await desk.next()
        assert isinstance(said, OfferRefused)
        assert (said.trunk, said.called, said.cause) == ("first", "+4931", Cause.BUSY)
        session = FakeSession(called="+4930100", sdp=far_offer(), flow=CARRIER)
        offered = await desk.offered(session)
        assert offered.called == "6009"
        session.end()
        await released(desk)


class TestAnEmergency:
    """One trunk is full, the next is dead; the caller's number is none that may be shown."""

    @pytest.fixture
    def trunks(self) -> list[TrunkSettings]:
        facts = {"numbers": ("+49301*",), "default_number": "+49301000"}
        second = (peer("sip:192.0.2.9"),)
        return [
            trunk("first", most_calls=1, **facts),
            trunk("second", peers=second, networks=("198.51.100.1",), order=2),
        ]

    async def test_it_goes_out_whatever_stands_against_it(
        self, desk: Desk, plan: PlanInUse
    ) -> None:
        here = "https://lis.example/6001"
        rule = Rule("fire", "112", Action.EMERGENCY, shown="+49301112", location=here)
        plan.plan = replace(plan.plan, rules=(rule,), refused=("*",))
        (first, _second) = desk.exchange._trunks
        first.calls.add(LegId("other"))
        watches = desk.server.user_agent.watches
        for uri in (FIRST, SECOND, "sip:192.0.2.9"):
            watches[uri].told.put(PeerDown(None, "refused"))
        downs = [await desk.next() for _ in range(2)]
        assert {each.trunk for each in downs if isinstance(each, TrunkDown)} == {"first", "second"}
        desk.exchange.place(place("112", withheld=True, calling_number="+4989"))
        seen = []
        for _ in range(3):
            session = await desk.session()
            seen.append(sent(session))
            session.end(status=503)
        await released(desk)
        assert [each["to"] for each in seen] == [
            "sip:112@192.0.2.1",
            "sip:112@192.0.2.2:5070",
            "sip:112@192.0.2.9",
        ]
        assert {each["from"] for each in seen} == {"<sip:+49301112@example.test>"}
        assert {each["Geolocation"] for each in seen} == {f"<{here}>"}
        assert "Privacy" not in seen[0]
        first.calls.discard(LegId("other"))

    async def test_where_no_far_end_is_left_to_be_tried_it_is_refused_as_what_it_is(
        self, desk: Desk, plan: PlanInUse
    ) -> None:
        plan.plan = replace(plan.plan, emergency=("112",))
        for each in desk.exchange._trunks:
            each.peers = []
        desk.exchange.place(place("112"))
        over = await released(desk)
        assert (over.cause, over.released_by) == (Cause.TRUNKS_DOWN, Side.ENDPOINT)
        assert over.text == "first, second: there is no far end that could be tried"

    async def test_without_a_rule_a_number_of_the_trunk_is_shown(
        self, desk: Desk, plan: PlanInUse
    ) -> None:
        plan.plan = replace(plan.plan, emergency=("112",))
        desk.exchange.place(place("112", calling_number="+4989"))
        session = await desk.session()
        assert sent(session)["from"] == "<sip:+49301000@example.test>"
        session.end(status=486)
        await released(desk)

    async def test_an_account_is_asked_after_the_trunks(self, desk: Desk, plan: PlanInUse) -> None:
        plan.plan = replace(plan.plan, emergency=("112",))
        settings = AccountSettings(AGENT, "sip:6001@pbx.example", "sip:192.0.2.7", "6001", "secret")
        desk.exchange.register(settings)
        registration = desk.server.user_agent.registrations[-1]
        registration.flow = FLOW
        desk.exchange.place(place("112"))
        seen = []
        for _ in range(4):
            session = await desk.session()
            seen.append(sent(session)["to"])
            session.end(status=503)
        await released(desk)
        assert seen == [
            "sip:112@192.0.2.1",
            "sip:112@192.0.2.2:5070",
            "sip:112@192.0.2.9",
            "sip:112@pbx.example",
        ]
