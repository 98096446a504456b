"""Replaces (RFC 3891): which call of ours an INVITE is to take the place of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signaling.errors import RemoteProtocolError, SipParseError
from signaling.sip.dialog import Dialog, DialogKey
from signaling.sip.grammar import LWS, find_parameter, parse_parameters
from signaling.sip.message import Request
from signaling.sip.uri import Uri

if TYPE_CHECKING:
    from signaling.sip.core import Core
    from signaling.sip.invite import InviteUsage


REMEMBERED_S = 32.0
"""How long an ended call is told from one that never was."""
MAX_DEPARTED = 1000


@dataclass(frozen=True, slots=True)
class Replaces:
    """A Replaces header field; the tags are as its receiver sees them (§3)."""

    call_id: str
    to_tag: str
    """Its own."""
    from_tag: str
    """Of the far end that is to be replaced."""
    early_only: bool = False
    """Not where it is answered already."""

    @classmethod
    def parse(cls, text: str) -> Replaces:
        """Raises SipParseError."""
        call_id, _, rest = text.partition(";")
        parameters = parse_parameters(f";{rest}")
        to_tag = find_parameter(parameters, "to-tag")
        from_tag = find_parameter(parameters, "from-tag")
        call_id = call_id.strip(LWS)
        if not call_id or not to_tag or not from_tag:
            raise SipParseError("Replaces needs a Call-ID, a to-tag and a from-tag")
        early_only = find_parameter(parameters, "early-only") is not None
        return cls(call_id, to_tag, from_tag, early_only)

    @classmethod
    def of(cls, dialog: Dialog) -> Replaces:
        """What asks the far end of a dialog of ours to let somebody take our place in it."""
        return cls(dialog.call_id, dialog.remote.tag or "0", dialog.local.tag or "0")

    def __str__(self) -> str:
        suffix = ";early-only" if self.early_only else ""
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{suffix}"

    @property
    def key(self) -> DialogKey:
        """The dialog that it names, at its receiver. `0` is no tag, of RFC 2543 (§6.1)."""
        from_tag = "" if self.from_tag == "0" else self.from_tag
        return DialogKey(self.call_id, self.to_tag, from_tag)


class Departed:
    """The dialogs of calls that ended lately: who comes to replace one is told that it is over."""

    def __init__(self) -> None:
        self._ended: dict[DialogKey, float] = {}

    def __repr__(self) -> str:
        return f"<Departed {len(self._ended)}>"

    def note(self, key: DialogKey, now: float) -> None:
        """It has ended. The oldest make room."""
        self._ended[key] = now
        if len(self._ended) > MAX_DEPARTED:
            del self._ended[next(iter(self._ended))]

    def has(self, key: DialogKey, now: float) -> bool:
        """Whether it ended not long ago."""
        at = self._ended.get(key)
        return at is not None and now - at <= REMEMBERED_S


def replaces_in(uri: Uri) -> Replaces | None:
    """What a Refer-To asks the INVITE to replace (RFC 3891 §6.1). Raises SipParseError."""
    values = [value for name, value in uri.headers if name.lower() == "replaces"]
    if len(values) > 1:
        raise SipParseError("a Refer-To replaces one call at most")
    return Replaces.parse(values[0]) if values else None


def replaced_by(request: Request, core: Core, now: float) -> InviteUsage | None:
    """The call of ours that an INVITE takes the place of; None where it asks for none.

    Raises RemoteProtocolError with the answer of RFC 3891 §3: 400, 481, 486 or 603.
    """
    lines = request.headers.get_all("Replaces")
    if not lines:
        return None
    if len(lines) > 1 or "Join" in request.headers:
        raise RemoteProtocolError("one call at most is replaced", 400)
    wanted = Replaces.parse(lines[0])
    session = core.dialogs.get(wanted.key)
    if session is None or session.has_ended:
        if session is not None or core.departed.has(wanted.key, now):
            raise RemoteProtocolError("the call to be replaced is over", 603)
        raise RemoteProtocolError("there is no call to be replaced", 481)
    if session.is_answered:
        if wanted.early_only:
            raise RemoteProtocolError("the call to be replaced is answered", 486)
    elif not session.is_caller:  # who rings here has to be answered or refused here
        raise RemoteProtocolError("the call to be replaced is not ours to give up", 481)
    return session
