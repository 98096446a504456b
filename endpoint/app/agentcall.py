"""A call as an agent's program sees it: what it is now, what may be done with it, its audio."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

import structlog

from endpoint.app.following import OUT_OF_IT, decided
from endpoint.app.words import why
from endpoint.audio.frame import Samples
from endpoint.client.audio import CallAudio, Heard, ProgramAudio
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.errors import EndpointError
from endpoint.gateways.native import audiomessages
from endpoint.gateways.native import messages as wire

T = TypeVar("T")

log = structlog.get_logger(__name__)


class AgentError(EndpointError):
    """What an agent's program asked for has not come to be; the text says why."""


class CallFailed(AgentError):
    """Nobody took the call, or it ended before what was asked for was done."""

    def __init__(self, text: str, cause: str = "", sip_status: int | None = None) -> None:
        super().__init__(text)
        self.cause = cause
        """A word of docs/call-control.md, as `busy` or `no_answer`."""
        self.sip_status = sip_status
        """What the far end or the network said, where it did."""


class Events(AsyncIterator[wire.EventFrame]):
    """Events from now on, in their order. The iteration ends with the call, or the agent."""

    MOST = 4096
    """So many wait to be read; of more, the oldest are lost."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[wire.EventFrame | None] = asyncio.Queue()

    def put(self, frame: wire.EventFrame) -> None:
        """One more."""
        if self._waiting.qsize() >= self.MOST:
            self._waiting.get_nowait()
        self._waiting.put_nowait(frame)

    def end(self) -> None:
        """No more will come."""
        self._waiting.put_nowait(None)

    async def __anext__(self) -> wire.EventFrame:
        frame = await self._waiting.get()
        if frame is None:
            self._waiting.put_nowait(None)
            raise StopAsyncIteration
        return frame


class Call:
    """One call of an agent. Got from `Agent.dial`, `Agent.incoming` or `Call.consult`.

    Each method returns when what it asks for is so. All raise `RequestRefused` where the call's
    state does not allow it, and `CallFailed` where it came to nothing; the call goes on then.
    """

    def __init__(self, calls: Calls, call: str) -> None:
        self._calls = calls
        self.id = call
        """As the endpoint, its events and its command line name it."""
        self._audio = CallAudio()
        self._known: wire.Call | None = None
        self._over = asyncio.Event()
        self._cause = ""

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.calling} → {self.called} {self.state}>"

    # -- what it is -----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """What the agent is to it: `initiated alerting connected hold queued fail null`."""
        party = self._party
        return "null" if party is None or self.is_over else party.state

    @property
    def is_over(self) -> bool:
        """For the agent; the others may talk on."""
        return self._over.is_set()

    @property
    def cause(self) -> str:
        """Why it is over, as `normal`; empty while it is not."""
        return self._cause

    @property
    def direction(self) -> str:
        """`outbound` or `inbound`."""
        return self._known.direction if self._known else ""

    @property
    def calling(self) -> str:
        """Who dialled."""
        return self._known.calling if self._known else ""

    @property
    def calling_name(self) -> str:
        """How he is shown."""
        return self._known.calling_name if self._known else ""

    @property
    def called(self) -> str:
        """Whom he dialled."""
        return self._known.called if self._known else ""

    @property
    def others(self) -> list[str]:
        """Who else is in it now; not who only listens, or whispers."""
        known, own = self._known, self._party
        return [
            one.device
            for one in (known.parties if known else [])
            if one is not own and one.state not in OUT_OF_IT and one.participation == "active"
        ]

    @property
    def began_at(self) -> datetime | None:
        """When it was answered; until then when it began. By the endpoint's clock."""
        return (self._known.established_at or self._known.started_at) if self._known else None

    @property
    def is_answered(self) -> bool:
        """Somebody has taken it."""
        return self._known is not None and self._known.established_at is not None

    @property
    def data(self) -> Mapping[str, str]:
        """What clients gave to it, and follows it from agent to agent."""
        return self._known.data if self._known else {}

    @property
    def commands(self) -> list[str]:
        """What may be asked of it now, by the names of docs/call-control.md."""
        party = self._party
        return list(party.commands) if party else []

    @property
    def is_muted(self) -> bool:
        """Nobody hears the agent in it."""
        return self._party is not None and self._party.muted

    def events(self) -> Events:
        """What happens in it from now on: `async for event in call.events()`."""
        return self._calls.listen(self.id)

    async def quality(self) -> wire.CallQuality:
        """How its parties are heard and hear: MOS, loss, jitter, level."""
        return await self._calls.client.quality(self.id)

    async def ended(self) -> str:
        """Wait until it is over; returns the cause."""
        await self._over.wait()
        return self._cause

    # -- what may be done -----------------------------------------------------------------------

    async def answer(self) -> None:
        """Take it."""
        device = self._calls.device
        with self._calls.listening(self.id) as frames:
            await self._client.answer(device, self.id)
            await self._calls.in_time(self._established(frames), "answer")

    async def hold(self) -> None:
        """Put it aside; the other end hears music."""
        await self._do(self._client.hold(self._calls.device, self.id))

    async def retrieve(self) -> None:
        """Take it back."""
        await self._do(self._client.retrieve(self._calls.device, self.id))

    async def consult(self, destination: str, *, ring_s: float = 60.0) -> Call:
        """Put it aside and call somebody else; returns that call, when it is answered.

        Raises `CallFailed` where nobody takes it; this call is back then.
        """
        asked = self._client.consult(self._calls.device, self.id, destination)
        return await self._calls.placed(asked, ring_s, first=self)

    async def swap(self) -> None:
        """Talk in the call that is held, and put the other one aside: said of either."""
        held, other = self._calls.pair(self)
        await self._do(self._client.alternate(self._calls.device, held, other))

    async def reconnect(self) -> None:
        """Leave the other call, and go back to the one that is held: said of either."""
        held, other = self._calls.pair(self)
        await self._do(self._client.reconnect(self._calls.device, held, other))

    async def confer(self) -> Call:
        """Bring everybody of both calls together: said of either. Returns the call that goes on."""
        held, other = self._calls.pair(self)
        await self._do(self._client.conference(self._calls.device, held, other))
        return self._calls.call(held)

    async def transfer(self, destination: str = "", *, ring_s: float = 60.0) -> None:
        """Let somebody else take the agent's place, who leaves the call when that one answers.

        Without a destination: let the others of this call and of the one that is held, or of the
        one that is talked in, talk with each other.
        """
        client, device = self._client, self._calls.device
        if destination:
            await self._do(client.transfer(device, self.id, destination), wait_s=ring_s)
        else:
            held, other = self._calls.pair(self)
            await self._do(client.bring_together(device, held, other))

    async def press(self, digits: str) -> None:
        """Send DTMF: `0-9*#A-D`. Returns when all are sent."""
        wait_s = self._calls.patience_s + len(digits)
        await self._do(self._client.press(self._calls.device, self.id, digits), wait_s=wait_s)

    async def mute(self, *, muted: bool = True) -> None:
        """Let nobody hear the agent."""
        if self.is_muted != muted:
            await self._do(self._client.mute(self._calls.device, self.id, muted=muted))

    async def record(self) -> None:
        """Have the call recorded."""
        await self._do(self._client.record(self._calls.device, self.id))

    async def pause_recording(self) -> None:
        """Have silence of the same length on the recording, as for a card number."""
        await self._do(self._client.pause_recording(self._calls.device, self.id))

    async def resume_recording(self) -> None:
        """Go on with a recording that was paused."""
        await self._do(self._client.resume_recording(self._calls.device, self.id))

    async def stop_recording(self) -> None:
        """Record the call no more."""
        await self._do(self._client.stop_recording(self._calls.device, self.id))

    async def unmute(self) -> None:
        """Let all hear him again."""
        await self.mute(muted=False)

    async def give_data(self, **data: str) -> None:
        """Give the call texts by their key; an empty one takes its key away."""
        with self._calls.listening(self.id) as frames:
            await self._client.give_data(self._calls.device, self.id, data)
            if all(self.data.get(key, "") == text for key, text in data.items()):
                return
            await self._calls.in_time(_first(frames, "CallInformation"), "give_data")

    async def hang_up(self) -> None:
        """Leave it; of two, the other one goes too. Harmless where it is over."""
        if not self.is_over:
            await self._client.clear(self._calls.device, self.id)
            await self._calls.in_time(self._over.wait(), "hang_up")

    # -- its audio, where the agent's station is a program ----------------------------------------

    @property
    def audio(self) -> Heard:
        """What is heard from now on: frames of 20 ms, int16, (320,), 16 kHz.

        While the agent talks in another call, none come of this one.
        """
        return self._audio.listen()

    @property
    def digits(self) -> AsyncIterator[str]:
        """What is pressed at the other end, digit by digit."""
        return self._digits()

    async def play(self, samples: Samples) -> bool:
        """Say this, after what waits to be said: int16, one dimension, 16 kHz, of any length.

        Returns when all of it waits to be said; one second may wait at most, so who has more to say
        waits here. False: it was cleared meanwhile, or the call is over.
        """
        return await self._audio.mouth.put(samples)

    async def said(self) -> bool:
        """Wait until all that was played is said. False as in `play`."""
        return await self._audio.mouth.said()

    def clear(self) -> None:
        """Be quiet at once: nothing of what waits is said."""
        self._audio.mouth.clear()

    # -- inside -----------------------------------------------------------------------------------

    def _finish(self, cause: str) -> None:
        """It is over for the agent."""
        self._cause = cause
        self._over.set()
        self._audio.end()

    @property
    def _client(self) -> EndpointClient:
        return self._calls.client

    @property
    def _party(self) -> wire.Party | None:
        return self._calls.party_in(self._known) if self._known else None

    async def _do(self, asked: Awaitable[wire.Accepted], *, wait_s: float | None = None) -> None:
        """Ask, and wait for the event that says what became of it."""
        with self._calls.listening() as frames:
            accepted = await asked
            await self._calls.in_time(
                self._outcome(accepted, frames), accepted.command, wait_s=wait_s
            )

    async def _outcome(self, accepted: wire.Accepted, frames: Events) -> None:
        async for frame in frames:
            if frame.fields.get("call") != accepted.call:
                continue
            found = decided(accepted.command, self._calls.device, frame)
            if found is not None and found.done:
                return
            if found is not None:
                raise failed(found.text, frame)
        raise self._calls.gone()

    async def _established(self, frames: Events) -> None:
        async for frame in frames:
            if frame.event == "Established" and self._calls.is_own(frame):
                return
            if frame.event == "CallCleared":
                raise failed(f"the call ended meanwhile: {why(frame.fields)}", frame)
        raise self._calls.gone()

    async def _digits(self) -> AsyncIterator[str]:
        while (digit := await self._audio.digits.get()) is not None:
            yield digit
        self._audio.digits.put_nowait(None)


class Calls:
    """The calls of one agent: kept by the events of his endpoint, and asked for by its client."""

    def __init__(self, device: str, patience_s: float, audio: ProgramAudio) -> None:
        self.device = device
        self.patience_s = patience_s
        self.client: EndpointClient
        self.tasks: asyncio.TaskGroup
        self.incoming: asyncio.Queue[Call | None] = asyncio.Queue()
        """Those that ring; None at the end."""
        self._audio = audio
        self._calls: dict[str, Call] = {}
        self._telephones: dict[str, audiomessages.AudioAddress] = {}
        """Where the audio of each call is."""
        self.attaching: set[str] = set()
        """Calls whose audio was asked for."""
        self._listeners: weakref.WeakKeyDictionary[Events, str] = weakref.WeakKeyDictionary()
        """Who reads events: of one call, or of all (empty)."""
        self._is_gone = False

    def all(self) -> list[Call]:
        """Those that he is in, or that ring."""
        return list(self._calls.values())

    def call(self, call: str) -> Call:
        """A call by its id."""
        return self._calls.setdefault(call, Call(self, call))

    def listen(self, call: str = "") -> Events:
        """Events from now on, of one call or of all."""
        events = Events()
        if self._is_gone or (call and call not in self._calls):
            events.end()
        self._listeners[events] = call
        return events

    @contextlib.contextmanager
    def listening(self, call: str = "") -> Iterator[Events]:
        """The same, for as long as the body lasts."""
        events = self.listen(call)
        try:
            yield events
        finally:
            self._listeners.pop(events, None)

    async def in_time(self, done: Awaitable[T], what: str, *, wait_s: float | None = None) -> T:
        """Wait, for `patience_s` at most. Raises CallFailed."""
        limit_s = self.patience_s if wait_s is None else wait_s
        try:
            async with asyncio.timeout(limit_s):
                return await done
        except TimeoutError:
            raise CallFailed(f"nothing has come of {what} in {limit_s:g} s") from None

    async def placed(
        self, asked: Awaitable[wire.Accepted], ring_s: float, first: Call | None = None
    ) -> Call:
        """A call that was dialled, when somebody has answered; else it is given up.

        `first` is the call that was put aside for it, and is back then.
        """
        with self.listening() as frames:
            accepted = await asked
            call = self.call(accepted.call)
            try:
                await self.in_time(self._answered(call, frames), "ringing", wait_s=ring_s)
            except BaseException:
                with contextlib.suppress(RequestRefused, AgentError):
                    await call.hang_up()
                    if first is not None and first.state == "hold":
                        await self.in_time(_event_of(frames, first, "Retrieved"), "going back")
                if call.id in self._calls:  # it was over before we knew of it
                    self._finish(call, "")
                raise
        return call

    def pair(self, call: Call) -> tuple[str, str]:
        """The call that is held, and the one beside it; `call` is one of them.

        Raises CallFailed where there are not two.
        """
        rest = [one for one in self._calls.values() if one is not call and one.state != "alerting"]
        if len(rest) != 1:
            raise CallFailed(f"{self.device} is in {len(rest)} other calls, expected one")
        (other,) = rest
        held, beside = (call, other) if call.state == "hold" else (other, call)
        return held.id, beside.id

    def party_in(self, call: wire.Call) -> wire.Party | None:
        """What he is to a call, also when he left it or did not answer and came again."""
        return party_of(self.device, call.parties)

    def is_own(self, frame: wire.EventFrame) -> bool:
        """An event is about him."""
        return frame.fields.get("device") == self.device and not frame.fields.get("from_outside")

    def gone(self) -> EndpointUnreachable:
        """Why nothing more is heard."""
        return EndpointUnreachable("the endpoint is gone; what became of its calls is not known")

    async def _answered(self, call: Call, frames: Events) -> None:
        async for frame in frames:
            if frame.fields.get("call") != call.id:
                continue
            match frame.event:
                case "Established" if not self.is_own(frame):
                    return
                case "Failed" | "CallCleared":
                    text = f"{frame.fields['called']} did not take the call: {why(frame.fields)}"
                    raise failed(text, frame)
                case _:
                    pass
        raise self.gone()

    def take(self, frame: wire.EventFrame) -> None:
        """What has happened."""
        about = str(frame.fields.get("call", ""))
        for known in (frame.call, *frame.others):
            if known is not None:
                self.update(known)
        call = self._calls.get(about)
        if call is not None and frame.event == "Delivered" and self.is_own(frame):
            self.incoming.put_nowait(call)
        for events, wanted in list(self._listeners.items()):
            if wanted in ("", about):
                events.put(frame)
        has_left = frame.event in ("ConnectionCleared", "Failed") and self.is_own(frame)
        if call is not None and (has_left or frame.event == "CallCleared"):
            self._finish(call, str(frame.fields.get("cause") or ""))
        self._mind_audio()

    def renew(self, snapshot: wire.Snapshot) -> None:
        """What is true now: at the beginning, and where events were missed.

        Why a call is over that ended unheard nobody knows: it is lost.
        """
        before = set(self._calls)
        for known in snapshot.calls:
            self.update(known)
        living = {known.call: self.party_in(known) for known in snapshot.calls}
        for call in self.all():
            party = living.get(call.id)
            if party is None or party.state in OUT_OF_IT:
                self._finish(call, "lost")
            elif party.state == "alerting" and call.id not in before:
                self.incoming.put_nowait(call)
        self._mind_audio()

    def update(self, known: wire.Call) -> None:
        """What a call is now."""
        party = self.party_in(known)
        call = self._calls.get(known.call)
        if call is None and (party is None or party.state == "null"):
            return
        if call is None:
            call = self.call(known.call)
        call._known = known

    def _finish(self, call: Call, cause: str) -> None:
        del self._calls[call.id]
        self.attaching.discard(call.id)
        call._finish(cause)
        self._audio.leave(call._audio)
        left = self._telephones.pop(call.id, None)
        if left is not None and all(one.ssrc != left.ssrc for one in self._telephones.values()):
            self._audio.forget(left.ssrc)
        for events, wanted in list(self._listeners.items()):
            if wanted == call.id:
                events.end()

    def end(self) -> None:
        """Nothing more is heard of any call."""
        self._is_gone = True
        self.incoming.put_nowait(None)
        for call in self.all():
            self._finish(call, "lost")
        for events in list(self._listeners):
            events.end()

    # -- audio ------------------------------------------------------------------------------------

    def _mind_audio(self) -> None:
        """Let each telephone of his be that of the call that he talks in."""
        talking = [call for call in self._calls.values() if call.state == "connected"]
        for call in self._calls.values():
            if call not in talking:
                self._audio.leave(call._audio)
            if call.id not in self.attaching and call.state not in ("null", "initiated"):
                self.attaching.add(call.id)
                self.tasks.create_task(self._attach(call), name=f"audio of {call.id}")
        for call in talking:
            if call.id in self._telephones:
                self._audio.attach(self._telephones[call.id], call._audio)

    async def _attach(self, call: Call) -> None:
        """Become the ears and mouth of the agent in a call, where his station is for a program."""
        try:
            address = await self.client.attach_audio(self.device, call.id, self._audio.port)
        except (RequestRefused, EndpointUnreachable) as error:
            log.debug("no audio for a program", call=call.id, reason=str(error))
            return
        if not call.is_over:
            self._telephones[call.id] = address
            self._mind_audio()


async def _event_of(frames: Events, call: Call, event: str) -> None:
    async for frame in frames:
        if frame.event == event and frame.fields.get("call") == call.id:
            return


def party_of(device: str, parties: list[wire.Party]) -> wire.Party | None:
    """What a device is to a call now; it may stand there once more, from before it came again."""
    own = [one for one in parties if one.device == device and not one.from_outside]
    # A place where the device's call is parked counts less than the device itself.
    return max(
        own, key=lambda one: (one.state not in OUT_OF_IT, one.parked_by is None), default=None
    )


def failed(text: str, frame: wire.EventFrame) -> CallFailed:
    """What an event says of why it came to nothing."""
    fields = frame.fields
    return CallFailed(text, str(fields.get("cause") or ""), fields.get("sip_status"))


async def _first(frames: Events, event: str) -> None:
    async for frame in frames:
        if frame.event == event:
            return
