"""Ports that are taken, and by whom: found in /proc, as far as this user may look."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from endpoint.errors import EndpointError


class PortTaken(EndpointError):
    """Somebody else listens where we want to."""

    def __init__(self, use: str, host: str, port: int, setting: str, udp: bool = False) -> None:
        owner = find_owner(port, udp=udp)
        kind = "UDP" if udp else "TCP"
        by = f" by {owner}" if owner else ""
        super().__init__(
            f"{kind} port {port} on {host}, wanted for {use}, is taken{by}; stop that, or set "
            f"{setting} to another port"
        )
        self.port = port
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a socket."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


def is_taken(error: OSError) -> bool:
    """Whether a failed bind means that the port is in use."""
    return error.errno == errno.EADDRINUSE


def can_bind(host: str, port: int, *, udp: bool) -> OSError | None:
    """What stands in the way of listening there; None where nothing does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if not udp:  # as asyncio's servers do: a connection in TIME_WAIT is no listener
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def find_owner(port: int, *, udp: bool, proc: Path = Path("/proc")) -> Owner | None:
    """Who listens on a port. None where it can't be seen (not Linux, another user's)."""
    inodes = _inodes(port, "udp" if udp else "tcp", proc)
    if not inodes:
        return None
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        # It may end while we look, or be another user's.
        with suppress(OSError):
            if any(_target(link) in inodes for link in (entry / "fd").iterdir()):
                return Owner(int(entry.name), (entry / "comm").read_text().strip())
    return None


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # closed while we looked
        return ""


def _inodes(port: int, kind: str, proc: Path) -> set[str]:
    """Sockets bound to a port, as /proc/PID/fd names them."""
    found: set[str] = set()
    for table in (kind, kind + "6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            listening = state == ("07" if kind == "udp" else "0A")
            if listening and int(local.rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{inode}]")
    return found
