"""Nothing secret reaches the log, whoever writes it and wherever it hides."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from endpoint.app import telemetry
from endpoint.app.settings import LogSettings
from signaling.sip.headers import AuthCredentials

pytestmark = pytest.mark.unit

CANARY = "kanarienvogel"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    root = logging.getLogger()
    before = list(root.handlers), root.level
    ours = structlog.get_config()
    telemetry.configure(LogSettings(level="debug", format="json"))
    yield written
    logging.captureWarnings(False)
    root.handlers, root.level = before[0], before[1]
    structlog.configure(**ours)


@pytest.mark.parametrize(
    "fields",
    [
        {"password": CANARY},
        {"token": CANARY},
        {"ha1": CANARY},
        {"digits": CANARY},
        {"authorization": f"Digest {CANARY}"},
        {"headers": {"Authorization": CANARY, "Proxy-Authorization": CANARY}},
        {"accounts": [{"password": CANARY}]},
        {"text": f"Bearer {CANARY}"},
        {"text": f"bearer.{CANARY}"},
        {"text": f'Digest username="6001", response="{CANARY}", nonce="{CANARY}"'},
        {"url": f"postgresql://me:{CANARY}@db/endpoint"},
        {"line": f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{CANARY}"},
        {"text": f"password={CANARY} rest"},
        {"text": f"password='two words {CANARY}' rest"},
        {"text": str({"agent": "1001", "password": CANARY})},
        {"text": json.dumps({"token": f"{CANARY} and more"})},
        {"text": str(AuthCredentials("Digest", {"response": CANARY, "cnonce": CANARY}))},
        {"reason": RuntimeError(f"inline:{CANARY}")},
        {"octets": f"Bearer {CANARY}".encode()},
        {"texts": {f"token={CANARY}"}},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_secret_is_masked(log: io.StringIO, fields: dict[str, object]) -> None:
    structlog.get_logger("test").info("something happened", **fields)
    assert CANARY not in log.getvalue()
    assert telemetry.MASK in log.getvalue()


def test_what_libraries_log_is_masked_too(log: io.StringIO) -> None:
    logging.getLogger("library").warning("connecting with Bearer %s", CANARY)
    assert CANARY not in log.getvalue()


def test_a_traceback_is_masked(log: io.StringIO) -> None:
    try:
        raise ValueError(f"password={CANARY}")
    except ValueError:
        structlog.get_logger("test").exception("it broke")
    assert CANARY not in log.getvalue()
    assert "ValueError" in log.getvalue()


def test_what_others_sent_can_not_forge_a_line(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path, a reason phrase, a display name: all come from outside."""
    monkeypatch.setattr(sys, "stderr", log)
    telemetry.configure(LogSettings(format="console"))
    forged = "/x\nforged\r\x1b[2J\x00\x85\u2028end"
    structlog.get_logger("test").warning("refused", path=forged, told={"by": forged})
    logging.getLogger("library").warning("got %s", forged)
    written = log.getvalue()
    assert len(written.splitlines()) == 2
    assert "\x1b" not in written
    assert "\x00" not in written
    assert "\\nforged" in written


def test_a_traceback_keeps_its_lines(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", log)
    telemetry.configure(LogSettings(format="console"))
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("test").exception("it broke")
    assert "\nValueError: broken" in log.getvalue()


def test_what_is_not_secret_is_there(log: io.StringIO) -> None:
    structlog.get_logger("test").info("call over", call="c-1", sip_status=200, token=None)
    line = json.loads(log.getvalue())
    assert (line["event"], line["call"], line["sip_status"], line["token"]) == (
        "call over",
        "c-1",
        200,
        None,
    )
    assert line["level"] == "info"
