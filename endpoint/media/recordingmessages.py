"""What the process that writes recordings is told and tells, and what media workers hand it.

The control plane asks, as it asks media workers (`messages.py`). What is said comes from the media
workers themselves, by a socketpair of each: entries of `Entry`, many in a record. Times are those
of the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from endpoint.media.messages import Command, Done, Failed, PayloadType, Ping, Reply

Entry = tuple[int, float, int, bytes]
"""Voice, arrival, RTP timestamp, payload; or one of the kinds below in place of a timestamp."""
CODEC = -1
"""The payload is the `PayloadType` of what follows, none where it can't be decoded."""
NOISE = -2
"""The payload is that of comfort noise (RFC 3389)."""
END = -3
"""Nothing will follow."""
KEY_SIZE = 32
"""Octets of what files are encrypted by."""


class Format(StrEnum):
    """How a recording is written."""

    WAV = "wav"
    """16 bit."""
    OPUS = "opus"
    """In Ogg (RFC 7845)."""


class OpenRecording(Command[Done], frozen=True):
    """Begin a stereo file, which is silent so far. The key is never shown."""

    recording: str
    path: str
    format: Format
    sample_rate_hz: int
    at: float
    """When it begins."""
    key: bytes = b""
    """What it is encrypted by; empty: it is not."""
    least_free: int = 0
    """Octets that must stay free on the disk."""

    def __repr__(self) -> str:
        return f"OpenRecording({self.recording!r}, {self.format})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("recording", self.recording), ("format", self.format)]


class SetVoices(Command[Done], frozen=True):
    """Who is on it from then on, and on which side; the others no longer."""

    recording: str
    at: float
    left: list[int]
    right: list[int]


class CloseRecording(Command[Done], frozen=True):
    """End the file then; `RecordingClosed` follows."""

    recording: str
    at: float


class RecordingClosed(Struct, frozen=True, tag=True):
    """A file is complete; or, with a `failure`, ended by itself. It can be played in any case."""

    recording: str
    duration_ms: int
    size: int
    """Octets on disk."""
    sha256: str
    """Of them."""
    failure: str = ""


Notice = RecordingClosed
AnyCommand = OpenRecording | SetVoices | CloseRecording | Ping

encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(AnyCommand).decode
decode_answer = msgspec.msgpack.Decoder(Reply | Failed | Notice).decode
encode_codec = msgspec.msgpack.Encoder().encode
decode_codec = msgspec.msgpack.Decoder(PayloadType | None).decode
decode_entries = msgspec.msgpack.Decoder(list[Entry]).decode
