"""SIP over TCP and TLS, server and client, over loopback (RFC 3261 §18)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from random import Random

import pytest
import trustme

from signaling.errors import CertificateRefused, SipParseError, TransportError
from signaling.sip.flow import Flow, TransportKind
from signaling.sip.message import Limits, Request
from signaling.transport.stream import StreamSettings
from signaling.transport.tcp import StreamTransport
from signaling.transport.tls import TlsPolicy, client_context
from tests.fakes.receiver import PATIENCE_S, Recorder

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

KINDS = pytest.mark.parametrize("kind", [TransportKind.TCP, TransportKind.TLS])
HOST = "127.0.0.1"
PROMPT = StreamSettings(header_timeout_s=0.1, body_timeout_s=0.2, idle_timeout_s=0.3)


def message(number: int = 1, body: bytes = b"") -> bytes:
    return (
        b"OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK%d\r\nFrom: <sip:a@h>;tag=1\r\n"
        b"To: <sip:h>\r\nCall-ID: 1\r\nCSeq: %d OPTIONS\r\nContent-Length: %d\r\n\r\n%s"
        % (number, number, len(body), body)
    )


class End:
    """One end: a transport and what it tells."""

    def __init__(self, name: str, settings: StreamSettings | None, tls: TlsPolicy) -> None:
        self.told = Recorder()
        self.transport = StreamTransport(name, self.told, settings, tls=tls, random=Random(1))
        self.port = 0


@pytest.fixture
async def ends(
    authority: trustme.CA,
) -> AsyncIterator[object]:
    context = client_context()
    authority.configure_trust(context)
    async with contextlib.AsyncExitStack() as stack:

        def end(name: str, settings: StreamSettings | None = None) -> End:
            one = End(name, settings, TlsPolicy(context))
            stack.push_async_callback(one.transport.close)
            return one

        yield end


@pytest.fixture
async def phone(ends) -> End:
    return ends("phone")


@pytest.fixture
async def server(ends, kind: TransportKind, server_context: ssl.SSLContext) -> End:
    return await listening(ends("server"), kind, server_context)


async def listening(
    end: End, kind: TransportKind, context: ssl.SSLContext, host: str = HOST
) -> End:
    _, end.port = await end.transport.listen(host, 0, context if kind.secure else None)
    return end


async def gone(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the far end closes."""
    async with asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


@KINDS
async def test_messages_go_both_ways_over_one_connection(server: End, phone: End, kind):
    flow = await phone.transport.connect(kind, HOST, server.port)
    assert flow == await phone.told.opening()
    assert (flow.transport, flow.host, flow.port) == (kind, HOST, server.port)
    phone.transport.send(flow, message(1) + message(2, b"body")[:40])
    phone.transport.send(flow, message(2, b"body")[40:])
    (one, theirs), (two, same) = [await server.told.message() for _ in range(2)]
    assert (one, two) == (message(1), message(2, b"body"))
    assert theirs == same == await server.told.opening()
    assert theirs.port == phone.transport.local_address(flow)[1]
    server.transport.send(theirs, message(3))
    assert (await phone.told.message())[0] == message(3)


@KINDS
async def test_what_is_sent_waits_for_no_answer_to_what_was_sent_before(
    server: End, phone: End, kind
):
    """Nagle's algorithm held a 200 back for 40 ms, until the 180 before it was acknowledged."""
    await phone.transport.connect(kind, HOST, server.port)
    theirs, began = await server.told.opening(), asyncio.get_running_loop().time()
    for number in range(5):
        server.transport.send(theirs, message(number))
        await asyncio.sleep(0)
    assert [(await phone.told.message())[0] for _ in range(5)] == [message(n) for n in range(5)]
    assert asyncio.get_running_loop().time() - began < 0.001


@KINDS
async def test_a_connection_that_leads_there_is_used_again(server: End, phone: End, kind):
    flows = await asyncio.gather(
        *(phone.transport.connect(kind, HOST, server.port) for _ in range(3))
    )
    flows.append(await phone.transport.connect(kind, HOST, server.port))
    assert len(set(flows)) == 1


@KINDS
async def test_what_is_sent_to_an_address_opens_a_connection(server: End, phone: End, kind):
    address = Flow(kind, HOST, server.port, "phone")
    phone.transport.send(address, message(1))
    phone.transport.send(address, message(2))
    assert [(await server.told.message())[0] for _ in range(2)] == [message(1), message(2)]
    await server.transport.close()
    lost = {(await phone.told.closing())[0] for _ in range(2)}
    assert lost == {address, await phone.told.opening()}


@KINDS
async def test_an_address_where_nobody_listens_is_told_of(phone: End, kind, unused_tcp_port):
    address = Flow(kind, HOST, unused_tcp_port, "phone")
    phone.transport.send(address, message())
    flow, error = await phone.told.closing()
    assert flow == address
    assert "refused" in str(error)
    with pytest.raises(TransportError, match="refused"):
        await phone.transport.connect(kind, HOST, unused_tcp_port)


@KINDS
async def test_who_gives_up_connecting_is_no_reason_for_others_to(
    server: End, phone: End, kind, unused_tcp_port
):
    for port in (server.port, unused_tcp_port):
        async with asyncio.TaskGroup() as both:
            hasty = both.create_task(phone.transport.connect(kind, HOST, port))
            await asyncio.sleep(0)  # it has begun
            hasty.cancel()
            if port == server.port:
                assert (await phone.transport.connect(kind, HOST, port)).port == port
            else:
                with pytest.raises(TransportError, match="refused"):
                    await phone.transport.connect(kind, HOST, port)
        assert hasty.cancelled()


@KINDS
async def test_a_far_end_that_closes_ends_the_flow(server: End, phone: End, kind):
    flow = await phone.transport.connect(kind, HOST, server.port)
    await server.told.opening()
    await server.transport.close()
    assert await phone.told.closing() == (flow, None)
    with pytest.raises(TransportError, match="closed"):
        phone.transport.send(flow, message())
    with pytest.raises(TransportError):
        await phone.transport.connect(kind, HOST, server.port)


@KINDS
async def test_ipv6(ends, phone: End, kind, server_context, ipv6_loopback):
    server = await listening(ends("server"), kind, server_context, ipv6_loopback)
    flow = await phone.transport.connect(kind, ipv6_loopback, server.port)
    phone.transport.send(flow, message())
    octets, theirs = await server.told.message()
    assert (octets, theirs.host) == (message(), ipv6_loopback)


async def test_a_keep_alive_is_answered(ends, server_context):
    server = await listening(ends("server"), TransportKind.TCP, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(b"\r\n\r\n" + message())
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.readexactly(2) == b"\r\n"
    assert (await server.told.message())[0] == message()
    writer.close()


async def test_many_keep_alives_at_once_are_asked_of_and_answered_as_few(ends, server_context):
    """Each chunk that is read is: two million octets of them cost 0.6 s of everybody's calls."""
    server = await listening(ends("server"), TransportKind.TCP, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(b"\r\n\r\n" * 500_000 + message())
    await server.told.message()
    assert 1 <= server.told.pings < 1000
    writer.write_eof()
    assert await gone(reader) == b"\r\n" * server.told.pings
    writer.close()


async def test_the_far_end_is_pinged_and_one_that_falls_silent_is_lost(ends):
    """RFC 5626 §3.5.1; a server that has never answered is not taken for dead."""
    phone = ends("phone", StreamSettings(ping_s=0.02, pong_timeout_s=0.05))
    pings: asyncio.Queue[bytes] = asyncio.Queue()

    async def answer_thrice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for count in range(100):
            ping = await reader.read(4)
            if not ping:
                break
            pings.put_nowait(ping)
            if 1 <= count <= 3:  # the first is left unanswered
                writer.write(b"\r\n")
        writer.close()

    async with await asyncio.start_server(answer_thrice, HOST, 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        flow = await phone.transport.connect(TransportKind.TCP, HOST, port)
        lost, error = await phone.told.closing()
    assert lost == flow
    assert "keep-alive" in str(error)
    assert [pings.get_nowait() for _ in range(pings.qsize())] == [b"\r\n\r\n"] * 5


async def test_what_is_no_sip_is_answered_where_it_can_be_and_ends_the_connection(
    ends, server_context
):
    server = await listening(ends("server"), TransportKind.TCP, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + message())
    assert await gone(reader) == b""
    _, error = await server.told.closing()
    assert "does not speak SIP" in str(error)
    octets, _ = await server.told.message()
    assert octets.startswith(b"GET /")
    assert server.told.messages.empty()
    writer.close()


@pytest.mark.parametrize("octets", [b"OPTIONS ", message(1, b"body")[:-1]], ids=["headers", "body"])
async def test_s8_a_message_that_does_not_end_closes_the_connection(ends, server_context, octets):
    server = await listening(ends("server", PROMPT), TransportKind.TCP, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    server.transport.keep(await server.told.opening())  # not even for who proved who he is
    writer.write(octets)
    await gone(reader)
    _, error = await server.told.closing()
    assert "too slow" in str(error)
    writer.close()


async def test_s8_one_octet_at_a_time_does_not_prolong_it(ends, server_context):
    server = await listening(ends("server", PROMPT), TransportKind.TCP, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)

    async def drip() -> None:
        for octet in message():
            writer.write(bytes([octet]))
            await asyncio.sleep(0.01)  # the slow client itself

    async with asyncio.TaskGroup() as tasks:
        dripping = tasks.create_task(drip())
        _, error = await server.told.closing()
        dripping.cancel()
    assert "too slow" in str(error)
    await gone(reader)
    writer.close()


async def test_s8_a_silent_connection_is_closed_unless_its_user_is_known(ends, server_context):
    server = await listening(ends("server", PROMPT), TransportKind.TCP, server_context)
    _, known = await asyncio.open_connection(HOST, server.port)
    kept = await server.told.opening()
    server.transport.keep(kept)
    reader, stranger = await asyncio.open_connection(HOST, server.port)
    await gone(reader)
    flow, error = await server.told.closing()
    assert "idle" in str(error)
    server.transport.send(kept, message())
    assert flow != kept
    for writer in (known, stranger):
        writer.close()


async def test_s8_a_handshake_that_does_not_begin_is_given_up(ends, server_context):
    server = await listening(ends("server", PROMPT), TransportKind.TLS, server_context)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    await gone(reader)
    assert server.told.opened_flows.empty()
    writer.close()


@KINDS
async def test_s8_connections_are_counted_by_source_and_in_all(ends, kind, server_context):
    """Before the TLS handshake: one that never ends costs as much."""
    settings = StreamSettings(maximum_connections_per_source=3, maximum_connections=4)
    server = await listening(ends("server", settings), kind, server_context)
    held = [await asyncio.open_connection(HOST, server.port) for _ in range(3)]
    reader, one_more = await asyncio.open_connection(HOST, server.port)
    assert await gone(reader) == b""
    other, same = [
        await asyncio.open_connection(HOST, server.port, local_addr=("127.0.0.2", 0))
        for _ in range(2)
    ]
    assert await gone(same[0]) == b"", "the fifth of all"
    held[0][1].close()
    await held[0][1].wait_closed()
    if kind is TransportKind.TCP:
        await server.told.closing()
        _, again = await asyncio.open_connection(HOST, server.port)
        for _ in range(5):
            await server.told.opening()
        again.close()
    for _, writer in [*held, other, same]:
        writer.close()
    one_more.close()


@pytest.mark.parametrize(("host", "source"), [(HOST, "127.0.0.2"), ("::1", "::1")])
async def test_who_is_exempt_may_hold_more_connections(ends, server_context, host, source):
    settings = StreamSettings(maximum_connections_per_source=1, exempt=(source,))
    server = await listening(ends("server", settings), TransportKind.TCP, server_context, host)
    held = [
        await asyncio.open_connection(host, server.port, local_addr=(source, 0)) for _ in range(3)
    ]
    assert len({(await server.told.opening()).port for _ in held}) == 3
    for _, writer in held:
        writer.close()


async def test_who_does_not_read_is_given_up(ends, server_context):
    settings = StreamSettings(maximum_backlog=100_000)
    server = await listening(ends("server", settings), TransportKind.TCP, server_context)
    _, writer = await asyncio.open_connection(HOST, server.port)
    flow = await server.told.opening()

    def flood() -> None:
        for _ in range(1000):
            server.transport.send(flow, message(1, bytes(50_000)))

    with pytest.raises(TransportError, match="keep up"):
        flood()
    _, error = await server.told.closing()
    assert "keep up" in str(error)
    writer.close()


async def test_a_message_over_the_limit_is_told_of_once(ends, server_context):
    settings = StreamSettings(limits=Limits(message_octets=1000))
    server = await listening(ends("server", settings), TransportKind.TCP, server_context)
    read: list[object] = []
    server.told.received = lambda octets, flow, item: read.append(item)
    reader, writer = await asyncio.open_connection(HOST, server.port)
    writer.write(message(1) + message(2, bytes(2000)) + message(3))
    await gone(reader)
    await server.told.closing()
    first, refused = read
    assert isinstance(first, Request)
    assert isinstance(refused, SipParseError)
    assert refused.status_hint == 513
    writer.close()


async def test_after_close_nobody_is_let_in_and_nothing_is_sent(ends, server_context):
    server = await listening(ends("server"), TransportKind.TCP, server_context)
    await server.transport.close()
    await server.transport.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(HOST, server.port)
    with pytest.raises(TransportError, match="closed"):
        server.transport.send(Flow(TransportKind.TCP, HOST, 9, "server"), message())


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "pbx..example"])
async def test_a_name_that_can_be_nobodys_is_no_way(ends, server_context, name):
    server = await listening(ends("server"), TransportKind.TLS, server_context)
    with pytest.raises(TransportError, match="name of a TLS server"):
        await ends("phone").transport.connect(TransportKind.TLS, HOST, server.port, name)


async def test_far_ends_that_do_not_take_leave_are_waited_for_together(ends, server_context):
    server = await listening(
        ends("server", StreamSettings(close_timeout_s=0.5)), TransportKind.TLS, server_context
    )
    context = client_context()
    context.verify_mode = ssl.CERT_NONE

    def connect() -> ssl.SSLSocket:
        return context.wrap_socket(socket.create_connection((HOST, server.port)))

    silent = [await asyncio.to_thread(connect) for _ in range(10)]
    async with asyncio.timeout(PATIENCE_S):
        for _ in silent:
            await server.told.opened_flows.get()
    async with asyncio.timeout(4.0):  # one after the other it would be 5 s
        await server.transport.close()
    for each in silent:
        each.close()


async def test_a_taken_port_is_named(ends, server_context):
    server = await listening(ends("server"), TransportKind.TCP, server_context)
    with pytest.raises(TransportError, match=rf"127\.0\.0\.1:{server.port}"):
        await ends("other").transport.listen(HOST, server.port)


async def test_a_certificate_of_nobody_we_know_is_refused(ends, server_context):
    server = await listening(ends("server"), TransportKind.TLS, server_context)
    told = Recorder()
    trusting_the_system = StreamTransport("phone", told)
    with pytest.raises(CertificateRefused, match=r"127\.0\.0\.1 is refused: self.signed|unable"):
        await trusting_the_system.connect(TransportKind.TLS, HOST, server.port)
    await trusting_the_system.close()
    assert told.opened_flows.empty()


async def test_a_certificate_of_another_name_is_refused_and_nothing_is_told(ends, server_context):
    server = await listening(ends("server"), TransportKind.TLS, server_context)
    phone = ends("phone")
    with pytest.raises(CertificateRefused, match=r"not for pbx\.example, but for 127\.0\.0\.1"):
        await phone.transport.connect(TransportKind.TLS, HOST, server.port, "pbx.example")
    assert phone.told.opened_flows.empty()
    await phone.transport.connect(TransportKind.TLS, HOST, server.port, HOST)


async def test_f15_without_descriptors_a_connection_is_closed_at_once(ends):
    server: End = await listening(ends("server"), TransportKind.TCP, ssl.create_default_context())
    server.transport._has_room = lambda: False
    reader, writer = await asyncio.open_connection(HOST, server.port)
    assert await gone(reader) == b""
    writer.close()
    assert server.told.opened_flows.empty()
