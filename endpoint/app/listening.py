"""A TCP listener, and the setting that is in its way where it can't be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from endpoint.app.ports import PortTaken, is_taken
from endpoint.errors import ConfigurationError


async def listener(
    factory: Callable[[], asyncio.Protocol], use: str, host: str, port: int, setting: str
) -> asyncio.Server:
    """Listen for `use`, as `setting` says, which ends with `port`.

    Raises: PortTaken; ConfigurationError.
    """
    try:
        create = partial(asyncio.get_running_loop().create_server, factory)
        dual = host == "::" and socket.has_dualstack_ipv6()
        return await (create(sock=_both_families(port)) if dual else create(host, port))
    except OSError as error:
        if is_taken(error):
            raise PortTaken(use, host, port, setting) from error
        key = setting.replace("port", "host")
        mistake = f"{key}: found {host!r}, expected an address of this machine: {error}"
        raise ConfigurationError([mistake]) from error


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    return int(server.sockets[0].getsockname()[1])


def _both_families(port: int) -> socket.socket:
    """A listening socket on every address, of IPv4 too: asyncio's own takes IPv6 alone at `::`."""
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
