"""A party's way to ask who is there: digest, and a registrar of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from signaling.sip.auth import DigestAlgorithm, DigestServer, Verdict, ha1
from signaling.sip.events import Event, RequestReceived
from signaling.sip.headers import STAR, AuthCredentials
from signaling.sip.message import Request
from tests.unit.signaling.sip.network import Party

REALM = "example.com"
PASSWORDS = {"alice": "wonderland"}


class Guard:
    """Challenges every request; grants REGISTER, and notes who was let in."""

    def __init__(
        self,
        party: Party,
        *,
        expires_s: int | None = None,
        min_expires_s: int = 0,
        algorithms: Sequence[DigestAlgorithm] = (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5),
        lifetime_s: float = 300.0,
    ) -> None:
        self.party = party
        self.expires_s = expires_s
        self.min_expires_s = min_expires_s
        self.digest = DigestServer(
            REALM, b"s", algorithms=algorithms, nonce_lifetime_s=lifetime_s, random=Random(5)
        )
        self.verdicts: list[Verdict] = []
        self.granted: list[Request] = []
        self.refuse: tuple[int, tuple[tuple[str, str], ...]] | None = None
        """What to answer instead of anything else."""
        party.on_event = self.handle

    def handle(self, event: Event) -> None:
        if not isinstance(event, RequestReceived):
            return
        stack, now, request = self.party.stack, self.party.network.now, event.request
        if self.refuse is not None:
            status, headers = self.refuse
            stack.respond(event.transaction, status, headers=headers, now=now)
        elif self._verdict(event) is not Verdict.OK:
            stale = self.verdicts[-1] is Verdict.STALE
            values = self.digest.challenges(event.flow.host, now, stale=stale)
            headers = tuple(("WWW-Authenticate", value) for value in values)
            stack.respond(event.transaction, 401, headers=headers, now=now)
        elif request.method == "REGISTER":
            self._register(event)
        elif request.method == "INVITE":
            self.granted.append(request)
            stack.open_session(event.transaction, now=now)
        self.party.network.drain(self.party)

    def _verdict(self, event: RequestReceived) -> Verdict:
        request = event.request
        given = [AuthCredentials.parse(line) for line in request.headers.get_all("Authorization")]
        user = self.digest.username(given) or ""
        password = PASSWORDS.get(user)
        secrets = (
            [(str(name), ha1(user, REALM, password, name)) for name in DigestAlgorithm]
            if password
            else []
        )
        verdict = self.digest.verify(
            request.method,
            str(request.uri),
            given,
            secrets,
            event.flow.host,
            self.party.network.now,
        )
        self.verdicts.append(verdict)
        return verdict

    def _register(self, event: RequestReceived) -> None:
        stack, now, request = self.party.stack, self.party.network.now, event.request
        contacts = request.contacts
        assert contacts is not STAR
        asked = contacts[0].expires if contacts[0].expires is not None else request.expires
        assert asked is not None
        if 0 < asked < self.min_expires_s:
            headers = (("Min-Expires", str(self.min_expires_s)),)
            stack.respond(event.transaction, 423, headers=headers, now=now)
            return
        self.granted.append(request)
        granted = asked if self.expires_s is None else min(asked, self.expires_s)
        lines = [
            ("Contact", str(contact.with_parameter("expires", str(granted))))
            for contact in contacts
            if contact.expires
        ]
        stack.respond(event.transaction, 200, headers=lines, now=now)
