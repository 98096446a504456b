"""A call in a flow: its state, what may happen to it, and what is to be done then.

What is asked of others (a prompt to be played, a webhook) bears a ticket, and what comes of it says
it: an answer that comes too late is nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from endpoint.ivr.flow import Flow, Sound


class Phase(StrEnum):
    """What a call does at its node."""

    PLAYING = "playing"
    """It hears a prompt."""
    LISTENING = "listening"
    """A key is waited for."""
    ASKING = "asking"
    """A webhook, or a hash, is waited for."""
    QUEUED = "queued"
    """It waits for an agent."""
    LEAVING = "leaving"
    """Another one is called, who is to take it."""
    OVER = "over"
    """Its flow has ended, or it has left."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A node that a call has been at."""

    node: str
    kind: str
    at: float
    """When it came there."""
    result: str = ""
    """What came of it; nothing of what was keyed in secretly."""


@dataclass(frozen=True, slots=True)
class State:
    """A call in a flow."""

    flow: Flow
    node: str
    phase: Phase = Phase.PLAYING
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    deadline: float | None = None
    """When `TimePassed` is to be said."""
    ticket: int = 0
    """Of what was asked last."""
    keys: str = field(default="", repr=False)
    """Keyed in so far at this node."""
    ahead: str = field(default="", repr=False)
    """Keys that came before they were asked for."""
    tried: int = 0
    """Times that this node has asked in vain."""
    attempts: Mapping[str, int] = field(default_factory=dict)
    """Of the nodes that verify."""
    visits: tuple[Visit, ...] = ()
    """The last one is where it is."""
    swallow: str = ""
    """A terminator that may still come after the last key of what was complete without it."""


# -- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """The call is answered."""


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller has pressed a key."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """All of it was played."""

    ticket: int


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline is there."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A webhook's answer, or whether a secret was right (`right`)."""

    ticket: int
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    right: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """What was asked came to nothing: of a webhook, a queue, a transfer, a return."""

    ticket: int
    reason: str
    """A word, as `timed_out`, `nobody`, `busy`."""


@dataclass(frozen=True, slots=True)
class Announced:
    """The queue has the caller told his place, and how many minutes it may take (a text)."""

    ticket: int
    position: int
    wait: str


@dataclass(frozen=True, slots=True)
class Diverted:
    """The queue lets the call go on to a device."""

    ticket: int
    destination: str


@dataclass(frozen=True, slots=True)
class CallBackKept:
    """The caller will be called back."""

    ticket: int


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call has gone: somebody else has taken it, or it is over. Its record says which."""


Input = (
    Begun
    | KeyPressed
    | PromptEnded
    | TimePassed
    | Answered
    | Failed
    | Announced
    | Diverted
    | CallBackKept
    | CallEnded
)


# -- what to do -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayPrompt:
    """Play this, then say `PromptEnded`."""

    ticket: int
    sounds: tuple[Sound, ...]


@dataclass(frozen=True, slots=True)
class StopPrompt:
    """Silence, at once."""


@dataclass(frozen=True, slots=True)
class AskWebhook:
    """POST this, then say `Answered` or `Failed`."""

    ticket: int
    url: str
    body: Mapping[str, str] = field(repr=False)
    answers: Mapping[str, str]
    timeout_s: float
    within: tuple[str, ...]
    """What the address must begin with, whatever variables have made of it."""


@dataclass(frozen=True, slots=True)
class CompareHash:
    """Say `Answered` whether the secret is that of the hash; of `key` in `file` where one is."""

    ticket: int
    secret: str = field(repr=False)
    hash: str = field(repr=False)
    file: str
    key: str


@dataclass(frozen=True, slots=True)
class EnterQueue:
    """Play music and look for an agent. Then `CallEnded`, or `Failed`, or `Diverted`."""

    ticket: int
    queue: str
    priority: int | None
    music: str


@dataclass(frozen=True, slots=True)
class ResumeMusic:
    """An announcement is over: music again."""


@dataclass(frozen=True, slots=True)
class AskForCallBack:
    """The caller wants to be called at this number. Then `CallBackKept`, where he can be."""

    ticket: int
    number: str


@dataclass(frozen=True, slots=True)
class LeaveQueue:
    """Look no more. `Failed` may have been said meanwhile, or `CallEnded` come."""

    ticket: int


@dataclass(frozen=True, slots=True)
class TransferTo:
    """Have somebody called who takes the call. Then `CallEnded`, or `Failed`."""

    ticket: int
    destination: str


@dataclass(frozen=True, slots=True)
class ReturnCall:
    """Give it back to who sent it. Then `CallEnded`, or `Failed`."""

    ticket: int


@dataclass(frozen=True, slots=True)
class GiveData:
    """The call carries this from now on."""

    data: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visited:
    """The call has come to a node; said again, with its result, when something came of it."""

    visit: Visit


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up."""


Action = (
    PlayPrompt
    | StopPrompt
    | AskWebhook
    | CompareHash
    | EnterQueue
    | LeaveQueue
    | ResumeMusic
    | AskForCallBack
    | TransferTo
    | ReturnCall
    | GiveData
    | Visited
    | EndCall
)
