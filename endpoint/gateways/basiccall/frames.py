"""Frames: what a client sends, decoded; and what it is sent, with the keys in their order.

The page reads strings where one would expect numbers and lists, and evaluates those of them that
hold lists. So each value is a string, lists are strict JSON in a string, and nothing in them ends a
line for JavaScript.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from endpoint import plaintext
from endpoint.errors import EndpointError
from endpoint.gateways.basiccall.names import CommandName, ErrorCode, EventName, NotBuilt

LARGEST = 65_536
"""Octets of a frame."""
_MOST_PARAMS = 128
_COMMANDS = {str(each): each for each in CommandName}
_NOT_BUILT = frozenset(NotBuilt)


class BadFrame(EndpointError):
    """Nothing that can be done; answered with its code and text."""

    def __init__(self, code: ErrorCode, text: str, command: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.command = command
        """Which one it was, as far as that is known."""


@dataclass(frozen=True, slots=True)
class SPCommand:
    """What a client asks."""

    name: CommandName
    ins: str
    """Its device."""
    delegator_id: str = field(repr=False)
    """By which the session is its own; empty before it has one."""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)


def decode(text: str | bytes) -> SPCommand:
    """A command. Raises BadFrame, whose code says what is wrong with it."""
    found = _object(text)
    name = found.get("command")
    if isinstance(name, str) and name in _NOT_BUILT:
        why = "previews, campaigns and video are not built here: an agent dials by Dial"
        raise BadFrame(ErrorCode.PROCESS_FAILED, f"{name}: {why}", name)
    known = _COMMANDS.get(name) if isinstance(name, str) else None
    if known is None:
        shown = repr(name[:40]) if isinstance(name, str) else "no text"
        raise BadFrame(
            ErrorCode.UNKNOWN_COMMAND,
            f"command: found {shown}, expected a command as Dial",
            name[:64] if isinstance(name, str) else "",
        )
    kind = found.get("objectClass", "SPCommand")
    if kind != "SPCommand":
        raise BadFrame(
            ErrorCode.UNKNOWN_COMMAND, "objectClass: expected SPCommand, found another", known
        )
    ins, delegator_id = found.get("ins"), found.get("delegatorId")
    if not isinstance(ins, str) or not ins:
        raise BadFrame(ErrorCode.INVALID_INS, "ins: expected a device as 6002", known)
    if delegator_id is not None and not isinstance(delegator_id, str):
        raise BadFrame(ErrorCode.DELEGATOR_ID_NO_MATCH, "delegatorId: expected a text", known)
    return SPCommand(known, ins, delegator_id or "", _params(found.get("params"), known))


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        why = f"expected an SPCommand as JSON: {str(error)[:120]}"
        raise BadFrame(ErrorCode.UNKNOWN_COMMAND, why) from None
    if not isinstance(found, dict):
        raise BadFrame(ErrorCode.UNKNOWN_COMMAND, "expected an SPCommand, a JSON object")
    return found


def _params(given: object, command: CommandName) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadFrame(ErrorCode.PROCESS_FAILED, "params: expected an object", command)
    if len(given) > _MOST_PARAMS:
        why = f"params: found {len(given)} keys, expected {_MOST_PARAMS} at most"
        raise BadFrame(ErrorCode.PROCESS_FAILED, why, command)
    return {key: _text(value) for key, value in given.items()}


def _text(value: object) -> str:
    """A parameter as text: pages send numbers, booleans and nulls too."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case _:
            return plaintext.encode(value).decode()


# -- what is sent ---------------------------------------------------------------------------------


class _Response(msgspec.Struct, rename="camel"):
    object_class: str
    command: str
    error_code: str
    error_desc: str
    datas: dict[str, Any]
    agent_infos: dict[str, str]


class _Event(msgspec.Struct, rename="camel"):
    object_class: str
    event: str
    ins: str
    error_code: str
    error_desc: str
    agent_infos: dict[str, str]
    co_infos: dict[str, str]
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class SPResponse:
    """What is answered to a command."""

    command: str
    code: ErrorCode = ErrorCode.SUCC
    text: str = ""
    datas: Mapping[str, Any] = field(default_factory=dict, repr=False)
    agent: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> str:
        """As it goes over the wire."""
        frame = _Response(
            "SPResponse", self.command, str(self.code), self.text, {**self.datas}, {**self.agent}
        )
        return dumped(frame)


@dataclass(frozen=True, slots=True)
class SPEvent:
    """What a client is told; of which device is for the connection to say."""

    name: EventName
    agent: Mapping[str, str] = field(default_factory=dict)
    call: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Empty where the event is about no call: the page keeps what it has then."""
    params: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    """Of what failed."""
    text: str = ""

    def encode(self, ins: str) -> str:
        """As it goes over the wire. The page drops what is not for its own `ins`."""
        frame = _Event(
            "SPEvent",
            str(self.name),
            ins,
            self.code,
            self.text,
            {**self.agent},
            {**self.call},
            {**self.params},
        )
        return dumped(frame)


def dumped(value: object) -> str:
    """Strict JSON that is JavaScript too: two line ends of Unicode end a string there."""
    text = plaintext.encode(value).decode()
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
