"""`sound list` and `sound use`: which sound devices there are, and which ones a station has."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from endpoint.app.context import ConfigFile, running_client
from endpoint.app.output import Json, Output, listed
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.gateways.native import audiomessages as wire

sound_app = typer.Typer(help="Sound devices of stations.", no_args_is_help=True)

Gain = Annotated[float | None, typer.Option(min=-60, max=30, help="Louder or softer, in dB.")]


@sound_app.command("list")
def list_sound(as_json: Json = False) -> None:
    """The sound devices of this machine, by the names that settings and commands take."""
    from endpoint.media.devicelink import list_devices  # at use: it starts a process of media

    output = Output(as_json)
    found = output.run(list_devices())
    table = listed("name", "in", "out", "is", "also called")
    for device in found:
        defaults = [
            *(["default input"] if device.is_default_input else []),
            *(["default output"] if device.is_default_output else []),
        ]
        table.add_row(
            Text(device.name),
            str(device.inputs or "–"),
            str(device.outputs or "–"),
            ", ".join(defaults),
            Text(device.text, "dim"),
        )
    none = "No sound device is there. A station may have null, tone:HZ or file:PATH instead."
    output.result({"ok": True, "devices": found}, table if found else none)


@sound_app.command("use")
def use_sound(
    device: Annotated[str, typer.Argument(help="Whose station, as 6002.")],
    microphone: Annotated[
        str | None,
        typer.Option("--input", help="A name of `sound list`, null, or tone:HZ."),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option("--output", help="A name of `sound list`, or null.")
    ] = None,
    ringer: Annotated[str | None, typer.Option(help="A name of `sound list`, or null.")] = None,
    input_gain_db: Gain = None,
    output_gain_db: Gain = None,
    ringer_gain_db: Gain = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Give a station other sound devices, also in a call; without options, show what it has."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    choice = wire.ChooseSound(
        input=microphone,
        output=speaker,
        ringer=ringer,
        input_gain_db=input_gain_db,
        output_gain_db=output_gain_db,
        ringer_gain_db=ringer_gain_db,
    )

    async def choose() -> wire.Sound:
        async with running_client(loaded.config) as client:
            if choice == wire.ChooseSound():
                return await client.sound(device)
            return await client.choose_sound(device, choice)

    sound = output.run(choose())
    table = listed("use", "sound device", "gain", "is")
    for part in sound.parts:
        state = Text(f"not there: {part.failure}", "bold red") if part.failure else Text("")
        table.add_row(part.use, Text(part.name), f"{part.gain_db:g} dB", state)
    output.result({"ok": True, "sound": sound}, table)
