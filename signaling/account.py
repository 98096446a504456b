"""Accounts of ours at outside registrars, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from signaling.errors import SipParseError, TransportError
from signaling.mailbox import Mailbox
from signaling.session import Driver
from signaling.sip import events as stack_events
from signaling.sip.auth import DigestCredentials
from signaling.sip.flow import Flow
from signaling.sip.headers import NameAddr
from signaling.sip.registration import (
    RegistrationSettings,
    RegistrationState,
    RegistrationUsage,
)
from signaling.sip.stack import Stack
from signaling.sip.uri import Uri
from signaling.transport.layer import Ways
from signaling.transport.tls import TlsPolicy


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
    """The name given to `UserAgent.connect`; None goes where the registrar's URI says.

    That is over UDP, TCP or TLS; over the latter two by connections of the account's own."""
    tls: TlsPolicy | None = None
    """Whom to believe where the registrar is reached by TLS; None: the system's CAs."""
    display_name: str = ""
    expires_s: int = 600
    instance: str | None = None
    """`+sip.instance`: the phone's lasting name, a URN (RFC 5626 §4.1).

    With it the registrar is asked to reach us over our own flow alone (outbound)."""
    gruu: bool = False
    """Be the GRUU that the registrar gives in calls (RFC 5627). Needs an instance."""

    @property
    def key(self) -> str:
        """By what it is noted: the same in the next process."""
        return f"{self.aor} {self.registrar_uri}"

    @property
    def registrar_uri(self) -> Uri:
        """Where to register: the Request-URI of REGISTER."""
        return self.registrar or Uri(self.aor.scheme, host=self.aor.host, port=self.aor.port)


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
        self._changed = asyncio.Event()
        self._wants_way = False

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

    @property
    def credentials(self) -> DigestCredentials | None:
        """The account's, for the registrar's realm alone: what calls of the account may prove.

        None where the registrar has not asked for any: then whoever does is not the registrar, but
        somebody whom a call reached (S15).
        """
        realm = self._usage.realm
        return replace(self.account.credentials, realm=realm) if realm is not None else None

    @property
    def service_route(self) -> tuple[NameAddr, ...]:
        """The proxies that its calls go by, as the registrar wishes (RFC 3608)."""
        return self._usage.service_route

    async def outcome(self) -> RegistrationEvent:
        """The first thing that became of it: `Registered` or `RegistrationFailed`."""
        return await asyncio.shield(self._outcome)

    def retry(self) -> None:
        """Try again now, also after a fatal failure."""
        self._usage.retry(now=self._driver.now())
        self._driver.drain()
        self.wake()

    def unregister(self) -> None:
        """Remove the binding; then `Unregistered`."""
        self._usage.unregister(now=self._driver.now())
        self._driver.drain()

    def flow_available(self, flow: Flow, alternative: bool | None = None) -> None:
        """For the user agent: there is a (new) way to the registrar, and perhaps another."""
        self._usage.flow_available(flow, alternative=alternative, now=self._driver.now())
        self._driver.drain()

    def deliver(self, event: RegistrationEvent) -> None:
        """For the user agent: note what happened."""
        self.last_event = event
        self.wake()
        if not self._outcome.done():
            self._outcome.set_result(event)

    def wake(self) -> None:
        """For the user agent: something may have changed."""
        self._changed.set()

    def want_way(self) -> None:
        """For the user agent: it has waited long enough, another way to the registrar is wanted."""
        self._wants_way = True
        self.wake()

    def takes_way(self) -> bool:
        """For the user agent: whether one is wanted so; asked once."""
        wanted, self._wants_way = self._wants_way, False
        return wanted

    async def changed(self) -> None:
        """For the user agent: until then."""
        await self._changed.wait()
        self._changed.clear()


class ContactKeeper(Protocol):
    """Where it is noted what is bound, so that a process that comes after us can remove it."""

    @property
    def left(self) -> Mapping[str, str]:
        """What the process before us has left."""

    def put(self, key: str, contact: str, /) -> None:
        """It is bound now."""

    def drop(self, key: str, /) -> None:
        """Nothing is."""


class Wayfinder(Protocol):
    """Who knows the ways to a URI."""

    async def ways_to(self, uri: Uri, by: str) -> Ways:
        """The ways, best first, by connections of a name. Raises TransportError."""

    def avoid(self, flow: Flow) -> None:
        """There was no answer by a flow."""


class Accounts:
    """All accounts of one user agent, and one stream of what becomes of them."""

    def __init__(
        self,
        stack: Stack,
        driver: Driver,
        *,
        first_delay_s: float,
        maximum_delay_s: float,
        random: Random,
        keeper: ContactKeeper | None = None,
    ) -> None:
        self._stack = stack
        self._driver = driver
        self._first_delay_s = first_delay_s
        self._maximum_delay_s = maximum_delay_s
        self._random = random
        self._keeper = keeper
        self._registrations: dict[str, Registration] = {}
        self.events: Mailbox[RegistrationEvent] = Mailbox(1000)  # of a reader that is not there

    def __len__(self) -> int:
        """How many are kept registered, or are being taken back."""
        return len(self._registrations)

    def register(self, account: Account, flow: Flow | None) -> Registration:
        """Keep an account registered; without a flow, as soon as there is one."""
        usage = self._stack.register(
            account.registrar_uri,
            account.aor,
            flow,
            credentials=account.credentials,
            display_name=account.display_name,
            expires_s=account.expires_s,
            instance=account.instance,
            settings=RegistrationSettings(gruu=account.gruu),
            before=self._before(account),
            now=self._driver.now(),
        )
        registration = Registration(account, usage, self._driver)
        self._registrations[usage.id] = registration
        self._driver.drain()
        return registration

    def _before(self, account: Account) -> Uri | None:
        left = {} if self._keeper is None else self._keeper.left
        with suppress(SipParseError):
            return Uri.parse(left[account.key]) if account.key in left else None
        return None

    async def keep_located(self, registration: Registration, finder: Wayfinder) -> None:
        """Find the way to the registrar of a URI whenever there is none, until un-registered.

        Where one fails, the next is taken at once (RFC 3263 §4.3); after the last, all again.
        """
        account, ways, failures = registration.account, Ways(), 0
        flow: Flow | None = None
        while registration.state is not RegistrationState.UNREGISTERED:
            if registration.state is RegistrationState.WAITING:
                if flow is not None:
                    finder.avoid(flow)
                try:
                    has_waited = registration.takes_way()
                    if not ways.has_more:
                        if not has_waited:
                            await asyncio.sleep(self._pause_s(failures))
                            failures += 1
                        ways = await finder.ways_to(account.registrar_uri, account.name)
                    flow = await ways.next()
                except TransportError as error:
                    flow = None
                    self._tell_unreachable(registration, error)
                    continue
                registration.flow_available(flow, alternative=ways.has_more)
            elif registration.state is RegistrationState.REGISTERED:
                failures = 0
            await registration.changed()

    def _pause_s(self, failures: int) -> float:
        """Doubles, with jitter, so that a restarted server's clients spread out."""
        if not failures:
            return 0.0
        pause_s: float = min(
            self._maximum_delay_s, self._first_delay_s * 2 ** min(failures - 1, 16)
        )
        stretch: float = self._random.uniform(1.0, 1.25)
        return pause_s * stretch

    def flow_closed(self) -> None:
        """Some flow is gone: whose was it?"""
        for registration in self._registrations.values():
            registration.wake()

    def unregister_all(self) -> None:
        """Take every account back."""
        for registration in list(self._registrations.values()):
            registration.unregister()

    def connected(self, connection: str, flow: Flow) -> None:
        """A connection is up: its accounts register over it."""
        for registration in self._of(connection):
            registration.flow_available(flow)

    def unreachable(self, connection: str, error: TransportError) -> None:
        """A connection can't be made: its accounts can't be registered."""
        for registration in self._of(connection):
            self._tell_unreachable(registration, error)

    def leads_to(self, flow: Flow) -> bool:
        """Whether an account is registered over a flow."""
        return any(registration.flow == flow for registration in self._registrations.values())

    def changed(self, change: stack_events.RegistrationChanged) -> None:
        """The stack has news of a registration."""
        registration = self._registrations.get(change.registration.id)
        if registration is None:
            return
        account = registration.account
        match change.event:
            case stack_events.Registered(contact, expires_s):
                if self._keeper is not None:
                    self._keeper.put(account.key, str(contact))
                self._tell(registration, Registered(account, contact, expires_s))
            case stack_events.RegistrationFailed(status, text, fatal, _, error):
                self._tell(registration, RegistrationFailed(account, status, text, fatal, error))
            case stack_events.WayWanted():
                registration.want_way()
            case stack_events.Unregistered():
                del self._registrations[change.registration.id]
                if self._keeper is not None:
                    self._keeper.drop(account.key)
                self._tell(registration, Unregistered(account))

    def _of(self, connection: str) -> list[Registration]:
        held = self._registrations.values()
        return [one for one in held if one.account.connection == connection]

    def _tell_unreachable(self, registration: Registration, error: TransportError) -> None:
        """Once for each reason. What was refused for good needs another password, not a way."""
        told = registration.last_event
        known = isinstance(told, RegistrationFailed) and (told.fatal or told.text == str(error))
        if not known:
            account = registration.account
            self._tell(registration, RegistrationFailed(account, None, str(error), False, error))

    def _tell(self, registration: Registration, event: RegistrationEvent) -> None:
        registration.deliver(event)
        self.events.put(event)
