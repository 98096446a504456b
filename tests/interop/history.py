"""Random clients of agents against an endpoint that is killed, loses its database and its sockets.

Each command has a key, and is sent again by it: because nobody has answered, as the endpoint was
killed, or for no reason, at the same time or after the answer. Everything that was asked, answered
and told is written down; `invariants` looks at it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import msgspec

from endpoint.client.agents import AgentFrames
from endpoint.client.client import EndpointClient
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.gateways.native import agentmessages as wire
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native import messages

from .invariants import (
    NOT_KEYED,
    Answer,
    Asked,
    Evidence,
    Guess,
    Reading,
    Recorded,
    Row,
    Standing,
    Told,
)
from .serving import Serving, emptied

AGENTS = {str(1000 + number): str(6000 + number) for number in range(1, 6)}
"""Where each works, and is rung; one day of three it is logged on elsewhere."""
SPARE = "6008"
MOVING = ("busy", "workingAfterCall")
"""What an agent is not for long."""
CUSTOMER = "6009"
"""Who answers at once, and calls agents."""
OPS_A_KILL = 500
BUTTONS = {
    "answer": "AnswerCall",
    "hold": "HoldCall",
    "retrieve": "RetrieveCall",
    "transfer": "SingleStepTransfer",
    "record": "StartRecording",
    "clear": "ClearConnection",
}
"""Words of the interface, and what a party may do then."""
PATIENCE_S = 300.0
"""The machine may be busy with something else: nothing is judged by how long it takes."""
LOST = (EndpointUnreachable, aiohttp.ClientError, ConnectionError, TimeoutError)


@dataclass
class History:
    """One run: `async with History(serving, random).opened() as history`; `play`, `evidence`."""

    serving: Serving
    random: random.Random
    told: Evidence = field(
        default_factory=lambda: Evidence(readings={agent: [] for agent in AGENTS})
    )
    owners: dict[str, str] = field(default_factory=dict)
    """The `delegator_id` that was given last; none where the agent has logged off."""
    dead: dict[str, list[str]] = field(default_factory=lambda: {agent: [] for agent in AGENTS})
    """Those that were given before."""
    made: Counter[str] = field(default_factory=Counter)
    """How many commands each client has begun."""
    asked: int = 0
    """How many were answered, of all."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and made anew, when another command was answered."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[History]:
        """With clients of its own, that have patience."""
        token = self.serving.state.stored_token() or ""
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        async with AsyncExitStack() as stack:
            sessions = [
                # Whoever guesses comes from elsewhere: ten wrong ones a minute are all of a source.
                aiohttp.ClientSession(
                    headers=headers,
                    timeout=timeout,
                    connector=aiohttp.TCPConnector(limit=0, local_addr=(f"127.0.0.{source}", 0)),
                )
                for source in range(1, 40)
            ]
            for each in sessions:
                await stack.enter_async_context(each)
            self._session, *self._strangers = sessions
            self.client = await stack.enter_async_context(
                EndpointClient(self.serving.url, token, timeout_s=PATIENCE_S)
            )
            yield self

    # -- what clients do --------------------------------------------------------------------------

    async def log_on(self, agent: str) -> None:
        device = self.random.choice((AGENTS[agent], AGENTS[agent], SPARE))
        wanted = wire.LogOnAgent(
            device,
            ready=self.random.random() < 0.5,
            take_over=self.random.random() < 0.5,
            keep_logged_on=True,
        )
        done = await self._command(agent, "log-on", wanted)
        if done is not None:
            if agent in self.owners:
                self.dead[agent].append(self.owners[agent])
            self.owners[agent] = done.made

    async def ready(self, agent: str) -> None:
        await self._command(agent, "ready")

    async def not_ready(self, agent: str) -> None:
        reason = self.random.choice(("rest", "meal", "meeting"))
        await self._command(agent, "not-ready", wire.NotReady(reason), about=reason)

    async def forced(self, agent: str) -> None:
        await self._command(agent, "not-ready", wire.NotReady("other"), about="other", owned=False)

    async def work_mode(self, agent: str) -> None:
        mode = self.random.choice((0, 3, 6))
        await self._command(agent, "work-mode", wire.ChooseWorkMode(mode), about=str(mode))

    async def finish(self, agent: str) -> None:
        await self._command(agent, "finish-wrap-up")

    async def log_off(self, agent: str) -> None:
        done = await self._command(agent, "log-off")
        if done is not None:
            # In a call the id counts until that is over, or for as long as it is wished otherwise.
            self.owners.pop(agent, None)

    async def dial(self, agent: str) -> None:
        asked = self._asked(agent, "dial")
        # So the record says which request has made the call.
        wanted = messages.MakeCall(AGENTS[agent], CUSTOMER, data={"Key": asked.key})
        await self._send(asked, "/calls", wanted)

    async def ring(self, agent: str) -> None:
        """The customer calls, or another agent does, and it rings until somebody does something."""
        asked = self._asked(agent, "dial")
        caller = self.random.choice((CUSTOMER, CUSTOMER, self._other(agent)))
        wanted = messages.MakeCall(caller, AGENTS[agent], data={"Key": asked.key})
        await self._send(asked, "/calls", wanted)

    async def answer(self, agent: str) -> None:
        await self._of_calls(agent, "answer")

    async def transfer(self, agent: str) -> None:
        """In one step, to who answers or to where it rings."""
        await self._of_calls(agent, "transfer")

    async def hold(self, agent: str) -> None:
        await self._of_calls(agent, "hold")

    async def retrieve(self, agent: str) -> None:
        await self._of_calls(agent, "retrieve")

    async def record(self, agent: str) -> None:
        await self._of_calls(agent, "record")

    async def hang_up(self, agent: str) -> None:
        await self._of_calls(agent, "clear")

    async def guess(self, agent: str) -> None:
        if self.dead[agent]:
            await self._guess(agent, self.random.choice(self.dead[agent]))

    async def _of_calls(self, agent: str, word: str) -> None:
        device = AGENTS[agent]
        body: msgspec.Struct
        match word:
            case "clear":
                body = messages.Clear(device)
            case "transfer":
                destination = self.random.choice((CUSTOMER, self._other(agent)))
                body = messages.TransferTo(device, destination)
            case _:
                body = messages.OfDevice(device)
        # Mostly what a page has a button for, else all that there is.
        wanted = BUTTONS[word] if self.random.random() < 0.8 else ""
        for call in await self._calls():
            if any(
                party.device == device and (not wanted or wanted in party.commands)
                for party in call.parties
            ):
                await self._send(self._asked(agent, word), f"/calls/{call.call}/{word}", body)

    def _other(self, agent: str) -> str:
        return self.random.choice([AGENTS[each] for each in AGENTS if each != agent])

    async def _calls(self) -> list[messages.Call]:
        with suppress(*LOST):
            return await self.client.calls()
        return []

    # -- how it is asked --------------------------------------------------------------------------

    async def _command(
        self,
        agent: str,
        word: str,
        body: msgspec.Struct | None = None,
        *,
        about: str = "",
        owned: bool = True,
    ) -> Answer | None:
        asked = self._asked(agent, f"{word} {about}".strip())
        owner = self.owners.get(agent, "") if owned and word != "log-on" else ""
        await self._send(asked, f"/agents/{agent}/{word}", body, owner)
        return asked.done

    def _asked(self, agent: str, what: str) -> Asked:
        asked = Asked(agent, what, str(UUID(int=self.random.getrandbits(128))))
        self.told.asked.append(asked)
        self.made[agent] += 1
        return asked

    async def _send(
        self, asked: Asked, path: str, body: msgspec.Struct | None, owner: str = ""
    ) -> None:
        """Ask, as often as it takes; one of four commands once more, with or after that."""
        how_often = self.random.choice((1, 1, 1, 2)) if asked.what not in NOT_KEYED else 1
        asked.sent = 0
        together = self.random.random() < 0.5
        async with asyncio.TaskGroup() as group:
            for _ in range(how_often):
                one = group.create_task(self._until_answered(asked, path, body, owner))
                if not together:
                    await asyncio.wait((one,))
        self.asked += 1
        news, self.news = self.news, asyncio.Event()
        news.set()

    async def _until_answered(
        self, asked: Asked, path: str, body: msgspec.Struct | None, owner: str
    ) -> None:
        headers = {"Idempotency-Key": asked.key} | ({wire.DELEGATOR_HEADER: owner} if owner else {})
        async with asyncio.timeout(PATIENCE_S):
            while True:
                asked.sent += 1
                try:
                    answer = await _post(self._session, self._url(path), body, headers)
                except LOST:
                    await asyncio.sleep(0.05)  # it is killed, or starts
                else:
                    asked.answers.append(answer)
                    return

    async def _guess(self, agent: str, old: str) -> None:
        stranger = self._strangers[len(self.told.guesses) % len(self._strangers)]
        with suppress(*LOST):
            headers = {wire.DELEGATOR_HEADER: old}
            answer = await _post(stranger, self._url(f"/agents/{agent}/ready"), None, headers)
            self.told.guesses.append(Guess(agent, answer))

    def _url(self, path: str) -> str:
        return self.serving.url + messages.API + path

    # -- and what happens to them -----------------------------------------------------------------

    async def play(self, ops: int) -> None:
        """All clients at once, so many commands each; every few hundred we are killed.

        Each time the database is locked for a while, and we are killed in that.
        """
        whole = ops * len(AGENTS)
        kills = max(1, whole // OPS_A_KILL)
        span = whole // kills
        async with asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            for agent in AGENTS:
                group.create_task(self._listen(agent, stop))
            async with asyncio.TaskGroup() as clients:
                for agent in AGENTS:
                    clients.create_task(self._ask_things(agent, ops))
                for begin in range(0, kills * span, span):
                    await self._have_asked(begin + span // 4)
                    async with self._locked():
                        soon = self.random.randint(span // 3, span // 2)
                        await self._have_asked(begin + soon)
                        # What was answered is on its way to the database, and must be there after.
                        await self.serving.kill()
                    await self.serving.start()
            await self._settle()
            stop.set()

    async def _ask_things(self, agent: str, count: int) -> None:
        """What it can't ask, as there is no call to hold, is none of them."""
        steps: list[Callable[[str], Awaitable[None]]] = [
            self.log_on,
            self.log_on,
            self.ready,
            self.not_ready,
            self.not_ready,
            self.forced,
            self.work_mode,
            self.finish,
            self.log_off,
            self.dial,
            self.ring,
            self.ring,
            self.answer,
            self.answer,
            self.answer,
            self.hold,
            self.retrieve,
            self.transfer,
            self.record,
            self.hang_up,
            self.hang_up,
            self.guess,
        ]
        while self.made[agent] < count:
            await self.random.choice(steps)(agent)

    async def _have_asked(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.asked < count:
                await self.news.wait()

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self.serving.state.database, isolation_level=None)) as other:
            other.execute("PRAGMA busy_timeout = 60000")
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    async def _listen(self, agent: str, stop: asyncio.Event) -> None:
        """Follow an agent's log through sockets that are lost, each behind the last event."""
        after = 0
        while not stop.is_set():
            reading = Reading(after)
            with suppress(RequestRefused, *LOST):
                async with self.client.agent_events(agent, after=after) as frames:
                    self.told.readings[agent].append(reading)
                    await self._read(frames, reading, stop)
            after = max((each.number for each in reading.events), default=after)
            await asyncio.sleep(0.02)

    async def _read(self, frames: AgentFrames, reading: Reading, stop: asyncio.Event) -> None:
        left = self.random.randint(3, 20)
        while left and not stop.is_set():
            try:
                async with asyncio.timeout(0.2):
                    frame = await anext(frames)
            except TimeoutError:
                continue
            except StopAsyncIteration:
                break
            if isinstance(frame, wire.AgentEventFrame):
                reading.events.append(told_by(frame))
                left -= 1
            elif isinstance(frame, wire.AgentSnapshot):
                reading.missed = reading.missed or frame.missed

    async def _settle(self) -> None:
        """Calls end, and everybody has seen all that was told."""
        async with asyncio.timeout(PATIENCE_S):
            while calls := await self.client.calls():
                for call in calls:
                    # Who has transferred it has no say in it any more.
                    for party in call.parties:
                        if "ClearCall" in party.commands:
                            with suppress(RequestRefused):
                                await self.client.end(party.device, call.call)
                            break
                await asyncio.sleep(0.05)
            while not self._is_settled(await self.client.agents()):  # noqa: ASYNC110 - others read
                await asyncio.sleep(0.05)

    async def _recordings_settled(self) -> None:
        """None is written any more, and the database knows so."""
        notes = self.serving.state.open_recordings
        await emptied(notes)  # each that was asked for is known
        async with asyncio.timeout(PATIENCE_S):
            while await self.client.recordings(state="recording"):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        await emptied(notes)

    def _is_settled(self, agents: list[wire.AgentNow]) -> bool:
        return all(
            each.state not in MOVING
            and any(
                event.number == each.number
                for reading in self.told.readings[each.agent]
                for event in reading.events
            )
            for each in agents
            if each.number
        )

    # -- what is found afterwards -----------------------------------------------------------------

    async def evidence(self) -> Evidence:
        """All of it. Nothing goes on any more."""
        told = self.told
        for agent in AGENTS:
            for old in self.dead[agent][:3]:
                await self._guess(agent, old)
        told.logs = {agent: await self._log_of(agent) for agent in AGENTS}
        told.now = {
            each.agent: Standing(each.state, each.device, each.mode)
            for each in await self.client.agents()
        }
        told.records = [
            (record.call, record.data.get("Key", "")) for record in await self.serving.records()
        ]
        await emptied(self.serving.state.unwritten_agent_events)
        await self._recordings_settled()
        told.rows = _rows_of(self.serving.state.database)
        told.recordings = _recordings_of(self.serving.state.database)
        below = self.serving.state.recordings
        told.files = {
            str(file.relative_to(below)): file.stat().st_size
            for file in below.rglob("*")
            if file.is_file()
        }
        return told

    async def _log_of(self, agent: str) -> list[Told]:
        last = (await self.client.agent(agent)).number
        found: list[Told] = []
        async with asyncio.timeout(PATIENCE_S):
            async with self.client.agent_events(agent, after=0) as frames:
                while len(found) < last:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        found.append(told_by(frame))
        return found


async def _post(
    session: aiohttp.ClientSession,
    url: str,
    body: msgspec.Struct | None,
    headers: dict[str, str],
) -> Answer:
    octets = None if body is None else msgspec.json.encode(body)
    async with session.post(url, data=octets, headers=headers) as answer:
        said: dict[str, Any] = json.loads(await answer.read() or b"{}")
        if answer.status >= 400:
            return Answer(answer.status, said["error"])
        number = said["agent"]["number"] if "agent" in said else said.get("number", 0)
        return Answer(answer.status, "", number, said.get("delegator_id") or said.get("call", ""))


def told_by(frame: wire.AgentEventFrame) -> Told:
    """An event as it was told."""
    return Told(frame.number, frame.event, frame.fields, frame.at)


def _rows_of(database: Path) -> dict[str, Row]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT agent, number, (SELECT count(*) FROM agent_event WHERE agent_event.agent = "
            "agent_session.agent), device FROM agent_session"
        )
        return {agent: Row(number, lines, device or "") for agent, number, lines, device in found}


def _recordings_of(database: Path) -> list[Recorded]:
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT recording, call, state, path, size, text FROM recording")
        return [Recorded(*row) for row in found]


async def set_up(client: EndpointClient) -> None:
    """The directory of the centre."""
    agents = [directory.Agent(agent, wrap_up_s=0.2) for agent in AGENTS]
    await client.bring_into_directory(directory.DirectoryImport(agents=agents))
