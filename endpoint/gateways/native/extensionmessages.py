"""Extensions, as the native interface says them: who may register with the embedded sipWsServer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from endpoint.gateways.native.directorymessages import Text

MOST_ALIASES = 100


class PutExtension(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /extensions/{extension}`."""

    name: Text = ""
    """Shown on pages and telephones."""
    aliases: Annotated[list[Text], Meta(max_length=MOST_ALIASES)] = []
    """Other numbers that lead here."""
    password: Text | None = None
    """Of its telephones, from now on. Without one it keeps its own, and a new extension has one
    made."""
    generate: bool = False
    """Have a password made, also where there is one."""


class Extension(Struct, frozen=True):
    """A device that may register here, without its secrets."""

    number: str
    name: str
    aliases: list[str]
    realms: list[str]
    """That its password is for; where `sip.realm` is none of them, it can't register."""
    weak: bool
    """Its password was weak when it was set: it will do on this machine only."""


class KeptExtension(Extension, frozen=True, omit_defaults=True):
    """What is there now."""

    password: str = ""
    """That was made for it, and is told this once; not there where none was made."""


class Extensions(Struct, frozen=True):
    """`GET /extensions`."""

    extensions: list[Extension]
    """By number."""
