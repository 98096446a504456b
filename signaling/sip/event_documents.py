"""What is told of a device to who subscribes: presence, dialogs, waiting messages.

RFC 3856 with RFC 3863 and RFC 4480, RFC 4235, RFC 3842. Each document holds the whole state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.sax.saxutils import escape, quoteattr

from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri


class Package(StrEnum):
    """Event packages that we notify of."""

    PRESENCE = "presence"
    DIALOG = "dialog"
    MESSAGE_SUMMARY = "message-summary"

    @property
    def content_type(self) -> str:
        """The media type of its documents."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES = {
    Package.PRESENCE: "application/pidf+xml",
    Package.DIALOG: "application/dialog-info+xml",
    Package.MESSAGE_SUMMARY: "application/simple-message-summary",
}


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether a device can be reached, and is in a call."""

    is_reachable: bool
    is_on_the_phone: bool = False


class DialogState(StrEnum):
    """How far a call of a device is (RFC 4235 §3.7.1)."""

    TRYING = "trying"
    EARLY = "early"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class PhoneDialog:
    """One call of a device."""

    id: str
    """Names the call, and nothing of its SIP dialog: who knew that could meddle with it."""
    state: DialogState
    is_initiator: bool
    """The device dialled."""
    remote: NameAddr | None = None
    """Whom it talks with."""


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """Messages that wait for a device's user."""

    new: int = 0
    old: int = 0


def presence_document(entity: Uri, presence: Presence) -> bytes:
    """PIDF (RFC 3863), with `on-the-phone` of RPID (RFC 4480)."""
    address = str(entity)
    basic = "open" if presence.is_reachable else "closed"
    lines = [
        _XML,
        (
            '<presence xmlns="urn:ietf:params:xml:ns:pidf"'
            ' xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"'
            f' xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity={quoteattr(address)}>'
        ),
        (
            f'<tuple id="phone"><status><basic>{basic}</basic></status>'
            f"<contact>{escape(address)}</contact></tuple>"
        ),
    ]
    if presence.is_on_the_phone:
        activities = "<rpid:activities><rpid:on-the-phone/></rpid:activities>"
        lines.append(f'<dm:person id="user">{activities}</dm:person>')
    lines.append("</presence>")
    return _octets(lines)


def dialog_document(entity: Uri, version: int, dialogs: Sequence[PhoneDialog]) -> bytes:
    """dialog-info (RFC 4235 §4.1); `version` counts the documents of one subscription from 0."""
    lines = [
        _XML,
        (
            '<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info"'
            f' version="{version}" state="full" entity={quoteattr(str(entity))}>'
        ),
    ]
    for dialog in dialogs:
        direction = "initiator" if dialog.is_initiator else "recipient"
        lines.append(f'<dialog id={quoteattr(dialog.id)} direction="{direction}">')
        lines.append(f"<state>{dialog.state}</state>")
        lines.append(f"<local><identity>{escape(str(entity))}</identity></local>")
        if dialog.remote is not None:
            lines.append(f"<remote>{_identity(dialog.remote)}</remote>")
        lines.append("</dialog>")
    lines.append("</dialog-info>")
    return _octets(lines)


def summary_document(account: Uri, summary: MessageSummary) -> bytes:
    """simple-message-summary (RFC 3842 §5.1). Counts only where there is something to count."""
    lines = [
        f"Messages-Waiting: {'yes' if summary.new else 'no'}",
        f"Message-Account: {account}",
    ]
    if summary.new or summary.old:
        lines.append(f"Voice-Message: {summary.new}/{summary.old}")
    return _octets(lines)


_XML = '<?xml version="1.0" encoding="UTF-8"?>'


def _identity(address: NameAddr) -> str:
    name = f" display={quoteattr(_clean(address.display_name))}" if address.display_name else ""
    return f"<identity{name}>{escape(str(address.uri))}</identity>"


def _clean(text: str) -> str:
    """Without what XML can't hold."""
    return "".join(char for char in text if char.isprintable() and not "\ud800" <= char <= "\udfff")


def _octets(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()
