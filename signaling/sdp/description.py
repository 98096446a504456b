"""Session descriptions (RFC 8866) as values: read leniently, kept and written back without loss.

A description is its lines. What is typed here (ports, codecs, directions) is read from those
lines, and is checked when the value is made: a `SessionDescription` that exists can be asked
anything and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from signaling.errors import SdpError

MAX_OCTETS = 16 * 1024
MAX_MEDIA = 16
MAX_CANDIDATES = 64

_LINE = re.compile(r"([A-Za-z])=(.*)", re.DOTALL)
_TOKEN = re.compile(r"[!#$%&'*+\-./0-9A-Z^_`a-z{|}~]+")
_MEDIA = re.compile(r"(\S+) ([0-9]+)(?:/([0-9]+))? (\S+)((?: +\S+)*) *")
_ORIGIN = re.compile(r"(.+) ([0-9]{1,20}) ([0-9]{1,20}) (\S+) (\S+) (\S+)")
_CONNECTION = re.compile(r"IN (IP4|IP6) ([!-.0-~]+)((?:/[0-9]{1,5}){0,2})")
_RTPMAP = re.compile(r"([0-9]+) +(\S+)")
_ENCODING = re.compile(r"([^/\s]+)/([0-9]+)(?:/([0-9]+))?")
_RTCP = re.compile(r"([0-9]+)(?: IN IP[46] \S+)?")
_RTCP_START = re.compile(r"[0-9]+(?: .*)?")
_PTIME = re.compile(r"([0-9]{1,5})(\.[0-9]{1,9})?")
_REPORT = re.compile(r"(voip-metrics|rcvr-rtt=(?:all|sender))(?::[0-9]+)?")


class Direction(StrEnum):
    """Which way audio flows, as its describer sees it (RFC 8866 §6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """The describer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """The describer receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @classmethod
    def of(cls, *, sends: bool, receives: bool) -> Direction:
        """The direction that sends and receives so."""
        if sends:
            return cls.SENDRECV if receives else cls.SENDONLY
        return cls.RECVONLY if receives else cls.INACTIVE


_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `type=value`."""

    type: str
    value: str

    def __str__(self) -> str:
        return f"{self.type}={self.value}"


@dataclass(frozen=True, slots=True)
class Codec:
    """One entry of a codec list (RFC 8866 §6.6)."""

    number: int
    """RTP payload type, 0 to 127."""
    encoding: str
    """Upper-case: PCMU, PCMA, TELEPHONE-EVENT."""
    clock_rate_hz: int = 8000
    channels: int = 1
    fmtp: str = ""

    def same_as(self, other: Codec) -> bool:
        """The same encoding, whatever number it goes by."""
        return (self.encoding, self.clock_rate_hz, self.channels) == (
            other.encoding,
            other.clock_rate_hz,
            other.channels,
        )


STATIC_CODECS: dict[int, Codec] = {
    codec.number: codec
    for codec in (
        Codec(0, "PCMU"),
        Codec(3, "GSM"),
        Codec(4, "G723"),
        Codec(8, "PCMA"),
        Codec(9, "G722"),
        Codec(10, "L16", 44100, 2),
        Codec(11, "L16", 44100),
        Codec(13, "CN"),
        Codec(15, "G728"),
        Codec(18, "G729"),
    )
}
"""Payload types that need no rtpmap (RFC 3551 §6)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line: whose description, and which version of it (RFC 8866 §5.2)."""

    session_id: int
    version: int
    host: str
    username: str = "-"

    @classmethod
    def parse(cls, value: str) -> Origin:
        """Read the value of an o= line. Raises SdpError."""
        match = _ORIGIN.fullmatch(value.strip(" "))
        if match is None:
            raise SdpError(f"bad o= line: {value[:80]!r}")
        return cls(int(match[2]), int(match[3]), match[6], match[1])

    def line(self) -> Line:
        """The o= line."""
        address = f"IN {_address_type(self.host)} {self.host}"
        return Line("o", f"{self.username} {self.session_id} {self.version} {address}")


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One m-line and what follows it, up to the next."""

    kind: str
    """audio, video, application, image…"""
    port: int
    """0: refused or removed."""
    protocol: str
    """RTP/AVP, RTP/SAVPF, UDP/DTLS/SCTP…"""
    formats: tuple[str, ...]
    lines: tuple[Line, ...] = ()
    """Everything after the m-line, in order."""
    port_count: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SdpError(f"port {self.port} of m={self.kind}")
        _check_connections(self.lines)
        if self.is_rtp:
            for number in self.formats:
                _payload_type(number)
        for attribute in self.attributes("rtpmap"):
            _parse_rtpmap(attribute)
        for attribute in self.attributes("rtcp"):
            _parse_rtcp(attribute)
        for attribute in self.attributes("ptime"):
            _parse_ptime(attribute)

    @classmethod
    def parse(cls, value: str, lines: Iterable[Line] = ()) -> MediaDescription:
        """Read the value of an m-line, and the lines that follow it. Raises SdpError."""
        match = _MEDIA.fullmatch(value)
        if match is None or not _TOKEN.fullmatch(match[1]):
            raise SdpError(f"bad m= line: {value[:80]!r}")
        return cls(
            kind=match[1].lower(),
            port=_number(match[2], 65535, "port"),
            protocol=match[4],
            formats=tuple(part for part in match[5].split(" ") if part),
            lines=tuple(lines),
            port_count=None if match[3] is None else _number(match[3], 65535, "port count"),
        )

    @property
    def is_rtp(self) -> bool:
        """The formats are RTP payload types."""
        return "RTP/" in self.protocol.upper()

    @property
    def host(self) -> str | None:
        """Of this medium's own c= line; None: the session's holds."""
        return _connection_host(self.lines)

    @property
    def direction(self) -> Direction | None:
        """Of this medium's own attribute; None: the session's holds."""
        return _direction(self.lines)

    @property
    def ptime_ms(self) -> int | None:
        """Wanted packet time; None: not said, or not a whole number of milliseconds."""
        values = self.attributes("ptime")
        return _parse_ptime(values[0]) if values else None

    @property
    def rtcp_port(self) -> int | None:
        """Where the describer takes RTCP (RFC 3605); None: RTP's port plus one."""
        ports = [_parse_rtcp(value) for value in self.attributes("rtcp")]
        return ports[0] if ports else None

    @property
    def rtcp_mux(self) -> bool:
        """RTP and RTCP on one port (RFC 5761)."""
        return self.attribute("rtcp-mux") is not None

    @property
    def mid(self) -> str | None:
        """What groups and fragments call this medium (RFC 5888 §4)."""
        return self.attribute("mid") or None

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codec list, in the m-line's order. Formats that no rtpmap explains are left out."""
        if not self.is_rtp:
            return ()
        named: dict[int, Codec] = {}
        for value in self.attributes("rtpmap"):
            codec = _parse_rtpmap(value)
            if codec is not None:
                named[codec.number] = codec
        fmtp = {}
        for value in self.attributes("fmtp"):
            number, _, parameters = value.partition(" ")
            fmtp[number] = parameters.strip(" ")
        codecs = []
        for text in dict.fromkeys(self.formats):
            found = named.get(int(text)) or STATIC_CODECS.get(int(text))
            if found is not None:
                codecs.append(
                    Codec(
                        found.number,
                        found.encoding,
                        found.clock_rate_hz,
                        found.channels,
                        fmtp.get(text, ""),
                    )
                )
        return tuple(codecs)

    def attribute(self, name: str) -> str | None:
        """The first value of `a=name:value`; "" for a bare `a=name`; None: absent."""
        return next(iter(self.attributes(name)), None)

    def attributes(self, name: str) -> list[str]:
        """All values of an attribute of this medium."""
        return _attributes(self.lines, name)

    def refused(self) -> MediaDescription:
        """The m-line that refuses this one: port 0, the same formats (RFC 3264 §6)."""
        return MediaDescription(self.kind, 0, self.protocol, self.formats)

    def all_lines(self) -> Iterator[Line]:
        """The m-line and all that follows it."""
        count = "" if self.port_count is None else f"/{self.port_count}"
        yield Line("m", " ".join((self.kind, f"{self.port}{count}", self.protocol, *self.formats)))
        yield from self.lines


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description: the session's lines, then its media."""

    lines: tuple[Line, ...]
    """From v= to the first m-line, in order; holds v= and o=."""
    media: tuple[MediaDescription, ...] = ()

    def __post_init__(self) -> None:
        if not self.lines or (self.lines[0].type, self.lines[0].value.strip(" ")) != ("v", "0"):
            raise SdpError("a description begins with v=0")
        if sum(line.type == "o" for line in self.lines) != 1:
            raise SdpError("a description holds one o= line")
        Origin.parse(self._value("o"))
        _check_connections(self.lines)
        if len(self.media) > MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} m-lines")
        candidates = sum(len(medium.attributes("candidate")) for medium in self.media)
        if candidates + len(_attributes(self.lines, "candidate")) > MAX_CANDIDATES:
            raise SdpError(f"more than {MAX_CANDIDATES} candidates")

    @classmethod
    def parse(cls, octets: bytes) -> SessionDescription:
        """Read a description. A lone LF ends a line too; empty lines are skipped.

        Raises SdpError, and nothing else.
        """
        if len(octets) > MAX_OCTETS:
            raise SdpError(f"more than {MAX_OCTETS} octets")
        lines = read_lines(octets)
        starts = [index for index, line in enumerate(lines) if line.type == "m"]
        if len(starts) > MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} m-lines")
        bounds = [*starts, len(lines)]
        media = tuple(
            MediaDescription.parse(lines[start].value, lines[start + 1 : end])
            for start, end in pairwise(bounds)
        )
        return cls(tuple(lines[: bounds[0]]), media)

    def serialise(self) -> bytes:
        """The description as octets, each line ended by CRLF."""
        lines = [*self.lines, *(line for medium in self.media for line in medium.all_lines())]
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")

    @property
    def origin(self) -> Origin:
        """Whose description this is."""
        return Origin.parse(self._value("o"))

    @property
    def name(self) -> str:
        """The s= line; "" where there is none."""
        return self._value("s")

    def attribute(self, name: str) -> str | None:
        """The first value of a session attribute; "" for a bare one; None: absent."""
        return next(iter(_attributes(self.lines, name)), None)

    def attributes(self, name: str) -> list[str]:
        """All values of a session attribute."""
        return _attributes(self.lines, name)

    def groups(self, semantics: str) -> list[tuple[str, ...]]:
        """The mids of each group of a kind: BUNDLE (RFC 8843), LS… (RFC 5888 §5)."""
        groups = [
            tuple(part for part in value.split(" ") if part) for value in self.attributes("group")
        ]
        return [group[1:] for group in groups if group and group[0].upper() == semantics]

    def attribute_of(self, medium: MediaDescription, name: str) -> str | None:
        """A medium's attribute, or the session's where the medium has none."""
        own = medium.attribute(name)
        return self.attribute(name) if own is None else own

    def reports_of(self, medium: MediaDescription) -> tuple[str, ...]:
        """The extended reports that are asked for (RFC 3611 §5.1), of those that we know.

        `voip-metrics`, `rcvr-rtt=all` or `rcvr-rtt=sender`.
        """
        asked = self.attribute_of(medium, "rtcp-xr") or ""
        found = [_REPORT.fullmatch(word) for word in asked.lower().split(" ")]
        return tuple(dict.fromkeys(match[1] for match in found if match is not None))

    def host_of(self, medium: MediaDescription) -> str | None:
        """Where a medium is sent to: its own c= line, or the session's; None: neither is there."""
        return medium.host or _connection_host(self.lines)

    def direction_of(self, medium: MediaDescription) -> Direction:
        """A medium's direction: its own, the session's, or sendrecv."""
        return medium.direction or _direction(self.lines) or Direction.SENDRECV

    def _value(self, kind: str) -> str:
        return next((line.value for line in self.lines if line.type == kind), "")


def read_lines(octets: bytes) -> list[Line]:
    """Part octets into lines. A lone LF ends a line too; empty lines are skipped.

    Raises SdpError.
    """
    # s= and i= may be in any character set (RFC 8866 §6.10); the round trip keeps their octets.
    text = octets.decode("utf-8", "surrogateescape")
    if "\0" in text:
        raise SdpError("NUL in a description")
    lines: list[Line] = []
    for raw in text.split("\n"):
        stripped = raw.removesuffix("\r")
        if not stripped.strip(" \t"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None or "\r" in stripped:
            raise SdpError(f"not a line of a description: {stripped[:80]!r}")
        lines.append(Line(match[1], match[2]))
    return lines


def connection_line(host: str) -> Line:
    """The c= line of a unicast address."""
    return Line("c", f"IN {_address_type(host)} {host}")


def _address_type(host: str) -> str:
    return "IP6" if ":" in host else "IP4"


def _attributes(lines: Iterable[Line], name: str) -> list[str]:
    found = []
    for line in lines:
        if line.type == "a":
            key, _, value = line.value.partition(":")
            if key.lower() == name:
                found.append(value.strip(" "))
    return found


def _direction(lines: Iterable[Line]) -> Direction | None:
    for line in lines:
        if line.type == "a" and (found := _DIRECTIONS.get(line.value.strip(" ").lower())):
            return found
    return None


def _connection_host(lines: Iterable[Line]) -> str | None:
    for line in lines:
        if line.type == "c":
            match = _CONNECTION.fullmatch(line.value.strip(" "))
            return match[2] if match else None
    return None


def _check_connections(lines: Iterable[Line]) -> None:
    for line in lines:
        if line.type == "c" and not _CONNECTION.fullmatch(line.value.strip(" ")):
            raise SdpError(f"bad c= line: {line.value[:80]!r}")


def _number(text: str, most: int, what: str) -> int:
    # ASCII digits only, and few of them: int() takes 1_0, other scripts' digits, and any length.
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise SdpError(f"bad {what}: {text[:20]!r}")
    return int(text)


def _payload_type(text: str) -> int:
    return _number(text, 127, "payload type")


def _parse_rtpmap(value: str) -> Codec | None:
    match = _RTPMAP.match(value)
    if match is None:
        raise SdpError(f"bad rtpmap: {value[:80]!r}")
    number = _payload_type(match[1])
    encoding = _ENCODING.fullmatch(match[2])
    if encoding is None:
        if "/" in match[2]:
            raise SdpError(f"bad rtpmap: {value[:80]!r}")
        return None  # no clock rate: a private codec that we could not use anyway
    return Codec(
        number,
        encoding[1].upper(),
        _number(encoding[2], 2**32 - 1, "clock rate"),
        1 if encoding[3] is None else _number(encoding[3], 255, "channels"),
    )


def _parse_rtcp(value: str) -> int | None:
    if not _RTCP_START.fullmatch(value):
        raise SdpError(f"bad rtcp: {value[:80]!r}")
    port = _number(value.partition(" ")[0], 65535, "rtcp port")
    return port if _RTCP.fullmatch(value) else None  # a network of another kind is no use to us


def _parse_ptime(value: str) -> int | None:
    match = _PTIME.fullmatch(value)
    if match is None:
        raise SdpError(f"bad ptime: {value[:80]!r}")
    return int(match[1]) if match[2] is None else None
