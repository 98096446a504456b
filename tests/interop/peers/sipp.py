"""SIPp: plays one of the scenarios of tests/interop/sipp, and echoes RTP."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from .feed import PeerError
from .process import Process, free_port, free_rtp_port, require
from .sound import Samples, tone, ulaw_encode

SCENARIOS = Path(__file__).parents[1] / "sipp"
GLOBAL_TIMEOUT_S = 60


class Sipp:
    """`async with Sipp(...) as peer`: one call, or one registration, by a scenario.

    Args:
        directory: for its log, messages and screen.
        scenario: file name without `.xml` in tests/interop/sipp.
        server: `host:port` it sends to (a uas sends nothing by itself, but needs it for its URIs);
            `[::1]:port` has it speak IPv6.
        user: who it is.
        password: for the server's digest.
        target: whom it calls.
        sip_port: local port; a free one where None. Register and answer on the same port.
        talk_ms: how long a call lasts whose far end does not hang up.
        status: of a refusal, as `486`.
        contact: where it sends its callers, as `<sip:7003@elsewhere>`.
        tcp: it speaks SIP over TCP, by one connection.
        tone_hz: what it says where a scenario streams a tone; else it echoes.
        says: that in place of a tone.
        echoes: False sends no audio back; else what it plays has another SSRC between its packets.
        retransmits: False plays exactly the messages of the scenario, and takes repeats for new.
        headers: more lines of an INVITE, after its Allow.
    """

    def __init__(
        self,
        directory: Path,
        scenario: str,
        server: str,
        *,
        user: str,
        password: str = "",
        target: str = "nobody",
        sip_port: int | None = None,
        talk_ms: int = 30_000,
        status: int = 486,
        contact: str = "",
        tcp: bool = False,
        tone_hz: int | None = None,
        says: Samples | None = None,
        echoes: bool = True,
        retransmits: bool = True,
        headers: tuple[str, ...] = (),
    ) -> None:
        self.scenario = scenario
        self._kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        self.sip_port = sip_port or free_port()
        self.rtp_port = free_rtp_port()
        """Where it echoes, or from where it streams."""
        self._messages = directory / f"sipp-{user}-{scenario}-messages.log"
        self._directory = directory
        self._server = server
        self._says = tone(tone_hz, 10.0) if tone_hz is not None else says
        self._echoes = echoes
        self._retransmits = retransmits
        self._values: dict[str, object] = {
            "talk_ms": talk_ms,
            "status": status,
            "contact": contact,
        }
        self._keys = {"target": target}
        self._headers = headers
        self._user, self._password = user, password
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("sipp", "sip-tester")
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._says is not None:
            tone_file = self._directory / f"{self._user}-says.pcmu"
            tone_file.write_bytes(ulaw_encode(self._says))
            self._values["tone_file"] = tone_file
        text = (SCENARIOS / f"{self.scenario}.xml").read_text()
        # SIPp takes keywords in messages only, not in attributes.
        for name, value in self._values.items():
            text = text.replace(f"[{name}]", str(value))
        allow = "Allow: INVITE, ACK, CANCEL, BYE, INFO, OPTIONS\n"
        text = text.replace(allow, allow + "".join(f"{line}\n" for line in self._headers))
        scenario = self._directory / f"{self.scenario}.xml"
        scenario.write_text(text)
        stem = self._directory / f"sipp-{self._user}-{self.scenario}"
        arguments: list[str | Path] = [program, self._server, "-sf", scenario]
        host = "::1" if self._server.startswith("[") else "127.0.0.1"
        arguments += ["-i", host, "-mi", host, "-p", str(self.sip_port), "-s", self._user]
        arguments += ["-t", "t1" if self._kind is socket.SOCK_STREAM else "u1"]
        arguments += ["-au", self._user, "-ap", self._password]
        if self.scenario.startswith("uac"):
            # Its digest's uri would be the server's alone; RFC 7616 §3.4 wants the Request-URI.
            arguments += ["-auth_uri", f"{self._keys['target']}@{self._server}"]
        for name, key in self._keys.items():
            arguments += ["-key", name, key]
        arguments += ["-m", "1", "-l", "1", "-nostdin", "-skip_rlimit"]
        arguments += ["-timeout", str(GLOBAL_TIMEOUT_S), "-timeout_error"]
        if not self._retransmits:
            arguments += ["-nr"]
        arguments += ["-mp", str(self.rtp_port), "-cp", str(free_port())]
        if self._says is None and self._echoes:
            arguments += ["-rtp_echo"]
        arguments += ["-trace_msg", "-message_file", f"{stem}-messages.log"]
        arguments += ["-trace_err", "-error_file", f"{stem}-errors.log"]
        self.process = Process(arguments, directory=self._directory, name=stem.name)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.process)
            if self.scenario.startswith("uas"):
                await self.process.listening(self.sip_port, self._kind)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def messages(self) -> str:
        """Every SIP message that it sent and received."""
        return self._messages.read_text(errors="replace").replace("\r", "")

    async def finished(self, *, timeout_s: float = GLOBAL_TIMEOUT_S) -> None:
        """Wait until the scenario ran to its end as written.

        Raises:
            PeerError: it did not; the text says what SIPp met instead.
        """
        code = await self.process.wait(timeout_s=timeout_s)
        if code != 0:
            errors = self._directory / f"sipp-{self._user}-{self.scenario}-errors.log"
            text = errors.read_text(errors="replace") if errors.exists() else ""
            raise PeerError(f"SIPp {self.scenario} ended with {code}\n{text[-3000:]}")

    def received(self) -> list[str]:
        """What it received, in order."""
        parts = self.messages().split("message received")
        return [part.partition(":")[2].strip() for part in parts[1:]]


async def register(directory: Path, server: str, *, user: str, password: str) -> int:
    """Register a user with a digest; return the port that its calls will come to."""
    async with Sipp(directory, "register", server, user=user, password=password) as sipp:
        await sipp.finished()
    return sipp.sip_port
