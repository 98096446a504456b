"""Agents at work over audio, by whatever interface their clients speak.

Each is logged on, has a registered telephone, and a WebSocket of its own. Calls begin at an even
rate and last; in each one things are asked for. What is measured is how soon the agent's own socket
has the event of its command.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from endpoint.gateways.native import directorymessages as directory
from tests.bench.crowd import Member, Members
from tests.bench.office import Journal, Office, now, office
from tests.bench.rtpload import Ground, cpu_time_s
from tests.bench.signalling import quantile

CALL_S: Final = 10.0
CALLS_A_SECOND: Final = 5.0
MOST_BUSY: Final = 0.8
"""Of the agents, at once: whoever has just hung up rests a little."""
HELD, BACK, AWAY, READY = 0.313, 0.527, 0.611, 0.705
"""When in a call each is asked for, as a share of it: not just when others begin theirs."""
TONES_HZ: Final = (1000, 1400)
Done = TypeVar("Done")


class Answered(NamedTuple):
    """A command, and how soon its event came to its agent's socket."""

    name: str
    ms: float


class Walk:
    """One call of an agent's, with what it asks for meanwhile."""

    def __init__(self, journal: Journal, device: str, length_s: float) -> None:
        self.answered: list[Answered] = []
        self.began = now()
        self._journal = journal
        self._device = device
        self._length_s = length_s
        self._begin = asyncio.get_running_loop().time()

    async def at(self, share: float) -> None:
        """When so much of the call has passed."""
        until = self._begin + share * self._length_s
        await asyncio.sleep(until - asyncio.get_running_loop().time())

    async def timed(self, name: str, command: Awaitable[Done], event: str) -> Done:
        """Have it done, and wait for what tells so."""
        sent = now()
        done = await command
        told = await self._journal.next(event, self._device, sent)
        self.answered.append(Answered(name, 1000 * (told.at - sent)))
        return done


class Desk(Protocol):
    """One agent, with its client."""

    device: str
    journal: Journal

    async def call(self, other: Desk, length_s: float) -> list[Answered]:
        """Call a colleague for so long, with all that agents do meanwhile."""


class Interface(Protocol):
    """What clients speak."""

    sections: Mapping[str, Any]
    """Of the configuration, where it needs some."""

    def desks(self, at: Office, count: int) -> AbstractAsyncContextManager[Sequence[Desk]]:
        """All agents logged on, each with a socket of its own, without TLS."""

    def secure_sockets(self, at: Office, count: int) -> AbstractAsyncContextManager[None]:
        """One more for each agent, over TLS."""


def agent_of(number: int) -> str:
    """The number by which it logs on."""
    return f"1{number:04}"


def device_of(number: int) -> str:
    """Its telephone."""
    return f"7{number:04}"


class Shift(NamedTuple):
    """What came of the calls."""

    agents: int
    answered: list[Answered]
    calls: int
    failed: int
    """Of the calls those with a command that was refused or not told."""
    wrong: int
    """Telephones that heard themselves, or not the other one."""
    rate: float
    length_s: float
    deliveries: int
    """Events that sockets got."""
    passed_s: float
    cpu_s: float
    """Of the control process."""
    plain_kb: float
    """How much the control process has grown by each agent that logs on and listens."""
    tls_kb: float
    """And by one more socket for each, over TLS."""
    grown_kb: float
    """And for each in the second half of the work, when all has been done once."""

    @property
    def what(self) -> str:
        """In a few words."""
        return f"{self.agents} agents, {self.rate:g} calls a second of {self.length_s:g} s"

    def ms(self, *kinds: str) -> list[float]:
        """How soon events came: those of some commands, or of all."""
        return [each.ms for each in self.answered if not kinds or each.name in kinds]

    @property
    def quantiles_ms(self) -> dict[str, float]:
        """Of all commands, and the p99 of each kind."""
        told, kinds = self.ms(), dict.fromkeys(each.name for each in self.answered)
        each_ms = {f"{kind} p99": quantile(self.ms(kind), 0.99) for kind in kinds}
        return {"p50": quantile(told, 0.5), "max": max(told), **each_ms}


async def shift(ground: Ground, name: str, interface: Interface) -> Shift:
    """As many agents as there are legs in other benches."""
    count = ground.legs
    users = {device_of(number): Member(TONES_HZ[number % 2]) for number in range(count)}
    members = Members(users, core=ground.load_core)
    async with office(ground, ground.folder / name, members, **interface.sections) as at:
        for number in range(count):
            entry = directory.Agent(agent_of(number), devices=[device_of(number)])
            await at.client.add_to_directory("agents", entry)
        ground.say(f"{count} agents log on")
        sizes_kb = [resident_kb(at.pid)]
        async with interface.desks(at, count) as desks:
            await asyncio.sleep(1)
            sizes_kb.append(resident_kb(at.pid))
            async with interface.secure_sockets(at, count):
                await asyncio.sleep(1)
                sizes_kb.append(resident_kb(at.pid))
            worked = await _work(ground, at, desks)
            heard = await at.crowd.heard()
    wrong = 0
    for number in range(min(2 * worked.calls, count // 2 * 2)):
        own, other = (heard[device_of(number)].voices[:, x % 2].any() for x in (number, number + 1))
        wrong += bool(own or not other)
    plain_kb, tls_kb = ((after - before) / count for before, after in pairwise(sizes_kb))
    return worked._replace(wrong=wrong, plain_kb=plain_kb, tls_kb=tls_kb)


async def _work(ground: Ground, at: Office, desks: Sequence[Desk]) -> Shift:
    """Calls at an even rate: whoever has rested longest calls the next one who has."""
    pairs = len(desks) // 2
    length_s = min(CALL_S, max(1.0, ground.calls_s / 2))
    rate = min(CALLS_A_SECOND, MOST_BUSY * pairs / length_s)
    calls = max(1, round(rate * ground.calls_s))
    ground.say(f"{calls} calls, {rate:g} a second")
    begin, cpu_before_s = asyncio.get_running_loop().time(), cpu_time_s(at.pid)
    received_before = sum(len(each.journal.told) for each in desks)

    half_kb = 0.0

    async def one(number: int) -> list[Answered]:
        nonlocal half_kb
        await asyncio.sleep(begin + number / rate - asyncio.get_running_loop().time())
        if number == calls // 2:
            half_kb = resident_kb(at.pid)
        pair = number % pairs
        return await desks[2 * pair].call(desks[2 * pair + 1], length_s)

    outcomes = await asyncio.gather(*map(one, range(calls)), return_exceptions=True)
    passed_s = asyncio.get_running_loop().time() - begin
    cpu_s = cpu_time_s(at.pid) - cpu_before_s
    failures = Counter(repr(each)[:200] for each in outcomes if isinstance(each, BaseException))
    for failure, times in failures.items():
        ground.say(f"failed {times} times: {failure}")
    return Shift(
        agents=len(desks),
        answered=[each for outcome in outcomes if isinstance(outcome, list) for each in outcome],
        calls=calls,
        failed=failures.total(),
        wrong=0,
        rate=rate,
        length_s=length_s,
        deliveries=sum(len(each.journal.told) for each in desks) - received_before,
        passed_s=passed_s,
        cpu_s=cpu_s,
        plain_kb=0,
        tls_kb=0,
        grown_kb=(resident_kb(at.pid) - half_kb) / len(desks),
    )


def resident_kb(pid: int) -> float:
    """Of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4.0
