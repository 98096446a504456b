"""A certificate that is renewed while the endpoint runs is shown to whoever comes after."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from endpoint.app import certificates, renewal
from endpoint.app.context import running_client
from endpoint.app.facts import sip_config
from endpoint.app.renewal import CertificateInUse
from endpoint.app.settings import Config
from endpoint.app.state import StateDirectory
from endpoint.app.wiring import Endpoint
from endpoint.client.client import EndpointClient

from .conftest import configuration
from .test_serve import PATIENCE_S, ended, line, started, surroundings

pytestmark = pytest.mark.integration

__all__ = ["surroundings"]
RSA, ECDSA = trustme.KeyType.RSA, trustme.KeyType.ECDSA


@dataclass(frozen=True)
class Certbot:
    """Keeps certificates as certbot does: `live` has links to the newest of all."""

    directory: Path
    ca: trustme.CA

    @property
    def certificate(self) -> Path:
        return self.directory / "live" / "fullchain.pem"

    @property
    def key(self) -> Path:
        return self.directory / "live" / "privkey.pem"

    @property
    def settings(self) -> dict[str, str]:
        """Of `[http]`."""
        return {"certificate": str(self.certificate), "key": str(self.key)}

    def issue(self, number: int, kind: trustme.KeyType = ECDSA) -> int:
        """Put one into the archive; its serial number."""
        made = self.ca.issue_cert("localhost", "127.0.0.1", key_type=kind)
        archive = self.directory / "archive"
        archive.mkdir(exist_ok=True)
        (archive / f"privkey{number}.pem").write_bytes(made.private_key_pem.bytes())
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        (archive / f"fullchain{number}.pem").write_bytes(chain)
        return x509.load_pem_x509_certificate(chain).serial_number

    def link(self, live: Path, number: int) -> None:
        """Have one of the two be that of the archive."""
        live.parent.mkdir(exist_ok=True)
        archived = self.directory / "archive" / live.name.replace(".", f"{number}.")
        new = live.with_suffix(".new")
        new.symlink_to(archived)
        new.replace(live)

    def renew(self, number: int, kind: trustme.KeyType = ECDSA) -> int:
        """Issue and link both; the serial number."""
        serial = self.issue(number, kind)
        self.link(self.certificate, number)
        self.link(self.key, number)
        return serial

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@pytest.fixture
def certbot(tmp_path: Path) -> Certbot:
    directory = tmp_path / "letsencrypt"
    directory.mkdir()
    return Certbot(directory, trustme.CA())


async def shown(port: int, trust: ssl.SSLContext) -> int:
    """The serial number that a new connection is shown."""
    async with asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection("localhost", port, ssl=trust)
    with closing(writer):
        octets = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(octets).serial_number


async def until_shown(serial: int, port: int, trust: ssl.SSLContext) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await shown(port, trust) != serial:
            pass


async def logged(process: Process, event: str) -> dict[str, str]:
    """The next of this name in its log."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: dict[str, str] = json.loads(await process.stderr.readline())
            if found["event"] == event:
                return found


def port_of(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


async def test_serve_shows_a_renewed_certificate_and_its_call_goes_on(
    surroundings: dict[str, str], certbot: Certbot
) -> None:
    first = certbot.renew(1)
    trust = certbot.trust()
    surroundings |= {
        "AGENT_ENDPOINT_HTTP__CERTIFICATE": str(certbot.certificate),
        "AGENT_ENDPOINT_HTTP__KEY": str(certbot.key),
        "AGENT_ENDPOINT_SIP__TLS_PORT": "0",
    }
    async with started(surroundings, "serve", "--json") as serve:
        ready = await line(serve)
        https, sip = port_of(ready["page"]), port_of(ready["sip_tls"])
        state = StateDirectory(Path(ready["token"]).parent)
        token = state.stored_token() or ""
        async with (
            EndpointClient(ready["page"], token, ssl_context=trust) as client,
            client.events() as frames,
        ):
            await client.make_call("6002", "6003")
            async with asyncio.timeout(PATIENCE_S):
                while getattr(await anext(frames), "event", "") != "Established":
                    pass
            second = certbot.issue(2)
            certbot.link(certbot.key, 2)
            complaint = await logged(
                serve, "the new certificate can't be used, the one before is still shown"
            )
            assert str(certbot.key) in complaint["reason"]
            assert "its key" in complaint["reason"]
            assert [await shown(port, trust) for port in (https, sip)] == [first, first]
            certbot.link(certbot.certificate, 2)
            taken = await logged(serve, "certificate taken up")
            assert "valid_until" in taken
            assert [await shown(port, trust) for port in (https, sip)] == [second, second]
            # A command trusts the certificate that is shown now.
            async with running_client(configuration(state.path)) as command:
                (call,) = await command.calls()
                await command.clear("6002", call.call)
            async with asyncio.timeout(PATIENCE_S):
                while getattr(await anext(frames), "event", "") != "CallCleared":
                    pass
        serve.send_signal(signal.SIGTERM)
        assert await ended(serve) == 0


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_S", 0.05)


@pytest.mark.usefixtures("often")
async def test_files_that_take_the_place_of_others_are_taken_up_by_every_listener(
    tmp_path: Path, certbot: Certbot
) -> None:
    first, trust = certbot.renew(1), certbot.trust()
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    for live, place in ((certbot.certificate, certificate), (certbot.key, key)):
        place.write_bytes(live.read_bytes())
    config = configuration(
        tmp_path / "state",
        http={"certificate": certificate, "key": key},
        sip={"tls_port": 0},
        basiccall={"enabled": True, "port": 0},
    )
    async with Endpoint(config) as endpoint:
        assert endpoint.sip_tls_address is not None
        ports = (endpoint.http.port, endpoint.basiccall.port, endpoint.sip_tls_address[1])
        assert {await shown(port, trust) for port in ports} == {first}
        second = certbot.renew(2)
        for live, place in ((certbot.key, key), (certbot.certificate, certificate)):
            new = tmp_path / "new"
            new.write_bytes(live.read_bytes())
            new.replace(place)
        await until_shown(second, ports[0], trust)
        assert {await shown(port, trust) for port in ports} == {second}
        leaf = endpoint.state.running()
        assert leaf is not None
        assert x509.load_pem_x509_certificate(leaf.certificate.encode()).serial_number == second


@pytest.mark.usefixtures("often")
async def test_the_old_one_is_gone_where_the_new_has_a_key_of_another_kind(
    tmp_path: Path, certbot: Certbot
) -> None:
    """OpenSSL keeps one of each kind in a context, and would rather show the ECDSA one."""
    old, trust = certbot.renew(1, ECDSA), certbot.trust()
    async with Endpoint(configuration(tmp_path / "state", http=certbot.settings)) as endpoint:
        port = endpoint.http.port
        assert await shown(port, trust) == old
        await until_shown(certbot.renew(2, RSA), port, trust)


def put_nothing(certbot: Certbot) -> None:
    certbot.key.unlink()


def put_no_pem(certbot: Certbot) -> None:
    certbot.key.unlink()
    certbot.key.write_text("none\n")


def put_another_key(certbot: Certbot) -> None:
    certbot.issue(3)
    certbot.link(certbot.key, 3)


@pytest.mark.parametrize("put", [put_nothing, put_no_pem, put_another_key])
async def test_what_can_not_be_used_is_said_once_and_changes_nothing(
    tmp_path: Path,
    certbot: Certbot,
    put: Callable[[Certbot], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = certbot.renew(1)
    config = configuration(tmp_path / "state", http=certbot.settings)
    in_use = CertificateInUse(config, StateDirectory(tmp_path / "state").prepared())
    context = in_use.context(certificates.server_context)
    taken: list[str] = []
    look = partial(in_use.look, lambda: taken.append(in_use.leaf))
    async with await asyncio.start_server(closed, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        put(certbot)
        for _ in range(4):
            await look()
        assert capsys.readouterr().out.count("can't be used") == 1
        assert (await shown(port, certbot.trust()), taken) == (first, [])
        second = certbot.renew(4)
        await look()
        assert (await shown(port, certbot.trust()), len(taken)) == (second, 1)
        await look()
        assert len(taken) == 1


async def closed(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_trunks_that_ask_who_we_are_are_shown_the_renewed_one(
    tmp_path: Path, certbot: Certbot
) -> None:
    """Mutual TLS, by what SIP is sent with."""
    serials = [certbot.renew(1)]
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certbot.ca.configure_trust(asking)
    certbot.ca.issue_cert("localhost").configure_cert(asking)
    asking.verify_mode = ssl.CERT_REQUIRED
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.read()
            octets = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            seen.put_nowait(x509.load_der_x509_certificate(octets).serial_number)

    authority = tmp_path / "ca.pem"
    certbot.ca.cert_pem.write_to_path(str(authority))
    more = {"http": certbot.settings, "sip": {"tls_ca": authority}}
    config = configuration(tmp_path / "state", **more)
    in_use = CertificateInUse(config, StateDirectory(tmp_path / "state").prepared())
    policy = sip_config(config, in_use).user_agent.transport.tls
    assert policy is not None
    async with await asyncio.start_server(note, "127.0.0.1", 0, ssl=asking) as server:
        port = server.sockets[0].getsockname()[1]
        for number in (1, 2):
            if number == 2:
                serials.append(certbot.renew(2))
                await in_use.look(lambda: None)
            _, writer = await asyncio.open_connection("localhost", port, ssl=policy.context)
            policy.check(writer.get_extra_info("ssl_object"), "localhost")
            writer.close()
            async with asyncio.timeout(PATIENCE_S):
                assert await seen.get() == serials[-1]


async def test_one_of_our_own_making_is_renewed_before_it_ends(tmp_path: Path) -> None:
    """Of an endpoint that nobody restarts for a year; who trusts the local CA trusts it."""
    state, now = StateDirectory(tmp_path / "state").prepared(), [datetime.now(UTC)]
    in_use = CertificateInUse(Config(), state, lambda: now[0])
    context = in_use.context(certificates.server_context)
    trust = certificates.client_context(in_use.authority)
    async with await asyncio.start_server(closed, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        first, until = await shown(port, trust), in_use.now.not_after
        await in_use.look(lambda: None)
        assert await shown(port, trust) == first
        now[0] = until - certificates.RENEW_BEFORE + timedelta(minutes=1)
        certificate = in_use.now.certificate.read_bytes()
        await in_use.look(lambda: None)
        assert in_use.now.not_after == (now[0] + certificates.LIFETIME).replace(microsecond=0)
        assert in_use.now.certificate.read_bytes() != certificate
        renewed = x509.load_pem_x509_certificate(in_use.leaf.encode())
        # By its clock it began an hour ago, by that of this machine it has not yet.
        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
            await shown(port, trust)
        renewed.verify_directly_issued_by(
            x509.load_pem_x509_certificate((state.tls / "ca.pem").read_bytes())
        )
