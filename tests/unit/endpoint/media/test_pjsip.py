"""What is said to a PJSIP process and by it; its own code needs the wheel."""

from __future__ import annotations

import importlib.util
import typing

import msgspec
import pytest

from endpoint.media import messages as m
from endpoint.media import pjsip
from endpoint.media.pjsip import messages as w

pytestmark = pytest.mark.unit

OPEN = w.OpenLine(
    uri="sip:6001@pbx.example",
    registrar="sip:pbx.example",
    username="6001",
    password="s3cret-word",
    realm="*",
    display_name="Wei",
    expires_s=60,
    host="",
    port=0,
    audio_host="127.0.0.1",
    over_tcp=False,
    id=1,
)
COMMANDS: list[w.LineCommand] = [
    OPEN,
    w.CloseLine(id=2),
    w.PlaceCall("a", "sip:1@h", "", [("Privacy", "id")], "127.0.0.1", 20000, id=3),
    w.RingCall("a", id=4),
    w.AnswerCall("a", "127.0.0.1", 20000, id=5),
    w.EndCall("a", 486, id=6),
    w.HoldCall("a", True, id=7),
    w.SendDigit("a", "5", 160, False, id=8),
    w.ReferCall("a", "<sip:1@h>", "", id=9),
    m.Ping(id=10),
]
NOTICES: list[w.LineNotice] = [
    w.LineRegistered("sip:6001@h", 60, 5060),
    w.LineFailed(401, "Unauthorized", True),
    w.LineClosed(),
    w.LineFull(),
    w.CallArrived("in-1", b"INVITE", 20000),
    w.CallPlaced("a", "id", 20000),
    w.CallProgress("a", 180, "Ringing"),
    w.CallHeard("a"),
    w.CallConfirmed("a", "id", "x", "y"),
    w.FarEndHeld("a", True),
    w.HoldAnswered("a", 488),
    w.DigitHeard("a", "5", 100),
    w.ReferTold("a", 200, "OK", True),
    w.CallMoved("a", "sip:2@h"),
    w.CallEnded("a", 486, "Busy Here", 17, True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_command_arrives_as_it_was_sent(command: w.LineCommand) -> None:
    assert w.decode_command(m.encode(command)) == command


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_a_notice_arrives_as_it_was_sent(notice: w.LineNotice) -> None:
    assert w.decode_answer(m.encode(notice)) == notice


def test_every_message_is_tried() -> None:
    assert {type(command) for command in COMMANDS} == set(typing.get_args(w.LineCommand))
    assert {type(notice) for notice in NOTICES} == set(typing.get_args(w.LineNotice))


def test_what_was_said_by_nobody_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        w.decode_command(m.encode(m.ClosePort("a")))


def test_the_password_is_never_shown() -> None:
    assert OPEN.password not in repr(OPEN) + str(OPEN) + str(list(OPEN.__rich_repr__()))


def test_what_is_missing_is_said() -> None:
    """And nothing is, where the wheel can be imported."""
    is_there = importlib.util.find_spec("pjsua2") is not None
    assert (pjsip.missing() == "") is is_there
    if not is_there:
        assert "PJSIP" in pjsip.missing()
