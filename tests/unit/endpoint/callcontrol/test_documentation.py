"""`docs/call-control.md` says what the code does: its tables are made from it, or checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from endpoint.callcontrol.commands import CommandName, Rejection
from endpoint.callcontrol.events import CallEvents
from endpoint.callcontrol.model import ConnectionState
from endpoint.callcontrol.transitions import (
    ALLOWED,
    ENDS,
    NEEDS_ESTABLISHED,
    NEEDS_OTHER_CALL,
    OF_LENDERS,
    OF_RECORDINGS,
    OF_SUPERVISORS,
)
from endpoint.legs.base import CAUSES, Cause

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[4]
DOCUMENT = (ROOT / "docs" / "call-control.md").read_text(encoding="utf-8")
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8"))
}
NOT_BESIDE_ANOTHER = {CommandName.CONSULTATION_CALL, CommandName.RETRIEVE_CALL}
"""Said by `consultation.py` and the machine, and played by `test_what_is_allowed.py`."""
THE_TEN = (
    "wrong password",
    "unknown user",
    "server unreachable",
    "certificate refused",
    "busy",
    "no answer",
    "no common codec",
    "peer vanishes in the call",
    "caller cancels",
    "callee declines",
)


def section(name: str) -> str:
    """What stands between a pair of markers."""
    _, _, rest = DOCUMENT.partition(f"<!-- {name}: begin -->")
    return rest.partition(f"<!-- {name}: end -->")[0].strip()


def rows() -> dict[str, list[str]]:
    """The rows of the failure tables, by their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in DOCUMENT.splitlines()
        if line.count("|") == 8
    ]
    return {row[0]: row for row in cells if row[0] not in ("what", "---")}


def marks(name: CommandName) -> str:
    one, two = name in NEEDS_ESTABLISHED, name in NEEDS_OTHER_CALL
    three, four = name in NOT_BESIDE_ANOTHER, name in OF_RECORDINGS
    return "¹" * one + "²" * two + "³" * three + "⁴" * four


def test_the_state_table_is_the_transition_table() -> None:
    """When it is not: put the expected text between the markers."""
    rows = {f"`{state}`": ALLOWED[state] for state in ConnectionState}
    lends = {
        f"`{state}`, its other party is lent": ALLOWED[state] | OF_LENDERS
        for state in (ConnectionState.CONNECTED, ConnectionState.HOLD)
    }
    rows |= lends
    rows["of these, in a call that failed"] = ENDS
    rows["of these, listening or whispering"] = OF_SUPERVISORS
    lines = ["| state | commands |", "|---|---|"]
    for state, allowed in rows.items():
        needless = OF_LENDERS if state in lends else frozenset[CommandName]()
        names = [f"`{n}`{'' if n in needless else marks(n)}" for n in sorted(allowed)]
        lines.append(f"| {state} | {', '.join(names) or '–'} |")
    assert section("states") == "\n".join(lines)


def test_every_reason_of_a_refusal_is_named() -> None:
    assert section("reasons") == ", ".join(f"`{each}`" for each in Rejection)


@pytest.mark.parametrize(
    "table",
    [
        "consultations",
        "supervision",
        "pickups",
        "parks",
        "loans",
        "data",
        "transfers",
        "recordings",
    ],
)
def test_every_row_names_a_test_and_events_that_exist(table: str) -> None:
    rows = [line.split("|") for line in section(table).splitlines()[2:]]
    assert len(rows) > 10
    events = {kind.__name__ for kind in get_args(CallEvents)}
    for _, what, told, *_, test, _ in rows:
        assert set(re.findall(r"`([A-Z]\w+)`", told)) <= events, what
        assert re.findall(r"`(test_\w+)`", test)[0] in TESTS, what


def test_the_ten_failures_have_their_rows() -> None:
    assert set(THE_TEN) <= set(rows())


@pytest.mark.parametrize("what", rows())
def test_a_row_names_tests_that_exist(what: str) -> None:
    named = re.findall(r"`(test_\w+)`", rows()[what][6])
    assert named
    assert set(named) <= TESTS


@pytest.mark.parametrize("what", rows())
def test_a_row_names_a_cause_and_its_codes(what: str) -> None:
    """The cause is one, its Q.850 is the table's, and its status is among those given."""
    _, _, events, status, q850, _, _ = rows()[what]
    causes = {Cause(word) for word in re.findall(r"`([a-z_]+)`", events) if word in set(Cause)}
    assert causes or q850 == "–"
    if causes and q850 != "–":
        assert {CAUSES[cause].q850 for cause in causes} == {int(q850)}
    if "→" not in status and (said := re.findall(r"\b[3-6]\d\d\b", status)):
        assert not causes or {str(CAUSES[cause].sip_status) for cause in causes} & set(said)


def test_every_cause_has_a_row() -> None:
    told = " ".join(row[2] for row in rows().values())
    assert {cause for cause in Cause if f"`{cause}`" not in told} == set()
