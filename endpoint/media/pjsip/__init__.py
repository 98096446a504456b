"""PJSIP in a process of its own: SIP and RTP of one account, by the wheel `pjsua2-pybind11`."""

from __future__ import annotations

import importlib.util
import platform
import sys
from typing import Final

MOST_CALLS: Final = 4
"""At once in one process: compiled in."""


def missing() -> str:
    """Why PJSIP can't be used here, for a person; empty where it can."""
    if importlib.util.find_spec("pjsua2") is not None:
        return ""
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.version_info >= (3, 13):
        return (
            "PJSIP is there for Linux on x86-64 with Python 3.11 or 3.12 alone, "
            f"and this is {sys.platform} on {platform.machine()} with Python "
            f"{platform.python_version()}"
        )
    return "PJSIP is not installed: pip install 'agent-endpoint[pjsip]'"
