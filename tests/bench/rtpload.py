"""The load: its generator (`rtpload.c`), the cores that it and the relay get, what it saw."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

SOURCE = Path(__file__).with_name("rtpload.c")
SETTLE_S = 1.0
"""From the start of the generator until everything runs evenly."""


class Missing(Exception):
    """A program that the bench needs is not installed; the text says which and how to get it."""


class Leg(Struct, frozen=True):
    """One leg of the load: it sends here, hears there, and expects the leg `peer`."""

    local_port: int
    remote_port: int
    peer: int


class Coding(Struct, frozen=True):
    """What the load is said to be; the octets are the generator's own in any case."""

    payload_type: int
    ticks_a_packet: int


PCMU = Coding(0, 160)
OPUS = Coding(111, 960)


class Quantiles(Struct, frozen=True):
    """Of a time, in ms."""

    p50: float
    p99: float
    max: float


class Load(Struct, frozen=True):
    """What the generator saw."""

    legs: int
    seconds: float
    sent: int
    intact: int
    intact_percent: float
    changed: int
    wrong_leg: int
    repeated: int
    breaks: int
    """Packets that did not follow the last one of their leg by one, or changed the SSRC."""
    deaf_legs: int
    latency_ms: Quantiles
    lateness_ms: Quantiles
    """Of the generator itself: how late it sent."""


def require(program: str, package: str) -> str:
    """The path of a program. Raises Missing."""
    path = shutil.which(program)
    if path is None:
        raise Missing(f"{program} is not installed (Debian package {package})")
    return path


def build(folder: Path) -> Path:
    """Compile the generator. Raises Missing without a compiler."""
    binary = folder / "rtpload"
    compiler = require("gcc", "gcc")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(binary), str(SOURCE)], check=True)
    return binary


def memory_mb(pid: int) -> float:
    """What a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


def free_ports(legs: int) -> list[int]:
    """Even ports, each with the odd one above it free, for so many legs."""
    for base in range(30000, 32000, 2):
        ports = [base + 2 * leg for leg in range(legs)]
        with ExitStack() as opened:
            try:
                for port in (*ports, *(port + 1 for port in ports)):
                    probe = opened.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return ports
    raise Missing("no free ports for the load generator between 30000 and 34000")


def cpu_time_s(pid: int) -> float:
    """CPU time of all threads of a process: Linux gives every process a clock of its own."""
    return time.clock_gettime(~pid << 3 | 2)


class Forwarding(Struct, frozen=True):
    """One run of the load through one relay."""

    cpu_ms: float
    """CPU milliseconds of the relay a second a leg."""
    load: Load


class Ground:
    """What all benches stand on: generator, number of legs, length of a run, cores.

    Load and relay have a core each: on the generator's own core a relay gets its packets in
    batches, on another it is woken for each, at twice the cost. That must not be luck.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        *,
        legs: int = 200,
        few_legs: int = 36,
        seconds: float = 6.0,
        rounds: int = 3,
        times: int = 40,
        calls_s: float = 180.0,
        records: int = 100_000,
    ) -> None:
        self.folder = folder
        self.say = say
        self.legs = legs
        self.few_legs = few_legs
        """So many as every peer can carry."""
        self.seconds = seconds
        self.rounds = rounds
        self.times = times
        """How often what is done once a call is done."""
        self.calls_s = calls_s
        """How long calls are placed."""
        self.records = records
        """Among so many is searched."""
        self.ports = free_ports(legs)
        cores = sorted(os.sched_getaffinity(0))
        self.relay_core, self.load_core = cores[-1], cores[0]
        self._generator = build(folder)

    async def forward(
        self,
        pid: int,
        remotes: Sequence[int],
        *,
        coding: Coding = PCMU,
        seconds: float | None = None,
    ) -> Forwarding:
        """Load process `pid`, whose neighbours among `remotes` hear each other."""
        legs = [
            Leg(local, remote, index ^ 1)
            for index, (local, remote) in enumerate(zip(self.ports, remotes, strict=False))
        ]
        assert len(legs) == len(remotes)
        table = self.folder / "legs"
        table.write_text("".join(f"{x.local_port} {x.remote_port} {x.peer}\n" for x in legs))
        length_s = self.seconds if seconds is None else seconds
        running = await asyncio.create_subprocess_exec(
            self._generator,
            table,
            *(str(each) for each in (length_s, coding.payload_type, coding.ticks_a_packet)),
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=self._be_punctual,
        )
        try:
            await asyncio.sleep(SETTLE_S)
            before, started = cpu_time_s(pid), time.monotonic()
            await asyncio.sleep(length_s - SETTLE_S - 0.3)
            used_s, passed_s = cpu_time_s(pid) - before, time.monotonic() - started
            output, _ = await running.communicate()
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        load = msgspec.json.decode(output, type=Load)
        return Forwarding(round(1000 * used_s / passed_s / len(legs), 3), load)

    def _be_punctual(self) -> None:
        """A late generator sends bursts, and what waits in them is not the relay's doing."""
        os.sched_setaffinity(0, {self.load_core})
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
