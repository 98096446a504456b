"""Documents that are told of devices: well formed, whole, and without what could end them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from signaling.sip.event_documents import (
    DialogState,
    MessageSummary,
    Package,
    PhoneDialog,
    Presence,
    dialog_document,
    presence_document,
    summary_document,
)
from signaling.sip.headers import NameAddr
from signaling.sip.uri import Uri

pytestmark = pytest.mark.unit

DEVICE = Uri.parse("sip:6001@example.com")
PIDF = "{urn:ietf:params:xml:ns:pidf}"
INFO = "{urn:ietf:params:xml:ns:dialog-info}"
RPID = "{urn:ietf:params:xml:ns:pidf:rpid}"


@pytest.mark.parametrize(
    ("presence", "basic", "on_the_phone"),
    [
        (Presence(is_reachable=True), "open", False),
        (Presence(is_reachable=False), "closed", False),
        (Presence(is_reachable=True, is_on_the_phone=True), "open", True),
    ],
)
def test_presence_as_pidf_and_rpid_have_it(presence, basic, on_the_phone) -> None:
    root = ElementTree.fromstring(presence_document(DEVICE, presence))
    assert (root.tag, root.get("entity")) == (f"{PIDF}presence", str(DEVICE))
    assert root.findtext(f"{PIDF}tuple/{PIDF}status/{PIDF}basic") == basic
    assert (next(root.iter(f"{RPID}on-the-phone"), None) is not None) is on_the_phone


def test_dialogs_as_rfc_4235_has_them() -> None:
    dialogs = [
        PhoneDialog("a-1", DialogState.EARLY, False, NameAddr.parse('"Bob" <sip:10086@x>')),
        PhoneDialog("a-2", DialogState.CONFIRMED, True),
    ]
    root = ElementTree.fromstring(dialog_document(DEVICE, 7, dialogs))
    assert (root.get("version"), root.get("state"), root.get("entity")) == (
        "7",
        "full",
        str(DEVICE),
    )
    first, second = root.findall(f"{INFO}dialog")
    assert (first.get("id"), first.get("direction")) == ("a-1", "recipient")
    assert first.findtext(f"{INFO}state") == "early"
    remote = first.find(f"{INFO}remote/{INFO}identity")
    assert remote is not None
    assert (remote.text, remote.get("display")) == ("sip:10086@x", "Bob")
    assert (second.get("direction"), second.findtext(f"{INFO}state")) == ("initiator", "confirmed")
    assert second.find(f"{INFO}remote") is None


def test_no_dialog_is_said_by_an_empty_document() -> None:
    root = ElementTree.fromstring(dialog_document(DEVICE, 0, []))
    assert list(root) == []


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (MessageSummary(), "Messages-Waiting: no\r\nMessage-Account: sip:6001@example.com\r\n"),
        (
            MessageSummary(new=2, old=8),
            (
                "Messages-Waiting: yes\r\nMessage-Account: sip:6001@example.com\r\n"
                "Voice-Message: 2/8\r\n"
            ),
        ),
    ],
)
def test_waiting_messages_as_rfc_3842_has_them(summary: MessageSummary, text: str) -> None:
    assert summary_document(DEVICE, summary).decode() == text


@pytest.mark.parametrize("name", ['"><evil/>', "a&b", "\x00\x0b\x1b", "\udcff", "\u2028", "李"])
def test_a_name_can_not_break_a_document(name: str) -> None:
    dialog = PhoneDialog("a", DialogState.EARLY, False, NameAddr(name, Uri("sip", name, host="x")))
    root = ElementTree.fromstring(dialog_document(DEVICE, 0, [dialog]))
    assert [each.tag for each in root] == [f"{INFO}dialog"]


def test_each_package_has_its_media_type() -> None:
    assert {package: package.content_type for package in Package} == {
        "presence": "application/pidf+xml",
        "dialog": "application/dialog-info+xml",
        "message-summary": "application/simple-message-summary",
    }
