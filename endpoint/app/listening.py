"""A TCP listener, and the setting that is in its way where it can't be."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial

from endpoint.app.ports import PortTaken, is_taken
from endpoint.errors import ConfigurationError

ACCEPTED_AT_A_TIME = 8
"""Connections of one listener in one round of the event loop.

asyncio opens those of three rounds before the first of them can be refused: so many descriptors are
taken that nobody granted.
"""
WAITING_LONGEST = 1024
"""Connections that the kernel keeps until they are accepted.

Who comes when there are more tries again a second later (TCP's first time-out).
"""


async def listener(
    factory: Callable[[], asyncio.Protocol], use: str, host: str, port: int, setting: str
) -> asyncio.Server:
    """Listen for `use`, as `setting` says, which ends with `port`.

    Raises: PortTaken; ConfigurationError.
    """
    try:
        create = partial(
            asyncio.get_running_loop().create_server, factory, backlog=ACCEPTED_AT_A_TIME
        )
        dual = host == "::" and socket.has_dualstack_ipv6()
        server = await (create(sock=_both_families(port)) if dual else create(host, port))
    except OSError as error:
        if is_taken(error):
            raise PortTaken(use, host, port, setting) from error
        key = setting.replace("port", "host")
        mistake = f"{key}: found {host!r}, expected an address of this machine: {error}"
        raise ConfigurationError([mistake]) from error
    for each in server.sockets:  # asyncio's backlog is the length of the kernel's queue, too
        with socket.socket(fileno=os.dup(each.fileno())) as listening:
            listening.listen(WAITING_LONGEST)
    return server


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    return int(server.sockets[0].getsockname()[1])


def _both_families(port: int) -> socket.socket:
    """A listening socket on every address, of IPv4 too: asyncio's own takes IPv6 alone at `::`."""
    return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
