"""ICE in session descriptions (RFC 8839), and candidates that come later (RFC 8840)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from signaling.errors import SdpError
from signaling.sdp.description import (
    MAX_CANDIDATES,
    MAX_MEDIA,
    MAX_OCTETS,
    Line,
    MediaDescription,
    SessionDescription,
    read_lines,
)

TRICKLE = "trickle"
ICE2 = "ice2"
FRAGMENT_CONTENT_TYPE = "application/trickle-ice-sdpfrag"
"""Of the body of an INFO that brings candidates (RFC 8840 §9)."""

_FOUNDATION = re.compile(r"[!-9;-~]{1,32}")
_ADDRESS = re.compile(r"[0-9A-Za-z.:%_\-]{1,253}")
_TOKEN = re.compile(r"[0-9A-Za-z\-]{1,32}")
_EXTENSION = re.compile(r"[!-~]{1,256}")
_UFRAG = re.compile(r"[0-9A-Za-z+/]{4,256}")
_PASSWORD = re.compile(r"[0-9A-Za-z+/]{22,256}")
_MID = re.compile(r"[!-~]{1,64}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address that a peer may be reached at (RFC 8839 §5.1)."""

    foundation: str
    component: int
    """1: RTP, and RTCP where they share a port; 2: RTCP."""
    transport: str
    """udp or tcp; others are kept, and are no use."""
    priority: int
    host: str
    """An address, or the name of one: `….local` of mDNS (RFC 8828)."""
    port: int
    type: str
    """host, srflx, prflx or relay; others are kept, and are no use."""
    related_host: str | None = None
    """For the reflexive and relayed: the base, where it is told (raddr)."""
    related_port: int | None = None
    tcp_type: str | None = None
    """active, passive or so (RFC 6544 §4.5)."""
    extensions: tuple[tuple[str, str], ...] = ()
    """What else is said, in order: generation, network-cost…"""

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """Read the value of a=candidate; `candidate:` before it, as browsers have it, may stay.

        Raises SdpError.
        """
        parts = [part for part in text.strip(" ").removeprefix("candidate:").split(" ") if part]
        if len(parts) < 8 or len(parts) % 2 or parts[6].lower() != "typ":
            raise _bad(text)
        foundation, component, transport, priority, host, port, _, kind, *rest = parts
        pairs = [(name.lower(), value) for name, value in zip(rest[::2], rest[1::2], strict=True)]
        known = dict(reversed(pairs))
        related_host, related_port = known.get("raddr"), known.get("rport")
        named = ("raddr", "rport", "tcptype")
        if (
            not _FOUNDATION.fullmatch(foundation)
            or not _TOKEN.fullmatch(transport)
            or not _TOKEN.fullmatch(kind)
            or not _ADDRESS.fullmatch(host)
            or not all(_EXTENSION.fullmatch(value) for pair in pairs for value in pair)
            or (related_host is not None and not _ADDRESS.fullmatch(related_host))
        ):
            raise _bad(text)
        tcp_type = known.get("tcptype")
        return cls(
            foundation=foundation,
            component=_number(component, 256, text),
            transport=transport.lower(),
            priority=_number(priority, 2**32 - 1, text),
            host=host,
            port=_number(port, 65535, text),
            type=kind.lower(),
            related_host=related_host,
            related_port=None if related_port is None else _number(related_port, 65535, text),
            tcp_type=None if tcp_type is None else tcp_type.lower(),
            extensions=tuple(pair for pair in pairs if pair[0] not in named),
        )

    def __str__(self) -> str:
        """The value of a=candidate."""
        words: list[object] = [self.foundation, self.component, self.transport, self.priority]
        words += [self.host, self.port, "typ", self.type]
        if self.related_host is not None:
            words += ["raddr", self.related_host]
        if self.related_port is not None:
            words += ["rport", self.related_port]
        if self.tcp_type is not None:
            words += ["tcptype", self.tcp_type]
        words += [word for pair in self.extensions for word in pair]
        return " ".join(str(word) for word in words)

    @property
    def is_mdns(self) -> bool:
        """The address hides behind a name that only its own network resolves."""
        return self.host.lower().endswith(".local")


@dataclass(frozen=True, slots=True)
class IceDescription:
    """What one side says of its ICE for one medium."""

    ufrag: str
    """4 to 256 letters, digits, `+` and `/`."""
    pwd: str = field(repr=False)
    """22 to 256 of them."""
    candidates: tuple[Candidate, ...] = ()
    options: tuple[str, ...] = ()
    """`trickle`, `ice2`…"""
    lite: bool = False
    """Answers checks and makes none (RFC 8445 §2.5)."""
    end_of_candidates: bool = False

    def __post_init__(self) -> None:
        _check_credentials(self.ufrag, self.pwd)

    @property
    def trickles(self) -> bool:
        """More candidates may come after the description (RFC 8838 §4)."""
        return TRICKLE in self.options and not self.end_of_candidates

    def is_restart_of(self, before: IceDescription) -> bool:
        """These are other credentials: ICE begins anew (RFC 8839 §4.4.1.1.1)."""
        return (self.ufrag, self.pwd) != (before.ufrag, before.pwd)

    def attributes(self) -> tuple[str, ...]:
        """The medium's attributes; `ice-lite` is the session's and is not among them."""
        return (
            f"ice-ufrag:{self.ufrag}",
            f"ice-pwd:{self.pwd}",
            *((f"ice-options:{' '.join(self.options)}",) if self.options else ()),
            *_candidate_attributes(self.candidates, self.end_of_candidates),
        )

    @classmethod
    def read(cls, description: SessionDescription, medium: MediaDescription) -> IceDescription:
        """What a description says of a medium's ICE. Raises SdpError, also where it says nothing.

        Credentials and options of the session hold for a medium that has none.
        """
        ufrag = description.attribute_of(medium, "ice-ufrag")
        pwd = description.attribute_of(medium, "ice-pwd")
        if ufrag is None or pwd is None:
            raise SdpError(f"no ICE credentials for m={medium.kind}")
        options = description.attribute_of(medium, "ice-options") or ""
        return cls(
            ufrag=ufrag,
            pwd=pwd,
            candidates=_read_candidates(medium.attributes("candidate")),
            options=tuple(dict.fromkeys(word.lower() for word in options.split(" ") if word)),
            lite=description.attribute("ice-lite") is not None,
            end_of_candidates=description.attribute_of(medium, "end-of-candidates") is not None,
        )


@dataclass(frozen=True, slots=True)
class FragmentMedium:
    """What a fragment says of one medium."""

    mid: str
    candidates: tuple[Candidate, ...] = ()
    end_of_candidates: bool = False
    kind: str = "audio"


@dataclass(frozen=True, slots=True)
class IceFragment:
    """Candidates that come after the description: the body of an INFO (RFC 8840 §9)."""

    ufrag: str
    """Whose generation of ICE they belong to; older ones are to be ignored."""
    pwd: str = field(repr=False)
    media: tuple[FragmentMedium, ...] = ()
    end_of_candidates: bool = False
    """For all media."""

    def __post_init__(self) -> None:
        _check_credentials(self.ufrag, self.pwd)
        if not all(_MID.fullmatch(medium.mid) for medium in self.media):
            raise SdpError("bad mid in a fragment")

    @classmethod
    def parse(cls, octets: bytes) -> IceFragment:
        """Read a fragment. Raises SdpError, and nothing else.

        One pair of credentials is expected, at the top or in any medium: our media are bundled.
        """
        if len(octets) > MAX_OCTETS:
            raise SdpError(f"more than {MAX_OCTETS} octets")
        session: list[Line] = []
        media: list[tuple[str, list[Line]]] = []
        for line in read_lines(octets):
            if line.type == "m":
                media.append((line.value.partition(" ")[0].lower(), []))
            else:
                (media[-1][1] if media else session).append(line)
        if len(media) > MAX_MEDIA:
            raise SdpError(f"more than {MAX_MEDIA} m-lines")
        everything = [*session, *(line for _, lines in media for line in lines)]
        if sum(line.value.startswith("candidate:") for line in everything) > MAX_CANDIDATES:
            raise SdpError(f"more than {MAX_CANDIDATES} candidates")
        credentials = {
            (lines_ufrag, lines_pwd)
            for lines in (session, *(lines for _, lines in media))
            for lines_ufrag in _values(lines, "ice-ufrag")[:1]
            for lines_pwd in _values(lines, "ice-pwd")[:1]
        }
        if len(credentials) != 1:
            raise SdpError("a fragment holds one pair of ICE credentials")
        ((ufrag, pwd),) = credentials
        return cls(
            ufrag=ufrag,
            pwd=pwd,
            media=tuple(_read_fragment_medium(kind, lines) for kind, lines in media),
            end_of_candidates=bool(_values(session, "end-of-candidates")),
        )

    def serialise(self) -> bytes:
        """The fragment as octets, each line ended by CRLF."""
        lines = [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.pwd}"]
        if self.end_of_candidates:
            lines.append("a=end-of-candidates")
        for medium in self.media:
            # Port, profile and format mean nothing here (§9.2): the m-line only parts the media.
            lines += [f"m={medium.kind} 9 RTP/AVP 0", f"a=mid:{medium.mid}"]
            attributes = _candidate_attributes(medium.candidates, medium.end_of_candidates)
            lines += [f"a={attribute}" for attribute in attributes]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def medium(self, mid: str) -> FragmentMedium | None:
        """What is said of a medium; an end for all media is an end for this one."""
        for medium in self.media:
            if medium.mid == mid:
                ends = medium.end_of_candidates or self.end_of_candidates
                return FragmentMedium(mid, medium.candidates, ends, medium.kind)
        return FragmentMedium(mid, (), True) if self.end_of_candidates else None


def _check_credentials(ufrag: str, pwd: str) -> None:
    if not _UFRAG.fullmatch(ufrag):
        raise SdpError(f"bad ice-ufrag: {ufrag[:80]!r}")
    if not _PASSWORD.fullmatch(pwd):
        raise SdpError("bad ice-pwd")


def _candidate_attributes(candidates: Iterable[Candidate], end: bool) -> tuple[str, ...]:
    said = tuple(f"candidate:{candidate}" for candidate in candidates)
    return (*said, "end-of-candidates") if end else said


def _read_fragment_medium(kind: str, lines: list[Line]) -> FragmentMedium:
    mids = _values(lines, "mid")
    if len(mids) != 1:
        raise SdpError("each medium of a fragment has one mid")
    return FragmentMedium(
        mid=mids[0],
        candidates=_read_candidates(_values(lines, "candidate")),
        end_of_candidates=bool(_values(lines, "end-of-candidates")),
        kind=kind if _TOKEN.fullmatch(kind) else "audio",
    )


def _read_candidates(values: Iterable[str]) -> tuple[Candidate, ...]:
    return tuple(Candidate.parse(value) for value in values)


def _values(lines: Iterable[Line], name: str) -> list[str]:
    found = []
    for line in lines:
        key, _, value = line.value.partition(":")
        if line.type == "a" and key.lower() == name:
            found.append(value.strip(" "))
    return found


def _number(text: str, most: int, whole: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > most:
        raise _bad(whole)
    return int(text)


def _bad(text: str) -> SdpError:
    return SdpError(f"bad candidate: {text[:80]!r}")
