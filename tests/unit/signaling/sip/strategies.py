"""hypothesis strategies for valid SIP values and messages."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any, Protocol, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.sip.headers import STAR, CSeq, NameAddr, Star, Via
from signaling.sip.message import METHODS, Headers, Request, Response
from signaling.sip.uri import Uri

T = TypeVar("T")

TOKEN_ALPHABET = string.ascii_letters + string.digits + "-.!%*_+`'~"
OPAQUE_ALPHABET = string.ascii_letters + string.digits + ";/?:@&=+$,_.!~*'()#-"

tokens = st.text(TOKEN_ALPHABET, min_size=1, max_size=6)
# Any character but lone surrogates and what no quoted-pair can hold; NUL, NEL and U+2028 included.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=6)
# Built from few parts: patterns and address strategies would cost more than all the rest.
labels = st.sampled_from(["a", "b1", "x--y", "xn--fiqs8s", "9z", "example", "under_score", "0"])
hosts = st.one_of(
    st.builds(lambda head, top: ".".join([*head, top]), st.lists(labels, max_size=2), st.just("z")),
    st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number))),
    st.integers(0, 2**128 - 1).map(lambda number: str(IPv6Address(number))),
)
ports = st.none() | st.integers(0, 65535)


def _unique(pairs: list[tuple[str, str | None]]) -> tuple[tuple[str, str | None], ...]:
    """A name may come once, whatever its case; `str.lower` on purpose is not what decides."""
    kept: dict[str, tuple[str, str | None]] = {}
    for name, value in pairs:
        key = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
        kept.setdefault(key, (name, value))
    return tuple(kept.values())


filled = texts.filter(bool)
uri_parameters = st.lists(st.tuples(filled, st.none() | filled), max_size=3).map(_unique)
sip_uris = st.builds(
    lambda scheme, user, password, host, port, parameters, headers: Uri(
        scheme,
        user,
        None if user is None else password,
        host,
        port,
        parameters,
        tuple(headers),
    ),
    st.sampled_from(["sip", "sips"]),
    st.none() | filled,
    st.none() | texts,
    hosts,
    ports,
    uri_parameters,
    st.lists(st.tuples(filled, texts), max_size=2),
)
request_uris = sip_uris.map(
    lambda uri: Uri(uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.parameters)
)
# Built from texts too; what is not written as it is, is escaped, U+0141 as `%41`.
other_uris = st.builds(
    lambda first, more, text: Uri(
        first + more,
        opaque="".join(c if c in OPAQUE_ALPHABET else f"%{ord(c) & 0xFF:02X}" for c in text),
    ),
    st.sampled_from(string.ascii_lowercase),
    st.text(string.ascii_lowercase + string.digits + "+.-", max_size=6),
    st.text(st.characters(max_codepoint=0x1FF), min_size=1, max_size=12),
).filter(lambda uri: uri.scheme[:3] != "sip")
uris = sip_uris | other_uris


@st.composite
def header_parameters(draw: st.DrawFn) -> tuple[tuple[str, str | None], ...]:
    named = NameAddr("", Uri("sip", host="h"))
    for name, value in _unique(draw(st.lists(st.tuples(tokens, st.none() | texts), max_size=4))):
        named = named.with_parameter(name, value)
    return named.parameters


name_addrs = st.builds(NameAddr, texts, uris, header_parameters())
vias = st.builds(
    Via,
    st.sampled_from(["UDP", "TCP", "TLS", "WS", "WSS"]) | tokens,
    hosts,
    ports,
    header_parameters(),
)
methods = st.sampled_from(sorted(METHODS)) | tokens
numbers = st.integers(0, 2**32 - 1)
# Values of headers that nobody asks anything of: no CR, LF, NUL, and no white space at the ends.
opaque_values = texts.map(lambda text: text.replace("\0", "").strip(" \t"))
opaque_headers = st.tuples(tokens.map(lambda token: f"X-{token}"), opaque_values)
call_ids = st.text(TOKEN_ALPHABET + '()<>:\\"/[]?{}', min_size=1, max_size=6)


contact_lists = st.lists(name_addrs, max_size=1).map(tuple)
via_lists = st.lists(vias, min_size=1, max_size=2)
route_lists = st.lists(name_addrs, max_size=1)
opaque_lists = st.lists(opaque_headers, max_size=2)
all_request_uris = request_uris | other_uris
octets = st.integers(0, 255)
statuses = st.integers(100, 699)
bodies = st.binary(max_size=16)
is_so = st.booleans()


class Draw(Protocol):
    """What gives a value of a strategy: hypothesis, or a `Pool`."""

    def __call__(self, strategy: st.SearchStrategy[T]) -> T: ...


def headers(draw: Draw, method: str, contacts: tuple[NameAddr, ...] | Star) -> Headers:
    lines = [("Via", str(via)) for via in draw(via_lists)]
    lines += [
        ("From", str(draw(name_addrs))),
        ("To", str(draw(name_addrs))),
        ("Call-ID", draw(call_ids)),
        ("CSeq", str(CSeq(draw(numbers), method))),
    ]
    if draw(is_so):
        lines.append(("Max-Forwards", str(draw(octets))))
    if contacts is STAR:
        lines.append(("Contact", "*"))
    else:
        lines += [("Contact", str(contact)) for contact in contacts]
    routes = draw(route_lists)
    if routes:
        lines.append(("Route", ", ".join(map(str, routes))))
    lines += draw(opaque_lists)
    turn = draw(octets) % len(lines)
    return Headers(lines[turn:] + lines[:turn])


def request(draw: Draw) -> Request:
    method = draw(methods)
    contacts: tuple[NameAddr, ...] | Star = draw(contact_lists)
    if method == "REGISTER" and draw(is_so):
        contacts = STAR
    fields = headers(draw, method, contacts)
    return Request(method, draw(all_request_uris), fields, draw(bodies))


def response(draw: Draw) -> Response:
    fields = headers(draw, draw(methods), draw(contact_lists))
    reason = draw(opaque_values)
    return Response(draw(statuses), reason, fields, draw(bodies))


def message(draw: Draw) -> Request | Response:
    return request(draw) if draw(is_so) else response(draw)


messages = st.composite(message)()


class Pool:
    """Values of strategies for very many messages: drawn once, and then again in any order.

    hypothesis takes 50 times as long to draw a message as to read it.

    Args:
        size: how many values of each strategy.
        chance: in which order.
    """

    def __init__(self, size: int, chance: Random) -> None:
        self._size = size
        self._chance = chance
        self._values: dict[st.SearchStrategy[Any], list[Any]] = {}

    def __call__(self, strategy: st.SearchStrategy[T]) -> T:
        """Return one of the strategy's values."""
        if strategy not in self._values:
            self._values[strategy] = self._drawn(strategy)
        value: T = self._chance.choice(self._values[strategy])
        return value

    def _drawn(self, strategy: st.SearchStrategy[T]) -> list[T]:
        drawn: list[T] = []

        @given(strategy)
        @settings(max_examples=self._size, deadline=None, derandomize=True)
        def keep(value: T) -> None:
            drawn.append(value)

        keep()
        return drawn
