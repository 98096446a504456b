"""Kamailio with docker/kamailio/kamailio.cfg: an outside sipWsServer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import trustme

from .feed import PeerError
from .process import Process, free_port, require

REPOSITORY = Path(__file__).parents[3]
CONFIG = REPOSITORY / "docker" / "kamailio" / "kamailio.cfg"
EDGE_CONFIG = Path(__file__).parents[1] / "kamailio" / "edge.cfg"
TENANTS_CONFIG = REPOSITORY / "docker" / "kamailio" / "tenants.cfg"
READY_TIMEOUT_S = 20.0


class Kamailio:
    """`async with Kamailio(directory) as server`: up when it answers OPTIONS.

    Args:
        directory: for its log, run files and certificate.
        rtpengine: control socket of an rtpengine (`udp:127.0.0.1:2223`); None: media goes straight.
        ca: who signs its certificate; a new CA where None.
        trunk: `host:port` of a customer, also with `;transport=tcp`, whose calls need no password
            and who has all numbers that begin with `+`.
        names: whom the certificate is for.
    """

    host = "127.0.0.1"
    realm = "sip.test"
    password = "kamailio-8f3c"

    def __init__(
        self,
        directory: Path,
        *,
        rtpengine: str | None = None,
        ca: trustme.CA | None = None,
        trunk: str | None = None,
        names: Sequence[str] = ("localhost", "127.0.0.1"),
    ) -> None:
        self.ca = ca or trustme.CA()
        self.sip_port = free_port()
        self.tls_port, self.ws_port, self.wss_port = (free_port() for _ in range(3))
        self._rtpengine = rtpengine
        self._trunk = trunk
        self._names = names
        self._config = CONFIG
        self._more: dict[str, str] = {}
        self._directory = directory
        self._stack = AsyncExitStack()
        self.process: Process

    @property
    def address(self) -> str:
        """`host:port` over UDP and TCP."""
        return f"{self.host}:{self.sip_port}"

    @property
    def ws_url(self) -> str:
        """Where SIP over plain WebSocket is served."""
        return f"ws://{self.host}:{self.ws_port}"

    @property
    def wss_url(self) -> str:
        """Where SIP over WebSocket and TLS is served; the certificate also names `localhost`."""
        return f"wss://{self.host}:{self.wss_port}"

    @property
    def tcp_uri(self) -> str:
        """Where SIP over TCP is served."""
        return f"sip:{self.address};transport=tcp"

    @property
    def tls_uri(self) -> str:
        """Where SIP over TLS is served; the certificate also names `localhost`."""
        return f"sip:{self.host}:{self.tls_port};transport=tls"

    @property
    def ca_file(self) -> Path:
        """PEM of the CA that signed its certificate."""
        return self._directory / "ca.pem"

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts this server."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context

    async def __aenter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        certificate = self.ca.issue_cert(*self._names)
        certificate_file, key_file = self._directory / "server.pem", self._directory / "server.key"
        certificate_file.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
        certificate.private_key_pem.write_to_path(str(key_file))
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        environment = {
            "SIP_ADDRESS": self.host,
            "SIP_PORT": str(self.sip_port),
            "SIP_TLS_PORT": str(self.tls_port),
            "SIP_WS_PORT": str(self.ws_port),
            "SIP_WSS_PORT": str(self.wss_port),
            "SIP_PASSWORD": self.password,
            "SIP_REALM": self.realm,
            "TLS_CERTIFICATE": str(certificate_file),
            "TLS_KEY": str(key_file),
        }
        if self._rtpengine is not None:
            environment["RTPENGINE"] = self._rtpengine
        if self._trunk is not None:
            environment["SIP_TRUNK"] = self._trunk
        self._environment = environment | self._more
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def _start(self, stack: AsyncExitStack) -> None:
        program = require("kamailio", "kamailio kamailio-tls-modules kamailio-websocket-modules")
        self.process = await stack.enter_async_context(
            Process(
                self._arguments(program),
                directory=self._directory,
                name="kamailio",
                environment=self._environment,
            )
        )
        await self._answers_options()

    def kill(self) -> None:
        """End it without a word: what it knew of phones is gone, their connections are cut."""
        self.process.kill()

    async def start_again(self) -> None:
        """After `kill`: up again on the same ports, knowing nobody."""
        await self._start(self._stack)

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _arguments(self, program: str) -> list[str | Path]:
        files = self._directory
        return [
            program,
            "-DD",
            "-E",
            "-f",
            self._config,
            "-m",
            "32",
            "-M",
            "8",
            "-Y",
            files,
            "-w",
            files,
        ]

    async def _answers_options(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.bind((self.host, 0))
            await loop.sock_connect(probe, (self.host, self.sip_port))
            port = probe.getsockname()[1]
            question = (
                f"OPTIONS sip:{self.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self.host}:{port};branch=z9hG4bKready;rport\r\n"
                f"From: <sip:probe@{self.address}>;tag=1\r\nTo: <sip:{self.address}>\r\n"
                "Call-ID: ready\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            try:
                async with asyncio.timeout(READY_TIMEOUT_S):
                    while self.process.returncode is None:
                        # Refused (ICMP) until it listens: ask again, as SIP over UDP does.
                        with contextlib.suppress(OSError, TimeoutError):
                            await loop.sock_sendall(probe, question)
                            async with asyncio.timeout(0.2):
                                if (await loop.sock_recv(probe, 4096)).startswith(b"SIP/2.0 200"):
                                    return
                        await asyncio.sleep(0.05)
            except TimeoutError:
                raise PeerError(f"kamailio does not answer, see {self.process.log}") from None
        raise PeerError(
            f"kamailio ended, see {self.process.log}\n{self.process.log.read_text()[-2000:]}"
        )


class EdgeProxy(Kamailio):
    """Kamailio with tests/interop/kamailio/edge.cfg, over UDP: phones reach a registrar through it.

    Args:
        directory: for its log and run files.
        registrar: `host:port` of the registrar behind it.
    """

    def __init__(self, directory: Path, registrar: str) -> None:
        super().__init__(directory)
        self._config = EDGE_CONFIG
        self._more = {"REGISTRAR": f"sip:{registrar}"}


class TenantProxy(Kamailio):
    """Kamailio with docker/kamailio/tenants.cfg, over UDP: one address for several registrars.

    Args:
        directory: for its log and run files.
        acme: `host:port` of the registrar for acme.example.com,
        globex: and for globex.example.com.
    """

    def __init__(self, directory: Path, acme: str, globex: str) -> None:
        super().__init__(directory)
        self._config = TENANTS_CONFIG
        self._more = {"ACME": f"sip:{acme}", "GLOBEX": f"sip:{globex}"}
