"""`queues`: how the queues of the endpoint that runs are now."""

from __future__ import annotations

from endpoint.app.context import ConfigFile
from endpoint.app.directorycommands import queues_app
from endpoint.app.output import Json, Output, listed
from endpoint.app.setupcommands import answered

__all__ = ["queues_app"]


@queues_app.command()
def show(config: ConfigFile = None, as_json: Json = False) -> None:
    """Tell of each queue who waits, who could come, and what has become of today's calls."""
    output = Output(as_json)
    queues = answered(output, config, lambda client: client.queues())
    table = listed("queue", "waiting", "longest", "wait", "ready", "busy", "free", "today")
    for each in queues:
        table.add_row(
            each.queue,
            str(len(each.waiting)),
            f"{each.longest_s:.0f} s" if each.waiting else "",
            "" if each.wait_s is None else f"{each.wait_s:.0f} s",
            f"{each.ready} of {each.agents}",
            str(each.busy),
            f"{each.free} of {each.reachable}",
            ", ".join(f"{count} {how}" for how, count in sorted(each.today.outcomes.items())),
        )
    waiting = listed("queue", "place", "caller", "waits", "priority", "rings at")
    for each in queues:
        for one in each.waiting:
            caller = f"{one.caller}, to be called back" if one.call_back else one.caller
            facts = (str(one.position), caller, f"{one.waited_s:.0f} s", str(one.priority))
            waiting.add_row(each.queue, *facts, one.offered_to or "")
    output.result(
        {"ok": True, "queues": queues},
        table if queues else "No queues.",
        waiting if waiting.row_count else "Nobody waits.",
    )
