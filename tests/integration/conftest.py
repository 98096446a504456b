from __future__ import annotations

import importlib
import sys

import pytest

from tests.virtual_time import in_virtual_time, monotonic


@pytest.fixture(autouse=True)
def one_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In virtual time the clock of the media plane is the loop's, as it is elsewhere."""
    if in_virtual_time(request.node):
        importlib.import_module("endpoint.media.webrtc")  # else the plane would, later
        for name, module in [*sys.modules.items()]:
            if name.startswith("endpoint.") and hasattr(module, "monotonic"):
                monkeypatch.setattr(module, "monotonic", monotonic)
