"""How soon audio follows each command of call control, on an endpoint as people run it."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire
from endpoint.media.settings import MediaSettings
from tests.bench.crowd import Crowd, Heard, Member, Members
from tests.bench.office import Office, now, office
from tests.bench.report import Row
from tests.bench.rtpload import Ground, cpu_time_s
from tests.bench.signalling import quantile
from tests.fakes.telephones import MUSIC, tones_for

INTERVAL_MS: Final = 20.0
"""Of packets: at best, whoever speaks is heard with his next one."""
LOOK_S: Final = 0.1
"""Behind the event, so long is looked for packets that should not come any more."""
JITTER_S: Final = MediaSettings().jitter_start_ms / 1000
"""So long the first packets of a far end wait for late ones, where they are mixed."""
A, B, C, S, RINGS = "9101", "9102", "9103", "9104", "9105"
TONES_HZ = tones_for((A, B, C, S, RINGS))
Hearing = Mapping[str, Sequence[str]]
"""Devices to voices: of devices, or `MUSIC`."""
NOBODY: Final[Hearing] = MappingProxyType({})


class Change(NamedTuple):
    """What a command changes, and the event that says so."""

    name: str
    """Of the row; empty: it is not measured."""
    event: str
    device: str
    begins: Hearing = NOBODY
    """Who is to hear whom, who did not before."""
    ends: Hearing = NOBODY
    """Who is to hear whom no longer."""
    is_answer: bool = False
    """It comes when somebody has picked up, which is his time: it counts from the event."""
    newcomer: str = ""
    """Whose telephone has only begun to send, and is mixed: its first packets wait."""


class Done(NamedTuple):
    """A change, and when."""

    change: Change
    sent: float
    accepted: float
    told: float
    """When the client got the event."""

    def new_packets(self, heard: Mapping[str, Heard], column: Mapping[str, int]) -> Iterator[float]:
        """When the first packet came of each voice that somebody hears anew."""
        for device, voices in self.change.begins.items():
            for voice in voices:
                wait_s = JITTER_S if voice == self.change.newcomer else 0.0
                yield first_after(heard[device], column[voice], self.sent) - wait_s

    def old_packets(self, heard: Mapping[str, Heard], column: Mapping[str, int]) -> Iterator[float]:
        """When the last packet came of each voice that somebody hears no longer."""
        for device, voices in self.change.ends.items():
            for voice in voices:
                yield last_before(heard[device], column[voice], self.told + LOOK_S)


def first_after(heard: Heard, column: int, after: float) -> float:
    """When the first packet came that has the voice; infinite: none did."""
    start = int(np.searchsorted(heard.at, after, "right"))
    found = np.flatnonzero(heard.voices[start:, column])
    return float(heard.at[start + found[0]]) if len(found) else math.inf


def last_before(heard: Heard, column: int, before: float) -> float:
    """When the last packet came that has the voice. It was heard before."""
    end = int(np.searchsorted(heard.at, before))
    return float(heard.at[np.flatnonzero(heard.voices[:end, column])[-1]])


class Walk:
    """The commands, one after the other."""

    def __init__(self, at: Office, log: list[Done], *, settle_s: float) -> None:
        self._at = at
        self._log = log
        self._settle_s = settle_s
        self._steps = 0

    async def once(self) -> None:
        """Each command that moves audio."""
        call = await self._step(self._do.make_call(A, B), Change("", "Established", B))
        await self._mute_and_hold(call)
        await self._two_calls(call)
        await self._conference(call)
        await self._supervision(call)
        await self._transfers(call)
        await self._elsewhere()

    async def _mute_and_hold(self, call: str) -> None:
        do, step = self._do, self._step
        await step(do.mute(A, call), Change("mute", "MicrophoneMute", A, NOBODY, {B: [A]}))
        await step(do.mute(A, call, muted=False), Change("unmute", "MicrophoneMute", A, {B: [A]}))
        await step(do.hold(A, call), Change("hold", "Held", A, {B: [MUSIC]}, {A: [B], B: [A]}))
        back = Change("retrieve", "Retrieved", A, {A: [B], B: [A]}, {B: [MUSIC]})
        await step(do.retrieve(A, call), back)

    async def _two_calls(self, call: str) -> None:
        do, step = self._do, self._step
        second = await self._consult(call)
        there = {A: [B], B: [A], C: [MUSIC]}
        here = {A: [C], C: [A], B: [MUSIC]}
        await step(do.alternate(A, call, second), Change("swap", "Retrieved", A, there, here))
        await step(do.alternate(A, second, call), Change("swap", "Retrieved", A, here, there))
        back = Change("reconnect", "Retrieved", A, {A: [B], B: [A]}, here)
        await step(do.reconnect(A, call, second), back)

    async def _conference(self, call: str) -> None:
        do, step = self._do, self._step
        second = await self._consult(call)
        three = {A: [B], B: [A, C], C: [B]}
        await step(
            do.conference(A, call, second),
            Change("conference", "Conferenced", C, three, {B: [MUSIC]}),
        )
        out = Change("drop-one", "ConnectionCleared", C, NOBODY, {A: [C], B: [C]})
        await step(do.clear(C, call), out)
        added = {A: [C], B: [C], C: [A, B]}
        joins = Change("single-step-conference", "Joined", C, added, is_answer=True, newcomer=C)
        await step(do.add(A, call, C), joins)
        await step(do.clear(C, call), out)

    async def _supervision(self, call: str) -> None:
        do, step = self._do, self._step
        listens = Change("monitor", "Joined", S, {S: [A, B]}, is_answer=True)
        await step(do.join(S, call, A), listens)
        await step(do.join(S, call, A, "whisper"), Change("whisper", "Joined", S, {A: [S]}))
        await step(do.join(S, call, A, "active"), Change("barge", "Joined", S, {B: [S]}))
        await step(
            do.join(S, call, A), Change("back-to-monitor", "Joined", S, NOBODY, {A: [S], B: [S]})
        )
        place = Change("intercept", "ConnectionCleared", A, {B: [S]}, {B: [A], S: [A]})
        await step(do.intercept(S, call, A), place)

    async def _transfers(self, call: str) -> None:
        do, step = self._do, self._step
        given = Change(
            "single-step-transfer",
            "Transferred",
            S,
            {A: [B], B: [A]},
            {B: [S]},
            is_answer=True,
        )
        await step(do.transfer(S, call, A), given)
        second = await self._consult(call)
        gone = {B: [MUSIC], C: [A]}
        await step(
            do.bring_together(A, call, second),
            Change("transfer", "Transferred", A, {B: [C], C: [B]}, gone),
        )
        await step(do.end(B, call), Change("", "CallCleared", A))

    async def _elsewhere(self) -> None:
        do, step = self._do, self._step
        met = {B: [C], C: [B]}
        call = await step(do.make_call(B, RINGS), Change("", "Delivered", RINGS))
        await step(
            do.deflect(RINGS, call, C), Change("deflect", "Established", C, met, is_answer=True)
        )
        await step(do.end(B, call), Change("", "CallCleared", B))
        call = await step(do.make_call(B, RINGS), Change("", "Delivered", RINGS))
        await step(
            do.pick_up(C, call, RINGS), Change("pick-up", "Established", C, met, is_answer=True)
        )
        await step(do.end(B, call), Change("", "CallCleared", B))

    async def _consult(self, call: str) -> str:
        aside = Change("consult", "Held", A, {B: [MUSIC]}, {A: [B], B: [A]})
        there = Change("consult-answered", "Established", C, {A: [C], C: [A]}, is_answer=True)
        return await self._step(self._do.consult(A, call, C), aside, there)

    @property
    def _do(self) -> EndpointClient:
        return self._at.client

    async def _step(self, command: Awaitable[wire.Accepted], *changes: Change) -> str:
        """Do a command, and wait for its events and a while; returns the call that it is about."""
        sent = now()
        call = (await command).call
        accepted = now()
        for change in changes:
            told = await self._at.journal.next(change.event, change.device, sent)
            self._log.append(Done(change, sent, accepted, told.at))
        # At another phase of the clocks each time.
        self._steps += 1
        await asyncio.sleep(self._settle_s + self._steps * 7 % 20 / 1000)
        return call


async def switching(ground: Ground) -> list[Row]:
    """Each command, one after the other."""
    rounds = max(1, ground.times // 2)
    members = Members(
        {user: Member(hz, answers=user != RINGS) for user, hz in TONES_HZ.items()},
        core=ground.load_core,
    )
    log: list[Done] = []
    async with office(ground, ground.folder / "switching", members) as at:
        ground.say(f"each command {rounds} times")
        walk = Walk(at, log, settle_s=ground.seconds / 24)
        for _ in range(rounds):
            await walk.once()
        heard = await at.crowd.heard()
        column = columns(at.crowd)
    by_name: defaultdict[str, list[Done]] = defaultdict(list)
    for done in log:
        by_name[done.change.name].append(done)
    return [_row(all_, heard, column) for name, all_ in by_name.items() if name]


def columns(crowd: Crowd) -> dict[str, int]:
    """Of each voice, by its name."""
    ours = {name: at for name, at in crowd.columns.items() if isinstance(name, str)}
    return ours | {user: crowd.columns[hz] for user, hz in crowd.tones_hz.items()}


def _row(all_: Sequence[Done], heard: Mapping[str, Heard], column: Mapping[str, int]) -> Row:
    """Of one command, each time that it was done."""
    change = all_[0].change
    new, old, from_event = list[float](), list[float](), list[float]()
    for done in all_:
        since = done.told if change.is_answer else done.accepted
        new += [1000 * (at - since) for at in done.new_packets(heard, column)]
        old += [1000 * (at - since) for at in done.old_packets(heard, column)]
        from_event += [1000 * (at - done.told) for at in done.new_packets(heard, column)]
    since_what = "event" if change.is_answer else "acceptance"
    details: dict[str, float] = {}
    for name, values in (
        ("", new),
        ("from the event ", [] if change.is_answer else from_event),
        ("last old packet ", old),
    ):
        if values:
            details |= {f"{name}p50": quantile(values, 0.5), f"{name}p99": quantile(values, 0.99)}
            details[f"{name}max"] = max(values)
    # Of 100. The next packet is up to 20 ms away, and then late by what its way takes: of enough
    # times one is always above 20.
    slow = quantile(new, 0.95) if new else 0.0
    return Row(
        name=f"switch-{change.name}",
        what=f"{change.name}, {len(all_)} times, ms since the {since_what}",
        unit="ms",
        ours=max(0.0, slow, *old),
        peer_name="a packet",
        peer=INTERVAL_MS,
        limit=INTERVAL_MS,
        details=details,
    )


# -- many at once -------------------------------------------------------------------------------

RATE: Final = 50
"""Commands a second, over all interactions."""
GAP_S: Final = 0.5
"""At least, from one command to the next in one interaction."""


class Pair:
    """One interaction of the crowd: an agent, a customer, a colleague who is consulted."""

    def __init__(self, at: Office, number: int) -> None:
        self.agent, self.customer, self.colleague = (f"9{role}{number:03}" for role in (1, 2, 3))
        self.call = ""
        self._at = at
        self._second = ""
        self._next = 0
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Let them talk."""
        began = now()
        self.call = (await self._at.client.make_call(self.agent, self.customer)).call
        await self._at.journal.next("Established", self.customer, began)

    async def next(self) -> Done:
        """The next command, when all that the last one does is done."""
        async with self._turn:
            return await self._do_next()

    async def _do_next(self) -> Done:
        number, self._next = self._next, (self._next + 1) % STEPS
        change, command = self._step(number)
        sent = now()
        accepted = await command
        at = now()
        told = await self._at.journal.next(change.event, change.device, sent)
        if change.name == "consult":
            self._second = accepted.call
            await self._at.journal.next("Established", self.colleague, sent)
        return Done(change, sent, at, told.at)

    def _step(self, number: int) -> tuple[Change, Awaitable[wire.Accepted]]:
        a, b, c, do = self.agent, self.customer, self.colleague, self._at.client
        talk, other = {a: [b], b: [a]}, {a: [c], c: [a], b: [MUSIC]}
        match number:
            case 0:
                return Change("hold", "Held", a, {b: [MUSIC]}), do.hold(a, self.call)
            case 1:
                return Change("retrieve", "Retrieved", a, talk), do.retrieve(a, self.call)
            case 2:
                held = Change("consult", "Held", a, {b: [MUSIC]})
                return held, do.consult(a, self.call, c)
            case 3:
                swapped = Change("swap", "Retrieved", a, {**talk, c: [MUSIC]})
                return swapped, do.alternate(a, self.call, self._second)
            case 4:
                back = Change("swap", "Retrieved", a, other)
                return back, do.alternate(a, self._second, self.call)
            case _:
                over = Change("reconnect", "Retrieved", a, talk)
                return over, do.reconnect(a, self.call, self._second)


STEPS: Final = 6


async def interactions(ground: Ground) -> list[Row]:
    """Many calls of two, each held, consulted from, swapped and so on, in turn."""
    pairs_count = ground.legs // 2
    rate = min(RATE, pairs_count / GAP_S)
    cycles = max(1, ground.times // 20)
    tones_hz = dict(zip("123", (1000, 1400, 1800), strict=True))
    users = [f"9{role}{number:03}" for role in "123" for number in range(pairs_count)]
    members = Members({user: Member(tones_hz[user[1]]) for user in users}, core=ground.load_core)
    async with office(ground, ground.folder / "interactions", members) as at:
        pairs = [Pair(at, number) for number in range(pairs_count)]
        for pair in pairs:
            await pair.open()
        count = cycles * STEPS * pairs_count
        ground.say(f"{count} commands, {rate:g} a second, in {pairs_count} interactions")
        begin, before_s = asyncio.get_running_loop().time(), cpu_time_s(at.pid)

        async def one(number: int) -> Done:
            await asyncio.sleep(begin + number / rate - asyncio.get_running_loop().time())
            return await pairs[number % pairs_count].next()

        outcomes = await asyncio.gather(*map(one, range(count)), return_exceptions=True)
        cpu_ms = 1000 * (cpu_time_s(at.pid) - before_s) / count
        await asyncio.sleep(LOOK_S)  # the audio of the last ones is on its way
        heard = await at.crowd.heard()
        column = columns(at.crowd)
    done = [each for each in outcomes if isinstance(each, Done)]
    for error in {repr(each) for each in outcomes if isinstance(each, BaseException)}:
        ground.say(f"failed: {error}"[:200])
    told = [1000 * (each.told - each.sent) for each in done]
    media = [1000 * (max(each.new_packets(heard, column)) - each.sent) for each in done]
    what = f"{pairs_count} interactions, {rate:g} commands a second"
    return [
        *(
            Row(
                name=f"command-{name}",
                what=f"{what}: from a command {so_far}, p99",
                unit="ms",
                ours=quantile(values, 0.99),
                details={"p50": quantile(values, 0.5), "max": max(values)}
                | {
                    f"{command} p99": quantile(
                        [
                            value
                            for value, each in zip(values, done, strict=True)
                            if each.change.name == command
                        ],
                        0.99,
                    )
                    for command in dict.fromkeys(each.change.name for each in done)
                },
            )
            for name, so_far, values in (
                ("event", "until the client has its event", told),
                ("media", "until all hear whom they are to hear", media),
            )
        ),
        Row(
            name="commands-failed",
            what=f"of {count}: refused, not told, or without audio",
            unit="commands",
            ours=count - sum(map(math.isfinite, media)),
            limit=0,
            details={"CPU ms of the control process for one": cpu_ms},
        ),
    ]
