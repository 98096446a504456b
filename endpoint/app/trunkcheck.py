"""What the doctor says of trunks: whether their peers answer, and what their calls would meet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from endpoint.app.facts import server_host, sip_config
from endpoint.app.settings import Config, is_loopback
from endpoint.app.trunksettings import TrunkPeerSettings, TrunkSettings
from signaling.errors import TransportError
from signaling.sip.headers import NameAddr
from signaling.sip.identity import ANONYMOUS
from signaling.sip.uri import Uri
from signaling.user_agent import OutOfDialogRequest, UserAgent

ASK_S = 3.0
"""How long a peer may take for its answer."""
Finding = tuple[bool, str, str]
"""Whether no call can work, what was found, and what to do about it."""


async def findings(config: Config, trunk: TrunkSettings) -> list[Finding]:
    """All that is wrong with a trunk; nothing where it may work."""
    found = list(_settings(config, trunk))
    if any(fatal for fatal, _, _ in found):
        return found
    for peer in trunk.peers:
        text = await _ask(config, peer)
        if text:
            cure = "check its address, and that it lets this machine in"
            found.append((len(trunk.peers) == 1, f"{peer.uri}: {text}", cure))
    return found


def _settings(config: Config, trunk: TrunkSettings) -> Iterator[Finding]:
    elsewhere = [peer.uri for peer in trunk.peers if not is_loopback(peer.host)]
    if trunk.account:
        server = next(each.server for each in config.account if each.device == trunk.account)
        elsewhere = [] if is_loopback(server_host(server)) else [server]
    if elsewhere and is_loopback(config.media.host):
        text = f"{elsewhere[0]} is elsewhere, but media is bound to {config.media.host}"
        yield True, text, 'set host = "0.0.0.0" at the top of the file'
    if trunk.peers and not trunk.trusted_networks:
        yield False, "its calls need a digest, for no address of it is known", "set networks"
    if not trunk.incoming:
        text = "its calls are refused unless a rule of the dial plan takes them: it has no incoming"
        cure = (
            'incoming = [{ match = "+4930123450", to = "6001" }], or agent-endpoint plan add --in'
        )
        yield False, text, cure


async def _ask(config: Config, peer: TrunkPeerSettings) -> str:
    """Send OPTIONS from a port of our own; empty where anything came back."""
    settings = sip_config(config).user_agent
    local = is_loopback(peer.host)
    transport = replace(settings.transport, advertised_host=None, advertised_port=None)
    async with UserAgent(replace(settings, transport=transport, close_timeout_s=0.1)) as agent:
        target = Uri.parse(peer.uri)
        options = OutOfDialogRequest(
            method="OPTIONS", target=target, from_=ANONYMOUS, to=NameAddr("", target)
        )
        try:
            await agent.listen_udp("127.0.0.1" if local else "0.0.0.0", 0)
            async with asyncio.timeout(ASK_S):
                done = await agent.request(options)
        except TimeoutError:
            return f"no answer to OPTIONS in {ASK_S:g} s"
        except TransportError as error:
            return str(error)
        return str(done.error) if done.error is not None else ""
