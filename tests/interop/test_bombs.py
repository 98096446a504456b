"""S24: bodies and messages of 100 MB, plain and packed, by HTTP and WebSocket, while baresip talks.

Each is refused by its own status or close code; no process grows for it, and nobody hears it.
"""

from __future__ import annotations

import asyncio
import select
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from endpoint.gateways.native import directorymessages as directory

from .peers.baresip import Baresip
from .peers.sound import longest_gap_ms
from .serving import Serving, children_of
from .test_kamailio_outage import GAP_MS

pytestmark = pytest.mark.interop

AGENT, DEVICE, CUSTOMER, AGENT_HZ = "1001", "6001", "10086", 1400
BOMB = 100_000_000
PIECE = 65_536
GROWS_BY_AT_MOST = 20_000_000
AT_ONCE = 4
PATIENCE_S = 60.0


def nothing_but_zeros() -> Iterator[bytes]:
    """100 MB."""
    for _ in range(BOMB // PIECE + 1):
        yield bytes(PIECE)


def in_chunks() -> Iterator[bytes]:
    """The same, of a length that is not told before (RFC 9112 §7.1)."""
    for piece in nothing_but_zeros():
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


@cache
def packed(window_bits: int) -> bytes:
    """The same in 100 KB: gzip by 31, raw deflate by -15."""
    packer = zlib.compressobj(9, wbits=window_bits)
    return b"".join(map(packer.compress, nothing_but_zeros())) + packer.flush()


def frame(first: int, length: int) -> bytes:
    """The head of a client's frame, masked with zeros (RFC 6455 §5.2)."""
    return bytes([first, 0xFF]) + length.to_bytes(8, "big") + bytes(4)


def in_one_frame() -> Iterator[bytes]:
    yield frame(0x82, BOMB)
    yield from nothing_but_zeros()


def in_fragments() -> Iterator[bytes]:
    """None of them is long."""
    yield frame(0x02, 1000) + bytes(1000)
    for _ in range(BOMB // 1000):
        yield frame(0x00, 1000) + bytes(1000)


def deflated() -> Iterator[bytes]:
    """As one that has agreed on permessage-deflate (RFC 7692 §7.2.1)."""
    message = packed(-15)
    yield frame(0xC2, len(message)) + message


@dataclass(frozen=True)
class Endpoint:
    """Where it is, and what it wants to see."""

    port: int
    token: str

    def says(self, head: str, pieces: Iterator[bytes], is_whole: Callable[[bytes], bool]) -> bytes:
        """All that it answers, until that is whole or it has closed."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode())
            pending = next(pieces)
            while not is_whole(answer):
                writing = [connection] if pending else []
                readable, writable, _ = select.select([connection], writing, [], PATIENCE_S)
                if not readable and not writable:
                    raise AssertionError(f"no answer, after {answer!r}")
                if readable:  # first: who is reset by its answer still reads that
                    with suppress(ConnectionError):
                        if said := connection.recv(PIECE):
                            answer += said
                            continue
                    return answer
                try:
                    pending = pending[connection.send(pending) :] or next(pieces, b"")
                except ConnectionError:
                    pending = b""
        return answer

    def status(
        self,
        path: str,
        pieces: Iterator[bytes],
        *headers: str,
        token: str = "",
        method: str = "POST",
    ) -> int:
        """Of the answer to a request."""
        told = "".join(f"{header}\n" for header in headers)
        head = (
            f"{method} /api/v1{path} HTTP/1.1\nHost: localhost\nContent-Type: application/json\n"
            f"Authorization: Bearer {token or self.token}\n{told}\n"
        )
        answer = self.says(head, pieces, lambda said: b"\r\n" in said)
        return int(answer.split()[1])

    def close_code(self, path: str, subprotocol: str, pieces: Iterator[bytes]) -> int:
        """By which a WebSocket is closed."""
        head = (
            f"GET {path} HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\n"
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
            f"Sec-WebSocket-Protocol: {subprotocol}\n"
            "Sec-WebSocket-Extensions: permessage-deflate\n"
            f"Authorization: Bearer {self.token}\n\n"
        )
        answer = self.says(head, pieces, lambda said: closed_by(said) is not None)
        assert b"permessage-deflate" not in answer
        code = closed_by(answer)
        assert code is not None
        return code


def closed_by(answer: bytes) -> int | None:
    """The code of a close frame that is in it, behind the head and other frames."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert not head or head.startswith(b"HTTP/1.1 101")
    while len(rest) >= 4:
        length, at = rest[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(rest[2 : 2 + size], "big"), 2 + size
        if rest[0] & 0x0F == 8:
            return int.from_bytes(rest[at : at + 2], "big")
        rest = rest[at + length :]
    return None


LONG = f"Content-Length: {BOMB}"
CHUNKED = "Transfer-Encoding: chunked"
EVENTS, AGENT_EVENTS = "/api/v1/events", f"/api/v1/agents/{AGENT}/events"
NATIVE = "agent-endpoint.v1"


def attacks(endpoint: Endpoint) -> list[tuple[str, Callable[[], int], int]]:
    """Name, what is done, and what is to be answered."""
    gzipped = packed(31)
    zipped = (f"Content-Length: {len(gzipped)}", "Content-Encoding: gzip")
    post, close = endpoint.status, endpoint.close_code
    return [
        ("long", lambda: post("/calls", nothing_but_zeros(), LONG), 413),
        ("chunks", lambda: post("/calls", in_chunks(), CHUNKED), 413),
        ("import", lambda: post("/directory/import", nothing_but_zeros(), LONG), 413),
        ("import in chunks", lambda: post("/directory/import", in_chunks(), CHUNKED), 413),
        ("plan in chunks", lambda: post("/plan/rules", in_chunks(), CHUNKED, method="PUT"), 413),
        ("stranger", lambda: post("/calls", nothing_but_zeros(), LONG, token="wrong"), 401),
        ("gzip", lambda: post("/calls", iter([gzipped]), *zipped), 415),
        ("gzip import", lambda: post("/directory/import", iter([gzipped]), *zipped), 415),
        ("one frame", lambda: close(EVENTS, NATIVE, in_one_frame()), 1009),
        ("fragments", lambda: close(EVENTS, NATIVE, in_fragments()), 1009),
        ("deflated", lambda: close(EVENTS, NATIVE, deflated()), 1002),
        ("agent: one frame", lambda: close(AGENT_EVENTS, NATIVE, in_one_frame()), 1009),
        ("agent: deflated", lambda: close(AGENT_EVENTS, NATIVE, deflated()), 1002),
        ("sip: one frame", lambda: close("/sip", "sip", in_one_frame()), 1009),
        ("sip: fragments", lambda: close("/sip", "sip", in_fragments()), 1009),
        ("sip: deflated", lambda: close("/sip", "sip", deflated()), 1002),
    ]


def most_held(pid: int) -> int:
    """What a process had in memory at most since `forget`."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [each for each in status.splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def forget(pid: int) -> None:
    """Let `most_held` begin with what it has now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def test_s24_what_is_too_long_or_packed_is_refused_and_costs_no_memory_and_no_audio(
    tmp_path: Path,
) -> None:
    async with (
        Serving(
            tmp_path / "endpoint", extensions=[CUSTOMER], stations={DEVICE: AGENT_HZ}
        ) as serving,
        Baresip(tmp_path / "phone", CUSTOMER, serving.sip, password=serving.password) as customer,
    ):
        client = serving.client
        await client.bring_into_directory(
            directory.DirectoryImport(agents=[directory.Agent(AGENT)])
        )
        call = (await client.make_call(DEVICE, CUSTOMER)).call
        await customer.ringing()
        await customer.accept()
        await serving.in_state(CUSTOMER, "connected")
        await customer.listen()
        target = Endpoint(serving.plain_port, serving.state.stored_token() or "")
        cases = attacks(target)
        began = customer.recorded().size
        found: dict[str, set[int]] = {}
        growth: dict[str, int] = {}
        processes = [serving.process.pid, *children_of(serving.process.pid)]
        for name, attack, _ in cases:
            await asyncio.to_thread(attack)  # what it loads for the first time, it keeps
            before = {}
            for pid in processes:
                forget(pid)
                before[pid] = most_held(pid)
            answers = await asyncio.gather(*(asyncio.to_thread(attack) for _ in range(AT_ONCE)))
            found[name] = set(answers)
            growth[name] = max(most_held(pid) - before[pid] for pid in processes)
        assert found == {name: {expected} for name, _, expected in cases}
        assert {name: each for name, each in growth.items() if each > GROWS_BY_AT_MOST} == {}
        assert longest_gap_ms(customer.recorded()[began:], AGENT_HZ) <= GAP_MS
        assert [each.call for each in await client.calls()] == [call]
        await client.end(DEVICE, call)
        await customer.closed()
        assert (await serving.record(call)).ending.cause == "normal"
