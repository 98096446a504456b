"""Digests and SRTP keys are in no trace, log, file or crash of ours (S27)."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import aiohttp
import pytest

from endpoint.app.enrolment import add_extension
from endpoint.app.state import StateDirectory
from endpoint.client.client import EndpointClient
from endpoint.client.errors import RequestRefused
from endpoint.gateways.native import directorymessages as directory
from endpoint.storage.database import Database, sqlite_url
from endpoint.storage.extensions import Extension, Extensions
from signaling.sip.headers import AuthChallenge
from signaling.sip.message import Request, Response, parse_message, respond
from tests.integration.signaling.raw import RawClient, digest

from .test_recordings import children_of
from .test_serve import ended, line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]

INSTALLATION = "canary-of-installation-4WqZx9"
PASSWORD = "canary-Password-7uiEw2"
GUESS = "canary-Guess-8Hgk3Lq"
OUTSIDE = "canary-Outside-3fVb6T"
KEY = base64.b64encode(b"canary-of-a-key-and-its-salt-1").decode()
BAD_KEY = base64.b64encode(b"canary-of-a-bad-key").decode()
OFFER = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{}\r\n"
)
SDP = ("Content-Type: application/sdp",)
DIGEST = re.compile(rb'response="([0-9a-f]{32})"')
INLINE = re.compile(rb"inline:([A-Za-z0-9+/=]+)")
CALLED = "sip:6003@127.0.0.1"
CHALLENGE = AuthChallenge("Digest", {"realm": "agent-endpoint", "nonce": "n1"})
KINDS = ("json", "text", "svg", "pcapng")
BROKEN = """\
import sys

def broken(*given):
    kept = [*given]
    raise RuntimeError(*kept)

if "serve" in sys.orig_argv:
    from endpoint.app.agentpasswords import AgentPasswords
    from signaling.server import SipServer

    async def fails(self, agent, password):
        broken(agent, {"password": password})

    decides = SipServer._decide

    async def decide(self, request, flow):
        if "X-Broken" in request.headers:
            broken(request)
        return await decides(self, request, flow)

    AgentPasswords.is_right = fails
    SipServer._decide = decide
elif "endpoint.media.worker" in sys.orig_argv:
    from endpoint.media import messages
    from endpoint.media.plane import Plane

    does = Plane._do

    def do(self, command):
        if isinstance(command, messages.SetRemote):
            broken(command)
        return does(self, command)

    Plane._do = do
"""
"""A `sitecustomize` of a Python in which the handlers of passwords, SIP and audio are wrong."""


def forms(secret: bytes) -> Iterable[bytes]:
    """As it may be written: a key also by its octets, as they are and as Python shows them."""
    yield secret
    try:
        octets = base64.b64decode(secret, validate=True)
    except ValueError:
        return
    yield from (octets, octets.hex().encode(), repr(octets).encode()[2:-1])


def files_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def core_limit(pid: int) -> str:
    """How large a core dump of a process may be."""
    (text,) = re.findall(
        r"^Max core file size +(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE
    )
    return str(text)


class Phone(RawClient):
    """Notes what of itself and of the far end nobody else should read."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.secrets: list[bytes] = []

    def send(self, octets: bytes) -> None:
        self.secrets += DIGEST.findall(octets)
        super().send(octets)

    async def response(self) -> Response:
        response = await super().response()
        self.secrets += INLINE.findall(response.body)
        return response


async def registered_outside(server: RawClient) -> list[bytes]:
    """Be the server that an account of ours registers at; the digests by which it does."""
    given: list[bytes] = []
    while not given:
        octets, flow = await server.recorder.message()
        request = parse_message(octets)
        assert isinstance(request, Request)
        given = DIGEST.findall(octets)
        answer = respond(request, 200 if given else 401, to_tag="raw")
        if not given:
            challenge = 'Digest realm="outside", nonce="n1", algorithm=MD5, qop="auth"'
            answer.headers.add("WWW-Authenticate", challenge)
        else:
            answer.headers.add("Contact", request.headers.get("Contact") or "")
        server.transport.send(flow, answer.serialise())
    return given


@pytest.fixture
def captured() -> Iterator[socket.socket]:
    """Where a capture server would take what it is sent."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        yield server


def taken(server: socket.socket) -> bytes:
    """All that was sent to it."""
    packets = b""
    while True:
        try:
            packets += server.recv(65_536)
        except BlockingIOError:
            return packets


async def prepared(directory: Path) -> None:
    state = StateDirectory(directory)
    state.prepared()
    async with Database(sqlite_url(state.database)) as database:
        await add_extension(Extensions(database), "agent-endpoint", Extension("6001"), PASSWORD)


async def test_s27_digests_and_keys_are_in_no_trace_log_or_file(
    surroundings: dict[str, str], tmp_path: Path, captured: socket.socket
) -> None:
    """Right and wrong ones, of a phone, of ours at an outside server, of both ends of a call."""
    await prepared(tmp_path / "state")
    port = captured.getsockname()[1]
    async with RawClient(0) as outside:
        account = (
            f'[{{"device": "6002", "server": "sip:127.0.0.1:{outside.transport.address[1]}", '
            f'"username": "out", "password": "{OUTSIDE}"}}]'
        )
        surroundings |= {
            "AGENT_ENDPOINT_HTTP__TOKEN": INSTALLATION,
            "AGENT_ENDPOINT_LOG__LEVEL": "debug",
            "AGENT_ENDPOINT_SIP__CAPTURE__SERVER": f"127.0.0.1:{port}",
            "AGENT_ENDPOINT_SIP__CAPTURE__PASSWORD": "hep",
            "AGENT_ENDPOINT_ACCOUNT": account,
        }
        async with started(surroundings, "serve", "--json") as serve, asyncio.TaskGroup() as group:
            assert serve.stderr is not None
            assert serve.stdout is not None
            logged = group.create_task(serve.stderr.read())
            at_server = group.create_task(registered_outside(outside))
            ready = await line(serve)
            async with (
                Phone(int(ready["sip_udp"].rpartition(":")[2])) as phone,
                EndpointClient(ready["plain"], INSTALLATION) as client,
            ):
                wrong = await phone.authorised("REGISTER", "6001", GUESS)
                assert wrong.status in (401, 403)
                assert (await phone.authorised("REGISTER", "6001", PASSWORD)).status == 200
                secrets = await at_server
                for key, status in ((BAD_KEY, 488), (KEY, 200)):
                    invited = await phone.authorised(
                        "INVITE",
                        "6001",
                        PASSWORD,
                        uri=CALLED,
                        to="6003",
                        headers=SDP,
                        body=OFFER.format(key).encode(),
                    )
                    assert invited.status == status
                (call,) = await client.calls()
                shown = [await client.trace_as(call.call, kind) for kind in KINDS]
                secrets += [*phone.secrets, KEY.encode(), BAD_KEY.encode()]
                async with aiohttp.ClientSession() as http:
                    headers = {"Authorization": f"Bearer {INSTALLATION}"}
                    for path in ("/metrics", "/health", f"/api/v1/calls/{call.call}/quality"):
                        async with http.get(ready["plain"] + path, headers=headers) as answer:
                            shown.append(await answer.read())
                await client.end("6003", call.call)
            serve.terminate()
            shown += [await serve.stdout.read(), await logged]
    packets = taken(captured)
    assert len(secrets) >= 8
    # The traces are of these very messages, with something else in the place of what is secret.
    for trace in (shown[0], shown[3], packets):
        assert b'response=\\"xxx' in trace or b'response="xxx' in trace
        assert trace.count(b"inline:xxx") >= 2
    shown += [packets, files_of(tmp_path / "state")]
    clear = (PASSWORD, GUESS, OUTSIDE, INSTALLATION)
    for seen in shown:
        for secret in (*secrets, *(each.encode() for each in clear)):
            for form in forms(secret):
                assert form not in seen


async def test_s27_a_crash_shows_and_leaves_no_secret(
    surroundings: dict[str, str], tmp_path: Path
) -> None:
    """Handlers are wrong, a media worker is killed by a fault, then the endpoint itself."""
    await prepared(tmp_path / "state")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sitecustomize.py").write_text(BROKEN)
    paths = (str(tmp_path / "broken"), surroundings.get("PYTHONPATH", ""))
    surroundings |= {
        "AGENT_ENDPOINT_HTTP__TOKEN": INSTALLATION,
        "AGENT_ENDPOINT_LOG__LEVEL": "debug",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    (tmp_path / "here").mkdir()
    shell = ("sh", "-c", 'cd "$0" && ulimit -c unlimited && exec "$@"', str(tmp_path / "here"))
    async with (
        started(surroundings, "serve", "--json", before=shell) as serve,
        asyncio.TaskGroup() as group,
    ):
        assert serve.stderr is not None
        assert serve.stdout is not None
        logged = group.create_task(serve.stderr.read())
        ready = await line(serve)
        async with (
            Phone(int(ready["sip_udp"].rpartition(":")[2])) as phone,
            EndpointClient(ready["plain"], INSTALLATION) as client,
        ):
            await client.add_to_directory("agents", directory.Agent("1001"))
            await client.set_agent_password("1001", PASSWORD)
            with pytest.raises(RequestRefused) as refused:
                await client.log_in("1001", PASSWORD)
            told = f"{refused.value!r} {refused.value.refused}"
            # Who may call is decided wrongly, so nobody is challenged; then audio is wrong.
            value = digest(CHALLENGE, "INVITE", CALLED, "6001", PASSWORD)
            headers = (f"Authorization: {value}", "X-Broken: 1", *SDP)
            offer = OFFER.format(KEY).encode()
            broken = await phone.ask(
                phone.request("INVITE", uri=CALLED, to="6003", headers=headers, body=offer)
            )
            assert broken.status == 500
            failed = await phone.authorised(
                "INVITE", "6001", PASSWORD, uri=CALLED, to="6003", headers=SDP, body=offer
            )
            assert failed.status >= 400
            told += f"{broken.serialise()!r} {failed.serialise()!r}"
        children = children_of(serve.pid)
        limits = {core_limit(process) for process in (serve.pid, *children)}
        for process in (*children, serve.pid):
            os.kill(process, signal.SIGSEGV)
        assert await ended(serve) == -signal.SIGSEGV
        log = await logged
    assert log.count(b"RuntimeError") >= 2
    seen = log + told.encode() + files_of(tmp_path / "state")
    for secret in (*phone.secrets, PASSWORD.encode(), KEY.encode(), INSTALLATION.encode()):
        for form in forms(secret):
            assert form not in seen
    assert limits <= {"0", "1"}
    assert list((tmp_path / "here").iterdir()) == []
