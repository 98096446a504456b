"""Figures of media plane and signalling, as ratios to a peer under the same load in the same run.

`python -m tests.bench [BENCH …]`. Ends with one table, or with `--json` one object. Exit status 1
where a limit was missed, 2 where something must be installed first. docs/bench.md says what each
row means.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import structlog
from rich.console import Console

from tests.bench.agents import agents
from tests.bench.centre import centre
from tests.bench.commands import interactions, switching
from tests.bench.conferences import conference
from tests.bench.forwarding import g711, webrtc
from tests.bench.latency import across, latency
from tests.bench.recording import recording
from tests.bench.records import records
from tests.bench.recovery import recovery
from tests.bench.report import Row, as_json, show
from tests.bench.rooms import rooms
from tests.bench.rtpload import Ground, Missing
from tests.bench.setting_up import first_audio, memory
from tests.bench.signalling import calls, registrations
from tests.bench.switching import hold
from tests.bench.transcode import transcode

PAPER = 110
"""Columns, where the output is no terminal."""

Bench = Callable[[Ground], Awaitable[list[Row]]]

BENCHES: Mapping[str, Bench] = {
    "g711": g711,
    "webrtc": webrtc,
    "latency": latency,
    "across": across,
    "first-audio": first_audio,
    "memory": memory,
    "hold": hold,
    "switching": switching,
    "conference": conference,
    "recording": recording,
    "interactions": interactions,
    "recovery": recovery,
    "rooms": rooms,
    "transcode": transcode,
    "records": records,
    "agents": agents,
    "centre": centre,
    "registrations": registrations,
    "calls": calls,
}


async def run(names: list[str], ground: Ground) -> list[Row]:
    """Run benches one after the other; one that breaks costs its own rows alone."""
    rows: list[Row] = []
    for name in names:
        try:
            rows += await BENCHES[name](ground)
        except Missing:
            raise
        except Exception as error:
            rows.append(Row.of_broken(name, error))
    return rows


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="figures of the media plane, less is better"
    )
    parser.add_argument("bench", nargs="*", choices=[[], *BENCHES], help="which (default: all)")
    parser.add_argument("--legs", type=int, default=200)
    parser.add_argument("--few-legs", type=int, default=36, help="as many as aiortc can carry")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best one counts")
    parser.add_argument("--times", type=int, default=40, help="set-ups, holds")
    parser.add_argument(
        "--calls-seconds", type=float, default=180.0, help="how long calls are placed"
    )
    parser.add_argument("--records", type=int, default=100_000, help="among which is searched")
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    progress, started = Console(stderr=True), time.monotonic()

    def say(text: str) -> None:
        progress.print(f"{time.monotonic() - started:4.0f} s  {text}", style="dim")

    try:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(
                Path(folder),
                say,
                legs=arguments.legs,
                few_legs=arguments.few_legs,
                seconds=arguments.seconds,
                rounds=arguments.rounds,
                times=arguments.times,
                calls_s=arguments.calls_seconds,
                records=arguments.records,
            )
            rows = asyncio.run(run(arguments.bench or list(BENCHES), ground))
    except Missing as missing:
        progress.print(f"[red]can't run:[/red] {missing}")
        return 2
    if arguments.json:
        sys.stdout.write(as_json(rows) + "\n")
    else:
        show(rows, Console(width=None if sys.stdout.isatty() else PAPER))
    return int(any(row.faults for row in rows))


if __name__ == "__main__":
    sys.exit(main())
