"""`queues`: how the queues of the endpoint that runs are now, and whom they are to call back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from endpoint.app.context import ConfigFile
from endpoint.app.directorycommands import queues_app
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.recordcommands import moment
from endpoint.app.setupcommands import answered
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import queuemessages as wire

__all__ = ["queues_app"]

Code = Annotated[str, typer.Argument(help="The queue's code.")]


@queues_app.command()
def show(config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell of each queue who waits, who could come, and what has become of today's calls."""
    output = Output(as_json)
    queues = answered(output, config, lambda client: client.queues())
    table = listed("queue", "waiting", "longest", "wait", "ready", "busy", "free", "today")
    for each in queues:
        table.add_row(
            each.queue,
            str(sum(one.position > 0 for one in each.waiting)),
            f"{each.longest_s:.0f} s" if each.longest_s else "",
            "" if each.wait_s is None else f"{each.wait_s:.0f} s",
            f"{each.ready} of {each.agents}",
            str(each.busy),
            f"{each.free} of {each.reachable}",
            _today(each.today),
        )
    waiting = listed("queue", "place", "caller", "waits", "priority", "rings at")
    for each in queues:
        for one in each.waiting:
            caller = f"{one.caller}{_called_back(one)}"
            facts = (
                str(one.position or "later"),
                caller,
                f"{one.waited_s:.0f} s",
                str(one.priority),
            )
            waiting.add_row(each.queue, *facts, one.offered_to or "")
    output.result(
        {"ok": True, "queues": queues},
        table if queues else "No queues.",
        waiting if waiting.row_count else "Nobody waits.",
    )


@queues_app.command("call-back")
def ask_call_back(
    queue: Code,
    number: Annotated[str, typer.Argument(help="Whom to call, once an agent is there.")],
    not_before: Annotated[
        str | None, typer.Option(help="Not before, as 2026-11-30T15:00; of this machine's zone.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, help="By default that of the queue.")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Have somebody called back who does not wait: the agent first, then him."""
    output = Output(as_json)
    at = datetime.fromisoformat(moment(not_before, "--not-before")) if not_before else None
    made = answered(
        output,
        config,
        lambda client: client.ask_call_back(queue, number, not_before=at, priority=priority),
    )
    when = "" if made.not_before is None else f", not before {_shown(made.not_before)}"
    done = f"{made.number} is to be called back from {made.queue}{when}"
    output.result({"ok": True, "call_back": made}, good(done))


@queues_app.command()
def withdraw(
    queue: Code,
    number: Annotated[str, typer.Argument(help="Who is to be called back, as `show` tells.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Call somebody back no more."""
    output = Output(as_json)

    async def ask(client: EndpointClient) -> list[str]:
        found = [
            one.call_back_id
            for each in await client.queues()
            if each.queue == queue
            for one in each.waiting
            if one.caller == number and one.call_back_id is not None
        ]
        if not found:
            why = f"{number} is not to be called back from {queue}: agent-endpoint queues show"
            raise CommandFailed(ExitCode.FAILED, why)
        for each in found:
            await client.withdraw_call_back(queue, each)
        return found

    withdrawn = answered(output, config, ask)
    done = f"{number} is called back from {queue} no more"
    output.result({"ok": True, "withdrawn": withdrawn}, good(done))


def _today(day: wire.QueueDay) -> str:
    made = {f"outbound {how}": count for how, count in day.outbound.items()}
    counts = (*sorted(day.outcomes.items()), *sorted(made.items()))
    return ", ".join(f"{count} {how}" for how, count in counts)


def _called_back(one: wire.WaitingCall) -> str:
    if not one.call_back:
        return ""
    later = one.not_before is not None and one.not_before > datetime.now(UTC)
    when = f", not before {_shown(one.not_before)}" if later and one.not_before else ""
    return f", to be called back{when}"


def _shown(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
