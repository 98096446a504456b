from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from endpoint.media.readers import Readers

pytestmark = pytest.mark.unit


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair(type=socket.SOCK_DGRAM) for _ in range(3)]
    yield made
    for pair in made:
        for end in pair:
            end.close()


async def test_the_loop_calls_the_reader_of_what_can_be_read(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    readers = Readers()
    heard: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    for index, (near, _) in enumerate(pairs):
        readers.add(near, lambda i=index, s=near: heard.put_nowait((i, s.recv(100))))
    pairs[1][1].send(b"one")
    pairs[1][1].send(b"two")
    assert [await heard.get(), await heard.get()] == [(1, b"one"), (1, b"two")]
    for near, _ in pairs:
        readers.remove(near)
    readers.close()


async def test_who_asks_by_itself_is_not_forestalled_by_the_loop(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    readers = Readers()
    near, far = pairs[0]
    heard: list[bytes] = []
    readers.add(near, lambda: heard.append(near.recv(100)))
    readers.asked_by_loop(False)
    far.send(b"one")
    for _ in range(5):
        await asyncio.sleep(0)
    assert heard == []
    readers.read()
    assert heard == [b"one"]
    readers.remove(near)
    readers.close()


async def test_a_reader_that_breaks_or_closes_another_one_s_socket_keeps_nobody_from_reading(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    readers = Readers()
    readers.asked_by_loop(False)
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(str(context["exception"]))
    )
    heard: list[int] = []

    def breaks() -> None:
        pairs[0][0].recv(100)
        raise ZeroDivisionError("a mistake of ours")

    def closes(own: int, other: int) -> None:
        pairs[own][0].recv(100)
        heard.append(own)
        readers.remove(pairs[other][0])

    readers.add(pairs[0][0], breaks)
    readers.add(pairs[1][0], lambda: closes(1, 2))
    readers.add(pairs[2][0], lambda: closes(2, 1))
    for _, far in pairs:
        far.send(b"x")
    readers.read()
    readers.read()
    assert told == ["a mistake of ours"]
    assert len(heard) == 1, "the other one's was taken off before it was called"
    for near, _ in pairs:
        readers.remove(near)
    readers.close()
