"""The `db` commands: what an operator does with the database, whichever it is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import Json, Output, good
from endpoint.app.setupcommands import loaded_or_fail, whole_database
from endpoint.app.state import StateDirectory

if TYPE_CHECKING:
    from endpoint.storage.database import Database, Migrated

T = TypeVar("T")

db_app = typer.Typer(help="The database: make, migrate, check, copy.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A file.", dir_okay=False)]


@db_app.command()
def init(config: ConfigFile = None, as_json: Json = False) -> None:
    """Make the schema in an empty database. One that has it already stays as it is."""

    async def make(database: Database) -> Migrated:
        migrated = await database.migrate()
        async with database:  # what every database begins with
            return migrated

    _tell_migrated(Output(as_json), config, make)


@db_app.command()
def migrate(
    to: Annotated[
        str, typer.Option(help="A schema's number, as 0001; by default this program's.")
    ] = "head",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Bring the schema to this version: whole, or not at all. With SQLite `serve` does so.

    Back to an older one (--to) loses what the older has no place for: make a backup first.
    """
    _tell_migrated(Output(as_json), config, lambda database: database.migrate(to))


def _tell_migrated(
    output: Output,
    config: ConfigFile,
    work: Callable[[Database], Coroutine[Any, Any, Migrated]],
) -> None:
    done = _alone(output, config, work)
    if done.before == done.after:
        said = f"the schema is {done.after} already"
    else:
        said = f"the schema is {done.after}; it was {done.before or 'none'}"
    output.result({"ok": True, "before": done.before, "schema": done.after}, good(said))


@db_app.command()
def check(config: ConfigFile = None, as_json: Json = False) -> None:
    """Schema, damage, rows that belong nowhere, counts, room. Changes nothing."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    from endpoint.storage.upkeep import examine

    found = output.run(_closed(whole_database(loaded.config), examine))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_row("database", found.kind)
    table.add_row("schema", found.schema or "none")
    for name, rows in found.rows.items():
        table.add_row(name, f"{rows}")
    table.add_row("size", f"{found.size_bytes / 2**20:.1f} MiB")
    if found.free_bytes is not None:
        table.add_row("left on disk", f"{found.free_bytes // 2**20} MiB")
    lines = [Text.assemble(("✘ ", "bold red"), fault) for fault in found.faults]
    result = {"ok": not found.faults, **msgspec.to_builtins(found)}
    output.result(result, table, *(lines or [good("sound")]))
    if found.faults:
        raise typer.Exit(ExitCode.FAILED)


@db_app.command("backup")
def make_backup(file: File, config: ConfigFile = None, as_json: Json = False) -> None:
    """Copy the database into a new file, also while the endpoint runs.

    Of PostgreSQL by its own pg_dump. The file is as secret as the passwords.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    from endpoint.storage.upkeep import backup

    output.run(_closed(whole_database(loaded.config), lambda database: backup(database, file)))
    size = file.stat().st_size
    output.result(
        {"ok": True, "file": str(file), "size_bytes": size}, good(f"{file}, {size} bytes")
    )


@db_app.command("restore")
def bring_back(file: File, config: ConfigFile = None, as_json: Json = False) -> None:
    """Put a backup in place of the database; the endpoint must not run.

    What was stored since is gone. Of PostgreSQL by its own pg_restore.
    """
    from endpoint.storage.upkeep import restore

    output = Output(as_json)
    _alone(output, config, lambda database: restore(database, file))
    output.result({"ok": True, "file": str(file)}, good(f"the database is that of {file}"))


def _alone(
    output: Output, config: ConfigFile, work: Callable[[Database], Coroutine[Any, Any, T]]
) -> T:
    """Do what no endpoint of this state directory may see half done."""
    loaded = loaded_or_fail(output, config)

    async def main() -> T:
        database = whole_database(loaded.config)
        with StateDirectory(loaded.config.state.directory).held():
            return await _closed(database, work)

    return output.run(main())


async def _closed(database: Database, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    try:
        return await work(database)
    finally:
        await database.dispose()
