"""What a bench has found: one row a figure, one table for all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.rtpload import Load

INTACT_PERCENT = 99.99


class Of(StrEnum):
    """What a limit is set to."""

    OURS = "ours"
    RATIO = "ratio"
    """Ours by the peer's."""


class Row(Struct, frozen=True, kw_only=True):
    """One figure. Less is better."""

    name: str
    what: str
    """In a few words, with the number of legs."""
    unit: str
    ours: float
    peer_name: str = ""
    peer: float | None = None
    """Of the same run, under the same load."""
    limit: float | None = None
    """At most this passes. None: told, not judged."""
    wanted: float | None = None
    of: Of = Of.OURS
    loads: list[Load] = []
    """What the generator saw of our own runs: all of it must be whole."""
    details: dict[str, float] = {}
    """What else was seen, by name."""
    broke: str = ""
    """Why there is no figure."""

    @classmethod
    def of_broken(cls, bench: str, error: Exception) -> Row:
        """In place of the rows of a bench that did not come to its end."""
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        broke = f"{type(error).__name__}: {error}"
        return cls(name=bench, what="did not finish", unit="", ours=math.nan, broke=broke)

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's."""
        return self.ours / self.peer if self.peer else None

    @property
    def judged(self) -> float | None:
        """What the limit is set to."""
        return self.ours if self.of is Of.OURS else self.ratio

    @property
    def faults(self) -> list[str]:
        """Why it fails; empty: it passes."""
        judged, faults = self.judged, [self.broke] if self.broke else []
        if self.limit is not None and (judged is None or judged > self.limit):
            told = "nothing" if judged is None else _figure(judged)
            faults.append(f"{self.of} {told}, at most {_figure(self.limit)} allowed")
        return faults + [fault for load in self.loads for fault in audio_faults(load)]


def audio_faults(load: Load) -> list[str]:
    """What is wrong with the audio that came through."""
    faults = []
    if load.intact_percent < INTACT_PERCENT:
        faults.append(f"{load.intact_percent:.4g} % of the packets intact")
    for count, what in (
        (load.wrong_leg, "packets on a wrong leg"),
        (load.changed, "changed packets"),
        (load.deaf_legs, "deaf legs"),
        (load.breaks, "breaks in sequence"),
    ):
        if count:
            faults.append(f"{count} {what}")
    return faults


def show(rows: Sequence[Row], console: Console) -> None:
    """One table for a person; beneath it what each row is, and what was missed."""
    table = Table(title="Less is better", box=box.SIMPLE_HEAD)
    for heading in ("row", "ours", "peer", "ratio", "at most (wanted)", "intact %", ""):
        table.add_column(
            heading, justify="left" if heading in ("row", "") else "right", no_wrap=True
        )
    for row in rows:
        intact = min((load.intact_percent for load in row.loads), default=None)
        verdict = "" if row.limit is None else "[green]pass[/green]"
        table.add_row(
            row.name,
            f"{_figure(row.ours)} {row.unit}",
            "" if row.peer is None else f"{_figure(row.peer)} {row.peer_name}",
            "" if row.ratio is None else _figure(row.ratio),
            _limits(row),
            "" if intact is None else f"{intact:.3f}",
            "[red]FAIL[/red]" if row.faults else verdict,
        )
    console.print(table)
    for row in rows:
        told = ", ".join(f"{name} {_figure(value)}" for name, value in row.details.items())
        console.print(f"[bold]{row.name}[/bold] {row.what}" + (f": {told}" if told else ""))
    for row in rows:
        for fault in row.faults:
            console.print(f"[red]missed:[/red] {row.name}: {fault}")


def as_json(rows: Sequence[Row]) -> str:
    """All rows, with what follows from them."""
    derived = [
        {**msgspec.to_builtins(row), "ratio": row.ratio, "faults": row.faults} for row in rows
    ]
    return msgspec.json.encode(derived).decode()


def _limits(row: Row) -> str:
    if row.limit is None:
        return ""
    of = " x" if row.of is Of.RATIO else ""
    wanted = "" if row.wanted is None else f" ({_figure(row.wanted)})"
    return f"{_figure(row.limit)}{of}{wanted}"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
