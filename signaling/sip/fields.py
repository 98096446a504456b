"""The header fields of a message: (name, text) in order, found without case (RFC 3261 §7.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from signaling.errors import LocalProtocolError
from signaling.sip.grammar import is_token, lower

_CANONICAL_NAMES = (
    "Accept",
    "Accept-Contact",
    "Accept-Encoding",
    "Accept-Language",
    "Alert-Info",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "Call-ID",
    "Call-Info",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Error-Info",
    "Event",
    "Expires",
    "From",
    "History-Info",
    "Identity",
    "In-Reply-To",
    "Join",
    "Max-Forwards",
    "MIME-Version",
    "Min-Expires",
    "Min-SE",
    "Organization",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Path",
    "Priority",
    "Privacy",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "Reason",
    "Record-Route",
    "Refer-Sub",
    "Refer-To",
    "Referred-By",
    "Reject-Contact",
    "Replaces",
    "Reply-To",
    "Request-Disposition",
    "Require",
    "Retry-After",
    "Route",
    "RSeq",
    "Server",
    "Service-Route",
    "Session-Expires",
    "Subject",
    "Subscription-State",
    "Supported",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "Warning",
    "WWW-Authenticate",
)
_COMPACT_NAMES = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
_CANONICAL = {name.lower(): name for name in _CANONICAL_NAMES} | _COMPACT_NAMES
_KNOWN = {name: (name.lower(), name) for name in _CANONICAL_NAMES}


def canonical_name(name: str) -> str:
    """The long form in its usual spelling: `v` is `Via`. An unknown name stays as it is."""
    return _CANONICAL.get(lower(name), name)


def _key_and_name(name: str) -> tuple[str, str]:
    known = _KNOWN.get(name)
    if known is not None:
        return known
    canonical = canonical_name(name)
    return lower(canonical), canonical


class Headers:
    """Header fields in order; a field that comes several times keeps its lines.

    Text is unfolded and stripped. Names are compared without case, and compact forms are the long
    ones. Text with CR or LF, which would make a header of its own, raises LocalProtocolError.
    """

    __slots__ = ("_index", "_lines", "parsed")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: list[tuple[str, str, str]] = []
        self._index: dict[str, list[str]] | None = None
        self.parsed: dict[str, object] = {}
        """What the typed properties of a message read here; emptied by every change."""
        for name, value in items:
            self.add(name, value)

    @classmethod
    def received(cls, items: Iterable[tuple[str, str]]) -> Headers:
        """Headers from a parser that has checked names and line ends."""
        headers = cls()
        headers._lines = [(*_key_and_name(name), value) for name, value in items]
        return headers

    def get(self, name: str) -> str | None:
        """The first line of that name."""
        lines = self._lookup().get(_key_and_name(name)[0])
        return lines[0] if lines else None

    def get_all(self, name: str) -> list[str]:
        """Every line of that name, not split at commas: see `headers.split_values`."""
        return list(self._lookup().get(_key_and_name(name)[0], ()))

    def add(self, name: str, value: str) -> None:
        """Append a line."""
        self._lines.append(self._line(name, value))
        self._changed()

    def add_first(self, name: str, value: str) -> None:
        """Put a line on top: for Via and Record-Route."""
        self._lines.insert(0, self._line(name, value))
        self._changed()

    def set(self, name: str, *values: str) -> None:
        """Replace every line of that name, in the place of the first; with no values, remove it."""
        lines = [self._line(name, value) for value in values]
        key = _key_and_name(name)[0]
        place = next((i for i, line in enumerate(self._lines) if line[0] == key), len(self._lines))
        kept = [line for line in self._lines if line[0] != key]
        kept[place:place] = lines
        self._lines = kept
        self._changed()

    def remove(self, name: str) -> None:
        """Remove every line of that name, if there is one."""
        self.set(name)

    def items(self) -> Iterator[tuple[str, str]]:
        """(name, text) in order."""
        return ((name, value) for _, name, value in self._lines)

    def copy(self) -> Headers:
        """An independent copy."""
        copied = Headers()
        copied._lines = self._lines.copy()
        copied.parsed = self.parsed.copy()
        return copied

    def __contains__(self, name: str) -> bool:
        return _key_and_name(name)[0] in self._lookup()

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return self.items()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(k, v) for k, _, v in self._lines] == [(k, v) for k, _, v in other._lines]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"

    def _lookup(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for key, _, value in self._lines:
                self._index.setdefault(key, []).append(value)
        return self._index

    def _changed(self) -> None:
        self._index = None
        if self.parsed:
            self.parsed = {}

    @staticmethod
    def _line(name: str, value: str) -> tuple[str, str, str]:
        if not is_token(name):
            raise LocalProtocolError(f"{name!r} is no header name")
        if "\r" in value or "\n" in value:
            raise LocalProtocolError(f"the text of {name} has a line end in it")
        return (*_key_and_name(name), value.strip(" \t"))
