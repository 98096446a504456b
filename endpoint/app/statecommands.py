"""What the endpoint that runs says of itself: `status`, `trunks`, `quality`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from endpoint.app.asking import CallOption, only_call
from endpoint.app.bancommands import how_to_lift, why_banned
from endpoint.app.context import ConfigFile, running_client
from endpoint.app.output import Json, Output, listed
from endpoint.app.setupcommands import answered, loaded_or_fail
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import messages as wire

state_app = typer.Typer()


@state_app.command()
def status(config: ConfigFile = None, as_json: Json = False) -> None:
    """Devices, registrations, calls and bans of the endpoint that runs."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> tuple[
        wire.Health,
        list[wire.DeviceState],
        list[wire.Registration],
        list[wire.Call],
        list[wire.Ban],
    ]:
        async with running_client(loaded.config) as client:
            return (
                await client.health(),
                await client.devices(),
                await client.registrations(),
                await client.calls(),
                await client.bans(),
            )

    health, devices, registrations, calls, bans = output.run(main())
    where = listed("device", "is", "reached at", name="Devices")
    # Where it is reached goes before why it is not reached elsewhere.
    by_use = sorted(registrations, key=lambda one: one.registered)
    places = {one.device: one for one in by_use}
    for device in devices:
        place = places.get(device.device)
        at = "" if place is None else _whereabouts(place)
        state = "in a call" if device.calls else "reachable" if device.reachable else "away"
        where.add_row(device.device, state, Text(at))
    going = listed("call", "from", "to", "parties", name="Calls")
    for call in calls:
        parties = ", ".join(
            f"{party.device} {party.state}" for party in call.parties if party.state != "null"
        )
        going.add_row(call.call, call.calling, call.called, parties)
    found = {
        "ok": health.ok,
        "health": health,
        "devices": devices,
        "registrations": registrations,
        "calls": calls,
        "bans": bans,
    }
    banned = [
        Text(f"! {why_banned(ban)}; to lift it: {how_to_lift(ban)}", "yellow") for ban in bans
    ]
    alarms = [Text(f"! {alarm}", "bold red") for alarm in health.alarms]
    output.result(found, where, going if calls else "No calls.", *banned, *alarms)


@state_app.command()
def trunks(config: ConfigFile = None, as_json: Json = False) -> None:
    """Trunks of the endpoint that runs, their peers, and why one takes no calls."""
    output = Output(as_json)
    found = answered(output, config, lambda client: client.trunks())
    table = listed("trunk", "is", "calls", "peer", "is", "because")
    for trunk in found:
        calls = (
            f"{trunk.calls}" if trunk.most_calls is None else f"{trunk.calls}/{trunk.most_calls}"
        )
        head = (trunk.trunk, trunk_state(trunk), calls)
        for number, peer in enumerate(trunk.peers):
            cells = (*(head if number == 0 else ("", "", "")), peer.peer, peer.state)
            table.add_row(*cells, Text(peer.text))
    result = {"ok": all(trunk.up for trunk in found), "trunks": found}
    output.result(result, table if found else "No trunks.")


def trunk_state(trunk: wire.Trunk) -> str:
    """What is known of a trunk; before a peer has answered calls may go there all the same."""
    states = {peer.state for peer in trunk.peers}
    if "up" in states:
        return "up" if trunk.up else "down"
    return "not known yet" if "unknown" in states else "down"


def _whereabouts(place: wire.Registration) -> str:
    if place.registered and place.server == "browser":
        return "a browser's page"
    return place.contact or place.text or place.cause


@state_app.command()
def quality(
    device: Annotated[
        str | None, typer.Argument(help="The device of ours, as 6001; by default all calls.")
    ] = None,
    call: CallOption = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """How the parties of calls are heard and hear, and why there is no audio."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def main() -> list[wire.CallQuality]:
        async with running_client(loaded.config) as client:
            if call is not None:
                return [await client.quality(call)]
            if device is not None:
                return [await client.quality(await only_call(client, device))]
            found = []
            for one in await client.calls():
                with suppress(RequestRefused):  # it has ended meanwhile
                    found.append(await client.quality(one.call))
            return found

    calls = output.run(main())
    shown = [drawn for one in calls for drawn in _quality(one)]
    output.result({"ok": True, "calls": calls}, *(shown or ["No calls."]))


_WELL = frozenset({"fine", "beginning", "held", "not_routed", "no_far_end"})
"""Nothing is wrong: it is meant so. The page says the same."""


def _quality(call: wire.CallQuality) -> list[RenderableType]:
    """A line for each direction of each party, and a word about what is not fine."""
    table = listed(
        "device",
        "audio",
        "is",
        "MOS",
        "loss",
        "jitter",
        "level",
        "round trip",
        name=f"Call {call.call}",
        right=("MOS", "loss", "jitter", "level", "round trip"),
    )
    notes: list[RenderableType] = []
    for party in call.parties:
        for way, audio in (("from it", party.received), ("to it", party.sent)):
            if audio is None:
                table.add_row(party.device, way, Text("no network between", "dim"))
                continue
            is_fine, is_well = audio.diagnosis == "fine", audio.diagnosis in _WELL
            table.add_row(
                party.device,
                way,
                Text(audio.diagnosis.replace("_", " "), "green" if is_well else "bold red"),
                _figure(audio.mos, ""),
                _figure(audio.loss_percent, " %"),
                _figure(audio.jitter_ms, " ms"),
                _figure(audio.level_dbov, " dBov"),
                _figure(party.round_trip_ms, " ms"),
            )
            if not is_fine:
                notes.append(Text(f"{party.device}, {way}: {audio.text}"))
    ways = [
        Text(f"{party.device}: " + " · ".join(filter(None, (party.codec, party.protection))))
        for party in call.parties
        if party.codec or party.protection
    ]
    return [table, *ways, *notes]


def _figure(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.1f}{unit}"
