"""Lets somebody fail at a moment (`moments.py`), and says what comes of it as the table does.

`python -m tests.scenarios.failing` prints the rows of `docs/call-control.md` as they come out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import structlog

from endpoint.callcontrol import commands as do
from endpoint.callcontrol import events as told
from endpoint.callcontrol.commands import Command, CommandName
from endpoint.callcontrol.events import Event
from endpoint.callcontrol.model import Call, Connection, ConnectionState
from endpoint.legs.base import Cause, DeviceId
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk, open_desk
from tests.scenarios.moments import MOMENTS, NAMES, PLACE, A, B, C, Moment, legs_end_late, phone_of
from tests.virtual_time import VirtualTimeLoop

NO_ANSWER_S = 60.5
"""A leg rings no longer; whoever hears the busy tone for it still does."""
LATER_S = 10.0
"""Every tone is over."""
MEANINGLESS = "uncalled"
SOUNDS = {"moh": "music", "ringback": "ring-back", "busy": "busy tone"}


class Failure(StrEnum):
    """What can go wrong with a party."""

    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no answer"
    HANGS_UP = "hangs up"
    ANSWERS_LATE = "answers while being cancelled"
    LOST = "leg lost"


CAUSES = {
    Failure.BUSY: {Cause.BUSY},
    Failure.DECLINED: {Cause.DECLINED},
    Failure.NO_ANSWER: {Cause.NO_ANSWER},
    Failure.HANGS_UP: {Cause.NORMAL},
    Failure.ANSWERS_LATE: {Cause.CANCELLED},
    Failure.LOST: {Cause.MEDIA_TIMEOUT, Cause.MEDIA_LOST},
}
"""Which cause needs no word in a row."""
OF_WHO_IS_CALLED = (
    Failure.BUSY,
    Failure.DECLINED,
    Failure.NO_ANSWER,
    Failure.ANSWERS_LATE,
    Failure.LOST,
)
OF_WHO_IS_LET_GO = (Failure.BUSY, Failure.DECLINED, Failure.ANSWERS_LATE, Failure.LOST)
OF_WHO_IS_THERE = (Failure.HANGS_UP, Failure.LOST)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, in the words of the table."""

    events: str
    heard: str
    """At once, and in the end where that is something else."""


def cases() -> Iterator[tuple[Moment, str, Failure]]:
    """Every moment, who fails then, and how."""
    for moment in MOMENTS:
        for who in moment.called:
            yield from ((moment, who, failure) for failure in OF_WHO_IS_CALLED)
        for who in moment.let_go:
            yield from ((moment, who, failure) for failure in OF_WHO_IS_LET_GO)
        yield from ((moment, who, Failure.DECLINED) for who in moment.takes_hold)
        for who in moment.there:
            yield from ((moment, who, failure) for failure in OF_WHO_IS_THERE)


async def outcome_of(moment: Moment, who: str, failure: Failure) -> Outcome:
    """Play it, and see that nobody is left alone, before and after everybody has hung up."""
    async with open_desk() as desk:
        *steps, last = moment.steps
        for step in steps:
            await step(desk)
        if failure is Failure.DECLINED and who in moment.takes_hold:
            desk.exchange.refuses_hold |= {device for device, name in NAMES.items() if name == who}
            seen = len(desk.events)
            await last(desk)
            at_once = [each for each in desk.events[seen:] if is_refusal(each)]
        else:
            await last(desk)
            await fail(desk, moment, phone_of(desk, who), failure)
            at_once = await desk.let_pass(0.01)
        first = heard(desk)
        later = said(await desk.let_pass(LATER_S), failure)
        last_heard = heard(desk)
        await nobody_is_left_alone(desk)
        await everybody_hangs_up(desk)
    if later:
        later[0] = f"then {later[0]}"
    events = ", ".join([*said(at_once, failure), *later]) or "–"
    return Outcome(events, first if first == last_heard else f"{first}, then {last_heard}")


def is_refusal(event: Event) -> bool:
    return isinstance(event, told.FarEndHold) and event.far_end is told.FarEndAnswer.REFUSED


async def fail(desk: Desk, moment: Moment, phone: FakeLeg, failure: Failure) -> None:
    match failure:
        case Failure.BUSY:
            phone.refuse(Cause.BUSY)
        case Failure.DECLINED:
            phone.refuse(Cause.DECLINED)
        case Failure.NO_ANSWER:
            await asyncio.sleep(NO_ANSWER_S)
        case Failure.HANGS_UP:
            phone.hang_up()
        case Failure.ANSWERS_LATE:
            await legs_end_late(desk)
            if moment.called_off is not None:
                await moment.called_off(desk)
            phone.answer()
        case Failure.LOST if phone.is_up:
            phone.vanish()
        case Failure.LOST:
            phone.lose_media()


# -- what must always be so -----------------------------------------------------------------------


async def nobody_is_left_alone(desk: Desk) -> None:
    """Who hears nothing has it so, who hears music is taken back, and no tone goes on for ever."""
    for leg in [each for each in desk.exchange.open_legs if each.is_up]:
        own = [(call, each) for call, each in live(desk) if each.leg == leg.id]
        talks = [(call, each) for call, each in own if each.state is ConnectionState.CONNECTED]
        sounds = desk.exchange.heard_on(leg.id)
        assert own, f"{leg.device} is up for nobody"
        assert "busy" not in sounds, f"{leg.device} hears the busy tone for ever"
        if not talks:
            assert not sounds
            continue  # it has put everything aside itself
        ((call, me),) = talks
        others = [each for one, each in live(desk) if one is call and each.leg != leg.id]
        if not sounds:
            is_called = any(each.state is ConnectionState.NULL for each in others)
            muted = any(each.muted for each in others)
            assert is_called or muted, f"{leg.device} is left in silence"
        if "ringback" in sounds:
            rings = (ConnectionState.ALERTING, ConnectionState.INITIATED)
            assert any(each.state in rings for each in others), f"nobody rings for {leg.device}"
        if "moh" in sounds:
            await desk.controller.submit(way_back(desk, call, me, others))
            await desk.let_pass(1)
            assert "moh" not in desk.exchange.heard_on(leg.id), f"{leg.device} is left on music"
            assert desk.exchange.heard_on(leg.id)


def way_back(desk: Desk, call: Call, me: Connection, others: Iterable[Connection]) -> Command:
    """What ends the music: whoever keeps somebody waiting comes back, or is taken back."""
    if call.away is not None:
        return do.ReconnectCall(me.number)
    (holder,) = [
        each for each in others if each.state in (ConnectionState.HOLD, ConnectionState.QUEUED)
    ]
    if holder.parked_by is not None:
        return do.DirectedPickupCall(DeviceId("6003"), PLACE)
    if holder.held_for is None:
        return do.RetrieveCall(holder.number, call.id)
    (other,) = [each for each in desk.controller.calls() if each.id == holder.held_for]
    kind = do.AlternateCall if other.is_established else do.ReconnectCall
    return kind(holder.number)


def live(desk: Desk) -> list[tuple[Call, Connection]]:
    calls = desk.controller.calls()
    return [(call, each) for call in calls for each in call.connections if each.is_live]


async def everybody_hangs_up(desk: Desk) -> None:
    """Then nothing is left, and each call has one record and one end."""
    while desk.exchange.open_legs:
        for leg in desk.exchange.open_legs:
            if leg.is_up:
                leg.hang_up()
            else:
                leg.refuse(Cause.CANCELLED if leg.offered else Cause.DECLINED)
        await desk.let_pass(LATER_S)
    assert desk.controller.calls() == ()
    ends = [each.call for each in desk.events if isinstance(each, told.CallCleared)]
    begun = {each.call for each in desk.events if isinstance(each, told.CallEvent)}
    assert sorted(ends) == sorted(begun)
    assert sorted(record.call for record in desk.records.written) == sorted(begun)


# -- the words of the table -----------------------------------------------------------------------


def said(events: Iterable[Event], failure: Failure) -> list[str]:
    """Events as `Failed` C; with their cause, where it is not the failure's own."""
    words = []
    for event in events:
        assert isinstance(event, told.CallEvent)
        if isinstance(event, told.FarEndHold) and event.far_end is told.FarEndAnswer.ACCEPTED:
            continue
        word = f"`{type(event).__name__}`"
        if not isinstance(event, told.CallCleared):
            word += f" {NAMES[event.device]}"
        if isinstance(event, told.FarEndHold):
            word += f" `{event.far_end}`"
        if event.cause is not None and event.cause not in CAUSES[failure]:
            word += f" `{event.cause}`"
        words.append(word)
    return words


def heard(desk: Desk) -> str:
    """What A, B and C hear: `B · A · –`."""
    matrix, cells = desk.exchange.heard(), []
    there = {each.leg for _, each in live(desk)}
    for device in (A, B, C):
        legs = [each for each in desk.exchange.open_legs if each.device == device and each.is_up]
        assert all(each.id in there or not desk.exchange.heard_on(each.id) for each in legs)
        if any(each.id in there for each in legs):
            names = {SOUNDS.get(each, NAMES.get(DeviceId(each), each)) for each in matrix[device]}
            cells.append(", ".join(sorted(names)) or "nothing")
        else:
            cells.append("–")  # its leg is not up, or being let go and hears nothing more
    return " · ".join(cells)


def table() -> Iterator[str]:
    """The rows as they come out, those together that come out alike."""
    outcomes: dict[tuple[str, str, str, Outcome], list[str]] = {}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for moment, who, failure in cases():
            try:
                outcome = runner.run(outcome_of(moment, who, failure))
            except Exception as error:
                error.add_note(f"{moment.command}, {moment.when}: {who} {failure}")
                raise
            key = (moment.command, moment.when, who, outcome)
            outcomes.setdefault(key, []).append(failure)
    for command in CommandName:
        for (own, when, who, outcome), failures in outcomes.items():
            if own == command:
                cells = (when, who, ", ".join(failures), outcome.events, outcome.heard)
                yield f"| `{command}` | {' | '.join(cells)} |"
        if missing := meaningless(command):
            yield f"| `{command}` | – | – | {', '.join(missing)} | – | {MEANINGLESS} |"


def meaningless(command: CommandName) -> list[Failure]:
    """What can't go wrong with a command, as it calls nobody."""
    possible = {failure for moment, _, failure in cases() if moment.command is command}
    return [each for each in Failure if each not in possible]


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print("\n".join(table()))  # noqa: T201
