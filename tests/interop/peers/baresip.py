"""baresip 1.0.0: a SIP phone that plays a tone and writes down what it hears."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np

from .feed import Feed, PeerError
from .process import Process, free_port, require
from .sound import RATE_HZ, Samples, tones_in, write_tone

Event = dict[str, Any]

MODULES = "/usr/lib/baresip/modules"
_REGISTER_ANSWER = re.compile(r"\{\d+/(UDP|TCP|TLS)/v4\} \d{3} |reg: \S+: ")
_WAV_HEADER = 44
_LIFE_S = 150
"""Longer than any test may take."""
_SETTLE_MS = 160
"""What a jitter buffer may still hold from before; not judged."""

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:{sip_port}
net_interface 127.0.0.1
call_max_calls 8
call_local_timeout 60
audio_source aufile,{tone}
audio_player aubridge,ear
audio_alert aubridge,bell
audio_buffer 20-160
ringback_disabled yes
rtp_ports 14000-19998
jitter_buffer_delay 1-4
rtcp_mux no
module_path {modules}
module g711.so
module aubridge.so
module aufile.so
module srtp.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {directory}
{certificates}
"""


class Baresip:
    """`async with Baresip(...) as phone`: registered if asked to, ready to dial and to be called.

    Args:
        directory: where its configuration, log and recordings go; made if missing.
        user: user part of its address.
        registrar: `host:port` of the server, also its outbound proxy.
        password: for the server's digest.
        tone_hz: what it says.
        register: register on entry, and wait until that is done.
        answer: `manual` or `auto`.
        codecs: SDP names in order.
        domain: host part of its address where it differs from the registrar's.
        account: more parameters of its account, as `;sipnat=outbound`.
        uuid: names it for ever, `+sip.instance`; by default it has no such name.
        says: a WAV file, in place of the tone.
        outbound: send all by the registrar; else straight to whom it dials.
        transport: `udp`, `tcp` or `tls`.
        ca_file: whose certificate the far end must show over TLS.
        certificate: PEM of key and certificate; then it listens for TLS on `tls_port`.
        srtp: audio by SRTP with keys in the SDP, and no other.
        modules: more of its applications, as `presence`.
        contacts: its contacts file; the first one is current.
    """

    def __init__(
        self,
        directory: Path,
        user: str,
        registrar: str,
        *,
        password: str = "",
        tone_hz: int = 590,
        register: bool = True,
        answer: str = "manual",
        codecs: str = "PCMU,PCMA",
        domain: str | None = None,
        account: str = "",
        uuid: str = "",
        says: Path | None = None,
        outbound: bool = True,
        transport: str = "udp",
        ca_file: Path | None = None,
        certificate: Path | None = None,
        srtp: bool = False,
        modules: tuple[str, ...] = (),
        contacts: str = "",
    ) -> None:
        self.user = user
        self.domain = domain or registrar
        self.tone_hz = tone_hz
        self.sip_port = free_port(2)  # the next one is for TLS
        self.events: Feed[Event] = Feed(f"baresip {user}")
        """Its events by `type`: REGISTER_OK, CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED…"""
        self._replies: Feed[Event] = Feed(f"baresip {user} replies")
        self._tokens = itertools.count(1)
        self._directory = directory
        self._control_port = free_port()
        self._register = register
        self._uuid = uuid
        proxy = f'"sip:{registrar};transport={transport}"'
        self._modules, self._contacts = modules, contacts
        self._account = (
            f"<sip:{user}@{self.domain}>"
            f";auth_user={user};auth_pass={password}"
            f"{f';outbound={proxy}' if outbound else ''}"
            f"{';mediaenc=srtp-mand' if srtp else ''}"
            f";regint={60 if register else 0}"
            f";answermode={answer};audio_codecs={codecs}{account}\n"
        )
        self._says = says
        self._certificates = "".join(
            f"{name} {path}\n"
            for name, path in (("sip_cafile", ca_file), ("sip_certificate", certificate))
            if path is not None
        )
        self._stack = AsyncExitStack()
        self._control: asyncio.Transport
        self.process: Process

    @property
    def tls_port(self) -> int:
        """Where it listens for TLS."""
        return self.sip_port + 1

    async def __aenter__(self) -> Self:
        program = require("baresip", "baresip-core")
        self._directory.mkdir(parents=True, exist_ok=True)
        wav = self._says or write_tone(self._directory / "says.wav", self.tone_hz)
        config = CONFIG.format(
            sip_port=self.sip_port,
            control_port=self._control_port,
            tone=wav,
            modules=MODULES,
            directory=self._directory,
            certificates=self._certificates,
        )
        config += "".join(f"module_app {module}.so\n" for module in self._modules)
        for name, text in {
            "config": config,
            "accounts": self._account,
            "contacts": self._contacts,
            "current_contact": self._contacts.partition("<")[2].partition(">")[0],
            "uuid": self._uuid,
        }.items():
            (self._directory / name).write_text(text)
        self._refuse_encoder_dumps()
        async with AsyncExitStack() as stack:
            self.process = await stack.enter_async_context(
                Process(
                    [program, "-f", self._directory, "-v", "-s"],
                    directory=self._directory,
                    name=f"baresip-{self.user}",
                    environment={"TZ": "UTC"},
                )
            )
            await self.process.lines.next(lambda line: "baresip is ready" in line, "readiness line")
            loop = asyncio.get_running_loop()
            self._control, _ = await loop.create_connection(
                lambda: _Control(self.events, self._replies), "127.0.0.1", self._control_port
            )
            stack.callback(self._control.close)
            if self._register:
                await self.registered()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # -- what it is told ---------------------------------------------------------------------------

    async def command(self, command: str, params: str | None = None) -> str:
        """Give one of its console's long commands; return what it prints.

        Raises:
            PeerError: baresip refused the command.
        """
        token = str(next(self._tokens))
        message: Event = {"command": command, "token": token}
        if params is not None:
            message["params"] = params
        text = json.dumps(message).encode()
        self._control.write(b"%d:%s," % (len(text), text))
        reply = await self._replies.next(lambda r: r.get("token") == token, f"reply to {command}")
        if not reply["ok"]:
            raise PeerError(f"baresip {self.user} refused {command}: {reply['data']}")
        return str(reply["data"])

    async def dial(self, target: str) -> None:
        """Call a SIP address, or a user of its own domain."""
        await self.command("dial", target if ":" in target else f"sip:{target}@{self.domain}")

    async def accept(self) -> None:
        """Answer the call that rings."""
        await self.command("accept")

    async def hold(self) -> None:
        """Offer sendonly (re-INVITE), and wait for the answer."""
        await self.command("hold")
        await self._answered()

    async def resume(self) -> None:
        """Offer sendrecv (re-INVITE), and wait for the answer."""
        await self.command("resume")
        await self._answered()

    async def hang_up(self) -> None:
        """End the current call: BYE, CANCEL or 486, as its state needs."""
        await self.command("hangup")

    async def transfer(self, target: str) -> None:
        """Send REFER for the current call (1.0.0 knows no Replaces)."""
        await self.command("transfer", target if ":" in target else f"sip:{target}@{self.domain}")

    async def send_digits(self, digits: str) -> None:
        """Send telephone-events (RFC 4733)."""
        await self.command("sndcode", digits)

    # -- what it tells -----------------------------------------------------------------------------

    async def event(self, kind: str, *, timeout_s: float = 15.0) -> Event:
        """Wait for its next event of this type."""
        return await self.events.next(
            lambda event: event["type"] == kind, kind, timeout_s=timeout_s
        )

    async def _answered(self) -> None:
        await self.events.next(
            lambda event: event["type"] == "CALL_REMOTE_SDP" and event.get("param") == "answer",
            "answer to its offer",
        )

    async def registered(self) -> None:
        """Wait until the registrar has said 200.

        Raises:
            PeerError: it said something else.
        """
        # From the log: the first answer may come before the control connection is up.
        line = await self.process.lines.next(
            lambda line: _REGISTER_ANSWER.search(line) is not None, "answer to REGISTER"
        )
        if "} 200 " not in line:
            raise PeerError(f"baresip {self.user} is not registered: {line}")

    async def ringing(self) -> Event:
        """Wait until a call comes in."""
        return await self.event("CALL_INCOMING")

    async def established(self) -> Event:
        """Wait until a call is answered, by either side."""
        return await self.event("CALL_ESTABLISHED")

    async def closed(self) -> Event:
        """Wait until a call is over; `param` says why."""
        return await self.event("CALL_CLOSED")

    async def digits(self, count: int) -> str:
        """Wait for so many digits from the far end and return them."""
        heard = [await self.event("CALL_DTMF_START") for _ in range(count)]
        return "".join(str(event["param"]) for event in heard)

    # -- what it hears -----------------------------------------------------------------------------

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones in the next `ms` that it receives and decodes; no packets, no tones."""
        return tones_in(await self.listen(ms=ms))

    async def listen(self, *, ms: int = 400) -> Samples:
        """Return the next `ms` of received, decoded audio; less where nothing more arrives."""
        from_ms = self._recorded_ms() + _SETTLE_MS
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (_SETTLE_MS + 2 * ms) / 1000 + 0.2
        start, stop = (at_ms * RATE_HZ // 1000 for at_ms in (from_ms, from_ms + ms))
        while True:  # a file says nothing when it grows
            samples = self._recording()
            if samples.size >= stop or loop.time() >= deadline:
                return samples[start:stop]
            await asyncio.sleep(0.02)

    def recorded(self) -> Samples:
        """All that it has received and decoded so far, in all calls."""
        return self._recording()

    def _refuse_encoder_dumps(self) -> None:
        # A hold empties its decoder's filters, and 1.0.0 fills them again only where its encoder
        # has none: with the recorder in both, nothing is recorded after the first hold. So the
        # encoder's recordings, named by the second, find a directory in their place.
        now = datetime.datetime.now(datetime.UTC)
        for second in range(_LIFE_S):
            at = now + datetime.timedelta(seconds=second)
            (self._directory / f"dump-{at:%Y-%m-%d-%H-%M-%S}-enc.wav").mkdir(exist_ok=True)

    def _recording(self) -> Samples:
        # A new file after each hold; the newest grows. A length is written at the end: not read.
        parts = [
            file.read_bytes()[_WAV_HEADER:]
            for file in sorted(self._directory.glob("dump-*-dec.wav"))
        ]
        return np.frombuffer(b"".join(part[: len(part) & ~1] for part in parts), "<i2")

    def _recorded_ms(self) -> int:
        return self._recording().size * 1000 // RATE_HZ


class _Control(asyncio.Protocol):
    """ctrl_tcp: netstrings that hold JSON objects, events and replies on one connection."""

    def __init__(self, events: Feed[Event], replies: Feed[Event]) -> None:
        self._events = events
        self._replies = replies
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b":" in self._buffer:
            length, _, rest = self._buffer.partition(b":")
            end = int(length)
            if len(rest) <= end:
                return
            self._buffer = rest[end + 1 :]
            message = json.loads(rest[:end].decode(errors="replace"), strict=False)
            (self._events if message.get("event") else self._replies).put(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._events.end("its control connection closed")
        self._replies.end("its control connection closed")
