"""How a call goes through a flow: pure. A state, what happened, the time; a state, what to do.

Where something takes time there is an end to it: `State.deadline`, or an answer that is owed. No
call visits more than `MOST_VISITS` nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

import msgspec

from endpoint.ivr import flow as f
from endpoint.ivr.flow import Flow, Node, Prompt, Sound, filled, kind_of, sounds_of
from endpoint.ivr.model import (
    Action,
    Announced,
    Answered,
    AskForCallBack,
    AskWebhook,
    Begun,
    CallBackKept,
    CallEnded,
    CompareHash,
    Diverted,
    EndCall,
    EnterQueue,
    Failed,
    GiveData,
    Input,
    KeyPressed,
    LeaveQueue,
    Phase,
    PlayPrompt,
    PromptEnded,
    ResumeMusic,
    ReturnCall,
    State,
    StopPrompt,
    TimePassed,
    TransferTo,
    Visit,
    Visited,
)

MOST_VISITS = 500
MOST_AHEAD = 64
"""Keys that are kept for nodes to come."""
OWED_S = 5.0
"""An answer may come so much later than it should: whoever owes it keeps the time itself."""


def begin(flow: Flow, variables: Mapping[str, str]) -> State:
    """A call that is about to be answered; `variables` are its data and those of `GIVEN`."""
    known = {*f.GIVEN, *flow.expects, *flow.variables}
    given = {name: text for name, text in variables.items() if name in known}
    return State(flow, flow.start, variables={**flow.variables, **given})


def step(state: State, event: Input, now: float) -> tuple[State, tuple[Action, ...]]:
    """What becomes of a call by what happens, and what is to be done then, in order."""
    turn = _Turn(state, now)
    if state.phase is not Phase.OVER:
        turn.take(event)
    return turn.state, tuple(turn.actions)


class _Turn:
    """One step: the state as it becomes, the actions as they come."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.actions: list[Action] = []
        self._to: str | None = None
        """The node to go to."""

    @property
    def _node(self) -> Node:
        return self.state.flow.node[self.state.node]

    def take(self, event: Input) -> None:
        self._happened(event)
        while (name := self._to) is not None:
            self._to = None
            self._arrive(name)

    def _happened(self, event: Input) -> None:
        state = self.state
        match event:
            case Begun():
                if not state.visits:
                    self._to = state.flow.start
            case CallEnded():
                self._over()
            case KeyPressed(key):
                if key in f.KEYS and len(key) == 1:
                    self._pressed(key)
            case TimePassed():
                if state.deadline is not None and self.now >= state.deadline:
                    self._put(deadline=None)
                    self._too_late()
            case PromptEnded(ticket):  # else of a prompt that a key has ended
                if ticket == state.ticket and state.phase in (Phase.PLAYING, Phase.QUEUED):
                    self._prompt_ended()
            case Answered(ticket, values, right):
                if ticket == state.ticket and state.phase is Phase.ASKING:
                    self._answered(values, right)
            case Failed(ticket, reason):
                if ticket == state.ticket and state.phase in _WITH_TICKET:
                    self._failed(reason)
            case Announced(ticket) | Diverted(ticket) | CallBackKept(ticket):
                if ticket == state.ticket and state.phase is Phase.QUEUED:
                    self._queue_says(event)

    # -- nodes ----------------------------------------------------------------------------------

    def _arrive(self, name: str) -> None:
        """Come to a node; what takes no time is done with at once."""
        if name not in self.state.flow.node or len(self.state.visits) >= MOST_VISITS:
            self._end()
            return
        node = self.state.flow.node[name]
        visit = Visit(name, kind_of(node), self.now)
        self._put(node=name, tried=0, keys="", deadline=None, visits=(*self.state.visits, visit))
        self.actions.append(Visited(visit))
        match node:
            case f.Set():
                values = {k: filled(text, self._texts) for k, text in node.values.items()}
                self._put(variables={**self._texts, **values})
                self.actions.append(GiveData(values))
                self._go(node.next)
            case f.Branch():
                found = filled(node.on, self._texts)
                self._go(node.cases.get(found, node.otherwise), found[:MOST_AHEAD])
            case _:
                self._begin(node)

    def _begin(
        self,
        node: (
            f.Play
            | f.Menu
            | f.Collect
            | f.Webhook
            | f.Verify
            | f.Queue
            | f.Transfer
            | f.Return
            | f.HangUp
        ),
    ) -> None:
        """What takes time begins."""
        match node:
            case f.Play() | f.Menu() | f.Collect():
                self._ask(node)
            case f.Webhook():
                secrets = {name: self.state.secrets.get(name, "") for name in node.secrets}
                body = {name: self._texts.get(name, "") for name in node.send} | secrets
                self._begin_asking(node.timeout_s + OWED_S)
                # A value is one part of the address, whatever is in it.
                quoted = {name: quote(text, safe="") for name, text in self._texts.items()}
                url, within = filled(node.url, quoted), tuple(self.state.flow.webhooks)
                ticket = self.state.ticket
                self.actions.append(
                    AskWebhook(ticket, url, body, node.answers, node.timeout_s, within)
                )
            case f.Verify():
                self._begin_asking(OWED_S)
                secret = self.state.secrets.get(node.secret, "")
                key = filled(node.key, self._texts)
                given = filled(node.hash, self._texts)
                self.actions.append(CompareHash(self.state.ticket, secret, given, node.file, key))
            case f.Queue():
                self._begin_waiting(Phase.QUEUED)
                self._put(deadline=self.now + node.max_wait_s)
                queue = filled(node.queue or node.skill, self._texts)
                priority = _priority(filled(node.priority, self._texts))
                self.actions.append(EnterQueue(self.state.ticket, queue, priority, node.music))
            case f.Transfer():
                self._begin_waiting(Phase.LEAVING)
                to = filled(node.to, self._texts)
                self.actions.append(TransferTo(self.state.ticket, to))
            case f.Return():
                self._begin_waiting(Phase.LEAVING)
                self.actions.append(ReturnCall(self.state.ticket))
            case f.HangUp():
                self._end()

    def _ask(self, node: f.Play | f.Menu | f.Collect) -> None:
        """Play its prompt, unless keys are there already that would end it."""
        if not (self.state.ahead and node.barge_in):
            self._put(ahead="")  # of no use to it, and meant for no later one
            self._play(node.prompt)
            return
        self._prompt_ended()
        while self.state.ahead and self._to is None and self.state.phase is Phase.LISTENING:
            key, ahead = self.state.ahead[0], self.state.ahead[1:]
            self._put(ahead=ahead)
            self._pressed(key)

    def _play(self, prompt: Prompt) -> None:
        self._put(phase=Phase.PLAYING, deadline=None, ticket=self.state.ticket + 1)
        sounds = tuple(replace_texts(sound, self._texts) for sound in sounds_of(prompt))
        self.actions.append(PlayPrompt(self.state.ticket, sounds))

    def _prompt_ended(self) -> None:
        match self._node:
            case f.Play(next=following):
                self._go(following)
            case f.Menu(timeout_s=wait_s) | f.Collect(first_digit_s=wait_s):
                self._put(phase=Phase.LISTENING, deadline=self.now + wait_s)
            case f.Queue():
                self.actions.append(ResumeMusic())
            case _:
                pass

    # -- keys -----------------------------------------------------------------------------------

    def _pressed(self, key: str) -> None:
        swallow, node = self.state.swallow, self._node
        self._put(swallow="")
        if swallow and key == swallow:
            return
        if self.state.phase is Phase.LISTENING:
            self._key(key)
        elif self.state.phase is Phase.QUEUED and isinstance(node, f.Queue):
            if node.call_back and key == node.call_back_key:
                number = filled(node.call_back_to, self._texts)
                self.actions.append(AskForCallBack(self.state.ticket, number))
        elif self.state.phase is Phase.PLAYING and getattr(node, "barge_in", False):
            self.actions.append(StopPrompt())
            if isinstance(node, f.Play):
                self._put(ahead=(self.state.ahead + key)[:MOST_AHEAD])
                self._prompt_ended()
            else:
                self._key(key)

    def _key(self, key: str) -> None:
        """A key that the node has asked for."""
        self._put(phase=Phase.LISTENING)
        match self._node:
            case f.Menu() as node:
                if key in node.choices:
                    if node.into is not None:
                        self._put(variables={**self._texts, node.into: key})
                    self._go(node.choices[key], key)
                else:
                    self._in_vain(node, node.invalid, "invalid")
            case f.Collect() as node:
                if node.terminator and key == node.terminator:
                    self._complete(node)
                    return
                self._put(keys=self.state.keys + key, deadline=self.now + node.inter_digit_s)
                if len(self.state.keys) >= node.max_length:
                    self._put(swallow=node.terminator)
                    self._complete(node)
            case _:
                pass

    def _complete(self, node: f.Collect) -> None:
        keys = self.state.keys
        if len(keys) < node.min_length:
            self._in_vain(node, node.invalid, "too_short")
            return
        if node.secret:
            self._put(secrets={**self.state.secrets, node.into: keys})
            self._go(node.next, "•" * len(keys))
        else:
            self._put(variables={**self._texts, node.into: keys})
            self._go(node.next, keys)

    def _in_vain(self, node: f.Menu | f.Collect, target: str, result: str) -> None:
        tried = self.state.tried + 1
        self._put(tried=tried, keys="", ahead="", deadline=None)
        if tried >= node.tries:
            self._go(target, result)
            return
        again = [*sounds_of(node.invalid_prompt)] if result != "no_input" else []
        self._play([*again, *sounds_of(node.prompt)])

    # -- time, answers --------------------------------------------------------------------------

    def _too_late(self) -> None:
        match self._node, self.state.phase:
            case (f.Collect() as node, Phase.LISTENING) if self.state.keys:
                self._complete(node)
            case ((f.Menu() | f.Collect()) as node, Phase.LISTENING):
                self._in_vain(node, node.no_input, "no_input")
            case (f.Queue() as node, _):
                self.actions.append(LeaveQueue(self.state.ticket))
                self._reason("timeout")
                self._go(node.timeout, "timeout")
            case (_, Phase.ASKING):
                self._failed("timed_out")
            case _:
                pass

    def _answered(self, values: Mapping[str, str], right: bool) -> None:
        match self._node:
            case f.Webhook() as node:
                self._put(variables={**self._texts, **values})
                self._go(node.next, "answered")
            case f.Verify() as node:
                self._verified(node, right)
            case _:
                pass

    def _queue_says(self, event: Announced | Diverted | CallBackKept) -> None:
        node = self._node
        if not isinstance(node, f.Queue):
            return
        match event:
            case Announced(ticket, position, wait):
                told = {"position": str(position), "wait": wait}
                self._put(variables={**self._texts, **told})
                prompt = node.announce or (ANNOUNCED_WITH_WAIT if wait else ANNOUNCED)
                sounds = tuple(replace_texts(each, self._texts) for each in sounds_of(prompt))
                self.actions.append(PlayPrompt(ticket, sounds))
            case Diverted(_, destination):
                self._leave("overflow")
                self._begin_waiting(Phase.LEAVING)
                self._put(deadline=None)
                self.actions.append(TransferTo(self.state.ticket, destination))
            case CallBackKept():
                self._go(node.call_back, "call_back")

    def _verified(self, node: f.Verify, right: bool) -> None:
        attempts = self.state.attempts.get(self.state.node, 0) + 1
        # What was keyed in is of no further use.
        secrets = {k: text for k, text in self.state.secrets.items() if k != node.secret}
        self._put(secrets=secrets, attempts={**self.state.attempts, self.state.node: attempts})
        if right:
            self._go(node.next, "right")
        elif attempts >= node.tries:
            self._go(node.wrong, "wrong")
        else:
            self._go(node.again, "wrong")

    def _failed(self, reason: str) -> None:
        self._reason(reason)
        match self._node:
            case f.Webhook(on_failure=target) | f.Transfer(failed=target):
                self._go(target, reason)
            case f.Queue() as node:
                self._go((reason in CROWDED and node.overflow) or node.nobody, reason)
            case f.Return(otherwise=target):
                self._go(target, reason)
            case f.Verify() as node:
                self._verified(node, right=False)
            case _:
                pass

    def _reason(self, reason: str) -> None:
        self._put(variables={**self._texts, "reason": reason})

    # -- inside ---------------------------------------------------------------------------------

    def _begin_asking(self, wait_s: float) -> None:
        self._begin_waiting(Phase.ASKING)
        self._put(deadline=self.now + wait_s)

    def _begin_waiting(self, phase: Phase) -> None:
        self._put(phase=phase, ticket=self.state.ticket + 1, ahead="")

    def _go(self, target: str, result: str = "") -> None:
        """Leave the node for another."""
        self._leave(result)
        self._to = target

    def _leave(self, result: str) -> None:
        if self.state.visits and result:
            visit = replace(self.state.visits[-1], result=result)
            self._put(visits=(*self.state.visits[:-1], visit))
            self.actions.append(Visited(visit))

    def _end(self) -> None:
        self._over()
        self.actions.append(EndCall())

    def _over(self) -> None:
        self._put(phase=Phase.OVER, deadline=None, secrets={}, keys="", ahead="")

    def _put(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)  # type: ignore[arg-type] # names are checked by tests

    @property
    def _texts(self) -> Mapping[str, str]:
        return self.state.variables


def _priority(text: str) -> int | None:
    return int(text) if text in PRIORITIES else None


PRIORITIES = tuple("0123456789")
CROWDED = ("overflow", "full")
"""Why a queue has not kept a call, that go to its `overflow`."""
_PLACE: list[str | Sound] = ["queue_position", Sound(number="{position}")]
ANNOUNCED: Prompt = _PLACE
"""What a caller is told of his place by default,"""
ANNOUNCED_WITH_WAIT: Prompt = [*_PLACE, Sound(ms=300), "queue_wait", Sound(number="{wait}")]
"""and of how long it may take."""
_WITH_TICKET = (Phase.ASKING, Phase.QUEUED, Phase.LEAVING)


def replace_texts(sound: Sound, variables: Mapping[str, str]) -> Sound:
    """A sound with the values of the variables that it speaks."""
    texts = {name: filled(getattr(sound, name), variables) for name in f.SPOKEN}
    return msgspec.structs.replace(sound, **texts) if sound.spoken else sound
