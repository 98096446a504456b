"""What a sound device's process and its keeper say to each other, beside what `messages` has."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from endpoint.audio.cadence import Segment
from endpoint.media.messages import Command, Done, Failed, PayloadType, Ping, Reply

CODEC = PayloadType(number=97, encoding="L16", clock_rate_hz=16000)
"""How a sound device's audio goes to the plane and back."""
DEFAULT = "default"
"""The name of whatever device the system takes for its own."""


class SoundUse(StrEnum):
    """What a sound device is to an agent."""

    INPUT = "input"
    """A microphone."""
    OUTPUT = "output"
    """A speaker."""
    RINGER = "ringer"

    @property
    def is_input(self) -> bool:
        """Audio comes from it."""
        return self is SoundUse.INPUT


class SoundDevice(Struct, frozen=True):
    """One that is there now."""

    name: str
    """What it is chosen by; the same after it was away, and after a restart."""
    inputs: int
    """Channels."""
    outputs: int
    is_default_input: bool = False
    is_default_output: bool = False
    text: str = ""
    """What else it is called."""


class SoundDevices(Struct, frozen=True):
    """All that are there now, or why nobody can say."""

    devices: list[SoundDevice] = []
    failure: str = ""


class StreamSettings(Struct, frozen=True):
    """One direction of one sound device."""

    use: SoundUse
    name: str
    gain_db: float = 0.0
    audio: int = -1
    """The descriptor of a UDP socket that is connected to a port of the media plane; not of a
    ringer, which needs none."""
    noise_suppression: int = 0
    """Of a microphone: 0 (none) to 4."""
    cadence: Sequence[Segment] = ()
    """Of a ringer."""


class OpenSound(Command[Done], frozen=True):
    """Open the device, and again whenever it was lost."""


class SetGain(Command[Done], frozen=True):
    """Louder or softer."""

    gain_db: float


class SoundOpened(Struct, frozen=True, tag=True):
    """Audio goes."""

    sample_rate_hz: int
    text: str = ""
    """What could not be done for it."""


class SoundLost(Struct, frozen=True, tag=True):
    """It is not there, or no longer. Said once, until it is opened."""

    text: str


Notice = SoundOpened | SoundLost

encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(OpenSound | SetGain | Ping).decode
decode_answer = msgspec.msgpack.Decoder(Reply | Failed | Notice).decode
