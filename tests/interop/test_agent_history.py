"""F16: whatever happens, an agent's history holds: a check of eight invariants, by seeds.

Besides: F2 and F6 for a client that holds on to its session.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import agentmessages as wire

from .history import AGENTS, CUSTOMER, PATIENCE_S, SPARE, Acknowledged, History, set_up
from .serving import Serving, emptied

pytestmark = pytest.mark.interop

OPS = 90
BOUNDS = ("AgentLoggedOn", "AgentLoggedOff")
SEEDS = range(1, 21)
DEVICES = (*AGENTS.values(), SPARE, CUSTOMER)
SETTINGS = {"AGENTS__WRAP_UP": "all", "CALLS__DIALS_PER_MINUTE": 10_000, "CALLS__AT_ONCE": 100}


def serving(directory: Path) -> Serving:
    tones = {device: 500.0 + 100 * number for number, device in enumerate(DEVICES)}
    return Serving(directory / "endpoint", stations=tones, settings=SETTINGS)


def folded(log: list[wire.AgentEventFrame]) -> dict[str, Any]:
    """What a client would know of its agent by the log alone."""
    known: dict[str, Any] = {"state": "null", "reason": "", "device": "", "mode": None}
    states = {
        "AgentReady": "ready",
        "AgentNotReady": "notReady",
        "AgentBusy": "busy",
        "AgentWorkingAfterCall": "workingAfterCall",
        "AgentLoggedOff": "null",
    }
    for frame in log:
        if "mode" in frame.fields:
            known |= {"mode": frame.fields["mode"], "device": frame.fields["device"]}
        if frame.event in states:
            known |= {"state": states[frame.event], "reason": frame.fields.get("reason", "")}
        if frame.event == "AgentLoggedOff":
            known |= {"mode": None, "device": ""}
    return known


def is_in(log: list[wire.AgentEventFrame], command: Acknowledged) -> bool:
    """Whether what was answered is there: the log up to it says so, as far as one event can."""
    before = log[: command.number]
    if len(before) < command.number:
        return False
    word, _, about = command.what.partition(" ")
    for frame in reversed(before):
        if frame.event == "AgentLoggedOn":
            return word in ("log-on", "ready") or frame.number == command.number
        match word:
            case "log-on" if frame.event == "OwnerReplaced":
                return True
            case "log-off" if frame.event == "AgentLoggedOff":
                return True
            case "log-off" if frame.event == "AgentPendingState":
                return bool(frame.fields["logs_off"])
            case "work-mode" if frame.fields.get("mode") == int(about or -1):
                return True
            case "not-ready" if frame.event in ("AgentNotReady", "AgentPendingState"):
                return frame.fields.get("reason") == about
            case "ready" if frame.event in ("AgentReady", "AgentPendingState"):
                return True
            case _:
                continue
    return False


@pytest.mark.parametrize(
    "seed", [pytest.param(each, marks=() if each == 1 else pytest.mark.soak) for each in SEEDS]
)
async def test_f16_a_history_of_agents_holds(tmp_path: Path, seed: int) -> None:
    async with serving(tmp_path) as endpoint:
        await set_up(endpoint.client)
        history = History(endpoint, random.Random(seed))
        await history.play(OPS)
        logs = {agent: await history.log_of(agent) for agent in AGENTS}
        now = {each.agent: each for each in await endpoint.client.agents()}
        records = Counter(record.call for record in await endpoint.records())
        await emptied(endpoint.state.unwritten_agent_events)
        rows = rows_of(endpoint.state.database)
        for agent, log in logs.items():
            told = history.told[agent]
            # I1: one session at a time; I5: and one owner of it.
            bounds = [
                each.event for each in log if each.event in ("AgentLoggedOn", "AgentLoggedOff")
            ]
            assert bounds[::2] == ["AgentLoggedOn"] * len(bounds[::2])
            assert bounds[1::2] == ["AgentLoggedOff"] * len(bounds[1::2])
            for old in list(history.dead[agent])[:3]:
                with pytest.raises(RequestRefused):
                    await endpoint.client.finish_wrap_up(agent, old)
            # I2: what was answered is there.
            missing = [each for each in history.done[agent] if not is_in(log, each)]
            assert missing == []
            # I4: gapless, once, in one order, and the same for whoever reads it and when.
            assert told.faults == []
            assert [each.number for each in log] == list(range(1, len(log) + 1))
            assert told.frames == {each.number: (each.event, each.fields) for each in log}
            # I8: server, database and clients know the same.
            known = folded(log)
            assert (known["state"], known["device"], known["mode"]) == (
                now[agent].state,
                now[agent].device,
                now[agent].mode,
            )
            assert rows.get(agent) == (len(log), len(log), now[agent].device or None)
        # I1: and nobody at the device of another.
        seats = [each.device for each in now.values() if each.device]
        assert len(seats) == len(set(seats))
        # I3: one record a call.
        assert {call: records[call] for call in history.calls} == dict.fromkeys(history.calls, 1)
        # I7: nothing is told twice of one step of a call.
        for log in logs.values():
            ends = Counter(
                (each.fields["call"], each.fields["device"], each.fields["connection"])
                for each in log
                if each.event == "ConnectionCleared"
            )
            assert [key for key, times in ends.items() if times > 1] == []
        assert history.sockets_lost >= len(AGENTS)


def rows_of(database: Path) -> dict[str, tuple[int, int, str | None]]:
    """Of each agent: its log's last number, how many lines there are, where it is logged on."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(
            "SELECT agent, number, (SELECT count(*) FROM agent_event WHERE agent_event.agent = "
            "agent_session.agent), device FROM agent_session"
        )
        return {agent: (number, lines, device) for agent, number, lines, device in found}


async def test_f2_an_agents_session_outlives_a_kill_in_a_call(tmp_path: Path) -> None:
    """The wish of the call, the id, the log: all there; the call ends in it, as lost."""
    async with serving(tmp_path) as endpoint:
        await set_up(endpoint.client)
        logged_on = await endpoint.client.log_on("1001", wire.LogOnAgent("6001", ready=True))
        owner, seen = logged_on.delegator_id, []
        async with endpoint.client.agent_events("1001", owner, after=0) as frames:
            call = (await endpoint.client.make_call("6001", CUSTOMER)).call
            async with asyncio.timeout(PATIENCE_S):
                while not seen or seen[-1].event != "Established":
                    frame = await anext(frames)
                    seen += [frame] if isinstance(frame, wire.AgentEventFrame) else []
            wanted = await endpoint.client.set_not_ready("1001", "meal", owner)
            await endpoint.kill()
            with suppress(StopAsyncIteration):
                while isinstance(frame := await anext(frames), wire.AgentEventFrame):
                    seen.append(frame)
        await endpoint.start()
        client = endpoint.client
        async with client.agent_events("1001", owner, after=seen[-1].number) as frames:
            async with asyncio.timeout(PATIENCE_S):
                while seen[-1].event != "AgentNotReady":
                    frame = await anext(frames)
                    seen += [frame] if isinstance(frame, wire.AgentEventFrame) else []
        assert [each.number for each in seen] == list(range(1, seen[-1].number + 1))
        assert seen[-1].number > wanted
        ends = [each for each in seen if each.event in ("ConnectionCleared", "CallCleared")]
        assert [each.fields["cause"] for each in ends] == ["lost", "lost"]
        assert {each.fields["call"] for each in ends} == {call}
        names = [each.event for each in seen]
        assert names.index("CallCleared") < names.index("AgentWorkingAfterCall")
        assert (await client.agent("1001")).reason == "meal"
        assert await client.set_ready("1001", owner) > wanted


@pytest.mark.parametrize(
    "away_s",
    [0.5, pytest.param(4, marks=pytest.mark.soak), pytest.param(20, marks=pytest.mark.soak)],
)
async def test_f6_who_loses_its_socket_in_a_call_comes_back_and_has_missed_nothing(
    tmp_path: Path, away_s: float
) -> None:
    async with serving(tmp_path) as endpoint:
        client = endpoint.client
        await set_up(client)
        logged_on = await client.log_on("1001", wire.LogOnAgent("6001", ready=True))
        owner, seen = logged_on.delegator_id, [0]
        async with client.agent_events("1001", owner, after=0) as frames:
            call = (await client.make_call("6001", CUSTOMER)).call
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        seen.append(frame.number)
                        if frame.event == "Established":
                            break
            # No farewell: the far end finds the connection reset.
            frames._socket._response.connection.transport.abort()  # type: ignore[union-attr]  # ours
        await client.hold("6001", call)
        await asyncio.sleep(away_s)  # real time is what is asked here
        await client.retrieve("6001", call)
        async with client.agent_events("1001", owner, after=seen[-1]) as frames:
            async with asyncio.timeout(PATIENCE_S):
                names: list[str] = []
                while "Retrieved" not in names:
                    frame = await anext(frames)
                    if isinstance(frame, wire.AgentEventFrame):
                        seen.append(frame.number)
                        names.append(frame.event)
            now = await client.agent("1001")
        assert seen == list(range(len(seen)))
        assert names.count("Held") == 1
        assert (now.state, now.is_owned) == ("busy", True)
        assert [each.call for each in await client.calls()] == [call]
