"""The telephones of a bench, in a process of their own that does nothing else.

`python -m tests.bench.crowd SERVER PASSWORD` reads who they are from the first line of stdin, says
`ready`, and at each further line, a file's name, writes there who was in which packet so far.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tests.fakes.telephones import LEVEL_DBOV, OURS_HZ, Telephone, presence, telephones
from tests.interop.peers.process import Process

REGISTERED_AT_ONCE = 20
READY_TIMEOUT_S = 120.0


class Member(Struct, frozen=True):
    """One telephone."""

    tone_hz: int
    answers: bool = True


class Members(Struct, frozen=True):
    """All of them."""

    by_user: dict[str, Member]
    level_dbov: float = LEVEL_DBOV
    core: int | None = None
    """Where the process runs; None: anywhere."""


class Heard(Struct, frozen=True):
    """The packets that came to one telephone, in order."""

    at: npt.NDArray[np.float64]
    """When, by the kernel's clock (`CLOCK_REALTIME`)."""
    voices: npt.NDArray[np.bool_]
    """A row a packet; the columns are in `Crowd.columns`."""


class Crowd:
    """The process, for the bench that runs it. Opened by `crowd`."""

    def __init__(self, process: Process, folder: Path, members: Members) -> None:
        self.tones_hz = {user: each.tone_hz for user, each in members.by_user.items()}
        self.columns = columns_of(members)
        """Tones in Hz, and names of the endpoint's own sounds, to their column."""
        self._process = process
        self._folder = folder
        self._numbers = count()

    async def heard(self) -> dict[str, Heard]:
        """What each telephone has got since this was asked last."""
        path = self._folder / f"heard-{next(self._numbers)}.npz"
        self._process.write(str(path))
        await self._process.lines.next(lambda line: line == str(path), "written", timeout_s=60)
        with np.load(path) as arrays:
            return {
                user: Heard(arrays[f"{user}.at"], arrays[f"{user}.voices"])
                for user in {name.rpartition(".")[0] for name in arrays.files}
            }


def columns_of(members: Members) -> dict[int | str, int]:
    """In the order in which `presence` has them."""
    tones = sorted({each.tone_hz for each in members.by_user.values()})
    names: list[int | str] = [*tones, *OURS_HZ]
    return {name: column for column, name in enumerate(names)}


@asynccontextmanager
async def crowd(folder: Path, server: str, password: str, members: Members) -> AsyncIterator[Crowd]:
    """Telephones at a registrar, `host:port` over UDP."""
    arguments = [sys.executable, "-m", "tests.bench.crowd", server, password]
    repository = Path(__file__).parents[2]
    async with Process(
        arguments,
        directory=folder,
        name="crowd",
        environment={"PYTHONPATH": str(repository), "OPENBLAS_NUM_THREADS": "1"},
    ) as process:
        process.write(msgspec.json.encode(members).decode())
        await process.lines.next(lambda line: line == "ready", "ready", timeout_s=READY_TIMEOUT_S)
        yield Crowd(process, folder, members)


async def _run(server: str, password: str, members: Members) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with telephones(server, password) as line:
        turn = asyncio.Semaphore(REGISTERED_AT_ONCE)

        async def add(user: str, member: Member) -> None:
            async with turn:
                await line.add(user, member.tone_hz, members.level_dbov, answers=member.answers)

        async with asyncio.TaskGroup() as group:
            for user, member in members.by_user.items():
                group.create_task(add(user, member))
        _say("ready")
        while path := (await reader.readline()).decode().strip():
            _write(Path(path), line.by_user, members)
            _say(path)


def _write(path: Path, by_user: Mapping[str, Telephone], members: Members) -> None:
    tones_hz = {str(name): name for name in columns_of(members) if isinstance(name, int)}
    arrays: dict[str, npt.NDArray[np.float64] | npt.NDArray[np.bool_]] = {}
    for user, telephone in by_user.items():
        packets = telephone.received[:]
        telephone.received.clear()
        arrays[f"{user}.at"] = np.array([each.at for each in packets], dtype=np.float64)
        arrays[f"{user}.voices"] = presence(
            [each.payload for each in packets], tones_hz, members.level_dbov
        )
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run until stdin ends."""
    # It keeps every packet: to look through all of them for garbage takes longer than a packet may.
    gc.disable()
    # Not more than the line: the rest is read by the loop.
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        members = msgspec.json.decode(stdin.readline(), type=Members)
    if members.core is not None:
        os.sched_setaffinity(0, {members.core})
        # As the generator of the other benches: late packets are not the endpoint's doing.
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    asyncio.run(_run(sys.argv[1], sys.argv[2], members))


if __name__ == "__main__":
    main()
