"""The errors of `endpoint`, as one tree.

EndpointError
├── CommandRejected      a command that the call's state or its arguments do not allow
├── DialStringError      a dial string that seed 000 §1.8 does not allow
├── ConfigurationError   the configuration, with every mistake at once
├── MediaError           the media plane refused a message, or went away
│   └── MediaUnavailable the worker is gone (a new one is being started)
├── AudioError           audio that can't be read, decoded or written
└── StorageError         the database can't be reached or is not ours
    └── NumberTaken      the number is another extension's already
"""

from __future__ import annotations


class EndpointError(Exception):
    """Base of all errors that this package raises on purpose."""


class CommandRejected(EndpointError):
    """A command that can't be done now; nothing has changed.

    `reason` is a stable word, the text is for a person.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """A stable word, as `invalid_state` or `unknown_call`: what gateways map from."""


class DialStringError(EndpointError):
    """A dial string that can't be understood (seed 000 §1.8)."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """`two_dashes`, `empty_extension`, `pause_after_digits`, `bad_character` or `empty_number`.
        """


class ConfigurationError(EndpointError):
    """The configuration can't be used.

    `mistakes` holds every one: key, what was found, what was expected.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class MediaError(EndpointError):
    """The media plane refused a message; the text says which and why."""


class MediaUnavailable(MediaError):
    """The media worker is gone; its ports are lost. A new worker is being started."""


class AudioError(EndpointError):
    """Audio that can't be read, decoded or written."""


class StorageError(EndpointError):
    """The database can't be reached, is locked, or holds another schema."""


class NumberTaken(StorageError):
    """The number, or an alias of it, is an extension's already; nothing has changed."""
