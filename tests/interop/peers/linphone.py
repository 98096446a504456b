"""linphonec 5.1: a SIP phone with several calls at once, and attended transfer by Replaces."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import numpy as np

from .process import Process, free_port, require
from .sound import RATE_HZ, Samples, tones_in, write_tone

_WAV_HEADER = 44
_SETTLE_MS = 200
"""What its jitter buffer may still hold from before; not judged."""

CONFIG = """\
[sip]
sip_port={sip_port}
sip_tcp_port=0
{security}
guess_hostname=0
inc_timeout=60
bind_address=127.0.0.1
{settings}

[rtp]
audio_rtp_port={rtp_port}
audio_rtp_port_is_random=0

[sound]
echocancellation=0

[audio_codec_0]
mime=PCMU
rate=8000
channels=1
enabled=1

[audio_codec_1]
mime=opus
rate=48000
channels=2
enabled=0

[audio_codec_2]
mime=speex
rate=16000
channels=1
enabled=0

[audio_codec_3]
mime=speex
rate=8000
channels=1
enabled=0

[video]
capture=0
display=0
automatically_initiate=0
automatically_accept=0
"""

CLEAR = "sip_tls_port=0"
SECURITY = """\
sip_tls_port={tls_port}
root_ca={ca_file}
verify_server_certs=1
verify_server_cn=1
media_encryption=srtp
media_encryption_mandatory=1
"""


class Linphone:
    """`async with Linphone(...) as phone`: registered, ready to dial and to be called.

    Args:
        directory: where its configuration, log and recordings go; made if missing.
        user: user part of its address.
        registrar: `host:port` of the server; with `ca_file` by name, as its certificate has it.
        password: for the server's digest.
        tone_hz: what it says.
        ca_file: speak SIP over TLS and audio over SRTP, and trust who is signed by this.
        settings: more of the section `[sip]` of its configuration.
    """

    def __init__(
        self,
        directory: Path,
        user: str,
        registrar: str,
        *,
        password: str,
        tone_hz: int = 1010,
        ca_file: Path | None = None,
        settings: Mapping[str, int] | None = None,
    ) -> None:
        self.user = user
        self.tone_hz = tone_hz
        self._server = registrar if ca_file is None else f"{registrar};transport=tls"
        self._identity = f"sip:{user}@{registrar}"
        self._security = CLEAR
        if ca_file is not None:
            port = free_port()
            self._security = SECURITY.format(tls_port=port, ca_file=ca_file)
        self._password = password
        self._directory = directory
        self._settings = settings or {}
        self._recording_file = directory / "hears.wav"
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("linphonec", "linphone-cli")
        # Without a place for its database it starts, and does nothing.
        (self._directory / ".local/share/linphone").mkdir(parents=True, exist_ok=True)
        wav = write_tone(self._directory / "says.wav", self.tone_hz)
        configuration = self._directory / "linphonerc"
        lines = "\n".join(f"{name}={value}" for name, value in self._settings.items())
        configuration.write_text(
            CONFIG.format(
                sip_port=free_port(), rtp_port=free_port(), security=self._security, settings=lines
            )
        )
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(
                    # Line by line, though nobody sits before it.
                    ["stdbuf", "-oL", program, "-c", configuration],
                    directory=self._directory,
                    name=f"linphone-{self.user}",
                    environment={"HOME": str(self._directory)},
                )
            )
            self.command("soundcard use files")
            self.command(f"play {wav}")
            self.command(f"record {self._recording_file}")
            self.command(f"register {self._identity} sip:{self._server} {self._password}")
            await self._registered()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.command("quit")
        await self._stack.aclose()

    def command(self, text: str) -> None:
        """Give one of its console's commands; `help` lists them."""
        self.process.write(text)

    async def line(self, pattern: str, *, timeout_s: float = 15.0) -> str:
        """Wait for its next line that has the pattern in it."""
        wanted = re.compile(pattern)
        return await self.process.lines.next(
            lambda line: wanted.search(line) is not None, pattern, timeout_s=timeout_s
        )

    async def _registered(self) -> None:
        """It says so only when asked."""
        while True:
            self.command("status register")
            if "registered," in await self.line(r"registered[,=]"):
                return
            await asyncio.sleep(0.1)

    # -- calls, that it counts from 1 ---------------------------------------------------------

    async def dial(self, target: str, call: int = 1) -> None:
        """Call a user of its server, and wait for the answer; others must be paused."""
        await self.call(target)
        await self.connected(call)

    async def call(self, target: str) -> None:
        """Call a user of its server."""
        self.command(f"call sip:{target}@{self._server}")
        await self.line("assigned id")

    async def connected(self, call: int) -> None:
        """Wait until a call of its own is answered."""
        await self.line(rf"Call {call} with .* connected")

    async def hold(self, call: int = 1) -> None:
        """Pause a call."""
        self.command(f"pause {call}")
        await self.line(rf"Call {call} with .* is now paused")

    async def ringing(self) -> None:
        """Wait until a call comes in."""
        await self.line("Receiving new incoming call")

    async def answer(self) -> None:
        """Wait for a call, and answer it."""
        await self.ringing()
        self.command("answer")

    async def hang_up(self) -> None:
        """End the current call: BYE, or 603 while it rings."""
        self.command("terminate")

    async def ended(self, call: int) -> None:
        """Wait until a call is over."""
        await self.line(rf"Call {call} with .* ended")

    def transfer(self, call: int, target: str) -> None:
        """Send a call elsewhere (REFER)."""
        self.command(f"transfer {call} sip:{target}@{self._server}")

    def transfer_to_call(self, call: int, other: int) -> None:
        """Bring the far ends of two calls together (REFER with Replaces)."""
        self.command(f"transfer {call} --to-call {other}")

    # -- what it hears -----------------------------------------------------------------------------

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms` that it receives and decodes; no packets, no tones."""
        loop = asyncio.get_running_loop()
        first = self._recording().size + _SETTLE_MS * RATE_HZ // 1000
        last = first + ms * RATE_HZ // 1000
        deadline = loop.time() + (_SETTLE_MS + 2 * ms) / 1000 + 0.2
        while True:  # a file says nothing when it grows
            samples = self._recording()
            if samples.size >= last or loop.time() >= deadline:
                return tones_in(samples[first:last])
            await asyncio.sleep(0.02)

    def _recording(self) -> Samples:
        if not self._recording_file.exists():
            return np.zeros(0, "<i2")
        octets = self._recording_file.read_bytes()[_WAV_HEADER:]
        return np.frombuffer(octets[: len(octets) & ~1], "<i2")
