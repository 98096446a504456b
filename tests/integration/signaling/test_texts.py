"""Texts between users of the server, over real sockets (RFC 3428)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from signaling.sip.message import Request
from signaling.textmessages import LONGEST_OCTETS, TextMessage
from tests.integration.signaling.raw import RawClient
from tests.integration.signaling.stage import USERS, Stage, within

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

PLAIN = "Content-Type: text/plain;charset=UTF-8"
TEXT = "Guten Tag, 你好"


@dataclass
class Pair:
    """6001's phone sends, two phones of 6002 receive."""

    stage: Stage
    sender: RawClient
    phones: list[RawClient]

    async def send(
        self,
        body: bytes = TEXT.encode(),
        *,
        content_type: str = PLAIN,
        to: str = "6002",
        user: str | None = None,
    ) -> int:
        answer = await self.sender.authorised(
            "MESSAGE",
            "6001",
            USERS["6001"],
            uri=f"sip:{to}@127.0.0.1",
            to=to,
            user=user,
            headers=(content_type,) if content_type else (),
            body=body,
        )
        return answer.status


@pytest.fixture
async def pair(stage: Stage) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RawClient(stage.udp_port)) for _ in range(3)]
        for phone in clients[1:]:
            await phone.authorised("REGISTER", "6002", USERS["6002"])
        yield Pair(stage, clients[0], clients[1:])


async def test_a_text_reaches_every_phone_of_its_recipient_and_is_told(pair: Pair) -> None:
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(pair.send())
        taken = [group.create_task(phone.asked("MESSAGE")) for phone in pair.phones]
    assert sent.result() == 200
    for task in taken:
        message: Request = task.result()
        assert message.body.decode() == TEXT
        assert message.content_type == "text/plain"
        assert str(message.from_.uri) == "sip:6001@127.0.0.1"
        assert message.headers.get("Contact") is None  # RFC 3428 §4
        assert message.headers.get("Authorization") is None
    told = await within(pair.stage.server.texts())
    assert told == TextMessage("6001", "6002", TEXT, 200)
    assert TEXT not in repr(told)


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [(200, 486, 200), (486, 200, 200), (486, 486, 486), (302, 401, 480), (600, 600, 600)],
)
async def test_one_phone_that_takes_it_is_enough(
    pair: Pair, first: int, second: int, status: int
) -> None:
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(pair.send())
        for phone, answer in zip(pair.phones, (first, second), strict=True):
            group.create_task(phone.asked("MESSAGE", answer))
    assert sent.result() == status


async def test_who_is_not_registered_gets_none_and_who_is_nobody_neither(pair: Pair) -> None:
    assert await pair.send(to="6001") == 480
    assert (await within(pair.stage.server.texts())).status == 480
    for nobody in ("6999", "%ff", "%00", "6002%ff"):
        assert await pair.send(to=nobody) == 404


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"<b>", "Content-Type: text/html", 415),
        (b"", "", 415),
        (b"x" * (LONGEST_OCTETS + 1), PLAIN, 413),
    ],
)
async def test_what_is_no_short_text_is_refused(
    pair: Pair, body: bytes, content_type: str, status: int
) -> None:
    assert await pair.send(body, content_type=content_type) == status
    for phone in pair.phones:
        assert await phone.is_answered()
        assert phone.recorder.messages.empty()


async def test_s1_without_digest_nothing_is_delivered(pair: Pair) -> None:
    """CVE-2021-37624."""
    request = pair.sender.request(
        "MESSAGE", uri="sip:6002@127.0.0.1", to="6002", headers=(PLAIN,), body=b"x"
    )
    assert (await pair.sender.ask(request)).status == 401
    assert await pair.send(user="6002") == 403
    for phone in pair.phones:
        assert await phone.is_answered()
        assert phone.recorder.messages.empty()


async def test_a_text_may_be_sent_from_here(pair: Pair) -> None:
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(
            pair.stage.server.send_text("6001", "6002", TEXT, domain="127.0.0.1")
        )
        taken = [group.create_task(phone.asked("MESSAGE")) for phone in pair.phones]
    assert sent.result() == 200
    assert all(task.result().body.decode() == TEXT for task in taken)
