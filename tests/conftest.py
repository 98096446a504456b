"""What all tests share: whose clock is virtual, and the log is plain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog

from endpoint.app import wiring
from endpoint.storage.database import PATIENT_TIMEOUT_S
from tests.virtual_time import VirtualTimeLoop, in_virtual_time

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
    """Tests marked `scenario` or `virtual_time` get a loop in virtual time; all others not."""
    if item.get_closest_marker("scenario") is not None:
        return {"virtual": VirtualTimeLoop}
    if in_virtual_time(item):
        return {"virtual": lambda: VirtualTimeLoop(turn_s=1e-9)}
    return {"real": asyncio.new_event_loop}


@pytest.fixture(autouse=True, scope="session")
def patience() -> Iterator[None]:
    """Endpoints in this process wait for their databases: that one is slow is all tests' doing.

    What becomes of one that is too slow is tested at endpoints with processes of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "ANSWER_TIMEOUT_S", PATIENT_TIMEOUT_S)
        yield
