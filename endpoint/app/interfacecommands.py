"""`api openapi` and `api asyncapi`: what can be asked of the native interface, for tools."""

from __future__ import annotations

import typer

api_app = typer.Typer(
    help="Documents of the native interface, for tools that make clients.", no_args_is_help=True
)


@api_app.command("openapi")
def show_openapi() -> None:
    """Print the OpenAPI 3.1 document of REST."""
    from endpoint.app.interface import document

    typer.echo(document("openapi"), nl=False)


@api_app.command("asyncapi")
def show_asyncapi() -> None:
    """Print the AsyncAPI 3 document of the WebSocket."""
    from endpoint.app.interface import document

    typer.echo(document("asyncapi"), nl=False)
