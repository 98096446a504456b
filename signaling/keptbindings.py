"""Registrations over UDP outlive our process on paper: their phones see nothing of our death.

Those over a connection die with it, and their phones see that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from signaling.errors import SipParseError
from signaling.registrar import Binding, Registered, RegistrarEvent
from signaling.sip.flow import Flow
from signaling.sip.grammar import as_latin1, from_latin1
from signaling.sip.headers import NameAddr

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeptBinding:
    """A `Binding` as plain data. What the phone says of itself is octets as Latin-1."""

    user: str
    contact: str
    call_id: str
    cseq: int
    expires_at: datetime
    """By the wall clock: the loop's begins anew with each process."""
    flow: Flow
    q: float
    instance: str | None = None
    reg_id: int | None = None
    path: tuple[str, ...] = ()


class BindingKeeper(Protocol):
    """Where they are noted, so that a process that comes after us finds them."""

    def put(self, key: str, kept: KeptBinding) -> None:
        """Note one, or that it was refreshed."""

    def drop(self, key: str) -> None:
        """It is gone."""


def note(
    keeper: BindingKeeper,
    events: Iterable[RegistrarEvent],
    held: Iterable[Binding],
    now: float,
    wall: datetime,
) -> None:
    """Note what events have changed; `held` is what their users have now."""
    keys = {_key(binding) for binding in held}
    for event in events:
        binding = event.binding
        if binding.bound_to_flow:
            continue
        if isinstance(event, Registered):
            keeper.put(_key(binding), _kept(binding, now, wall))
        elif _key(binding) not in keys:
            keeper.drop(_key(binding))


def restored(left: Mapping[str, KeptBinding], now: float, wall: datetime) -> dict[str, Binding]:
    """Those that a process before us has left and that have not expired meanwhile."""
    found: dict[str, Binding] = {}
    for key, kept in left.items():
        try:
            binding = Binding(
                user=kept.user,
                contact=NameAddr.parse(from_latin1(kept.contact)),
                call_id=from_latin1(kept.call_id),
                cseq=kept.cseq,
                expires_at=now + (kept.expires_at - wall).total_seconds(),
                flow=kept.flow,
                q=kept.q,
                instance=None if kept.instance is None else from_latin1(kept.instance),
                reg_id=kept.reg_id,
                path=tuple(NameAddr.parse(from_latin1(route)) for route in kept.path),
            )
        except SipParseError as error:
            log.warning("a registration of an earlier run can't be read", reason=str(error))
            continue
        if binding.expires_at > now and not binding.bound_to_flow:
            found[key] = binding
    return found


def _key(binding: Binding) -> str:
    found = f"{binding.user} {binding.contact.uri} {binding.instance} {binding.reg_id}"
    return as_latin1(found)


def _kept(binding: Binding, now: float, wall: datetime) -> KeptBinding:
    return KeptBinding(
        binding.user,
        as_latin1(str(binding.contact)),
        as_latin1(binding.call_id),
        binding.cseq,
        wall + timedelta(seconds=binding.expires_at - now),
        binding.flow,
        binding.q,
        None if binding.instance is None else as_latin1(binding.instance),
        binding.reg_id,
        tuple(as_latin1(str(route)) for route in binding.path),
    )
