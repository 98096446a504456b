"""Remote agents' telephones that stay up between calls (`calls.keep_up_s`), in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    ExchangeEvent,
    InteractionId,
    LegAlerting,
    LegAnswered,
    LegHeld,
    LegId,
    LegReleased,
    LegRole,
    MediaConfirmed,
    PlaceLeg,
    Route,
    Side,
    TransferAsked,
    TrunkUp,
)
from endpoint.legs.exchange import LegExchange
from endpoint.legs.leg import LegSettings
from endpoint.legs.line import AccountSettings, Transfers
from endpoint.legs.numbering import NumberRule
from endpoint.legs.peer import PeerSettings
from endpoint.legs.remote import TELEPHONE
from endpoint.legs.trunk import TrunkSettings
from endpoint.media import messages as m
from signaling.sdp.description import Direction
from signaling.sip.uri import Uri
from signaling.user_agent import Answered, Progress, Reinvited
from tests.fakes.numbering import plan_of
from tests.unit.endpoint.legs.fakes import (
    Desk,
    FakeMedia,
    FakeServer,
    FakeSession,
    direction_in,
    far_answer,
    far_offer,
)
from tests.unit.endpoint.legs.test_transfer import Recipient

pytestmark = pytest.mark.scenario

AGENT, CUSTOMER = DeviceId("RP_013800"), DeviceId("10086")
KEEP_UP_S, NOTICE_S = 600.0, 0.4
SETTINGS = LegSettings(
    domain="example.test",
    shutdown_timeout_s=0.0,
    keep_up_devices={AGENT: KEEP_UP_S},
    notice_s=NOTICE_S,
)
TRUNK = TrunkSettings(
    "carrier",
    peers=(PeerSettings(Uri.parse("sip:192.0.2.1")),),
    outgoing=(NumberRule("0*", strip=1),),
    default_number="+4930100",
    transfers=Transfers(accepts=True),
    most_calls=2,
    liveness=None,
)
UP = DeviceRegistered(AGENT, "sip:10086@example.test", int(KEEP_UP_S), TELEPHONE)


async def ours(device: DeviceId) -> DeviceId | None:
    return device if device == AGENT else None


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    server, media = FakeServer(), FakeMedia()
    exchange = LegExchange(
        cast("Any", server),
        cast("Any", media),
        settings=SETTINGS,
        extension=ours,
        trunks=[TRUNK],
        numbering=plan_of([TRUNK]),
    )
    desk = Desk(server, media, await exchange.__aenter__())
    assert await desk.next() == TrunkUp("carrier")
    yield desk
    await desk.close()
    assert exchange.leg_count == 0
    assert media.open_ports == set()


def place(number: int, **facts: Any) -> PlaceLeg:
    """A call to the remote agent."""
    said = {"device": AGENT, "role": LegRole.LINE, "calling": CUSTOMER, **facts}
    return PlaceLeg(leg=LegId(f"leg{number}"), interaction=InteractionId(f"call{number}"), **said)


async def told(desk: Desk, count: int) -> list[ExchangeEvent]:
    return [await desk.next() for _ in range(count)]


async def answered(desk: Desk, request: PlaceLeg) -> FakeSession:
    """The telephone is rung, and picked up."""
    desk.exchange.place(request)
    session = await desk.session()
    session.tell(Progress(180, "Ringing"))
    assert await desk.next() == LegAlerting(request.leg)
    sdp = far_answer(session.invitation.sdp if session.invitation else None)
    session.tell(Answered(sdp))
    assert await desk.next() == LegAnswered(request.leg)
    return session


async def waiting(desk: Desk) -> FakeSession:
    """The telephone was in a call, and is up."""
    session = await answered(desk, place(1))
    assert await desk.next() == UP
    (port,) = {command.port for command in desk.media.all(m.OpenRtpPort)}
    desk.media.tell(m.FirstPacket(port))
    assert await desk.next() == MediaConfirmed(LegId("leg1"))
    desk.exchange.release(LegId("leg1"), Cause.NORMAL)
    assert await desk.next() == LegReleased(LegId("leg1"), Cause.NORMAL, Side.ENDPOINT)
    return session


async def talks_again(desk: Desk, number: int = 2) -> None:
    desk.exchange.place(place(number))
    leg = LegId(f"leg{number}")
    assert await told(desk, 3) == [LegAlerting(leg), LegAnswered(leg), MediaConfirmed(leg)]


def heard(desk: Desk) -> list[str]:
    """What the telephone hears now, of all that was said of its port."""
    routes: dict[str, list[m.RouteTo]] = {}
    for command in desk.media.all(m.SetRoutes):
        routes[command.group] = list(command.routes)
    ports = {command.port for command in desk.media.all(m.OpenRtpPort)}
    return [to.source for group in routes.values() for to in group if to.sink in ports]


def nobody_is_rung(desk: Desk) -> bool:
    return desk.server.sessions.empty()


async def test_the_next_call_is_on_the_telephone_that_is_up(desk: Desk) -> None:
    session = await waiting(desk)
    assert session.ended is None
    assert heard(desk) == ["sound.silence"]

    await asyncio.sleep(KEEP_UP_S - 1)
    desk.exchange.place(place(2))
    assert await desk.next() == LegAlerting(LegId("leg2"))
    assert heard(desk) == ["sound.notice"]
    desk.exchange.set_routes(InteractionId("call2"), [Route(LegId("leg2"), LegId("leg2"))])
    assert await desk.next() == LegAnswered(LegId("leg2"))
    (port,) = {command.port for command in desk.media.all(m.OpenRtpPort)}
    assert heard(desk) == [port]
    assert nobody_is_rung(desk)


async def test_it_is_not_hung_up_in_the_call_that_came_last(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    await asyncio.sleep(2 * KEEP_UP_S)
    assert session.ended is None


async def test_who_has_the_receiver_is_told_before_he_is_in_the_call(desk: Desk) -> None:
    await waiting(desk)
    desk.exchange.place(place(2))
    await desk.next()
    began = asyncio.get_running_loop().time()
    await desk.next()
    assert asyncio.get_running_loop().time() - began == pytest.approx(NOTICE_S)


async def test_a_command_answers_at_once(desk: Desk) -> None:
    await waiting(desk)
    desk.exchange.place(place(2))
    assert await desk.next() == LegAlerting(LegId("leg2"))
    began = asyncio.get_running_loop().time()
    desk.exchange.answer(LegId("leg2"))
    assert await desk.next() == LegAnswered(LegId("leg2"))
    assert asyncio.get_running_loop().time() == began


async def test_without_a_call_it_is_hung_up_and_rung_by_the_next_one(desk: Desk) -> None:
    session = await waiting(desk)
    await asyncio.sleep(KEEP_UP_S + 0.1)
    assert session.did[-1] == ("hang_up", 480, 16)
    gone = DeviceUnregistered(
        AGENT,
        Cause.NORMAL,
        server=TELEPHONE,
        text="no call for 600 s: the telephone was hung up",
    )
    assert await desk.next() == gone
    assert heard(desk) == []
    await answered(desk, place(2))


async def test_a_telephone_that_hangs_up_between_calls_is_rung_by_the_next_one(desk: Desk) -> None:
    session = await waiting(desk)
    session.end()
    assert await desk.next() == DeviceUnregistered(AGENT, Cause.NORMAL, server=TELEPHONE)
    await answered(desk, place(2))


async def test_a_telephone_that_hangs_up_in_a_call_ends_it(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    session.end()
    over = LegReleased(LegId("leg2"), Cause.NORMAL, Side.DEVICE)
    assert await told(desk, 2) == [over, DeviceUnregistered(AGENT, Cause.NORMAL, server=TELEPHONE)]


async def test_who_hangs_up_when_he_is_told_of_a_call_declines_it(desk: Desk) -> None:
    session = await waiting(desk)
    desk.exchange.place(place(2))
    assert await desk.next() == LegAlerting(LegId("leg2"))
    session.end()
    over = LegReleased(LegId("leg2"), Cause.DECLINED, Side.DEVICE)
    gone = DeviceUnregistered(AGENT, Cause.DECLINED, server=TELEPHONE)
    assert await told(desk, 2) == [over, gone]
    assert heard(desk) == []


async def test_a_telephone_that_is_lost_between_calls_is_told(desk: Desk) -> None:
    await waiting(desk)
    (port,) = {command.port for command in desk.media.all(m.OpenRtpPort)}
    desk.media.tell(m.MediaTimedOut(port))
    gone = await desk.next()
    assert isinstance(gone, DeviceUnregistered)
    assert gone.cause is Cause.MEDIA_TIMEOUT


async def test_a_media_process_that_dies_takes_it_along(desk: Desk) -> None:
    session = await waiting(desk)
    desk.media.die("killed")
    gone = await desk.next()
    assert isinstance(gone, DeviceUnregistered)
    assert gone.cause is Cause.MEDIA_LOST
    assert session.ended is not None


async def test_a_caller_who_gives_up_at_once_leaves_it_up(desk: Desk) -> None:
    session = await waiting(desk)
    await asyncio.sleep(KEEP_UP_S - 1)
    desk.exchange.place(place(2))
    assert await desk.next() == LegAlerting(LegId("leg2"))
    desk.exchange.release(LegId("leg2"), Cause.CANCELLED)
    over = LegReleased(LegId("leg2"), Cause.CANCELLED, Side.ENDPOINT)
    assert await desk.next() == over
    assert heard(desk) == ["sound.silence"]
    await asyncio.sleep(KEEP_UP_S - 1)  # begun anew
    assert session.ended is None
    await talks_again(desk, 3)


async def test_a_caller_who_gives_up_while_it_rings_leaves_nothing(desk: Desk) -> None:
    desk.exchange.place(place(1))
    session = await desk.session()
    desk.exchange.release(LegId("leg1"), Cause.CANCELLED)
    assert await desk.next() == LegReleased(LegId("leg1"), Cause.CANCELLED, Side.ENDPOINT)
    assert session.ended is not None
    await desk.settle()


async def test_a_telephone_that_has_put_us_on_hold_is_rung(desk: Desk) -> None:
    """Its agent does something else there; who waits for him hears its own answer to that."""
    session = await waiting(desk)
    session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    await session.until("answer_reinvite")
    desk.exchange.place(place(2))
    (await desk.session()).end(status=486)
    over = await desk.next()
    assert isinstance(over, LegReleased)
    assert over.cause is Cause.BUSY

    session.tell(Reinvited(far_offer()))
    await asyncio.sleep(1)
    await talks_again(desk, 3)


async def test_a_hold_by_the_telephone_is_told_of_the_call_that_it_is_in(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    session.tell(Reinvited(far_offer(Direction.SENDONLY)))
    assert await desk.next() == LegHeld(LegId("leg2"))


async def test_who_was_on_hold_is_no_longer_when_his_call_is_over(desk: Desk) -> None:
    session = await answered(desk, place(1))
    await desk.next()
    desk.exchange.hold(LegId("leg1"))
    desk.exchange.release(LegId("leg1"), Cause.NORMAL)
    offers = []
    for direction in (Direction.RECVONLY, Direction.SENDRECV):
        offers.append(await session.offers.get())
        session.answers.put_nowait((200, far_answer(offers[-1], direction)))
    assert [direction_in(offer) for offer in offers] == [Direction.SENDONLY, Direction.SENDRECV]
    over = LegReleased(LegId("leg1"), Cause.NORMAL, Side.ENDPOINT)
    assert await desk.next() == over
    await asyncio.sleep(1)
    desk.exchange.place(place(2))
    assert await told(desk, 2) == [LegAlerting(LegId("leg2")), LegAnswered(LegId("leg2"))]


async def test_it_asks_for_a_transfer_in_the_call_that_it_is_in(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    session.tell(Recipient(Uri("sip", "6002", host="example.test")).referred())
    asked = await desk.next()
    assert asked == TransferAsked(LegId("leg2"), DeviceId("6002"), from_outside=True)


async def test_it_takes_a_line_of_its_trunk_while_it_is_up(desk: Desk) -> None:
    await waiting(desk)
    (trunk,) = desk.exchange.trunks()
    assert trunk.calls == 1
    await talks_again(desk)
    (trunk,) = desk.exchange.trunks()
    assert trunk.calls == 1
    desk.exchange.release(LegId("leg2"), Cause.NORMAL)
    await desk.next()
    await asyncio.sleep(KEEP_UP_S + 0.1)
    await desk.settle()
    (trunk,) = desk.exchange.trunks()
    assert trunk.calls == 0


async def test_its_messages_are_those_of_each_call(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    for call in ("call1", "call2"):
        (said,) = desk.exchange.sip_calls.of(InteractionId(call))
        assert (said.device, said.call_id) == (AGENT, session.call_id)


async def test_of_two_calls_at_once_one_leaves_it_up(desk: Desk) -> None:
    first = await answered(desk, place(1))
    await desk.next()
    second = await answered(desk, place(2))
    for leg in (LegId("leg1"), LegId("leg2")):
        desk.exchange.release(leg, Cause.NORMAL)
        assert await desk.next() == LegReleased(leg, Cause.NORMAL, Side.ENDPOINT)
    assert first.ended is None
    assert second.ended is not None


async def test_each_of_two_that_are_up_hears_its_own_sounds(desk: Desk) -> None:
    await answered(desk, place(1))
    await desk.next()
    await answered(desk, place(2))
    desk.exchange.release(LegId("leg1"), Cause.NORMAL)
    await desk.next()
    desk.exchange.place(place(3))
    assert await desk.next() == LegAlerting(LegId("leg3"))
    desk.exchange.release(LegId("leg2"), Cause.NORMAL)
    assert await desk.next() == LegReleased(LegId("leg2"), Cause.NORMAL, Side.ENDPOINT)
    assert heard(desk) == ["sound.notice", "sound.silence"]
    assert await desk.next() == LegAnswered(LegId("leg3"))
    assert heard(desk) == ["sound.silence"]


async def test_before_a_shutdown_it_is_let_go(desk: Desk) -> None:
    session = await waiting(desk)
    desk.exchange.telephones.let_go()
    await session.until("hang_up")
    gone = await desk.next()
    assert isinstance(gone, DeviceUnregistered)
    assert gone.cause is Cause.NORMAL
    await desk.settle()


async def test_after_the_last_call_before_a_shutdown_it_is_let_go(desk: Desk) -> None:
    session = await waiting(desk)
    await talks_again(desk)
    desk.exchange.telephones.let_go()
    await asyncio.sleep(1)
    assert session.ended is None
    desk.exchange.release(LegId("leg2"), Cause.NORMAL)
    await session.until("hang_up")
    await desk.settle()


async def test_a_remote_agent_of_whom_nothing_is_said_is_rung_for_each_call(desk: Desk) -> None:
    another = DeviceId("RP_013900")
    desk.exchange.place(place(1, device=another))
    assert isinstance(await desk.next(), LegReleased)
    assert SETTINGS.keep_up_of(another) == 0


async def test_a_remote_agent_who_is_registered_here_is_called_there(desk: Desk) -> None:
    desk.server.add_phone(AGENT)
    session = await answered(desk, place(1))
    assert session.invitation is not None
    assert session.invitation.target.host == "198.51.100.9"


async def test_where_the_account_is_ours_a_trunk_is_called_and_no_phone(desk: Desk) -> None:
    """It may be registered at ourselves: the call would come back to us."""
    desk.server.add_phone(AGENT)
    desk.exchange.register(
        AccountSettings(AGENT, f"sip:{AGENT}@example.test", "sip:192.0.2.9", AGENT, password="x")
    )
    session = await answered(desk, place(1))
    assert session.invitation is not None
    assert session.invitation.target.host == "192.0.2.1"


async def test_it_is_known_whether_a_telephone_can_be_called(desk: Desk) -> None:
    assert desk.exchange.reaches_telephone(AGENT)
    assert not desk.exchange.reaches_telephone(DeviceId("RP_913800"))
    assert not desk.exchange.reaches_telephone(DeviceId("013800"))
