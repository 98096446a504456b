"""Chromium with the page of tests/interop/jssip: a browser telephone, its microphone a tone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from aiohttp import web

from .driven import DrivenJsSip
from .feed import PeerError
from .jssip import PACKAGE, bundle
from .process import Process, require
from .sound import TONES_HZ, tones_by_power, write_tone

START_TIMEOUT_S = 20.0
_FULL_SCALE = 32768.0
_WINDOW_S = 16384 / 44100
"""What the page's measurement looks back on (page/ear.js), at the lower of the usual rates."""
_SETTLE_S = 0.2
"""What its jitter buffer may still hold from before."""

HEADLESS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--log-level=3",
)
MEDIA = (
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--ignore-certificate-errors",
    "--use-fake-device-for-media-stream",
)


@dataclass(frozen=True, slots=True)
class Flow:
    """A page's connection, as its getStats tells it."""

    receives: str | None
    """Codec: PCMU, opus."""
    sends: str | None
    packets_received: int
    packets_lost: int
    packets_sent: int
    jitter_s: float | None
    concealed: int | None
    """Samples that its jitter buffer made up."""
    round_trip_s: float | None
    """As our receiver reports made it."""
    ice_ufrag: str | None
    """Its own; another one is another ICE session."""
    dtls_role: str | None
    srtp: str | None
    """The profile's name."""
    local_candidate: str | None
    """host, srflx, prflx or relay."""
    remote_candidate: str | None


class Chromium(DrivenJsSip):
    """`async with Chromium(...) as phone`: registered on entry where it has an account.

    Args:
        directory: for its log, its microphone's tone and the page's script.
        user: user part of its address.
        url: `wss://host:port/path` of its sipWsServer, whose certificate is not checked; None: no
            telephone, a bare RTCPeerConnection.
        domain: host part of its address.
        password: for the server's digest.
        tone_hz: what its microphone hears; None: the page was granted no microphone.
    """

    origin = "http://phone.localhost"
    """Of its page: one origin for all, and a secure context without a certificate (W3C Secure
    Contexts §3.1)."""

    def __init__(
        self,
        directory: Path,
        user: str,
        url: str | None = None,
        *,
        domain: str = "localhost",
        password: str = "",
        tone_hz: int | None = 1130,
    ) -> None:
        super().__init__(user, domain)
        self._directory = directory
        self._tone_hz = tone_hz
        self._settings = {"url": url, "uri": f"sip:{user}@{domain}", "password": password}
        self._driver: web.WebSocketResponse
        self._stack = AsyncExitStack()
        self.process: Process

    async def __aenter__(self) -> Self:
        program = require("chromium", "chromium")
        self._directory.mkdir(parents=True, exist_ok=True)
        # JsSIP ships no file for browsers.
        scripts = await bundle(self._directory, "page.js", "digits.js")
        async with AsyncExitStack() as stack:
            profile = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
            port = await stack.enter_async_context(self._pages(scripts))
            self.process = await stack.enter_async_context(
                Process(
                    [program, *self._arguments(port, profile)],
                    directory=self._directory,
                    name=f"chromium-{self.user}",
                )
            )
            await self._opened()
            await self.command(
                "open",
                title=self.user,
                microphone=self._tone_hz is not None,
                frequencies_hz=sorted(TONES_HZ),
            )
            if self._settings["url"] is not None:
                await self.command("account", settings=self._settings)
                await self.command("start")
                await self.event("connected")
                await self.register()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # -- what it is told ------------------------------------------------------------------------

    async def send_digits(self, digits: str) -> None:
        """Send telephone-events (RFC 4733) by its RTCDTMFSender, over JsSIP."""
        await self.command("dtmf", digits=digits, transport="RFC2833")

    async def restart_ice(self) -> bool:
        """Offer new ICE credentials (re-INVITE); tell whether the far end agreed."""
        return bool(await self.command("restart_ice"))

    async def offer(self, encodings: Sequence[str] = (), *, restart: bool = False) -> str:
        """Offer with a bare connection; return the description with all its candidates.

        Args:
            encodings: the codecs wanted, in order; all of its own where empty.
            restart: with new ICE credentials.
        """
        return str(await self.command("offer", encodings=list(encodings) or None, restart=restart))

    async def take_answer(self, sdp: str) -> None:
        """Take the answer to its offer."""
        await self.command("take_answer", sdp=sdp)

    async def take_offer(self, sdp: str) -> str:
        """Answer an offer with a bare connection; return the answer with all its candidates."""
        return str(await self.command("take_offer", sdp=sdp))

    async def press(self, digits: str) -> None:
        """Send telephone-events with a bare connection."""
        await self.command("press", digits=digits)

    # -- what it tells --------------------------------------------------------------------------

    async def connected(self) -> None:
        """Wait until ICE and DTLS are up.

        Raises:
            PeerError: they failed.
        """
        event = await self.events.next(
            lambda e: e["event"] == "connection" and e["state"] in ("connected", "failed"),
            "connection",
        )
        if event["state"] == "failed":
            raise PeerError(f"{self.user}: the page's connection failed")

    async def flow(self) -> Flow:
        """Read the statistics of its connection."""
        return Flow(**await self.command("statistics"))

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones that an AnalyserNode of the page finds in the next `ms`."""
        await asyncio.sleep(_SETTLE_S + max(ms / 1000, _WINDOW_S))  # the window itself
        energy, powers = await self._measure(TONES_HZ)
        return tones_by_power(energy, powers)

    async def level(self) -> float:
        """Return the peak of the one tone that it hears from now on; full scale is 32768."""
        await asyncio.sleep(_WINDOW_S)  # the window itself
        # By the energy: its jitter buffer may stretch the window, and then one sine does not fit.
        energy, _ = await self._measure([])
        return float((2 * energy) ** 0.5)

    async def hears_digits(self, digits: str, press: Callable[[], Awaitable[object]]) -> bool:
        """Have digits pressed, and tell whether its audio worklet finds them (ITU-T Q.23).

        A page is told of no telephone-event, but Chromium plays those that it receives. The same
        digit at once again counts as one.
        """
        await press()
        heard = ""
        with contextlib.suppress(PeerError):
            while len(heard) < len(digits):
                heard += str((await self.event("digit_heard", timeout_s=5))["digit"])
        return heard == digits

    # -- how it is made -------------------------------------------------------------------------

    async def _write(self, text: str) -> None:
        await self._driver.send_str(text)

    async def _measure(self, frequencies_hz: Iterable[int]) -> tuple[float, dict[int, float]]:
        wanted = list(frequencies_hz)
        measured: dict[str, Any] = await self.command("measure", frequencies_hz=wanted)
        powers = (power * _FULL_SCALE**2 for power in measured["powers"])
        return measured["energy"] * _FULL_SCALE**2, dict(zip(wanted, powers, strict=True))

    def _arguments(self, port: int, profile: str) -> list[str]:
        arguments = [*HEADLESS, *MEDIA]
        if self._tone_hz is not None:
            wav = write_tone(self._directory / "says.wav", self._tone_hz)
            arguments += [
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={wav}",
            ]
        host = self.origin.removeprefix("http://")
        return [
            *arguments,
            f"--user-data-dir={profile}",
            f"--host-resolver-rules=MAP {host}:80 127.0.0.1:{port}",
            f"{self.origin}/",
        ]

    @asynccontextmanager
    async def _pages(self, scripts: Path) -> AsyncIterator[int]:
        """Serve the page and its driver's socket; yield the port."""

        async def index(_: web.Request) -> web.FileResponse:
            return web.FileResponse(PACKAGE / "page" / "index.html")

        async def driver(request: web.Request) -> web.WebSocketResponse:
            self._driver = web.WebSocketResponse()
            await self._driver.prepare(request)
            self._told({"event": "ready"})
            async for message in self._driver:
                self._said(message.data)
            self._ended("the page is gone")
            return self._driver

        app = web.Application()
        app.add_routes(
            [
                web.get("/", index),
                web.get("/driver", driver),
                web.static("/", scripts),
            ]
        )
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _opened(self) -> None:
        try:
            await self.event("ready", timeout_s=START_TIMEOUT_S)
        except PeerError:
            raise PeerError(f"Chromium opened no page, see {self.process.log}") from None
