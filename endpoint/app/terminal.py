"""A terminal agent: his calls on a screen, and a key for each thing that may be done with them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live

from endpoint.app.agent import Agent
from endpoint.app.agentcall import AgentError, Call
from endpoint.app.agentscreen import CallRow, Screen, drawn
from endpoint.app.keyboard import BACK, DOWN, ENTER, ESCAPE, UP, Keyboard
from endpoint.app.words import in_words
from endpoint.audio.dtmf import DIGITS
from endpoint.callcontrol.commands import CommandName
from endpoint.callcontrol.transitions import NEEDS_OTHER_CALL
from endpoint.client.errors import ClientError
from endpoint.gateways.native import messages as wire

_GLANCE_S = 0.5
"""Between two looks at levels and quality."""
_EVENTS = 50
_QUIET = ("MediaConfirmed", "ServiceInitiated", "CallCleared")
"""Events that say nothing more to a person."""

Act = Callable[[Call], Coroutine[None, None, object]]


class Terminal:
    """Shows an agent, and does what keys ask. `run` ends with the key `q`."""

    def __init__(self, agent: Agent, *, place: str, audio: str, console: Console) -> None:
        self._agent = agent
        self._place = place
        self._audio = audio
        self._console = console
        self._is_well = True
        self._chosen = ""
        self._parties: list[wire.PartyQuality] = []
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._said = ""
        self._is_refused = False
        self._prompt: tuple[str, str, Callable[[str], Coroutine[None, None, object]]] | None = None
        """What is asked for, the word when it is done, and who does it."""
        self._typed = ""
        self._may_be_empty = False
        self._tasks: set[asyncio.Task[None]] = set()
        """What goes on, and ends with the screen."""
        self._live: Live
        self._group: asyncio.TaskGroup

    async def run(self) -> None:
        """Until `q`, which hangs up what is left."""
        for one in await self._agent.client.registrations():
            self._note_registration(one)
        with Live(console=self._console, screen=True, auto_refresh=False) as self._live:
            async with Keyboard().opened() as keyboard, asyncio.TaskGroup() as self._group:
                for work in (self._follow(), self._watch()):
                    self._begin(work)
                self._draw()
                async for key in keyboard:
                    if self._prompt is None and key == "q":
                        break
                    self._press(key)
                    self._draw()
                for task in self._tasks:
                    task.cancel()
            for call in self._agent.calls:
                await call.hang_up()

    # -- what happens -----------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for frame in self._agent.events():
            if frame.registration is not None:
                self._note_registration(frame.registration)
            if self._is_of_interest(frame):
                at = frame.at.astimezone().strftime("%H:%M:%S")
                words = in_words(frame.event, frame.fields)
                self._events.append("".join(one for one in f" {at}  {words}" if one.isprintable()))
            if frame.event == "Delivered" and self._is_own(frame):
                self._console.bell()
            self._draw()
        self._refuse("the endpoint is gone")

    def _is_own(self, frame: wire.EventFrame) -> bool:
        return frame.fields.get("device") == self._agent.device

    def _is_of_interest(self, frame: wire.EventFrame) -> bool:
        """It is about him, or a call of his, and says something to a person."""
        ids = [one.id for one in self._agent.calls]
        if frame.event in _QUIET or frame.registration is not None:
            return False
        if not self._is_own(frame):
            news = frame.event != "Conferenced" and frame.fields.get("far_end") != "accepted"
            return news and frame.fields.get("call") in ids
        return True

    async def _watch(self) -> None:
        """Levels and quality of the call that he talks in, time and again."""
        while True:
            call = next((one for one in self._agent.calls if one.state == "connected"), None)
            parties: list[wire.PartyQuality] = []
            if call is not None:
                try:
                    parties = (await call.quality()).parties
                except ClientError:
                    """It has ended meanwhile."""
            self._parties = [one for one in parties if one.received or one.sent]
            self._draw()
            await asyncio.sleep(_GLANCE_S)

    def _note_registration(self, one: wire.Registration) -> None:
        if one.device == self._agent.device and one.server:
            self._is_well = one.registered
            why = "" if one.registered else f": {one.text or one.cause}"
            word = "registered" if one.registered else "not registered"
            self._place = f"{word} at {one.server}{why}"

    # -- keys -------------------------------------------------------------------------------------

    def _press(self, key: str) -> None:
        if self._prompt is not None:
            self._type(key)
            return
        self._said, self._is_refused = "", False
        calls = self._agent.calls
        call = self._call()
        if key in (UP, DOWN) and call is not None:
            at = calls.index(call) + (1 if key == DOWN else -1)
            self._chosen = calls[at % len(calls)].id
        elif key == "d":
            self._ask("Dial:", "answered", self._agent.dial)
        elif call is None:
            self._refuse(f"no call: {key} means nothing now, d dials")
        elif key in DIGITS[:12]:  # A to D are no keys of a telephone
            self._do(f"{key} is sent", call.press(key))
        elif key == "c":
            self._ask("Consult:", "answered", call.consult)
        elif key == "t":
            two = CommandName.TRANSFER_CALL in self._able(call)
            more = " (nothing: whom the other call is with)" if two else ""
            self._ask(f"Transfer to{more}:", "handed over", call.transfer, may_be_empty=two)
        else:
            self._act(key, call)

    def _act(self, key: str, call: Call) -> None:
        held = call.state == "hold"
        acts: dict[str, tuple[str, Act]] = {
            "a": ("taken", Call.answer),
            "h": ("talking again", Call.retrieve) if held else ("held", Call.hold),
            "s": ("swapped", Call.swap),
            "b": ("back", Call.reconnect),
            "f": ("all talk together", Call.confer),
            "m": ("heard again", Call.unmute) if call.is_muted else ("nobody hears you", Call.mute),
            "x": ("hung up", Call.hang_up),
        }
        if key in acts:
            word, act = acts[key]
            self._do(word, act(call))
        elif key not in (ENTER, ESCAPE, BACK):
            self._refuse(f"{key} means nothing")

    def _ask(
        self,
        prompt: str,
        word: str,
        act: Callable[[str], Coroutine[None, None, object]],
        *,
        may_be_empty: bool = False,
    ) -> None:
        self._prompt, self._typed, self._may_be_empty = (prompt, word, act), "", may_be_empty

    def _type(self, key: str) -> None:
        assert self._prompt is not None
        prompt, word, act = self._prompt
        if key == ENTER:
            self._prompt = None
            if self._typed or self._may_be_empty:
                self._said = f"{prompt} {self._typed} …"
                self._do(word, act(self._typed))
        elif key == ESCAPE:
            self._prompt = None
        elif key == BACK:
            self._typed = self._typed[:-1]
        elif key not in (UP, DOWN):
            self._typed += key

    def _do(self, word: str, work: Awaitable[object]) -> None:
        async def done() -> None:
            try:
                await work
            except (AgentError, ClientError) as error:
                self._refuse(str(error))
            else:
                self._said, self._is_refused = word, False
            self._draw()

        self._begin(done())

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, text: str) -> None:
        self._said, self._is_refused = text, True

    # -- the screen -------------------------------------------------------------------------------

    def _call(self) -> Call | None:
        """The one that was chosen; else one that rings, or he talks in."""
        calls = self._agent.calls
        chosen = next((one for one in calls if one.id == self._chosen), None)
        by_need = sorted(calls, key=lambda one: _NEED.get(one.state, len(_NEED)))
        return chosen or next(iter(by_need), None)

    def _draw(self) -> None:
        calls, chosen = self._agent.calls, self._call()
        width, height = self._console.size
        screen = Screen(
            device=self._agent.device,
            place=self._place,
            is_well=self._is_well,
            clock=f"{datetime.now().astimezone():%H:%M:%S}",
            audio=self._audio,
            calls=[self._row(call) for call in calls],
            chosen=calls.index(chosen) if chosen is not None else 0,
            commands=self._able(chosen),
            parties=self._parties,
            events=list(self._events),
            said=self._said,
            is_refused=self._is_refused,
            prompt=self._prompt[0] if self._prompt is not None else None,
            typed=self._typed,
            width=width,
            height=height,
        )
        self._live.update(drawn(screen), refresh=True)

    def _row(self, call: Call) -> CallRow:
        now = datetime.now(UTC)
        own = call.called if call.direction == "outbound" else call.calling
        return CallRow(
            number=", ".join(call.others) or own,
            name=call.calling_name if call.direction == "inbound" else "",
            state=call.state,
            is_answered=call.is_answered,
            is_muted=call.is_muted,
            seconds=max(0, int((now - (call.began_at or now)).total_seconds())),
        )

    def _able(self, call: Call | None) -> list[str]:
        """What may be asked of the chosen call, and of two together, whichever is chosen."""
        of_two = {name for one in self._agent.calls for name in one.commands} & NEEDS_OTHER_CALL
        return [*(call.commands if call is not None else ()), *sorted(of_two)]


_NEED = {"alerting": 0, "connected": 1, "initiated": 2, "hold": 3}
