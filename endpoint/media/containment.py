"""A mistake of ours in one port's task, which must not end the tasks of all others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def contained(message: str) -> Iterator[None]:
    """Let the loop show what goes wrong within, and go on after it."""
    try:
        yield
    except Exception as exc:
        asyncio.get_running_loop().call_exception_handler({"message": message, "exception": exc})
