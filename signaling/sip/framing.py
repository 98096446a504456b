"""Messages out of a stream of octets (RFC 3261 §18.3, RFC 5626 §3.5.1): TCP and TLS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from signaling.errors import SipParseError
from signaling.sip.message import DEFAULT_LIMITS, Head, Limits, Message

_LINE_ENDS: Final = re.compile(rb"(?:\r\n)*+")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """CRLF CRLF between messages, one or many: the far end asks for a CRLF back."""


Framed: TypeAlias = Message | SipParseError | KeepAlive


class StreamFramer:
    """Cuts a stream into messages; where the octets are split makes no difference.

    Holds at most one message and what came with its last chunk. A far end that stops in the middle
    is for the transport's timer: see `waiting`.
    """

    __slots__ = ("_buffer", "_crlfs", "_head", "_head_end", "_limits", "_lost", "_searched")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._head: Head | None = None
        self._head_end = 0
        self._searched = 0
        self._crlfs = 0
        self._lost = False

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer) and not self._lost

    @property
    def waits_for_body(self) -> bool:
        """Whether the headers of such a message are complete."""
        return self._head is not None

    def receive_data(self, octets: bytes) -> list[Framed]:
        """Everything that is complete now.

        After a fatal SipParseError nothing comes any more: answer it, then close the connection.
        """
        return [item for item, _ in self.receive_frames(octets)]

    def receive_frames(self, octets: bytes) -> list[tuple[Framed, bytes]]:
        """The same, each with the octets that it was read from."""
        if self._lost:
            return []
        self._buffer += octets
        found: list[tuple[Framed, bytes]] = []
        while (item := self._next()) is not None:
            found.append(item)
            if isinstance(item[0], SipParseError) and item[0].fatal:
                self._lost = True
                self._buffer.clear()
                break
        return found

    def _next(self) -> tuple[Framed, bytes] | None:
        if self._head is None:
            if self._skip_line_ends():
                return KeepAlive(), b"\r\n\r\n"
            failed = self._read_head()
            if failed is not None:
                return failed, bytes(self._buffer[: self._limits.message_octets])
            if self._head is None:
                return None
        return self._cut(self._head)

    def _skip_line_ends(self) -> bool:
        """Skip CRLFs between messages; whether they make a keep-alive."""
        found = _LINE_ENDS.match(self._buffer)
        if found is not None and found.end():
            del self._buffer[: found.end()]
            self._crlfs += found.end() // 2
        is_keep_alive = self._crlfs >= 2
        self._crlfs %= 2
        if self._buffer and self._buffer != b"\r":
            self._crlfs = 0
        return is_keep_alive

    def _read_head(self) -> SipParseError | None:
        limit = self._limits.message_octets
        end = self._buffer.find(b"\r\n\r\n", self._searched, limit)
        if end < 0:
            self._searched = max(0, len(self._buffer) - 3)
            if len(self._buffer) < limit:
                return None
            head = Head.parse(bytes(self._buffer[:limit]), self._limits)
            return self._refuse(head, f"the headers are over {limit} octets", 513)
        head = Head.parse(bytes(self._buffer[:end]), self._limits)
        if head.problem is not None:
            return self._refuse(head, str(head.problem))
        if head.content_length is None:
            return self._refuse(head, "Content-Length is missing in a stream")
        if end + 4 + head.content_length > limit:
            return self._refuse(head, f"the message is over {limit} octets", 513)
        self._head, self._head_end, self._searched = head, end + 4, 0
        return None

    def _cut(self, head: Head) -> tuple[Framed, bytes] | None:
        end = self._head_end + (head.content_length or 0)
        if len(self._buffer) < end:
            return None
        octets = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._head = None
        try:
            return head.message(octets[self._head_end :], self._limits), octets
        except SipParseError as exc:
            return exc.with_traceback(None), octets

    @staticmethod
    def _refuse(head: Head, text: str, status: int = 400) -> SipParseError:
        return SipParseError(text, status, head.answerable(), fatal=True)
