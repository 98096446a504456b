"""What the sections of the file have in common: strictness, and kinds of values."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import ConfigDict, Field

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]

DEVICE = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
"""What a device may be called: a number, a short name."""


STRICT = ConfigDict(extra="forbid", frozen=True)
"""Of each section: unknown keys are mistakes, values never change."""


def checked_device(device: str) -> str:
    """The device, or ValueError that says what was expected."""
    if not DEVICE.fullmatch(device):
        raise ValueError(f"{device!r}: expected 1 to 64 letters, digits or any of _ . + * # -")
    return device
