"""What all tests share: scenarios run in virtual time, and the log is plain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import structlog

from tests.virtual_time import VirtualTimeLoop

# By default structlog has rich draw all that a traceback can reach: seconds in which no loop runs.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests marked `scenario` get a loop in virtual time; all others the usual one."""
    if item.get_closest_marker("scenario") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
