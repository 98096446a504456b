"""Registrations over any network, at a registrar that restarts and refuses: what is believed holds.

A phone that takes itself for registered is bound, and one that has gone is not, as soon as the
network lets it be.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from signaling.registrar import Registrar, RegistrarSettings
from signaling.sip.auth import DigestAlgorithm, DigestCredentials, DigestServer, Verdict, ha1
from signaling.sip.events import Event, RequestReceived
from signaling.sip.flow import Flow
from signaling.sip.headers import AuthCredentials
from signaling.sip.registration import RegistrationState, RegistrationUsage
from tests.unit.signaling.sip.machine import brief, long
from tests.unit.signaling.sip.network import DELAY_S, Network

pytestmark = pytest.mark.unit

REALM, PASSWORD = "example.com", "wonderland"
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "REGISTER")
NAMES = ("alice", "bob", "carol")


class Registrations(RuleBasedStateMachine):
    """Three phones and a registrar."""

    def __init__(self) -> None:
        super().__init__()
        self.network = Network()
        self.server = self.network.party("registrar", allow=METHODS)
        self.server.on_event = self._decide
        self.phones = [self.network.party(name) for name in NAMES]
        self.usages: list[RegistrationUsage | None] = [None] * len(NAMES)
        self.restarts = 0
        self.refuses: tuple[int, tuple[tuple[str, str], ...]] | None = None
        self._start()

    def _start(self) -> None:
        self.restarts += 1
        self.registrar = Registrar(RegistrarSettings(minimum_expires_s=60, maximum_expires_s=300))
        key = f"run {self.restarts}".encode()
        self.digest = DigestServer(
            REALM, key, algorithms=(DigestAlgorithm.MD5,), random=Random(self.restarts)
        )

    # -- the registrar --------------------------------------------------------------------------

    def _decide(self, event: Event) -> None:
        if not isinstance(event, RequestReceived):
            return
        stack, now, request = self.server.stack, self.network.now, event.request
        verdict = self._verdict(event)
        if self.refuses is not None:
            status, headers = self.refuses
            stack.respond(event.transaction, status, headers=headers, now=now)
        elif verdict is not Verdict.OK:
            stale = verdict in (Verdict.STALE, Verdict.REPLAYED)
            values = self.digest.challenges(event.flow.host, now, stale=stale)
            headers = tuple(("WWW-Authenticate", value) for value in values)
            stack.respond(event.transaction, 401, headers=headers, now=now)
        else:
            answer = self.registrar.register(request, event.flow, now)
            stack.respond(
                event.transaction, answer.status, answer.reason, headers=answer.headers, now=now
            )
        self.network.drain(self.server)

    def _verdict(self, event: RequestReceived) -> Verdict:
        request = event.request
        lines = request.headers.get_all("Authorization")
        given = [AuthCredentials.parse(line) for line in lines]
        user = self.digest.username(given) or ""
        secrets = [("MD5", ha1(user, REALM, PASSWORD, "MD5"))] if user in NAMES else []
        return self.digest.verify(
            request.method, str(request.uri), given, secrets, event.flow.host, self.network.now
        )

    @initialize(seed=st.integers(0, 1000), loss=st.sampled_from([0.0, 0.2, 0.5]))
    def network_is(self, seed: int, loss: float) -> None:
        random = Random(seed)

        def faults(source: str, target: str, what: str, before: int) -> list[float]:
            copies = 0 if random.random() < loss else 1 + (random.random() < 0.2)
            return [random.choice((0.001, DELAY_S, 0.7)) for _ in range(copies)]

        self.network.faults = faults

    @rule()
    def registrar_restarts(self) -> None:
        """It forgets its bindings and its nonces."""
        self._start()

    @rule(status=st.sampled_from([0, 0, 480, 500, 503]), after_s=st.sampled_from([0, 30]))
    def registrar_refuses(self, status: int, after_s: int) -> None:
        headers = (("Retry-After", str(after_s)),) if after_s else ()
        self.refuses = (status, headers) if status else None

    # -- the phones -----------------------------------------------------------------------------

    def _flow(self, which: int) -> Flow:
        return self.network.flow(self.phones[which], self.server)

    @rule(which=st.integers(0, 2), expires_s=st.sampled_from([30, 120, 600]))
    def registers(self, which: int, expires_s: int) -> None:
        if self.usages[which] is None:
            phone = self.phones[which]
            self.usages[which] = phone.do(
                phone.stack.register,
                self.server.uri,
                phone.address.uri,
                self._flow(which),
                credentials=DigestCredentials(phone.name, REALM, PASSWORD),
                expires_s=expires_s,
            )

    @rule(which=st.integers(0, 2))
    def goes(self, which: int) -> None:
        usage, self.usages[which] = self.usages[which], None
        if usage is not None:
            self.phones[which].do(usage.unregister)

    @rule(which=st.integers(0, 2), back=st.booleans())
    def way_is_lost(self, which: int, back: bool) -> None:
        """ICMP says that nobody is there; the driver finds the way again, or not yet."""
        usage, phone = self.usages[which], self.phones[which]
        if usage is None:
            return
        if back:
            phone.do(usage.flow_available, self._flow(which))
        else:
            phone.stack.flow_closed(self._flow(which), self.network.now)
            self.network.drain(phone)

    @rule(seconds=st.sampled_from([0.01, 0.5, 5.0, 40.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        self.network.run(seconds)
        self.registrar.handle_timer(self.network.now)

    # -- what holds -----------------------------------------------------------------------------

    @invariant()
    def nobody_is_bound_twice_or_for_too_long(self) -> None:
        for name in NAMES:
            bound = self.registrar.bindings(name, self.network.now)
            assert len(bound) <= 1
            assert all(each.expires_at <= self.network.now + 300 for each in bound)

    def teardown(self) -> None:
        self.refuses = None
        self.network.faults = lambda *_: [DELAY_S]
        for which, usage in enumerate(self.usages):
            if usage is not None and usage.state is RegistrationState.WAITING:
                self.phones[which].do(usage.flow_available, self._flow(which))
        self.network.run(700)  # longer than any pause, and than any binding lives
        now = self.network.now
        for name, usage in zip(NAMES, self.usages, strict=True):
            assert len(self.registrar.bindings(name, now)) == (usage is not None)
            assert usage is None or usage.state is RegistrationState.REGISTERED
        for which in range(len(NAMES)):
            self.goes(which)
        self.network.assert_idle()
        # What was bound by a REGISTER whose answer was lost goes by itself.
        self.registrar.handle_timer(self.network.now + 300)
        assert self.registrar.users() == []


TestRegistrations = brief(Registrations)
TestRegistrationsForLong = long(Registrations)
