"""`[recordings]` and `[[recording]]`: how calls are recorded, and which by themselves."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

from endpoint.app.permissionsettings import Devices
from endpoint.app.section import STRICT
from endpoint.callcontrol.recordingrules import Rule, Rules
from endpoint.errors import AudioError, ConfigurationError
from endpoint.legs.base import Announcement
from endpoint.media.recordingmessages import KEY_SIZE, Format

if TYPE_CHECKING:
    from endpoint.legs.recordings import RecordingSettings


class RecordingsSettings(BaseModel):
    """`[recordings]`: how calls are recorded (docs/recording.md)."""

    model_config = STRICT

    format: Literal["opus", "wav"] = "opus"
    """Opus in Ogg takes some 20 MB an hour, WAV ten times as much."""
    sample_rate_hz: Literal[8000, 16000] = 16000
    """8000 is enough where every call is G.711."""
    directory: Path | None = None
    """By default `recordings` in the state directory."""
    key_file: Path | None = None
    """What files are encrypted by: 64 hexadecimal digits, as of `openssl rand -hex 32`.

    Who loses it has lost the recordings. By default they are not encrypted.
    """
    keep_days: Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)] = 0
    """Files are deleted so long after their end, and their rows stay; 0: never."""
    min_free_mb: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100
    """A recording ends, and none begins, where less is free on its disk."""


class RecordingRuleSettings(BaseModel):
    """`[[recording]]`: calls that are recorded from when they are answered."""

    model_config = STRICT

    name: Annotated[str, Field(min_length=1, max_length=64)]
    """What the rule is called, in events and rows."""
    devices: Annotated[list[Devices], Field(min_length=1)]
    """In whose calls: devices, or how some begin, as `60*`."""
    direction: Literal["inbound", "outbound", "both"] = "both"
    """Of calls: `inbound`, to a device of ours from outside, `outbound`, that one dialled."""
    percent: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] = 100
    """Of those calls; which ones follows from their names, so it can be proven afterwards."""
    announce: Path | None = None
    """A WAV file that all in the call hear before it begins, and not each other meanwhile."""


def recording_rules(rules: Sequence[RecordingRuleSettings]) -> Rules:
    """What call control asks. Raises `ConfigurationError`."""
    return Rules(
        tuple(
            Rule(
                each.name,
                tuple(each.devices),
                "" if each.direction == "both" else each.direction,
                each.percent,
                None if each.announce is None else announcement_of(each.announce, number),
            )
            for number, each in enumerate(rules)
        )
    )


def recording_settings(settings: RecordingsSettings, directory: Path) -> RecordingSettings:
    """Facts for the recorder; `directory` where none is set. Raises `ConfigurationError`."""
    # Imported at use, as is all that only a running endpoint needs: commands read settings too.
    from endpoint.legs.recordings import RecordingSettings

    return RecordingSettings(
        directory=(settings.directory or directory).absolute(),
        format=Format(settings.format),
        sample_rate_hz=settings.sample_rate_hz,
        key=b"" if settings.key_file is None else key_of(settings.key_file),
        least_free=settings.min_free_mb << 20,
    )


def announcement_of(file: Path, number: int) -> Announcement:
    """What a file says, and how long. Raises `ConfigurationError`."""
    from endpoint.audio.wav import read_wav

    try:
        sound = read_wav(file.read_bytes())
    except (OSError, AudioError) as error:
        mistake = f"recording.{number}.announce: found {str(file)!r} ({error}), expected a WAV file"
        raise ConfigurationError([mistake]) from error
    return Announcement(str(file.absolute()), len(sound.samples) * 1000 // sound.sample_rate_hz)


def key_of(file: Path) -> bytes:
    """The key in a file. Raises `ConfigurationError`, which never shows it."""
    expected = f"expected a file of {2 * KEY_SIZE} hexadecimal digits: openssl rand -hex {KEY_SIZE}"
    try:
        key = binascii.unhexlify(file.read_bytes().strip())
    except OSError as error:
        mistake = f"recordings.key_file: found {str(file)!r} ({error.strerror}), {expected}"
        raise ConfigurationError([mistake]) from error
    except binascii.Error:
        key = b""
    if len(key) != KEY_SIZE:
        mistake = (
            f"recordings.key_file: found {str(file)!r}, which holds something else, {expected}"
        )
        raise ConfigurationError([mistake])
    return key
