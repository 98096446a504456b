"""How a command ends, for scripts: the numbers are part of the interface."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every command."""

    OK = 0
    FAILED = 1
    """Something unexpected, a demo step or a doctor's check that failed."""
    USAGE = 2
    """The command line is wrong."""
    CONFIGURATION = 3
    """The configuration is wrong; every mistake was printed."""
    PORT_TAKEN = 4
    """A port, or the state directory, is in use."""
    UNREACHABLE = 5
    """No endpoint answers."""
    CALL_FAILED = 6
    """The command was refused, nothing came of it in time, or the call failed."""
    REGISTRATION_FAILED = 7
    """The outside server refused, or can't be reached."""
    STORAGE = 8
    """The database can't be used."""
    INTERRUPTED = 130
    """Ctrl-C."""
