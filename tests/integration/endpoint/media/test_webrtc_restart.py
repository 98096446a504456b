"""ICE restarts of a WebRTC port: another way, while the call goes on over the old one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from itertools import pairwise

import msgspec
import pytest
from aioice import ice
from aioice.stun import Message

from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.webrtc_dtls import DtlsAssociation
from tests.integration.endpoint.media.conftest import PhoneMaker
from tests.integration.endpoint.media.phone import Phone
from tests.integration.endpoint.media.sides import SETTINGS, Side, connect, plane

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

DEAD = "1 1 udp 2130706431 127.0.0.1 9 typ host"


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    """The offerer's and the answerer's, connected."""
    async with plane() as a, plane() as b:
        await a.open(controlling=True)
        await b.open(controlling=False)
        await connect(a, b)
        yield a, b


@pytest.fixture
async def phones(sides: tuple[Side, Side], phone: PhoneMaker) -> tuple[Phone, Phone]:
    """One behind each side, who hear each other."""
    one, two = await phone("A"), await phone("B")
    for side, each in zip(sides, (one, two), strict=True):
        await side.add_phone(each)
    await until_heard(one, two)
    return one, two


async def until_heard(*phones: Phone) -> None:
    for each in phones:
        await each.until_packets(15)


async def restart(
    a: Side, b: Side, *, offerer_controls: bool = True, new_association: bool = False
) -> None:
    await a.restart(controlling=offerer_controls, new_association=new_association)
    await b.restart(controlling=not offerer_controls, new_association=new_association)


def losses(phone: Phone) -> int:
    """Sequence numbers that never came."""
    numbers = [h.packet.sequence for h in phone.heard]
    steps = [(y - x) & 0xFFFF for x, y in pairwise(numbers)]
    return sum(step - 1 for step in steps)


def is_closed(address: tuple[str, int]) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        try:
            other.bind(address)
        except OSError:
            return False
        return True


async def until_closed(*addresses: tuple[str, int]) -> None:
    async with asyncio.timeout(20):
        while not all(is_closed(address) for address in addresses):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def handshakes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The role of each that begins from now on."""
    begun: list[str] = []
    begin = DtlsAssociation._set_role

    def count(self: DtlsAssociation, role: str) -> None:
        begun.append(role)
        begin(self, role)

    monkeypatch.setattr(DtlsAssociation, "_set_role", count)
    return begun


@pytest.mark.parametrize("new_association", [False, True])
@pytest.mark.parametrize("offerer_controls", [True, False])
async def test_a_restart_moves_the_call_and_loses_nothing(
    sides: tuple[Side, Side],
    phones: tuple[Phone, Phone],
    monkeypatch: pytest.MonkeyPatch,
    *,
    offerer_controls: bool,
    new_association: bool,
) -> None:
    """Three in a row, on sockets of their own, by one SSRC; a handshake only where agreed on."""
    a, b = sides
    begun = handshakes(monkeypatch)
    for times in (2, 3, 4):
        before = [(side.local, side.web_address) for side in sides]
        await restart(a, b, offerer_controls=offerer_controls, new_association=new_association)
        for side, (local, address) in zip(sides, before, strict=True):
            assert side.web_address != address
            assert side.local.ufrag != local.ufrag
            assert side.local.ssrc == local.ssrc
        await connect(a, b, times=times, new_association=new_association)
        host, port = b.web_address
        assert (await a.statistics("W")).remote == f"{host}:{port}"
        await until_heard(*phones)
        await until_closed(*(address for _, address in before))
    assert len(begun) == (6 if new_association else 0)
    # With other keys a packet may be there before the last flight of the handshake is read.
    bearable = 3 if new_association else 0
    assert all(losses(each) <= bearable for each in phones)
    assert len({h.packet.ssrc for each in phones for h in each.heard}) == 2
    for side in sides:
        counted = await side.statistics("W")
        assert counted.packets_lost <= bearable
        assert counted.packets_refused == counted.packets_foreign == 0


async def test_the_far_end_may_ask_for_a_new_association_by_itself(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = sides
    begun = handshakes(monkeypatch)
    await a.restart(controlling=True)
    await b.restart(controlling=False, new_association=True)
    await connect(a, b, times=2, new_association=True, role=m.DtlsRole.SERVER)
    await until_heard(*phones)
    assert sorted(begun) == ["client", "server"]


async def test_nothing_is_restarted_before_the_far_end_is_known() -> None:
    async with plane() as a:
        await a.open(controlling=True)
        with pytest.raises(MediaError, match="no ICE session"):
            await a.restart(controlling=True)


async def test_the_call_goes_on_while_the_answer_is_awaited_and_when_it_is_the_old_one(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone]
) -> None:
    a, b = sides
    old = b.local
    await a.restart(controlling=True)
    prepared = a.web_address
    await until_heard(*phones)
    assert not is_closed(prepared)
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, sending=True))
    await until_closed(prepared)
    with pytest.raises(MediaError, match="with an ICE restart"):
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT, ufrag="abcd"))
    await until_heard(*phones)
    # And now in earnest.
    await restart(a, b)
    assert b.local.ufrag != old.ufrag
    await connect(a, b, times=2)
    await until_heard(*phones)


async def test_the_end_of_the_old_candidates_is_not_that_of_the_new_ones(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone]
) -> None:
    """The far end still tells candidates while our restart is on its way (RFC 8838 §11)."""
    a, b = sides
    await restart(a, b)
    await a.link.request(m.AddCandidates("W", [DEAD], complete=True))
    await b.link.request(b.remote(a, m.DtlsRole.SERVER, candidates=[]))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT))
    for side in sides:
        await side.until_notice(m.PortConnected, 2)
    await until_heard(*phones)


async def test_the_last_of_two_prepared_restarts_counts(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone]
) -> None:
    a, b = sides
    await a.restart(controlling=True)
    first = a.web_address
    await restart(a, b)
    await until_closed(first)
    await connect(a, b, times=2)
    await until_heard(*phones)


async def test_a_restart_that_still_gathers_makes_way_for_another_and_for_the_end() -> None:
    async with plane() as a, plane() as b:
        silent = m.IceServer("stun:127.0.0.1:9")
        a.local = await a.link.request(m.OpenWebRtcPort("W", True, [silent]))
        await b.open(controlling=False)
        await connect(a, b)
        for number in (1, 2):
            a.link.send(m.RestartIce("W", True, id=number))
            refused = asyncio.get_running_loop().create_task(a.restart(controlling=True))
            await asyncio.sleep(0)
            await a.link.request(m.Ping())
            if number == 1:
                await refused
                continue
            await a.link.request(m.ClosePort("W"))
            with pytest.raises(MediaError, match="was closed"):
                await refused
        (failed,) = await b.until_notice(m.PortFailed)
        assert failed.failure is m.PortFailure.CLOSED


async def test_the_old_values_take_the_last_hope_of_a_port_that_is_lost(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = sides
    old = a.remote(b, m.DtlsRole.CLIENT)
    await restart(a, b)
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, candidates=[DEAD]))
    monkeypatch.setattr(ice.Connection, "request_received", lambda *_: None)
    await a.until_counted("W", lambda c: c.remote == "")
    assert not [n for n in a.notices if isinstance(n, m.PortFailed)]
    await a.link.request(old)
    assert await a.until_notice(m.PortFailed) == [m.PortFailed("W", m.PortFailure.NO_ROUTE)]


async def test_only_webrtc_is_restarted(phone: PhoneMaker) -> None:
    async with plane() as a:
        await a.connect(await phone("A"))
        with pytest.raises(MediaError, match="no WebRTC"):
            await a.link.request(m.RestartIce("A", True))


async def test_other_credentials_twice_need_two_restarts(sides: tuple[Side, Side]) -> None:
    a, b = sides
    await restart(a, b)
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, candidates=[DEAD]))
    with pytest.raises(MediaError, match="with an ICE restart"):
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT, ufrag="abcd"))


async def test_without_a_new_association_fingerprint_and_role_stay(
    sides: tuple[Side, Side],
) -> None:
    a, b = sides
    await restart(a, b)
    wrong = [m.Fingerprint("sha-256", ":".join(["AB"] * 32))]
    for changed in (
        a.remote(b, m.DtlsRole.CLIENT, fingerprints=wrong),
        a.remote(b, m.DtlsRole.SERVER),
    ):
        with pytest.raises(MediaError, match="with a new association"):
            await a.link.request(changed)
    await connect(a, b, times=2)


async def test_a_handshake_goes_on_over_the_new_way(
    phone: PhoneMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had begun by the old one, where nothing of it ever arrived."""
    hurried = msgspec.structs.replace(SETTINGS, connect_timeout_s=3.0)
    async with plane(hurried) as a, plane(hurried) as b:
        begun = handshakes(monkeypatch)
        monkeypatch.setattr(DtlsAssociation, "receive", lambda *_: None)
        await a.open(controlling=True)
        await b.open(controlling=False)
        await b.link.request(b.remote(a, m.DtlsRole.SERVER))
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT))
        for side in (a, b):
            await side.until_counted("W", lambda c: c.remote != "")
        await restart(a, b)
        monkeypatch.undo()
        await connect(a, b)
        assert sorted(begun) == ["client", "server"]
        one, two = await phone("A"), await phone("B")
        await a.add_phone(one)
        await b.add_phone(two)
        await one.until_packets(200)  # longer than the old way had time to connect
        assert not [n for side in (a, b) for n in side.notices if isinstance(n, m.PortFailed)]


async def test_a_restart_that_leads_nowhere_leaves_the_old_way(phone: PhoneMaker) -> None:
    impatient = msgspec.structs.replace(SETTINGS, connect_timeout_s=0.3)
    async with plane() as b, plane(impatient) as a:
        await a.open(controlling=True)
        await b.open(controlling=False)
        await connect(a, b)
        one = await phone("A")
        await b.add_phone(one)
        await restart(a, b)
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT, candidates=[DEAD]))
        (failed,) = await a.until_notice(m.RestartFailed)
        assert failed == m.RestartFailed("W", m.PortFailure.NO_ROUTE)
        before = (await a.statistics("W")).packets_received
        await a.until_counted("W", lambda c: c.packets_received > before + 10)
        assert not [n for n in a.notices if isinstance(n, m.PortFailed)]


async def test_a_restart_that_somebody_else_answers_ends_the_call(sides: tuple[Side, Side]) -> None:
    """The new association's certificate is not the one that was signalled."""
    a, b = sides
    await restart(a, b, new_association=True)
    wrong = [m.Fingerprint("sha-256", ":".join(["AB"] * 32))]
    await b.link.request(b.remote(a, m.DtlsRole.SERVER, new_association=True))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, new_association=True, fingerprints=wrong))
    (failed,) = await a.until_notice(m.PortFailed)
    assert failed == m.PortFailed("W", m.PortFailure.WRONG_FINGERPRINT)
    sent = (await a.statistics("W")).packets_sent
    (told,) = await b.until_notice(m.PortFailed)
    assert told.failure is m.PortFailure.CLOSED
    assert (await a.statistics("W")).packets_sent == sent


async def test_a_restart_brings_a_port_back_whose_consent_was_lost(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = sides
    begun = handshakes(monkeypatch)
    answer = ice.Connection.request_received

    def ignore(
        self: ice.Connection, message: Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        pass

    monkeypatch.setattr(ice.Connection, "request_received", ignore)
    for side in sides:
        (failed,) = await side.until_notice(m.PortFailed)
        assert failed.failure is m.PortFailure.CONSENT_LOST
    monkeypatch.setattr(ice.Connection, "request_received", answer)
    await restart(a, b)
    await connect(a, b, times=2)
    await until_heard(*phones)
    assert begun == []


async def test_after_the_far_end_has_said_goodbye_only_a_new_association_helps(
    sides: tuple[Side, Side],
) -> None:
    a, b = sides
    await b.link.request(m.ClosePort("W"))
    (failed,) = await a.until_notice(m.PortFailed)
    assert failed.failure is m.PortFailure.CLOSED
    await b.open(controlling=False)
    await a.restart(controlling=True)
    with pytest.raises(MediaError, match="has ended"):
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT))
    await a.restart(controlling=True, new_association=True)
    await b.link.request(b.remote(a, m.DtlsRole.SERVER))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, new_association=True))
    await a.until_notice(m.PortConnected, 2)
    await b.until_notice(m.PortConnected, 2)


async def test_consent_lost_during_a_restart_is_no_end(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network has changed: the old way dies while the new one is still being found."""
    a, b = sides
    old = {a.local.ufrag, b.local.ufrag}
    answer = ice.Connection.request_received

    def answer_the_new(
        self: ice.Connection, message: Message, addr: tuple[str, int], protocol: ice.StunProtocol
    ) -> None:
        if self.local_username not in old:
            answer(self, message, addr, protocol)

    monkeypatch.setattr(ice.Connection, "request_received", answer_the_new)
    await restart(a, b)
    later = {"candidates": [], "candidates_complete": False}
    await b.link.request(b.remote(a, m.DtlsRole.SERVER, **later))
    await a.link.request(a.remote(b, m.DtlsRole.CLIENT, **later))
    for side in sides:
        await side.until_counted("W", lambda c: c.remote == "")
    await a.link.request(m.AddCandidates("W", b.local.candidates, complete=True))
    for side in sides:
        await side.until_notice(m.PortConnected, 2)
        assert not [n for n in side.notices if isinstance(n, m.PortFailed)]
    await until_heard(*phones)


async def test_a_stranger_is_kept_out_of_the_new_way_too(
    sides: tuple[Side, Side], phones: tuple[Phone, Phone]
) -> None:
    a, b = sides
    await restart(a, b)
    hello = bytes.fromhex("16feff000000000000000000360100002a000000000000002afefd") + bytes(42)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        for side in sides:
            for datagram in (hello, bytes([0x80]) + bytes(40), bytes([0x15]) + bytes(14)):
                stranger.sendto(datagram, side.web_address)
        await connect(a, b, times=2)
        for side in sides:
            await side.until_counted("W", lambda c: c.packets_foreign == 3)
    await until_heard(*phones)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_port_may_be_closed_in_the_middle_of_a_restart(
    sides: tuple[Side, Side], *, begun: bool
) -> None:
    a, b = sides
    old = a.web_address
    await restart(a, b)
    if begun:
        await a.link.request(a.remote(b, m.DtlsRole.CLIENT))
    await a.link.request(m.ClosePort("W"))
    await until_closed(old, a.web_address)
    (failed,) = await b.until_notice(m.PortFailed)
    assert failed.failure is m.PortFailure.CLOSED
    await a.open(controlling=True)


@pytest.mark.parametrize("both_control", [True, False])
async def test_a_conflict_of_roles_is_settled(*, both_control: bool) -> None:
    """RFC 8445 §7.3.1.1: the tie-breakers decide."""
    async with plane() as a, plane() as b:
        for side in (a, b):
            await side.open(controlling=both_control)
        await connect(a, b)
        for side in (a, b):
            await side.restart(controlling=not both_control)
        await connect(a, b, times=2)
