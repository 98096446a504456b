"""The HTTP face against clients that mean ill, are slow, or are somebody else's page."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from endpoint.app import certificates
from endpoint.app.wiring import Endpoint

from .conftest import Desk, configuration

pytestmark = pytest.mark.integration

GOOD = {"device": "6002", "destination": "6003"}


async def test_the_page_comes_with_headers_that_fence_it_in(desk: Desk) -> None:
    for path, kind in {
        "": "text/html",
        "page.css": "text/css",
        "page.js": "text/javascript",
        "commands.js": "text/javascript",
        "telephone.js": "text/javascript",
        "icon.svg": "image/svg+xml",
    }.items():
        async with desk.http.get(desk.endpoint.url + path) as answer:
            assert answer.status == 200
            assert answer.content_type == kind
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Server"] == "agent-endpoint"


async def test_localhost_is_not_bound_to_tls_for_ever_but_a_named_host_is(desk: Desk) -> None:
    async with desk.http.get(desk.endpoint.url) as answer:
        assert "Strict-Transport-Security" not in answer.headers
    named = {"Host": "phone.example.com"}
    async with desk.http.get(desk.endpoint.url, headers=named) as answer:
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize(
    "path", ["/../settings.py", "/..%2fsettings.py", "/%2e%2e/settings.py", "/page/", "/x%00.js"]
)
async def test_no_other_file_can_be_asked_for(desk: Desk, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.endpoint.http.plain_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        status = (await reader.readline()).split()[1]
        await reader.read()
    writer.close()
    assert status in (b"404", b"400")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/calls"),
        ("GET", "/calls/x"),
        ("POST", "/calls"),
        ("POST", "/calls/x/clear"),
        ("GET", "/devices"),
        ("GET", "/registrations"),
        ("GET", "/events"),
        ("GET", "/nothing"),
    ],
)
async def test_every_request_needs_the_token(desk: Desk, method: str, path: str) -> None:
    async with desk.http.request(method, desk.url + path, json=GOOD) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"] == "unauthorised"
    assert await desk.client.calls() == []


async def test_our_own_page_may_use_it_and_an_admitted_one_is_echoed(
    state_directory: Path,
) -> None:
    origin = "https://crm.example.com"
    config = configuration(state_directory, http={"origins": [origin]})
    async with Endpoint(config) as endpoint, aiohttp.ClientSession() as http:
        plain = endpoint.running.plain_url
        bearer = {"Authorization": f"Bearer {endpoint.token}"}
        for admitted in (origin, plain, f"http://localhost:{endpoint.http.plain_port}"):
            async with http.get(
                f"{plain}/api/v1/health", headers={"Origin": admitted, **bearer}
            ) as answer:
                assert answer.status == 200
                assert answer.headers["Access-Control-Allow-Origin"] == admitted
                assert answer.headers["Vary"] == "Origin"
        async with http.get(f"{plain}/api/v1/health", headers=bearer) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_the_wildcard_of_ipv6_takes_ipv4_too(state_directory: Path) -> None:
    config = configuration(state_directory, http={"host": "::"})
    async with Endpoint(config) as endpoint:
        for host in ("127.0.0.1", "::1"):
            async with asyncio.timeout(10):
                _, writer = await asyncio.open_connection(host, endpoint.http.port)
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("path", ["/sip", "/api/v1/events"])
@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_a_foreign_page_can_open_no_websocket(desk: Desk, path: str, origin: str) -> None:
    url = f"wss://localhost:{desk.endpoint.http.port}{path}"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await desk.http.ws_connect(
            url, headers={**desk.bearer, "Origin": origin}, protocols=("sip", "agent-endpoint.v1")
        )
    assert refused.value.status == 403


async def test_a_phone_without_an_origin_may_open_the_sip_websocket(desk: Desk) -> None:
    async with desk.http.ws_connect(desk.endpoint.wss_url, protocols=("sip",)) as socket:
        assert socket.protocol == "sip"


async def test_a_body_that_is_too_long_is_refused(desk: Desk) -> None:
    body = b'{"device":"' + b"6" * 100_000 + b'"}'
    headers = {**desk.bearer, "Content-Type": "application/json"}
    async with desk.http.post(f"{desk.url}/calls", data=body, headers=headers) as answer:
        assert answer.status == 413
        assert (await answer.json())["expected"] == "at most 65536 octets"


async def test_s24_a_client_of_events_may_say_little(desk: Desk) -> None:
    """It has nothing to say: what is longer than a few kB closes the socket, unread."""
    async with desk.http.ws_connect(f"{desk.url}/events", headers=desk.bearer) as socket:
        await socket.receive_str(timeout=20)
        await socket.send_bytes(b"\0" * 1_000_000)
        while (message := await socket.receive(timeout=20)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_form_of_another_site_or_a_bomb_is_not_read(
    desk: Desk, headers: dict[str, str]
) -> None:
    async with desk.http.post(
        f"{desk.url}/calls", data=b"\x1f\x8b....", headers={**desk.bearer, **headers}
    ) as answer:
        assert answer.status == 415


async def test_a_body_that_does_not_come_is_given_up(state_directory: Path) -> None:
    config = configuration(state_directory, http={"body_timeout_s": 0.2})
    async with Endpoint(config) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.http.plain_port)
        writer.write(
            f"POST /api/v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {endpoint.token}\r\n\r\n"
            '{"device"'.encode()
        )
        async with asyncio.timeout(15):
            assert (await reader.readline()).split()[1] == b"408"
        writer.close()


async def test_slow_and_silent_clients_are_cut_off_while_others_are_served(
    state_directory: Path,
) -> None:
    config = configuration(
        state_directory, http={"header_timeout_s": 0.5, "connections_per_source": 10}
    )
    async with Endpoint(config) as endpoint, aiohttp.ClientSession() as http:
        port = endpoint.http.plain_port
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        for _, writer in slow[:3]:
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        async with http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200
        async with asyncio.timeout(15):
            for reader, writer in slow:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await reader.readexactly(1)
                writer.close()
        # Whoever asked in time is still there.
        async with http.get(f"http://127.0.0.1:{port}/") as answer:
            assert answer.status == 200


async def test_one_source_holds_no_more_connections_than_its_share(state_directory: Path) -> None:
    config = configuration(state_directory, http={"connections_per_source": 3})
    async with Endpoint(config) as endpoint:
        port = endpoint.http.plain_port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        async with asyncio.timeout(15):
            # In the order of the kernel's queue: the fourth is one too many.
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        for _, each in [*held, (reader, writer)]:
            each.close()


async def test_s8_connections_without_a_handshake_count_and_are_closed(
    state_directory: Path,
) -> None:
    http = {"connections_per_source": 3, "header_timeout_s": 1.0}
    async with Endpoint(configuration(state_directory, http=http)) as endpoint:
        port = endpoint.http.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        held[0][1].write(b"\x16\x03\x01")  # a handshake begins so
        held[1][1].write(b"GET / HTTP/1.1\r\n")  # and this is none
        async with asyncio.timeout(15):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            for each, _ in held:
                with suppress(ConnectionError):
                    await each.read()
        for _, each in [*held, (reader, writer)]:
            each.close()
        # There is room again.
        trust = certificates.client_context(endpoint.certificate.authority)
        _, writer = await asyncio.open_connection("localhost", port, ssl=trust)
        writer.close()


async def test_old_tls_is_refused_and_a_stranger_does_not_trust_our_ca(desk: Desk) -> None:
    port = desk.endpoint.http.port
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("localhost", port, ssl=ssl.create_default_context())
    old = certificates.client_context(desk.endpoint.certificate.authority)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        await asyncio.open_connection("localhost", port, ssl=old)
