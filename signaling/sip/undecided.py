"""Requests that came in and wait for the driver's decision."""

from __future__ import annotations

from functools import partial

from signaling.sip.core import Core
from signaling.sip.events import RequestAbandoned, RequestReceived, TransactionId
from signaling.sip.message import Request
from signaling.sip.transaction import Failure, ServerTransaction


class Undecided:
    """What was told as `RequestReceived` and is neither answered nor abandoned."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._servers: dict[TransactionId, ServerTransaction] = {}

    def __len__(self) -> int:
        return len(self._servers)

    def __repr__(self) -> str:
        return f"<Undecided {list(self._servers.values())}>"

    def ask(self, server: ServerTransaction, now: float) -> None:
        """Tell the driver of a request."""
        id = TransactionId(server.id)
        self._servers[id] = server
        server.on_failure = partial(self._failed, id)
        server.on_cancel = partial(self._cancelled, id)
        if server.request.method == "INVITE":  # others end by a timer of their transaction
            self._core.timers.start(self, id, now + self._core.config.timers.timeout_s)
        self._core.tell(RequestReceived(id, server.request, server.source))

    def get(self, id: TransactionId) -> ServerTransaction | None:
        """The transaction of a request that is still undecided."""
        return self._servers.get(id)

    def take(self, id: TransactionId) -> ServerTransaction | None:
        """The same, and it is decided now."""
        self._core.timers.stop(self, id)
        return self._servers.pop(id, None)

    def handle_timer(self, name: str, now: float) -> None:
        """Nobody decided on an INVITE in 64*T1."""
        self._abandon(TransactionId(name), 503, now)

    def _cancelled(self, id: TransactionId, cancel: Request, now: float) -> None:
        self._abandon(id, 487, now)

    def _failed(self, id: TransactionId, failure: Failure, now: float) -> None:
        self._abandon(id, failure.status, now)

    def _abandon(self, id: TransactionId, status: int, now: float) -> None:
        server = self.take(id)
        if server is not None:
            self._core.respond(server, status, now=now)
            self._core.tell(RequestAbandoned(id))
