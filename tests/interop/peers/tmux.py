"""tmux: a terminal of 80×24 for a program, its keys pressed and its screen read."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from .feed import PeerError
from .process import require


class Tmux:
    """`async with Tmux(directory, [program, …]) as terminal`: the program, in a terminal of its.

    Args:
        directory: for tmux's socket; what is shown last stays there as `screen.log`.
        arguments: the program.
        environment: more variables for it.
    """

    def __init__(
        self,
        directory: Path,
        arguments: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._program = require("tmux", "tmux")
        self._directory = directory
        self._socket = directory / "tmux"
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        program = shlex.join(["env", *variables, *map(str, arguments)])
        # Its last words stay, and how it ended is said, whatever tmux makes of that.
        self._command = f'{program}; echo "ended with $?"; exec cat'

    async def __aenter__(self) -> Self:
        size = ("-x", "80", "-y", "24")
        await self._tmux("-f", "/dev/null", "new-session", "-d", *size, self._command)
        return self

    async def __aexit__(self, *_: object) -> None:
        (self._directory / "screen.log").write_text(await self.screen())
        await self._tmux("kill-server")

    async def press(self, *keys: str) -> None:
        """Press keys, by tmux's names of them."""
        await self._tmux("send-keys", *keys)

    async def screen(self) -> str:
        """All 24 lines."""
        return await self._tmux("capture-pane", "-p")

    async def shows(
        self, is_right: Callable[[str], bool], what: str, *, timeout_s: float = 40.0
    ) -> str:
        """Wait until the screen is so, and return it.

        Raises:
            PeerError: it never was; the text holds the last screen.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:  # a terminal says nothing when it changes
            screen = await self.screen()
            if is_right(screen):
                return screen
            if asyncio.get_running_loop().time() > deadline:
                raise PeerError(f"the screen does not show {what}:\n{screen}")
            await asyncio.sleep(0.1)

    async def _tmux(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self._program,
            "-S",
            str(self._socket),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise PeerError(f"tmux {arguments[0]}: {output.decode()}")
        return output.decode()
