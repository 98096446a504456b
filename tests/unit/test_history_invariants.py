"""The checker of histories of agents finds each kind of break, and none in a history that holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.interop.invariants import (
    Answer,
    Asked,
    Evidence,
    Guess,
    Reading,
    Recorded,
    Row,
    Standing,
    Told,
    breaks,
)

pytestmark = pytest.mark.unit

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ANNA, BERT = "1001", "1002"
REFUSED = Answer(403, "not_owner")


def told(number: int, event: str, **fields: Any) -> Told:
    if event.startswith("Agent") or event in ("OwnerReplaced", "WorkModeChanged"):
        fields = {"device": "6001", "mode": 0, **fields}
    if event in ("AgentNotReady", "AgentPendingState"):
        fields = {"reason": "", "ready": False, "logs_off": False, **fields}
    return Told(number, event, fields, NOON + timedelta(seconds=number))


def of_call(number: int, event: str, **fields: Any) -> Told:
    return told(number, event, **{"device": "6001", "call": "a-1", "connection": 1, **fields})


def whole() -> Evidence:
    """One that holds: Anna logs on, calls, is recorded, is taken over, and stays; Bert goes."""
    anna = [
        told(1, "AgentLoggedOn"),
        told(2, "AgentReady"),
        of_call(3, "Originated"),
        told(4, "AgentBusy"),
        of_call(5, "RecordingStarted", recording="r1"),
        told(6, "OwnerReplaced"),
        told(7, "AgentPendingState", reason="meal"),
        of_call(8, "ConnectionCleared"),
        told(9, "AgentNotReady", reason="meal"),
        told(10, "WorkModeChanged", mode=3),
    ]
    bert = [
        told(1, "AgentLoggedOn", device="6002"),
        told(2, "AgentNotReady", device="6002"),
        told(3, "AgentLoggedOff", device="6002", cause="asked"),
    ]
    return Evidence(
        logs={ANNA: anna, BERT: bert},
        readings={
            ANNA: [Reading(0, anna[:4]), Reading(3, anna[3:])],
            BERT: [Reading(0, bert[:]), Reading(3)],
        },
        asked=[
            Asked(ANNA, "log-on", "k1", 1, [Answer(200, "", 2, "s1")]),
            Asked(ANNA, "dial", "k2", 2, [Answer(202, "", 0, "a-1")] * 2),
            Asked(ANNA, "log-on", "k3", 1, [Answer(200, "", 6, "s2")]),
            Asked(ANNA, "not-ready meal", "k4", 2, [Answer(200, "", 7)] * 2),
            Asked(ANNA, "work-mode 3", "k5", 2, [Answer(409, "outcome_unknown")]),
            Asked(ANNA, "ready", "k6", 1, [Answer(409, "mode_takes_no_calls")]),
            Asked(BERT, "log-on", "k7", 1, [Answer(200, "", 2, "s3")]),
            Asked(BERT, "log-off", "k8", 1, [Answer(200, "", 3)]),
        ],
        guesses=[Guess(ANNA, REFUSED)],
        records=[("a-1", "k2")],
        recordings=[
            Recorded("r1", "a-1", "lost", "2026/r1", 12),
            Recorded("r2", "a-1", "failed", "2026/r2", 0, "no room"),
        ],
        files={"2026/r1": 12},
        now={ANNA: Standing("notReady", "6001", 3), BERT: Standing("null", "", None)},
        rows={ANNA: Row(10, 10, "6001"), BERT: Row(3, 3, "")},
    )


def test_a_history_that_holds_has_no_break() -> None:
    assert breaks(whole()) == []


def in_log(at: int, event: Told, agent: str = ANNA) -> Callable[[Evidence], None]:
    """An event of the log is another, as all have been told."""

    def change(evidence: Evidence) -> None:
        evidence.logs[agent][at - 1] = event
        for reading in evidence.readings[agent]:
            reading.events = [
                event if each.number == event.number else each for each in reading.events
            ]

    return change


def two_at_one_device(evidence: Evidence) -> None:
    log = evidence.logs[BERT]
    log[:] = [replace(each, fields={**each.fields, "device": "6001"}) for each in log]
    evidence.readings[BERT] = [Reading(0, log[:])]


def not_in_the_log(evidence: Evidence) -> None:
    evidence.asked[3] = Asked(ANNA, "not-ready rest", "k4", 1, [Answer(200, "", 7)])


def behind_the_log(evidence: Evidence) -> None:
    evidence.asked.append(Asked(ANNA, "not-ready meal", "k9", 1, [Answer(200, "", 11)]))


def no_record(evidence: Evidence) -> None:
    evidence.records.clear()
    evidence.recordings.clear()
    evidence.files.clear()
    in_log(5, of_call(5, "Delivered"))(evidence)


def another_record(evidence: Evidence) -> None:
    evidence.records.append(("a-1", ""))


def a_gap_in_a_socket(evidence: Evidence) -> None:
    del evidence.readings[ANNA][1].events[2]


def told_twice_through_a_socket(evidence: Evidence) -> None:
    events = evidence.readings[ANNA][1].events
    events.insert(1, events[0])


def told_otherwise(evidence: Evidence) -> None:
    evidence.readings[ANNA][0].events[1] = told(2, "AgentNotReady")


def missed(evidence: Evidence) -> None:
    evidence.readings[ANNA][1].missed = True


def a_call_of_two(evidence: Evidence) -> None:
    in_log(2, of_call(2, "Delivered", device="6002"), BERT)(evidence)


def who_was_replaced_is_obeyed(evidence: Evidence) -> None:
    evidence.guesses.append(Guess(ANNA, Answer(200, "", 11)))


def no_file(evidence: Evidence) -> None:
    evidence.files.clear()


def a_file_of_nobody(evidence: Evidence) -> None:
    evidence.files["2026/r9"] = 4


def another_size(evidence: Evidence) -> None:
    evidence.files["2026/r1"] = 13


def no_row(evidence: Evidence) -> None:
    evidence.recordings.clear()
    evidence.files.clear()


def still_written(evidence: Evidence) -> None:
    evidence.recordings[0] = replace(evidence.recordings[0], state="recording")


def one_file_of_two(evidence: Evidence) -> None:
    evidence.recordings.append(replace(evidence.recordings[0], recording="r3"))


def answered_otherwise(evidence: Evidence) -> None:
    evidence.asked[3].answers[1] = Answer(200, "", 9)


def two_calls_by_one_key(evidence: Evidence) -> None:
    evidence.records.append(("a-2", "k2"))


def done_oftener_than_asked(evidence: Evidence) -> None:
    evidence.asked[2].answers[0] = Answer(409, "logged_on_here")


def one_secret_twice(evidence: Evidence) -> None:
    evidence.asked[2].answers[0] = Answer(200, "", 6, "s1")


def the_endpoint_says_otherwise(evidence: Evidence) -> None:
    evidence.now[ANNA] = Standing("ready", "6001", 3)


def the_database_knows_less(evidence: Evidence) -> None:
    evidence.rows[ANNA] = Row(10, 9, "6001")


def clients_know_less(evidence: Evidence) -> None:
    evidence.readings[ANNA][1].events.pop()


@pytest.mark.parametrize(
    ("invariant", "change", "said"),
    [
        ("I1", in_log(6, told(6, "AgentLoggedOn")), "logged on twice\n    1 AgentLoggedOn"),
        ("I1", in_log(6, told(6, "OwnerReplaced", device="6002")), "at two devices"),
        ("I1", in_log(1, told(1, "AgentReady", device="6002"), BERT), "nobody's session"),
        ("I1", two_at_one_device, "at 6001 at once"),
        ("I2", not_in_the_log, "not-ready rest of 1001 by the key k4 was answered with 7"),
        ("I2", behind_the_log, "was answered with 11"),
        ("I3", no_record, "0 records of the call a-1\n    3 Originated"),
        ("I3", another_record, "2 records of the call a-1"),
        ("I4", in_log(4, told(5, "AgentBusy")), "number 4 of the log is another"),
        ("I4", a_gap_in_a_socket, "came behind number 5\n    7 AgentPendingState"),
        ("I4", told_twice_through_a_socket, "came behind number 4\n    4 AgentBusy"),
        ("I4", told_otherwise, "was told so, and is kept so\n    2 AgentNotReady"),
        ("I4", missed, "events behind 3 were missed"),
        ("I5", a_call_of_two, "also of 1001\n    3 Originated"),
        ("I5", who_was_replaced_is_obeyed, "who was replaced is answered 200"),
        ("I6", no_file, "r1 is lost, and has no file 2026/r1"),
        ("I6", a_file_of_nobody, "2026/r9 is no recording's"),
        ("I6", another_size, "has 13 octets, its row says 12"),
        ("I6", no_row, "r1 has begun, and has no row\n    5 RecordingStarted"),
        ("I6", still_written, "is being written, and no call lives"),
        ("I6", one_file_of_two, "are one file"),
        ("I7", answered_otherwise, "not-ready meal of 1001 by the key k4 is answered"),
        ("I7", two_calls_by_one_key, "has made the calls a-1, a-2"),
        ("I7", done_oftener_than_asked, "asked for 1 times and done 2 times\n    1 AgentLoggedOn"),
        ("I7", one_secret_twice, "2 of log-on have got the same"),
        ("I7", in_log(3, of_call(3, "ConnectionCleared")), "one end is told twice\n    3 Conn"),
        ("I8", the_endpoint_says_otherwise, "the endpoint Standing(state='ready'"),
        ("I8", the_database_knows_less, "the log has 10 lines"),
        ("I8", clients_know_less, "clients have seen 9 of 10 events"),
    ],
)
def test_each_kind_of_break_is_found_and_named(
    invariant: str, change: Callable[[Evidence], None], said: str
) -> None:
    evidence = whole()
    change(evidence)
    found = breaks(evidence)
    assert any(each.invariant == invariant and said in str(each) for each in found), found
    assert all(str(each).startswith(each.invariant) for each in found)


def test_a_log_on_that_nobody_answered_may_be_why_the_next_one_is_refused() -> None:
    """It was done, the endpoint was killed before it said so, and it was sent again."""
    evidence, refused = whole(), Answer(409, "logged_on_here")
    evidence.asked[6] = Asked(BERT, "log-on", "k7", 3, [refused])
    assert breaks(evidence) == []
    evidence.asked[6] = Asked(BERT, "log-on", "k7", 1, [refused])
    (found,) = breaks(evidence)
    assert (found.invariant, found.agent) == ("I7", BERT)
