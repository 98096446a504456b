"""What a device may do in each state: every command tried in each, as `docs/call-control.md` says.

The buttons that a client is shown are those that are accepted, no more and no less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from endpoint.callcontrol import commands as do
from endpoint.callcontrol.commands import Command, CommandName
from endpoint.callcontrol.model import Call, CallId, ConnectionState, Participation
from endpoint.errors import CommandRejected
from endpoint.gateways.native.encode import encode_call
from endpoint.legs.base import Cause, DeviceId, LegRole
from tests.scenarios import moments as at
from tests.scenarios.desk import Desk, open_desk
from tests.scenarios.moments import A, B, C, Step

pytestmark = pytest.mark.scenario

DOCUMENT = (Path(__file__).parents[2] / "docs" / "call-control.md").read_text(encoding="utf-8")
FREE = DeviceId("7001")
OF_NONE = {CommandName.CONSULTATION_CALL}
"""What the table's ³ keeps from a device that is in another call; else, that talks there."""


def table() -> dict[str, dict[CommandName, str]]:
    """For each row, its commands with their marks."""
    _, _, rest = DOCUMENT.partition("<!-- states: begin -->")
    lines = rest.partition("<!-- states: end -->")[0].strip().splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in lines]
    return {
        state: {
            CommandName(name): marks for name, marks in re.findall(r"`(\w+)`([¹²³⁴]*)", commands)
        }
        for state, commands in rows
    }


ROWS = table()


@dataclass(frozen=True, slots=True)
class Situation:
    """A device, and what it is to a call."""

    row: str
    device: DeviceId
    steps: tuple[Step, ...]
    established: bool = True
    in_two: bool = False
    """It is in another call too."""
    recording: str = ""
    """Its call is recorded: `runs`, or `paused`."""
    talks: bool = True
    """In one of two."""
    of_others: frozenset[CommandName] = frozenset()
    """What another device may do about it."""
    only: str = ""
    """The row that says which of these are left, where not all are."""


SUPERVISED = frozenset({CommandName.JOIN_CALL, CommandName.INTERCEPT_CALL})
PICKED_UP = frozenset({CommandName.DIRECTED_PICKUP_CALL})


def refuses(who: str, cause: Cause) -> Step:
    async def step(desk: Desk) -> None:
        at.phone_of(desk, who).refuse(cause)
        await desk.let_pass(0.01)

    return step


def holds_by_phone(who: str) -> Step:
    async def step(desk: Desk) -> None:
        at.phone_of(desk, who).hold()
        await desk.let_pass(0.01)

    return step


async def c_talks(desk: Desk) -> None:
    """With somebody else, in a call that came to it."""
    desk.exchange.offer("10010", C, LegRole.LINE)
    await desk.let_pass(0.01)
    await at.answers("C")(desk)


D = DeviceId("6003")


async def b_consults_d(desk: Desk) -> None:
    await desk.controller.submit(do.ConsultationCall(B, D))
    (await desk.exchange.placed(D)).answer()
    await desk.let_pass(0.01)


async def d_leaves_for_c(desk: Desk) -> None:
    await desk.controller.submit(do.SingleStepTransfer(D, C))
    (await desk.exchange.placed(C)).ring()
    (await desk.exchange.placed(D)).hang_up()
    await desk.let_pass(0.01)


LENT = (*at.LENT, at.answers("C"))
WHISPERS = at.asks(do.JoinCall(C, A, Participation.WHISPER))
TO_C = at.asks(do.SingleStepTransfer(A, C))
PARKS = at.asks(do.ParkCall(A, at.PLACE))
FAILED = "of these, in a call that failed"
SILENT = "of these, listening or whispering"
LISTENER = do.SingleStepConference(A, C, participation=Participation.SILENT)
SITUATIONS = {
    "in no call": Situation("`null`", A, ()),
    "called, and does not ring yet": Situation("`null`", B, (at.CALLS,), established=False),
    "called for a transfer while it talks elsewhere, and does not ring yet": Situation(
        "`null`", C, (c_talks, *at.TALK, TO_C), in_two=True
    ),
    "called for a transfer, and does not ring yet": Situation("`null`", C, (*at.TALK, TO_C)),
    "called to listen, and does not ring yet": Situation(
        "`null`", C, (*at.TALK, at.asks(LISTENER)), only=SILENT
    ),
    "picks up to dial": Situation(
        "`initiated`", A, (at.a_does_not_pick_up, at.CALLS), established=False
    ),
    "picks up to take a place": Situation(
        "`initiated`", C, (*at.TALK, at.c_does_not_pick_up, at.INTERCEPTS)
    ),
    "picks up to take a place while it talks at another telephone": Situation(
        "`initiated`", C, (*at.TALK, at.c_does_not_pick_up, at.INTERCEPTS, c_talks), in_two=True
    ),
    "picks up to listen": Situation(
        "`initiated`", C, (*at.TALK, at.c_does_not_pick_up, at.LISTENS), only=SILENT
    ),
    "rings": Situation("`alerting`", A, (at.b_calls_a,), established=False, of_others=PICKED_UP),
    "is called into a call": Situation("`alerting`", C, at.TRANSFERS, of_others=PICKED_UP),
    "is called into a call to listen": Situation(
        "`alerting`",
        C,
        (*at.TALK, at.asks(LISTENER), at.rings("C")),
        of_others=PICKED_UP,
        only=SILENT,
    ),
    "is called into a call while it talks elsewhere": Situation(
        "`alerting`", C, (c_talks, *at.TRANSFERS), in_two=True, of_others=PICKED_UP
    ),
    "waits for the answer": Situation("`connected`", A, at.B_RINGS, established=False),
    "talks": Situation("`connected`", A, at.TALK, of_others=SUPERVISED),
    "is talked with": Situation("`connected`", B, at.TALK, of_others=SUPERVISED),
    "holds while it rings": Situation(
        "`hold`", A, (*at.B_RINGS, holds_by_phone("A")), established=False
    ),
    "holds while the second rings": Situation(
        "`hold`",
        A,
        (*at.C_RINGS, holds_by_phone("A")),
        established=False,
        in_two=True,
        talks=False,
    ),
    "holds": Situation("`hold`", A, at.HOLDS, of_others=SUPERVISED),
    "talks in the second of two": Situation(
        "`connected`", A, at.CONSULTS, in_two=True, of_others=SUPERVISED
    ),
    "holds the first of two": Situation(
        "`hold`", A, at.CONSULTS, in_two=True, of_others=SUPERVISED
    ),
    "of three": Situation("`connected`", A, at.ALL_TALK, of_others=SUPERVISED),
    "has barged in": Situation("`connected`", C, (*at.TALK, at.BARGES), of_others=SUPERVISED),
    "waits for whom it has lent": Situation(
        "`connected`, its other party is lent", A, LENT, of_others=SUPERVISED
    ),
    "is lent": Situation("`connected`", B, LENT, in_two=True, of_others=SUPERVISED),
    "is parked at": Situation("`queued`", at.PLACE, at.PARKED, of_others=PICKED_UP),
    "could not be reached": Situation("`fail`", B, (*at.B_RINGS, refuses("B", Cause.BUSY))),
    "hears the busy tone": Situation(
        "`connected`", A, (*at.B_RINGS, refuses("B", Cause.BUSY)), established=False, only=FAILED
    ),
    "hears the busy tone in the second of two": Situation(
        "`connected`",
        A,
        (*at.C_RINGS, refuses("C", Cause.BUSY)),
        established=False,
        in_two=True,
        only=FAILED,
    ),
    "hears the busy tone after a transfer": Situation(
        "`connected`", B, (*at.TRANSFERS, at.hangs_up("A"), refuses("C", Cause.BUSY)), only=FAILED
    ),
    "holds the busy tone after a transfer": Situation(
        "`hold`",
        B,
        (*at.TRANSFERS, at.hangs_up("A"), refuses("C", Cause.BUSY), holds_by_phone("B")),
        only=FAILED,
    ),
    "holds the busy tone in the second of two": Situation(
        "`hold`",
        A,
        (*at.C_RINGS, refuses("C", Cause.BUSY), holds_by_phone("A")),
        established=False,
        in_two=True,
        talks=False,
        only=FAILED,
    ),
    "holds the second of two, where a transfer failed": Situation(
        "`hold`",
        B,
        (*at.TALK, b_consults_d, d_leaves_for_c, refuses("C", Cause.BUSY), holds_by_phone("B")),
        in_two=True,
        talks=False,
        only=FAILED,
    ),
    "holds while its other party is lent": Situation(
        "`hold`, its other party is lent", A, (*LENT, at.asks(do.HoldCall(A))), of_others=SUPERVISED
    ),
    "listens": Situation("`connected`", C, (*at.TALK, at.LISTENS), only=SILENT),
    "whispers": Situation("`connected`", C, (*at.TALK, WHISPERS), only=SILENT),
    "listens, and its telephone holds while it talks at another one": Situation(
        "`hold`",
        C,
        (*at.TALK, at.LISTENS, holds_by_phone("C"), c_talks),
        in_two=True,
        only=SILENT,
    ),
    "is recorded": Situation("`connected`", A, at.RECORDS, recording="runs", of_others=SUPERVISED),
    "is recorded, and that is paused": Situation(
        "`connected`", A, (*at.RECORDS, at.PAUSES), recording="paused", of_others=SUPERVISED
    ),
    **{
        f"{what}, and the call is {'paused on its recording' if pauses else 'recorded'}": Situation(
            f"`{row}`",
            device,
            (*before, *at.RECORDS, *pauses, *after),
            recording="paused" if pauses else "runs",
            of_others=of_others,
        )
        for pauses in ((), (at.PAUSES,))
        for what, row, device, before, after, of_others in (
            ("holds", "hold", A, (), (at.asks(do.HoldCall(A)),), SUPERVISED),
            ("is called into the call", "null", C, (), (TO_C,), frozenset()),
            ("rings", "alerting", C, (), (TO_C, at.rings("C")), PICKED_UP),
            (
                "picks up to take a place",
                "initiated",
                C,
                (at.c_does_not_pick_up,),
                (at.INTERCEPTS,),
                frozenset(),
            ),
            ("is parked at", "queued", at.PLACE, (), (PARKS,), PICKED_UP),
        )
    },
    "listens to who is recorded": Situation(
        "`connected`", C, (*at.RECORDS, at.LISTENS), only=SILENT, recording="runs"
    ),
    "listens to who is recorded, and that is paused": Situation(
        "`connected`", C, (*at.RECORDS, at.PAUSES, at.LISTENS), only=SILENT, recording="paused"
    ),
    "listens, and its telephone holds": Situation(
        "`hold`", C, (*at.TALK, at.LISTENS, holds_by_phone("C")), only=SILENT
    ),
}
"""Every row of the table, by what a device does."""

IS_CALLED_IN = {
    "is called into a call",
    "is called into a call while it talks elsewhere",
    "rings, and the call is recorded",
    "rings, and the call is paused on its recording",
}
"""Who rings so can't send anybody else: neither accepted nor shown."""
NOT_ALL = {
    ("of three", CommandName.PARK_CALL),
    ("of three", CommandName.LEND_CALL),
    ("has barged in", CommandName.LEND_CALL),
    ("waits for whom it has lent", CommandName.LEND_CALL),
    ("has barged in", CommandName.PARK_CALL),
    ("has barged in", CommandName.JOIN_CALL),
}
"""What the table allows and more than the state refuses: it says so below the table."""

BUILDERS: dict[CommandName, Callable[[DeviceId, CallId | None, CallId | None], Command]] = {
    CommandName.MAKE_CALL: lambda own, call, other: do.MakeCall(own, "10010"),
    CommandName.ANSWER_CALL: lambda own, call, other: do.AnswerCall(own, call),
    CommandName.HOLD_CALL: lambda own, call, other: do.HoldCall(own, call),
    CommandName.RETRIEVE_CALL: lambda own, call, other: do.RetrieveCall(own, call),
    CommandName.GENERATE_DIGITS: lambda own, call, other: do.GenerateDigits(own, "1", call),
    CommandName.CLEAR_CONNECTION: lambda own, call, other: do.ClearConnection(own, call),
    CommandName.CLEAR_CALL: lambda own, call, other: do.ClearCall(own, call),
    CommandName.CONSULTATION_CALL: lambda own, call, other: do.ConsultationCall(own, "6005", call),
    CommandName.ALTERNATE_CALL: lambda own, call, other: do.AlternateCall(own, other, call),
    CommandName.RECONNECT_CALL: lambda own, call, other: do.ReconnectCall(own, other, call),
    CommandName.CONFERENCE_CALL: lambda own, call, other: do.ConferenceCall(own, other, call),
    CommandName.SINGLE_STEP_CONFERENCE: lambda own, call, other: do.SingleStepConference(
        own, "6005", call
    ),
    CommandName.JOIN_CALL: lambda own, call, other: do.JoinCall(FREE, own, call=call),
    CommandName.INTERCEPT_CALL: lambda own, call, other: do.InterceptCall(FREE, own, call),
    CommandName.DIRECTED_PICKUP_CALL: lambda own, call, other: do.DirectedPickupCall(
        FREE, own, call
    ),
    CommandName.PARK_CALL: lambda own, call, other: do.ParkCall(own, DeviceId("702"), call),
    CommandName.ASSOCIATE_DATA: lambda own, call, other: do.AssociateData(own, {"a": "1"}, call),
    CommandName.LEND_CALL: lambda own, call, other: do.LendCall(own, "6005", call),
    CommandName.DEFLECT_CALL: lambda own, call, other: do.DeflectCall(own, "6005", call),
    CommandName.SET_MICROPHONE_MUTE: lambda own, call, other: do.SetMicrophoneMute(own, True, call),
    CommandName.SINGLE_STEP_TRANSFER: lambda own, call, other: do.SingleStepTransfer(
        own, "6005", call
    ),
    CommandName.TRANSFER_CALL: lambda own, call, other: do.TransferCall(own, other, call),
    CommandName.START_RECORDING: lambda own, call, other: do.StartRecording(own, call),
    CommandName.PAUSE_RECORDING: lambda own, call, other: do.PauseRecording(own, call),
    CommandName.RESUME_RECORDING: lambda own, call, other: do.ResumeRecording(own, call),
    CommandName.STOP_RECORDING: lambda own, call, other: do.StopRecording(own, call),
}
WHILE_RECORDED = {
    "": {CommandName.START_RECORDING},
    "runs": {CommandName.PAUSE_RECORDING, CommandName.STOP_RECORDING},
    "paused": {CommandName.RESUME_RECORDING, CommandName.STOP_RECORDING},
}
"""What the table's ⁴ leaves."""


def expected(name: str, command: CommandName) -> bool:
    """What the document says."""
    situation = SITUATIONS[name]
    if command in situation.of_others:
        return True
    if command is CommandName.MAKE_CALL:  # it is in no other call, and that does not count
        is_free = situation.row in ("`null`", "`queued`", "`fail`")
        return is_free and not situation.in_two and not situation.only
    marks = ROWS[situation.row].get(command)
    if marks is None or (name, command) in NOT_ALL:
        return False
    if command is CommandName.DEFLECT_CALL and name in IS_CALLED_IN:
        return False
    if situation.only and command not in ROWS[situation.only]:
        return False
    if "⁴" in marks and command not in WHILE_RECORDED[situation.recording]:
        return False
    if situation.in_two and "³" in marks and (situation.talks or command in OF_NONE):
        return False
    return (situation.established or "¹" not in marks) and (situation.in_two or "²" not in marks)


async def arranged(desk: Desk, situation: Situation) -> tuple[Call | None, CallId | None]:
    """The call that it is about, and the other one of the device."""
    for step in situation.steps:
        await step(desk)
    own = [call for call in desk.controller.calls() if call.connection_of(situation.device)]
    state = situation.row.split("`")[1]
    mine = [call for call in own if of(call, situation.device) == state]
    if not mine:
        assert state == ConnectionState.NULL
        return None, None
    call = mine[-1]
    other = next((each.id for each in own if each is not call), None)
    return call, other


def of(call: Call, device: DeviceId) -> str:
    connection = call.connection_of(device)
    assert connection is not None
    return connection.state.value


@pytest.mark.parametrize("command", CommandName)
@pytest.mark.parametrize("name", SITUATIONS)
async def test_a_command_is_accepted_where_the_table_says_so(
    name: str, command: CommandName
) -> None:
    situation = SITUATIONS[name]
    async with open_desk() as desk:
        call, other = await arranged(desk, situation)
        asked = BUILDERS[command](situation.device, None if call is None else call.id, other)
        may = expected(name, command)
        with nullcontext() if may else pytest.raises(CommandRejected):
            await desk.controller.submit(asked)


@pytest.mark.parametrize("name", SITUATIONS)
async def test_the_buttons_are_what_is_accepted(name: str) -> None:
    situation = SITUATIONS[name]
    async with open_desk() as desk:
        call, other = await arranged(desk, situation)
        if call is None:
            return  # whoever is in no call has one button only
        (interaction,) = [
            each for each in desk.controller.interactions() if each.call(call.id) is not None
        ]
        own = {situation.device}
        shown = encode_call(interaction, call, own, own if other is not None else set())
        (buttons,) = [set(each.commands) for each in shown.parties if each.device in own]
        (others,) = [set(each.of_others) for each in shown.parties if each.device in own]
    is_over = situation.only == FAILED or situation.row == "`fail`"
    dropped = set() if is_over else {CommandName.CLEAR_CONNECTION}
    assert others == situation.of_others | dropped
    more = {command for where, command in NOT_ALL if where == name}
    more |= {CommandName.RETRIEVE_CALL} if situation.in_two else set()
    rings_not = situation.row == "`null`" and not situation.only
    assert (CommandName.MAKE_CALL in buttons) == rings_not
    more.add(CommandName.MAKE_CALL)
    accepted = {each for each in CommandName if expected(name, each)} - situation.of_others
    assert buttons - more == accepted - more


def test_every_row_is_tried() -> None:
    rows = {each.row for each in SITUATIONS.values()}
    assert rows | {FAILED, SILENT} == set(ROWS)
    assert set(BUILDERS) == set(CommandName)
