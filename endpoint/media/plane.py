"""The media plane: ports, routes and one clock behind the messages. Runs in any asyncio loop."""

from __future__ import annotations

from collections.abc import Callable

from endpoint.media import messages as m
from endpoint.media.settings import MediaSettings


class Plane:
    """Does what the commands say; `tell` gets each command's answer, and the notices."""

    def __init__(
        self, settings: MediaSettings, tell: Callable[[m.Reply | m.Failed | m.Notice], None]
    ) -> None:
        self._settings = settings
        self._tell = tell

    def handle(self, command: m.AnyCommand) -> None:
        """Do one command. Its answer is told before this returns, but for files that take long."""
        self._tell(m.Failed(command.id, "ports are not built yet"))

    def close(self) -> None:
        """Close every port and finish every recording."""
