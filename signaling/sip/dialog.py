"""Dialogs: what two user agents remember of each other (RFC 3261 §12)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from signaling.errors import RemoteProtocolError, SipParseError
from signaling.sip.flow import Flow
from signaling.sip.headers import STAR, NameAddr
from signaling.sip.message import Message, Request, Response
from signaling.sip.rates import Bucket, Rate
from signaling.sip.uri import Uri

IN_DIALOG = Rate(50, 500)
"""Requests of a far end in one dialog, but for BYE; each is kept for 64*T1. Who presses digits is
slower."""


class DialogKey(NamedTuple):
    """What identifies a dialog (§12); a tag of an RFC 2543 peer may be empty."""

    call_id: str
    local_tag: str
    remote_tag: str


@dataclass(slots=True)
class Dialog:
    """One dialog. `local` and `remote` hold the tags."""

    call_id: str
    local: NameAddr
    remote: NameAddr
    remote_target: Uri
    """The far end's Contact: the Request-URI of what we send."""
    flow: Flow
    """How the far end was reached last."""
    route_set: tuple[NameAddr, ...] = ()
    local_cseq: int = 0
    """Of our last request; 0: none yet."""
    remote_cseq: int | None = None
    """Of the far end's last request."""
    own_name: str = ""
    """The host that the far end takes itself for; another than that of the flow behind a NAT."""
    remote_methods: frozenset[str] = frozenset()
    """What the far end takes, as its Allow said last; empty where it never said."""
    _bucket: Bucket | None = None

    @classmethod
    def of_response(cls, request: Request, response: Response, flow: Flow) -> Dialog:
        """The UAC's dialog: from a 101-199 with a To tag, or a 2xx (§12.1.2)."""
        dialog = cls(
            call_id=request.call_id,
            local=request.from_,
            remote=response.to,
            remote_target=contact_of(response) or request.uri,
            flow=flow,
            route_set=tuple(reversed(response.record_routes)),
            local_cseq=request.cseq.number,
            own_name=request.uri.host,
        )
        dialog.learn(response)
        return dialog

    @classmethod
    def of_request(cls, request: Request, local_tag: str, flow: Flow) -> Dialog:
        """The UAS's dialog: from a request that we answer with `local_tag` (§12.1.1)."""
        dialog = cls(
            call_id=request.call_id,
            local=request.to.with_parameter("tag", local_tag),
            remote=request.from_,
            remote_target=contact_of(request) or request.from_.uri,
            flow=flow,
            route_set=request.record_routes,
            remote_cseq=request.cseq.number,
            own_name=request.via.host if len(request.vias) == 1 else "",
        )
        dialog.learn(request)
        return dialog

    def __repr__(self) -> str:
        remote = f"{self.remote.uri} tag={self.remote.tag}"
        return f"<Dialog {self.call_id} {remote} cseq={self.local_cseq}/{self.remote_cseq}>"

    @property
    def key(self) -> DialogKey:
        """What requests of the far end are matched by."""
        return DialogKey(self.call_id, self.local.tag or "", self.remote.tag or "")

    def next_cseq(self) -> int:
        """The number of our next request (§12.2.1.1)."""
        self.local_cseq += 1
        return self.local_cseq

    def bears(self, now: float) -> bool:
        """Whether one more request of the far end is within what a dialog may have."""
        if self._bucket is None:
            self._bucket = Bucket(IN_DIALOG, now)
        return self._bucket.take(now)

    def check_order(self, request: Request) -> None:
        """Note the number of a new request; raises RemoteProtocolError(500) if it is too low.

        §12.2.2. ACK has the number of its INVITE, and CANCEL of what it cancels: neither is asked
        for.
        """
        if self.remote_cseq is not None and request.cseq.number <= self.remote_cseq:
            raise RemoteProtocolError("the CSeq is not above that of the last request", 500)
        self.remote_cseq = request.cseq.number

    def refresh_target(self, message: Message) -> None:
        """Take the Contact of a re-INVITE, an UPDATE, or their 2xx (§12.2.1.2, §12.2.2)."""
        self.remote_target = contact_of(message) or self.remote_target
        self.learn(message)

    def learn(self, message: Message) -> None:
        """Take what the far end says that it can (§20.5); an Allow that can't be read is none."""
        try:
            methods = frozenset(message.tokens("Allow"))
        except SipParseError:
            return
        self.remote_methods = methods or self.remote_methods

    def confirm(self, response: Response) -> None:
        """Take the Contact and the route set of the 2xx that answers the INVITE (§13.2.2.4)."""
        self.refresh_target(response)
        self.route_set = tuple(reversed(response.record_routes))

    def addressing(self) -> tuple[Uri, tuple[NameAddr, ...]]:
        """Request-URI and Route values of our next request (§12.2.1.1), strict routers included."""
        target = self.remote_target
        if not self.route_set or self.route_set[0].uri.has_parameter("lr"):
            return target, self.route_set
        first, *others = self.route_set
        return first.uri, (*others, NameAddr("", target))

    def next_hop(self) -> Flow:
        """Where our next request goes: to the first Route or the target, by the flow that we have.

        A connection is used as long as it lives. Else the address of the URI is taken, where it is
        one and can be reached. What a NAT hides is reached by the old flow alone: a far end that
        calls itself otherwise than we see it, a private address seen as a public one. So is a GRUU,
        whose host is its registrar's, and who asks for it by `ob` (RFC 5626 §4.3).
        """
        target = self.remote_target
        hidden = self.own_name == target.host != self.flow.host
        hidden = hidden or target.has_parameter("gr") or target.has_parameter("ob")
        if not self.flow.is_address or (hidden and not self.route_set):
            return self.flow
        uri = self.route_set[0].uri if self.route_set else self.remote_target
        return flow_towards(uri, self.flow)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone; over TCP and TLS the next request opens another."""
        if self.flow == flow and flow.connection and flow.transport.is_stream:
            self.flow = flow.at(flow.host, flow.port)


def flow_towards(uri: Uri, flow: Flow) -> Flow:
    """The flow to the address that a URI holds, or `flow` itself if that is better."""
    address, seen = _address(uri.host), _address(flow.host)
    if address is None or (address == seen and uri.port == flow.port):
        return flow
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return flow
    if seen is not None and address != seen:
        hidden = address.is_loopback and not seen.is_loopback
        hidden = hidden or (address.is_private and not seen.is_private)
        if hidden or address.version != seen.version:
            return flow
    port = uri.port or flow.transport.default_port
    return flow.at(uri.host, port)


def contact_of(message: Message) -> Uri | None:
    """The URI of the first Contact; None where there is none, or none that SIP can reach."""
    contacts = message.contacts
    if contacts is STAR or not contacts or not contacts[0].uri.is_sip:
        return None
    return contacts[0].uri


def is_numeric(host: str) -> bool:
    """Whether a host is an address already."""
    return _address(host) is not None


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
