"""What must become of each RFC 4475 message: the last column of `rfc4475/README.md`, as data.

`datagram` and `stream` are the parser's part. `final` is the endpoint's: the statuses of which one
must be its last answer, where the message comes from a source that needs no digest and where the
target exists; `NORMAL` where the RFC asks for what any good request of that kind gets, and nothing
in it where the message is dropped.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILES = Path(__file__).parent / "rfc4475"
DEVIATIONS = Path(__file__).parent / "rfc4475_deviations.toml"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The parser gives a message with these values."""

    start: str
    """The method, or the status."""
    body_octets: int
    vias: int
    cseq: int
    max_forwards: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The parser gives a SipParseError."""

    status: int
    answerable: bool = True
    """Whether it carries a request to answer from; else the message is dropped."""
    fatal: bool = False
    """In a stream: the connection can't go on."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The stream holds the beginning of a message and waits for the rest, until a timer ends it."""


Outcome = Accepted | Refused | Waiting
NORMAL = frozenset({-1})
"""A marker, never a status: any answer but those in `REFUSALS`."""
REFUSALS = frozenset({400, 415, 416, 420, 500, 501, 505, 513})
"""What no normal request is answered with."""
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One message."""

    name: str
    """The file's name without `.dat`."""
    valid: bool
    """The RFC's verdict on the syntax."""
    datagram: Accepted | Refused
    """As one datagram, and as one WebSocket message."""
    final: frozenset[int]
    stream: tuple[Outcome, ...] = ()
    """All octets in a stream; () where it is what the datagram gives."""
    note: str = ""
    """Which choice was made where the RFC leaves one, or what the endpoint's test must see."""

    @property
    def octets(self) -> bytes:
        """The message, exactly."""
        return (FILES / f"{self.name}.dat").read_bytes()

    def allows(self, status: int | None) -> bool:
        """Whether this last answer of the endpoint is right; None is no answer at all."""
        if status is None or status in self.final:
            return status in self.final or not self.final
        return bool(self.final & NORMAL) and status not in REFUSALS

    @property
    def in_stream(self) -> tuple[Outcome, ...]:
        """What a stream of these octets gives."""
        return self.stream or (self.datagram,)


def _status(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


def deviations() -> dict[str, str]:
    """Name of the message -> why the parser departs from the table; each one is signed off."""
    return dict(tomllib.loads(DEVIATIONS.read_text(encoding="utf-8")))


_400 = Refused(400)

ROWS = (
    # 3.1.1 valid messages
    Row("wsinv", True, Accepted("INVITE", 150, 3, 9, 68), NORMAL),
    Row(
        "intmeth",
        True,
        Accepted("!interesting-Method0123456789_*+`.%indeed'~", 0, 1, 139122385, 255),
        _status(501),
        note="with Allow",
    ),
    Row("esc01", True, Accepted("INVITE", 150, 1, 234234, 87), NORMAL),
    Row(
        "escnull",
        True,
        Accepted("REGISTER", 0, 1, 14398234, 70),
        NORMAL,
        note="two bindings of a user with a NUL in it",
    ),
    Row("esc02", True, Accepted("RE%47IST%45R", 0, 1, 29344, 70), _status(501)),
    Row("lwsdisp", True, Accepted("OPTIONS", 0, 1, 60, 70), NORMAL),
    Row("longreq", True, Accepted("INVITE", 150, 34, 3882340, 70), NORMAL),
    Row(
        "dblreq",
        True,
        Accepted("REGISTER", 0, 1, 8, 8),
        NORMAL,
        stream=(
            Accepted("REGISTER", 0, 1, 8, 8),
            Accepted("INVITE", 150, 1, 8, 8),
            Refused(400, answerable=False, fatal=True),
        ),
        note="a datagram makes no INVITE; in a stream, five octets are left behind the second",
    ),
    Row("semiuri", True, Accepted("OPTIONS", 0, 1, 8, 3), NORMAL),
    Row("transports", True, Accepted("OPTIONS", 0, 5, 60, 70), NORMAL),
    Row("mpart01", True, Accepted("MESSAGE", 553, 1, 1, 70), _status(200, 401, 415)),
    Row("unreason", True, Accepted("200", 154, 1, 35, None), NOTHING),
    Row("noreason", True, Accepted("100", 0, 1, 35, None), NOTHING),
    # 3.1.2 invalid messages
    Row("badinv01", False, _400, _status(400), note="Via and Contact; answered from the raw Via"),
    Row("clerr", False, _400, _status(400), stream=(Waiting(),)),
    Row("ncl", False, _400, _status(400), stream=(Refused(400, fatal=True),)),
    Row("scalar02", False, _400, _status(400)),
    Row("scalarlg", False, Refused(400, answerable=False), NOTHING),
    Row("quotbal", False, _400, _status(400)),
    Row("ltgtruri", False, _400, _status(400)),
    Row("lwsruri", False, _400, _status(400)),
    Row("lwsstart", False, _400, _status(400), note="refused, not mended"),
    Row("trws", False, _400, _status(400), note="refused, not mended"),
    Row("escruri", False, _400, _status(400)),
    Row("baddate", False, Accepted("INVITE", 150, 1, 1392934, 70), NORMAL, note="Date is ignored"),
    Row("regbadct", False, _400, _status(400)),
    Row("badaspec", False, _400, _status(400), note="refused, not mended"),
    Row("baddn", False, _400, _status(400), stream=(Waiting(),)),
    Row("badvers", False, Refused(505), _status(505)),
    Row("mismatch01", False, _400, _status(400)),
    Row("mismatch02", False, Refused(501), _status(501), note="with Allow"),
    Row("bigcode", False, Refused(400, answerable=False), NOTHING),
    # 3.2 transaction layer
    Row(
        "badbranch",
        True,
        Accepted("OPTIONS", 0, 1, 8, 3),
        NORMAL | _status(400),
        note="the branch is the magic cookie alone: two of them are two transactions",
    ),
    # 3.3 application layer
    Row("insuf", False, _400, _status(400)),
    Row("unkscm", True, Accepted("OPTIONS", 0, 1, 3923423, 3), _status(416)),
    Row("novelsc", True, Accepted("OPTIONS", 0, 1, 3923423, 3), _status(416)),
    Row(
        "unksm2",
        True,
        Accepted("REGISTER", 0, 1, 234902, 70),
        _status(400),
        note="the registrar's answer: To is no SIP URI",
    ),
    Row(
        "bext01",
        True,
        Accepted("OPTIONS", 0, 1, 8, 6),
        _status(420),
        note="Unsupported: nothingSupportsThis, nothingSupportsThisEither",
    ),
    Row(
        "invut",
        True,
        Accepted("INVITE", 40, 1, 235448, 70),
        _status(415),
        note="with Accept: application/sdp",
    ),
    Row(
        "regaut01",
        True,
        Accepted("REGISTER", 0, 1, 9338, 8),
        _status(401),
        note="WWW-Authenticate: Digest; the registrar asks, whatever the source",
    ),
    Row("multi01", False, _400, _status(400)),
    Row("mcl01", False, _400, _status(400), stream=(Refused(400, fatal=True),)),
    Row(
        "bcast",
        True,
        Accepted("200", 154, 2, 35, None),
        NOTHING,
        note="nothing is ever sent to 255.255.255.255",
    ),
    Row("zeromf", True, Accepted("OPTIONS", 0, 1, 39234321, 0), NORMAL),
    Row(
        "cparam01",
        True,
        Accepted("REGISTER", 0, 1, 2, 70),
        NORMAL,
        note="the bound URI has no unknownparam",
    ),
    Row(
        "cparam02",
        True,
        Accepted("REGISTER", 0, 1, 3, 70),
        NORMAL,
        note="the bound URI has unknownparam",
    ),
    Row(
        "regescrt",
        True,
        Accepted("REGISTER", 0, 1, 14398234, 70),
        NORMAL,
        note="the bound URI keeps ?Route=%3Csip:sip.example.com%3E",
    ),
    Row("sdp01", True, Accepted("INVITE", 150, 1, 8, 5), _status(406, 400)),
    # 3.4 backward compatibility
    Row(
        "inv2543",
        True,
        Accepted("INVITE", 105, 1, 56, None),
        NORMAL,
        stream=(Refused(400, fatal=True),),
    ),
    # in the archive, in no section
    Row(
        "test",
        False,
        Refused(400, answerable=False),
        NOTHING,
        stream=(Refused(400, answerable=False, fatal=True),),
    ),
)
