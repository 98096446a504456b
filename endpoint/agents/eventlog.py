"""An agent's log: what is told of the agent and of the calls of its device, numbered. Pure.

Numbers begin at 1 and go on over log-offs and restarts, without gaps. An entry is told when it is
kept, and not before: so what somebody was told is there after a crash. The newest entries are in
memory, all others where they are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, get_args

import msgspec

from endpoint import plaintext
from endpoint.agents.events import AgentEvents
from endpoint.agents.model import AgentId
from endpoint.callcontrol.events import CallEvents, masked

AgentLogEvent = AgentEvents | CallEvents
"""What an agent's log tells of."""
TAIL = 32
"""So many of the newest entries are in memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an agent's log."""

    number: int
    at: datetime
    """When it was told (UTC)."""
    event: AgentLogEvent
    """Digits that were pressed are masked: the log outlives the call."""


class Line(msgspec.Struct, frozen=True):
    """An entry, as it is kept."""

    number: int
    at: datetime
    kind: str
    """The event's name, as `AgentReady`."""
    fields: dict[str, Any]


_KINDS: dict[str, type[AgentLogEvent]] = {
    kind.__name__: kind for kind in (*get_args(AgentEvents), *get_args(CallEvents))
}


def written(entry: Entry) -> Line:
    """An entry as it is kept."""
    fields: dict[str, Any] = plaintext.cleaned(msgspec.to_builtins(entry.event))
    return Line(entry.number, entry.at, type(entry.event).__name__, fields)


def read(line: Line) -> Entry:
    """A kept entry. Raises `msgspec.ValidationError` where another version has written it."""
    kind = _KINDS.get(line.kind)
    if kind is None:
        raise msgspec.ValidationError(f"no event has the name {line.kind}")
    return Entry(line.number, line.at, msgspec.convert(line.fields, kind))


class AgentLog:
    """One agent's log: what of it is in memory."""

    def __init__(self, agent: AgentId, last: int = 0) -> None:
        self.agent = agent
        """Whose."""
        self.last = last
        """The number of the newest entry; 0 before the first."""
        self.told = last
        """Up to here readers may read."""
        self.stored = last
        """Up to here it need not be in memory."""
        self._tail: deque[Entry] = deque()

    def __repr__(self) -> str:
        return f"<AgentLog {self.agent} {self.last}, told {self.told}, stored {self.stored}>"

    @property
    def in_memory(self) -> int:
        """The oldest number that need not be looked for elsewhere."""
        return self.last - len(self._tail) + 1

    def append(self, event: AgentLogEvent, at: datetime) -> Entry:
        """Give an event its number. It is told when `tell` says so."""
        self.last += 1
        if not isinstance(event, AgentEvents):
            event = masked(event)
        entry = Entry(self.last, at, event)
        self._tail.append(entry)
        self._trim()
        return entry

    def tell(self, number: int) -> None:
        """Entries up to this one may be read from now on."""
        self.told = max(self.told, number)
        self._trim()

    def store(self, number: int) -> None:
        """Entries up to this one can be found elsewhere from now on."""
        self.stored = max(self.stored, number)
        self._trim()

    def after(self, number: int) -> Sequence[Entry] | None:
        """What is told behind `number`, in order; None: it is not in memory."""
        if number >= self.told:
            return ()
        if number + 1 < self.in_memory:
            return None
        skipped = number + 1 - self.in_memory
        return tuple(islice(self._tail, skipped, skipped + self.told - number))

    def _trim(self) -> None:
        """Forget what can be found elsewhere, but for the newest."""
        while len(self._tail) > TAIL and self._tail[0].number <= min(self.stored, self.told):
            self._tail.popleft()


def gapless(lines: Sequence[Line], after: int) -> Iterator[Entry]:
    """Kept entries behind `after`, up to the first that is missing."""
    for line in lines:
        if line.number != after + 1:
            return
        after = line.number
        yield read(line)
