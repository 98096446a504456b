"""What commands print: for a person by default, one JSON object with `--json`."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Collection, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TextIO, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from endpoint import plaintext
from endpoint.app.exitcodes import ExitCode
from endpoint.app.ports import PortTaken
from endpoint.app.state import StateInUse
from endpoint.client.errors import EndpointUnreachable, RequestRefused
from endpoint.errors import CommandRejected, ConfigurationError, EndpointError, StorageError

T = TypeVar("T")
_WIDEST = 100_000

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class CommandFailed(EndpointError):
    """A command that did not reach its goal; `result` says how far it came."""

    def __init__(self, code: ExitCode, text: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.result = result or {}


def good(text: str) -> Text:
    """A line that says what was done."""
    return Text.assemble(("✔ ", "green"), text)


_STEERING = dict.fromkeys((*range(32), *range(127, 160)), "�")
del _STEERING[ord("\n")]


class Screen(Console):
    """A console that nothing which is shown can steer: a far end says what its name is.

    Nor is it markup: a caller named `[/b]` would be wrong.
    """

    def __init__(self, **more: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **more)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The pieces of it, without control characters; rich puts in its own later."""
        for piece in super().render(renderable, options):
            text = piece.text.translate(_STEERING) if piece.control is None else piece.text
            yield Segment(text, piece.style, piece.control)


class Output:
    """Standard output for results, standard error for everything else."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.config: Path | None = None
        """The file that the command line named: what is advised is for that one too."""
        self._out = Screen(soft_wrap=as_json, width=_width(sys.stdout))
        self._err = Screen(stderr=True, width=_width(sys.stderr))

    @property
    def with_config(self) -> str:
        """What a command that is advised has to end with, to be about the same endpoint."""
        return "" if self.config is None else f" --config {shlex.quote(str(self.config))}"

    def result(
        self, value: Any, *renderables: RenderableType, soft_wrap: bool | None = None
    ) -> None:
        """The command's result: `value` as JSON, or the renderables.

        With `soft_wrap` a line is as long as it is, whatever the terminal's width.
        """
        if self.as_json:
            typer.echo(plaintext.encode(value).decode())
        else:
            for renderable in renderables:
                self._out.print(renderable, soft_wrap=soft_wrap)

    def progress(self, renderable: RenderableType) -> None:
        """What happens meanwhile; never with `--json`."""
        if not self.as_json:
            self._out.print(renderable)

    def tell(self, value: Any, renderable: RenderableType) -> None:
        """One thing of many that happen: a line of JSON, or the renderable, at once."""
        self.result(value, renderable)
        sys.stdout.flush()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a command to its end; errors end the process with their exit code."""
        try:
            return asyncio.run(_until_terminated(main))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except (EndpointError, BaseExceptionGroup) as error:
            self.fail(error)

    def fail(self, error: BaseException) -> NoReturn:
        """Say what went wrong and leave with its exit code. What nobody expected is raised on."""
        cause = _single(error)
        code = exit_code(cause)
        if code is None:
            raise error
        found: dict[str, Any] = {"ok": False, "error": code.name.lower()}
        if isinstance(cause, ConfigurationError):
            found["mistakes"] = cause.mistakes
        else:
            found["text"] = str(cause)
        if isinstance(cause, RequestRefused | CommandRejected):
            found["reason"] = cause.reason
        if isinstance(cause, CommandFailed):
            found |= cause.result
        if self.as_json:
            typer.echo(plaintext.encode(found).decode())
        else:
            lines = cause.mistakes if isinstance(cause, ConfigurationError) else [str(cause)]
            table = Table.grid("", Column(overflow="fold"), padding=(0, 1, 0, 0))
            for line in lines:
                table.add_row(Text("✘", "bold red"), Text(line))
            if self.with_config and any("agent-endpoint " in line for line in lines):
                table.add_row("", Text(f"each with{self.with_config}", "dim"))
            self._err.print(table)
        raise typer.Exit(code)


def listed(
    *titles: str, name: str = "", right: Collection[str] = (), whole: Collection[str] = ()
) -> Table:
    """A table for lists: what is too long for its column goes on below, and nothing is cut.

    `right` are columns of figures; `whole` those that are broken last.
    """
    table = Table(title=name or None, title_justify="left", box=None, pad_edge=False)
    for title in titles:
        justify: Literal["left", "right"] = "right" if title in right else "left"
        table.add_column(title, justify=justify, no_wrap=title in whole, overflow="fold")
    return table


def _width(stream: TextIO) -> int | None:
    """How wide lines may be: as what a person looks at, and without end in a file or a pipe."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _WIDEST


def ending_signals() -> tuple[signal.Signals, ...]:
    """By what a command is told to end.

    SIGHUP is among them, as the terminal is closed or its connection lost; unless whoever started
    us has it ignored, as `nohup` does so that we go on.
    """
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *(() if stays else (signal.SIGHUP,)))


async def _until_terminated(main: Coroutine[Any, Any, T]) -> T:
    """All of these end a command alike: everything is taken down and cleaned up.

    Also where SIGINT was ignored by whoever started us, as a shell does for a background job.
    """
    task = asyncio.current_task()
    assert task is not None
    for number in ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await main


_CODES: dict[type[EndpointError], ExitCode] = {
    ConfigurationError: ExitCode.CONFIGURATION,
    PortTaken: ExitCode.PORT_TAKEN,
    StateInUse: ExitCode.PORT_TAKEN,
    EndpointUnreachable: ExitCode.UNREACHABLE,
    RequestRefused: ExitCode.CALL_FAILED,
    CommandRejected: ExitCode.CALL_FAILED,
    StorageError: ExitCode.STORAGE,
    EndpointError: ExitCode.FAILED,
}
"""The first that fits."""


def exit_code(error: BaseException) -> ExitCode | None:
    """The exit code of an error that we expect; None for others."""
    if isinstance(error, CommandFailed):
        return error.code
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)


def _single(error: BaseException) -> BaseException:
    """The one error in a group of one, however deep."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
