"""`[[agent]]`: an agent without a page or a phone: who he is, where, and his voice and ears.

What he speaks by is a sound device of this machine, by its name, `default`, `null` (silence),
`tone:440`, `file:PATH` (a WAV file, over and over) or `program` (docs/python.md). What he hears by
is a sound device, `default`, `null`, `file:PATH` (recorded there) or `program`.
"""

from __future__ import annotations

from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator

from endpoint.app.accountsettings import AccountSettings, checked_server
from endpoint.legs.base import DeviceId, SoundUse
from endpoint.legs.numbering import telephone_of
from endpoint.legs.soundchoice import NULL as NULL
from endpoint.legs.soundchoice import SoundChoice, checked_sound

PROGRAM = "program"
FILE = "file:"


class AgentSettings(AccountSettings):
    """`[[agent]]`: an agent on this machine, without a page or a phone."""

    device: str
    """His extension, or `RP_` and the number of his telephone."""
    server: str = ""
    """The outside sipWsServer that he is registered at, as of `[[account]]`.

    By default he is a device of this endpoint alone. All but the last four is for such a server.
    """
    input: str = NULL
    """What he speaks by.

    A sound device by its name, `default`, `null` (silence), `tone:440`, `file:PATH` (WAV, over and
    over) or `program`.
    """
    output: str = NULL
    """What he hears by: a sound device, `default`, `null`, `file:PATH` or `program`.

    The file is a WAV of what he hears, written anew by each call.
    """
    ringer: str = ""
    """The sound device that rings, by default `output`."""
    auto_answer: bool = False
    """He takes every call at once."""

    @field_validator("server")
    @classmethod
    def _server(cls, server: str) -> str:
        return checked_server(server) if server else server

    @field_validator("input", "output", "ringer")
    @classmethod
    def _sound(cls, name: str, field: ValidationInfo) -> str:
        use = SoundUse(str(field.field_name))
        if name == PROGRAM and use is not SoundUse.RINGER:
            return name
        if use is SoundUse.RINGER and not name:
            return name
        # The ears may be a file too: then it is written, and must be as good as one that is read.
        is_written = use is SoundUse.OUTPUT and name.startswith(FILE)
        return checked_sound(name, SoundUse.INPUT if is_written else use)

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        given = (self.password is not None) + (self.password_file is not None)
        if self.server and given != 1:
            raise ValueError("expected exactly one of password and password_file")
        if not self.server and given:
            raise ValueError("found a password without server: expected server with it")
        return self

    @model_validator(mode="after")
    def _audio_is_where_he_is(self) -> Self:
        if self.is_remote and {self.input, self.output} != {NULL}:
            raise ValueError(f"{self.device} speaks by his telephone: expected no input and output")
        if (self.input == PROGRAM) != (self.output == PROGRAM):
            raise ValueError("a program speaks and hears: expected program for both, or neither")
        if self.has_sound_device and self.output.startswith(FILE):
            raise ValueError(
                "output is a file: expected input null, tone:HZ or file:PATH, and no ringer"
            )
        return self

    @property
    def is_remote(self) -> bool:
        """His station is a telephone of the public network."""
        return telephone_of(DeviceId(self.device)) is not None

    @property
    def has_sound_device(self) -> bool:
        """At least one of the three is a sound device of this machine."""
        names = (self.input, self.output, self.ringer or NULL)
        return any(SoundChoice(name).is_device for name in names if name != PROGRAM)
