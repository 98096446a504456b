"""SIP messages: requests, responses, their parser and their serialiser (RFC 3261 §7, §8.2, §18.3).

`parse_message` refuses what RFC 3261 and RFC 4475 say must be refused; after it, no typed property
of the message raises. The parser's one error is `SipParseError`, whatever the octets are.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from signaling.errors import LocalProtocolError, SipParseError
from signaling.sip.fields import Headers
from signaling.sip.grammar import (
    LWS,
    TOKEN_CHARS,
    UINT32_MAX,
    is_token,
    legible,
    lower,
    parse_number,
)
from signaling.sip.headers import STAR, CSeq, NameAddr, Star, Via, parse_expires, split_values
from signaling.sip.status import METHODS, REASON_PHRASES
from signaling.sip.uri import Uri

__all__ = [
    "DEFAULT_LIMITS",
    "METHODS",
    "REASON_PHRASES",
    "Head",
    "Headers",
    "Limits",
    "Message",
    "Request",
    "Response",
    "parse_message",
    "respond",
]

T = TypeVar("T")

_LINE_ENDS = re.compile(rb"\A(?:\r\n)++")
_FOLD = re.compile(r"\r\n[ \t]+")
_QUOTED_PAIR = re.compile(r"\\.", re.DOTALL)
_STATUS_LINE = re.compile(
    r"SIP/([0-9]++)\.([0-9]++) ([0-9]++)(?: (.*+))?+", re.DOTALL | re.IGNORECASE | re.ASCII
)
_VERSION = re.compile(r"SIP/([0-9]++)\.([0-9]++)", re.IGNORECASE | re.ASCII)
_MEDIA_TYPE = re.compile(
    rf"([{TOKEN_CHARS}]++)[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)(?:[ \t]*+;.*+)?+", re.DOTALL
)
_CALL_ID = re.compile(
    r'[A-Za-z0-9\-.!%*_+`\'~()<>:\\"/\[\]?{}]++(?:@[A-Za-z0-9\-.!%*_+`\'~()<>:\\"/\[\]?{}]++)?+'
)
_MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
_SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Expires")
_MAKES_A_DIALOG = frozenset({"INVITE", "SUBSCRIBE", "REFER", "NOTIFY"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may make us hold."""

    message_octets: int = 65536
    """Start line, headers and body; more is answered 513."""
    headers: int = 256
    header_octets: int = 8192
    """One header, unfolded; the start line too."""
    vias: int = 64


DEFAULT_LIMITS = Limits()


class Message(ABC):
    """What requests and responses share.

    Typed properties are read at first use and kept until a header changes. Of a message that
    `parse_message` gave, none raises; of any other, they raise SipParseError.
    """

    __slots__ = ()

    headers: Headers
    body: bytes

    @property
    @abstractmethod
    def start_line(self) -> str:
        """The first line, without its CRLF."""

    @property
    def vias(self) -> tuple[Via, ...]:
        """Every Via value, the topmost first."""
        return self._typed("vias", lambda: self._list("Via", Via.parse_many))

    @property
    def via(self) -> Via:
        """The topmost Via."""
        vias = self.vias
        if not vias:
            raise SipParseError("Via is missing")
        return vias[0]

    @property
    def from_(self) -> NameAddr:
        """From."""
        return self._typed("from", lambda: NameAddr.parse(self._text("From")))

    @property
    def to(self) -> NameAddr:
        """To."""
        return self._typed("to", lambda: NameAddr.parse(self._text("To")))

    @property
    def call_id(self) -> str:
        """Call-ID; compared octet by octet."""
        return self._typed("call-id", self._call_id)

    @property
    def cseq(self) -> CSeq:
        """CSeq."""
        return self._typed("cseq", lambda: CSeq.parse(self._text("CSeq")))

    @property
    def contacts(self) -> tuple[NameAddr, ...] | Star:
        """Every Contact, or `STAR`."""
        return self._typed("contacts", self._contacts)

    @property
    def routes(self) -> tuple[NameAddr, ...]:
        """Every Route value, the first hop first."""
        return self._typed("routes", lambda: self._list("Route", NameAddr.parse_many))

    @property
    def record_routes(self) -> tuple[NameAddr, ...]:
        """Every Record-Route value, in order of the wire."""
        return self._typed("record-routes", lambda: self._list("Record-Route", NameAddr.parse_many))

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards, 0 to 255; None from an RFC 2543 element."""
        return self._typed("max-forwards", self._max_forwards)

    @property
    def expires(self) -> int | None:
        """Expires in seconds; one that can't be read counts as 3600, as RFC 3261 §20.19 asks."""
        text = self.headers.get("Expires")
        return None if text is None else parse_expires(text)

    @property
    def retry_after_s(self) -> int:
        """Retry-After in seconds, without comment and parameters; 0 where none can be read."""
        text = (self.headers.get("Retry-After") or "").partition(";")[0].partition("(")[0]
        try:
            return parse_number(text.strip(LWS), UINT32_MAX, "Retry-After")
        except SipParseError:
            return 0

    @property
    def content_type(self) -> str | None:
        """`type/subtype` in lower case, without parameters."""
        return self._typed("content-type", self._content_type)

    @property
    def supported(self) -> tuple[str, ...]:
        """Option tags of Supported."""
        return self.tokens("Supported")

    @property
    def require(self) -> tuple[str, ...]:
        """Option tags of Require."""
        return self.tokens("Require")

    def tokens(self, name: str) -> tuple[str, ...]:
        """The tokens of a header that lists them, as Allow or Require. Raises SipParseError."""
        tokens = [
            token for line in self.headers.get_all(name) for token in split_values(line) if token
        ]
        if not all(map(is_token, tokens)):
            raise SipParseError(f"{name} is not a list of tokens")
        return tuple(tokens)

    def serialise(self) -> bytes:
        """The octets, with a Content-Length of our own.

        Raises LocalProtocolError for what can't be put on the wire.
        """
        start_line = self.start_line
        if "\r" in start_line or "\n" in start_line:
            raise LocalProtocolError("the start line has a line end in it")
        lines = [start_line]
        lines += [
            f"{name}: {value}" for name, value in self.headers.items() if name != "Content-Length"
        ]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        try:
            return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body
        except UnicodeEncodeError as exc:
            raise LocalProtocolError("a lone surrogate can't be sent") from exc

    def _typed(self, key: str, parse: Callable[[], T]) -> T:
        known = self.headers.parsed
        if key not in known:
            known[key] = parse()
        return cast("T", known[key])

    def _text(self, name: str) -> str:
        text = self.headers.get(name)
        if text is None:
            raise SipParseError(f"{name} is missing")
        return text

    def _list(self, name: str, parse_many: Callable[[str], tuple[T, ...]]) -> tuple[T, ...]:
        return tuple(value for line in self.headers.get_all(name) for value in parse_many(line))

    def _call_id(self) -> str:
        text = self._text("Call-ID")
        if _CALL_ID.fullmatch(text) is None:
            raise SipParseError("the Call-ID is malformed")
        return text

    def _contacts(self) -> tuple[NameAddr, ...] | Star:
        lines = self.headers.get_all("Contact")
        return STAR if lines == ["*"] else self._list("Contact", NameAddr.parse_many)

    def _max_forwards(self) -> int | None:
        text = self.headers.get("Max-Forwards")
        return None if text is None else parse_number(text, 255, "Max-Forwards")

    def _content_type(self) -> str | None:
        text = self.headers.get("Content-Type")
        if text is None:
            return None
        match = _MEDIA_TYPE.fullmatch(text)
        if match is None:
            raise SipParseError("the Content-Type is malformed")
        return lower(f"{match[1]}/{match[2]}")


@dataclass(slots=True)
class Request(Message):
    """A request. Its headers may be changed; Content-Length is not among them: the body tells."""

    method: str
    """Case counts; `%` is no escape here."""
    uri: Uri
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def start_line(self) -> str:
        """The Request-Line, without its CRLF."""
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(slots=True)
class Response(Message):
    """A response. Its headers may be changed; Content-Length is not among them: the body tells."""

    status: int
    """100 to 699."""
    reason: str
    """Any text, also none."""
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @property
    def phrase(self) -> str:
        """The reason for people."""
        return legible(self.reason)

    @property
    def start_line(self) -> str:
        """The Status-Line, without its CRLF."""
        return f"SIP/2.0 {self.status} {self.reason}"


@dataclass(frozen=True, slots=True)
class Head:
    """Start line and header fields, read as lines, before anything is asked of them."""

    start_line: str
    headers: Headers
    content_length: int | None
    """What the far end says; None where it does not say."""
    problem: SipParseError | None
    """Why lines or body length can't be trusted: in a stream, the next message is lost then."""

    @classmethod
    def parse(cls, octets: bytes, limits: Limits = DEFAULT_LIMITS) -> Head:
        """Read what is before the empty line; never raises."""
        text = octets.decode("utf-8", "surrogateescape")
        problems: list[str] = []
        if not text.count("\r\n") == text.count("\r") == text.count("\n"):
            problems.append("CR or LF stands alone")
        if _has_stray_nul(text):
            problems.append("NUL outside a quoted pair")
        lines = _FOLD.sub(" ", text).split("\r\n")
        if max(map(len, lines)) > limits.header_octets:
            problems.append(f"a header is over {limits.header_octets} octets")
        if len(lines) - 1 > limits.headers:
            problems.append(f"more than {limits.headers} headers")
        items: list[tuple[str, str]] = []
        lengths: list[str] = []
        for line in lines[1 : limits.headers + 1]:
            name, colon, value = line.partition(":")
            name = name.rstrip(LWS)
            if not colon or not is_token(name) or (problems and not _is_clean(value)):
                problems.append("a header line is malformed")  # and not repeated in an answer
            elif lower(name) in ("content-length", "l"):
                lengths.append(value.strip(LWS))
            else:
                items.append((name, value.strip(LWS)))
        content_length: int | None = None
        if len(lengths) > 1:
            problems.append("several Content-Length")
        elif lengths:
            try:
                content_length = parse_number(lengths[0], UINT32_MAX, "the Content-Length")
            except SipParseError as exc:
                problems.append(str(exc))
        problem = SipParseError(problems[0]) if problems else None
        return cls(lines[0], Headers.received(items), content_length, problem)

    def message(self, body: bytes, limits: Limits = DEFAULT_LIMITS) -> Message:
        """The message that these lines and this body are.

        Raises SipParseError, with the request where it can be answered.
        """
        try:
            message = self._start(body)
            if self.problem is not None:
                raise self.problem
            _validate(message, limits)
        except SipParseError as exc:
            exc.request = self.answerable()
            raise
        return message

    def answerable(self) -> Request | None:
        """What an error answer is made from; None for a response, an ACK, or without a Via."""
        method, _, rest = self.start_line.partition(" ")
        if not is_token(method) or method == "ACK" or "Via" not in self.headers:
            return None
        target = rest.strip(LWS).partition(" ")[0]
        try:
            uri = Uri.parse(target)
        except SipParseError:
            uri = Uri("", opaque=target)
        return Request(method, uri, self.headers)

    def _start(self, body: bytes) -> Message:
        if self.start_line[:4].upper() == "SIP/":
            return self._start_response(body)
        parts = self.start_line.split(" ")
        if len(parts) != 3:
            raise SipParseError("the request line is malformed")
        method, target, version = parts
        match = _VERSION.fullmatch(version)
        if match is None or not is_token(method):
            raise SipParseError("the request line is malformed")
        if match.groups() != ("2", "0"):
            raise SipParseError("the SIP version is not 2.0", 505)
        uri = Uri.parse(target)
        if uri.headers:
            raise SipParseError("the Request-URI carries headers")
        return Request(method, uri, self.headers, body)

    def _start_response(self, body: bytes) -> Response:
        match = _STATUS_LINE.fullmatch(self.start_line)
        if match is None or match.groups()[:2] != ("2", "0"):
            raise SipParseError("the status line is malformed")
        status = parse_number(match[3], 699, "the status")
        if status < 100 or len(match[3]) != 3:
            raise SipParseError("the status is out of range")
        return Response(status, match[4] or "", self.headers, body)


def _has_stray_nul(text: str) -> bool:
    return "\0" in text and "\0" in _QUOTED_PAIR.sub("", text)


def _is_clean(text: str) -> bool:
    return "\r" not in text and "\n" not in text and not _has_stray_nul(text)


def parse_message(
    octets: bytes, *, stream: bool = False, limits: Limits = DEFAULT_LIMITS
) -> Message:
    """Read one message: a datagram, a WebSocket message, or (`stream`) one cut out of a stream.

    In a datagram what follows the body is ignored, and without Content-Length the body is the rest
    (RFC 3261 §18.3). In a stream Content-Length is a must. Raises SipParseError and nothing else.
    """
    if octets.startswith(b"\r\n"):
        octets = _LINE_ENDS.sub(b"", octets, 1)
    end = octets.find(b"\r\n\r\n", 0, limits.message_octets)
    head = Head.parse(
        octets[:end] if end >= 0 else octets[: limits.message_octets].rstrip(b"\r\n"), limits
    )
    available = len(octets) - end - 4
    length = available if head.content_length is None else head.content_length
    text, status = "", 400
    if len(octets) > limits.message_octets:
        text, status = f"the message is over {limits.message_octets} octets", 513
    elif end < 0:
        text = "the empty line after the headers is missing"
    elif length > available:
        text = "the body is shorter than Content-Length"
    elif stream and head.content_length is None:
        text = "Content-Length is missing in a stream"
    if text:
        raise SipParseError(text, status, head.answerable(), fatal=stream)
    try:
        return head.message(octets[end + 4 : end + 4 + length], limits)
    except SipParseError as exc:
        exc.fatal = stream and head.problem is not None
        raise


def _validate(message: Message, limits: Limits) -> None:
    headers = message.headers
    for name in _SINGLE:
        if len(headers.get_all(name)) > 1:
            raise SipParseError(f"several {name}")
    for name in _MANDATORY:
        if name not in headers:
            raise SipParseError(f"{name} is missing")
    if len(message.vias) > limits.vias:
        raise SipParseError(f"more than {limits.vias} Via")
    _ = message.from_, message.to, message.call_id, message.max_forwards, message.content_type
    _ = message.routes, message.record_routes, message.supported, message.require
    contacts, cseq = message.contacts, message.cseq
    if contacts is STAR and not (isinstance(message, Request) and message.method == "REGISTER"):
        raise SipParseError("Contact: * outside REGISTER")
    if isinstance(message, Request) and cseq.method != message.method:
        hint = 400 if message.method in METHODS else 501
        raise SipParseError("the CSeq method differs from the request's", hint)


def respond(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    content_type: str | None = None,
) -> Response:
    """The answer to a request (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq as they came.

    Works for the request of a `SipParseError` too. `to_tag` is added where To can be read and has
    no tag yet; Record-Route is copied where the answer may make a dialog (§12.1.1), Timestamp into
    a 100. Raises LocalProtocolError for header text that can't be sent.
    """
    answer = Headers()
    for line in request.headers.get_all("Via"):
        answer.add("Via", line)
    if request.method in _MAKES_A_DIALOG and 100 < status < 300:
        for line in request.headers.get_all("Record-Route"):
            answer.add("Record-Route", line)
    for name in ("From", "To", "Call-ID", "CSeq"):
        if text := request.headers.get(name):
            answer.add(name, _tagged(text, to_tag) if name == "To" and to_tag else text)
    timestamp = request.headers.get("Timestamp")
    if status == 100 and timestamp is not None:
        answer.add("Timestamp", timestamp)
    for name, value in headers:
        answer.add(name, value)
    if content_type is not None:
        answer.add("Content-Type", content_type)
    phrase = REASON_PHRASES.get(status, "") if reason is None else reason
    return Response(status, phrase, answer, body)


def _tagged(text: str, tag: str) -> str:
    try:
        to = NameAddr.parse(text)
    except SipParseError:
        return text
    return text if to.tag else f"{text};tag={tag}"
