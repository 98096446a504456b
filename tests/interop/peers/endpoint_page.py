"""Chromium with the endpoint's own page, driven as a person does: it clicks, types and listens."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from .chromium import MEDIA
from .jssip import bundle
from .sound import TONES_HZ, tones_by_power, write_tone
from .tab import Browser, Tab

_FULL_SCALE = 32768.0
_WINDOW_S = 0.6
"""What the page's measurement looks back on, with what its jitter buffer may hold from before."""
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
})();
"""


class EndpointPage(Tab):
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
        arguments = [*MEDIA, "--deny-permission-prompts"]
        if tone_hz is not None:
            arguments = [
                *MEDIA,
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={directory / 'says.wav'}",
            ]
        self._tone_hz = tone_hz
        super().__init__(Browser(directory, arguments), f"{url}#token={token}")

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._tone_hz is not None:
            write_tone(self._directory / "says.wav", self._tone_hz)
        scripts = await bundle(self._directory, "ear.js", arguments=["--global-name=Ear"])
        self._prepared = (scripts / "ear.js").read_text() + _PREPARED
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._browser)
            await super().__aenter__()
            stack.push_async_exit(super().__aexit__)
            self._opened = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def loaded(self) -> None:
        """Wait until it shows what is so."""
        await self.until("document.getElementById('link')?.dataset.link === 'live'")

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

    async def heard(self, *, ms: int = 400) -> set[int]:
        """Return the tones that an AnalyserNode finds in the remote stream in the next `ms`."""
        await self.run(f"void measure({list(TONES_HZ)})")
        await asyncio.sleep(max(ms / 1000, _WINDOW_S))  # the window itself
        measured = await self.run(f"measure({list(TONES_HZ)})")
        powers = (power * _FULL_SCALE**2 for power in measured["powers"])
        energy = measured["energy"] * _FULL_SCALE**2
        return tones_by_power(energy, dict(zip(TONES_HZ, powers, strict=True)))


def _offers(select: str, value: str) -> str:
    return (
        f"[...document.querySelectorAll('#{select} option')].some(one => one.value === '{value}')"
    )
