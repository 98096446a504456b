"""In which order and under which headings the commands are listed."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

HEADINGS: dict[str, tuple[str, ...]] = {
    "To begin with": ("demo", "serve", "doctor", "config", "token", "version"),
    "Telephones and lines": ("extension", "register", "agent", "sound", "trunk", "plan"),
    "A call": (
        *("dial", "answer", "hold", "retrieve", "mute", "unmute", "press", "hang-up", "end"),
        *("consult", "swap", "reconnect", "conference", "transfer", "add", "lend", "deflect"),
        *("park", "pick-up", "record", "data"),
    ),
    "Calls of others": ("monitor", "whisper", "barge", "intercept"),
    "A call centre": ("agents", "skills", "queues", "modes", "reasons", "ivr"),
    "How it is, and was": ("status", "trunks", "quality", "trace", "calls", "recordings", "bans"),
    "Other programs, and the database": ("tokens", "webhooks", "api", "db"),
}
_HEADING_OF = {name: heading for heading, names in HEADINGS.items() for name in names}


class Overview(TyperGroup):
    """The commands of `HEADINGS`. Typer's types of contexts and commands have no public name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names; those without a heading come last."""
        others = [name for name in super().list_commands(ctx) if name not in _HEADING_OF]
        return [*_HEADING_OF, *others]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One, below its heading."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and cmd_name in _HEADING_OF:
            # What click knows of a command does not have it.
            command.rich_help_panel = _HEADING_OF[cmd_name]  # type: ignore[attr-defined]
        return command
