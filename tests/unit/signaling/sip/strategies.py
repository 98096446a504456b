"""hypothesis strategies for valid SIP values and messages."""

from __future__ import annotations

import string
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from signaling.sip.headers import STAR, CSeq, NameAddr, Star, Via
from signaling.sip.message import METHODS, Headers, Request, Response
from signaling.sip.uri import Uri

TOKEN_ALPHABET = string.ascii_letters + string.digits + "-.!%*_+`'~"

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
other_uris = st.builds(
    lambda scheme, pieces: Uri(scheme, opaque="".join(pieces)),
    st.sampled_from(["tel", "urn", "a+b-c.d1"]),
    st.lists(st.sampled_from([*"A9;/?:@&=+$,_.!~*'()#-[]", "%41"]), min_size=1, max_size=8),
)
uris = sip_uris.map(
    lambda uri: Uri(uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.parameters)
)
other_uris = st.builds(
    lambda scheme, opaque: Uri(scheme, opaque=opaque),
    st.from_regex(r"[a-z][a-z0-9+.-]{0,6}", fullmatch=True).filter(lambda s: s[:3] != "sip"),
    st.from_regex(r"([A-Za-z0-9;/?:@&=+$,_.!~*'()#-]|%[0-9A-F]{2}){1,12}", fullmatch=True),
)
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


@st.composite
def headers(draw: st.DrawFn, method: str, contacts: tuple[NameAddr, ...] | Star) -> Headers:
    lines = [("Via", str(via)) for via in draw(st.lists(vias, min_size=1, max_size=2))]
    lines += [
        ("From", str(draw(name_addrs))),
        ("To", str(draw(name_addrs))),
        ("Call-ID", draw(call_ids)),
        ("CSeq", str(CSeq(draw(numbers), method))),
    ]
    if draw(st.booleans()):
        lines.append(("Max-Forwards", str(draw(st.integers(0, 255)))))
    if contacts is STAR:
        lines.append(("Contact", "*"))
    else:
        lines += [("Contact", str(contact)) for contact in contacts]
    routes = draw(st.lists(name_addrs, max_size=1))
    if routes:
        lines.append(("Route", ", ".join(map(str, routes))))
    lines += draw(st.lists(opaque_headers, max_size=2))
    turn = draw(st.integers(0, len(lines) - 1))
    return Headers(lines[turn:] + lines[:turn])


contact_lists = st.lists(name_addrs, max_size=1).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    method = draw(methods)
    contacts: tuple[NameAddr, ...] | Star = draw(contact_lists)
    if method == "REGISTER" and draw(st.booleans()):
        contacts = STAR
    fields = draw(headers(method, contacts))
    return Request(method, draw(request_uris | other_uris), fields, draw(st.binary(max_size=16)))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    fields = draw(headers(draw(methods), draw(contact_lists)))
    reason = draw(opaque_values)
    return Response(draw(st.integers(100, 699)), reason, fields, draw(st.binary(max_size=16)))


messages = requests() | responses()
