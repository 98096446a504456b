"""A page becomes a device's telephone by HTTPS: offers, candidates, limits, events."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable
from typing import Literal

import pytest

from endpoint.app.enrolment import add_extension
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import audiomessages as wire
from endpoint.legs.base import DeviceId
from endpoint.storage.extensions import Extension
from tests.integration.endpoint.legs.page import Page, page

from .conftest import PASSWORD, Desk
from .test_rest import snapshot, until

pytestmark = pytest.mark.integration

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
NO_MEDIA = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
ORIGIN = "https://localhost"


@pytest.fixture
async def agent(desk: Desk) -> AsyncIterator[Page]:
    """The page of 6001, an extension."""
    realm = desk.endpoint.config.sip.realm
    await add_extension(desk.endpoint.extensions, realm, Extension("6001"), PASSWORD)
    async with page("6001") as opened:
        yield opened


async def begin(desk: Desk, agent: Page) -> wire.Media:
    media = await desk.client.open_media("6001", agent.offer().decode())
    await agent.take_answer(media.sdp.encode())
    return media


async def test_a_page_becomes_a_telephone_is_called_calls_and_leaves(
    desk: Desk, agent: Page
) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        media = await begin(desk, agent)
        told = await until(frames, "DeviceRegistered")
        assert told.registration is not None
        assert (told.registration.server, told.registration.contact) == ("browser", media.media)
        assert told.devices[0].reachable

        call = (await desk.client.make_call("6002", "6001")).call
        await until(frames, "Delivered")
        await desk.client.answer("6001", call)
        assert (await until(frames, "Established")).fields["device"] == "6001"
        confirmed = await until(frames, "MediaConfirmed")
        assert confirmed.fields["device"] == "6001"
        await desk.client.hold("6001", call)
        await until(frames, "Held")
        await desk.client.retrieve("6001", call)
        await until(frames, "Retrieved")
        quality = await desk.client.quality(call)
        (ours,) = [party for party in quality.parties if party.device == "6001"]
        assert ours.codec == "PCMU"
        assert ours.protection.startswith("DTLS-SRTP (AES-")
        await desk.client.clear("6001", call)
        await until(frames, "CallCleared")

        call = (await desk.client.make_call("6001", "6002")).call
        await until(frames, "Established")
        await desk.client.close_media("6001", media.media)
        cleared = await until(frames, "CallCleared")
        assert (cleared.fields["call"], cleared.fields["cause"]) == (call, "normal")
    told_last = {one.device: one for one in await desk.client.registrations()}["6001"]
    assert (told_last.registered, told_last.server, told_last.cause) == (False, "browser", "normal")


async def test_the_conventions_of_whip(desk: Desk, agent: Page) -> None:
    sdp = {**desk.bearer, "Content-Type": SDP}
    address = f"{desk.url}/devices/6001/media"
    async with desk.http.post(address, data=agent.offer(), headers=sdp) as answer:
        assert (answer.status, answer.content_type) == (201, SDP)
        location, etag = answer.headers["Location"], answer.headers["ETag"]
        assert re.fullmatch(r"/api/v1/devices/6001/media/browser\.[0-9a-f]{16}", location)
        await agent.take_answer(await answer.read())
    session = desk.url.removesuffix("/api/v1") + location

    await agent.audio.restart()
    stale = {**sdp, "If-Match": '"another"'}
    offer = agent.offer()
    async with desk.http.put(session, data=offer, headers=stale) as answer:
        assert answer.status == 412
    async with desk.http.put(session, data=offer, headers={**sdp, "If-Match": etag}) as answer:
        assert (answer.status, answer.content_type) == (200, SDP)
        renewed = answer.headers["ETag"]
        assert renewed != etag
        await agent.take_answer(await answer.read())

    told = agent.described.media[0]
    ufrag, pwd = told.attribute("ice-ufrag"), told.attribute("ice-pwd")
    fragment = (
        f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:7 1 udp 2130706431 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n"
    ).encode()
    trickle = {**desk.bearer, "Content-Type": FRAGMENT}
    for headers, body, status in (
        ({**trickle, "If-Match": renewed}, fragment, 204),
        ({**trickle, "If-Match": "*"}, fragment, 204),
        ({**trickle, "If-Match": etag}, fragment, 412),
        (trickle, fragment, 428),
        ({**trickle, "If-Match": renewed}, b"nonsense", 400),
        ({**trickle, "If-Match": "*"}, fragment.replace(f"{ufrag}".encode(), b"other"), 400),
        ({**sdp, "If-Match": renewed}, fragment, 415),
    ):
        async with desk.http.patch(session, data=body, headers=headers) as answer:
            assert answer.status == status, await answer.text()

    for status in (204, 404):
        async with desk.http.delete(session, headers=desk.bearer) as answer:
            assert answer.status == status


@pytest.mark.parametrize(
    ("body", "status", "word", "field"),
    [
        ({"sdp": "nonsense"}, 400, "bad_sdp", "$.sdp"),
        ({"sdp": ""}, 400, "bad_field", "$.sdp"),
        ({"sdp": "x" * 60_001}, 400, "bad_field", "$.sdp"),
        ({"offer": "v=0"}, 400, "bad_field", "$"),
        (b"nonsense", 400, "bad_sdp", "body"),
        (NO_MEDIA, 422, "incompatible_media", ""),
        (NO_MEDIA + b"m=audio 9 RTP/AVP 0\r\n", 422, "incompatible_media", ""),
        (b"x" * 70_000, 413, "too_large", ""),
    ],
)
async def test_a_bad_offer_is_refused_and_says_where(
    desk: Desk, agent: Page, body: dict[str, str] | bytes, status: int, word: str, field: str
) -> None:
    address = f"{desk.url}/devices/6001/media"
    asked = (
        desk.http.post(address, json=body, headers=desk.bearer)
        if isinstance(body, dict)
        else desk.http.post(address, data=body, headers={**desk.bearer, "Content-Type": SDP})
    )
    async with asked as answer:
        refused = await answer.json()
    assert (answer.status, refused["error"], refused.get("field", "")) == (status, word, field)
    assert refused["text"]
    assert await desk.client.registrations() == []


async def test_who_may_not_is_told_why(desk: Desk, agent: Page) -> None:
    offer = agent.offer().decode()
    with pytest.raises(RequestRefused) as refused:
        await desk.client.open_media("6999", offer)
    assert (refused.value.status, refused.value.reason) == (404, "unknown_device")
    media = await begin(desk, agent)
    for asked in (
        desk.client.renew_media("6002", media.media, offer),
        desk.client.close_media("6002", media.media),
        desk.client.add_candidates("6002", media.media, media.etag, b""),
    ):
        with pytest.raises(RequestRefused) as refused:
            await asked
        assert (refused.value.status, refused.value.reason) == (404, "unknown_media")
    async with desk.http.post(f"{desk.url}/devices/6001/media", data=b"") as answer:
        assert answer.status == 401
    desk.endpoint.controller.refuse_new_calls()
    with pytest.raises(RequestRefused) as refused:
        await desk.client.open_media("6001", offer)
    assert (refused.value.status, refused.value.reason) == (503, "shutting_down")


async def test_what_waited_for_a_session_that_ended_meanwhile_is_told_so(
    desk: Desk, agent: Page
) -> None:
    media = await begin(desk, agent)
    session = desk.endpoint.exchange.browsers.find(DeviceId("6001"), media.media)
    assert session is not None
    session.changing = queue = Queue()
    told = agent.described.media[0]
    ufrag, pwd = told.attribute("ice-ufrag"), told.attribute("ice-pwd")
    fragment = f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    async with asyncio.TaskGroup() as tasks, queue:
        waiting = [
            tasks.create_task(_refusal_of(asked))
            for asked in (
                desk.client.renew_media("6001", media.media, agent.offer().decode()),
                desk.client.add_candidates("6001", media.media, media.etag, fragment.encode()),
            )
        ]
        await queue.came.acquire()
        await queue.came.acquire()
        await desk.client.close_media("6001", media.media)
    assert [task.result() for task in waiting] == [(404, "unknown_media")] * 2


class Queue(asyncio.Lock):
    """Tells of all who come but the first."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Semaphore(0)

    async def acquire(self) -> Literal[True]:
        if self.locked():
            self.came.release()
        return await super().acquire()


async def _refusal_of(asked: Awaitable[object]) -> tuple[int, str]:
    with pytest.raises(RequestRefused) as refused:
        await asked
    return refused.value.status, refused.value.reason


async def test_another_page_takes_over_and_the_older_is_told(desk: Desk, agent: Page) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        older = await begin(desk, agent)
        await until(frames, "DeviceRegistered")
        async with page("6001") as newer:
            taken = await begin(desk, newer)
            told = await until(frames, "DeviceRegistered")
            assert told.registration is not None
            assert told.registration.contact == taken.media != older.media
            with pytest.raises(RequestRefused) as refused:
                await desk.client.renew_media("6001", older.media, agent.offer().decode())
            assert (refused.value.status, refused.value.reason) == (410, "replaced")


async def test_a_page_of_an_admitted_origin_may_use_it(desk: Desk) -> None:
    origin = f"{ORIGIN}:{desk.endpoint.http.port}"
    async with desk.http.options(
        f"{desk.url}/devices/6001/media", headers={"Origin": origin}
    ) as answer:
        assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
        assert "If-Match" in answer.headers["Access-Control-Allow-Headers"]
        assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    async with desk.http.get(desk.endpoint.url) as answer:
        assert "microphone=(self)" in answer.headers["Permissions-Policy"]


async def test_a_lost_media_process_ends_the_session(desk: Desk, agent: Page) -> None:
    async with desk.client.events() as frames:
        await snapshot(frames)
        await begin(desk, agent)
        await until(frames, "DeviceRegistered")
        assert desk.endpoint.media_workers[0].pid is not None
        os.kill(desk.endpoint.media_workers[0].pid, signal.SIGKILL)
        gone = await until(frames, "DeviceUnregistered")
        assert gone.fields["cause"] == "media_lost"
