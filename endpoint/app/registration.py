"""`agent-endpoint register`: one account at an outside sipWsServer, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from rich.text import Text

from endpoint.app.exitcodes import ExitCode
from endpoint.app.facts import outside_account, server_host, sip_config
from endpoint.app.output import CommandFailed, Output
from endpoint.app.settings import AccountSettings, Config, is_loopback
from endpoint.legs.base import DeviceRegistered, DeviceUnregistered
from endpoint.legs.line import OutsideAccounts
from signaling.user_agent import UserAgent


async def keep_registered(
    config: Config, account: AccountSettings, output: Output, *, once: bool, timeout_s: float
) -> None:
    """Register and stay so; with `once`, un-register when it worked.

    Raises `CommandFailed` when the first attempt fails, or takes too long.
    """
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
        worked = False
        try:
            async with asyncio.timeout(timeout_s) as limit:
                async for event in user_agent.registration_events():
                    notice = await accounts.take(event)
                    if notice is None:
                        continue
                    if isinstance(notice, DeviceUnregistered) and not worked:
                        raise CommandFailed(
                            ExitCode.REGISTRATION_FAILED,
                            notice.text or str(notice.cause),
                            {"cause": str(notice.cause), "sip_status": notice.sip_status},
                        )
                    _show(notice, output, first=not worked)
                    if once:
                        return
                    worked = True
                    limit.reschedule(None)
        except TimeoutError:
            raise CommandFailed(
                ExitCode.REGISTRATION_FAILED,
                f"{account.server} did not answer in {timeout_s:g} s",
                {"cause": "unreachable", "sip_status": None},
            ) from None


def _show(notice: DeviceRegistered | DeviceUnregistered, output: Output, *, first: bool) -> None:
    """The first is the command's one result; later ones are for a person to see."""
    if isinstance(notice, DeviceRegistered):
        told = f"{notice.device} is registered at {notice.server} for {notice.expires_s} s"
        shown = Text.assemble(("✔ ", "green"), told, (f"  {notice.contact}", "dim"))
        if not first:
            output.progress(shown)
            return
        output.result(
            {
                "ok": True,
                "device": notice.device,
                "server": notice.server,
                "contact": notice.contact,
                "expires_s": notice.expires_s,
            },
            shown,
        )
    else:
        why = notice.text or str(notice.cause)
        output.progress(Text.assemble(("✘ ", "bold red"), f"{notice.device}: {why}"))
