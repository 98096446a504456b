"""The dial plan's book: rules are checked, kept, and count from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol, Self

import msgspec
import structlog

from endpoint.app.directory import Directory
from endpoint.callcontrol.dialplan import (
    Considered,
    Decision,
    DialPlan,
    Direction,
    Kind,
    PlanInUse,
    Rule,
)
from endpoint.callcontrol.planrules import PlanRules, mistakes_of, trunks_of
from endpoint.errors import CommandRejected
from endpoint.gateways.native import planmessages as wire
from endpoint.legs.base import Cause, DeviceId

log = structlog.get_logger(__name__)

MOST_RULES = 5000


class PlanDesk(Protocol):
    """Where rules are asked for and changed: the endpoint that runs, or the database alone."""

    async def plan(self) -> wire.Plan:
        """All that decides."""

    async def add_plan_rule(self, rule: wire.PlanRule) -> wire.PlanRule:
        """One more."""

    async def change_plan_rule(self, name: str, rule: wire.PlanRule) -> wire.PlanRule:
        """One in the place of another."""

    async def remove_plan_rule(self, name: str) -> None:
        """One less."""

    async def replace_plan(self, rules: Sequence[wire.PlanRule]) -> wire.Plan:
        """These, and no others."""

    async def ask_plan(self, asked: wire.AskPlan) -> wire.PlanAnswer:
        """What would happen to a number."""


class PlanRejected(CommandRejected):
    """Rules that can't be kept; nothing has changed."""

    def __init__(
        self, status: int, error: str, text: str, mistakes: Sequence[wire.PlanMistake] = ()
    ) -> None:
        said = "; ".join(f"{each.field}: {each.text}" for each in mistakes)
        super().__init__(error, f"{text}: {said}" if said else text)
        self.status = status
        """Of HTTP."""
        self.refused = wire.PlanRefused(error, str(self), list(mistakes))

    @classmethod
    def unknown(cls, name: str) -> Self:
        """There is no such rule."""
        return cls(404, "unknown_rule", f"there is no rule {name}")

    @classmethod
    def taken(cls, name: str) -> Self:
        """There is one already."""
        return cls(
            409, "name_taken", f"there is a rule {name} already; change it, or take another name"
        )


class PlanBook:
    """Rules of the database, and the plan that counts; a `PlanDesk`."""

    def __init__(
        self,
        rules: PlanRules,
        in_use: PlanInUse,
        *,
        directory: Directory,
        may_show: Mapping[str, Collection[str]],
        extension: Callable[[DeviceId], Awaitable[DeviceId | None]],
        is_up: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        """Set up; `load` reads the rules.

        Args:
            rules: where they are kept.
            in_use: has them from then on.
            directory: the devices of ours.
            may_show: trunks by name, and the patterns of callers' numbers that each may show.
            extension: the extension of ours that a number means.
            is_up: which trunks take calls.
        """
        self._rules = rules
        self._in_use = in_use
        self._directory = directory
        self._may_show = may_show
        self._extension = extension
        self._is_up = is_up
        self._changing = asyncio.Lock()
        """Held from the change of a rule until it counts: what was read before must not count
        after it."""

    async def load(self) -> None:
        """Let the rules that are kept count; not one that can't be read, as made by hand."""
        async with self._changing:
            await self._load()

    async def _load(self) -> None:
        rules, before = await self._rules.all(), self._in_use.plan
        # Thousands, here as below, hold up no call meanwhile.
        self._in_use.plan = await asyncio.to_thread(
            lambda: replace(before, rules=self._counting(rules))
        )

    def _counting(self, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        kept: list[Rule] = []
        for rule in rules:
            gone = [name for name in trunks_of(rule) if name not in self._may_show]
            if gone:
                log.warning("a rule of the dial plan has trunks that are gone", rule=rule.name)
            if mistakes := mistakes_of(rule, {**self._may_show, **dict.fromkeys(gone, ())}):
                log.error("a rule of the dial plan does not count", rule=rule.name, why=mistakes)
            else:
                kept.append(rule)
        return tuple(kept)

    async def plan(self) -> wire.Plan:
        """See `PlanDesk`."""
        plan = self._in_use.plan
        await self._directory.refresh()
        devices = list({DeviceId(rule.device) for rule in plan.rules if rule.device})
        # At once: one statement of the database is for all who ask meanwhile.
        said = await asyncio.gather(*map(self._missing, devices))
        missing = {device: text for device, text in zip(devices, said, strict=True) if text}
        return await asyncio.to_thread(self._all_told, plan, missing)

    async def _missing(self, device: DeviceId) -> str:
        """What is said where a rule leads to nobody; empty where it leads to a device of ours."""
        if device in self._directory or await self._extension(device) is not None:
            return ""
        there = [each.device for each in self._directory.all()]
        found = f"there are {', '.join(there[:20])}" if there else "there is none"
        more = f" and {len(there) - 20} more" if len(there) > 20 else ""
        return f"there is no device {device} now, and its calls fail; {found}{more}"

    @staticmethod
    def _all_told(plan: DialPlan, missing: Mapping[DeviceId, str]) -> wire.Plan:
        rules = [
            _told(rule)
            for direction in Direction
            for rule in plan.rules
            if rule.direction is direction
        ]
        emergency, refused = list(plan.emergency), list(plan.refused)
        lacking = {
            rule.name: missing[device]
            for rule in plan.rules
            if (device := DeviceId(rule.device)) in missing
        }
        return wire.Plan(rules, emergency, refused, plan.international, lacking)

    async def add_plan_rule(self, rule: wire.PlanRule) -> wire.PlanRule:
        """See `PlanDesk`. Raises PlanRejected."""
        made = self._checked([rule])[0]
        async with self._changing:
            if len(self._in_use.plan.rules) >= MOST_RULES:
                raise PlanRejected(409, "too_many", f"there are {MOST_RULES} rules already")
            if not await self._rules.add(made):
                raise PlanRejected.taken(rule.name)
            await self._load()
        return _told(made)

    async def change_plan_rule(self, name: str, rule: wire.PlanRule) -> wire.PlanRule:
        """See `PlanDesk`. Raises PlanRejected."""
        made = self._checked([rule])[0]
        async with self._changing:
            match await self._rules.change(name, made):
                case None:
                    raise PlanRejected.unknown(name)
                case False:
                    raise PlanRejected.taken(rule.name)
                case True:
                    await self._load()
        return _told(made)

    async def remove_plan_rule(self, name: str) -> None:
        """See `PlanDesk`. Raises PlanRejected."""
        async with self._changing:
            if not await self._rules.remove(name):
                raise PlanRejected.unknown(name)
            await self._load()

    async def replace_plan(self, rules: Sequence[wire.PlanRule]) -> wire.Plan:
        """See `PlanDesk`. Raises PlanRejected."""
        made = await asyncio.to_thread(self._checked, rules, of_many=True)
        async with self._changing:
            await self._rules.replace(made)
            await self._load()
        return await self.plan()

    async def ask_plan(self, asked: wire.AskPlan) -> wire.PlanAnswer:
        """See `PlanDesk`. Raises PlanRejected for a time without a time zone."""
        if asked.at is not None and asked.at.tzinfo is None:
            mistake = wire.PlanMistake("at", "expected a time zone, as 2026-12-25T10:00:00+01:00")
            raise PlanRejected(400, "bad_field", "the time can't be understood", [mistake])
        trace: list[Considered] = []
        if asked.trunk:
            if asked.trunk not in self._may_show:
                mistake = wire.PlanMistake("trunk", f"there is no trunk {asked.trunk}")
                raise PlanRejected(400, "bad_field", "no call comes from there", [mistake])
            decision = self._in_use.decide_incoming(
                asked.trunk, asked.number, asked.calling, at=asked.at, trace=trace
            )
        else:
            number, _, extension = asked.number.partition("-")
            decision = self._in_use.decide(
                number,
                DeviceId(asked.calling),
                digits=extension.lstrip("Ww"),
                device=await self._extension(DeviceId(number)),
                at=asked.at,
                trace=trace,
            )
        if decision.device is not None:
            await self._directory.refresh()
            if missing := await self._missing(decision.device):
                text = f"{decision.rule} leads to {decision.device}: {missing}"
                decision = replace(
                    decision, kind=Kind.UNKNOWN, cause=Cause.UNKNOWN_DEVICE, text=text
                )
        return self._answer(asked.number, decision, trace)

    def _answer(
        self, number: str, decision: Decision, trace: Sequence[Considered]
    ) -> wire.PlanAnswer:
        up = self._is_up()
        return wire.PlanAnswer(
            number,
            _kind(decision),
            decision.rule,
            decision.device or "",
            [
                wire.PlanCourse(each.trunk, each.number, each.shown, up.get(each.trunk))
                for each in decision.courses
            ],
            decision.cause or "",
            decision.text,
            [wire.PlanStep(each.rule, each.taken, each.why) for each in trace],
        )

    def _checked(self, rules: Sequence[wire.PlanRule], *, of_many: bool = False) -> list[Rule]:
        """The rules, if they are whole. Raises PlanRejected with every mistake."""
        made: list[Rule] = []
        mistakes: list[wire.PlanMistake] = []
        names: set[str] = set()
        for index, rule in enumerate(rules):
            where = f"rules[{index}]." if of_many else ""
            one = msgspec.convert(msgspec.to_builtins(rule), Rule)
            mistakes += [
                wire.PlanMistake(where + each.field, each.text)
                for each in mistakes_of(one, self._may_show)
            ]
            if one.name in names:
                mistakes.append(wire.PlanMistake(f"{where}name", f"found {one.name!r} twice"))
            names.add(one.name)
            made.append(one)
        if mistakes:
            raise PlanRejected(400, "bad_rule", "the rule is not whole", mistakes)
        return made


def _told(rule: Rule) -> wire.PlanRule:
    return msgspec.convert(msgspec.to_builtins(rule), wire.PlanRule)


def _kind(
    decision: Decision,
) -> Literal["device", "remote", "trunk", "account", "emergency", "refused", "unknown"]:
    return decision.kind.value
