"""Secrets that a whole process is given and gives away are in no log, no file and no argument."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import directorymessages as directory
from endpoint.gateways.native.extensionmessages import PutExtension
from endpoint.gateways.native.webhookmessages import AddWebhook

from .test_serve import line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]

INSTALLATION = "canary-of-installation-4WqZx9"
PASSWORD = "canary-Password-7uiEw2"
TELEPHONES = "canary-Telephone-5vXq8Jt"
GUESS = "canary-Guess-8Hgk3Lq"
KEY = "canary-key-5rTbM0"
PIN = "482736159"


def files_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def shown_by_ps(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_s27_no_secret_is_logged_kept_or_shown(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    """Passwords, tokens, digits: also wrong ones, and where everything is logged."""
    surroundings |= {
        "AGENT_ENDPOINT_HTTP__TOKEN": INSTALLATION,
        "AGENT_ENDPOINT_LOG__LEVEL": "debug",
        "AGENT_ENDPOINT_WEBHOOKS__ALLOWED": '["http://127.0.0.1:9/"]',
        "AGENT_ENDPOINT_MEDIA__WEBRTC_READY": "false",
    }
    async with started(surroundings, "serve", "--json") as serve, asyncio.TaskGroup() as group:
        assert serve.stderr is not None
        assert serve.stdout is not None
        # Read beside: a pipe that is full would have it wait.
        logged = group.create_task(serve.stderr.read())
        ready = await line(serve)
        async with EndpointClient(ready["plain"], INSTALLATION) as client:
            await client.add_to_directory("agents", directory.Agent("1001"))
            await client.set_agent_password("1001", PASSWORD)
            await client.put_extension("6001", PutExtension(password=TELEPHONES))
            made = (await client.put_extension("6004", PutExtension())).password
            issued = await client.log_in("1001", PASSWORD)
            with pytest.raises(RequestRefused):
                await client.log_in("1001", GUESS)
            renewed = await client.refresh_token(issued.refresh_token)
            with pytest.raises(RequestRefused):
                await client.refresh_token(issued.refresh_token)
            program = await client.add_program("crm", ["calls:read"])
            told = AddWebhook("crm", f"http://127.0.0.1:9/?key={KEY}")
            webhook = (await client.add_webhook(told)).secret
            assert not (await client.test_webhook("crm")).taken
            call = (await client.make_call("6002", f"6003-{PIN}")).call
            with pytest.raises(RequestRefused):
                await client.press("6002", "no-such-call", PIN)
            await client.clear("6002", call)
        async with EndpointClient(ready["plain"], GUESS) as stranger:
            with pytest.raises(RequestRefused):
                await stranger.calls()
        arguments = shown_by_ps(serve.pid)
        serve.terminate()
        out, log = await serve.stdout.read(), await logged
    secrets = [INSTALLATION, PASSWORD, TELEPHONES, made, GUESS, PIN, program.access_token]
    for each in (issued, renewed):
        secrets += [each.access_token, each.refresh_token]
    assert b"refresh token used twice" in log
    kept = files_of(tmp_path / "state")
    assert b"SQLite format 3" in kept
    for secret in secrets:
        assert secret.encode() not in log
        assert secret.encode() not in out
        assert secret.encode() not in arguments
        assert secret.encode() not in kept
    # By the secret of a webhook we sign, and at its address we ask: the database holds both.
    for secret in (webhook, KEY):
        assert secret.encode() in kept
        for seen in (log, out, arguments):
            assert secret.encode() not in seen
