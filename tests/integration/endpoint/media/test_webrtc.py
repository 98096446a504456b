"""Two WebRTC ports in two planes, and who attacks them: S11, S13, S14."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import msgspec
import pytest
from aioice import ice
from aioice.stun import Class, Message, Method, parse_message
from OpenSSL import SSL

from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import WorkerLink
from endpoint.media.rtp import HEADER
from endpoint.media.srtp import SrtpSession
from endpoint.media.webrtc import WebRtcTransport
from endpoint.media.webrtc_dtls import DtlsAssociation, certificates
from endpoint.media.webrtc_ice import IceConnection
from endpoint.media.webrtc_ice import _Protocol as IceProtocol
from tests.integration.endpoint.media.conftest import PhoneMaker
from tests.integration.endpoint.media.sides import SETTINGS, Side, connect, plane

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

CLIENT_HELLO = bytes.fromhex("16feff000000000000000000360100002a000000000000002afefd") + bytes(42)
FATAL_ALERT = bytes.fromhex("15fefd00000000000000000002022f")
NO_STUN = b"\x00\x01\x00\x04" + bytes(16)
RTP = HEADER.pack(0x80, 0, 1, 160, 7) + bytes(160)
WRONG_256 = m.Fingerprint("sha-256", ":".join(["AB"] * 32))
WRONG_512 = m.Fingerprint("SHA-512", ":".join(["AB"] * 64))


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    """The offerer's and the answerer's, each with an open port."""
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        yield a, b


@pytest.mark.parametrize("role", m.DtlsRole)
async def test_audio_digits_and_reports_go_both_ways(
    sides: tuple[Side, Side], phone: PhoneMaker, role: m.DtlsRole
) -> None:
    a, b = sides
    one, two = await phone("A"), await phone("B")
    await a.add_phone(one)
    await b.add_phone(two)
    await connect(a, b, role)
    await one.until_packets(60)
    await two.until_packets(30)
    assert (one.hears(), two.hears()) == ({"B"}, {"A"})
    one.press("7")
    (digit, *_) = await b.until_notice(m.DigitReceived)
    assert (digit.port, digit.digit) == ("W", "7")
    await b.link.request(m.SendDigits("W", "5"))
    assert any(d.digit == "5" for d in await a.until_notice(m.DigitReceived, 2))
    for side in sides:
        counted = await side.until_counted("W", lambda c: c.round_trip_ms is not None)
        assert counted.packets_lost == counted.packets_refused == counted.packets_foreign == 0
        assert (counted.codec, counted.srtp_profile) == ("PCMU", m.SrtpProfile.AEAD_AES_256_GCM)
    host, port = b.web_address
    assert (await a.statistics("W")).remote == f"{host}:{port}"


async def test_candidates_may_come_later(sides: tuple[Side, Side]) -> None:
    a, b = sides
    for side, other, role in ((a, b, m.DtlsRole.SERVER), (b, a, m.DtlsRole.CLIENT)):
        later = side.remote(other, role, candidates=[], candidates_complete=False)
        await side.link.request(later)
    await a.link.request(m.AddCandidates("W", b.local.candidates))
    await a.link.request(m.AddCandidates("W", [], complete=True))
    for side in sides:
        await side.until_notice(m.PortConnected)


@pytest.mark.parametrize(
    "datagram",
    [CLIENT_HELLO, FATAL_ALERT, RTP, NO_STUN],
    ids=["hello", "alert", "rtp", "no stun"],
)
@pytest.mark.parametrize("role", m.DtlsRole)
async def test_s13_a_stranger_can_not_break_into_the_handshake(
    sides: tuple[Side, Side], phone: PhoneMaker, role: m.DtlsRole, datagram: bytes
) -> None:
    """Forty of them before, in every turn of the loop during, and after."""
    a, b = sides

    def spray(count: int) -> None:
        for side in sides:
            for _ in range(count):
                attacker.sendto(datagram, side.web_address)

    async def keep_spraying() -> None:
        while True:
            spray(2)
            await asyncio.sleep(0.001)

    with socket.socket(type=socket.SOCK_DGRAM) as attacker:
        attacker.bind(("127.0.0.1", 0))
        attacker.setblocking(False)
        spray(40)
        async with asyncio.TaskGroup() as group:
            attack = group.create_task(keep_spraying())
            await connect(a, b, role)
            attack.cancel()
        one, two = await phone("A"), await phone("B")
        await a.add_phone(one)
        await b.add_phone(two)
        for _ in range(10):
            spray(20)
            await two.until_packets(5)
        assert two.hears() == {"A"}
        for side in sides:
            counted = await side.until_counted("W", lambda c: c.packets_foreign >= 200)
            assert counted.packets_lost == counted.packets_malformed == 0
            assert not [n for n in side.notices if isinstance(n, m.PortFailed)]


async def test_s11_the_loop_turns_seldom_for_many_packets_of_a_stranger(
    sides: tuple[Side, Side],
) -> None:
    """Where it turns by the beat (`Pace`), they would fill the queue of the socket."""
    a, b = sides
    await connect(a, b)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        for number in range(160):
            stranger.sendto((RTP, CLIENT_HELLO, NO_STUN)[number % 3], a.web_address)
    turns = 0
    while (await a.statistics("W")).packets_foreign < 160:
        await asyncio.sleep(0)
        turns += 1
        assert turns <= 20


async def test_a_far_end_that_seems_to_be_everywhere_has_few_checked(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows our password, and names a third party in each packet's source."""
    a, b = sides
    await connect(a, b)
    checked = set()
    check = IceConnection.check_start_task

    def note(self: IceConnection, pair: ice.CandidatePair) -> None:
        checked.add(pair.remote_addr)
        check(self, pair)

    monkeypatch.setattr(IceConnection, "check_start_task", note)
    request = Message(Method.BINDING, Class.REQUEST)
    request.attributes["USERNAME"] = f"{a.local.ufrag}:{b.local.ufrag}"
    request.attributes["PRIORITY"] = 1
    request.attributes["ICE-CONTROLLED"] = 1
    request.add_message_integrity(a.local.pwd.encode())
    for number in range(1, 255):
        with socket.socket(type=socket.SOCK_DGRAM) as far:
            far.bind((f"127.0.1.{number}", 0))
            far.sendto(bytes(request), a.web_address)
    with socket.socket(type=socket.SOCK_DGRAM) as last:
        last.sendto(RTP, a.web_address)
    await a.until_counted("W", lambda c: c.packets_foreign == 1)
    assert 90 < len(checked) <= 100


class Answerer(asyncio.DatagramProtocol):
    """A far end that makes no checks, and answers ours."""

    def __init__(self, error: tuple[int, str] | None = None) -> None:
        self.checks = 0
        self.said_hello = asyncio.Event()
        self._error = error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[0] == CLIENT_HELLO[0]:
            self.said_hello.set()
            return
        self.checks += 1
        request = parse_message(data)
        kind = Class.ERROR if self._error else Class.RESPONSE
        response = Message(Method.BINDING, kind, request.transaction_id)
        if self._error:
            response.attributes["ERROR-CODE"] = self._error
        else:
            response.attributes["XOR-MAPPED-ADDRESS"] = addr
        response.add_message_integrity(b"p" * 22)
        self._transport.sendto(bytes(response), addr)


@contextlib.asynccontextmanager
async def checking(answerer: Answerer, *, is_lite: bool) -> AsyncIterator[Side]:
    """A side that has answered and checks it."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: answerer, local_addr=("127.0.0.1", 0)
    )
    host, port = transport.get_extra_info("sockname")
    hurried = msgspec.structs.replace(SETTINGS, connect_timeout_s=1)
    async with plane(hurried) as a:
        await a.open(controlling=False)
        described = a.remote(
            a,
            m.DtlsRole.CLIENT,
            ufrag="lite",
            pwd="p" * 22,
            candidates=[f"1 1 udp 2130706431 {host} {port} typ host"],
            ice_lite=is_lite,
        )
        await a.link.request(described)
        yield a
    transport.close()


async def test_a_lite_far_end_is_led_by_us_whoever_has_offered() -> None:
    """It answers checks, and makes none (RFC 8445 §6.1.1)."""
    answerer = Answerer()
    async with checking(answerer, is_lite=True) as a:
        await a.until_notice(m.PortFailed)
    assert answerer.said_hello.is_set()


async def test_a_far_end_that_never_comes_to_terms_about_roles_is_given_up() -> None:
    answerer = Answerer((487, "Role Conflict"))
    async with checking(answerer, is_lite=False) as a:
        (failed,) = await a.until_notice(m.PortFailed)
    assert failed.failure is m.PortFailure.NO_ROUTE
    assert 2 <= answerer.checks < 20


async def test_a_check_that_lacks_what_it_needs_ends_nothing(sides: tuple[Side, Side]) -> None:
    """It comes before we know whose it is, and is looked at when we do."""
    a, b = sides
    shown: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: shown.append(what))
    request = Message(Method.BINDING, Class.REQUEST)
    request.attributes["USERNAME"] = f"{a.local.ufrag}:{b.local.ufrag}"
    request.add_message_integrity(a.local.pwd.encode())
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.sendto(bytes(request), a.web_address)
        far.sendto(RTP, a.web_address)
        # It is believed whose check was in order so far.
        far.sendto(NO_STUN, a.web_address)
    await a.until_counted("W", lambda c: c.packets_foreign == 1)
    await connect(a, b)
    assert not shown


async def test_a_mistake_of_ours_ends_no_other_call(
    sides: tuple[Side, Side], phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a port comes up, and where it closes."""
    a, b = sides
    shown: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: shown.append(what))
    one = await phone("A")
    await a.connect(one)
    close = IceConnection.close

    def break_(self: object, *_: object) -> None:
        raise RuntimeError("a mistake")

    async def close_and_break(self: IceConnection) -> None:
        await close(self)
        break_(self)

    monkeypatch.setattr(WebRtcTransport, "_up", break_)
    monkeypatch.setattr(IceConnection, "close", close_and_break)
    await b.link.request(b.remote(a, m.DtlsRole.SERVER))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT))
    for side in sides:
        (failed,) = await side.until_notice(m.PortFailed)
        assert failed.failure in (m.PortFailure.BROKEN, m.PortFailure.CLOSED)
    before = await a.statistics("A")
    await a.until_counted("A", lambda c: c.packets_received > before.packets_received + 5)
    assert len(shown) >= 3


@pytest.mark.parametrize("breaks", ["handshake", "check"])
async def test_a_mistake_where_a_port_fails_ends_no_other_call(
    sides: tuple[Side, Side], phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    """Where nobody can be told of the failure any more."""
    a, b = sides
    mistakes: asyncio.Queue[object] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, what: mistakes.put_nowait(what["exception"]))
    one = await phone("A")
    await a.connect(one)

    def break_(self: object, *_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(WebRtcTransport, "fail", break_)
    if breaks == "check":
        monkeypatch.setattr(IceConnection, "check", break_)
    else:
        await b.link.request(b.remote(a, m.DtlsRole.SERVER))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, fingerprints=[WRONG_256]))
    async with asyncio.timeout(20):
        assert isinstance(await mistakes.get(), RuntimeError)
    before = await a.statistics("A")
    await a.until_counted("A", lambda c: c.packets_received > before.packets_received + 5)


async def test_a_report_that_can_not_be_protected_is_not_sent(
    sides: tuple[Side, Side], phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsrtp refuses what is no report."""
    a, b = sides
    for side, name in ((a, "A"), (b, "B")):
        await side.add_phone(await phone(name))
    protect, refused = SrtpSession.protect_rtcp, asyncio.Event()
    receive, empty = IceProtocol.datagram_received, 0

    def refuse(self: SrtpSession, report: bytes) -> memoryview:
        refused.set()
        return protect(self, report[:4])

    def count(self: IceProtocol, data: bytes | str, addr: tuple[str, int]) -> None:
        nonlocal empty
        empty += not data
        receive(self, data, addr)

    monkeypatch.setattr(IceProtocol, "datagram_received", count)
    with monkeypatch.context() as patch:
        patch.setattr(SrtpSession, "protect_rtcp", refuse)
        await connect(a, b)
        async with asyncio.timeout(20):
            await refused.wait()
    for side in sides:
        await side.until_counted("W", lambda c: c.round_trip_ms is not None)
    assert not empty


@pytest.mark.parametrize("role", m.DtlsRole)
async def test_s14_a_wrong_fingerprint_ends_in_a_named_failure_and_no_media(
    sides: tuple[Side, Side], phone: PhoneMaker, role: m.DtlsRole
) -> None:
    a, b = sides
    other = next(each for each in m.DtlsRole if each is not role)
    one = await phone("A")
    await a.connect(one)
    await a.link.request(m.SetRoutes("call", [m.RouteTo("A", "W"), m.RouteTo("W", "A")]))
    await b.link.request(b.remote(a, other))
    await a.link.request(a.remote(b, role, fingerprints=[WRONG_256]))
    (failed,) = await a.until_notice(m.PortFailed)
    assert failed == m.PortFailed("W", m.PortFailure.WRONG_FINGERPRINT)
    await a.until_counted("A", lambda c: c.packets_received > 10)
    assert (await a.statistics("W")).packets_sent == 0
    assert (await b.statistics("W")).packets_received == 0


def certified() -> dict[str, m.Fingerprint]:
    """What is true of the certificate of this process, by hash."""
    prints = certificates.current().getFingerprints()
    return {f.algorithm: m.Fingerprint(f.algorithm, f.value) for f in prints}


@pytest.mark.parametrize(
    ("wrong", "right", "is_believed"),
    [
        (WRONG_256, "sha-256", True),
        (WRONG_256, "sha-512", True),
        (m.Fingerprint("sha-1", "AB"), "sha-256", True),
        (WRONG_512, "sha-256", False),
    ],
)
async def test_s14_of_several_fingerprints_one_of_the_strongest_hash_must_match(
    sides: tuple[Side, Side], wrong: m.Fingerprint, right: str, *, is_believed: bool
) -> None:
    """A far end may have several certificates (RFC 8122 §5); a weaker hash proves nothing."""
    a, b = sides
    await b.link.request(b.remote(a, m.DtlsRole.SERVER))
    told = [wrong, certified()[right]]
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, fingerprints=told))
    if is_believed:
        await a.until_notice(m.PortConnected)
    else:
        (failed,) = await a.until_notice(m.PortFailed)
        assert failed == m.PortFailed("W", m.PortFailure.WRONG_FINGERPRINT)


@pytest.mark.parametrize("prints", [[], [m.Fingerprint("md5", ":".join(["AB"] * 16))]])
async def test_s14_without_a_fingerprint_that_can_be_trusted_nothing_begins(
    sides: tuple[Side, Side], prints: list[m.Fingerprint]
) -> None:
    a, b = sides
    with pytest.raises(MediaError, match="no fingerprint"):
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT, fingerprints=prints))


async def test_s14_a_connected_port_takes_no_other_fingerprint_and_no_plain_remote(
    sides: tuple[Side, Side], phone: PhoneMaker
) -> None:
    a, b = sides
    await connect(a, b)
    for changed in (
        a.remote(b, m.DtlsRole.CLIENT, fingerprints=[WRONG_256]),
        a.remote(b, m.DtlsRole.CLIENT, ufrag="abcd"),
        a.remote(b, m.DtlsRole.SERVER),
    ):
        with pytest.raises(MediaError, match="with an ICE restart"):
            await a.link.request(changed)
    one = await phone("A")
    with pytest.raises(MediaError, match="never speaks plain RTP"):
        await a.link.request(one.remote("W"))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, sending=False))


async def test_the_far_end_is_told_that_a_port_was_closed(sides: tuple[Side, Side]) -> None:
    a, b = sides
    await connect(a, b)
    await a.link.request(m.ClosePort("W"))
    (failed,) = await b.until_notice(m.PortFailed)
    assert failed.failure is m.PortFailure.CLOSED
    await b.link.request(m.ClosePort("W"))


async def test_sending_stops_when_consent_is_lost(
    sides: tuple[Side, Side], phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The far end, the controlled one, answers no check any more."""
    a, b = sides
    await connect(a, b)
    one = await phone("A")
    await a.add_phone(one)
    await b.until_counted("W", lambda c: c.packets_received > 10)
    answer = ice.Connection.request_received

    def answer_unless_controlled(
        self: ice.Connection, message: Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        if self.ice_controlling:
            answer(self, message, addr, protocol)

    monkeypatch.setattr(ice.Connection, "request_received", answer_unless_controlled)
    (failed,) = await a.until_notice(m.PortFailed)
    assert failed.failure is m.PortFailure.CONSENT_LOST
    sent = (await a.statistics("W")).packets_sent
    await a.until_counted("A", lambda c: c.packets_received > 80)
    assert (await a.statistics("W")).packets_sent == sent


async def test_a_far_end_that_can_not_be_reached_is_told(sides: tuple[Side, Side]) -> None:
    a, b = sides
    dead = "1 1 udp 2130706431 127.0.0.1 9 typ host"
    wrong = a.remote(b, m.DtlsRole.CLIENT, candidates=[dead], pwd="x" * 22)
    async with plane(msgspec.structs.replace(SETTINGS, connect_timeout_s=0.3)) as c:
        await c.open(controlling=True)
        await c.link.request(wrong)
        (failed,) = await c.until_notice(m.PortFailed)
        assert failed.failure in (m.PortFailure.TIMED_OUT, m.PortFailure.NO_ROUTE)


Mangle = Callable[[m.SetWebRtcRemote], m.SetWebRtcRemote]


@pytest.mark.parametrize(
    "mangle",
    [
        lambda r: msgspec.structs.replace(r, candidates=["candidate: nonsense"]),
        lambda r: msgspec.structs.replace(r, candidates=["1 x udp y 127.0.0.1 z typ host"]),
        lambda r: msgspec.structs.replace(r, ufrag="a"),
        lambda r: msgspec.structs.replace(r, pwd="not allowed at all! no, no"),
        lambda r: msgspec.structs.replace(r, send=[]),
    ],
)
async def test_what_can_not_be_used_is_refused(sides: tuple[Side, Side], mangle: Mangle) -> None:
    a, b = sides
    with pytest.raises(MediaError):
        await a.link.request(mangle(a.remote(b, m.DtlsRole.CLIENT)))
    await connect(a, b)


async def test_closing_a_port_that_is_being_opened_answers_both() -> None:
    async with plane() as a:
        opening: Awaitable[m.WebRtcAddress] = a.link.request(m.OpenWebRtcPort("W", True))
        task = asyncio.get_running_loop().create_task(_result(opening))
        await asyncio.sleep(0)
        await a.link.request(m.ClosePort("W"))
        with pytest.raises(MediaError, match="was closed"):
            await task
        await a.open(controlling=True)


async def _result(opening: Awaitable[m.WebRtcAddress]) -> m.WebRtcAddress:
    return await opening


def test_secrets_are_never_shown() -> None:
    server = m.IceServer("turn:turn.example.com", "user", "secret")
    address = m.WebRtcAddress("abcd", "secret", [], [], 1, "name")
    assert "secret" not in f"{server!r} {address!r} {m.OpenWebRtcPort('W', True, [server])!r}"


@pytest.mark.parametrize("role", m.DtlsRole)
@pytest.mark.parametrize("lost", range(4))
async def test_a_lost_flight_of_the_handshake_is_repeated_by_us(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch, role: m.DtlsRole, lost: int
) -> None:
    """OpenSSL's own timer, a second at its best, never comes."""
    a, b = sides
    take, count = DtlsAssociation.receive, 0

    def lose_one(self: DtlsAssociation, data: bytes) -> None:
        nonlocal count
        count += 1
        if count != lost + 1:
            take(self, data)

    monkeypatch.setattr(DtlsAssociation, "receive", lose_one)
    monkeypatch.setattr(SSL.Connection, "DTLSv1_get_timeout", lambda self: 60.0)
    await connect(a, b, role)
    assert count > lost


@pytest.mark.parametrize("ready", [False, True])
@pytest.mark.virtual_time(False)
async def test_a_worker_opens_its_first_webrtc_port(*, ready: bool) -> None:
    """In processes of their own, on the loop that they use; loaded on demand, or at the start."""
    settings = msgspec.structs.replace(SETTINGS, webrtc_ready=ready)
    check = "import sys, endpoint.media.worker; print('aiortc' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", check, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert printed.strip() == b"False"
    async with (
        asyncio.TaskGroup() as group,
        WorkerLink(settings) as here,
        WorkerLink(settings) as there,
    ):
        a, b = Side(here), Side(there)
        for side in (a, b):
            group.create_task(side.keep_notices())
        await a.open(controlling=True)
        await b.open(controlling=False)
        for side in (a, b):
            await side.link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
            await side.link.request(m.SetRoutes("call", [m.RouteTo("music", "W")]))
        await connect(a, b)
        for side in (a, b):
            counted = await side.until_counted("W", lambda c: c.packets_received >= 20)
            assert counted.packets_lost == counted.packets_refused == 0
