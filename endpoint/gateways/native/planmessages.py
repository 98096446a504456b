"""The dial plan, as the native interface and its clients say it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=600)]
Number = Annotated[str, Meta(min_length=1, max_length=128)]


class PlanLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A trunk of a rule."""

    trunk: Text
    strip: int = 0
    """So many characters are taken off the number's beginning,"""
    add: Text = ""
    """and these put there."""
    to: Text = ""
    """What it becomes, whatever it was."""


class PlanRule(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule; what is not said is as it is by default."""

    name: Text
    pattern: Text
    action: Literal["trunk", "device", "refuse", "emergency"]
    direction: Literal["out", "in"] = "out"
    position: int = 100
    callers: Annotated[list[Text], Meta(max_length=100)] = []
    trunks: Annotated[list[Text], Meta(max_length=100)] = []
    hours: Text = ""
    time_zone: Text = "UTC"
    holidays: Annotated[list[Text], Meta(max_length=400)] = []
    lines: Annotated[list[PlanLine], Meta(max_length=100)] = []
    device: Text = ""
    shown: Text = ""
    location: Text = ""
    premium: bool = False
    cause: Literal[
        "number_refused", "unknown_device", "not_registered", "busy", "declined", "unauthorised"
    ] = "number_refused"
    text: Text = ""
    enabled: bool = True


class Plan(Struct, frozen=True):
    """`GET /plan`, and the answer to a plan that was brought in."""

    rules: list[PlanRule]
    """As they are looked at."""
    emergency: list[str] = []
    """Of the configuration, as all that follows."""
    refused: list[str] = []
    international_prefix: str = ""
    missing: dict[str, str] = {}
    """Rules that lead to nobody, by name, and what is missing: their calls fail."""


class PlanOfRules(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /plan/rules`: these, and no others."""

    rules: Annotated[list[PlanRule], Meta(max_length=5000)]


class PlanMistake(Struct, frozen=True):
    """What is wrong with a rule."""

    field: str
    """As `lines[0].trunk`; in a list of rules as `rules[3].pattern`."""
    text: str
    """What was found, and what was expected."""


class PlanRefused(Struct, frozen=True):
    """400 for rules that are not whole: every mistake."""

    error: str
    text: str
    mistakes: list[PlanMistake]


class AskPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /plan/test`: nobody is called."""

    number: Number
    """As it would be dialled, with digits behind a dash if any; or called from a trunk."""
    calling: Annotated[str, Meta(max_length=64)] = ""
    """Who dials, or calls from the trunk."""
    at: datetime | None = None
    """Another time than now, with its time zone."""
    trunk: Annotated[str, Meta(max_length=64)] = ""
    """That it comes from; by default a device of ours dials."""


class PlanCourse(Struct, frozen=True):
    """A trunk that would be tried."""

    trunk: str
    number: str
    """How it would be dialled there."""
    shown: str = ""
    """The caller's number that would be shown; empty: the trunk's own for the caller."""
    up: bool | None = None
    """Whether the trunk takes calls now; none where no endpoint runs."""


class PlanStep(Struct, frozen=True):
    """A rule that was looked at."""

    rule: str
    taken: bool
    why: str


class PlanAnswer(Struct, frozen=True):
    """What would happen, and why."""

    number: str
    kind: Literal["device", "remote", "trunk", "account", "emergency", "refused", "unknown"]
    rule: str
    """What decides."""
    device: str = ""
    """Who is meant."""
    courses: list[PlanCourse] = []
    """Tried in this order."""
    cause: str = ""
    text: str = ""
    """Why it is refused, or unknown."""
    steps: list[PlanStep] = []
    """All rules that were looked at, in their order."""
