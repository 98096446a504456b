"""Every command, at every moment, with everything that can fail: as `docs/call-control.md` says.

The rows of its table are the source. They are written by hand where something is to change;
`python -m tests.scenarios.failing` prints how they come out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoint.callcontrol.commands import CommandName
from tests.scenarios.failing import MEANINGLESS, Failure, Outcome, cases, meaningless, outcome_of
from tests.scenarios.moments import Moment

pytestmark = pytest.mark.scenario

DOCUMENT = Path(__file__).parents[2] / "docs" / "call-control.md"
Key = tuple[str, str, str, str]


def rows() -> dict[Key, Outcome]:
    """What each row says: command, moment, who and how it fails; what comes of it."""
    _, _, rest = DOCUMENT.read_text(encoding="utf-8").partition("<!-- failures: begin -->\n")
    found: dict[Key, Outcome] = {}
    for line in rest.partition("<!-- failures: end -->")[0].splitlines()[2:]:
        command, when, who, failures, events, heard = line.strip("| ").split(" | ")
        for failure in failures.split(", "):
            key = (command.strip("`"), when, who, failure)
            assert key not in found, key
            found[key] = Outcome(events, heard)
    return found


ROWS = rows()


def key_of(moment: Moment, who: str, failure: Failure) -> Key:
    return (moment.command.value, moment.when, who, failure.value)


def test_every_command_and_failure_has_a_row_or_says_why_there_is_none() -> None:
    nothing = Outcome("–", MEANINGLESS)
    none = {
        (str(command), "–", "–", str(failure))
        for command in CommandName
        for failure in meaningless(command)
    }
    assert {key for key, outcome in ROWS.items() if outcome == nothing} == none
    assert set(ROWS) == {key_of(*case) for case in cases()} | none
    assert {(command, failure) for command, _, _, failure in ROWS} == {
        (str(command), str(failure)) for command in CommandName for failure in Failure
    }


@pytest.mark.parametrize(
    ("moment", "who", "failure"),
    list(cases()),
    ids=lambda each: f"{each.command}, {each.when}" if isinstance(each, Moment) else str(each),
)
async def test_what_fails_comes_out_as_its_row_says(
    moment: Moment, who: str, failure: Failure
) -> None:
    """Nobody is left in silence or with music, and each call has one record."""
    assert await outcome_of(moment, who, failure) == ROWS[key_of(moment, who, failure)]
