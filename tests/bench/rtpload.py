"""Builds and runs the RTP load generator (`rtpload.c`)."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
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


async def measure(
    generator: Path, folder: Path, legs: Sequence[Leg], seconds: float, pid: int, cpu: int | None
) -> tuple[Load, float]:
    """Run the load against process `pid`. Returns what was seen, and its CPU ms a second a leg."""
    table = folder / "legs"
    table.write_text("".join(f"{x.local_port} {x.remote_port} {x.peer}\n" for x in legs))
    running = await asyncio.create_subprocess_exec(
        generator,
        table,
        str(seconds),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
    )
    try:
        await asyncio.sleep(SETTLE_S)
        before, started = cpu_time_s(pid), time.monotonic()
        await asyncio.sleep(seconds - SETTLE_S - 0.3)
        used_s, passed_s = cpu_time_s(pid) - before, time.monotonic() - started
        output, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    load = msgspec.json.decode(output, type=Load)
    return load, 1000 * used_s / passed_s / len(legs)
