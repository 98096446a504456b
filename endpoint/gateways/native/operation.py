"""One thing that can be asked of the native interface: what it takes and gives, and who may."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from endpoint.agents.identity import Scope
from endpoint.callcontrol.commands import CommandName
from endpoint.gateways.native import messages as wire


class Whose(StrEnum):
    """Whose things an operation is about; so, who may: the owner, a monitor of his, who else."""

    NOBODYS = "nobody's"
    """Whoever asks, without a token."""
    ANYBODYS = "anybody's"
    """Whoever has the scope."""
    DEVICE = "device"
    """A device, in the path or the body: its agent, who supervises that one, administrators."""
    STATION = "station"
    """The same, and an agent who may log on there while nobody is."""
    CALL = "call"
    """A call: whoever may about one of its parties. To others it does not exist."""
    FOUND = "found"
    """The answer holds no more than what is about such devices, calls or agents."""
    AGENT = "agent"
    """An agent: itself, who supervises it, administrators."""
    TENANT = "tenant"
    """Everybody's in the tenant: administrators."""
    HOUSE = "house"
    """All tenants': the installation's token, where the default tenant is served."""


@dataclass(frozen=True, slots=True)
class Query:
    """A word behind the question mark."""

    name: str
    text: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    repeated: bool = False


NOT_KEYED = (
    # To do these twice is to have done them once, or to have a secret twice.
    *("/tokens", "/tokens/refresh", "/tokens/programs", "/webhooks"),
    *("/devices/{device}/media", "/agents/{agent}/log-on"),
    *("/directory/import", "/plan/test"),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked."""

    method: str
    path: str
    """Below `/api/v1`, as the router has it: `/calls/{call}`."""
    scope: Scope | None
    """What a token must be for; None: for whatever."""
    whose: Whose
    text: str
    """What it does, in a line."""
    answer: type[Struct] | str | None = None
    """A message, a media type of something else, or nothing."""
    status: int = 200
    body: type[Struct] | None = None
    query: tuple[Query, ...] = ()
    commands: tuple[CommandName, ...] = ()
    """What it has call control do: one of these."""
    acts: str = "device"
    """The field of the body that says which device acts."""
    also: tuple[str, ...] = ()
    """Media types that the answer may have instead."""
    media: tuple[str, ...] = ()
    """Media types of a body that is no message, or may be something else too."""
    refusals: tuple[int, ...] = ()
    """Statuses beside those that each operation may have."""
    refused: type[Struct] = wire.Refused
    """What a refusal is."""
    adds: bool = False
    """Where there was none it is 201, with the same answer."""

    @property
    def tag(self) -> str:
        """What it is about, for a reader: the first word of its path."""
        return self.path.split("/")[1]

    @property
    def actor(self) -> str:
        """The field of the body that says which device acts; empty: the path does, or none."""
        if self.whose is not Whose.DEVICE or self.body is None:
            return ""
        return self.acts if self.acts in self.body.__struct_fields__ else ""

    @property
    def keyed(self) -> bool:
        """Whether an `Idempotency-Key` counts: what would be done twice, and answers no secret."""
        return self.method == "POST" and self.path not in NOT_KEYED

    @property
    def key(self) -> tuple[str, str]:
        """By which it is found."""
        return self.method, self.path


def reading(
    path: str,
    scope: Scope | None,
    whose: Whose,
    text: str,
    answer: type[Struct] | str,
    *query: Query,
    refusals: tuple[int, ...] = (),
    also: tuple[str, ...] = (),
) -> Operation:
    """One that changes nothing."""
    return Operation(
        "GET", path, scope, whose, text, answer, query=query, refusals=refusals, also=also
    )
