"""Locating SIP servers (RFC 3263): from a URI to the places to try, best first.

NAPTR says which transports a domain wants, SRV which hosts serve one, A and AAAA where those are.
A numeric host, a port or a transport in the URI skips what it has answered already.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.resolver
from dns.rdatatype import RdataType

from signaling.errors import TransportError
from signaling.sip.flow import TransportKind
from signaling.sip.uri import Uri
from signaling.transport.udp import is_numeric

SILENCE_S = 30.0
"""A domain that nobody answers for is not asked for again so long: its calls would all be late."""
MOST_SILENT = 1000
"""So many such domains are remembered."""
MOST_TRIED = 16
"""Of the records that a domain has, of a kind, and of the places that they lead to: it may have any
number of them, and a call is long given up before they are tried."""
_SPECIAL = ("localhost", "invalid", "local", "test")
"""Names that no DNS knows (RFC 6761, RFC 6762)."""

_SERVICES = {
    "SIP+D2U": TransportKind.UDP,
    "SIP+D2T": TransportKind.TCP,
    "SIPS+D2T": TransportKind.TLS,
}
_SRV_PREFIX = {
    TransportKind.UDP: "_sip._udp",
    TransportKind.TCP: "_sip._tcp",
    TransportKind.TLS: "_sips._tcp",
}


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to try."""

    transport: TransportKind
    host: str
    """Numeric."""
    port: int
    name: str
    """The domain that was asked for: what a TLS server must prove, whichever host it is."""


@dataclass(frozen=True, slots=True)
class Naptr:
    """RFC 3403, as far as RFC 3263 §4.1 wants it."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782."""

    priority: int
    weight: int
    port: int
    target: str


class Resolver(Protocol):
    """Whom we ask. What is not there is an empty answer."""

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        """NAPTR records of a domain."""

    async def srv(self, name: str) -> Sequence[Srv]:
        """SRV records of a service, as `_sip._udp.example.com`."""

    async def addresses(self, host: str) -> Sequence[str]:
        """Numeric addresses of a host, of both families. Raises TransportError for none."""


class DnsResolver:
    """The system's resolver for addresses, DNS for the rest; or a DNS server of choice for all."""

    def __init__(
        self, server: str | None = None, port: int = 53, *, timeout_s: float = 3.0
    ) -> None:
        """`server` is numeric; None asks those of /etc/resolv.conf."""
        self._own = server is not None
        self._server = server
        self._port = port
        self._timeout_s = timeout_s
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._silent_until: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<DnsResolver {self._server or 'of the system'}>"

    async def naptr(self, domain: str) -> Sequence[Naptr]:
        """See `Resolver`."""
        found = await self._ask(domain, RdataType.NAPTR)
        return [
            Naptr(
                record.order,
                record.preference,
                record.flags.decode("ascii", "replace").lower(),
                record.service.decode("ascii", "replace").upper(),
                _name(record.replacement),
            )
            for record in found
        ]

    async def srv(self, name: str) -> Sequence[Srv]:
        """See `Resolver`."""
        found = await self._ask(name, RdataType.SRV)
        return [Srv(each.priority, each.weight, each.port, _name(each.target)) for each in found]

    async def addresses(self, host: str) -> Sequence[str]:
        """See `Resolver`."""
        if self._own and _may_be_in_dns(host):
            ipv4, ipv6 = await asyncio.gather(
                self._ask(host, RdataType.A), self._ask(host, RdataType.AAAA)
            )
            if ipv4 or ipv6:
                return [str(record.address) for record in (*ipv4, *ipv6)]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise TransportError(f"host {host} can't be resolved: {error}") from error
        return [str(address[0]).partition("%")[0] for *_, address in found]

    async def _ask(self, name: str, kind: RdataType) -> list[Any]:
        loop = asyncio.get_running_loop()
        domain = _domain(name)
        if not _may_be_in_dns(name) or loop.time() < self._silent_until.get(domain, 0.0):
            return []
        try:
            answer = await self._dns().resolve(name, kind, search=False)
        except dns.exception.Timeout:
            # Its own servers may be at fault, so nothing is said of other domains.
            self._silent_until.pop(domain, None)
            self._silent_until[domain] = loop.time() + SILENCE_S
            if len(self._silent_until) > MOST_SILENT:
                del self._silent_until[next(iter(self._silent_until))]
            return []
        except (dns.exception.DNSException, OSError, UnicodeError):
            return []  # none of it, or nobody who knows: an address may be found all the same
        return list(answer)

    def _dns(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            try:
                resolver = dns.asyncresolver.Resolver(configure=not self._own)
            except dns.resolver.NoResolverConfiguration:
                resolver = dns.asyncresolver.Resolver(configure=False)
            if self._server is not None:
                resolver.nameservers = [self._server]
                resolver.port = self._port
            resolver.lifetime = self._timeout_s
            resolver.cache = dns.resolver.LRUCache(1000)
            self._resolver = resolver
        return self._resolver


class Search:
    """The places to try for one URI, best first; each host is resolved as it is come to."""

    def __init__(
        self,
        name: str,
        hosts: Iterable[tuple[TransportKind, str, int]],
        families: Collection[tuple[TransportKind, bool]],
        resolver: Resolver,
    ) -> None:
        self._name = name
        self._hosts = deque(hosts)
        self._families = families
        self._resolver = resolver
        self._found: deque[Destination] = deque()
        self._known: set[Destination] = set()
        self._failure: TransportError | None = None

    def __repr__(self) -> str:
        return f"<Search {self._name}: {[*self._found, *self._hosts]}>"

    @property
    def has_more(self) -> bool:
        """Whether there is a place, or a host that may have one."""
        return bool(self._found or self._hosts)

    async def next(self) -> Destination | None:
        """The next place; None where there is no other. Raises TransportError where was none."""
        while self._hosts and not self._found:
            await self._resolve(*self._hosts.popleft())
        if self._found:
            return self._found.popleft()
        if not self._known:
            text = f"{self._name} has no address that a listener of ours can reach"
            raise self._failure or TransportError(text)
        return None

    async def _resolve(self, kind: TransportKind, host: str, port: int) -> None:
        try:
            addresses = [host] if is_numeric(host) else await self._resolver.addresses(host)
        except TransportError as error:
            self._failure = self._failure or error
            return
        if is_numeric(host) and (kind, ":" in host) not in self._families:
            self._failure = TransportError(f"no {kind} listener can reach {host}")
        for address in addresses:
            place = Destination(kind, address, port, self._name)
            reachable = (kind, ":" in address) in self._families
            if reachable and place not in self._known and len(self._known) < MOST_TRIED:
                self._known.add(place)
                self._found.append(place)
        if len(self._known) == MOST_TRIED:
            self._hosts.clear()


class Locator:
    """RFC 3263 §4 for a client."""

    def __init__(self, resolver: Resolver, random: Random) -> None:
        self._resolver = resolver
        self._random = random

    async def locate(self, uri: Uri, families: Collection[tuple[TransportKind, bool]]) -> Search:
        """Where to try, in order.

        `families` are the transports that we have, each with whether it is over IPv6. Raises
        TransportError where none of them is asked for.
        """
        ours = [kind for kind in _SRV_PREFIX if any(kind is each for each, _ in families)]
        target = uri.parameter("maddr") or uri.host
        asked = _asked(uri)
        if asked is not None and asked not in ours:
            raise TransportError(f"{uri} asks for {asked}, and there is none")
        usual = TransportKind.TLS if uri.scheme == "sips" else TransportKind.UDP
        if is_numeric(target) or uri.port is not None:
            kind = asked or usual
            hosts = [(kind, target, uri.port or kind.default_port)]
        else:
            hosts = await self._services(target, asked, usual, ours)
        return Search(uri.host, hosts, families, self._resolver)

    async def _services(
        self,
        domain: str,
        asked: TransportKind | None,
        usual: TransportKind,
        ours: Sequence[TransportKind],
    ) -> list[tuple[TransportKind, str, int]]:
        """Transports, hosts and ports of a domain (§4.1, §4.2)."""
        secure = usual is TransportKind.TLS
        if asked is None:
            for kind, name in _wanted(await self._resolver.naptr(domain), secure, ours):
                hosts = await self._hosts(kind, name)
                if hosts:
                    return hosts
        # Without a transport the names of all that we have are tried (§4.1), TLS for sips alone.
        kinds = [asked] if asked else [usual] if secure else [k for k in ours if not k.secure]
        tried = [self._hosts(kind, f"{_SRV_PREFIX[kind]}.{domain}") for kind in kinds]
        hosts = [host for found in await asyncio.gather(*tried) for host in found]
        kind = asked or usual
        return hosts or [(kind, domain, kind.default_port)]

    async def _hosts(self, kind: TransportKind, name: str) -> list[tuple[TransportKind, str, int]]:
        records = await self._resolver.srv(name)
        return [
            (kind, record.target, record.port)
            for record in in_order(records, self._random)[:MOST_TRIED]
            if record.target  # else "." says that there is no such service (RFC 2782)
        ]


def in_order(records: Iterable[Srv], random: Random) -> list[Srv]:
    """By priority; among equals at random, in proportion to their weights (RFC 2782)."""
    # A race: who is to arrive `weight` times a second on average is first as often as it weighs.
    return sorted(
        records,
        key=lambda each: (
            each.priority,
            random.expovariate(each.weight) if each.weight else math.inf,
        ),
    )


def _asked(uri: Uri) -> TransportKind | None:
    """The transport that a URI names; over TLS where it is `sips`."""
    text = (uri.parameter("transport") or "").upper()
    if not text:
        return None
    try:
        kind = TransportKind(text)
    except ValueError:
        kind = TransportKind.WS
    if uri.scheme == "sips" and kind is TransportKind.TCP:
        kind = TransportKind.TLS
    if kind not in _SRV_PREFIX or (uri.scheme == "sips" and not kind.secure):
        raise TransportError(f"{uri} asks for a transport that we do not have")
    return kind


def _wanted(
    records: Iterable[Naptr], secure: bool, ours: Collection[TransportKind]
) -> list[tuple[TransportKind, str]]:
    """Transports in the domain's order, and the names of their SRV records."""
    ordered = sorted(records, key=lambda record: (record.order, record.preference))
    kinds = [(_SERVICES.get(record.service), record) for record in ordered if record.flags == "s"]
    wanted = [
        (kind, record.replacement)
        for kind, record in kinds
        if kind is not None and kind in ours and (kind.secure or not secure)
    ]
    return list(dict.fromkeys(wanted))[:MOST_TRIED]


def _name(name: Any) -> str:
    """A domain name of dnspython's as text; empty for the root."""
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()


def _domain(name: str) -> str:
    """Whose a name is: that of a service belongs to the domain behind it."""
    labels = name.lower().split(".")
    while len(labels) > 1 and labels[0].startswith("_"):
        del labels[0]
    return ".".join(labels)


def _may_be_in_dns(name: str) -> bool:
    """Not a host of this machine or network alone: nobody should be asked about those."""
    last = name.rpartition(".")[2].lower()
    return "." in name.strip(".") and last not in _SPECIAL
