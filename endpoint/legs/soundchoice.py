"""What may stand for a sound device of a station; settings know no more of sound devices."""

from __future__ import annotations

from dataclasses import dataclass

from endpoint.legs.base import SoundUse
from endpoint.media import messages as m
from endpoint.media import soundmessages as sm

NULL = "null"
_TONE, _FILE = "tone:", "file:"
_TONES_HZ = (50.0, 3900.0)


@dataclass(frozen=True, slots=True)
class SoundChoice:
    """What stands for one of the three.

    The name of a sound device, `default`, or `null`; for an input also `tone:HZ` or `file:PATH`.
    """

    name: str = sm.DEFAULT
    gain_db: float = 0.0

    @property
    def is_device(self) -> bool:
        """It is one that can be unplugged."""
        return self.name != NULL and not self.name.startswith((_TONE, _FILE))

    @property
    def file(self) -> str | None:
        """A WAV file, where it is one."""
        return self.name.removeprefix(_FILE) if self.name.startswith(_FILE) else None

    @property
    def cadence(self) -> list[m.Segment]:
        """Where it is a tone."""
        if not self.name.startswith(_TONE):
            return []
        hz = float(self.name.removeprefix(_TONE))
        return [m.Segment(frequencies_hz=[hz], duration_ms=1000)]


def checked_sound(name: str, use: SoundUse) -> str:
    """The name, where it can be one. Raises ValueError: the text says what was expected."""
    if use is not SoundUse.INPUT and name.startswith((_TONE, _FILE)):
        raise ValueError(f"found {name!r}, expected a sound device, default or null")
    if name.startswith(_TONE):
        try:
            hz = float(name.removeprefix(_TONE))
        except ValueError:
            hz = 0.0
        if not _TONES_HZ[0] <= hz <= _TONES_HZ[1]:
            raise ValueError(f"found {name!r}, expected tone: and 50 to 3900 Hz, as tone:440")
    if name.startswith(_FILE) and not name.startswith(f"{_FILE}/"):
        raise ValueError(f"found {name!r}, expected file: and a whole path, as file:/srv/hello.wav")
    if not name:
        raise ValueError("found nothing, expected the name of a sound device, default or null")
    return name
