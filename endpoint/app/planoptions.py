"""What `plan add` and `plan change` say of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from endpoint.app.context import ConfigFile
from endpoint.app.options import options_of, sharing
from endpoint.app.output import Json

PATTERN = typer.Option(
    "--pattern", help="Numbers that it takes: 0800123, 0*, _0[1-9]X. (docs/dialplan.md)."
)
Texts = list[str] | None


@dataclass(frozen=True)
class RuleOptions:
    """Options of a rule; None: nothing is said."""

    trunk: Annotated[
        Texts,
        typer.Option(
            "--trunk",
            help="TRUNK[,strip=N][,add=TEXT][,to=NUMBER], tried in this order. With --in its name.",
        ),
    ] = None
    to: Annotated[str | None, typer.Option("--to", help="The device of ours that is meant.")] = None
    refuse: Annotated[bool | None, typer.Option("--refuse", help="Refuse what it takes.")] = None
    emergency: Annotated[
        bool | None, typer.Option("--emergency", help="Let nothing keep it back.")
    ] = None
    incoming: Annotated[bool | None, typer.Option("--in", help="For calls of trunks.")] = None
    position: Annotated[int | None, typer.Option(help="Lower ones are looked at first.")] = None
    callers: Annotated[
        Texts,
        typer.Option(
            "--caller",
            help="Pattern of who may, as 60*, or of agents, as agent:20*; may be repeated.",
        ),
    ] = None
    hours: Annotated[
        str | None, typer.Option("--hours", help="As mon-fri 08:00-18:00, sat+hol 09:00-12:00.")
    ] = None
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", help="Of --hours; by default UTC.")
    ] = None
    holidays: Annotated[
        Texts, typer.Option("--holiday", help="2026-12-25 or 12-25; may be repeated.")
    ] = None
    shown: Annotated[
        str | None, typer.Option("--shown", help="The caller's number that is shown.")
    ] = None
    location: Annotated[
        str | None,
        typer.Option("--location", help="Where callers are, as a URI; with --emergency."),
    ] = None
    premium: Annotated[
        bool | None, typer.Option("--premium/--no-premium", help="Also numbers of plan.refused.")
    ] = None
    cause: Annotated[str | None, typer.Option("--cause", help="With --refuse, as busy.")] = None
    text: Annotated[str | None, typer.Option("--text", help="Why, with --refuse.")] = None
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether it counts.")] = None
    config: ConfigFile = None
    as_json: Json = False

    def facts(self) -> dict[str, Any]:
        """What was said beside the action; an empty text in a list takes the list away."""
        said = {name: getattr(self, name) for name in _FACTS}
        for name in ("callers", "holidays"):
            if said[name] is not None:
                said[name] = [each for each in said[name] if each]
        return {name: value for name, value in said.items() if value is not None}

    def action(self, incoming: bool) -> dict[str, Any]:
        """What becomes of a number, from options of which one at most can be right."""
        goals = {
            "--to": self.to is not None,
            "--refuse": self.refuse,
            "--emergency": self.emergency,
        }
        chosen = [name for name, given in goals.items() if given]
        if len(chosen) > 1:
            raise typer.BadParameter(f"{' and '.join(chosen)} exclude each other")
        said: dict[str, Any] = {"direction": "in"} if incoming else {}
        if self.trunk:
            said |= {"trunks": self.trunk} if incoming else {"lines": list(map(_line, self.trunk))}
        if self.to is not None:
            return {**said, "action": "device", "device": self.to}
        if self.refuse:
            return {**said, "action": "refuse"}
        if self.emergency:
            return {**said, "action": "emergency"}
        if self.trunk and not incoming:
            return {**said, "action": "trunk"}
        return said


_FACTS = (
    "position",
    "callers",
    "hours",
    "time_zone",
    "holidays",
    "shown",
    "location",
    "premium",
    "cause",
    "text",
    "enabled",
)
of_a_rule = sharing("said", options_of(RuleOptions), RuleOptions)
"""Gives a command all of them, as its `said`."""


def _line(text: str) -> dict[str, Any]:
    trunk, *facts = text.split(",")
    line: dict[str, Any] = {"trunk": trunk}
    for fact in facts:
        key, equals, value = fact.partition("=")
        if key not in ("strip", "add", "to") or not equals:
            raise typer.BadParameter(f"--trunk: found {fact!r}, expected strip=, add= or to=")
        if key == "strip" and not value.isdecimal():
            raise typer.BadParameter(f"--trunk: found strip={value}, expected a number")
        line[key] = int(value) if key == "strip" else value
    return line
