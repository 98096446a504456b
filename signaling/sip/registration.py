"""The REGISTER client: keeps one address of record bound, without I/O (RFC 3261 §10.2).

::

    WAITING --flow_available--> TRYING --2xx--> REGISTERED (refreshes stay there)
    TRYING --refusal, time-out--> FAILED --pause--> TRYING        (fatal: FAILED until `retry`)
    any --flow lost--> WAITING
    any --unregister--> UNREGISTERING --any end--> UNREGISTERED
    FAILED for good --flow_available--> FAILED     (a password does not get right by reconnecting)

Refreshed from the expiry that the registrar *granted*; after failures the pause doubles, with
jitter (RFC 5626 §4.5). A password that is refused is told once and not tried again: a registrar
would lock the account.

Bindings that are not ours any more, as of a process that died, are removed where the registrar
lists them: callers would wait for an address where nobody is.

Where there is an instance, the registrar is asked to keep the flow (outbound, RFC 5626), and for
GRUUs where they are wanted (RFC 5627). The way that it wants our requests to go (Service-Route, RFC
3608) is kept as `service_route`, how we name ourselves in calls as `call_contact`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TypeGuard

from signaling.errors import SipParseError, TransportError
from signaling.sip.auth import DigestClient, DigestCredentials, says_stale
from signaling.sip.core import Core
from signaling.sip.events import (
    Registered,
    RegistrationChanged,
    RegistrationEvent,
    RegistrationFailed,
    Unregistered,
    WayWanted,
)
from signaling.sip.exchange import Exchange
from signaling.sip.flow import Flow
from signaling.sip.grammar import lower
from signaling.sip.headers import STAR, NameAddr, parse_expires
from signaling.sip.keepalive import KeepAlive
from signaling.sip.message import Response
from signaling.sip.transaction import Failure
from signaling.sip.uri import Uri

FATAL_STATUSES = frozenset({401, 403, 404, 405, 407, 410, 416, 420, 484, 485, 604})
"""What does not get better by waiting."""

BAD_CREDENTIALS_STATUSES = frozenset({401, 403, 407})
"""What a new flow does not mend either."""

MAX_EXPIRES_S = 86400
"""No Min-Expires above this is followed."""

MAX_RETRY_AFTER_S = 3600
"""No Retry-After above this is waited for."""


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """How a registration is kept."""

    refresh_fraction: float = 0.9
    """Refreshed when so much of the granted time is over, less the margin; not before half."""
    refresh_margin_s: float = 5.0
    backoff_base_s: float = 2.0
    """Longest first pause after a failure; doubles up to the cap. Pauses are 50-100 % of it."""
    backoff_cap_s: float = 30.0
    learn_address: bool = True
    """Register the address that the registrar sees us at, where it is another (not WebSocket)."""
    gruu: bool = False
    """Ask for a GRUU, and be it in calls (RFC 5627). Needs an instance."""


class RegistrationState(StrEnum):
    """What is true at the registrar, as far as we know."""

    WAITING = "waiting"
    """No flow to register over."""
    TRYING = "trying"
    REGISTERED = "registered"
    FAILED = "failed"
    """Refused; tried again after a pause unless the failure was fatal."""
    UNREGISTERING = "unregistering"
    UNREGISTERED = "unregistered"


class RegistrationUsage:
    """Made by `Stack.register`; lives until `unregister`."""

    def __init__(
        self,
        core: Core,
        registrar: Uri,
        aor: Uri,
        *,
        credentials: DigestCredentials,
        display_name: str,
        expires_s: int,
        instance: str | None,
        settings: RegistrationSettings,
        before: Uri | None = None,
    ) -> None:
        """Set up; `before` is what a process before us had bound."""
        self.id = core.next_id("g")
        """Unique in its stack."""
        self.aor = aor
        self.state = RegistrationState.WAITING
        self.flow: Flow | None = None
        """How the registrar is reached."""
        self.contact: Uri | None = None
        """What is bound, or being bound."""
        self.service_route: tuple[NameAddr, ...] = ()
        """The Route of the account's requests outside dialogs (RFC 3608 §5.1)."""
        self.gruu: Uri | None = None
        """Our public GRUU, where the registrar has given one."""
        self._core = core
        self._registrar = registrar
        self._identity = NameAddr(display_name, aor)
        self._instance = instance
        self._settings = settings
        self._digest = DigestClient(credentials, core.config.random)
        self._call_id = core.token()
        self._tag = core.token()
        self._cseq = 0
        self._expires_s = expires_s
        self._failures = 0
        self._attempt = 0
        """Number of the last REGISTER; what comes for an older one is of no interest."""
        self._learned: tuple[str, int] | None = None
        self._alternative: bool | None = None
        self._is_learning = False
        """Whether the REGISTER under way tells what the last one taught."""
        self._bound: Uri | None = None
        """What the registrar holds of us, as far as we know."""
        self._before = before
        self._left_over: tuple[Uri, ...] = ()
        """What it holds of us from before, and is asked to remove."""
        self._cleared: set[str] = set()
        """What it was asked to remove already: once is enough."""
        self._outbound = instance is not None
        """Whether to ask for outbound."""
        self._keeps_flow = False
        """Whether the registrar reaches us over our flow alone (it said: outbound)."""
        self._refused_for_good = False
        self._keepalive = KeepAlive(
            core.timers,
            core.layer.send,
            core.token,
            core.config.random.uniform,
            on_lost=self._flow_failed,
            on_moved=self._register,
        )
        self._told: RegistrationEvent | None = None
        core.registrations[self.id] = self

    def __repr__(self) -> str:
        return f"<RegistrationUsage {self.aor} {self.state} contact={self.contact}>"

    @property
    def realm(self) -> str | None:
        """The realm that the registrar asks for; None where it has asked for nothing yet."""
        return self._digest.realm

    def serves(self, flow: Flow, user: str | None) -> bool:
        """Whether calls of that user over that flow are the account's."""
        return flow == self.flow and user == self.aor.user

    @property
    def call_contact(self) -> Uri | None:
        """How we name ourselves in the account's calls; None before we are registered.

        A GRUU where we have one; else what is bound, with `ob` where the registrar keeps our flow,
        so that what comes later in a dialog comes over it too (RFC 5626 §4.3).
        """
        if self._bound is None:
            return None
        if self.gruu is not None:
            return self.gruu
        return self._bound.with_parameter("ob") if self._keeps_flow else self._bound

    # -- the driver's wishes ------------------------------------------------------------------

    def flow_available(self, flow: Flow, *, alternative: bool | None = None, now: float) -> None:
        """There is a (new) way to the registrar: register over it at once.

        `alternative` says whether another one is known, that is asked for by `WayWanted` at once
        where there is no answer by this one, or a 503; else it is, after a pause. None: this is the
        only way there ever is, and the same is tried again.
        """
        if self.state in (RegistrationState.UNREGISTERING, RegistrationState.UNREGISTERED):
            return
        self.flow, self._learned, self._alternative = flow, None, alternative
        if alternative is None:
            self._failures = 0
        if not self._refused_for_good:
            self._register(now)

    def retry(self, *, now: float) -> None:
        """Try again now, or as soon as there is a flow; also after a fatal failure."""
        if self.state is not RegistrationState.FAILED:
            return
        self._failures, self._refused_for_good = 0, False
        if self.flow is None:
            self.state = RegistrationState.WAITING
        else:
            self._register(now)

    def unregister(self, *, now: float) -> None:
        """Remove the binding (Expires: 0), then `Unregistered`.

        At once where nothing is bound or no flow is left; also when the registrar does not
        answer: the binding runs out by itself.
        """
        if self.state in (RegistrationState.UNREGISTERING, RegistrationState.UNREGISTERED):
            return
        self._stop_timers()
        if self.flow is None or self.contact is None:
            self._unregistered()
            return
        self.state = RegistrationState.UNREGISTERING
        self._send(0, now)

    # -- the stack's news ---------------------------------------------------------------------

    def flow_closed(self, flow: Flow, error: TransportError | None, now: float) -> None:
        """A connection is gone (the stack asks every registration)."""
        if self.flow != flow or not flow.reliable:
            return
        self.flow = None
        self._attempt += 1
        self._stop_timers()
        if self.state is RegistrationState.UNREGISTERING:
            self._unregistered()
            return
        if self._refused_for_good:
            return
        self.state = RegistrationState.WAITING
        text = str(error) if error else "the connection is lost"
        self._tell(RegistrationFailed(None, text, fatal=False, error=error))

    def handle_timer(self, name: str, now: float) -> None:
        """`refresh` or `retry`: register again."""
        if name == "retry" and self._alternative is not None:
            self._want_way()
        else:
            self._register(now)

    def receive_stun(self, octets: bytes, flow: Flow, now: float) -> None:
        """A STUN message came, perhaps the answer to a keep-alive of ours."""
        self._keepalive.receive_stun(octets, flow, now)

    # -- inside -------------------------------------------------------------------------------

    def _register(self, now: float) -> None:
        self._core.timers.stop(self, "refresh", "retry")
        if self.state is not RegistrationState.REGISTERED:
            self.state = RegistrationState.TRYING
        self._send(self._expires_s, now)

    def _send(self, expires_s: int, now: float) -> None:
        flow = self.flow
        if flow is None:
            return
        if expires_s or self.contact is None:
            self.contact = self._own_contact(flow)
        contact = NameAddr("", self.contact).with_parameter("expires", str(expires_s))
        contacts = [("Contact", str(self._with_instance(contact)))]
        stale = (self._bound,) if self._is_stale(self._bound) else ()
        for gone in (*stale, *self._left_over):
            removed = NameAddr("", gone).with_parameter("expires", "0")
            contacts.append(("Contact", str(removed)))
        headers = [*contacts, ("Expires", str(expires_s)), self._core.abilities.allow_header]
        headers.append(("Supported", ", ".join(self._supported())))
        request = self._core.request(
            "REGISTER",
            self._registrar,
            from_=self._identity.with_parameter("tag", self._tag),
            to=self._identity,
            call_id=self._call_id,
            cseq=self._next_cseq(),
            headers=headers,
        )
        self._attempt += 1
        Exchange(
            self._core,
            request,
            flow,
            on_response=partial(self._responded, self._attempt),
            on_failure=partial(self._not_answered, self._attempt),
            next_cseq=self._next_cseq,
            digest=self._digest,
            may_answer=partial(self._is_newest, self._attempt),
            guess=True,
        ).start(now)

    def _is_stale(self, bound: Uri | None) -> TypeGuard[Uri]:
        """Whether the registrar holds an address of ours that is not ours any more.

        One that a registrar with outbound replaces by itself, since instance and reg-id stay.
        """
        if bound is None or self.contact is None or self._keeps_flow:
            return False
        return not bound.equivalent(self.contact)

    def _supported(self) -> list[str]:
        """Option tags; a Service-Route comes unasked (RFC 3608 §6.1), a Path does not."""
        tags = [*self._core.config.supported, "path"]
        if self._outbound:
            tags.append("outbound")
        if self._wants_gruu:
            tags.append("gruu")
        return list(dict.fromkeys(tags))

    @property
    def _wants_gruu(self) -> bool:
        return self._settings.gruu and self._instance is not None

    def _is_newest(self, attempt: int, response: Response) -> bool:
        return attempt == self._attempt

    def _next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def _own_contact(self, flow: Flow) -> Uri:
        uri = self._core.contact_uri(flow, self.aor.user, secure=self.aor.scheme == "sips")
        if self._learned is None:
            return uri
        host, port = self._learned
        return Uri(uri.scheme, uri.user, uri.password, host, port, uri.parameters)

    def _with_instance(self, contact: NameAddr) -> NameAddr:
        """RFC 5626 §4.2: who we are across flows and restarts."""
        if self._instance is None:
            return contact
        named = contact.with_parameter("+sip.instance", f"<{self._instance}>")
        return named.with_parameter("reg-id", "1") if self._outbound else named

    def _responded(self, attempt: int, response: Response, now: float) -> None:
        if response.status < 200 or not self._is_newest(attempt, response):
            return
        if self.state is RegistrationState.UNREGISTERING:
            self._unregistered()
        elif response.status < 300:
            self._granted(response, now)
        elif self._left_over:
            self._left_over = ()  # then without
            self._register(now)
        elif response.status == 423 and self._raise_expiry(response):
            self._register(now)
        elif response.status == 439 and self._outbound:
            self._outbound = False  # the first proxy can't keep our flow (RFC 5626 §11.6)
            self._register(now)
        else:
            self._refused(response, now)

    def _granted(self, response: Response, now: float) -> None:
        self._failures = 0
        contact, seen = self.contact, _seen_address(response)
        if contact is None:
            return
        self._bound = contact
        was_learning, self._is_learning = self._is_learning, False
        if self._is_elsewhere(contact, seen) and not was_learning:
            self._learned, self._is_learning = seen, True
            self._send(self._expires_s, now)
            return
        expires_s = self._granted_expiry(response)
        if expires_s < 1:
            self._try_later(response.status, "the registrar keeps no binding", None, now, 0)
            return
        self._take_wishes(response, now)
        settings = self._settings
        early = expires_s * settings.refresh_fraction - settings.refresh_margin_s
        pause = max(early, expires_s / 2, 1.0)
        self._core.timers.start(self, "refresh", now + pause)
        self.state = RegistrationState.REGISTERED
        self._tell(Registered(contact, expires_s, seen))
        self._left_over = self._from_before(response, contact)
        if self._left_over:
            self._cleared.update(map(str, self._left_over))
            self._register(now)

    def _from_before(self, response: Response, contact: Uri) -> tuple[Uri, ...]:
        """What the registrar lists of ours beside our binding, as far as it lists that.

        It is ours by our instance, or as we had it in an earlier run.

        Where it does not, it writes addresses anew: what looks like another one may be ours.
        """
        bindings = response.contacts
        if bindings is STAR or not any(each.uri.equivalent(contact) for each in bindings):
            return ()
        return tuple(
            each.uri
            for each in bindings
            if (self._is_of_our_instance(each) or self._was_ours(each))
            and not each.uri.equivalent(contact)
            and str(each.uri) not in self._cleared
        )

    def _is_of_our_instance(self, binding: NameAddr) -> bool:
        if self._instance is None or binding.parameter("reg-id") not in (None, "1"):
            return False
        return lower(binding.parameter("+sip.instance") or "") == lower(f"<{self._instance}>")

    def _was_ours(self, binding: NameAddr) -> bool:
        return self._before is not None and binding.uri.equivalent(self._before)

    def _take_wishes(self, response: Response, now: float) -> None:
        """What the registrar says of how we are reached, and how to send."""
        self.service_route = _service_route(response)
        self.gruu = self._granted_gruu(response) if self._wants_gruu else None
        self._keeps_flow = self._outbound and _requires(response, "outbound")
        text = response.headers.get("Flow-Timer") or ""
        flow_timer_s = int(text[:6]) if text.isascii() and text.isdigit() else None
        if self.flow is not None and (self._keeps_flow or flow_timer_s is not None):
            self._keepalive.start(self.flow, flow_timer_s, now)
        else:
            self._keepalive.stop()

    def _granted_gruu(self, response: Response) -> Uri | None:
        """The public GRUU beside our instance (RFC 5627 §4.2)."""
        contacts = response.contacts
        for contact in () if contacts is STAR else contacts:
            text = contact.parameter("pub-gruu")
            named = contact.parameter("+sip.instance") or ""
            if text and lower(named) == lower(f"<{self._instance}>"):
                with contextlib.suppress(SipParseError):
                    gruu = Uri.parse(text)
                    return gruu if gruu.is_sip else None
        return None

    def _is_elsewhere(self, contact: Uri, seen: tuple[str, int] | None) -> bool:
        """Whether the registrar sees us at an address that we have not told it."""
        flow = self.flow
        if seen is None or flow is None or (flow.reliable and not flow.transport.is_stream):
            return False
        return self._settings.learn_address and seen != (contact.host, contact.port or 5060)

    def _granted_expiry(self, response: Response) -> int:
        """§10.2.4: of our own Contact, else Expires, else what we asked for.

        An only Contact is ours, though the registrar wrote the address into it that it sees.
        """
        contacts = response.contacts
        if contacts is not STAR and self.contact is not None:
            for contact in contacts:
                ours = len(contacts) == 1 or contact.uri.equivalent(self.contact)
                if ours and contact.expires is not None:
                    return contact.expires
        return self._expires_s if response.expires is None else response.expires

    def _raise_expiry(self, response: Response) -> bool:
        """§10.2.8: ask again for Min-Expires, if that is more than we asked for."""
        text = response.headers.get("Min-Expires")
        least = 0 if text is None else parse_expires(text)
        if not self._expires_s < least <= MAX_EXPIRES_S:
            return False
        self._expires_s = least
        return True

    def _refused(self, response: Response, now: float) -> None:
        status, text = response.status, response.phrase
        is_late = status in (401, 407) and says_stale(response)
        if status in (401, 407):
            self._digest.forget()
            text = self._digest.why_unanswered(response) or "wrong password or unknown user"
            text = "the nonce is out of date" if is_late else text
        if status in FATAL_STATUSES and not is_late:
            self._stop_timers()
            self._refused_for_good = status in BAD_CREDENTIALS_STATUSES
            self.state = RegistrationState.FAILED
            self._tell(RegistrationFailed(status, text, fatal=True))
            return
        self._try_later(status, text, None, now, min(response.retry_after_s, MAX_RETRY_AFTER_S))

    def _not_answered(self, attempt: int, failure: Failure, now: float) -> None:
        if attempt != self._attempt:
            return
        if self.state is RegistrationState.UNREGISTERING:
            self._unregistered()
        elif self.flow is not None and self.flow.reliable and failure is Failure.TRANSPORT:
            self.flow_closed(self.flow, self._core.layer.last_error, now)
        else:
            error = self._core.layer.last_error or TransportError("the registrar does not answer")
            self._try_later(failure.status, str(error), error, now, 0)

    def _flow_failed(self, now: float) -> None:
        """No keep-alive is answered: register anew at once (RFC 5626 §4.4.2)."""
        if self.state is RegistrationState.REGISTERED:
            self._register(now)

    def _stop_timers(self) -> None:
        self._core.timers.stop(self, "refresh", "retry")
        self._keepalive.stop()

    def _try_later(
        self, status: int, text: str, error: TransportError | None, now: float, least_s: float
    ) -> None:
        """RFC 5626 §4.5: the bound doubles with each failure; wait 50-100 % of it."""
        settings = self._settings
        bound = min(settings.backoff_cap_s, settings.backoff_base_s * 2 ** min(self._failures, 16))
        self._failures += 1
        pause = max(bound * self._core.config.random.uniform(0.5, 1.0), least_s)
        if self._alternative and (error is not None or status == 503):
            self._want_way()
            return
        self._core.timers.start(self, "retry", now + pause)
        self.state = RegistrationState.FAILED
        self._tell(RegistrationFailed(status, text, fatal=False, retry_in_s=pause, error=error))

    def _want_way(self) -> None:
        self.flow = None
        self._attempt += 1
        self._stop_timers()
        self.state = RegistrationState.WAITING
        self._core.tell(RegistrationChanged(self, WayWanted()))

    def _unregistered(self) -> None:
        self.state = RegistrationState.UNREGISTERED
        self.contact = self._bound = None
        self._stop_timers()
        self._core.registrations.pop(self.id, None)
        self._tell(Unregistered())

    def _tell(self, event: RegistrationEvent) -> None:
        """Tell the driver what is new: a refresh, or the same failure again, is not."""
        if _essence(event) != _essence(self._told):
            self._core.tell(RegistrationChanged(self, event))
        self._told = event


def _essence(event: RegistrationEvent | None) -> object:
    match event:
        case Registered():
            return event.contact, event.public_address
        case RegistrationFailed():
            return event.status, event.text, event.fatal
        case Unregistered() | WayWanted() | None:
            return event


def _requires(response: Response, tag: str) -> bool:
    with contextlib.suppress(SipParseError):
        return tag in response.require
    return False


def _service_route(response: Response) -> tuple[NameAddr, ...]:
    """The Service-Route; none where it can't be read, or is not of loose routers (RFC 3608 §5)."""
    try:
        hops = tuple(
            hop
            for line in response.headers.get_all("Service-Route")
            for hop in NameAddr.parse_many(line)
        )
    except SipParseError:
        return ()
    return hops if all(hop.uri.is_sip and hop.uri.has_parameter("lr") for hop in hops) else ()


def _seen_address(response: Response) -> tuple[str, int] | None:
    """Where the first hop saw us (RFC 3581 §4)."""
    via = response.via
    if not via.rport:
        return None
    return via.received or via.host, via.rport
