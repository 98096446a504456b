"""The eight invariants of a history of agents: pure, over what was written down of a run.

A break names the invariant, the agent, and the events with their numbers. What each demands:

- **I1** An agent has one session at a time, at one device, and a device one agent.
- **I2** What was answered is in the log for ever, up to the number that it was answered with.
- **I3** There is one record of each call that was accepted, or told of.
- **I4** Numbers have no gaps: in the log, and through each socket behind where it went on; whoever
  reads an event, and whenever, reads the same.
- **I5** One owner: a call's own connection is told in one agent's log alone, and who was replaced
  is obeyed no more.
- **I6** Of each recording there is a row, of each row a file of that size, and no other file; none
  is being written when no call lives. A row that has failed before anything was written says why.
- **I7** A request that is made again by the same key is done once: whoever is told that it was done
  is told the same; it has one effect at most; and of one step of a call is told once.
- **I8** The log, what the endpoint says, its database and its clients agree in the end.

Not demanded, as it is not promised: that a request which nobody answered was done, or was not; only
that it was not twice. That what was refused is refused again: nothing was done, and it may be tried
again by the same key. And that a log-on which is sent again is answered the same: its answer is the
secret by which the session is owned, and that is kept nowhere. It may be done as often as it was
sent, each time for another secret, of which the last alone counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

STATES = {
    "AgentReady": "ready",
    "AgentNotReady": "notReady",
    "AgentBusy": "busy",
    "AgentWorkingAfterCall": "workingAfterCall",
    "AgentLoggedOff": "null",
}
NOT_KEYED = ("log-on",)
"""Commands that are done as often as they are sent."""
UNKNOWN = "outcome_unknown"
"""The endpoint died while it did this."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event of an agent's log."""

    number: int
    event: str
    fields: Mapping[str, Any]
    at: datetime | None = None

    def __str__(self) -> str:
        about = ("device", "mode", "reason", "call", "connection", "cause", "ready", "logs_off")
        said = (f"{name}={self.fields[name]}" for name in about if name in self.fields)
        return f"{self.number} {self.event}({', '.join(said)})"


@dataclass(slots=True)
class Reading:
    """What came through one socket."""

    after: int
    """It asked for what is behind this."""
    events: list[Told] = field(default_factory=list)
    missed: bool = False
    """It was told that something is not kept any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request was answered."""

    status: int
    reason: str = ""
    """Of a refusal."""
    number: int = 0
    """Of the log behind it."""
    made: str = ""
    """The `delegator_id`, or the call."""


@dataclass(slots=True)
class Asked:
    """A command: one key, sent once or again."""

    agent: str
    what: str
    """`log-on`, `not-ready meal`, `dial`…"""
    key: str
    sent: int = 1
    """So often."""
    answers: list[Answer] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.what} of {self.agent} by the key {self.key[:8]}"

    @property
    def done(self) -> Answer | None:
        """That it was done, where somebody was told so."""
        return next((each for each in reversed(self.answers) if each.status < 300), None)

    @property
    def is_unknown(self) -> bool:
        """Nobody was told whether it was done."""
        return not self.answers or any(each.reason == UNKNOWN for each in self.answers)

    def most_effects(self, *, keyed: bool) -> int:
        """How often it may have been done; without keys each time that was not refused counts."""
        if keyed:
            return int(self.done is not None or self.is_unknown)
        refused = [each for each in self.answers if each.status >= 300 and each.reason != UNKNOWN]
        return self.sent - len(refused)


@dataclass(frozen=True, slots=True)
class Guess:
    """A command by the `delegator_id` of who was replaced."""

    agent: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row of a recording."""

    recording: str
    call: str
    state: str
    path: str
    size: int
    text: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is so of an agent."""

    state: str
    device: str
    mode: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the database knows of an agent."""

    number: int
    lines: int
    device: str


@dataclass(slots=True)
class Evidence:
    """All that was written down of a run, and what was found after it."""

    logs: dict[str, list[Told]] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    records: list[tuple[str, str]] = field(default_factory=list)
    """Of each call: its name, and the key of the request that has made it."""
    recordings: list[Recorded] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    """Of recordings, by path: how large they are."""
    now: dict[str, Standing] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Break:
    """An invariant does not hold."""

    invariant: str
    agent: str
    """Whose; empty: of none in particular."""
    text: str
    events: tuple[Told, ...] = ()

    def __str__(self) -> str:
        about = f" ({self.agent})" if self.agent else ""
        listed = "".join(f"\n    {each}" for each in self.events)
        return f"{self.invariant}{about}: {self.text}{listed}"


def breaks(evidence: Evidence) -> list[Break]:
    """All that does not hold."""
    checks = (one_session, answered, recorded, gapless, one_owner, files, once, agreed)
    return [each for check in checks for each in check(evidence)]


def one_session(evidence: Evidence) -> Iterator[Break]:
    """I1."""
    seats: dict[str, list[tuple[datetime, datetime | None, str, Told]]] = defaultdict(list)
    for agent, log in evidence.logs.items():
        begun: Told | None = None
        for each in log:
            if each.event == "AgentLoggedOn":
                if begun is not None:
                    yield Break("I1", agent, "logged on twice", (begun, each))
                begun = each
            elif "mode" not in each.fields:
                continue  # of a call
            elif begun is None:
                yield Break("I1", agent, "something is told of nobody's session", (each,))
            else:
                if each.fields["device"] != begun.fields["device"]:
                    yield Break("I1", agent, "one session at two devices", (begun, each))
                if each.event == "AgentLoggedOff":
                    if begun.at is not None:
                        seat = seats[begun.fields["device"]]
                        seat.append((begun.at, each.at, agent, begun))
                    begun = None
        if begun is not None and begun.at is not None:
            seats[begun.fields["device"]].append((begun.at, None, agent, begun))
    for device, sat in seats.items():
        for before, after in pairwise(sorted(sat, key=lambda each: each[0])):
            if before[1] is None or before[1] > after[0]:
                text = f"{before[2]} and {after[2]} are at {device} at once"
                yield Break("I1", after[2], text, (before[3], after[3]))


def answered(evidence: Evidence) -> Iterator[Break]:
    """I2."""
    for each in evidence.asked:
        if each.done is None or each.what == "dial" or not each.done.number:
            continue
        log = evidence.logs[each.agent]
        number = each.done.number
        if len(log) < number or not _is_in(log[:number], each.what, number):
            tail = tuple(log[max(0, number - 5) : number])
            text = f"{each} was answered with {number}, and the log up to there does not say it"
            yield Break("I2", each.agent, text, tail)


def _is_in(before: Sequence[Told], what: str, number: int) -> bool:
    """Whether the log up to an answer says it, as far as one event can."""
    word, _, about = what.partition(" ")
    for each in reversed(before):
        if each.event == "AgentLoggedOn":
            # A log-on may say all of this by itself: it was ready, in that mode, without a reason.
            return word in ("log-on", "ready") or (
                word == "work-mode" and each.fields["mode"] == int(about)
            )
        match word:
            case "log-on" if each.event == "OwnerReplaced":
                return True
            case "log-off" if each.event == "AgentLoggedOff":
                return True
            case "log-off" if each.event == "AgentPendingState":
                return bool(each.fields["logs_off"])
            case "work-mode" if each.fields.get("mode") is not None:
                return bool(each.fields["mode"] == int(about))
            case "not-ready" if each.event in ("AgentNotReady", "AgentPendingState"):
                return each.fields.get("reason") == about
            case "ready" if each.event == "AgentReady":
                return True
            case "ready" if each.event == "AgentPendingState":
                return bool(each.fields["ready"])
            case "ready" if each.event == "AgentNotReady" and each.fields["reason"]:
                return False  # where there is none, its mode takes no calls, and it may want them
            case "finish-wrap-up" if each.event in STATES:
                return each.number == number
            case _:
                continue
    return False


def recorded(evidence: Evidence) -> Iterator[Break]:
    """I3."""
    counts = Counter(call for call, _ in evidence.records)
    known: dict[str, tuple[str, tuple[Told, ...]]] = {}
    for agent, log in evidence.logs.items():
        for event in log:
            if "call" in event.fields:
                known.setdefault(event.fields["call"], (agent, (event,)))
    for each in evidence.asked:
        if each.what == "dial" and each.done is not None:
            known.setdefault(each.done.made, (each.agent, ()))
    for call, (agent, events) in known.items():
        if counts[call] != 1:
            yield Break("I3", agent, f"{counts[call]} records of the call {call}", events)
    for call, count in counts.items():
        if count > 1 and call not in known:
            yield Break("I3", "", f"{count} records of the call {call}")


def gapless(evidence: Evidence) -> Iterator[Break]:
    """I4."""
    for agent, log in evidence.logs.items():
        for number, each in enumerate(log, 1):
            if each.number != number:
                yield Break("I4", agent, f"number {number} of the log is another", (each,))
                break
        by_number = {each.number: each for each in log}
        for reading in evidence.readings.get(agent, ()):
            if reading.missed:
                yield Break("I4", agent, f"events behind {reading.after} were missed")
            after = reading.after
            for each in reading.events:
                if each.number != after + 1:
                    yield Break("I4", agent, f"came behind number {after}", (each,))
                after = each.number
                kept = by_number.get(each.number)
                if kept is None:
                    yield Break("I4", agent, "was told, and is not in the log", (each,))
                elif (kept.event, kept.fields) != (each.event, each.fields):
                    yield Break("I4", agent, "was told so, and is kept so", (each, kept))


def one_owner(evidence: Evidence) -> Iterator[Break]:
    """I5."""
    told: dict[tuple[str, int], tuple[str, Told]] = {}
    for agent, log in evidence.logs.items():
        device = ""
        for each in log:
            if "mode" in each.fields:
                device = each.fields["device"]
            elif each.fields.get("device") == device and "connection" in each.fields:
                key = each.fields["call"], each.fields["connection"]
                other, first = told.setdefault(key, (agent, each))
                if other != agent:
                    text = f"the connection {key[1]} of {key[0]} is also of {other}"
                    yield Break("I5", agent, text, (first, each))
    for guess in evidence.guesses:
        if guess.answer.status < 300 or guess.answer.reason not in ("not_owner", "not_logged_on"):
            text = f"who was replaced is answered {guess.answer.status} {guess.answer.reason}"
            yield Break("I5", guess.agent, text)


def files(evidence: Evidence) -> Iterator[Break]:
    """I6."""
    calls = {call for call, _ in evidence.records}
    rows: dict[str, Recorded] = {}
    for row in evidence.recordings:
        if row.path in rows:
            text = f"{row.recording} and {rows[row.path].recording} are one file, {row.path}"
            yield Break("I6", "", text)
        rows[row.path] = row
        size = evidence.files.get(row.path)
        if row.call not in calls:
            yield Break("I6", "", f"{row.recording} is of a call without a record, {row.call}")
        if row.state == "recording":
            yield Break("I6", "", f"{row.recording} is being written, and no call lives")
        elif row.state == "deleted":
            if size is not None:
                yield Break("I6", "", f"{row.recording} is deleted, and its file is there")
        elif size is None and row.state == "failed" and not row.size and row.text:
            continue  # it could not begin, and says so
        elif size is None:
            yield Break("I6", "", f"{row.recording} is {row.state}, and has no file {row.path}")
        elif size != row.size:
            yield Break("I6", "", f"{row.recording} has {size} octets, its row says {row.size}")
    for path in sorted(evidence.files.keys() - rows.keys()):
        yield Break("I6", "", f"the file {path} is no recording's")
    names = {row.recording for row in evidence.recordings}
    for agent, log in evidence.logs.items():
        for each in log:
            if each.event == "RecordingStarted" and each.fields["recording"] not in names:
                text = f"{each.fields['recording']} has begun, and has no row"
                yield Break("I6", agent, text, (each,))


def once(evidence: Evidence) -> Iterator[Break]:
    """I7."""
    for asked in evidence.asked:
        told = {each for each in asked.answers if each.status < 300}
        if len(told) > 1 and asked.what not in NOT_KEYED:
            yield Break("I7", asked.agent, f"{asked} is answered {sorted(map(str, told))}")
    by_key = Counter(key for _, key in evidence.records if key)
    for asked in evidence.asked:
        if by_key[asked.key] > 1:
            calls = [call for call, key in evidence.records if key == asked.key]
            yield Break("I7", asked.agent, f"{asked} has made the calls {', '.join(calls)}")
    yield from _effects(evidence)
    for agent, log in evidence.logs.items():
        ends: dict[tuple[Any, ...], Told] = {}
        for each in log:
            if each.event == "ConnectionCleared":
                key = tuple(each.fields[name] for name in ("call", "device", "connection"))
                if key in ends:
                    yield Break("I7", agent, "one end is told twice", (ends[key], each))
                ends[key] = each


_EFFECTS = {
    "log-on": ("AgentLoggedOn", "OwnerReplaced"),
    "log-off": ("AgentLoggedOff",),
    "work-mode": ("WorkModeChanged",),
}
"""Commands, and what is told where they do something."""


def _effects(evidence: Evidence) -> Iterator[Break]:
    """Nothing was done oftener than it was asked; of two that were answered both were done."""
    for agent, log in evidence.logs.items():
        for word, events in _EFFECTS.items():
            asked = [
                each
                for each in evidence.asked
                if each.agent == agent and each.what.partition(" ")[0] == word
            ]
            most = sum(each.most_effects(keyed=word not in NOT_KEYED) for each in asked)
            done = tuple(
                each
                for each in log
                if each.event in events and each.fields.get("cause", "asked") == "asked"
            )
            if len(done) > most:
                text = f"{word} was asked for {most} times and done {len(done)} times"
                yield Break("I7", agent, text, done)
            made = Counter(answer.made for each in asked for answer in each.answers if answer.made)
            for name, count in made.items():
                if count > 1:
                    yield Break("I7", agent, f"{count} of {word} have got the same, {name[:8]}")


def agreed(evidence: Evidence) -> Iterator[Break]:
    """I8."""
    for agent, log in evidence.logs.items():
        known, now, row = folded(log), evidence.now[agent], evidence.rows.get(agent)
        tail = tuple(log[-4:])
        if known != now:
            text = f"the log says {known}, the endpoint {now}"
            yield Break("I8", agent, text, tail)
        expected = Row(len(log), len(log), now.device) if log else None
        if row != expected:
            text = f"the log has {len(log)} lines and ends at {now.device!r}, the database: {row}"
            yield Break("I8", agent, text, tail)
        seen = max(
            (each.number for reading in evidence.readings[agent] for each in reading.events),
            default=0,
        )
        if seen != len(log):
            yield Break("I8", agent, f"clients have seen {seen} of {len(log)} events", tail)


def folded(log: Sequence[Told]) -> Standing:
    """What a client would know of its agent by the log alone."""
    state, device, mode = "null", "", None
    for each in log:
        if "mode" in each.fields:
            mode, device = each.fields["mode"], each.fields["device"]
        state = STATES.get(each.event, state)
        if each.event == "AgentLoggedOff":
            mode, device = None, ""
    return Standing(state, device, mode)
