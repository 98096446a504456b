"""`[plan]`: what of the dial plan is the same whatever rules the database has."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, field_validator

from endpoint.app.section import STRICT, Count, like
from endpoint.legs.numbering import Pattern

PREMIUM = [
    "+979*",  # International premium rate (ITU-T E.169.2).
    "+87*",  # Satellite: Inmarsat, and
    "+881*",  # others,
    "+882*",  # networks of no country,
    "+883*",  # the same.
    "_+1900NXXXXXX",  # North America,
    "011979*",
    "_01188[123]!",
    "0900*",  # as dialled inside of many countries of Europe,
    "+49900*",  # and from outside: Germany,
    "+490900*",  # with the 0 that people write in brackets,
    "+49137*",
    "_+4390[01]!",  # Austria,
    "+4393*",
    "_+4190[016]!",  # Switzerland,
    "_+3190[069]!",  # the Netherlands,
    "+3290*",  # Belgium,
    "+3389*",  # France,
    "+449*",  # the United Kingdom,
    "_+3480[367]!",  # Spain,
    "_+3989[259]!",  # Italy,
    "+4870*",  # Poland,
    "_+469[034]!",  # Sweden,
    "_+358[67]00!",  # Finland,
    "+61190*",  # Australia,
    "+81990*",  # Japan.
]
"""Refused where nothing else is said (S12 of docs/security.md).

No number that is a plain one elsewhere: `0190` and `1900…` begin mobile numbers in China.
"""


def checked_pattern(text: str) -> str:
    """The pattern, or ValueError that says what was expected."""
    return Pattern(text).text


class PlanSettings(BaseModel):
    """`[plan]`: numbers that are special; the rules are in the database (docs/dialplan.md)."""

    model_config = STRICT

    emergency: list[str] = ["112", "911"]
    """Emergency numbers, as patterns: by any trunk, for every device, whatever its limits."""
    refused: list[str] = PREMIUM
    """Numbers that cost more than a call, as patterns: refused unless a rule says `premium`.

    Looked for in what is dialled and in what is sent to a line, with `+` and with
    `international_prefix`. A list here takes the place of the default one; `[]` refuses none.
    """
    international_prefix: Annotated[str, like("[0-9+*#]{0,8}", "up to 8 digits")] = "00"
    """What is dialled for `+`, as `00` or `011`; empty: nothing."""

    @field_validator("emergency", "refused")
    @classmethod
    def _patterns(cls, patterns: list[str]) -> list[str]:
        return list(map(checked_pattern, patterns))


class DialLimitSettings(BaseModel):
    """`[[calls.limits]]`: how much some devices may dial, in place of what all others may."""

    model_config = STRICT

    devices: str
    """Which, as a pattern: `6009`, `60*`, `_60XX`. The first that takes a device counts."""
    dials_per_minute: Count
    """As `calls.dials_per_minute`."""
    at_once: Count
    """As `calls.at_once`."""

    @field_validator("devices")
    @classmethod
    def _pattern(cls, devices: str) -> str:
        return checked_pattern(devices)
