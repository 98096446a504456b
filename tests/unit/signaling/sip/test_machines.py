"""The four tables, row by row, against a second writing of RFC 3261 §17 and RFC 6026 §7."""

from __future__ import annotations

import pytest

from signaling.sip.machines import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    TIMERS,
    Action,
    Input,
    State,
    Table,
)

pytestmark = pytest.mark.unit

# state | input | next state | actions in order; what is not here is discarded
EXPECTED = {
    "INVITE client": """
        calling    | request         | calling    | send, start A, start B
        calling    | timer A         | calling    | resend, start A
        calling    | timer B         | terminated | report timeout
        calling    | 1xx             | proceeding | pass up
        calling    | 2xx             | accepted   | start M, pass up
        calling    | 3xx-6xx         | completed  | send ACK, start D, pass up
        calling    | transport error | terminated | report transport error
        calling    | abandon         | terminated |
        proceeding | 1xx             | proceeding | pass up
        proceeding | 2xx             | accepted   | start M, pass up
        proceeding | 3xx-6xx         | completed  | send ACK, start D, pass up
        proceeding | transport error | terminated | report transport error
        proceeding | abandon         | terminated |
        accepted   | 2xx             | accepted   | pass up
        accepted   | timer M         | terminated |
        accepted   | transport error | terminated |
        completed  | 3xx-6xx         | completed  | send ACK
        completed  | timer D         | terminated |
        completed  | transport error | terminated |
    """,
    "client": """
        trying     | request         | trying     | send, start E, start F
        trying     | timer E         | trying     | resend, start E
        trying     | timer F         | terminated | report timeout
        trying     | 1xx             | proceeding | start E at T2, pass up
        trying     | 2xx             | completed  | start K, pass up
        trying     | 3xx-6xx         | completed  | start K, pass up
        trying     | transport error | terminated | report transport error
        proceeding | timer E         | proceeding | resend, start E at T2
        proceeding | timer F         | terminated | report timeout
        proceeding | 1xx             | proceeding | pass up
        proceeding | 2xx             | completed  | start K, pass up
        proceeding | 3xx-6xx         | completed  | start K, pass up
        proceeding | transport error | terminated | report transport error
        completed  | timer K         | terminated |
        completed  | transport error | terminated |
    """,
    "INVITE server": """
        proceeding | created         | proceeding | start TRYING
        proceeding | timer TRYING    | proceeding | send 100
        proceeding | request         | proceeding | resend
        proceeding | 1xx             | proceeding | stop TRYING, send
        proceeding | 2xx             | accepted   | send, start L
        proceeding | 3xx-6xx         | completed  | send, start G, start H
        proceeding | transport error | terminated | report transport error
        accepted   | 2xx             | accepted   | send
        accepted   | ack             | accepted   | pass up
        accepted   | timer L         | terminated |
        accepted   | transport error | terminated |
        completed  | request         | completed  | resend
        completed  | timer G         | completed  | resend, start G
        completed  | timer H         | terminated |
        completed  | ack             | confirmed  | start I
        completed  | transport error | terminated |
        confirmed  | timer I         | terminated |
        confirmed  | transport error | terminated |
    """,
    "server": """
        trying     | created         | trying     | start ABANDON
        trying     | 1xx             | proceeding | send
        trying     | 2xx             | completed  | send, start J
        trying     | 3xx-6xx         | completed  | send, start J
        trying     | timer ABANDON   | terminated | report timeout
        trying     | transport error | terminated | report transport error
        proceeding | request         | proceeding | resend
        proceeding | 1xx             | proceeding | send
        proceeding | 2xx             | completed  | send, start J
        proceeding | 3xx-6xx         | completed  | send, start J
        proceeding | timer ABANDON   | terminated | report timeout
        proceeding | transport error | terminated | report transport error
        completed  | request         | completed  | resend
        completed  | timer J         | terminated |
        completed  | transport error | terminated |
    """,
}
TABLES = {
    "INVITE client": INVITE_CLIENT,
    "client": CLIENT,
    "INVITE server": INVITE_SERVER,
    "server": SERVER,
}


def rows(text: str) -> dict[tuple[State, Input], tuple[State, tuple[Action, ...]]]:
    found = {}
    for line in text.strip().splitlines():
        state, happened, after, actions = (cell.strip() for cell in line.split("|"))
        found[State(state), Input(happened)] = (
            State(after),
            tuple(Action(action.strip()) for action in actions.split(",") if action.strip()),
        )
    return found


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_as_the_rfc_has_it(name: str) -> None:
    table = TABLES[name]
    actual = {
        (state, happened): row
        for state, inputs in table.items()
        for happened, row in inputs.items()
    }
    assert actual == rows(EXPECTED[name])


@pytest.mark.parametrize("name", TABLES)
def test_every_live_state_ends_when_its_flow_fails(name: str) -> None:
    for inputs in TABLES[name].values():
        assert inputs[Input.TRANSPORT_ERROR][0] is State.TERMINATED


@pytest.mark.parametrize("name", TABLES)
def test_every_state_but_those_of_a_waiting_user_is_left_by_a_timer(name: str) -> None:
    """Only an INVITE that rings may last: its end is the user's business."""
    for state, inputs in TABLES[name].items():
        leaves = any(
            row[0] is State.TERMINATED for happened, row in inputs.items() if happened in TIMERS
        )
        assert leaves or (state is State.PROCEEDING and "INVITE" in name)


@pytest.mark.parametrize("name", TABLES)
def test_every_timer_that_a_row_starts_has_a_row_where_it_fires(name: str) -> None:
    table: Table = TABLES[name]
    for inputs in table.values():
        for after, actions in inputs.values():
            for action in actions:
                if action.value.startswith("start "):
                    timer = Input("timer " + action.value.split()[1])
                    assert timer in table[after]
