"""Commands that are run in this process, as somebody types them."""

from __future__ import annotations

import json
from typing import Any

import structlog
from typer.testing import CliRunner, Result

from endpoint.app.cli import app


def invoke(*arguments: str, given: str | None = None) -> Result:
    """Run one; what it does to the log is undone."""
    before = structlog.get_config()
    result: Result = CliRunner().invoke(app, list(arguments), input=given)
    structlog.configure(**before)
    return result


def cli(*arguments: str, code: int = 0, given: str | None = None) -> Any:
    """What one prints that ends with this code; with `--json`, what that says."""
    result = invoke(*arguments, given=given)
    assert result.exit_code == code, (arguments, result.output)
    return json.loads(result.stdout) if "--json" in arguments else result.output
