"""What the system lets this process have: descriptors and memory, and whether they run out."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

DESCRIPTORS_LEFT = 16
"""Fewer than these are kept for the calls that live: files, the database, their connections."""
CONNECTIONS_LEFT = 128
"""Fewer than these are given to no new connection, so that calls have them.

More than all listeners accept before one is refused (`ACCEPTED_AT_A_TIME`): a listener that finds
none at all is deaf for a second.
"""
MEMORY_USED = 0.95
"""Of what the control group, or RLIMIT_AS, allows."""
LOOK_EVERY_S = 0.1
_CGROUP = Path("/sys/fs/cgroup")
_PAGE = resource.getpagesize()


def raise_descriptor_limit() -> int:
    """Take as many descriptors as the system grants without asking; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def leave_no_core_dumps() -> None:
    """Where a fault ends this process, or one that it starts, its memory is written nowhere.

    It holds passwords and keys. One octet: a program that cores are piped to heeds no limit, but
    Linux then starts none (`fs/coredump.c`). Whoever needs a dump lifts the limit by `prlimit`.
    """
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0 if hard == 0 else 1, hard))


def descriptors() -> tuple[int, int] | None:
    """How many are open, and how many may be; None where the system does not tell."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return len(os.listdir("/proc/self/fd")), allowed
    except OSError as error:  # looking takes one too
        return (allowed, allowed) if error.errno in (errno.EMFILE, errno.ENFILE) else None


def memory() -> tuple[int, int] | None:
    """Octets used and allowed; None where nothing limits them, or the system does not tell."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    try:
        if allowed != resource.RLIM_INFINITY:
            return int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE, allowed
        group = Path("/proc/self/cgroup").read_text().rpartition("::")[2].strip().lstrip("/")
        limit = (_CGROUP / group / "memory.max").read_text().strip()
        if limit.isdecimal():
            return int((_CGROUP / group / "memory.current").read_text()), int(limit)
    except (OSError, ValueError):
        pass
    return None


@dataclass(slots=True)
class Headroom:
    """Whether one more call can be carried; says so in the log when that changes."""

    read_descriptors: Callable[[], tuple[int, int] | None] = descriptors
    read_memory: Callable[[], tuple[int, int] | None] = memory
    clock: Callable[[], float] = monotonic
    _was_short: bool = field(default=False, init=False)
    _known_until: float = field(default=0.0, init=False)
    _room: float = field(default=0.0, init=False)
    """For so many more connections, as far as counted."""
    _counted_until: float = field(default=0.0, init=False)

    def is_short(self) -> bool:
        """Whether descriptors or memory are nearly used up. Looks ten times a second at most."""
        now = self.clock()
        if now < self._known_until:
            return self._was_short
        self._known_until = now + LOOK_EVERY_S
        lacks = self._lacks()
        if lacks and not self._was_short:
            log.error("no new calls are taken", reason=lacks)
        elif self._was_short and not lacks:
            log.info("new calls are taken again")
        self._was_short = bool(lacks)
        return self._was_short

    def has_room(self) -> bool:
        """Whether descriptors are left for one more connection, which is taken for granted then.

        Looks as rarely as `is_short`: to count them takes milliseconds where there are thousands.
        """
        now = self.clock()
        if now >= self._counted_until:
            self._counted_until = now + LOOK_EVERY_S
            found = self.read_descriptors()
            self._room = inf if found is None else found[1] - found[0] - CONNECTIONS_LEFT + 1
        has_room = self._room > 0
        self._room -= has_room
        return has_room

    def _lacks(self) -> str:
        found = self.read_descriptors()
        if found is not None and found[1] - found[0] < DESCRIPTORS_LEFT:
            return f"{found[0]} of {found[1]} descriptors are open; see ulimit -n"
        found = self.read_memory()
        if found is not None and found[0] > MEMORY_USED * found[1]:
            return f"{found[0] >> 20} of {found[1] >> 20} MiB of memory are used"
        return ""
