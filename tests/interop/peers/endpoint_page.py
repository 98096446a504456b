"""Chromium with the endpoint's own page, driven as a person does: it clicks, types and listens."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import aiohttp

from .chromium import HEADLESS, MEDIA
from .feed import PeerError
from .jssip import bundle
from .process import Process, require
from .sound import TONES_HZ, tones_by_power, write_tone

START_TIMEOUT_S = 20.0
_FULL_SCALE = 32768.0
_WINDOW_S = 0.6
"""What the page's measurement looks back on, with what its jitter buffer may hold from before."""
_PROMPTED = "DevTools listening on ws://"
_PREPARED = """
(() => {
  // A tone is what a microphone's noise suppression removes.
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const open = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (open) navigator.mediaDevices.getUserMedia = () => open({ audio: raw });
  const connect = RTCPeerConnection.prototype.setLocalDescription;
  RTCPeerConnection.prototype.setLocalDescription = function (...given) {
    window.connection = this;
    return connect.apply(this, given);
  };
  let heard = null;
  let ear = null;
  window.measure = frequencies => {
    const stream = document.getElementById('phone-speaker').srcObject;
    ear ??= new Ear();
    if (stream !== null && stream !== heard) ear.listen(stream);
    heard = stream;
    if (stream === null) return { energy: 0, powers: frequencies.map(() => 0) };
    return ear.measure(frequencies);
  };
  window.until = async (predicate, ms) => {
    for (const end = Date.now() + ms; Date.now() < end;) {
      if (predicate()) return true;
      await new Promise(soon => setTimeout(soon, 20));
    }
    return false;
  };
})();
"""


class EndpointPage:
    """`async with EndpointPage(...) as page`: the page is open and signed in.

    Args:
        directory: for its log and its microphone's tone.
        url: of the endpoint, whose certificate is not checked.
        token: opens it.
        tone_hz: what its microphone hears; None: the page is refused the microphone.
    """

    def __init__(
        self, directory: Path, url: str, token: str, *, tone_hz: int | None = 1130
    ) -> None:
        self._directory = directory
        self._address = f"{url}#token={token}"
        self._tone_hz = tone_hz
        self._ids = itertools.count(1)
        self._socket: aiohttp.ClientWebSocketResponse
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        program = require("chromium", "chromium")
        self._directory.mkdir(parents=True, exist_ok=True)
        microphone = ["--deny-permission-prompts"]
        if self._tone_hz is not None:
            wav = write_tone(self._directory / "says.wav", self._tone_hz)
            microphone = [
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={wav}",
            ]
        scripts = await bundle(self._directory, "ear.js", arguments=["--global-name=Ear"])
        async with AsyncExitStack() as stack:
            profile = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
            arguments = [
                *HEADLESS,
                *MEDIA,
                *microphone,
                "--remote-debugging-port=0",
                "--window-size=1280,800",
                f"--user-data-dir={profile}",
                "about:blank",
            ]
            process = await stack.enter_async_context(
                Process([program, *arguments], directory=self._directory, name="chromium")
            )
            line = await process.lines.next(
                lambda said: _PROMPTED in said, "address", timeout_s=START_TIMEOUT_S
            )
            host = line.partition(_PROMPTED)[2].partition("/")[0]
            http = await stack.enter_async_context(aiohttp.ClientSession())
            async with http.get(f"http://{host}/json/list") as answer:
                (place,) = [one for one in await answer.json() if one["type"] == "page"]
            self._socket = await stack.enter_async_context(
                http.ws_connect(place["webSocketDebuggerUrl"], max_msg_size=0)
            )
            await self._command("Page.enable")
            await self._command(
                "Page.addScriptToEvaluateOnNewDocument",
                source=(scripts / "ear.js").read_text() + _PREPARED,
            )
            await self._command("Page.navigate", url=self._address)
            await self.until("document.getElementById('link')?.dataset.link === 'live'")
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # -- what a person does -----------------------------------------------------------------------

    async def use(self, device: str) -> None:
        """Let the browser be the device's telephone; `state` or `fault` tell what comes of it."""
        await self.until(_offers("phone-device", device))
        await self.run(f"document.getElementById('phone-device').value = '{device}'")
        await self.run("document.getElementById('phone-use').click()")

    async def press(self, text: str, *, within: str = "#phone") -> None:
        """Press a button by what is on it, as soon as it is there."""
        found = (
            f"[...document.querySelectorAll('{within} button')]"
            f".find(one => one.textContent === '{text}' && one.offsetParent)"
        )
        await self.until(f"Boolean({found})")
        await self.run(f"{found}.click()")

    async def dial(self, device: str, number: str) -> None:
        """Fill the form and press Dial."""
        await self.until(_offers("dial-device", device))
        await self.run(
            f"document.getElementById('dial-device').value = '{device}';"
            f"document.getElementById('dial-destination').value = '{number}';"
            "document.getElementById('dial-go').click()"
        )

    async def type_digits(self, device: str, digits: str) -> None:
        """Type digits for a party and send them."""
        field = f"document.querySelector('.keys input[aria-label=\"Digits from {device}\"]')"
        await self.until(f"{field} !== null")
        await self.run(f"{field}.value = '{digits}'; {field}.form.requestSubmit()")

    async def type_number(self, device: str, number: str, button: str) -> None:
        """Type a number for a party and press a button beside it: Consult, Transfer, Add."""
        field = f"document.querySelector('.keys input[aria-label=\"Number for {device}\"]')"
        found = (
            f"[...{field}?.form.querySelectorAll('button') ?? []]"
            f".find(one => one.textContent === '{button}')"
        )
        await self.until(f"Boolean({found})")
        await self.run(f"{field}.value = '{number}'; {found}.click()")

    async def give_data(self, device: str, text: str) -> None:
        """Type data for a call of the device and give it."""
        field = (
            f"document.querySelector('.data input[aria-label=\"Data of the call of {device}\"]')"
        )
        await self.until(f"{field} !== null")
        await self.run(f"{field}.value = '{text}'; {field}.form.requestSubmit()")

    async def shows(self, selector: str, text: str) -> None:
        """Wait until something that a selector finds has this text in it."""
        await self.until(
            f"[...document.querySelectorAll('{selector}')]"
            f".some(one => one.textContent.includes('{text}'))"
        )

    async def reload(self) -> None:
        """Load the page anew, as F5 does."""
        await self._command("Page.reload")
        await self.until("document.getElementById('link')?.dataset.link === 'live'")

    async def lose_its_way(self) -> None:
        """Let the page see what it sees when its network has changed."""
        await self.run(
            "Object.defineProperty(connection, 'connectionState',"
            " { get: () => 'disconnected', configurable: true });"
            "connection.onconnectionstatechange();"
            "delete connection.connectionState"
        )

    async def hide(self) -> None:
        """Give it no frames to draw, as when another tab is shown."""
        await self.run("window.requestAnimationFrame = () => 0; undefined")

    async def has_open_microphone(self, wanted: bool) -> None:
        """Wait until what its microphone hears is sent, or not."""
        await self.until(f"connection.getSenders()[0].track.enabled === {str(wanted).lower()}")

    async def ice(self) -> str:
        """Return the user fragment of its own ICE session."""
        return str(await self.run("connection.localDescription.sdp.match(/ice-ufrag:(\\S+)/)[1]"))

    # -- what a person sees and hears --------------------------------------------------------------

    async def state(self, wanted: str) -> None:
        """Wait until the telephone is shown so: ready, ringing, talking, lost, off."""
        await self.until(f"document.getElementById('phone').dataset.state === '{wanted}'")

    async def fault(self, text: str) -> None:
        """Wait until the telephone shows a fault with this text."""
        await self.until(f"document.getElementById('phone-fault').textContent.includes('{text}')")

    async def text(self, selector: str) -> str:
        """Return what is written there."""
        return str(await self.run(f"document.querySelector('{selector}').textContent"))

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones that an AnalyserNode finds in the remote stream in the next `ms`."""
        await self.run(f"void measure({list(TONES_HZ)})")
        await asyncio.sleep(max(ms / 1000, _WINDOW_S))  # the window itself
        measured = await self.run(f"measure({list(TONES_HZ)})")
        powers = (power * _FULL_SCALE**2 for power in measured["powers"])
        energy = measured["energy"] * _FULL_SCALE**2
        return tones_by_power(energy, dict(zip(TONES_HZ, powers, strict=True)))

    async def screenshot(self, path: Path) -> None:
        """Write a picture of the page as PNG."""
        taken = await self._command("Page.captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))

    async def until(self, predicate: str, *, timeout_s: float = 15.0) -> None:
        """Wait until an expression is true in the page, which may be loading meanwhile.

        Raises:
            PeerError: it was not in time; the text holds what the page shows.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not await self.run(
                    f"window.until ? until(() => {predicate}, 1000)"
                    ": new Promise(soon => setTimeout(soon, 20))"
                ):
                    pass
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise PeerError(f"the page never was so: {predicate}\n{shown}") from None

    async def run(self, script: str) -> Any:
        """Return what an expression, or its promise, comes to; None where the page went away.

        Raises:
            PeerError: it threw.
        """
        answer = await self._command(
            "Runtime.evaluate",
            may_fail=True,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise PeerError(f"the page threw: {answer['exceptionDetails']}")
        return answer.get("result", {}).get("value")

    async def _command(
        self, method: str, *, may_fail: bool = False, **arguments: object
    ) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_str(
            json.dumps({"id": number, "method": method, "params": arguments})
        )
        async for message in self._socket:
            told = json.loads(message.data)
            if told.get("id") == number:
                if "error" in told and not may_fail:
                    raise PeerError(f"{method}: {told['error']['message']}")
                return dict(told.get("result", {}))
        raise PeerError(f"Chromium is gone, see {self._directory}")


def _offers(select: str, value: str) -> str:
    return (
        f"[...document.querySelectorAll('#{select} option')].some(one => one.value === '{value}')"
    )
