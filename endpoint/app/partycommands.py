"""Commands that bring others into calls: `consult`, `conference`, `transfer`, `monitor`, `add`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import typer

from endpoint.app.asking import CallOption, Device, How, command, other_call, with_options
from endpoint.callcontrol.commands import CommandName
from endpoint.client.client import EndpointClient
from endpoint.gateways.native import messages as wire

parties_app = typer.Typer()

Destination = Annotated[str, typer.Argument(help="A number or a device, as 6002.")]
Beside = Annotated[str, typer.Argument(help="Whose call: a device in it, as 6001.")]
BesidesCall = Annotated[
    str | None, typer.Option("--call", help="Which call, if that one has several.")
]
HeldCall = Annotated[str | None, typer.Option("--call", help="Which call, if it holds several.")]
OtherCall = Annotated[
    str | None, typer.Option("--other", help="The other call, if it is in more than two.")
]


@parties_app.command()
@with_options(wait_s=90.0)
def consult(how: How, device: Device, destination: Destination, call: CallOption = None) -> None:
    """Put a device's call aside and call somebody else.

    Waits until that one has answered, or does not. Ctrl-C waits no longer; it goes on ringing.
    """
    _to(CommandName.CONSULTATION_CALL, EndpointClient.consult, device, destination, call, how)


@parties_app.command()
@with_options(wait_s=10.0)
def swap(how: How, device: Device, call: HeldCall = None, other: OtherCall = None) -> None:
    """Take the held call back and put the other one aside."""
    _of_two(CommandName.ALTERNATE_CALL, EndpointClient.alternate, device, call, other, how)


@parties_app.command()
@with_options(wait_s=10.0)
def reconnect(how: How, device: Device, call: HeldCall = None, other: OtherCall = None) -> None:
    """Leave the other call and take the held one back; or take back whom the device has lent."""

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.reconnect(who, which, other or "")

    command(CommandName.RECONNECT_CALL, device, call, ask, how)


@parties_app.command()
@with_options(wait_s=10.0)
def conference(how: How, device: Device, call: HeldCall = None, other: OtherCall = None) -> None:
    """Bring everybody of both calls of a device together."""
    _of_two(CommandName.CONFERENCE_CALL, EndpointClient.conference, device, call, other, how)


@parties_app.command()
@with_options(wait_s=90.0)
def transfer(
    how: How,
    device: Device,
    destination: Annotated[
        str | None,
        typer.Argument(help="Who takes the device's place; by default who is in its other call."),
    ] = None,
    other: OtherCall = None,
    call: CallOption = None,
) -> None:
    """Transfer a device's call; the device leaves when the other has answered.

    Waits until it has, or does not. Ctrl-C waits no longer; the transfer goes on.
    """
    if destination is None:
        name = CommandName.TRANSFER_CALL
        _of_two(name, EndpointClient.bring_together, device, call, other, how)
    elif other is None:
        name = CommandName.SINGLE_STEP_TRANSFER
        _to(name, EndpointClient.transfer, device, destination, call, how)
    else:
        raise typer.BadParameter("expected a destination, or --other CALL, or neither")


@parties_app.command()
@with_options(wait_s=90.0)
def add(
    how: How,
    device: Device,
    destination: Destination,
    silent: Annotated[
        bool, typer.Option("--silent", help="It only listens; the others do not hear it.")
    ] = False,
    call: CallOption = None,
) -> None:
    """Call somebody into a device's call. Waits until that one has answered, or does not."""

    async def ask(client: EndpointClient, who: str, which: str, whom: str) -> wire.Accepted:
        return await client.add(who, which, whom, silent=silent)

    _to(CommandName.SINGLE_STEP_CONFERENCE, ask, device, destination, call, how)


@parties_app.command()
@with_options(wait_s=90.0)
def lend(how: How, device: Device, destination: Destination, call: CallOption = None) -> None:
    """Let a device's other party talk with somebody, and have it back when that one hangs up.

    The device waits with music. Waits until that one has answered, or does not.
    """
    _to(CommandName.LEND_CALL, EndpointClient.lend, device, destination, call, how)


@parties_app.command()
@with_options(wait_s=90.0)
def deflect(how: How, device: Device, destination: Destination, call: CallOption = None) -> None:
    """Send a call that rings at a device on. Waits until the other has answered, or does not."""
    _to(CommandName.DEFLECT_CALL, EndpointClient.deflect, device, destination, call, how)


@parties_app.command()
@with_options(wait_s=60.0)
def monitor(how: How, device: Device, beside: Beside, call: BesidesCall = None) -> None:
    """Listen to another device's call; nobody there hears it."""
    _join("silent", device, beside, call, how)


@parties_app.command()
@with_options(wait_s=60.0)
def whisper(how: How, device: Device, beside: Beside, call: BesidesCall = None) -> None:
    """Join another device's call, so that it alone hears what is said."""
    _join("whisper", device, beside, call, how)


@parties_app.command()
@with_options(wait_s=60.0)
def barge(how: How, device: Device, beside: Beside, call: BesidesCall = None) -> None:
    """Join another device's call and talk with everybody there."""
    _join("active", device, beside, call, how)


@parties_app.command()
@with_options(wait_s=60.0)
def intercept(how: How, device: Device, beside: Beside, call: BesidesCall = None) -> None:
    """Take another device's place in its call; that one is let go."""

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.intercept(who, which, beside)

    command(CommandName.INTERCEPT_CALL, device, call, ask, how, beside=beside)


@parties_app.command()
@with_options(wait_s=10.0)
def park(
    how: How,
    device: Device,
    at: Annotated[str, typer.Argument(help="A device or any number, by which it is picked up.")],
    call: CallOption = None,
) -> None:
    """Leave a device's call, whose other party waits with music until somebody picks it up."""
    _to(CommandName.PARK_CALL, EndpointClient.park, device, at, call, how)


@parties_app.command("pick-up")
@with_options(wait_s=60.0)
def pick_up(
    how: How,
    device: Device,
    beside: Annotated[str, typer.Argument(help="Where it rings or is parked, as 6001 or 701.")],
    call: BesidesCall = None,
) -> None:
    """Take the call that rings, or is parked, at another device."""

    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.pick_up(who, which, beside)

    command(CommandName.DIRECTED_PICKUP_CALL, device, call, ask, how, beside=beside)


# -- inside -----------------------------------------------------------------------------------


To = Callable[[EndpointClient, str, str, str], Awaitable[wire.Accepted]]
"""Asks for something about a device in a call, and a destination or another call."""


def _to(
    name: CommandName, ask: To, device: str, destination: str, call: str | None, how: How
) -> None:
    async def to(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await ask(client, who, which, destination)

    command(name, device, call, to, how)


def _of_two(
    name: CommandName, ask: To, device: str, call: str | None, other: str | None, how: How
) -> None:
    """About the call that the device holds, and the other one."""

    async def of_two(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await ask(client, who, which, other or await other_call(client, who, which))

    command(name, device, call, of_two, how)


def _join(
    participation: Literal["silent", "whisper", "active"],
    device: str,
    beside: str,
    call: str | None,
    how: How,
) -> None:
    async def ask(client: EndpointClient, who: str, which: str) -> wire.Accepted:
        return await client.join(who, which, beside, participation)

    command(CommandName.JOIN_CALL, device, call, ask, how, beside=beside)
