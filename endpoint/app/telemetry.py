"""Logs: a fixed sentence and fields, to standard error, with secrets and dialled digits masked."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from endpoint import logpipe
from endpoint.app.settings import LogSettings

log = structlog.get_logger(__name__)

MASK = "***"
_CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
_SECRET_FIELD = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|ha1|authori[sz]ation|credential|digits?$|nonce|api_?key"
    r"|private_?key|^response$",
    re.IGNORECASE,
)
_SECRET_TEXT = (
    # a bearer token, however it travels
    re.compile(r"(?i)(bearer[ .]\s*)[A-Za-z0-9._~+/=-]+"),
    # what a digest header would give away, also as its parameters are shown
    re.compile(
        r"""(?i)((?:response|nonce|cnonce|opaque)(?:\s*=\s*|["']:\s*))["']?[^"',\s]+["']?"""
    ),
    re.compile(
        r"""(?i)((?:password|passwd|secret|token|ha1)["']?\s*[=:]\s*)(?:"[^"]*"|'[^']*'|\S+)"""
    ),
    # userinfo in a URL: keep the user, hide the password
    re.compile(r"(://[^:/@\s]+:)[^@\s]+(?=@)"),
    # SDES keys
    re.compile(r"(?i)(inline:)[A-Za-z0-9+/=]+"),
)


def masked(value: Any) -> Any:
    """A value without the secrets that texts are known to hold."""
    match value:
        case str():
            for pattern in _SECRET_TEXT:
                value = pattern.sub(lambda found: found[1] + MASK, value)
            return value
        case Mapping():
            return {key: _masked_field(str(key), inner) for key, inner in value.items()}
        case list() | tuple():
            return [masked(inner) for inner in value]
        case None | bool() | int() | float():
            return value
        case _:  # as it would be shown
            return masked(repr(value))


def escape_controls(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """A structlog processor: what others sent can't end a line, nor steer a terminal."""
    return {
        key: value if key in ("exception", "stack") else _escaped(value)
        for key, value in event.items()
    }


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return value.translate(_CONTROLS)
        case dict():
            return {_escaped(key): _escaped(inner) for key, inner in value.items()}
        case list():
            return [_escaped(inner) for inner in value]
        case _:
            return value


def mask_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> EventDict:
    """A structlog processor: nothing secret is rendered. Lists and mappings come out plain."""
    return {key: _masked_field(key, value) for key, value in event.items()}


def _masked_field(name: str, value: Any) -> Any:
    if _SECRET_FIELD.search(name) and value not in (None, "", True, False):
        return MASK
    return masked(value)


def configure(settings: LogSettings, *, unblocked: bool = False) -> None:
    """Send all logs of this process, ours and libraries', through one filter and one format.

    `unblocked`: nothing that is said here waits for who reads it.
    """
    if unblocked:
        logpipe.install(_say_what_was_dropped)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    renderer: Processor
    if settings.format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        # Plain tracebacks: rich ones would show local variables, secrets among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                mask_secrets,
                escape_controls,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    # Libraries tell more than an operator wants to read.
    for noisy in ("asyncio", "aiohttp", "alembic", "aiosqlite", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)


def _say_what_was_dropped(lines: int) -> None:
    log.warning("nobody has read these lines of the log in time, so they were dropped", lines=lines)
