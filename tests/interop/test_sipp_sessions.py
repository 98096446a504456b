"""SIPp in long and in awkward calls: session timers, forks, glare, late answers, forwarding."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from endpoint.callcontrol.commands import ClearConnection, HoldCall, MakeCall
from endpoint.callcontrol.events import (
    Delivered,
    Diverted,
    Established,
    FarEndAnswer,
    FarEndHold,
    Held,
)
from endpoint.legs.base import Cause, DeviceId, DeviceRegistered, Side

from .desk import Desk
from .peers.hearing import hear
from .peers.sipp import Sipp, register

pytestmark = pytest.mark.interop

AGENT, PEER, OTHER = DeviceId("6001"), DeviceId("7002"), DeviceId("7003")
AGENT_HZ = 1400


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Sessions live for four seconds here: 1,800 is the same, and longer."""
    async with Desk(
        tmp_path / "state",
        extensions=[PEER, OTHER],
        stations={AGENT: AGENT_HZ},
        settings={
            "sip": {"port": 0, "session_expires_s": 4, "minimum_session_expires_s": 3},
            "calls": {"answer_timeout_s": 2.0},
        },
    ) as endpoint:
        yield endpoint


@dataclass(frozen=True)
class Telephone:
    """A user whose telephone is SIPp, registered."""

    desk: Desk
    directory: Path
    user: DeviceId
    port: int

    def rings(self, scenario: str, *, contact: str = "") -> Sipp:
        """It will answer by a scenario."""
        return Sipp(
            self.directory,
            scenario,
            self.desk.sip,
            user=self.user,
            sip_port=self.port,
            contact=contact,
        )

    @asynccontextmanager
    async def talks(self, scenario: str) -> AsyncIterator[None]:
        """The agent has called it; its scenario must run to its end."""
        async with self.rings(scenario) as sipp:
            await self.desk.do(MakeCall(AGENT, self.user))
            await self.desk.event(Established, device=self.user)
            yield
            await sipp.finished()


async def registered(desk: Desk, directory: Path, user: DeviceId) -> Telephone:
    port = await register(directory, desk.sip, user=user, password=desk.password)
    await desk.event(DeviceRegistered, device=user)
    return Telephone(desk, directory, user, port)


@pytest.fixture
async def peer(desk: Desk, tmp_path: Path) -> Telephone:
    return await registered(desk, tmp_path, PEER)


def calling(
    desk: Desk,
    directory: Path,
    scenario: str,
    target: DeviceId,
    *,
    user: DeviceId = PEER,
    talk_ms: int = 30_000,
) -> Sipp:
    return Sipp(
        directory,
        scenario,
        desk.sip,
        user=user,
        password=desk.password,
        target=target,
        talk_ms=talk_ms,
    )


async def test_we_call_and_refresh_the_session(desk: Desk, peer: Telephone) -> None:
    """Twice in four seconds; then SIPp hangs up."""
    async with peer.talks("uas_is_refreshed"):
        await hear({desk.ear(AGENT): {AGENT_HZ}})
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_we_call_and_the_far_end_refreshes_until_it_falls_silent(
    desk: Desk, peer: Telephone
) -> None:
    async with peer.talks("uas_refreshes"):
        pass
    over = await desk.cleared()
    assert (over.cause, over.released_by) == (Cause.SESSION_EXPIRED, Side.NETWORK)


async def test_we_are_called_refuse_what_is_too_short_and_refresh_what_is_not(
    desk: Desk, tmp_path: Path
) -> None:
    async with calling(desk, tmp_path, "uac_session_timer", AGENT) as sipp:
        await desk.event(Established, device=AGENT)
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_the_far_end_wants_a_longer_session(desk: Desk, peer: Telephone) -> None:
    async with peer.talks("uas_wants_longer"):
        await desk.do(ClearConnection(AGENT))
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_two_forks_ring_with_early_media_and_both_answer(desk: Desk, peer: Telephone) -> None:
    async with peer.talks("uas_forks"):
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
    assert (await desk.cleared()).cause is Cause.NORMAL


async def test_an_answer_that_crosses_our_cancel(desk: Desk, peer: Telephone) -> None:
    async with peer.rings("uas_answers_late") as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await desk.event(Delivered, device=PEER)
        await desk.do(ClearConnection(AGENT))
        await sipp.finished()
    assert (await desk.cleared()).cause is Cause.CANCELLED


async def test_an_offer_that_meets_another_is_made_again(desk: Desk, peer: Telephone) -> None:
    async with peer.talks("uas_glare"):
        await desk.do(HoldCall(AGENT))
        await desk.event(Held, device=AGENT)
        assert (await desk.event(FarEndHold, held=True)).far_end is FarEndAnswer.ACCEPTED
        await desk.do(ClearConnection(AGENT))
    await desk.cleared()


async def test_a_cancel_that_comes_too_late_ends_nothing(desk: Desk, tmp_path: Path) -> None:
    async with calling(desk, tmp_path, "uac_late_cancel", AGENT, talk_ms=2500) as sipp:
        await desk.event(Established, device=AGENT)
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        await sipp.finished()
    over = await desk.cleared()
    assert (over.cause, over.released_by) == (Cause.NORMAL, Side.DEVICE)


async def test_an_invite_is_good_no_longer_than_it_says(
    desk: Desk, peer: Telephone, tmp_path: Path
) -> None:
    """Expires: who is called is told that nobody wants it any more."""
    async with (
        peer.rings("uas_no_answer") as rings,
        calling(desk, tmp_path / "other", "uac_expires", PEER, user=OTHER) as expires,
    ):
        await expires.finished()
        await rings.finished()
    assert (await desk.cleared()).cause is Cause.CANCELLED


@pytest.mark.parametrize("host", ["127.0.0.1", "elsewhere.example;maddr=192.0.2.1"])
async def test_a_phone_that_forwards_its_calls_leads_to_a_number(
    desk: Desk, peer: Telephone, tmp_path: Path, host: str
) -> None:
    """302: the number is reached where it is registered, whatever host the phone names."""
    other = await registered(desk, tmp_path / "other", OTHER)
    async with (
        peer.rings("uas_redirects", contact=f"<sip:{OTHER}@{host}>") as forwards,
        other.rings("uas") as answers,
    ):
        await desk.do(MakeCall(AGENT, PEER))
        assert (await desk.event(Diverted, device=PEER)).diverted_to == OTHER
        await desk.event(Established, device=OTHER)
        await forwards.finished()
        await hear({desk.ear(AGENT): {AGENT_HZ}})
        await desk.do(ClearConnection(AGENT))
        await answers.finished()
    assert (await desk.cleared()).cause is Cause.NORMAL


@pytest.mark.parametrize(
    ("number", "cause"), [("7777", Cause.UNKNOWN_DEVICE), ("0900123", Cause.NUMBER_REFUSED)]
)
async def test_s12_a_phone_that_forwards_to_nobody_of_ours(
    desk: Desk, peer: Telephone, number: str, cause: Cause
) -> None:
    async with peer.rings("uas_redirects", contact=f"<sip:{number}@127.0.0.1:9>") as sipp:
        await desk.do(MakeCall(AGENT, PEER))
        await sipp.finished()
    assert (await desk.cleared()).cause is cause
