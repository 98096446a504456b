from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from .peers.kamailio import Kamailio
from .peers.pulse import Pulse, require_portaudio

LOG_TAIL = 80


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every peer's log where a test failed; the whole logs stay in its tmp_path."""
    report = yield
    directory = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(directory, Path):
        for log in sorted(directory.rglob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            report.sections.append((str(log), "\n".join(lines[-LOG_TAIL:])))
    return report


@pytest.fixture
async def kamailio(tmp_path: Path) -> AsyncIterator[Kamailio]:
    async with Kamailio(tmp_path / "kamailio") as server:
        yield server


@pytest.fixture
async def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pulse]:
    await require_portaudio()
    async with Pulse(tmp_path / "pulse") as server:
        server.use(monkeypatch)
        yield server
