"""The dial plan: where a number goes, and why. Pure: the time is an argument, nothing is asked.

One list decides, read from its top; the first rule that fits counts:

1. emergency numbers, by rules and by `plan.emergency`: always, for everybody, by any trunk, and by
   the account of who dials;
2. devices of ours, by their numbers and aliases, and remote agents (`RP_`);
3. the rules of the database, by position and then by name;
4. the account at an outside server of who dials, if he has one;
5. what the configuration says of its trunks (`outgoing`), all that take the number.

A number of `plan.refused` goes nowhere by any of 3 to 5, as it was dialled or as it would be sent,
unless the rule that takes it says `premium`. Order is a position and not what is most specific: two
patterns that overlap are then no riddle, and an explanation is the list read aloud.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from endpoint.callcontrol.hours import parse_hours
from endpoint.callcontrol.model import Interaction
from endpoint.legs.base import Cause, DeviceId
from endpoint.legs.numbering import (
    Course,
    NumberRefused,
    NumberRule,
    TrunkNumbers,
    Ways,
    canonical,
    matches,
    telephone_of,
)

_CODE_DIGITS = 3
"""Of what carriers take before a number, as `#31#` and `*67`: what is behind it is what costs."""


class Direction(StrEnum):
    """Which way a call goes."""

    OUT = "out"
    """Somebody of ours dials."""
    IN = "in"
    """A trunk's call."""


class Action(StrEnum):
    """What becomes of a number that a rule takes."""

    TRUNK = "trunk"
    """It goes to trunks."""
    DEVICE = "device"
    """A device of ours is meant: an extension, a remote agent, an IVR."""
    REFUSE = "refuse"
    EMERGENCY = "emergency"
    """It goes to any trunk, whatever stands against that."""


@dataclass(frozen=True, slots=True)
class Line:
    """A trunk of a rule, and how a number is dialled there."""

    trunk: str
    strip: int = 0
    """So many characters are taken off its beginning,"""
    add: str = ""
    """and these put there."""
    to: str = ""
    """What it becomes, whatever it was."""


AGENT = "agent:"
"""Before the pattern of an agent's number, among the callers of a rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the database."""

    name: str
    """For people; unique."""
    pattern: str
    """The numbers that it takes: see `Pattern`."""
    action: Action
    direction: Direction = Direction.OUT
    position: int = 100
    """Lower ones are looked at first."""
    callers: tuple[str, ...] = ()
    """Patterns of who dials, or of who calls by a trunk; empty: anybody.

    With `AGENT` before it, of the numbers of agents that work where is dialled.
    """
    trunks: tuple[str, ...] = ()
    """By which trunks a call comes; empty: by any. For `IN`."""
    hours: str = ""
    """When it counts; empty: always."""
    time_zone: str = "UTC"
    """Of `hours`."""
    holidays: tuple[str, ...] = ()
    """Days that are `hol` in `hours`."""
    lines: tuple[Line, ...] = ()
    """Tried in this order. For `TRUNK`, and first of all for `EMERGENCY`."""
    device: str = ""
    """Who is meant. For `DEVICE`."""
    shown: str = ""
    """The caller's number that is shown; empty: the trunk's own for him."""
    location: str = ""
    """Where the callers are, as a URI. For `EMERGENCY`."""
    premium: bool = False
    """It takes numbers of `plan.refused` too. For `TRUNK`."""
    cause: Cause = Cause.NUMBER_REFUSED
    """For `REFUSE`,"""
    text: str = ""
    """and the words."""
    enabled: bool = True

    @property
    def is_emergency(self) -> bool:
        """Nothing keeps back what it takes."""
        return self.action is Action.EMERGENCY


class Kind(StrEnum):
    """Where a number goes."""

    DEVICE = "device"
    REMOTE = "remote"
    """A remote agent, whose telephone is called by its number."""
    TRUNK = "trunk"
    ACCOUNT = "account"
    """To the server where the one who dials has an account."""
    EMERGENCY = "emergency"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """No rule takes it, and nobody knows it."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule that was looked at, and what it made of the number."""

    rule: str
    taken: bool
    why: str


Trace = list[Considered] | None
"""What was looked at, in order; None: nobody reads it, and of thousands of rules it is long."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a number goes."""

    kind: Kind
    rule: str
    """What decided, in words."""
    device: DeviceId | None = None
    courses: tuple[Course, ...] = ()
    cause: Cause | None = None
    text: str = ""
    """Why it is refused, or unknown."""
    by_account: bool = False
    """Who dials has an account: its server is asked, in an emergency where no trunk takes it."""

    @property
    def is_refused(self) -> bool:
        """The plan says no."""
        return self.kind is Kind.REFUSED

    @property
    def ways(self) -> Ways | NumberRefused:
        """The same, for the legs."""
        match self.kind:
            case Kind.REFUSED | Kind.UNKNOWN:
                return NumberRefused(
                    self.cause or Cause.UNKNOWN_DEVICE, self.text, by_rule=self.is_refused
                )
            case Kind.DEVICE | Kind.REMOTE:
                return Ways(device=self.device)
            case Kind.ACCOUNT | Kind.TRUNK | Kind.EMERGENCY:
                return Ways(
                    by_account=self.by_account,
                    courses=self.courses,
                    emergency=self.kind is Kind.EMERGENCY,
                )


@dataclass(frozen=True, slots=True)
class Dial:
    """Somebody of ours dials."""

    number: str
    """Without digits for after the answer,"""
    caller: DeviceId
    now: datetime
    digits: str = field(default="", repr=False)
    """which are these."""
    device: DeviceId | None = None
    """The extension of ours that the number means."""
    by_account: bool = False
    """Who dials has an account at an outside server."""
    agent: str = ""
    """The agent that works there; empty: nobody does."""


@dataclass(frozen=True, slots=True)
class DialPlan:
    """All that decides."""

    rules: tuple[Rule, ...] = ()
    """Kept as they are looked at, in whatever order they are given."""
    trunks: tuple[TrunkNumbers, ...] = ()
    """In the order in which they are tried."""
    emergency: tuple[str, ...] = ()
    """Patterns of emergency numbers, beside those of rules."""
    refused: tuple[str, ...] = ()
    """Patterns of numbers that cost more than a call."""
    international: str = "00"
    """What is dialled for `+`."""
    devices: Mapping[str, str] = field(default_factory=dict)
    """Devices of the configuration, and of what kind each is."""
    _of_need: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    """The rules that count, as they are looked at: those of emergencies,"""
    _out: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    """the others for what is dialled,"""
    _in: tuple[Rule, ...] = field(init=False, repr=False, compare=False)
    """and those for what trunks bring."""

    def __post_init__(self) -> None:
        """Sort once, and not for each number."""
        rules = tuple(sorted(self.rules, key=lambda rule: (rule.position, rule.name)))
        out = [each for each in rules if each.enabled and each.direction is Direction.OUT]
        into = [each for each in rules if each.enabled and each.direction is Direction.IN]
        for name, value in (
            ("rules", rules),
            ("_of_need", tuple(each for each in out if each.is_emergency)),
            ("_out", tuple(each for each in out if not each.is_emergency)),
            ("_in", tuple(into)),
        ):
            object.__setattr__(self, name, value)

    # -- out ------------------------------------------------------------------------------------

    def is_emergency(self, number: str) -> bool:
        """Whether who dials it is in need."""
        number = canonical(number)
        rules = (each.pattern for each in self._of_need)
        return any(matches(number, pattern) for pattern in (*self.emergency, *rules))

    def decide(self, dial: Dial, trace: Trace = None) -> Decision:
        """Where a number goes that is dialled. Never raises."""
        number = canonical(dial.number)
        return (
            self._by_emergency(number, dial, trace)
            or self._by_device(number, dial, trace)
            or self._by_rules(number, dial, trace)
            or self._by_configuration(number, dial, trace)
        )

    def _by_emergency(self, number: str, dial: Dial, trace: Trace) -> Decision | None:
        for rule in self._of_need:
            against = None if matches(number, rule.pattern) else _Against.PATTERN
            if not _looked_at(trace, rule, against, number):
                continue
            first = [each for each in rule.lines if each.trunk in self._names]
            rest = [Line(name) for name in self._names if name not in {e.trunk for e in first}]
            courses = [
                Course(
                    each.trunk, sent, (_made(each, rule),), shown=rule.shown, location=rule.location
                )
                for each in (*first, *rest)
                if (sent := _made(each, rule).rewrite(number))
            ]
            return self._emergency(f"rule {rule.name}", courses, dial)
        for pattern in self.emergency:
            if matches(number, pattern):
                _note(trace, "plan.emergency", True, f"{number} is {pattern}")
                courses = [Course(name, number) for name in self._names]
                return self._emergency("plan.emergency", courses, dial)
        if self.emergency:
            _note(trace, "plan.emergency", False, f"{number} is none of them")
        return None

    @staticmethod
    def _emergency(rule: str, courses: list[Course], dial: Dial) -> Decision:
        if courses or dial.by_account:
            return Decision(
                Kind.EMERGENCY, rule, courses=tuple(courses), by_account=dial.by_account
            )
        text = "an emergency number, and there is no trunk"
        return Decision(Kind.UNKNOWN, rule, cause=Cause.TRUNKS_DOWN, text=text)

    @property
    def _names(self) -> list[str]:
        return [each.trunk for each in self.trunks]

    def _by_device(self, number: str, dial: Dial, trace: Trace) -> Decision | None:
        device = dial.device or (DeviceId(dial.number) if dial.number in self.devices else None)
        telephone = telephone_of(DeviceId(dial.number))
        if device is not None:
            what = self.devices.get(device, "extension")
            alias = f", by alias {dial.number}" if device != dial.number else ""
            _note(trace, "devices of ours", True, f"{device} is one ({what}){alias}")
            kind = Kind.DEVICE if telephone_of(device) is None else Kind.REMOTE
            return Decision(kind, "devices of ours", device)
        _note(trace, "devices of ours", False, f"{number} is none")
        if telephone is None:
            return None
        text = f"there is no remote agent {dial.number}"
        return Decision(Kind.UNKNOWN, "devices of ours", cause=Cause.UNKNOWN_DEVICE, text=text)

    def _by_rules(self, number: str, dial: Dial, trace: Trace) -> Decision | None:
        for rule in self._out:
            against = _stands_against(rule, number, dial.caller, dial.now, dial.agent)
            caller = f"{dial.caller} ({AGENT}{dial.agent})" if dial.agent else dial.caller
            if not _looked_at(trace, rule, against, number, caller):
                continue
            name = f"rule {rule.name}"
            match rule.action:
                case Action.REFUSE:
                    return _refused(rule, number)
                case Action.DEVICE:
                    device = DeviceId(rule.device)
                    kind = Kind.DEVICE if telephone_of(device) is None else Kind.REMOTE
                    return Decision(kind, name, device)
                case Action.TRUNK | Action.EMERGENCY:
                    courses = tuple(_courses(rule, number, self._names))
                    if not courses:
                        text = f"{name} takes {number}, and none of its trunks is there"
                        return Decision(Kind.REFUSED, name, cause=Cause.TRUNKS_DOWN, text=text)
                    decision = Decision(Kind.TRUNK, name, courses=courses)
                    return decision if rule.premium else self._paid(decision, number, dial, trace)
        return None

    def _by_configuration(self, number: str, dial: Dial, trace: Trace) -> Decision:
        if dial.by_account:
            why = f"{dial.caller} has one, whose server takes every number"
            _note(trace, "account", True, why)
            decision = Decision(Kind.ACCOUNT, "account", by_account=True)
            return self._paid(decision, number, dial, trace)
        courses: list[Course] = []
        for trunk in self.trunks:
            rule = next((each for each in trunk.outgoing if each.takes(number)), None)
            sent = rule.rewrite(number) if rule is not None else ""
            name = f"trunk {trunk.trunk}"
            if rule is None or not sent:
                _note(trace, name, False, f"its outgoing takes no {number}")
                continue
            _note(trace, name, True, f"{rule.match} takes {number}, sent as {sent}")
            courses.append(Course(trunk.trunk, sent, trunk.outgoing))
        if courses:
            decision = Decision(Kind.TRUNK, "trunks of the configuration", courses=tuple(courses))
            return self._paid(decision, number, dial, trace)
        unknown = Decision(
            Kind.UNKNOWN,
            "none",
            cause=Cause.UNKNOWN_DEVICE,
            text=f"nobody knows {dial.number}: no device has it, and no rule or trunk takes it",
        )
        return self._paid(unknown, number, dial, trace)

    def _paid(self, decision: Decision, number: str, dial: Dial, trace: Trace) -> Decision:
        """A decision, unless the number is one that costs more than a call."""
        for sent in (number, *(course.number for course in decision.courses)):
            # Digits behind a dash are dialled too, if later: a number may be cut anywhere.
            for whole in dict.fromkeys((sent, sent + dial.digits)):
                pattern = self.premium(whole)
                if pattern:
                    behind = " with the digits behind it" if whole != sent else ""
                    text = f"{sent}{behind} is {pattern} of plan.refused: no rule lets it be called"
                    _note(trace, "plan.refused", True, text)
                    return Decision(
                        Kind.REFUSED, "plan.refused", cause=Cause.NUMBER_REFUSED, text=text
                    )
        if self.refused:
            _note(trace, "plan.refused", False, f"{number} is none of them")
        return decision

    def premium(self, number: str) -> str:
        """The pattern of `refused` that a number is of, however it is written; else empty."""
        for written in self._spellings(canonical(number)):
            for pattern in self.refused:
                if matches(written, pattern):
                    return pattern
        return ""

    def _spellings(self, number: str) -> Iterator[str]:
        cuts = 1
        if number[:1] in ("*", "#"):
            cuts += max(map(number.rfind, "*#")) + _CODE_DIGITS
        for cut in range(min(cuts, len(number)) or 1):
            behind = number[cut:]
            yield behind
            if self.international and behind.startswith(self.international):
                yield "+" + behind[len(self.international) :]

    # -- in -------------------------------------------------------------------------------------

    def decide_incoming(
        self, trunk: str, number: str, caller: str, now: datetime, trace: Trace = None
    ) -> Decision:
        """Whom a trunk's call is for. Never raises."""
        number, calling = canonical(number), canonical(caller)
        for rule in self._in:
            against = _stands_against(rule, number, calling, now)
            if against is None and rule.trunks and trunk not in rule.trunks:
                against = _Against.TRUNK
            if not _looked_at(trace, rule, against, number, calling, trunk):
                continue
            if rule.action is Action.DEVICE:
                return Decision(Kind.DEVICE, f"rule {rule.name}", DeviceId(rule.device))
            return _refused(rule, number)
        own = next((each for each in self.trunks if each.trunk == trunk), TrunkNumbers(trunk))
        for given in own.incoming:
            device = given.rewrite(number) if given.takes(number) else ""
            if device:
                why = f"{given.match} of its incoming takes {number}"
                _note(trace, f"trunk {trunk}", True, why)
                return Decision(Kind.DEVICE, f"trunk {trunk}", DeviceId(device))
        _note(trace, f"trunk {trunk}", False, f"its incoming takes no {number}")
        text = f"{number} of trunk {trunk} is no device's"
        return Decision(Kind.UNKNOWN, "none", cause=Cause.UNKNOWN_DEVICE, text=text)


class PlanInUse:
    """The plan that counts now, and the time: what call control and the legs ask.

    It is exchanged whole, so that each number is decided by one plan; implements `Numbering`.
    """

    def __init__(
        self,
        plan: DialPlan,
        clock: Callable[[], datetime],
        has_account: Callable[[DeviceId], bool] = lambda _: False,
        agent_at: Callable[[DeviceId], str] = lambda _: "",
    ) -> None:
        """Set up.

        Args:
            plan: to begin with.
            clock: the time.
            has_account: whether a device has one at an outside server.
            agent_at: who works there; empty: nobody.
        """
        self.plan = plan
        """Set to another one, it counts from the next number on."""
        self._clock = clock
        self._has_account = has_account
        self._agent_at = agent_at

    def decide(
        self,
        number: str,
        caller: DeviceId,
        *,
        digits: str = "",
        device: DeviceId | None = None,
        at: datetime | None = None,
        trace: Trace = None,
    ) -> Decision:
        """See `DialPlan.decide`; `at` is another time than now.

        The caller may be an agent, as rules name it, wherever that works.
        """
        by_account = self._has_account(caller)
        now, agent = at or self._clock(), self._agent_of(caller)
        dial = Dial(number, caller, now, digits, device, by_account, agent)
        return self.plan.decide(dial, trace)

    def _agent_of(self, caller: DeviceId) -> str:
        named = caller.removeprefix(AGENT)
        return named if named != caller else self._agent_at(caller)

    def decide_incoming(
        self,
        trunk: str,
        number: str,
        caller: str,
        *,
        at: datetime | None = None,
        trace: Trace = None,
    ) -> Decision:
        """See `DialPlan.decide_incoming`."""
        return self.plan.decide_incoming(trunk, number, caller, at or self._clock(), trace)

    def is_emergency(self, dialled: str) -> bool:
        """See `DialPlan.is_emergency`; digits for after the answer are none of the number's."""
        return self.plan.is_emergency(dialled.partition("-")[0])

    def is_needed(self, interaction: Interaction) -> bool:
        """Whether somebody in it is who is called in an emergency."""
        return any(
            self.is_emergency(each.number)
            for call in interaction.calls
            for each in call.connections
            if each.is_live
        )

    def is_device(self, number: DeviceId) -> bool:
        """Whether the configuration has a device of that name."""
        return number in self.plan.devices

    def outgoing(
        self, number: str, calling: DeviceId, *, by_account: bool = False
    ) -> Ways | NumberRefused:
        """See `Numbering`."""
        agent = self._agent_of(calling)
        dial = Dial(number, calling, self._clock(), by_account=by_account, agent=agent)
        return self.plan.decide(dial).ways

    def incoming(self, trunk: str, number: str, calling: str) -> DeviceId | NumberRefused:
        """See `Numbering`."""
        decision = self.decide_incoming(trunk, number, calling)
        if decision.device is not None:
            return decision.device
        refused = decision.ways
        assert isinstance(refused, NumberRefused)
        return refused

    def premium(self, number: str) -> str:
        """See `Numbering`."""
        pattern = self.plan.premium(number)
        return f"{number} is {pattern} of plan.refused" if pattern else ""


# -- rules --------------------------------------------------------------------------------------


class _Against(StrEnum):
    """Why a rule does not count for a number; made words of where somebody wants to read them."""

    PATTERN = "{rule.pattern} does not take {number}"
    CALLER = "{caller} is none of its callers ({callers})"
    HOURS = "it is not {rule.hours} ({rule.time_zone})"
    TRUNK = "it is not for trunk {trunk}"


def _stands_against(
    rule: Rule, number: str, caller: str, now: datetime, agent: str = ""
) -> _Against | None:
    if not matches(number, rule.pattern):
        return _Against.PATTERN
    if rule.callers and not any(_is_meant(caller, agent, each) for each in rule.callers):
        return _Against.CALLER
    if rule.hours and not parse_hours(rule.hours, rule.time_zone, rule.holidays).are_open(now):
        return _Against.HOURS
    return None


def _is_meant(caller: str, agent: str, pattern: str) -> bool:
    named = pattern.removeprefix(AGENT)
    return matches(caller, pattern) if named == pattern else bool(agent) and matches(agent, named)


def _looked_at(
    trace: Trace,
    rule: Rule,
    against: _Against | None,
    number: str,
    caller: str = "",
    trunk: str = "",
) -> bool:
    """Whether a rule counts for a number; noted where somebody reads it."""
    if trace is not None:
        why = f"takes {rule.pattern}"
        if against is not None:
            callers = ", ".join(rule.callers)
            facts = {"rule": rule, "number": number, "caller": caller, "callers": callers}
            why = against.format(**facts, trunk=trunk)
        _note(trace, f"rule {rule.name}", against is None, why)
    return against is None


def _note(trace: Trace, rule: str, taken: bool, why: str) -> None:
    if trace is not None:
        trace.append(Considered(rule, taken, why))


def _made(line: Line, rule: Rule) -> NumberRule:
    return NumberRule(rule.pattern, line.strip, line.add, line.to)


def _courses(rule: Rule, number: str, trunks: list[str]) -> Iterator[Course]:
    for line in rule.lines:
        made = _made(line, rule)
        sent = made.rewrite(number)
        if sent and line.trunk in trunks:
            yield Course(line.trunk, sent, (made,), shown=rule.shown)


def _refused(rule: Rule, number: str) -> Decision:
    text = rule.text or f"rule {rule.name} refuses {number}"
    return Decision(Kind.REFUSED, f"rule {rule.name}", cause=rule.cause, text=text)
