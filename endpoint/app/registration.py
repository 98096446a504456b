"""`agent-endpoint register`: one account at an outside sipWsServer, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError
from rich.text import Text

from endpoint.app.asking import Device, Wait
from endpoint.app.config import Loaded
from endpoint.app.context import ConfigFile
from endpoint.app.exitcodes import ExitCode
from endpoint.app.mistakes import expected
from endpoint.app.output import CommandFailed, Json, Output, good
from endpoint.app.settings import AccountSettings, Config, is_loopback
from endpoint.app.setupcommands import loaded_or_fail
from endpoint.legs.base import DeviceRegistered, DeviceUnregistered


def register(
    device: Device,
    server: Annotated[
        str | None,
        typer.Option(
            help="wss://host/path, ws://…, sip:host; else its account in the configuration."
        ),
    ] = None,
    username: Annotated[str | None, typer.Option(help="By default the device.")] = None,
    domain: Annotated[str | None, typer.Option(help="By default the server's host.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM of the CA to trust for wss.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="Holds the password.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    expires: Annotated[int | None, typer.Option(help="Seconds to ask for; 600.", min=10)] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Register, un-register, leave: a test of an account.")
    ] = False,
    wait: Wait = 30.0,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Register a device at an outside sipWsServer and keep it so; Ctrl-C takes it back.

    What the options say goes before what its account in the configuration says.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    if password_stdin and password_file is not None:
        raise typer.BadParameter("give one of --password-file or --password-stdin")
    password = SecretStr(sys.stdin.readline().rstrip("\r\n")) if password_stdin else None
    options = {
        "server": server,
        "username": username,
        "domain": domain,
        "ca": ca,
        "password": password,
        "password_file": password_file,
        "expires_s": expires,
    }
    account = _account(loaded, device, {key: said for key, said in options.items() if said})
    output.run(keep_registered(loaded.config, account, output, once=once, timeout_s=wait))


def _account(loaded: Loaded, device: str, said: dict[str, Any]) -> AccountSettings:
    """The device's account as configured, with what the options said put over it."""
    configured = next(
        (one for one in (*loaded.config.account, *loaded.config.agent) if one.device == device),
        None,
    )
    fields: dict[str, Any] = configured.model_dump() if configured else {"device": device}
    if "password" in said or "password_file" in said:
        fields |= {"password": None, "password_file": None}
    fields |= said
    if "server" not in fields:
        raise typer.BadParameter(f"{device} has no account in the configuration; give --server")
    if not fields.get("password") and not fields.get("password_file"):
        if not sys.stdin.isatty():
            raise typer.BadParameter("give one of --password-file or --password-stdin")
        fields["password"] = SecretStr(typer.prompt("Password", hide_input=True))
    try:
        return AccountSettings.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        option = str(fault["loc"][0] if fault["loc"] else "server").removesuffix("_s")
        hint = "DEVICE" if option == "device" else f"--{option}"
        told = fault["type"] == "value_error"
        text = str(fault["ctx"]["error"]) if told else f"expected {expected(fault)}"
        raise typer.BadParameter(text, param_hint=hint) from error


async def keep_registered(
    config: Config, account: AccountSettings, output: Output, *, once: bool, timeout_s: float
) -> None:
    """Register and stay so; with `once`, un-register when it worked.

    Raises `CommandFailed` when the first attempt fails, or takes too long.
    """
    # Imported at use: no other command is a telephone by itself.
    from endpoint.app.facts import outside_account, server_host, sip_config
    from endpoint.legs.line import OutsideAccounts
    from signaling.user_agent import UserAgent

    agent = sip_config(config).user_agent
    if not is_loopback(server_host(account.server)) and is_loopback(config.sip.host):
        # An address of loopback would lead nowhere from there: tell the one that faces the server.
        agent = replace(agent, transport=replace(agent.transport, advertised_host=None))
    async with UserAgent(agent) as user_agent:
        if account.server.startswith("sip:") and not account.over_tls:
            host = "127.0.0.1" if is_loopback(server_host(account.server)) else "0.0.0.0"
            await user_agent.listen_udp(host, 0)
        accounts = OutsideAccounts(user_agent)
        accounts.add(outside_account(account))
        worked: DeviceRegistered | None = None
        try:
            async with asyncio.timeout(timeout_s) as limit:
                async for event in user_agent.registration_events():
                    notice = await accounts.take(event)
                    if notice is None:
                        continue
                    if isinstance(notice, DeviceUnregistered) and worked is None:
                        raise CommandFailed(
                            ExitCode.REGISTRATION_FAILED,
                            notice.text or str(notice.cause),
                            {"cause": str(notice.cause), "sip_status": notice.sip_status},
                        )
                    is_first = worked is None
                    if isinstance(notice, DeviceRegistered):
                        worked = notice
                    if once:
                        break
                    _show(notice, output, first=is_first)
                    limit.reschedule(None)
        except TimeoutError:
            raise CommandFailed(
                ExitCode.REGISTRATION_FAILED,
                f"{account.server} did not answer in {timeout_s:g} s",
                {"cause": "unreachable", "sip_status": None},
            ) from None
    if once and worked is not None:  # taken back by now
        told = f"{worked.device} could register at {worked.server}, and has un-registered again"
        output.result(_facts(worked), good(told))


def _facts(notice: DeviceRegistered) -> dict[str, object]:
    return {
        "ok": True,
        "device": notice.device,
        "server": notice.server,
        "contact": notice.contact,
        "expires_s": notice.expires_s,
    }


def _show(notice: DeviceRegistered | DeviceUnregistered, output: Output, *, first: bool) -> None:
    """The first is the command's one result; later ones are for a person to see."""
    if isinstance(notice, DeviceRegistered):
        told = f"{notice.device} is registered at {notice.server} for {notice.expires_s} s"
        shown = Text.assemble(("✔ ", "green"), told, (f"  {notice.contact}", "dim"))
        if not first:
            output.progress(shown)
            return
        output.result(_facts(notice), shown)
    else:
        why = notice.text or str(notice.cause)
        output.progress(Text.assemble(("✘ ", "bold red"), f"{notice.device}: {why}"))
