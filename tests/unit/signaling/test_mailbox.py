"""The mailbox: in order, with an end, safe to be interrupted."""

from __future__ import annotations

import asyncio

import pytest

from signaling.mailbox import Mailbox

pytestmark = pytest.mark.unit


async def test_letters_come_in_order_and_reading_ends_after_close():
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.put(2)
    mailbox.close()
    mailbox.put(3)
    assert [letter async for letter in mailbox] == [1, 2]


async def test_a_reader_waits_for_the_next_letter():
    mailbox: Mailbox[str] = Mailbox()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(anext(aiter(mailbox)))
        mailbox.put("letter")
        assert await reading == "letter"


async def test_a_reader_that_was_interrupted_has_lost_nothing():
    mailbox: Mailbox[str] = Mailbox()
    reading = asyncio.gather(anext(mailbox))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    mailbox.put("letter")
    assert await anext(mailbox) == "letter"


async def test_past_its_limit_the_oldest_goes():
    mailbox: Mailbox[int] = Mailbox(2)
    for letter in range(4):
        mailbox.put(letter)
    mailbox.close()
    assert [letter async for letter in mailbox] == [2, 3]
