"""SIP over WebSocket, server and client, over loopback (RFC 7118)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
import trustme
from aiohttp import WSCloseCode, WSMsgType

from signaling.errors import CertificateRefused, TransportError
from signaling.sip.flow import TransportKind
from signaling.transport.websocket import (
    ConnectionState,
    WebSocketClient,
    WebSocketListener,
    WebSocketSettings,
    serve,
)
from tests.fakes.receiver import PATIENCE_S, Recorder

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

PROMPT = WebSocketSettings(first_delay_s=0.01, maximum_delay_s=0.05, close_timeout_s=1.0)


@pytest.fixture
def server() -> Recorder:
    return Recorder()


@pytest.fixture
def phone() -> Recorder:
    return Recorder()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@contextlib.asynccontextmanager
async def running(client: WebSocketClient) -> AsyncIterator[WebSocketClient]:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        try:
            yield client
        finally:
            await client.close()


async def refusal(http: aiohttp.ClientSession, url: str, **upgrade) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(url, **upgrade)
    return refused.value.status


async def closing_code(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
                return socket.close_code


# -- the server end -------------------------------------------------------------------------------


async def test_one_message_a_frame_text_or_binary(server, http):
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        socket = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        assert socket.protocol == "sip"
        await socket.send_str("as text")
        await socket.send_bytes(b"as binary \xff")
        (text, flow), (binary, same) = await server.message(), await server.message()
        assert (text, binary) == (b"as text", b"as binary \xff")
        assert flow == same
        assert flow == await server.opening()
        assert (flow.transport, flow.host, flow.listener) == (TransportKind.WS, host, "ws")
        listener.send(flow, b"answer as text")
        listener.send(flow, b"answer as binary \xff")
        assert (await socket.receive()).data == "answer as text"
        assert (await socket.receive()).data == b"answer as binary \xff"
        await socket.close()
        assert await server.closing() == (flow, None)
        with pytest.raises(TransportError):
            listener.send(flow, b"too late")


async def test_without_the_subprotocol_there_is_no_connection(server, http):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        assert await refusal(http, url) == 400
        assert await refusal(http, url, protocols=("xmpp",)) == 400
        async with http.get(f"http://{host}:{port}/sip") as response:
            assert response.status == 426
        socket = await http.ws_connect(url, protocols=("xmpp", "sip"))
        assert socket.protocol == "sip"
        await socket.close()


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        ("https://good.example", True),
        ("https://evil.example", False),
        ("https://good.example.evil", False),
        ("http://good.example", False),
        ("null", False),
        (None, True),
    ],
)
async def test_the_origin_rule_decides_on_pages(server, http, origin, admitted):
    def rule(origin, request):
        return None if origin == "https://good.example" else f"{origin}: see setting x"

    listener = WebSocketListener("ws", server, origin_rule=rule)
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        if admitted:
            await (await http.ws_connect(url, protocols=("sip",), origin=origin)).close()
        else:
            assert await refusal(http, url, protocols=("sip",), origin=origin) == 403


async def test_without_a_rule_no_page_connects(server, http):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        assert await refusal(http, url, protocols=("sip",), origin=f"http://{host}:{port}") == 403


async def test_64_kib_pass_and_one_octet_more_closes_with_1009(server, http):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        socket = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        await socket.send_bytes(b"x" * 65536)
        assert len((await server.message())[0]) == 65536
        await socket.send_bytes(b"x" * 65537)
        assert await closing_code(socket) == WSCloseCode.MESSAGE_TOO_BIG
        await server.closing()
        await socket.close()


async def test_a_keep_alive_is_answered_and_not_passed_on(server, http):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        socket = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        await socket.send_str("\r\n\r\n")
        assert (await socket.receive()).data == "\r\n"
        await socket.send_str("\r\n")  # a pong: no answer
        await socket.send_str("message")
        assert (await server.message())[0] == b"message"
        await socket.close()


async def test_a_silent_connection_is_closed_and_a_kept_one_is_not(server, http):
    listener = WebSocketListener("ws", server, WebSocketSettings(idle_timeout_s=0.2))
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        kept = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        listener.keep(await server.opening())
        silent = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        flow = await server.opening()
        assert await closing_code(silent) == WSCloseCode.POLICY_VIOLATION
        closed, error = await server.closing()
        assert closed == flow
        assert "idle" in str(error)
        await kept.send_str("still here")
        assert (await server.message())[0] == b"still here"
        await kept.close()
        await silent.close()


async def test_s8_a_frame_that_comes_an_octet_at_a_time_is_given_up(server):
    """Whoever sends without end and says nothing is idle."""
    listener = WebSocketListener("ws", server, WebSocketSettings(idle_timeout_s=0.5))
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        _, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"GET /sip HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await server.opening()
        begun = b"\x81\xfe\x10\x00mask"  # text of 4096 octets, masked
        async with asyncio.TaskGroup() as tasks:

            async def drip() -> None:
                for octet in (*begun, *bytes(4000)):
                    writer.write(bytes([octet]))
                    await asyncio.sleep(0.02)

            dripping = tasks.create_task(drip())
            _, error = await server.closing()
            dripping.cancel()
        assert "idle" in str(error)
        writer.close()


async def test_a_far_end_that_does_not_pong_is_gone(server, http):
    listener = WebSocketListener("ws", server, WebSocketSettings(heartbeat_s=0.1))
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        socket = await http.ws_connect(url, protocols=("sip",), autoping=False)
        flow = await server.opening()
        listener.keep(flow)
        closed, error = await server.closing()
        assert closed == flow
        assert isinstance(error, TransportError)
        await socket.close()


async def test_connections_are_capped_for_each_source_and_overall(server, http):
    settings = WebSocketSettings(maximum_connections=3, maximum_connections_per_source=2)
    listener = WebSocketListener("ws", server, settings)
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        sockets = [await http.ws_connect(url, protocols=("sip",)) for _ in range(2)]
        assert await refusal(http, url, protocols=("sip",)) == 503
        elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=elsewhere) as other:
            sockets.append(await other.ws_connect(url, protocols=("sip",)))
            assert await refusal(other, url, protocols=("sip",)) == 503
            await sockets[0].close()
            await server.closing()
            sockets.append(await other.ws_connect(url, protocols=("sip",)))
            for socket in sockets:
                await socket.close()


async def test_a_reader_that_does_not_keep_up_is_cut_off(server, http):
    listener = WebSocketListener(
        "ws", server, WebSocketSettings(maximum_backlog=2, close_timeout_s=0.1)
    )
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        socket = await http.ws_connect(f"ws://{host}:{port}/sip", protocols=("sip",))
        flow = await server.opening()

        def flood() -> None:
            for _ in range(10):  # without a pause, so that nothing is written meanwhile
                listener.send(flow, b"x")

        with pytest.raises(TransportError, match="keep up"):
            flood()
        closed, error = await server.closing()
        assert closed == flow
        assert "slow reader" in str(error)
        await socket.close()


async def test_a_closed_listener_says_goodbye_and_takes_nobody(server, http):
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        url = f"ws://{host}:{port}/sip"
        socket = await http.ws_connect(url, protocols=("sip",))
        flow = await server.opening()
        listener.send(flow, b"last words")

        async def last_frames():
            return await socket.receive(), await socket.receive()

        _, (words, goodbye) = await asyncio.gather(listener.close(), last_frames())
        assert words.data == "last words"
        assert goodbye.type is WSMsgType.CLOSE
        assert goodbye.data == WSCloseCode.GOING_AWAY
        assert await refusal(http, url, protocols=("sip",)) == 503


async def test_a_taken_port_is_named(server):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        with pytest.raises(TransportError, match=str(port)):
            async with serve(WebSocketListener("other", server), host, port):
                pass


# -- the client end -------------------------------------------------------------------------------


async def test_the_client_connects_sends_and_receives(server, phone):
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0) as (host, port):
        async with running(WebSocketClient("out", f"ws://{host}:{port}/sip", phone)) as client:
            flow = await phone.opening()
            assert client.state is ConnectionState.OPEN
            assert client.flow == flow
            assert (flow.transport, flow.host, flow.port) == (TransportKind.WS, host, port)
            assert flow.listener == "out"
            client.send(flow, b"question")
            octets, back = await server.message()
            assert octets == b"question"
            listener.send(back, b"answer")
            assert await phone.message() == (b"answer", flow)
        assert client.state is ConnectionState.CLOSED
        assert await phone.closing() == (flow, None)
        assert await server.closing() == (back, None)


async def test_a_restarted_server_is_found_again_over_a_new_flow(server, phone):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        client = WebSocketClient("out", f"ws://{host}:{port}/sip", phone, settings=PROMPT)
        context = running(client)
        await context.__aenter__()
        first = await phone.opening()
    assert (await phone.closing())[0] == first
    async with serve(WebSocketListener("ws", server), "127.0.0.1", port):
        second = await phone.opening()
        assert second != first
        with pytest.raises(TransportError):
            client.send(first, b"over the old one")
        await context.__aexit__(None, None, None)


async def test_the_wait_doubles_up_to_its_limit(phone, unused_tcp_port):
    waits: list[float] = []
    settings = WebSocketSettings(first_delay_s=0.001, maximum_delay_s=0.004, jitter=0.0)

    class Patient(WebSocketClient):
        def _next_delay_s(self) -> float:
            waits.append(super()._next_delay_s())
            if len(waits) == 5:
                seen.set()
            return waits[-1]

    seen = asyncio.Event()
    client = Patient("out", f"ws://127.0.0.1:{unused_tcp_port}/sip", phone, settings=settings)
    async with running(client), asyncio.timeout(PATIENCE_S):
        await seen.wait()
    assert waits[:5] == [0.001, 0.002, 0.004, 0.004, 0.004]


async def failure(client: WebSocketClient) -> TransportError | None:
    """What the first attempt to connect came to."""
    failed = asyncio.Event()

    def on_state(client: WebSocketClient) -> None:
        if client.state is ConnectionState.WAITING:
            failed.set()

    client._on_state = on_state
    async with running(client), asyncio.timeout(PATIENCE_S):
        await failed.wait()
    return client.error


async def test_an_unreachable_server_is_a_transport_error(phone, unused_tcp_port):
    error = await failure(WebSocketClient("out", f"ws://127.0.0.1:{unused_tcp_port}/sip", phone))
    assert isinstance(error, TransportError)
    assert not isinstance(error, CertificateRefused)
    assert str(error).endswith("can't be reached: Connection refused")


async def test_an_unknown_host_is_a_transport_error(phone):
    error = await failure(WebSocketClient("out", "wss://no-such-host.invalid/sip", phone))
    assert isinstance(error, TransportError)
    assert "the name no-such-host.invalid does not resolve; check it" in str(error)
    assert "ssl" not in str(error)


async def test_a_server_that_speaks_no_tls_is_said_so(server, phone):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        error = await failure(WebSocketClient("out", f"wss://{host}:{port}/sip", phone))
    assert "does it speak TLS on this port?" in str(error)


async def test_a_server_that_is_no_sip_server_is_a_transport_error(phone, server):
    async with serve(WebSocketListener("ws", server), "127.0.0.1", 0) as (host, port):
        error = await failure(WebSocketClient("out", f"ws://{host}:{port}/elsewhere", phone))
    assert "404" in str(error)


async def test_a_server_that_never_answers_is_given_up(phone):
    async def silent(reader, writer):
        with contextlib.closing(writer):
            await reader.read()

    listening = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    settings = WebSocketSettings(connect_timeout_s=0.1)
    client = WebSocketClient("out", f"ws://127.0.0.1:{port}/sip", phone, settings=settings)
    assert "did not answer" in str(await failure(client))
    listening.close()
    await listening.wait_closed()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_over_tls_with_a_trusted_certificate(server, phone, authority, server_context):
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0, ssl_context=server_context) as (host, port):
        client = WebSocketClient(
            "out", f"wss://{host}:{port}/sip", phone, ssl_context=trusting, settings=PROMPT
        )
        async with running(client):
            assert (await phone.opening()).transport is TransportKind.WSS
            assert (await server.opening()).transport is TransportKind.WSS


async def test_a_certificate_that_is_not_trusted_is_refused(server, phone, server_context):
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0, ssl_context=server_context) as (host, port):
        error = await failure(WebSocketClient("out", f"wss://{host}:{port}/sip", phone))
    assert isinstance(error, CertificateRefused)
    assert str(error).endswith("is refused: unable to get local issuer certificate")


async def test_a_certificate_for_another_name_is_refused(server, phone, authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listener = WebSocketListener("ws", server)
    async with serve(listener, "127.0.0.1", 0, ssl_context=context) as (host, port):
        url = f"wss://{host}:{port}/sip"
        error = await failure(WebSocketClient("out", url, phone, ssl_context=trusting))
    assert isinstance(error, CertificateRefused)
