"""`agents`: who is logged on, and what an agent's session can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.directorycommands import agents_app
from endpoint.app.output import Json, Output, good
from endpoint.app.recordcommands import moment
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import agentmessages as wire

__all__ = ["agents_app"]

Agent = Annotated[str, typer.Argument(help="The number by which the agent logs on.")]
Since = Annotated[
    str | None,
    typer.Option(help="From then on: 2026-11-28, 2026-11-28T14:00; local time. Default: today."),
]
Until = Annotated[str | None, typer.Option(help="Up to then. Default: now.")]
Delegator = Annotated[
    str,
    typer.Option(
        "--delegator-id",
        envvar="AGENT_ENDPOINT_DELEGATOR_ID",
        help="As log-on printed it: then it is the agent's own doing, else it is forced.",
    ),
]


@agents_app.command("status")
def show_agents(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every agent: where it is logged on, what it is now, and for how long."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.agents())
    table = Table(box=None, pad_edge=False)
    for title in ("agent", "name", "at", "state", "mode", "for", ""):
        table.add_column(title, overflow="fold")
    for agent in found:
        table.add_row(
            Text(agent.agent),
            Text(agent.name),
            Text(agent.device),
            agent.state,
            "" if agent.mode is None else str(agent.mode),
            _for(agent.since),
            Text(_more(agent), "dim"),
        )
    empty = "There are no agents. Add one: agent-endpoint agents add -h"
    output.result({"ok": True, "agents": found}, table if found else empty)


def _for(since: datetime | None) -> str:
    if since is None:
        return ""
    return _lasted(max(0, int((datetime.now(UTC) - since).total_seconds())))


def _lasted(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes}:{seconds:02}"


def _more(agent: wire.AgentNow) -> str:
    words = [agent.reason]
    if agent.pending is not None:
        after = "logged off" if agent.pending.logs_off else _wish(agent.pending)
        words.append(f"after its call {after}")
    if agent.device and not agent.reachable:
        words.append("its telephone is not registered")
    return ", ".join(word for word in words if word)


def _wish(pending: wire.PendingState) -> str:
    return "ready" if pending.ready else f"not ready {pending.reason}".rstrip()


@agents_app.command("times")
def times(
    agent: Agent,
    since: Since = None,
    until: Until = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """How long an agent was ready, busy, away and why: today, or from one moment to another."""
    output = Output(as_json)
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    words = moment(since or today.isoformat(), "--since"), moment(until, "--until")
    found = answered(output, config, lambda client: client.agent_times(agent, *words))
    whole = sum(each.seconds for each in found.spent)
    table = Table(box=None, pad_edge=False)
    for title in ("state", "reason", "mode", "time", "share", "times"):
        table.add_column(title, justify="left" if title in ("state", "reason") else "right")
    for each in found.spent:
        share = f"{100 * each.seconds / whole:.0f} %" if whole else ""
        time = _lasted(int(each.seconds))
        row = (each.state, each.reason, str(each.mode), time, share, str(each.times))
        table.add_row(*(Text(word) for word in row))
    empty = f"{agent} was not logged on in that time"
    body = {"agent": found.agent, "since": found.since, "until": found.until}
    output.result({"ok": True, **body, "spent": found.spent}, table if found.spent else empty)


@agents_app.command("log-on")
def log_on(
    agent: Agent,
    device: Annotated[str, typer.Argument(help="Where it works: a device of ours.")],
    mode: Annotated[int | None, typer.Option(help="The code of a work mode.")] = None,
    ready: Annotated[bool, typer.Option("--ready", help="Queues may offer calls at once.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also where it is logged on already.")
    ] = False,
    dials_for_skill: Annotated[
        bool | None,
        typer.Option(help="What it dials outside is a call of its skill; else as the directory."),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Log an agent on at a device. It stays so, also without a client, until it is logged off."""
    output = Output(as_json)
    wanted = wire.LogOnAgent(
        device,
        mode=mode,
        ready=ready,
        take_over=take_over,
        keep_logged_on=True,
        dials_for_skill=dials_for_skill,
    )
    found = answered(output, config, lambda client: client.log_on(agent, wanted))
    output.result(
        {"ok": True, "agent": found.agent, "delegator_id": found.delegator_id},
        good(f"{agent} is {found.agent.state} at {device}"),
        Text(f"Whoever shows this delegator id has its session: {found.delegator_id}", "dim"),
        soft_wrap=True,
    )


def _ask(
    agent: str,
    config: ConfigFile,
    as_json: bool,
    what: Callable[[EndpointClient], Awaitable[int]],
    done: str,
) -> None:
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def ask() -> tuple[int, wire.AgentNow]:
        async with running_client(loaded.config) as client:
            return await what(client), await client.agent(agent)

    number, now = output.run(ask())
    later = f" after its call; now it is {now.state}" if now.state == "busy" else ""
    output.result(
        {"ok": True, "number": number, "agent": now},
        good(f"{agent} {done}{later}"),
    )


@agents_app.command("log-off")
def log_off(
    agent: Agent, delegator_id: Delegator = "", config: ConfigFile = None, as_json: Json = False
) -> None:
    """Log an agent off; in a call, after it."""
    _ask(agent, config, as_json, lambda it: it.log_off(agent, delegator_id), "is logged off")


@agents_app.command("ready")
def ready(
    agent: Agent, delegator_id: Delegator = "", config: ConfigFile = None, as_json: Json = False
) -> None:
    """Let queues offer an agent calls; in a call, after it."""
    _ask(agent, config, as_json, lambda it: it.set_ready(agent, delegator_id), "is ready")


@agents_app.command("not-ready")
def not_ready(
    agent: Agent,
    reason: Annotated[str, typer.Option(help="The code of a leave reason.")] = "",
    delegator_id: Delegator = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let queues offer an agent no calls; in a call, after it."""
    _ask(
        agent,
        config,
        as_json,
        lambda it: it.set_not_ready(agent, reason, delegator_id),
        "is not ready",
    )


@agents_app.command("work-mode")
def work_mode(
    agent: Agent,
    mode: Annotated[int, typer.Argument(help="The code of a work mode.")],
    delegator_id: Delegator = "",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Have an agent work in another way."""
    _ask(
        agent,
        config,
        as_json,
        lambda it: it.set_work_mode(agent, mode, delegator_id),
        f"works in mode {mode}",
    )


@agents_app.command("finish-wrap-up")
def finish_wrap_up(
    agent: Agent, delegator_id: Delegator = "", config: ConfigFile = None, as_json: Json = False
) -> None:
    """Say that what there was to do of an agent's last call is done."""
    _ask(
        agent,
        config,
        as_json,
        lambda it: it.finish_wrap_up(agent, delegator_id),
        "has done its work on the call",
    )


@agents_app.command("events")
def events(
    agent: Agent,
    after: Annotated[
        int | None, typer.Option("--from", help="Begin behind the event of this number.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what is told of an agent and of the calls of its device, until Ctrl-C."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def show() -> None:
        async with running_client(loaded.config) as client:
            await client.agent(agent)  # a WebSocket that is refused does not say why
            async with client.agent_events(agent, after=after) as frames:
                async for frame in frames:
                    output.tell(frame, Text(_line(frame)))

    output.run(show())


def _line(frame: wire.AgentFrame) -> str:
    match frame:
        case wire.AgentSnapshot(agent=agent, number=number, missed=missed):
            gap = ", older ones are not kept" if missed else ""
            return f"{number:>6}  {agent.agent} is {agent.state} {agent.device}{gap}".rstrip()
        case wire.AgentEventFrame(number=number, at=at, event=event, fields=fields):
            about = " ".join(
                f"{name}={fields[name]}"
                for name in ("device", "call", "reason", "cause", "by")
                if fields.get(name)
            )
            return f"{number:>6}  {at.astimezone():%H:%M:%S}  {event}  {about}"
        case wire.CredentialsExpiring(expires_at=at):
            return f"        the token is good until {at.astimezone():%H:%M:%S}"
