"""Keys of a terminal, one by one, while a loop runs."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

ENTER, BACK, ESCAPE, UP, DOWN = "enter", "back", "escape", "up", "down"

_NAMED = {
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACK,
    "\x08": BACK,
    "\x1b": ESCAPE,
    "\x1b[A": UP,
    "\x1b[B": DOWN,
    "\x1bOA": UP,
    "\x1bOB": DOWN,
}


def keys_in(text: str) -> Iterator[str]:
    """The keys in what a terminal sent: characters, and names of those that are none."""
    while text:
        known = max((one for one in _NAMED if text.startswith(one)), key=len, default="")
        if known == "\x1b" and text[1:2] in ("[", "O"):
            # A key that we have no name for: all of it is one.
            end = next((at for at in range(2, len(text)) if text[at] >= "@"), len(text))
            text = text[end + 1 :]
            continue
        if known:
            yield _NAMED[known]
        elif text[0].isprintable():
            yield text[0]
        text = text[len(known) or 1 :]


class Keyboard:
    """`async with Keyboard() as keyboard: async for key in keyboard`. The terminal is as it was."""

    def __init__(self) -> None:
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Keyboard]:
        """Read keys as long as the body lasts, unseen and without waiting for a line's end."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        loop = asyncio.get_running_loop()
        tty.setcbreak(descriptor)
        loop.add_reader(descriptor, self._read, descriptor)
        try:
            yield self
        finally:
            loop.remove_reader(descriptor)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    def __aiter__(self) -> Keyboard:
        return self

    async def __anext__(self) -> str:
        """The next key."""
        return await self._keys.get()

    def _read(self, descriptor: int) -> None:
        octets = os.read(descriptor, 1024)
        if not octets:  # the terminal has gone
            asyncio.get_running_loop().remove_reader(descriptor)
            self._keys.put_nowait("q")
        for key in keys_in(self._decoder.decode(octets)):
            self._keys.put_nowait(key)
