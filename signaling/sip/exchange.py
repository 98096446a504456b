"""One request of ours with its responses, answered challenges included (RFC 3261 §22.2)."""

from __future__ import annotations

from collections.abc import Callable

from signaling.sip.auth import DigestClient
from signaling.sip.core import Core
from signaling.sip.flow import Flow
from signaling.sip.headers import CSeq
from signaling.sip.message import Request, Response
from signaling.sip.transaction import ClientTransaction, Failure

CREDENTIALS = ("Authorization", "Proxy-Authorization")


class Exchange:
    """Sends a request; sends it again with credentials where it is challenged and we may answer.

    Credentials are given at most twice: after the first challenge, and once more where the server
    says that the nonce was stale, or where we had guessed with a nonce of old. Never after a
    101-199: then the request was forwarded, and whoever challenges now is the called party (S15).
    """

    def __init__(
        self,
        core: Core,
        request: Request,
        flow: Flow,
        *,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[Failure, float], None],
        next_cseq: Callable[[], int],
        digest: DigestClient | None = None,
        may_answer: Callable[[Response], bool] = lambda response: True,
        guess: bool = False,
    ) -> None:
        """`guess` sends credentials at once, by the challenge that `digest` has kept."""
        self.request = request
        """As sent last."""
        self.flow = flow
        """Where the far end is; a large request may go there by TCP, see `way`."""
        self.transaction: ClientTransaction | None = None
        self._core = core
        self._on_response = on_response
        self._on_failure = on_failure
        self._next_cseq = next_cseq
        self._digest = digest
        self._may_answer = may_answer
        self._guess = guess
        self._proofs = 0
        self._forwarded = False
        self._heard = False
        self._streamless = False

    def __repr__(self) -> str:
        return f"<Exchange {self.request.method} {self.transaction!r}>"

    def start(self, now: float) -> None:
        """Send the request. Hooks may be called before this returns."""
        if self._guess:
            self._authorise()
            self._guess = self._proofs > 0
        self._send(now)

    def forget(self) -> None:
        """Wait no more; what still comes is passed over. Not for INVITE: its 2xx needs an ACK."""
        if self.transaction is not None:
            self.transaction.forget()

    @property
    def way(self) -> Flow:
        """By which the request went last: what cancels it goes the same way."""
        return self.flow if self.transaction is None else self.transaction.flow

    @property
    def is_answered(self) -> bool:
        """Whether nothing is waited for any more."""
        return self.transaction is not None and self.transaction.is_answered

    def _send(self, now: float) -> None:
        self._core.stamp(self.request, self.flow)
        flow, on_failure = self.flow, self._on_failure
        stream = None if self._streamless else self._core.stream_for(self.request, self.flow)
        if stream is not None:
            flow, on_failure = stream, self._stream_failed
            self._core.stamp(self.request, flow)
        self.transaction = self._core.layer.start_client(
            self.request, flow, now, self._received, on_failure
        )

    def _stream_failed(self, failure: Failure, now: float) -> None:
        """Who takes no TCP gets the datagram all the same (§18.1.1)."""
        self._streamless = True
        if failure is Failure.TRANSPORT and not self._heard:
            self._send(now)
        else:
            self._on_failure(failure, now)

    def _received(self, response: Response, now: float) -> None:
        self._heard = True
        if 100 < response.status < 200:
            self._forwarded = True
        elif response.status in (401, 407) and self._prove(response):
            self._send(now)
            return
        self._on_response(response, now)

    def _prove(self, response: Response) -> bool:
        """Make the next try ready, if there may be one."""
        digest = self._digest
        if digest is None or self._forwarded or not self._may_answer(response):
            return False
        if not self._is_trusted_hop(digest) or not digest.take_challenge(response):
            return False
        if self._proofs and not (self._proofs == 1 and (digest.is_stale or self._guess)):
            digest.forget()
            return False
        again = Request(
            self.request.method, self.request.uri, self.request.headers.copy(), self.request.body
        )
        again.headers.set("CSeq", str(CSeq(self._next_cseq(), again.method)))
        self.request = again
        self._authorise()
        return True

    def _authorise(self) -> None:
        digest = self._digest
        if digest is None or not self._is_trusted_hop(digest):
            return
        credentials = digest.authorise(self.request.method, str(self.request.uri))
        if credentials is not None:
            for name in CREDENTIALS:
                self.request.headers.remove(name)
            self.request.headers.add(*credentials)
            self._proofs += 1

    def _is_trusted_hop(self, digest: DigestClient) -> bool:
        host = digest.credentials.host
        routes = self.request.routes
        return host is None or host.lower() == (routes[0].uri if routes else self.request.uri).host


def credentials_of(request: Request) -> list[tuple[str, str]]:
    """The credentials that a request of ours holds; its ACK holds the same (§22.1)."""
    headers = request.headers
    return [(name, value) for name in CREDENTIALS for value in headers.get_all(name)]
