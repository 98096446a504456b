"""`db tenant`: which tenants the database has."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from rich.text import Text

from endpoint.app.context import ConfigFile
from endpoint.app.exitcodes import ExitCode
from endpoint.app.output import CommandFailed, Json, Output, good, listed
from endpoint.app.setupcommands import loaded_or_fail, whole_database
from endpoint.gateways.native import tenantmessages as messages

if TYPE_CHECKING:
    from endpoint.storage.tenants import Tenants

T = TypeVar("T")

tenant_app = typer.Typer(
    help="Tenants: customers whose worlds do not meet (docs/tenants.md).", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="What tenant.name says, as acme.")]
Domain = Annotated[
    str, typer.Option("--domain", help="Of its addresses in SIP, as acme.example.com.")
]


@tenant_app.command("add")
def add(name: Name, domain: Domain = "", config: ConfigFile = None, as_json: Json = False) -> None:
    """Add a tenant, that is empty. A process with its name in tenant.name serves it."""
    tenant = _checked(name, domain)
    output = Output(as_json)

    async def work(tenants: Tenants) -> None:
        from endpoint.app.tenancy import stored

        if not await tenants.add(stored(tenant)):
            raise _taken(tenant)

    _with_tenants(output, config, work)
    _done(output, tenant, f"tenant {name} is added")


@tenant_app.command("change")
def change(
    name: Name,
    domain: Annotated[str, typer.Option("--domain", help="Its new one; '' for none.")],
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Give a tenant another domain. It counts at the next start of its process."""
    tenant = _checked(name, domain)
    output = Output(as_json)

    async def work(tenants: Tenants) -> None:
        from endpoint.app.tenancy import domain_of

        changed = await tenants.change(name, domain_of(domain))
        if changed is None:
            raise _unknown(name)
        if not changed:
            raise _taken(tenant)

    _with_tenants(output, config, work)
    _done(output, tenant, f"tenant {name} is changed")


@tenant_app.command("list")
def list_tenants(config: ConfigFile = None, as_json: Json = False) -> None:
    """Every tenant, and its domain in SIP."""
    output = Output(as_json)

    async def work(tenants: Tenants) -> list[messages.Tenant]:
        from endpoint.app.tenancy import told

        return [told(each) for each in await tenants.all()]

    found = _with_tenants(output, config, work)
    table = listed("name", "domain")
    for each in found:
        table.add_row(each.name, each.domain or "-")
    output.result({"ok": True, "tenants": found}, table)


@tenant_app.command("remove")
def remove(
    name: Name,
    with_content: Annotated[
        bool, typer.Option("--with-content", help="And all that it has, for ever.")
    ] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Remove a tenant; stop its process first. One that has something is kept, unless told.

    Files of its recordings are in its own state directory, and stay.
    """
    output = Output(as_json)

    async def work(tenants: Tenants) -> None:
        if not await tenants.remove(name, with_content=with_content):
            raise _unknown(name)

    _with_tenants(output, config, work)
    text = good(f"tenant {name} is removed")
    output.result({"ok": True, "name": name}, text)


def _with_tenants(
    output: Output, config: ConfigFile, work: Callable[[Tenants], Coroutine[Any, Any, T]]
) -> T:
    loaded = loaded_or_fail(output, config)

    async def main() -> T:
        from endpoint.storage.tenants import Tenants

        async with whole_database(loaded.config) as database:
            return await work(Tenants(database))

    return output.run(main())


def _checked(name: str, domain: str) -> messages.Tenant:
    try:
        return msgspec.convert({"name": name, "domain": domain.lower()}, messages.Tenant)
    except msgspec.ValidationError as error:
        if "$.name" in str(error):
            expected = "1 to 64 letters, digits or . _ -, the first of them a letter or a digit"
            raise typer.BadParameter(f"{name!r}: expected {expected}") from error
        raise typer.BadParameter(f"--domain: {domain!r}: expected a host name") from error


def _done(output: Output, tenant: messages.Tenant, said: str) -> None:
    line = Text.assemble(
        ("✔ ", "green"), said, f", domain {tenant.domain}" if tenant.domain else ""
    )
    output.result({"ok": True, **msgspec.to_builtins(tenant)}, line)


def _taken(tenant: messages.Tenant) -> CommandFailed:
    domain = f" or with domain {tenant.domain}" if tenant.domain else ""
    text = f"there is a tenant {tenant.name}{domain} already; see: agent-endpoint db tenant list"
    return CommandFailed(ExitCode.FAILED, text)


def _unknown(name: str) -> CommandFailed:
    text = f"there is no tenant {name}; see: agent-endpoint db tenant list"
    return CommandFailed(ExitCode.FAILED, text)
