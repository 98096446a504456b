"""What becomes of a page's session when its port fails, by what came before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from endpoint.legs.audio_end import AudioEnd, Protection
from endpoint.legs.base import (
    Cause,
    DeviceId,
    DeviceRegistered,
    DeviceUnregistered,
    RegistrationEvent,
)
from endpoint.legs.browser import BROWSER, BrowserSession, BrowserStations
from endpoint.legs.leg import LegSettings
from endpoint.media import messages as m
from endpoint.media.messages import PortFailure
from tests.unit.endpoint.legs.fakes import FakeMedia

pytestmark = pytest.mark.unit

AGENT = DeviceId("6001")
PROFILE = m.SrtpProfile.AES_CM_128_HMAC_SHA1_80


class Office:
    """Browser stations over a media plane that does what a test tells it."""

    def __init__(self) -> None:
        self.media = FakeMedia()
        self.told: list[RegistrationEvent] = []
        self.stations = BrowserStations(cast("Any", self.media), LegSettings(), self.told.append)

    async def open(self) -> BrowserSession:
        self.page = AudioEnd(cast("Any", FakeMedia()), "page", Protection.WEBRTC)
        await self.page.open(controlling=True)
        offer = self.page.offer()
        session, answer = await self.stations.open(AGENT, offer.serialise())
        await self.page.agree(self.page.accept(offer, answer))
        return session

    async def offer_again(self, session: BrowserSession) -> None:
        offer = self.page.offer()
        answer = await self.stations.renew(session, offer.serialise())
        await self.page.agree(self.page.accept(offer, answer))

    def connect(self, session: BrowserSession) -> None:
        assert self.stations.take(m.PortConnected(session.id, PROFILE))

    def fail(self, session: BrowserSession, failure: PortFailure) -> None:
        assert self.stations.take(m.PortFailed(session.id, failure))


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    yield made
    made.stations.close_all()
    assert made.media.open_ports == set()


async def test_a_session_takes_calls_from_when_it_is_connected(office: Office) -> None:
    session = await office.open()
    assert office.stations.of(AGENT) is None
    office.connect(session)
    assert office.stations.of(AGENT) is session
    assert office.told == [DeviceRegistered(AGENT, session.id, 0, BROWSER)]


async def test_a_lost_page_may_try_more_than_once(office: Office) -> None:
    session = await office.open()
    office.connect(session)
    for failure in (PortFailure.CONSENT_LOST, PortFailure.NO_ROUTE):
        office.fail(session, failure)
        assert office.stations.of(AGENT) is session
    office.connect(session)
    assert session.is_connected
    assert not session.is_awaited
    assert len(office.told) == 1


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (PortFailure.NO_ROUTE, Cause.MEDIA_UNREACHABLE),
        (PortFailure.WRONG_FINGERPRINT, Cause.MEDIA_UNTRUSTED),
        (PortFailure.CLOSED, Cause.MEDIA_TIMEOUT),
    ],
)
async def test_a_page_that_never_connects_is_over_at_once(
    office: Office, failure: PortFailure, cause: Cause
) -> None:
    session = await office.open()
    office.fail(session, failure)
    (gone,) = office.told
    assert isinstance(gone, DeviceUnregistered)
    assert (gone.cause, gone.server) == (cause, BROWSER)
    assert not office.stations.take(m.PortConnected(session.id, PROFILE))


async def test_the_way_that_works_is_kept_where_a_restart_came_to_nothing(office: Office) -> None:
    session = await office.open()
    office.connect(session)
    (works,) = office.media.all(m.SetWebRtcRemote)
    await office.page.restart()
    await office.offer_again(session)
    assert office.media.all(m.SetWebRtcRemote)[-1].ufrag != works.ufrag
    assert office.stations.take(m.RestartFailed(session.id, PortFailure.NO_ROUTE))
    await office.offer_again(session)
    assert office.media.all(m.SetWebRtcRemote)[-1].ufrag == works.ufrag


async def test_an_older_session_that_waits_is_replaced(office: Office) -> None:
    older = await office.open()
    office.connect(older)
    office.fail(older, PortFailure.CONSENT_LOST)
    newer = await office.open()
    assert office.stations.of(AGENT) is older
    office.connect(newer)
    assert office.stations.of(AGENT) is newer
    assert office.stations.find(AGENT, older.id) is None
    assert not any(isinstance(event, DeviceUnregistered) for event in office.told)


async def test_a_lost_media_process_ends_all_and_closes_nothing(office: Office) -> None:
    session = await office.open()
    office.connect(session)
    office.stations.lose({session.id, "another"}, "gone")
    assert office.media.all(m.ClosePort) == []
    assert office.stations.of(AGENT) is None
    assert office.told[-1] == DeviceUnregistered(
        AGENT, Cause.MEDIA_LOST, server=BROWSER, text="gone"
    )
    office.media.asked.clear()
