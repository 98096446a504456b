"""The transaction layer: matches messages to transactions, and holds output and timers.

Matching is RFC 3261 §17.1.3 and §17.2.3. A branch of RFC 3261 (magic cookie and something behind
it) identifies the transaction with sent-by and method; any other request is matched as RFC 2543
had it, by Request-URI, tags, Call-ID, CSeq and top Via. A bare `z9hG4bK` identifies nothing, so
it goes the old way.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

from signaling.errors import TransportError
from signaling.sip.flow import Flow
from signaling.sip.grammar import lower
from signaling.sip.message import Request, Response
from signaling.sip.timers import Timers
from signaling.sip.transaction import (
    ClientTransaction,
    Failure,
    ServerTransaction,
    Surroundings,
    TimerSettings,
    Transaction,
)

MAGIC_COOKIE = "z9hg4bk"
"""In lower case: a branch is compared without case."""

Key: TypeAlias = tuple[str | int | None, ...]


class Direction(StrEnum):
    """Which way a traced message went."""

    RECEIVED = "received"
    SENT = "sent"


Trace = Callable[[Direction, Flow, bytes, float], None]


class TransactionLayer:
    """Every transaction of a stack."""

    def __init__(self, settings: TimerSettings, trace: Trace | None = None) -> None:
        self.timers = Timers()
        self.settings = settings
        self.last_error: TransportError | None = None
        """Why the flow failed whose transactions are being told just now."""
        self._trace = trace
        self._output: list[tuple[Flow, bytes]] = []
        self._clients: dict[Key, ClientTransaction] = {}
        self._servers: dict[Key, ServerTransaction] = {}
        self._server_keys: dict[ServerTransaction, tuple[Key, Key | None]] = {}
        self._merge_keys: dict[Key, ServerTransaction] = {}
        self._around = Surroundings(self.timers, settings, self.send, self._ended)
        self._count = 0
        self.newcomer_count = 0
        """Server transactions of requests outside any dialog, answered ones included."""

    def __repr__(self) -> str:
        return f"<TransactionLayer clients={len(self._clients)} servers={len(self._servers)}>"

    # -- output -------------------------------------------------------------------------------

    def send(self, flow: Flow, octets: bytes, now: float) -> None:
        """Put a message in the output."""
        if self._trace is not None:
            self._trace(Direction.SENT, flow, octets, now)
        self._output.append((flow, octets))

    def take_output(self) -> list[tuple[Flow, bytes]]:
        """All that is to be sent, in order; handed out once."""
        output, self._output = self._output, []
        return output

    # -- client -------------------------------------------------------------------------------

    def start_client(
        self,
        request: Request,
        flow: Flow,
        now: float,
        on_response: Callable[[Response, float], None],
        on_failure: Callable[[Failure, float], None],
    ) -> ClientTransaction:
        """Send a request whose top Via, with a fresh branch, is in place.

        Raises LocalProtocolError, and keeps nothing, where it can't be put on the wire.
        """
        client = ClientTransaction(request, flow, self._around, on_response, on_failure)
        client.start(now)
        self._clients[_client_key(request)] = client
        return client

    def receive_response(self, response: Response, now: float) -> None:
        """Give a response to its transaction. One that is not for us is dropped (§18.1.2)."""
        client = self._clients.get(_client_key(response))
        if client is not None:
            client.receive(response, now)

    # -- server -------------------------------------------------------------------------------

    def find_server(self, request: Request) -> ServerTransaction | None:
        """The transaction that a request repeats, or that an ACK acknowledges."""
        return self._servers.get(_server_key(request, request.method))

    def find_cancelled(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE transaction that a CANCEL is for (§9.2)."""
        return self._servers.get(_server_key(cancel, "INVITE"))

    def find_merged(self, request: Request) -> ServerTransaction | None:
        """Another transaction of the same request, come by another way (§8.2.2.2)."""
        key = _merge_key(request)
        return None if key is None else self._merge_keys.get(key)

    def start_server(
        self, request: Request, flow: Flow, source: Flow, to_tag: str, now: float
    ) -> ServerTransaction:
        """Begin the transaction of a request that `find_server` does not know."""
        self._count += 1
        server = ServerTransaction(
            f"t{self._count}", request, flow, self._around, source=source, to_tag=to_tag
        )
        key, merge_key = _server_key(request, request.method), _merge_key(request)
        self._servers[key] = server
        self._server_keys[server] = key, merge_key
        self.newcomer_count += request.to.tag is None
        if merge_key is not None:
            self._merge_keys[merge_key] = server
        server.start(now)
        return server

    # -- both ---------------------------------------------------------------------------------

    def flow_closed(self, flow: Flow, now: float, error: TransportError | None) -> None:
        """Tell every transaction on the flow."""
        self.last_error = error or TransportError(f"{flow} is closed")
        try:
            for client in list(self._clients.values()):
                if client.flow == flow:
                    client.flow_failed(now)
            for server in list(self._servers.values()):
                if server.flow == flow:
                    server.flow_closed(now)
        finally:
            self.last_error = None

    @property
    def client_count(self) -> int:
        """Client transactions that live, answered ones included."""
        return len(self._clients)

    @property
    def server_count(self) -> int:
        """Server transactions that live, answered ones included."""
        return len(self._servers)

    @property
    def unanswered_count(self) -> int:
        """Requests of ours that still wait for a final response."""
        return sum(not client.is_answered for client in self._clients.values())

    def _ended(self, transaction: Transaction) -> None:
        if isinstance(transaction, ServerTransaction):
            key, merge_key = self._server_keys.pop(transaction)
            del self._servers[key]
            self.newcomer_count -= transaction.request.to.tag is None
            if merge_key is not None and self._merge_keys.get(merge_key) is transaction:
                del self._merge_keys[merge_key]
        else:
            self._clients.pop(_client_key(transaction.request), None)


def _client_key(message: Request | Response) -> Key:
    via = message.via
    return lower(via.branch or ""), via.host, via.port, message.cseq.method


def _server_key(request: Request, method: str) -> Key:
    """An ACK has the key of its INVITE."""
    if method == "ACK":
        method = "INVITE"
    via = request.via
    branch = lower(via.branch or "")
    if branch.startswith(MAGIC_COOKIE) and len(branch) > len(MAGIC_COOKIE):
        return branch, via.host, via.port, method
    # The ACK's To has the tag of our response and the INVITE's has none, so To is left out for
    # both.
    to_tag = None if method == "INVITE" else request.to.tag
    cseq = request.cseq.number
    return (
        str(request.uri),
        to_tag,
        request.from_.tag,
        request.call_id,
        cseq,
        via.host,
        via.port,
        branch,
        method,
    )


def _merge_key(request: Request) -> Key | None:
    if request.to.tag is not None or request.from_.tag is None:
        return None
    return request.from_.tag, request.call_id, request.cseq.number, request.method
