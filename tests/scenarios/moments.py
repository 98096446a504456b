"""Every command of call control at each moment at which somebody can fail.

A is the agent 6001, B who talks with A or calls it (10086), C whom it is about else (6002).
A moment leaves the desk with the command done as far as its name says; whoever is called by then
rings and has not answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from endpoint.callcontrol import commands as do
from endpoint.callcontrol.commands import Command, CommandName
from endpoint.callcontrol.model import Participation
from endpoint.legs.base import DeviceId, LegRole
from tests.fakes.exchange import FakeLeg
from tests.scenarios.desk import Desk

A, B, C = DeviceId("6001"), DeviceId("10086"), DeviceId("6002")
PLACE = DeviceId("701")
NAMES = {A: "A", B: "B", C: "C", PLACE: "P"}
PARK_S = 120.0

Step = Callable[[Desk], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Moment:
    """A command, and what is true when somebody fails."""

    command: CommandName
    when: str
    """In the words of the table."""
    steps: tuple[Step, ...]
    """How it comes to that."""
    called: str = ""
    """Who is being called, or asked to answer."""
    there: str = ""
    """Whose telephones can hang up or be lost."""
    called_off: Step | None = None
    """What lets go of whom is called, whose answer can cross it."""
    let_go: str = ""
    """Who rang and is let go by the command, so that what his telephone does crosses that."""
    takes_hold: str = ""
    """Who is asked by the command to be held, or to come back, and can refuse that."""


# -- what people do -------------------------------------------------------------------------------


def asks(command: Command) -> Step:
    async def step(desk: Desk) -> None:
        await desk.controller.submit(command)
        await desk.let_pass(0.01)

    return step


def phone_of(desk: Desk, who: str) -> FakeLeg:
    """The newest telephone of one of them, that is not over."""
    device = next(device for device, name in NAMES.items() if name == who)
    return [each for each in desk.exchange.open_legs if each.device == device][-1]


def rings(who: str) -> Step:
    async def step(desk: Desk) -> None:
        phone_of(desk, who).ring()
        await desk.let_pass(0.01)

    return step


def answers(who: str) -> Step:
    async def step(desk: Desk) -> None:
        phone_of(desk, who).answer()
        await desk.let_pass(0.01)

    return step


def hangs_up(who: str) -> Step:
    async def step(desk: Desk) -> None:
        phone_of(desk, who).hang_up()
        await desk.let_pass(0.01)

    return step


def waits(seconds: float) -> Step:
    async def step(desk: Desk) -> None:
        await desk.let_pass(seconds)

    return step


async def c_does_not_pick_up(desk: Desk) -> None:
    desk.exchange.no_auto_answer.add(C)


async def a_does_not_pick_up(desk: Desk) -> None:
    desk.exchange.no_auto_answer.add(A)


async def a_rings_on(desk: Desk) -> None:
    desk.exchange.rings_on.add(A)


async def legs_end_late(desk: Desk) -> None:
    """Who is let go is not gone at once."""
    desk.exchange.release_delay_s = 1.0


async def b_calls_a(desk: Desk) -> None:
    desk.exchange.offer(B, A, LegRole.LINE)
    await desk.exchange.placed(A)
    await rings("A")(desk)


CALLS = asks(do.MakeCall(A, B))
TALK = (CALLS, rings("B"), answers("B"))
HOLDS = (*TALK, asks(do.HoldCall(A)))
B_RINGS = (CALLS, rings("B"))
C_RINGS = (*TALK, asks(do.ConsultationCall(A, C)), rings("C"))
CONSULTS = (*C_RINGS, answers("C"))
CALLED_IN = (*TALK, asks(do.SingleStepConference(A, C)), rings("C"))
ALL_TALK = (*CALLED_IN, answers("C"))
LISTENS = asks(do.JoinCall(C, A))
BARGES = asks(do.JoinCall(C, A, Participation.ACTIVE))
INTERCEPTS = asks(do.InterceptCall(C, A))
PICKS_UP = asks(do.DirectedPickupCall(C, A))
PARKED = (*TALK, asks(do.ParkCall(A, PLACE)))
TAKES_PARKED = asks(do.DirectedPickupCall(C, PLACE))
DEFLECTS = asks(do.DeflectCall(A, C))
TRANSFERS = (*TALK, asks(do.SingleStepTransfer(A, C)), rings("C"))
LENDS = asks(do.LendCall(A, C))
LENT = (*TALK, LENDS, rings("C"))
TAKES_HOME = asks(do.ReconnectCall(A))
GIVES_UP = asks(do.ClearConnection(A))
RECORDS = (*TALK, asks(do.StartRecording(A)))
PAUSES = asks(do.PauseRecording(A))
N = CommandName

MOMENTS = (
    Moment(
        N.MAKE_CALL,
        "A's telephone rings",
        (a_does_not_pick_up, CALLS, rings("A")),
        "A",
        called_off=GIVES_UP,
    ),
    Moment(N.MAKE_CALL, "B rings", B_RINGS, "B", "A", GIVES_UP),
    Moment(N.MAKE_CALL, "they talk", TALK, there="AB"),
    Moment(
        N.ANSWER_CALL,
        "A's telephone is asked",
        (b_calls_a, a_rings_on, asks(do.AnswerCall(A))),
        "A",
        "B",
        hangs_up("B"),
    ),
    Moment(N.ANSWER_CALL, "they talk", (b_calls_a, asks(do.AnswerCall(A))), there="AB"),
    Moment(N.HOLD_CALL, "A holds", HOLDS, there="AB", takes_hold="B"),
    Moment(
        N.RETRIEVE_CALL,
        "they talk again",
        (*HOLDS, asks(do.RetrieveCall(A))),
        there="AB",
        takes_hold="B",
    ),
    Moment(N.GENERATE_DIGITS, "they talk", (*TALK, asks(do.GenerateDigits(A, "1"))), there="AB"),
    Moment(
        N.CLEAR_CONNECTION,
        "B rings, A has left",
        (legs_end_late, *B_RINGS, GIVES_UP),
        let_go="B",
        there="A",
    ),
    Moment(
        N.CLEAR_CONNECTION,
        "A rings, A has left",
        (legs_end_late, b_calls_a, GIVES_UP),
        let_go="A",
        there="B",
    ),
    Moment(N.CLEAR_CONNECTION, "of two, A has left", (legs_end_late, *TALK, GIVES_UP), there="AB"),
    Moment(N.CLEAR_CONNECTION, "of three, A has left", (*ALL_TALK, GIVES_UP), there="BC"),
    Moment(
        N.CLEAR_CALL,
        "B rings, all are let go",
        (legs_end_late, *B_RINGS, asks(do.ClearCall(A))),
        let_go="B",
        there="A",
    ),
    Moment(
        N.CLEAR_CALL,
        "all three are let go",
        (legs_end_late, *ALL_TALK, asks(do.ClearCall(A))),
        there="ABC",
    ),
    Moment(
        N.CONSULTATION_CALL,
        "C is called",
        (*TALK, asks(do.ConsultationCall(A, C))),
        takes_hold="B",
    ),
    Moment(N.CONSULTATION_CALL, "C rings", C_RINGS, "C", "AB", asks(do.ReconnectCall(A))),
    Moment(N.CONSULTATION_CALL, "A and C talk", CONSULTS, there="ABC"),
    Moment(
        N.ALTERNATE_CALL,
        "A and B talk, C is held",
        (*CONSULTS, asks(do.AlternateCall(A))),
        there="ABC",
        takes_hold="BC",
    ),
    Moment(
        N.RECONNECT_CALL,
        "C rang, A and B talk",
        (legs_end_late, *C_RINGS, asks(do.ReconnectCall(A))),
        let_go="C",
        there="AB",
        takes_hold="B",
    ),
    Moment(
        N.RECONNECT_CALL,
        "C was there, A and B talk",
        (legs_end_late, *CONSULTS, asks(do.ReconnectCall(A))),
        there="ABC",
    ),
    Moment(
        N.RECONNECT_CALL,
        "C was called for B, A and B talk",
        (legs_end_late, *LENT, TAKES_HOME),
        let_go="C",
        there="AB",
    ),
    Moment(
        N.RECONNECT_CALL,
        "B was with C, A and B talk",
        (legs_end_late, *LENT, answers("C"), TAKES_HOME),
        there="ABC",
        takes_hold="A",
    ),
    Moment(
        N.CONFERENCE_CALL,
        "all three talk",
        (*CONSULTS, asks(do.ConferenceCall(A))),
        there="ABC",
        takes_hold="B",
    ),
    Moment(N.SINGLE_STEP_CONFERENCE, "C rings", CALLED_IN, "C", "AB", asks(do.ClearConnection(C))),
    Moment(N.SINGLE_STEP_CONFERENCE, "all three talk", ALL_TALK, there="ABC"),
    Moment(
        N.JOIN_CALL,
        "C's telephone rings",
        (*TALK, c_does_not_pick_up, LISTENS),
        "C",
        "AB",
        asks(do.ClearConnection(C)),
    ),
    Moment(N.JOIN_CALL, "C listens", (*TALK, LISTENS), there="ABC"),
    Moment(N.JOIN_CALL, "C has barged in", (*TALK, BARGES), there="ABC"),
    Moment(
        N.INTERCEPT_CALL,
        "C's telephone rings",
        (*TALK, c_does_not_pick_up, INTERCEPTS),
        "C",
        "AB",
        hangs_up("B"),
    ),
    Moment(N.INTERCEPT_CALL, "C has A's place", (*TALK, INTERCEPTS), there="BC"),
    Moment(
        N.DIRECTED_PICKUP_CALL,
        "C's telephone and A ring",
        (b_calls_a, c_does_not_pick_up, PICKS_UP),
        "CA",
        "B",
        hangs_up("B"),
    ),
    Moment(
        N.DIRECTED_PICKUP_CALL,
        "C has the call",
        (legs_end_late, b_calls_a, PICKS_UP),
        let_go="A",
        there="BC",
    ),
    Moment(
        N.DIRECTED_PICKUP_CALL,
        "B is parked, C's telephone rings",
        (*PARKED, c_does_not_pick_up, TAKES_PARKED),
        "C",
        "B",
        asks(do.ClearConnection(C)),
    ),
    Moment(N.PARK_CALL, "B waits", PARKED, there="B", takes_hold="B"),
    Moment(
        N.PARK_CALL,
        "it rings at A again",
        (*PARKED, waits(PARK_S), rings("A")),
        "A",
        "B",
        TAKES_PARKED,
    ),
    Moment(N.LEND_CALL, "C is called", (*TALK, LENDS), takes_hold="A"),
    Moment(N.LEND_CALL, "C rings for B, A waits", LENT, "C", "AB", TAKES_HOME),
    Moment(N.LEND_CALL, "A has left, C rings", (*LENT, hangs_up("A")), "C", "B", hangs_up("B")),
    Moment(N.LEND_CALL, "B and C talk, A waits", (*LENT, answers("C")), there="ABC"),
    Moment(
        N.LEND_CALL,
        "A has left, B and C talk",
        (*LENT, answers("C"), hangs_up("A")),
        there="BC",
    ),
    Moment(
        N.DEFLECT_CALL,
        "C rings",
        (legs_end_late, b_calls_a, DEFLECTS, rings("C")),
        "C",
        "B",
        hangs_up("B"),
        let_go="A",
    ),
    Moment(
        N.DEFLECT_CALL,
        "C has the call",
        (b_calls_a, DEFLECTS, rings("C"), answers("C")),
        there="BC",
    ),
    Moment(
        N.ASSOCIATE_DATA,
        "they talk",
        (*TALK, asks(do.AssociateData(A, {"order": "1"}))),
        there="AB",
    ),
    Moment(
        N.SET_MICROPHONE_MUTE,
        "A is muted",
        (*TALK, asks(do.SetMicrophoneMute(A, muted=True))),
        there="AB",
    ),
    Moment(N.SINGLE_STEP_TRANSFER, "C rings", TRANSFERS, "C", "AB", hangs_up("B")),
    Moment(
        N.SINGLE_STEP_TRANSFER,
        "A has left, C rings",
        (*TRANSFERS, hangs_up("A")),
        "C",
        "B",
        hangs_up("B"),
    ),
    Moment(N.SINGLE_STEP_TRANSFER, "C has A's place", (*TRANSFERS, answers("C")), there="BC"),
    Moment(
        N.TRANSFER_CALL, "C rings", (*C_RINGS, asks(do.TransferCall(A))), "C", "AB", hangs_up("B")
    ),
    Moment(N.START_RECORDING, "A records", RECORDS, there="AB"),
    Moment(N.PAUSE_RECORDING, "it is paused", (*RECORDS, PAUSES), there="AB"),
    Moment(
        N.RESUME_RECORDING,
        "it goes on",
        (*RECORDS, PAUSES, asks(do.ResumeRecording(A))),
        there="AB",
    ),
    Moment(N.STOP_RECORDING, "it is over", (*RECORDS, asks(do.StopRecording(A))), there="AB"),
    Moment(N.TRANSFER_CALL, "B and C talk", (*CONSULTS, asks(do.TransferCall(A))), there="BC"),
)
"""Of every command."""
