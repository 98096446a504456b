"""`extension export`, `extension import`, `trunk`: what is no part of the directory, as CSV."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.context import ConfigFile
from endpoint.app.csvtable import CsvRefused
from endpoint.app.importing import Check, CsvFile, Generate, given_octets, not_taken
from endpoint.app.output import Json, Output, good
from endpoint.app.secrecy import new_password, weakness
from endpoint.app.setupcommands import configured_database, extension_app, loaded_or_fail
from endpoint.app.trunkcsv import as_toml
from endpoint.app.trunkcsv import brought as brought_trunks
from endpoint.app.trunkcsv import exported as exported_trunks

trunk_app = typer.Typer(
    help="Trunks of the configuration as CSV; `trunks` tells how they are.", no_args_is_help=True
)


@extension_app.command("export")
def export_extensions(config: ConfigFile = None) -> None:
    """Print all extensions as CSV, without their secrets."""
    output = Output(False)
    loaded = loaded_or_fail(output, config)

    async def read() -> bytes:
        # Imported at use, here and below: other commands are done before a database is loaded.
        from endpoint.app.extensioncsv import exported
        from endpoint.storage.extensions import Extensions

        async with configured_database(loaded.config) as database:
            return exported(await Extensions(database).all())

    typer.echo(output.run(read()), nl=False)


@extension_app.command("import")
def import_extensions(
    file: CsvFile,
    generate: Generate = False,
    check: Check = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Add and change what a file of CSV names: all of it, or nothing.

    Columns: number, name, aliases (with ; between them), password. An extension that is there and
    for which no password is given keeps its own.
    """
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    octets, realm = given_octets(file, output), loaded.config.sip.realm
    generated: dict[str, str] = {}

    async def bring() -> dict[str, Any]:
        from endpoint.app.enrolment import credentials
        from endpoint.app.extensioncsv import brought
        from endpoint.storage.extensions import Extensions

        weak: list[str] = []
        changes = []
        async with configured_database(loaded.config) as database:
            extensions = Extensions(database)
            try:
                found = brought(octets, await extensions.all(), generate=generate)
            except CsvRefused as error:
                raise not_taken(file, error) from error
            for each in found:
                number, password = each.extension.number, each.password
                if each.new and not password:
                    password = generated[number] = new_password()
                if password and weakness(password, number) is not None:
                    weak.append(number)
                proofs = credentials(number, realm, password) if password else None
                changes.append((each.extension, proofs, number in weak))
            if not check:
                await extensions.bring(changes)
        added = sum(each.new for each in found)
        return {"added": added, "changed": len(found) - added, "weak": weak}

    result = output.run(bring())
    lines: list[Table | Text] = []
    if check:
        lines.append(good(f"{file} is whole; nothing is changed"))
        generated.clear()
    else:
        lines.append(good(f"{result['added']} added, {result['changed']} changed (realm {realm})"))
    if generated:
        table = Table(box=None, pad_edge=False)
        table.add_column("extension")
        table.add_column("password (shown this once)", style="bold")
        for number, password in generated.items():
            table.add_row(number, password)
        lines.append(table)
        result["passwords"] = generated
    if result["weak"]:
        text = f"  Weak passwords, that will do on this machine only: {', '.join(result['weak'])}"
        lines.append(Text(text, "yellow"))
    output.result({"ok": True, "kept": not check, **result}, *lines)


@trunk_app.command("export")
def export_trunks(config: ConfigFile = None) -> None:
    """Print the trunks of the configuration as CSV."""
    loaded = loaded_or_fail(Output(False), config)
    typer.echo(exported_trunks(loaded.config.trunk), nl=False)


@trunk_app.command("import")
def import_trunks(file: CsvFile, as_json: Json = False) -> None:
    """Check the trunks of a file of CSV, and print them as TOML for the configuration's file.

    They are not put there: comments and the order of that file are its owner's.
    """
    output = Output(as_json)
    try:
        text = as_toml(brought_trunks(given_octets(file, output)))
    except CsvRefused as error:
        output.fail(not_taken(file, error))
    if as_json:
        output.result({"ok": True, "toml": text})
    else:
        typer.echo(text, nl=False)
