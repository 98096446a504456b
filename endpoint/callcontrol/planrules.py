"""Rules of the dial plan as they are given: what makes one whole, and who keeps them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from endpoint.callcontrol.dialplan import AGENT, Action, Direction, Rule
from endpoint.callcontrol.hours import checked_date, checked_zone, parse_hours
from endpoint.legs.base import Cause
from endpoint.legs.numbering import Pattern, matches

REFUSING = (
    Cause.NUMBER_REFUSED,
    Cause.UNKNOWN_DEVICE,
    Cause.NOT_REGISTERED,
    Cause.BUSY,
    Cause.DECLINED,
    Cause.UNAUTHORISED,
)
"""What a rule may refuse as."""

_NAME = re.compile(r"[^\s\x00-\x1f/](?:[^\x00-\x1f/]{0,62}[^\s\x00-\x1f/])?")
_SENT = re.compile(r"[A-Za-z0-9_.+*#-]{1,64}")
_LOCATION = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!#-;=?-~]{1,500}")


class Mistake(NamedTuple):
    """What is wrong with a rule."""

    field: str
    """As `lines[0].trunk`."""
    text: str
    """What was found, and what was expected."""


class PlanRules(Protocol):
    """Where rules are kept, each under its name."""

    async def all(self) -> Sequence[Rule]:
        """Every one, as they are looked at."""

    async def add(self, rule: Rule) -> bool:
        """Keep another one. False where there is one of that name."""

    async def change(self, name: str, rule: Rule) -> bool | None:
        """Keep it in the place of another one.

        None where there is no such one; False where its new name is another one's.
        """

    async def remove(self, name: str) -> bool:
        """Forget one. False where there is none."""

    async def replace(self, rules: Sequence[Rule]) -> None:
        """Keep these, and no others: all or nothing."""


def mistakes_of(rule: Rule, trunks: Mapping[str, Collection[str]]) -> list[Mistake]:
    """All that is wrong with a rule; `trunks` by name, with patterns of what each may show."""
    of_direction = _of_incoming if rule.direction is Direction.IN else _of_lines
    return [*_of_any(rule), *_of_time(rule), *of_direction(rule, trunks), *_of_action(rule)]


def trunks_of(rule: Rule) -> list[str]:
    """Every trunk that a rule names."""
    return [*rule.trunks, *(line.trunk for line in rule.lines)]


def _of_any(rule: Rule) -> Iterator[Mistake]:
    if not _NAME.fullmatch(rule.name):
        yield Mistake("name", f"found {rule.name!r}, expected 1 to 64 characters, no /")
    yield from _checked("pattern", Pattern, rule.pattern)
    for index, caller in enumerate(rule.callers):
        named = caller.removeprefix(AGENT)
        yield from _checked(f"callers[{index}]", Pattern, named)
        if named != caller and rule.direction is Direction.IN:
            expected = "expected a number that calls, or its beginning and *: agents only dial"
            yield Mistake(f"callers[{index}]", f"found {caller!r}, {expected}")
    if not -1_000_000 <= rule.position <= 1_000_000:
        yield Mistake("position", f"found {rule.position}, expected -1000000 to 1000000")


def _of_time(rule: Rule) -> Iterator[Mistake]:
    if rule.hours:
        yield from _checked("hours", parse_hours, rule.hours)
    yield from _checked("time_zone", checked_zone, rule.time_zone)
    for index, holiday in enumerate(rule.holidays):
        yield from _checked(f"holidays[{index}]", checked_date, holiday)


def _of_incoming(rule: Rule, trunks: Mapping[str, Collection[str]]) -> Iterator[Mistake]:
    if rule.action not in (Action.DEVICE, Action.REFUSE):
        yield Mistake("action", f"found {rule.action}, expected device or refuse for what comes in")
    for index, trunk in enumerate(rule.trunks):
        if trunk not in trunks:
            yield Mistake(f"trunks[{index}]", _no_trunk(trunk, trunks))
    if rule.lines:
        yield Mistake("lines", "found some, expected none for what comes in")


def _of_lines(rule: Rule, trunks: Mapping[str, Collection[str]]) -> Iterator[Mistake]:
    if rule.trunks:
        yield Mistake("trunks", "found some, expected lines: trunks are for what comes in")
    named: set[str] = set()
    for index, line in enumerate(rule.lines):
        where = f"lines[{index}]"
        if line.trunk not in trunks:
            yield Mistake(f"{where}.trunk", _no_trunk(line.trunk, trunks))
        elif line.trunk in named:
            yield Mistake(f"{where}.trunk", f"found {line.trunk} twice, expected each trunk once")
        named.add(line.trunk)
        if not 0 <= line.strip <= 64:
            yield Mistake(f"{where}.strip", f"found {line.strip}, expected 0 to 64")
        for key, text in (("add", line.add), ("to", line.to)):
            if text and not _SENT.fullmatch(text):
                yield Mistake(f"{where}.{key}", f"found {text!r}, expected what can be dialled")
        if line.to and (line.strip or line.add):
            yield Mistake(f"{where}.to", "expected no strip and no add with it: to says all")
        may_show = trunks.get(line.trunk) or ()
        if rule.shown and may_show and not any(matches(rule.shown, each) for each in may_show):
            text = f"found {rule.shown}, which trunk {line.trunk} may not show: expected one of "
            yield Mistake("shown", text + ", ".join(may_show))


def _of_action(rule: Rule) -> Iterator[Mistake]:
    """What belongs to other actions is a mistake: it would be believed to count."""
    action, out = rule.action, rule.direction is Direction.OUT
    goes_out = out and action in (Action.TRUNK, Action.EMERGENCY)
    if action is Action.TRUNK and out and not rule.lines:
        yield Mistake("lines", "found none, expected a trunk at least")
    if action is Action.DEVICE and not _SENT.fullmatch(rule.device):
        yield Mistake("device", f"found {rule.device!r}, expected a device of ours, as 6001")
    if rule.shown and not _SENT.fullmatch(rule.shown):
        yield Mistake("shown", f"found {rule.shown!r}, expected a number to show")
    if rule.location and not _LOCATION.fullmatch(rule.location):
        yield Mistake("location", f"found {rule.location!r}, expected a URI, as https://…")
    if rule.cause not in REFUSING:
        yield Mistake("cause", f"found {rule.cause}, expected one of {', '.join(REFUSING)}")
    if len(rule.text) > 200 or not rule.text.isprintable():
        yield Mistake("text", "expected up to 200 characters in one line")
    needless = {
        "lines": bool(rule.lines) and out and not goes_out,
        "device": bool(rule.device) and action is not Action.DEVICE,
        "shown": bool(rule.shown) and not goes_out,
        "location": bool(rule.location) and action is not Action.EMERGENCY,
        "premium": rule.premium and action is not Action.TRUNK,
        "cause": rule.cause is not Cause.NUMBER_REFUSED and action is not Action.REFUSE,
        "text": bool(rule.text) and action is not Action.REFUSE,
        "callers": bool(rule.callers) and action is Action.EMERGENCY,
        "hours": bool(rule.hours) and action is Action.EMERGENCY,
        "holidays": bool(rule.holidays) and not rule.hours,
    }
    for field, is_there in needless.items():
        if is_there:
            what = "a rule without hours" if field == "holidays" else f"action {action}"
            yield Mistake(field, f"expected nothing: it is of no use to {what}")


def _checked(field: str, parse: Callable[[str], object], text: str) -> Iterator[Mistake]:
    try:
        parse(text)
    except ValueError as error:
        yield Mistake(field, str(error))


def _no_trunk(name: str, trunks: Collection[str]) -> str:
    there = f"one of {', '.join(trunks)}" if trunks else "a [[trunk]], and there is none"
    return f"found {name!r}, expected {there}"
