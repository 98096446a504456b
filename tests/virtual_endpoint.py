"""A whole endpoint in virtual time: nothing of it is outside this loop.

Its media plane runs in the loop, where it has a process of its own else; while its database works
the clock stands still, as for other threads. What it says and hears is real: sockets, SIP, RTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import aiosqlite
import pytest

from endpoint.app import wiring
from endpoint.app.facts import media_settings
from endpoint.app.settings import Config
from endpoint.media.link import LocalLink
from signaling.supervision import Supervision
from tests.virtual_time import VirtualTimeLoop


@contextmanager
def _standing_clock() -> Iterator[None]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.threads += 1
    try:
        yield
    finally:
        loop.threads -= 1


def _workers(
    config: Config, supervision: Supervision | None = None, recorder: Sequence[int] = ()
) -> list[LocalLink]:
    return [LocalLink(each) for each in media_settings(config)]


def have_it_in_this_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on endpoints are."""
    for name in ("_execute", "_connect", "close"):
        asked = getattr(aiosqlite.Connection, name)

        async def waited(self: Any, *args: Any, _asked: Any = asked, **more: Any) -> Any:
            with _standing_clock():
                return await _asked(self, *args, **more)

        monkeypatch.setattr(aiosqlite.Connection, name, waited)
    monkeypatch.setattr(wiring, "media_workers", _workers)
    # It asks the clock in a thread, whose time is another.
    monkeypatch.setattr(wiring, "LoopWatchdog", lambda told: nullcontext())
