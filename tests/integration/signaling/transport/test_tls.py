"""Whose certificates are believed where we connect by TLS, and whom a server asks for one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from signaling.errors import CertificateRefused, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.transport.tcp import StreamTransport
from signaling.transport.tls import TlsPolicy, client_context, key_pin, server_context
from signaling.transport.websocket import ConnectionState, WebSocketClient, WebSocketListener, serve
from tests.fakes.receiver import PATIENCE_S, Recorder

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

HOST = "127.0.0.1"
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@dataclass
class Files:
    """A CA and certificates of its making, as PEM files."""

    directory: Path
    ca: trustme.CA

    @property
    def authority(self) -> Path:
        path = self.directory / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return path

    def issue(self, name: str, **more: object) -> tuple[Path, Path]:
        """Certificate and key for a name."""
        leaf = self.ca.issue_cert(name, **more)
        certificate, key = self.directory / "leaf.pem", self.directory / "leaf.key"
        certificate.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return certificate, key


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, trustme.CA())


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext) -> AsyncIterator[tuple[int, Recorder]]:
    """A TLS server's port, and what it is told."""
    told = Recorder()
    server = StreamTransport("server", told)
    _, port = await server.listen(HOST, 0, context)
    try:
        yield port, told
    finally:
        await server.close()


async def connect(port: int, policy: TlsPolicy) -> Flow:
    """Connect as a client would; close again."""
    client = StreamTransport("client", Recorder(), tls=policy)
    try:
        return await client.connect(TransportKind.TLS, HOST, port)
    finally:
        await client.close()


def pin_of(certificate: Path) -> bytes:
    leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    return key_pin(leaf.public_bytes(Encoding.DER))


async def test_s25_a_certificate_that_has_expired_is_refused(files: Files) -> None:
    context = server_context(*files.issue(HOST, not_after=YESTERDAY))
    async with serving(context) as (port, _):
        with pytest.raises(CertificateRefused, match="expired"):
            await connect(port, TlsPolicy(client_context(files.authority)))


async def test_s25_a_certificate_that_nobody_has_signed_is_refused(files: Files) -> None:
    async with serving(server_context(*files.issue(HOST))) as (port, told):
        with pytest.raises(CertificateRefused):
            await connect(port, TlsPolicy())
        assert told.messages.empty()


@pytest.mark.parametrize("fault", ["expired", "another name"])
async def test_s25_a_websocket_server_is_judged_alike(files: Files, fault: str) -> None:
    names = {"expired": HOST, "another name": "pbx.example"}
    more = {"not_after": YESTERDAY} if fault == "expired" else {}
    context = server_context(*files.issue(names[fault], **more))
    states: asyncio.Queue[WebSocketClient] = asyncio.Queue()
    trusting = ssl.create_default_context(cafile=str(files.authority))
    async with (
        serve(WebSocketListener("ws", Recorder()), HOST, 0, ssl_context=context) as (host, port),
        asyncio.TaskGroup() as tasks,
    ):
        client = WebSocketClient(
            "client",
            f"wss://{host}:{port}/sip",
            Recorder(),
            ssl_context=trusting,
            on_state=states.put_nowait,
        )
        tasks.create_task(client.run())
        async with asyncio.timeout(PATIENCE_S):
            while (await states.get()).state is not ConnectionState.WAITING:
                pass
        assert isinstance(client.error, CertificateRefused)
        await client.close()


@pytest.mark.virtual_time(False)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
async def test_s25_a_server_of_old_is_refused(files: Files, version: str) -> None:
    certificate, key = files.issue(HOST)
    program = shutil.which("openssl")
    assert program is not None
    arguments = ["s_server", "-accept", f"{HOST}:0", version, "-cipher", "ALL:@SECLEVEL=0"]
    arguments += ["-cert", str(certificate), "-key", str(key)]
    server = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert server.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while not (said := await server.stdout.readline()).startswith(b"ACCEPT "):
                assert said, "it has ended"
        port = int(said.rpartition(b":")[2])
        with pytest.raises(TransportError, match="TLS fails"):
            await connect(port, TlsPolicy(client_context(files.authority)))
    finally:
        server.terminate()
        await server.wait()


async def test_s25_a_pinned_key_is_believed_whatever_its_certificate_says(files: Files) -> None:
    certificate, key = files.issue("somebody.example", not_after=YESTERDAY)
    pinned = client_context(pinned=True)
    async with serving(server_context(certificate, key)) as (port, _):
        await connect(port, TlsPolicy(pinned, pin_of(certificate)))
        with pytest.raises(CertificateRefused, match="pin"):
            await connect(port, TlsPolicy(pinned, bytes(32)))


async def test_s25_with_an_authority_both_must_be_right(files: Files) -> None:
    certificate, key = files.issue(HOST)
    trusting = client_context(files.authority, pinned=True)
    async with serving(server_context(certificate, key)) as (port, _):
        await connect(port, TlsPolicy(trusting, pin_of(certificate)))
        with pytest.raises(CertificateRefused, match="pin"):
            await connect(port, TlsPolicy(trusting, bytes(32)))


async def test_a_server_may_ask_its_clients_for_a_certificate(files: Files) -> None:
    """Mutual TLS: who shows none is not spoken with."""
    context = server_context(*files.issue(HOST), client_authority=files.authority)
    async with serving(context) as (port, told):
        certificate, key = files.issue("phone.example")
        known = client_context(files.authority, certificate=certificate, key=key)
        await connect(port, TlsPolicy(known))
        await told.opening()
        stranger = StreamTransport(
            "stranger", strangers := Recorder(), tls=TlsPolicy(client_context(files.authority))
        )
        with contextlib.suppress(TransportError):  # TLS 1.3 tells it after the handshake
            await stranger.connect(TransportKind.TLS, HOST, port)
            await strangers.closing()
        assert told.opened_flows.empty()
        await stranger.close()
