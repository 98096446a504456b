"""What a flow is: nodes by their names, each of one kind; a TOML file holds one flow.

These are the types that a file is read into, and from which its JSON Schema is made. Texts may hold
variables in braces, as `{OrderID}`; which there are is said at `Flow`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from endpoint import plaintext

NODE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
KEYS = "0123456789*#ABCD"
LONGEST_TEXT = 4096
"""Characters of a text with its variables' values."""
_PLACE = re.compile(r"\{([A-Za-z0-9_.:-]{1,64})\}")

Target = Annotated[str, Meta(min_length=1, max_length=64)]
"""The name of a node."""
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}\Z")]
Wait = Annotated[float, Meta(gt=0, le=3600)]
Tries = Annotated[int, Meta(ge=1, le=10)]
Length = Annotated[int, Meta(ge=1, le=64)]
Key = Annotated[str, Meta(pattern=r"^[0-9*#A-D]\Z")]
Frequency = Annotated[float, Meta(ge=50, le=3900)]


def variables_in(text: str) -> list[str]:
    """The variables that a text names."""
    return _PLACE.findall(text)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with the values of its variables; one that has none is empty.

    It is cut where it is longer than any use of it, as of `{all}{all}` in a circle of nodes.
    """
    return _PLACE.sub(lambda found: variables.get(found[1], ""), text)[:LONGEST_TEXT]


Language = Literal["en", "zh"]
"""In which digits, numbers and dates are spoken."""
SPOKEN = ("digits", "number", "date")
"""Texts of a sound that are spoken."""


class Sound(Struct, frozen=True, forbid_unknown_fields=True):
    """One part of a prompt: a file, a tone, a pause, or something that is spoken. One of them."""

    file: str = ""
    """A WAV file: beside the flow, in `sounds` of the `[[ivr]]`, or one of the shipped ones."""
    tone_hz: list[Frequency] = []
    """Tones together,"""
    ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """for so long. Without a tone: a pause."""
    digits: str = ""
    """Each digit of a text is spoken by itself, as of an order's number."""
    number: str = ""
    """A number is spoken, as 21 or -12.50: up to 999999."""
    date: str = ""
    """A day is spoken, as 2026-12-25."""
    language: Literal[""] | Language = ""
    """In which it is spoken, or whose file is taken; by default that of the `[[ivr]]`."""

    def kinds(self) -> list[str]:
        """Which of them it says to be."""
        said = [name for name in ("file", *SPOKEN) if getattr(self, name)]
        return said + (["ms"] if self.ms else [])

    @property
    def spoken(self) -> str:
        """What is spoken; empty: nothing is."""
        return self.digits or self.number or self.date


Prompt = str | Sound | list[str | Sound]
"""What is played: the name of a WAV file, a sound, or several of these."""


PROMPTS = ("prompt", "invalid_prompt", "announce")
"""The fields of nodes that are prompts."""


def sounds_of(prompt: Prompt) -> list[Sound]:
    """The parts of a prompt, in order."""
    parts = prompt if isinstance(prompt, list) else [prompt]
    return [Sound(file=part) if isinstance(part, str) else part for part in parts if part]


class _Node(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Base of all kinds."""

    instant: ClassVar[tuple[str, ...]] = ()
    """Fields whose targets may be reached though the caller has done nothing."""
    waiting: ClassVar[tuple[str, ...]] = ()
    """Those that he reaches by a key, or by waiting."""
    optional: ClassVar[tuple[str, ...]] = ()
    """Of `instant`: may be empty, and the call ends there."""


class Play(_Node, frozen=True, tag="play"):
    """Play something."""

    instant: ClassVar[tuple[str, ...]] = ("next",)
    prompt: Prompt
    """What."""
    next: Target
    """Then."""
    barge_in: bool = False
    """A key ends it, and is taken by the next menu or collect; else keys count for nothing."""


class Menu(_Node, frozen=True, tag="menu"):
    """Let the caller choose by one key."""

    instant: ClassVar[tuple[str, ...]] = ("no_input",)
    waiting: ClassVar[tuple[str, ...]] = ("choices", "invalid")
    prompt: Prompt
    """What there is to choose; played again at each try."""
    choices: Annotated[dict[Key, Target], Meta(min_length=1)]
    """Where each key leads, as `{ 1 = "orders", 0 = "agent" }`."""
    no_input: Target
    """Where no key has come at the last try."""
    invalid: Target
    """Where the last try was a key that leads nowhere."""
    into: Variable | None = None
    """A variable that holds the key then."""
    timeout_s: Wait = 5.0
    """So long a key may take, from the end of the prompt."""
    tries: Tries = 3
    """Then it goes on without."""
    invalid_prompt: Prompt = ""
    """Played after a key that leads nowhere, before the next try."""
    barge_in: bool = True
    """A key ends the prompt; else those that come during it count for nothing."""


class Collect(_Node, frozen=True, tag="collect"):
    """Let the caller key something in."""

    instant: ClassVar[tuple[str, ...]] = ("no_input",)
    waiting: ClassVar[tuple[str, ...]] = ("next", "invalid")
    prompt: Prompt
    """What he is asked for; played again at each try."""
    into: Variable
    """The variable that holds it then."""
    next: Target
    """Where it is complete: by its greatest length, the terminator, or a pause."""
    no_input: Target
    """Where no key has come at the last try."""
    invalid: Target
    """Where the last try was too short."""
    min_length: Length = 1
    """Keys without the terminator, at least"""
    max_length: Length = 32
    """and at most."""
    terminator: Annotated[str, Meta(pattern=r"^[0-9*#A-D]?\Z")] = "#"
    """Ends it; empty: none does."""
    first_digit_s: Wait = 6.0
    """So long the first key may take, from the end of the prompt,"""
    inter_digit_s: Wait = 3.0
    """and each further one."""
    tries: Tries = 3
    """Then it goes on without."""
    invalid_prompt: Prompt = ""
    """Played after what was too short, before the next try."""
    barge_in: bool = True
    """A key ends the prompt; else those that come during it count for nothing."""
    secret: bool = False
    """What is keyed in is told to nobody.

    It is in no log, event, data or text: only `verify` and `webhook.secrets` may take it.
    """


class Set(_Node, frozen=True, tag="set"):
    """Set variables, which are data of the call from then on: whoever takes it has them."""

    instant: ClassVar[tuple[str, ...]] = ("next",)
    values: Annotated[dict[Variable, str], Meta(min_length=1)]
    """Texts by the names of variables; an empty one takes it away."""
    next: Target
    """Then."""


class Branch(_Node, frozen=True, tag="branch"):
    """Go on by what a text is."""

    instant: ClassVar[tuple[str, ...]] = ("cases", "otherwise")
    on: str
    """As `{tier}`."""
    cases: Annotated[dict[str, Target], Meta(min_length=1)]
    """Where to go for which text, exactly."""
    otherwise: Target
    """For any other, and where there is none."""


class Webhook(_Node, frozen=True, tag="webhook"):
    """Ask a program of yours: POST a JSON object, take texts from the object that it answers."""

    instant: ClassVar[tuple[str, ...]] = ("next", "on_failure")
    url: Annotated[str, Meta(min_length=8, max_length=2048)]
    """Must begin as one of the flow's `webhooks`."""
    next: Target
    """Where it has answered by a status of 200 to 299 and with what `answers` wants."""
    on_failure: Target
    """Where it has not, in time, or what it said is no use."""
    send: list[Variable] = []
    """Variables that are sent, by their names."""
    secrets: list[Variable] = []
    """The same of secret ones; by https, or to this machine."""
    answers: dict[str, Variable] = {}
    """Fields of the answer, and the variables that take their texts, numbers, true or false."""
    timeout_s: Annotated[float, Meta(gt=0, le=30)] = 5.0
    """The answer must be complete by then; the caller hears silence meanwhile."""


class Verify(_Node, frozen=True, tag="verify"):
    """Compare what was keyed in secretly with a hash (`agent-endpoint ivr hash`)."""

    instant: ClassVar[tuple[str, ...]] = ("next", "wrong", "again")
    secret: Variable
    """Of a `collect` with `secret`."""
    next: Target
    """Where it is right."""
    again: Target
    """Where it is wrong, and may be tried again;"""
    wrong: Target
    """at the last try."""
    hash: str = ""
    """The hash, or a variable that holds it;"""
    file: str = ""
    """or a TOML file beside the flow, of hashes by a key,"""
    key: str = ""
    """which is this, as `{caller}`. A key that is not there is wrong."""
    tries: Tries = 3
    """Then it is `wrong`."""


class Queue(_Node, frozen=True, tag="queue"):
    """Wait for an agent, with music: in a queue, or for whoever has a skill."""

    instant: ClassVar[tuple[str, ...]] = ("nobody", "overflow")
    waiting: ClassVar[tuple[str, ...]] = ("timeout", "call_back")
    optional: ClassVar[tuple[str, ...]] = ("overflow", "call_back")
    nobody: Target
    """Where nobody can come: none is logged on, or there is no such queue, or it is closed."""
    timeout: Target
    """Where nobody has answered by then:"""
    queue: Annotated[str, Meta(max_length=64)] = ""
    """The code of a queue, or a variable that holds one;"""
    skill: Annotated[str, Meta(max_length=64)] = ""
    """or of a skill. One of the two is needed."""
    max_wait_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0
    """so long it may take."""
    priority: Annotated[str, Meta(max_length=64)] = ""
    """0 to 9, or a variable: a higher one goes first. Empty, or none: that of the queue."""
    music: str = ""
    """A WAV file, over and over; by default that of the queue, else the music on hold."""
    overflow: str = ""
    """Where it has become too long, or too many wait; by default as `nobody`."""
    announce: Prompt = ""
    """Played when the queue announces: `{position}`, `{wait}`. By default both are spoken."""
    call_back: str = ""
    """Where the caller has asked to be called back, and his place is kept. Empty: he can't."""
    call_back_key: Key = "1"
    """By this key,"""
    call_back_to: Annotated[str, Meta(min_length=1, max_length=128)] = "{caller}"
    """at this number."""


class Transfer(_Node, frozen=True, tag="transfer"):
    """Let a device or an outside number take the call."""

    instant: ClassVar[tuple[str, ...]] = ("failed",)
    to: Annotated[str, Meta(min_length=1, max_length=128)]
    """As is dialled, as `6001` or `{agent}`."""
    failed: Target
    """Where it was not answered."""


class Return(_Node, frozen=True, tag="return"):
    """Give the call back to the agent who sent it here, with its data.

    Who waits for it has it back at once; one who has left is called.
    """

    instant: ClassVar[tuple[str, ...]] = ("otherwise",)
    optional: ClassVar[tuple[str, ...]] = ("otherwise",)
    otherwise: str = ""
    """Where there is no such agent, or he does not answer; by default the call ends."""


class HangUp(_Node, frozen=True, tag="hangup"):
    """End the call."""


Node = Play | Menu | Collect | Set | Branch | Webhook | Verify | Queue | Transfer | Return | HangUp
KINDS: dict[str, type[Node]] = {
    "play": Play,
    "menu": Menu,
    "collect": Collect,
    "set": Set,
    "branch": Branch,
    "webhook": Webhook,
    "verify": Verify,
    "queue": Queue,
    "transfer": Transfer,
    "return": Return,
    "hangup": HangUp,
}


def kind_of(node: Node) -> str:
    """As the file says it."""
    return next(kind for kind, made in KINDS.items() if made is type(node))


GIVEN = {
    "caller": "who calls, as he is shown",
    "called": "the IVR's code, as it was called",
    "agent": "the device that sent the call here; empty where nobody did",
    "call": "the call's name, as in events",
    "reason": "why the last webhook, queue, transfer or return came to nothing",
    "position": "the place in the queue that was announced last",
    "wait": "how many minutes that may take; empty where nobody knows",
}
"""Variables that are always there."""


class Flow(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One flow.

    Its variables are those that are always there (`GIVEN`), its own, the call's data, what callers
    key in, and what webhooks answer.
    """

    start: Target
    """The node where a call begins."""
    node: Annotated[dict[str, Node], Meta(min_length=1, max_length=500)]
    """`[node.NAME]`: what is done there, by its `kind`."""
    title: Annotated[str, Meta(max_length=128)] = ""
    """What it is, for a person."""
    expects: list[Variable] = []
    """Data of the call that it reads, as `OrderID`; empty where the call carries none."""
    variables: dict[Variable, str] = {}
    """More of them, and how they begin."""
    webhooks: list[str] = []
    """What addresses of webhooks begin with, as `https://crm.example.com/ivr/`. None else is asked.
    """


def targets(node: Node) -> Iterator[tuple[str, str, bool]]:
    """Where a node leads: field (`choices.1`), node, and whether the caller need do nothing."""
    kind = type(node)
    for names, instant in ((kind.instant, True), (kind.waiting, False)):
        for name in names:
            value = getattr(node, name)
            if isinstance(value, dict):
                for key, target in value.items():
                    yield f"{name}.{key}", target, instant
            elif value or name not in kind.optional:
                yield name, value, instant


def texts_of(node: Node) -> Iterator[tuple[str, str]]:
    """The texts of a node that may hold variables, by their fields."""
    match node:
        case Play() | Menu() | Collect():
            for field in ("prompt", "invalid_prompt"):
                for sound in sounds_of(getattr(node, field, "")):
                    yield from ((field, getattr(sound, spoken)) for spoken in SPOKEN)
        case Set():
            for name, text in node.values.items():
                yield f"values.{name}", text
        case Branch():
            yield "on", node.on
        case Webhook():
            yield "url", node.url
        case Verify():
            yield "hash", node.hash
            yield "key", node.key
        case Queue():
            for field in ("queue", "skill", "priority", "call_back_to"):
                yield field, getattr(node, field)
            for sound in sounds_of(node.announce):
                yield from (("announce", getattr(sound, spoken)) for spoken in SPOKEN)
        case Transfer():
            yield "to", node.to
        case Return() | HangUp():
            return


def schema() -> dict[str, Any]:
    """The JSON Schema of a flow's file."""
    # In JavaScript, whose patterns JSON Schema takes, `$` is the very end.
    text = plaintext.encode(msgspec.json.schema(Flow)).replace(rb"\\Z", b"$")
    made: dict[str, Any] = msgspec.json.decode(text)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flow of agent-endpoint's IVR",
        **made,
    }
