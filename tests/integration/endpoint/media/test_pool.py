"""Several workers as one plane: who hears whom, wherever the ports are."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.audio.wav import read_wav
from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.link import Link, LocalLink, WorkerLink, WorkerLost
from endpoint.media.pool import MediaPool, Placement, in_turn, together
from endpoint.media.rtp import HEADER
from tests.integration.endpoint.media.conftest import SETTINGS, PhoneMaker, Studio
from tests.integration.endpoint.media.phone import PCMA, PCMU, SIGNATURES, Phone, events

pytestmark = [pytest.mark.integration, pytest.mark.virtual_time]

ANYWHERE = "0.0.0.0"
R = TypeVar("R", bound=m.Result)


def at(*workers: int) -> Placement:
    """Open port after port at these workers."""
    homes = iter(workers)
    return lambda _ports, _near: next(homes)


@asynccontextmanager
async def studio_of(*links: Link, homes: Sequence[int]) -> AsyncIterator[Studio]:
    async with (
        asyncio.TaskGroup() as group,
        MediaPool(links, placement=at(*homes)) as pool,
    ):
        studio = Studio(pool)
        group.create_task(studio.keep_notices())
        await pool.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
        yield studio


@pytest.fixture
async def spread() -> AsyncIterator[Studio]:
    """A at one plane, B and C at another, D at the first again; both in this loop."""
    links = LocalLink(SETTINGS), LocalLink(SETTINGS)
    async with studio_of(*links, homes=(0, 1, 1, 0)) as studio:
        yield studio


async def hear(*expected: tuple[Phone, set[str]]) -> None:
    """Wait until each hears these and nobody else, for as long as tones are looked for."""
    async with asyncio.timeout(30):
        while not all(phone.heard and phone.hears() == names for phone, names in expected):
            await asyncio.gather(*(phone.until_packets(1) for phone, names in expected if names))


async def test_a_common_codec_is_forwarded_across_without_a_change(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B", PCMA, PCMU, events(96))
    for each in (a, b):
        await spread.connect(each, talks=False)
    await spread.route("AB", "BA")
    codes = list(range(1, 120))
    a.count_in(spread.addresses["A"], codes)
    packets = await b.until_packets(40)
    said = [bytes(packet.payload) for packet in packets]
    first = said[0][0]
    assert said == [bytes([code]) * 160 for code in range(first, first + 40)]
    assert {packet.payload_type for packet in packets} == {PCMU.number}
    numbers = [packet.sequence for packet in packets]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(40)]


async def test_what_two_have_not_in_common_is_heard_across(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU, events(101)), await phone("B", PCMA, events(101))
    for each in (a, b):
        await spread.connect(each)
    await spread.route("AB", "BA")
    await hear((a, {"B"}), (b, {"A"}))


async def test_consult_and_confer_and_listen_with_the_legs_at_both(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b, c = [await phone(name) for name in "ABC"]
    for each in (a, b, c):
        await spread.connect(each)
    await spread.route("AB", "BA")
    await hear((a, {"B"}), (b, {"A"}))
    await spread.route("mB", "AC", "CA")
    await hear((a, {"C"}), (b, {"moh"}), (c, {"A"}))
    await spread.route("AB", "BA", "mC")
    await hear((a, {"B"}), (b, {"A"}), (c, {"moh"}))
    await spread.route("AB", "BA", "AC", "CA", "BC", "CB")
    await hear((a, {"B", "C"}), (b, {"A", "C"}), (c, {"A", "B"}))
    await spread.route("AB", "BA", "AC", "BC")  # C listens
    await hear((a, {"B"}), (b, {"A"}), (c, {"A", "B"}))
    await spread.route("AB", "BA", "AC", "BC", "CA")  # C whispers to A
    await hear((a, {"B", "C"}), (b, {"A"}), (c, {"A", "B"}))


async def test_no_packet_comes_across_once_the_route_is_left(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b, c = [await phone(name) for name in "ABC"]
    for each in (a, b, c):
        await spread.connect(each, talks=each is a)
    for _ in range(5):
        await spread.route("AB")
        await b.until_packets(3)
        await spread.route("AC")
        count = b.count()
        await c.until_packets(5)
        assert b.count() == count
        await spread.route()
        count = c.count()
        await spread.route("AB")
        await b.until_packets(3)
        assert c.count() == count


async def test_a_switch_waits_for_no_link_and_loses_nothing(
    spread: Studio, phone: PhoneMaker
) -> None:
    """Links are ready before they are needed: what A says next is heard."""
    a, b = await phone("A"), await phone("B")
    for each in (a, b):
        await spread.connect(each, talks=False)
    await spread.route("AB")
    await heard_again(spread, a, b)
    for _ in range(10):
        count = len(b.heard)
        await spread.route("mB")
        await b.until(lambda before=count: len(b.heard) > before)  # type: ignore[misc]
        await spread.route("AB")
        count = len(b.heard)
        a.send_audio(spread.to("A"), bytes(range(160)))
        await b.until(lambda before=count: len(b.heard) > before)  # type: ignore[misc]
        assert bytes(b.heard[count].packet.payload) == bytes(range(160))
    numbers = [each.packet.sequence for each in b.heard]
    assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def heard_again(studio: Studio, a: Phone, b: Phone) -> None:
    """The first link may have to be waited for."""
    async with asyncio.timeout(20):
        while not b.heard:
            a.send_audio(studio.to("A"))
            await asyncio.sleep(0.02)


async def test_a_digit_is_passed_on_across_and_told_once(spread: Studio, phone: PhoneMaker) -> None:
    a, b, c = await phone("A"), await phone("B", PCMU, events(96)), await phone("C", PCMU)
    for each in (a, b, c):
        await spread.connect(each)
    await spread.route("AB", "AC")
    await hear((b, {"A"}), (c, {"A"}))
    a.press("5")
    await b.until(lambda: any(each.packet.payload_type == 96 for each in b.heard))
    await c.until(lambda: c.digits_in_audio() == "5")  # who takes no events gets its tones
    await b.until_packets(5)
    (told,) = await spread.until_notice(m.DigitReceived)
    assert (told.port, told.digit) == ("A", "5")
    ends = [p for each in b.heard if (p := each.packet).payload_type == 96 and p.payload[1] & 0x80]
    assert len({p.timestamp for p in ends}) == 1


async def test_digits_of_ours_levels_and_recordings_are_of_the_port_itself(
    spread: Studio, phone: PhoneMaker, tmp_path: Path
) -> None:
    a, b = await phone("A"), await phone("B")
    for each in (a, b):
        await spread.connect(each)
    await spread.route("AB", "BA")
    path = tmp_path / "b.wav"
    await spread.link.request(m.StartRecording("r", "B", str(path)))
    await spread.link.request(m.StartListening("A"))
    await hear((a, {"B"}), (b, {"A"}))
    counted = await spread.until_counted("B", lambda now: now.sent_level_dbov is not None)
    assert counted.sent_level_dbov == pytest.approx(-15, abs=4)
    assert counted.codec == "PCMU"
    await b.until_packets(50)
    finished = await spread.link.request(m.StopRecording("r"))
    assert finished.path == str(path)
    sound = read_wav(path.read_bytes())
    assert sound.sample_rate_hz == 8000
    told = await spread.link.request(m.ReadHeard("A", 300))
    samples = np.frombuffer(told.samples, "<i2")
    assert heard(samples, SIGNATURES, sample_rate_hz=told.sample_rate_hz) == {"A"}
    await spread.link.request(m.SendDigits("B", "7"))
    await b.until(lambda: any(each.packet.payload_type == 101 for each in b.heard))
    assert [sent.port for sent in await spread.until_notice(m.DigitsSent)] == ["B"]
    with pytest.raises(MediaError, match="no recording"):
        await spread.link.request(m.StopRecording("r"))


async def test_another_codec_crosses_from_the_moment_that_it_is_agreed_on(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A", PCMU, events(101)), await phone("B", PCMU, PCMA, events(101))
    for each in (a, b):
        await spread.connect(each)
    await spread.route("AB")
    await hear((b, {"A"}))
    a.codecs = [PCMA, events(101)]
    await spread.link.request(a.remote("A"))
    a.speak(PCMA)
    await b.until(lambda: b.heard[-1].packet.payload_type == PCMA.number)
    await hear((b, {"A"}))


async def test_a_route_waits_for_the_far_end_of_its_source(
    spread: Studio, phone: PhoneMaker
) -> None:
    a, b = await phone("A"), await phone("B")
    spread.addresses["A"] = await spread.link.request(m.OpenRtpPort("A"))
    await spread.connect(b)
    await spread.route("AB")
    await spread.link.request(a.remote("A"))
    a.talk_to(spread.addresses["A"])
    await hear((b, {"A"}))


async def test_a_sound_that_is_played_once_crosses_and_ends_once(spread: Studio) -> None:
    tone = m.Segment([SIGNATURES["A"][0]], 1500)
    link = spread.link
    await link.request(m.OpenPlayer("beep", [tone], loop=False))
    await link.request(m.OpenSink("sink"))
    await link.request(m.StartListening("sink"))
    await link.request(m.SetRoutes("call", [m.RouteTo("beep", "sink")]))
    async with asyncio.timeout(20):
        while True:
            told = await link.request(m.ReadHeard("sink", 200))
            samples = np.frombuffer(told.samples, "<i2")
            if heard(samples, SIGNATURES, sample_rate_hz=told.sample_rate_hz) == {"A"}:
                break
            await asyncio.sleep(0.02)
    assert [each.port for each in await spread.until_notice(m.PlaybackEnded)] == ["beep"]


async def test_gains_are_kept_across(spread: Studio, phone: PhoneMaker) -> None:
    a, b, c = [await phone(name) for name in "ABC"]
    for each in (a, b, c):
        await spread.connect(each, talks=each is a)
    await spread.link.request(
        m.SetRoutes("call", [m.RouteTo("A", "B"), m.RouteTo("A", "C", -20.0)])
    )
    await hear((b, {"A"}), (c, {"A"}))
    loud, soft = (np.abs(each.audio(200).astype(float)).mean() for each in (b, c))
    assert 15 < 20 * np.log10(loud / soft) < 25
    with pytest.raises(MediaError, match="gain"):
        await spread.link.request(m.SetRoutes("call", [m.RouteTo("A", "B", 99.0)]))
    await hear((b, {"A"}), (c, {"A"}))


async def test_what_is_refused_is_refused_as_by_one_worker(
    spread: Studio, phone: PhoneMaker
) -> None:
    link = spread.link
    await spread.connect(await phone("A"))
    for command, text in (
        (m.OpenRtpPort("A"), "port 'A' is open already"),
        (m.OpenPlayer("music", MUSIC_ON_HOLD), "port 'music' is open already"),
        (m.OpenFilePlayer("file", "/nothing.wav", loop=True), "can't play"),
        (m.ClosePort("Z"), "no port 'Z'"),
        (m.ClosePort("file"), "no port 'file'"),
        (m.ReadStatistics("music"), "has no far end"),
    ):
        with pytest.raises(MediaError, match=text):
            await link.request(command)
    await link.request(m.Ping())
    await link.request(m.ClosePort("A"))
    await link.request(m.OpenSink("A"))  # at the next worker
    await link.request(m.ClosePort("music"))
    await link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))


async def test_closed_ports_leave_no_link_behind(spread: Studio, phone: PhoneMaker) -> None:
    a, b = await phone("A"), await phone("B")
    before = await settled()
    for each in (a, b):
        await spread.connect(each)
    await spread.route("AB", "BA")
    await hear((a, {"B"}), (b, {"A"}))
    assert await settled() > before
    await spread.link.request(m.ClosePort("A"))
    await spread.link.request(m.ClosePort("B"))
    assert await settled() == before


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def settled() -> int:
    """Open descriptors of this process, once they stay as many."""
    count, same = -1, 0
    async with asyncio.timeout(20):
        while same < 10:
            await asyncio.sleep(0.01)
            now = descriptors()
            same = same + 1 if now == count else 0
            count = now
    return count


def udp_sockets() -> Iterator[tuple[str, int]]:
    """Where the sockets of this process are bound."""
    own = {os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()}
    for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in own:
            host, port = fields[1].split(":")
            yield ".".join(str(octet) for octet in reversed(bytes.fromhex(host))), int(port, 16)


async def test_a_stranger_is_not_heard_by_a_link_and_can_reach_none_from_elsewhere(
    phone: PhoneMaker,
) -> None:
    settings = msgspec.structs.replace(SETTINGS, bind_host=ANYWHERE)
    links = LocalLink(settings), LocalLink(settings)
    async with studio_of(*links, homes=(0, 1)) as studio:
        a, b, stranger = await phone("A"), await phone("B"), await phone("E")
        for each in (a, b):
            await studio.connect(each, talks=each is b)
        await studio.route("AB", "BA")
        await hear((a, {"B"}))
        await settled()
        told = studio.addresses.values()
        known = {port for each in told for port in (each.rtp_port, each.rtcp_port)}
        known |= {
            end.getsockname()[1] for each in (a, b, stranger) for end in (each.rtp, each.rtcp)
        }
        links_at = {(host, port) for host, port in udp_sockets() if port not in known}
        assert {host for host, _ in links_at} == {"127.0.0.1"}
        assert len(links_at) == 2 * (1 + 2) * 2 * 2  # both ways; two to spare; both ends; RTCP
        # Longer than it takes to be believed in the place of a telephone that is silent, as A is.
        for number in range(60):
            for address in links_at:
                header = HEADER.pack(0x80, 0, number, number * 160, 77)
                stranger.rtp.sendto(header + bytes(range(160)), address)
            await a.until_packets(1)
        assert not b.heard
        a.talk_to(studio.addresses["A"])
        await hear((a, {"B"}), (b, {"A"}))
        noise = bytes(range(160))
        assert not any(bytes(e.packet.payload) == noise for p in (a, b) for e in p.heard)


async def test_who_is_near_to_somebody_comes_to_the_same_worker(phone: PhoneMaker) -> None:
    assert together({0: 3, 1: 1, 2: 2}, None) == 1
    assert together({0: 3, 1: 1, 2: 2}, 0) == 0
    assert together({0: 3, 2: 2}, 1) == 2
    turns = in_turn()
    assert [turns({0: 0, 1: 0}, 0) for _ in range(3)] == [0, 1, 0]
    async with MediaPool([LocalLink(SETTINGS), LocalLink(SETTINGS)]) as pool:
        await pool.request(m.OpenSink("first"))
        await settled()
        count = descriptors()
        for name in "AB":
            each = await phone(name)
            await pool.request(m.OpenRtpPort(name, near="first" if name == "A" else "A"))
            await pool.request(each.remote(name))
        await pool.request(m.SetRoutes("x", [m.RouteTo("A", "B"), m.RouteTo("B", "first")]))
        # Two pairs of ports here, and of telephones: no link was taken, and made anew.
        assert await settled() == count + 8


@pytest.mark.virtual_time(False)
async def test_a_worker_that_dies_ends_its_own_ports_and_no_others(phone: PhoneMaker) -> None:
    """A and B talk at one worker, C and D at the other, and C hears A too."""
    workers = WorkerLink(SETTINGS), WorkerLink(SETTINGS)
    async with studio_of(*workers, homes=(0, 0, 1, 1, 0, 1)) as studio:
        a, b, c, d = [await phone(name) for name in "ABCD"]
        for each in (a, b, c, d):
            await studio.connect(each)
        link = studio.link
        both = [m.RouteTo("C", "D"), m.RouteTo("D", "C")]
        await link.request(m.SetRoutes("one", [m.RouteTo("A", "B"), m.RouteTo("B", "A")]))
        await link.request(m.SetRoutes("two", [*both, m.RouteTo("A", "C")]))
        await hear((a, {"B"}), (b, {"A"}), (c, {"A", "D"}), (d, {"C"}))
        count = len(d.heard)
        assert workers[0].pid is not None
        os.kill(workers[0].pid, signal.SIGKILL)
        (lost,) = await studio.until_notice(WorkerLost)
        assert lost.ports == {"A", "B"}
        await hear((c, {"D"}), (d, {"C"}))
        numbers = [each.packet.sequence for each in d.heard[count:]]
        assert numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]
        # And a new one is in its place, for new ports, old sounds and new links.
        e = await phone("E")
        await studio.connect(e)
        await link.request(m.SetRoutes("two", [*both, m.RouteTo("E", "C"), m.RouteTo("C", "E")]))
        await hear((c, {"D", "E"}), (d, {"C"}), (e, {"C"}))
        await link.request(m.SetRoutes("two", [m.RouteTo("music", "E"), m.RouteTo("E", "C")]))
        await hear((c, {"E"}), (e, {"moh"}))


@pytest.mark.virtual_time(False)
async def test_a_listener_s_worker_dies_and_its_link_is_made_anew(phone: PhoneMaker) -> None:
    workers = WorkerLink(SETTINGS), WorkerLink(SETTINGS)
    async with studio_of(*workers, homes=(0, 1, 1)) as studio:
        a, b, c = [await phone(name) for name in "ABC"]
        await studio.connect(a)
        await studio.connect(b)
        await studio.route("AB")
        await hear((b, {"A"}))
        assert workers[1].pid is not None
        os.kill(workers[1].pid, signal.SIGKILL)
        (lost,) = await studio.until_notice(WorkerLost)
        assert lost.ports == {"B"}
        await studio.connect(c)
        await studio.route("AC")
        await hear((c, {"A"}))


@pytest.mark.virtual_time(False)
async def test_a_worker_that_can_not_begin_is_given_no_ports() -> None:
    """It has fewest, and so each further call would have gone there and failed."""
    workers = WorkerLink(SETTINGS), WorkerLink(SETTINGS)
    async with MediaPool(workers) as pool:
        for name in "AB":
            await pool.request(m.OpenSink(name))
        workers[0]._kind = dataclasses.replace(workers[0]._kind, module="endpoint.media.none")
        assert workers[0].pid is not None
        os.kill(workers[0].pid, signal.SIGKILL)
        notices = pool.notices()
        async with asyncio.timeout(30):
            assert isinstance(await anext(notices), WorkerLost)
        for number in range(8):
            await pool.request(m.OpenSink(f"after {number}"))
            await pool.request(m.StartListening(f"after {number}"))


class ShortLink(LocalLink):
    """Has no descriptor left for links."""

    is_short = True

    def ask(self, command: m.Command[R]) -> Coroutine[Any, Any, R]:
        if self.is_short and isinstance(command, m.OpenRtpPort) and command.on_loopback:
            raise MediaError("no descriptor is left for another port")
        return super().ask(command)


async def test_a_route_is_served_when_its_link_can_be_opened_at_last(phone: PhoneMaker) -> None:
    """Nobody asked again before the next change of a route: it stayed in silence."""
    short = ShortLink(SETTINGS)
    async with studio_of(short, LocalLink(SETTINGS), homes=(0, 1)) as studio:
        a, b = await phone("A"), await phone("B")
        for each in (a, b):
            await studio.connect(each)
        await studio.route("AB", "BA")
        await settled()
        assert not b.heard
        short.is_short = False
        await hear((a, {"B"}), (b, {"A"}))


@pytest.mark.virtual_time(False)
async def test_a_port_that_opens_too_late_is_closed_again() -> None:
    settings = msgspec.structs.replace(SETTINGS, heartbeat_s=120.0)
    worker = WorkerLink(settings)
    async with MediaPool([worker]) as pool:
        process = worker.pid
        assert process is not None
        os.kill(process, signal.SIGSTOP)
        worker._kind = dataclasses.replace(worker._kind, request_timeout_s=0.1)
        try:
            with pytest.raises(MediaUnavailable):
                await pool.request(m.OpenSink("A"))
        finally:
            os.kill(process, signal.SIGCONT)
        worker._kind = dataclasses.replace(worker._kind, request_timeout_s=60.0)
        await pool.request(m.OpenSink("A"))  # else it would be open already
        assert worker.pid == process
