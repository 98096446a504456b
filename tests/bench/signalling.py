"""What calls and registrations cost: SIPp through us beside SIPp straight to SIPp."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from endpoint.app.enrolment import add_extension
from endpoint.app.settings import Config
from endpoint.app.wiring import Endpoint
from endpoint.storage.extensions import Extension
from tests.bench.report import Row
from tests.bench.rtpload import Ground, cpu_time_s, require
from tests.interop.peers.process import Process, free_port

SCENARIOS: Final = Path(__file__).with_name("sipp")
PASSWORD: Final = "signalling-bench-4WqZx9"
CALLEE: Final = "7001"
RATE: Final = 20
"""Calls a second."""
TALK_S: Final = 2.0
CALLERS: Final = 200
HOST: Final = "127.0.0.1"


async def calls(ground: Ground) -> list[Row]:
    """INVITE to 200, CPU of the control process a call, and how many of all calls failed."""
    count = max(1, round(RATE * ground.calls_s))
    folder = made(ground.folder / "calls")
    ground.say(f"{RATE} calls a second, SIPp to SIPp")
    with_us, without = made(folder / "through"), made(folder / "straight")
    async with callee(without) as port:
        straight = await Caller(without, f"{HOST}:{port}", "").run(min(count, 10 * RATE))
    async with endpoint(folder) as (server, _), callee(with_us) as port:
        await registered(with_us, server, [(CALLEE, port)])
        ground.say(f"{RATE} calls a second through us, {count} calls")
        before = cpu_time_s(os.getpid())
        through = await Caller(with_us, server, CALLEE).run(count)
        cpu_ms = 1000 * (cpu_time_s(os.getpid()) - before) / count
    return [
        *(
            Row(
                name=f"call-{name}",
                what=f"INVITE to 200 at {RATE} calls a second, {name}",
                unit="ms",
                ours=quantile(through.times_ms, share),
                peer_name="SIPp",
                peer=quantile(straight.times_ms, share),
            )
            for name, share in (("p50", 0.5), ("p99", 0.99))
        ),
        Row(
            name="call-cpu",
            what="CPU of the control process for a call, from INVITE to BYE, with digest",
            unit="ms",
            ours=cpu_ms,
        ),
        Row(
            name="calls-failed",
            what=f"of {count} calls, {RATE} a second",
            unit="calls",
            ours=float(through.failed),
            limit=0,
        ),
    ]


async def registrations(ground: Ground) -> list[Row]:
    """CPU of a REGISTER with its challenge and its digest."""
    count = 50 * max(1, ground.times)
    folder = made(ground.folder / "registrations")
    async with endpoint(folder) as (server, users):
        ground.say(f"{count} registrations")
        bindings = [(users[index % len(users)], 9) for index in range(count)]
        before = cpu_time_s(os.getpid())
        await registered(folder, server, bindings)
        cpu_s = cpu_time_s(os.getpid()) - before
    return [
        Row(
            name="register-cpu",
            what="CPU for a registration: REGISTER, 401, REGISTER with a digest, 200",
            unit="ms",
            ours=1000 * cpu_s / count,
            details={"a core-second": count / cpu_s},
        )
    ]


@asynccontextmanager
async def endpoint(folder: Path) -> AsyncIterator[tuple[str, list[str]]]:
    """An endpoint in this process; yields where it is, and who may register and call."""
    config = Config.model_validate(
        {
            "http": {"port": 0, "plain_port": 0},
            "sip": {
                "port": 0,
                "limits": {"exempt": [f"{HOST}/32"], "calls_per_second": 10 * RATE},
            },
            "calls": {"dials_per_minute": 10_000, "at_once": 1000},
            "state": {"directory": folder / "state"},
        }
    )
    users = [str(6000 + number) for number in range(CALLERS)]
    async with Endpoint(config) as running:
        for number in (*users, CALLEE):
            await add_extension(
                running.extensions, config.sip.realm, Extension(number), PASSWORD, replace=True
            )
        host, port = running.sip_address
        yield f"{host}:{port}", users


def made(folder: Path) -> Path:
    """A folder that is there."""
    folder.mkdir()
    return folder


def table(folder: Path, rows: Sequence[tuple[str, int]]) -> Path:
    """Users for SIPp: name, proof, port."""
    path = folder / "users.csv"
    lines = (f"{user};[authentication username={user} password={PASSWORD}];{p}" for user, p in rows)
    path.write_text("\n".join(["SEQUENTIAL", *lines, ""]))
    return path


async def registered(folder: Path, server: str, bindings: Sequence[tuple[str, int]]) -> None:
    """Register each user for a port."""
    users = table(folder, bindings)
    # As fast as they are answered: so many at a time.
    pace = "-m", str(len(bindings)), "-r", "2000", "-l", "20"
    await sipp(folder, "register", server, ["-inf", str(users), *pace, "-auth_uri", server])


@asynccontextmanager
async def callee(folder: Path) -> AsyncIterator[int]:
    """SIPp that answers all calls; yields its port."""
    port = free_port()
    arguments = [*common("callee", port), "-s", CALLEE]
    async with Process(arguments, directory=folder, name="callee") as process:
        await process.listening(port)
        yield port


class Caller:
    """SIPp that calls: what came of it."""

    def __init__(self, folder: Path, server: str, target: str) -> None:
        self.times_ms: list[float] = []
        self.failed = 0
        self._folder = folder
        self._server = server
        self._target = target or CALLEE

    async def run(self, count: int) -> Caller:
        """Place so many calls, `RATE` a second."""
        users = [(str(6000 + number), 0) for number in range(CALLERS)]
        await sipp(
            self._folder,
            "caller",
            self._server,
            [
                *("-inf", str(table(self._folder, users)), "-s", self._target),
                *("-auth_uri", f"{self._target}@{self._server}"),
                *("-r", str(RATE), "-m", str(count), "-d", str(round(1000 * TALK_S))),
                *("-trace_rtt", "-rtt_freq", "1", "-trace_stat", "-stf", "statistics.csv"),
            ],
            may_fail=True,
        )
        (times,) = self._folder.glob("caller_*_rtt.csv")
        with times.open() as lines:
            rows = list(csv.reader(lines, delimiter=";"))[1:]
        # SIPp drops the fraction of a millisecond: the middle of what it may have been.
        self.times_ms = [float(row[1]) + 0.5 for row in rows]
        with (self._folder / "statistics.csv").open() as lines:
            *_, last = csv.DictReader(lines, delimiter=";")
        self.failed = int(last["FailedCall(C)"]) + count - int(last["TotalCallCreated"])
        return self


async def sipp(
    folder: Path, scenario: str, server: str, arguments: Sequence[str], *, may_fail: bool = False
) -> None:
    """Run a scenario to its end."""
    whole = [*common(scenario, free_port()), *arguments, server]
    async with Process(whole, directory=folder, name=scenario) as process:
        code = await process.wait(timeout_s=600)
    if code not in ((0, 1) if may_fail else (0,)):
        raise RuntimeError(f"SIPp {scenario} ended with {code}, see {process.log}")


def common(scenario: str, port: int) -> list[str]:
    """What every SIPp is told."""
    return [
        require("sipp", "sip-tester"),
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", HOST, "-p", str(port)),
        *("-nostdin", "-skip_rlimit", "-cp", str(free_port())),
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of all does not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("no call was answered")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
