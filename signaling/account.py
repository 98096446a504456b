"""Accounts of ours at outside registrars, and what becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from signaling.errors import TransportError
from signaling.session import Driver
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.registration import RegistrationState, RegistrationUsage
from signaling.sip.uri import Uri


@dataclass(frozen=True, slots=True)
class Account:
    """An address of record of ours at an outside registrar."""

    name: str
    """Names the account in events."""
    aor: Uri
    credentials: DigestCredentials
    registrar: Uri | None = None
    """Where to register; None takes the address of record's host."""
    connection: str | None = None
    """The name given to `UserAgent.connect`; None sends over UDP to the registrar's host."""
    display_name: str = ""
    expires_s: int = 600
    instance: str | None = None
    """`+sip.instance`: the phone's lasting name, a URN (RFC 5626 §4.1)."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The registrar took the binding: after each change, not at every refresh."""

    account: Account
    contact: Uri
    expires_s: int
    """As granted."""


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """The registrar refused, or can't be reached."""

    account: Account
    status: int | None
    text: str
    fatal: bool
    """True: not tried again by itself (wrong password, unknown user)."""
    error: TransportError | None = None
    """Set where it can't be reached; CertificateRefused where its certificate is not trusted."""


@dataclass(frozen=True, slots=True)
class Unregistered:
    """The binding was removed at our wish."""

    account: Account


RegistrationEvent = Registered | RegistrationFailed | Unregistered


class Registration:
    """An account that the user agent keeps registered."""

    def __init__(self, account: Account, usage: RegistrationUsage, driver: Driver) -> None:
        self.account = account
        self._usage = usage
        self._driver = driver
        self._outcome: asyncio.Future[RegistrationEvent] = (
            asyncio.get_running_loop().create_future()
        )
        self.last_event: RegistrationEvent | None = None

    def __repr__(self) -> str:
        return f"<Registration {self.account.name} {self.state}>"

    @property
    def state(self) -> RegistrationState:
        """What is true at the registrar, as far as we know."""
        return self._usage.state

    @property
    def contact(self) -> Uri | None:
        """What is bound."""
        return self._usage.contact

    @property
    def flow(self) -> Flow | None:
        """How the registrar is reached now; calls of the account go the same way."""
        return self._usage.flow

    async def outcome(self) -> RegistrationEvent:
        """The first thing that became of it: `Registered` or `RegistrationFailed`."""
        return await asyncio.shield(self._outcome)

    def retry(self) -> None:
        """Try again now, also after a fatal failure."""
        self._usage.retry(now=self._driver.now())
        self._driver.drain()

    def unregister(self) -> None:
        """Remove the binding; then `Unregistered`."""
        self._usage.unregister(now=self._driver.now())
        self._driver.drain()

    def flow_available(self, flow: Flow) -> None:
        """For the user agent: there is a (new) way to the registrar."""
        self._usage.flow_available(flow, now=self._driver.now())
        self._driver.drain()

    def deliver(self, event: RegistrationEvent) -> None:
        """For the user agent: note what happened."""
        self.last_event = event
        if not self._outcome.done():
            self._outcome.set_result(event)
