"""What the commands of each kind of the directory have in common: list, show, remove, files.

Where an endpoint runs it is asked, so that a change counts at once; else the database is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from endpoint.app.config import Loaded
from endpoint.app.context import ConfigFile, answering_client
from endpoint.app.csvtable import CsvRefused
from endpoint.app.directorycsv import Brought, brought, column_of, exported
from endpoint.app.exitcodes import ExitCode
from endpoint.app.gathering import Unread, entry_of, judged_wrongly, top
from endpoint.app.importing import (
    Check,
    CsvFile,
    GivenPassword,
    Only,
    given_octets,
    new_passwords,
    not_taken,
)
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.secrecy import weakness
from endpoint.app.setupcommands import configured_database, loaded_or_fail
from endpoint.errors import CommandRejected
from endpoint.gateways.native import directorymessages as wire

if TYPE_CHECKING:
    from endpoint.app.directorybook import DirectoryDesk

_ONE = {
    "agents": "agent",
    "skills": "skill",
    "queues": "queue",
    "modes": "work mode",
    "reasons": "leave reason",
}
_KEY = {kind: "id" if kind == "agents" else "code" for kind in _ONE}

NONE = object()
"""In the place of a value: what was there is taken away."""
Key = Annotated[str, typer.Argument(help="Its number or code.")]


@asynccontextmanager
async def directory_desk(loaded: Loaded) -> AsyncIterator[DirectoryDesk]:
    """The endpoint that runs; where none does, the database."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(answering_client(loaded.config))
        if client is not None:
            yield client
            return
        # Imported at use: who asks an endpoint that runs needs no database.
        from endpoint.app.agentpasswords import AgentPasswords
        from endpoint.app.directorybook import DirectoryBook
        from endpoint.app.tokens import TokenBook
        from endpoint.storage.directory import StoredDirectory
        from endpoint.storage.tokens import StoredTokens

        database = await stack.enter_async_context(configured_database(loaded.config))
        store = StoredDirectory(database)
        passwords = stack.enter_context(AgentPasswords(store.rehash))
        book = DirectoryBook(store, passwords)
        await book.load()
        tokens = TokenBook(StoredTokens(database), book.in_use, loaded.config.tokens)
        await tokens.load()
        book.new_password = tokens.revoke_of
        yield book


# -- what is the same of each kind ----------------------------------------------------------------


def app_of(kind: str, help_: str, *, show: str = "show") -> typer.Typer:
    """The commands that each kind has; `show` is how the one is called that tells of one."""
    app, one = typer.Typer(help=help_, no_args_is_help=True), _ONE[kind]

    @app.command("list", help=f"Every {one}.")
    def list_(config: ConfigFile = None, as_json: Json = False) -> None:
        output = Output(as_json)
        entries = output.run(_all(loaded_or_fail(output, config), kind))
        table = listed(*_TITLES[kind], whole=_TITLES[kind][:1])
        for entry in entries:
            table.add_row(*(Text(cell) for cell in _ROWS[kind](entry)))
        empty = f"No {kind}. Add one: agent-endpoint {kind} add -h"
        output.result({"ok": True, kind: entries}, table if entries else empty)

    @app.command(show, help=f"All that is said of one {one}.")
    def show_(key: Key, config: ConfigFile = None, as_json: Json = False) -> None:
        output = Output(as_json)
        entries = output.run(_all(loaded_or_fail(output, config), kind))
        found = next((each for each in entries if str(getattr(each, _KEY[kind])) == key), None)
        if found is None:
            output.fail(CommandRejected("unknown", f"there is no {one} {key}"))
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        for field, value in msgspec.to_builtins(found).items():
            table.add_row(field, Text(_shown(value)))
        output.result({"ok": True, one.replace(" ", "_"): found}, table)

    @app.command("remove", help=f"Forget the {one}; refused while others name it.")
    def remove(key: Key, config: ConfigFile = None, as_json: Json = False) -> None:
        output = Output(as_json)
        loaded = loaded_or_fail(output, config)

        async def forget() -> None:
            async with directory_desk(loaded) as desk:
                await desk.remove_from_directory(kind, key)

        output.run(forget())
        output.result({"ok": True, _KEY[kind]: key}, good(f"{one} {key} is removed"))

    @app.command("export", help=f"Print all {kind} as CSV, for `import` and for spreadsheets.")
    def export(config: ConfigFile = None) -> None:
        output = Output(False)
        entries = output.run(_all(loaded_or_fail(output, config), kind))
        typer.echo(exported(kind, entries), nl=False)

    return app


async def _all(loaded: Loaded, kind: str) -> Sequence[wire.Entry]:
    async with directory_desk(loaded) as desk:
        found: Sequence[wire.Entry] = getattr(await desk.directory(), kind)
    return found


def importing(kind: str) -> Callable[..., None]:
    """The command that brings in a file of a kind that has no passwords."""

    def import_(
        file: CsvFile,
        only: Only = False,
        check: Check = False,
        config: ConfigFile = None,
        as_json: Json = False,
    ) -> None:
        """Add and change what a file of CSV names: all of it, or nothing."""
        import_file(kind, file, only, check, False, config, as_json)

    return import_


def import_file(
    kind: str,
    file: Path,
    only: bool,
    check: bool,
    generate: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Bring in a file: all of it, or nothing; with `generate` agents have passwords."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    octets = given_octets(file, output)
    generated: dict[str, str] = {}

    async def bring() -> wire.DirectoryImported | None:
        async with directory_desk(loaded) as desk:
            directory = await desk.directory()
            found = brought(kind, octets, getattr(directory, kind))
            passwords = dict(found.passwords)
            if generate:
                without = [
                    each.id
                    for each in found.entries
                    if isinstance(each, wire.Agent) and not each.has_password
                ]
                generated.update(new_passwords(each for each in without if each not in passwords))
            wanted = wire.DirectoryImport(
                passwords={**passwords, **generated},
                only=only,
                **{kind: found.entries},  # type: ignore[arg-type]  # entries of the kind
            )
            mistakes = [*found.mistakes, *_in_lines(kind, found, directory, wanted)]
            if mistakes:
                raise CsvRefused(sorted(mistakes, key=_line_number))
            return None if check else await desk.bring_into_directory(wanted)

    async def bring_or_say() -> wire.DirectoryImported | None:
        try:
            return await bring()
        except CsvRefused as error:
            raise not_taken(file, error) from error

    counts = output.run(bring_or_say())
    if counts is None:
        output.result({"ok": True, "kept": False}, good(f"{file} is whole; nothing is changed"))
        return
    result = {"ok": True, **msgspec.to_builtins(counts)}
    said = ", ".join(f"{number} {what}" for what, number in msgspec.to_builtins(counts).items())
    table = Table(box=None, pad_edge=False)
    if generated:
        result["passwords"] = generated
        table.add_column("agent")
        table.add_column("password (shown this once)", style="bold")
        for agent, password in generated.items():
            table.add_row(agent, password)
    output.result(result, good(said), *([table] if generated else []))


def _in_lines(
    kind: str, found: Brought, directory: wire.Directory, wanted: wire.DirectoryImport
) -> list[str]:
    """What would be refused of it besides, by line and column."""
    from endpoint.app.directoryimport import import_mistakes

    lines = found.lines
    numbers = {
        str(getattr(entry, _KEY[kind])): line
        for entry, line in zip(getattr(wanted, kind), lines, strict=True)
    }
    told = []
    for each in import_mistakes(directory, wanted):
        path = each.field.removeprefix("$.")
        what = f"found {each.found}, expected {each.expected}"
        if path.startswith("passwords."):
            number = numbers.get(path.removeprefix("passwords."), 0)
            told.append(f"line {number}, column password: {what}")
        elif path.startswith(f"{kind}["):
            place, _, field = path[len(kind) + 1 :].partition("].")
            index = int(place)
            if judged_wrongly(field, found.wrong[lines[index]]):
                continue
            told.append(f"line {lines[index]}, column {column_of(kind, each.field)}: {what}")
        else:
            told.append(f"{path}: {what}")
    return told


def _line_number(mistake: str) -> int:
    words = mistake.split(maxsplit=2)
    return int(words[1].rstrip(",:")) if words[0] == "line" else 10**9


def keep_one(
    kind: str,
    key: str,
    said: dict[str, Any],
    new: bool,
    config: Path | None,
    as_json: bool,
    password: GivenPassword | None = None,
) -> None:
    """Add or change one; with a password, where one is given."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    fields = {
        name: None if value is NONE else value for name, value in said.items() if value is not None
    }
    if not new and not fields and password is None:
        raise typer.BadParameter("say what is to be changed")

    async def keep() -> wire.Entry:
        async with directory_desk(loaded) as desk:
            directory = await desk.directory()
            entry = _looked_at(kind, key, fields, new, directory, password)
            if new:
                made = await desk.add_to_directory(kind, entry)
            else:
                made = await desk.change_in_directory(kind, key, fields)
            if password is not None:
                await desk.set_agent_password(key, password.text)
        return made

    kept = output.run(keep())
    one = _ONE[kind]
    result: dict[str, Any] = {"ok": True, one.replace(" ", "_"): kept}
    lines: list[str | Text] = [good(f"{one} {key} is {'added' if new else 'changed'}")]
    if password is not None and password.shown:
        result["password"] = password.text
        lines.append(once(password.text))
    elif kind == "agents" and new and password is None:
        how = f"agent-endpoint agents password {key} --generate{output.with_config}"
        lines.append(Text(f"  It has no password and can't log on with one; set it: {how}", "dim"))
    if isinstance(kept, wire.Agent) and kept.role == "monitor" and not kept.supervises:
        how = f"agent-endpoint agents change {key} --supervises DEPARTMENT{output.with_config}"
        lines.append(Text(f"  It is a monitor of no department: {how}", "yellow"))
    output.result(result, *lines)


def _looked_at(
    kind: str,
    key: str,
    fields: Mapping[str, Any],
    new: bool,
    directory: wire.Directory,
    password: GivenPassword | None,
) -> wire.Entry:
    """What would be there then. Raises CommandFailed with all that is wrong with it."""
    from endpoint.app.directoryimport import import_mistakes

    entries = getattr(directory, kind)
    there = next((each for each in entries if str(getattr(each, _KEY[kind])) == key), None)
    if there is None and not new:
        raise CommandRejected("unknown", f"there is no {_ONE[kind]} {key}")
    if there is not None and new:
        text = f"there is {_ONE[kind]} {key} already; change it, or take another name"
        raise CommandRejected("taken", text)
    said = {name: each for name, each in fields.items() if not isinstance(each, Unread)}
    unread = {
        name: f"found {each.found[:60]!r}, expected {each.expected}"
        for name, each in fields.items()
        if isinstance(each, Unread)
    }
    base = {_KEY[kind]: key} if there is None else msgspec.to_builtins(there)
    entry, unfit = entry_of(kind, {**base, **said}, strict=False)
    wrong = {**unread, **unfit}
    if password is not None and (fault := weakness(password.text, key)) is not None:
        wrong["password"] = f"it is too weak: {fault}"
    code = ExitCode.USAGE if unread else ExitCode.FAILED if wrong else ExitCode.CALL_FAILED
    if entry is not None:
        unknown = dict(wrong)
        wanted = wire.DirectoryImport(**{kind: [entry]})  # type: ignore[arg-type]  # of the kind
        for each in import_mistakes(directory, wanted):
            path = each.field.removeprefix(f"$.{kind}[0].")
            if not judged_wrongly(path, unknown):
                wrong[path] = f"found {each.found}, expected {each.expected}"
    if entry is None or wrong:
        told = [f"{_option(kind, path)}: {what}" for path, what in wrong.items()]
        raise CommandFailed(code, "\n".join(told), {"reason": "bad_field", "mistakes": told})
    return entry


_OPTIONS = {
    "wrap_up_s": "--wrap-up",
    "devices": "--device",
    "skills": "--skill",
    "ring_s": "--ring",
    "rest_s": "--rest",
    "announce_every_s": "--announce-every",
    "enabled": "--on",
    "password": "password",
}


def _option(kind: str, path: str) -> str:
    """By which a field is said, and where in it."""
    field = top(path)
    if field == _KEY[kind]:
        return field.upper()
    option = _OPTIONS.get(field, "--" + field.replace("_", "-"))
    return option if path == field or field not in _OPTIONS else f"{option}, {path}"


def once(password: str) -> Text:
    """A line that shows a password that was made."""
    return Text.assemble("  password ", (password, "bold"), "  (shown this once)")


def _shown(value: Any) -> str:
    """A value for people: skills with their levels, lists in a line."""
    if isinstance(value, list):
        return ", ".join(
            f"{each['skill']}:{each['level']}" if isinstance(each, dict) else str(each)
            for each in value
        )
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(each)}" for name, each in value.items() if each)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


_TITLES = {
    "agents": ("agent", "name", "department", "role", "skills", "devices", "password", ""),
    "skills": ("skill", "name"),
    "queues": ("queue", "name", "skills", "priority", "rings", "no answer", "overflow", ""),
    "modes": ("mode", "name", "means", "skill", ""),
    "reasons": ("reason", "name", ""),
}


def _off(counts: bool, word: str = "off") -> str:
    return "" if counts else word


_ROWS: dict[str, Callable[[Any], tuple[str, ...]]] = {
    "agents": lambda agent: (
        agent.id,
        agent.name,
        agent.department,
        agent.role + (f" of {', '.join(agent.supervises)}" if agent.supervises else ""),
        _shown(msgspec.to_builtins(agent.skills)),
        ", ".join(agent.devices) or "any",
        "set" if agent.has_password else "none",
        _off(agent.enabled),
    ),
    "skills": lambda skill: (skill.code, skill.name),
    "queues": lambda queue: (
        queue.code,
        queue.name,
        _shown(msgspec.to_builtins(queue.skills)),
        str(queue.priority),
        f"{queue.ring_s:g} s",
        queue.no_answer + (f" ({queue.no_answer_reason})" if queue.no_answer_reason else ""),
        _shown(msgspec.to_builtins(queue.overflow)),
        _off(queue.enabled),
    ),
    "modes": lambda mode: (
        str(mode.code),
        mode.name,
        mode.basic,
        mode.skill,
        _off(mode.visible, "hidden"),
    ),
    "reasons": lambda reason: (reason.code, reason.name, _off(reason.visible, "hidden")),
}
