"""rtpengine in user space, our measure, driven by its ng protocol."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import socket
from types import TracebackType
from typing import Self

from tests.bench.rtpload import require

Bencoded = str | bytes | int | list["Bencoded"] | dict[str, "Bencoded"]


def bencode(value: Bencoded) -> bytes:
    """Serialise for the ng protocol."""
    match value:
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:%s" % (len(value), value)
        case int():
            return b"i%de" % value
        case list():
            return b"l" + b"".join(bencode(item) for item in value) + b"e"
        case dict():
            pairs = sorted(value.items())
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in pairs) + b"e"


def _describe(port: int) -> str:
    return (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
    )


class RtpEngine:
    """An rtpengine of our own on loopback, on one core: `async with RtpEngine(cpu) as engine`."""

    def __init__(self, cpu: int) -> None:
        self._cpu = cpu
        self._program = require("rtpengine", "rtpengine-daemon")
        self._calls = itertools.count()
        self._cookies = itertools.count()

    async def __aenter__(self) -> Self:
        self._control = socket.socket(type=socket.SOCK_DGRAM)
        self._control.bind(("127.0.0.1", 0))
        self._control.setblocking(False)
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._control.connect(("127.0.0.1", port))
        self._process = await asyncio.create_subprocess_exec(
            self._program,
            "--interface=127.0.0.1",
            f"--listen-ng=127.0.0.1:{port}",
            "--table=-1",
            "--foreground",
            "--config-file=none",
            "--log-level=2",
            "--log-stderr",
            "--num-threads=2",
            "--port-min=34000",
            "--port-max=37999",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, {self._cpu}),
        )
        try:
            await self._until_up()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._control.close()
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def bridge(self, caller_port: int, callee_port: int) -> tuple[int, int]:
        """Connect two far ends. Returns the ports that the caller and the callee send to."""
        call = f"bench-{next(self._calls)}"
        common: dict[str, Bencoded] = {"call-id": call, "from-tag": "a", "ICE": "remove"}
        offered = await self._ask(common | {"command": "offer", "sdp": _describe(caller_port)})
        answered = await self._ask(
            common | {"command": "answer", "to-tag": "b", "sdp": _describe(callee_port)}
        )
        return _audio_port(answered), _audio_port(offered)

    async def _until_up(self) -> None:
        async with asyncio.timeout(10):
            while True:
                try:
                    await self._ask({"command": "ping"}, timeout_s=0.2)
                except (OSError, TimeoutError):
                    await asyncio.sleep(0.1)
                else:
                    return

    async def _ask(self, question: dict[str, Bencoded], timeout_s: float = 5.0) -> str:
        loop = asyncio.get_running_loop()
        cookie = b"%d " % next(self._cookies)
        async with asyncio.timeout(timeout_s):
            await loop.sock_sendall(self._control, cookie + bencode(question))
            while not (answer := await loop.sock_recv(self._control, 65536)).startswith(cookie):
                pass
        return answer.decode(errors="replace")


def _audio_port(answer: str) -> int:
    found = re.search(r"m=audio (\d+)", answer)
    if found is None:
        raise ValueError(f"rtpengine refused: {answer}")
    return int(found[1])
