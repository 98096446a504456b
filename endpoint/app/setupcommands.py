"""Commands that set up: `config`, `extension`, `token`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from endpoint import plaintext
from endpoint.app import telemetry
from endpoint.app.config import Loaded, load, values
from endpoint.app.context import ConfigFile, answering_client, running_client
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.secrecy import new_password, weakness
from endpoint.app.settings import Config, LogSettings, checked_device
from endpoint.app.state import StateDirectory
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.errors import ConfigurationError, NumberTaken, StorageError

if TYPE_CHECKING:
    from endpoint.storage.database import Database
    from endpoint.storage.extensions import Extension

T = TypeVar("T")
config_app = typer.Typer(help="Show or check the configuration.", no_args_is_help=True)
extension_app = typer.Typer(help="Who may register here.", no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="The extension's number, as 6001.")]


def loaded_or_fail(output: Output, config: ConfigFile, *, files: bool = False) -> Loaded:
    """The configuration; its mistakes end the command. Warnings go to standard error.

    With `files`, a file that it names and that can't be used is a mistake too.
    """
    output.config = config
    try:
        loaded = load(config, files=files)
    except ConfigurationError as error:
        output.fail(error)
    telemetry.configure(LogSettings(level="warning", format=loaded.config.log.format))
    return loaded


def answered(
    output: Output, config: ConfigFile, ask: Callable[[EndpointClient], Awaitable[T]]
) -> T:
    """What the endpoint that runs says to it; where none does, or it refuses, the command ends."""
    loaded = loaded_or_fail(output, config)

    async def asking() -> T:
        async with running_client(loaded.config) as client:
            return await ask(client)

    return output.run(asking())


# -- config -----------------------------------------------------------------------------------


@config_app.command("show")
def show_config(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every effective value and where it comes from; secrets are masked."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    table = listed("key", "value", whole=("key",))
    shown = values(loaded)
    for value in shown:
        text = Text(_as_written(value.value))
        if value.origin != "default":
            text.append(f"\n← {value.origin}", "dim")
        table.add_row(value.key, text)
    file = str(loaded.path) if loaded.path else None
    entries = [{"key": v.key, "value": v.value, "from": v.origin} for v in shown]
    output.result(
        {"ok": True, "file": file, "values": entries},
        f"file: {file or 'none found'}; ← where what is no default comes from",
        table,
    )


def _as_written(value: object) -> str:
    """A value as the file has it; text without its quotes, and nothing for what is not set."""
    if value is None or isinstance(value, str):
        return value or ""
    return plaintext.encode(value).decode()


@config_app.command("check")
def check_config(config: ConfigFile = None, as_json: Json = False) -> None:
    """Say whether the configuration can be used; if not, every mistake at once."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config, files=True)
    file = str(loaded.path) if loaded.path else None
    where = file or "defaults and environment; no file found"
    warnings = [Text(f"! {warning}", "yellow") for warning in loaded.warnings]
    output.result(
        {"ok": True, "file": file, "warnings": loaded.warnings},
        good(where),
        *warnings,
    )


# -- extension --------------------------------------------------------------------------------


@extension_app.command("add")
def add(
    number: Number,
    name: Annotated[str, typer.Option(help="Shown on pages and telephones.")] = "",
    alias: Annotated[
        list[str] | None, typer.Option(help="Another number that leads here; may be repeated.")
    ] = None,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make a strong password and print it once.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an extension that is there.")
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Add an extension that may register. Its password is not kept, only what proves it."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    try:
        for given in (number, *(alias or ())):
            checked_device(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if generate and password_stdin:
        raise typer.BadParameter("--generate and --password-stdin exclude each other")
    password = new_password() if generate else asked_password(password_stdin)
    fault = weakness(password, number)
    realm = loaded.config.sip.realm
    # Imported at use, here and below: other commands are done before a database is loaded.
    from endpoint.app.enrolment import add_extension
    from endpoint.storage.extensions import Extension, Extensions

    extension = Extension(number, name, tuple(alias or ()))

    async def store() -> None:
        async with configured_database(loaded.config) as database:
            extensions = Extensions(database)
            try:
                await add_extension(extensions, realm, extension, password, replace=replace)
            except NumberTaken as error:
                raise CommandFailed(
                    ExitCode.FAILED, f"{error}; --replace takes it over", {"number": number}
                ) from error

    output.run(store())
    result = {"ok": True, "number": number, "realm": realm, "weak": fault is not None}
    lines: list[str | Text] = [good(f"{number} may register (realm {realm})")]
    if generate:
        result["password"] = password
        lines.append(Text.assemble("  password ", (password, "bold"), "  (shown this once)"))
    if fault is not None:
        lines.append(
            Text(f"  Its password is weak: {fault}. It will do on this machine only.", "yellow")
        )
    output.result(result, *lines)


def asked_password(from_stdin: bool) -> str:
    """A password that stands on no command line, where every user of the machine would see it."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        raise typer.BadParameter("give --generate or --password-stdin")
    if not password:
        raise typer.BadParameter("the password is empty")
    return str(password)


@extension_app.command("list")
def list_extensions(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every extension, without its secrets."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def read() -> list[Extension]:
        from endpoint.storage.extensions import Extensions

        async with configured_database(loaded.config) as database:
            return await Extensions(database).all()

    found = output.run(read())
    table = listed("number", "name", "aliases", "password", "realm")
    for one in found:
        table.add_row(
            one.number,
            one.display_name,
            ", ".join(one.aliases),
            "weak" if one.weak else "strong",
            ", ".join(one.realms),
        )
    empty = "No extensions. Add one: agent-endpoint extension add 6001 --generate"
    output.result({"ok": True, "extensions": found}, table if found else empty)


@extension_app.command("remove")
def remove(number: Number, config: ConfigFile = None, as_json: Json = False) -> None:
    """Forget an extension; what its telephones have registered is over."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)

    async def forget() -> None:
        async with answering_client(loaded.config) as client:
            if client is None:
                known = await removed_from_database()
            else:
                known = await removed_from(client)
        if not known:
            raise StorageError(f"there is no extension {number}")

    async def removed_from(client: EndpointClient) -> bool:
        try:
            await client.remove_extension(number)
        except RequestRefused as refused:
            if refused.reason != "unknown_extension":
                raise
            return False
        return True

    async def removed_from_database() -> bool:
        from endpoint.storage.extensions import Extensions

        async with configured_database(loaded.config) as database:
            return await Extensions(database).remove(number)

    output.run(forget())
    output.result({"ok": True, "number": number}, good(f"{number} is removed"))


# -- token ------------------------------------------------------------------------------------


def show_token(
    new: Annotated[
        bool, typer.Option("--new", help="Make a new one; it counts from the next start on.")
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Print the bearer token that the page and REST ask for."""
    output = Output(as_json)
    loaded = loaded_or_fail(output, config)
    configured = loaded.config.http.token
    try:
        if configured is not None and new:
            where = loaded.origins.get("http.token", "the configuration")
            raise ConfigurationError(
                [f"http.token: found in {where}, expected nothing: remove it there first"]
            )
        state = StateDirectory(loaded.config.state.directory).prepared()
        state.kept_for(loaded.config.tenant.name)
        token = configured.get_secret_value() if configured else ""
        token = token or (state.new_token() if new else state.token())
    except ConfigurationError as error:
        output.fail(error)
    output.result({"ok": True, "token": token}, Text(token))


def configured_database(config: Config) -> Database:
    """What the configured tenant has in the database, not open yet."""
    from endpoint.app.facts import database_url
    from endpoint.storage.database import Database

    state = StateDirectory(config.state.directory).prepared().kept_for(config.tenant.name)
    return Database(database_url(config, state), config.tenant.name)


def whole_database(config: Config) -> Database:
    """The database of the configuration, not open yet, for what is every tenant's."""
    from endpoint.app.facts import database_url
    from endpoint.storage.database import Database

    return Database(database_url(config, StateDirectory(config.state.directory).prepared()))
