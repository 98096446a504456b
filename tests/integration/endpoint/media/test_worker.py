from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from endpoint.audio.tones import MUSIC_ON_HOLD
from endpoint.errors import MediaError, MediaUnavailable
from endpoint.media import messages as m
from endpoint.media.link import MediaLink, MediaSettings, WorkerLink, WorkerLost
from tests.integration.endpoint.media.phone import Phone

pytestmark = pytest.mark.integration


async def connected(link: MediaLink, phone: Phone) -> m.RtpAddress:
    address = await link.request(m.OpenRtpPort(phone.name))
    await link.request(phone.remote(phone.name))
    phone.talk_to(address)
    return address


async def talking(link: MediaLink, a: Phone, b: Phone) -> None:
    for each in (a, b):
        await connected(link, each)
    await link.request(m.SetRoutes("x", [m.RouteTo("A", "B"), m.RouteTo("B", "A")]))
    await a.until_packets(30)
    assert (a.hears(), b.hears()) == ({"B"}, {"A"})


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


async def first_loss(link: WorkerLink) -> WorkerLost:
    async with asyncio.timeout(30):
        async for notice in link.notices():
            if isinstance(notice, WorkerLost):
                return notice
    raise AssertionError("the link closed")


async def test_two_parties_talk_through_a_worker() -> None:
    async with WorkerLink() as link, Phone("A") as a, Phone("B") as b:
        await talking(link, a, b)
        assert link.pid is not None
        pid = link.pid
        with pytest.raises(MediaError, match="no port 'Z'"):
            await link.request(m.ClosePort("Z"))
    assert not is_alive(pid)


async def test_a_killed_worker_is_replaced_and_calls_can_be_made_again() -> None:
    async with WorkerLink() as link, Phone("A") as a, Phone("B") as b:
        await talking(link, a, b)
        assert link.pid is not None
        pid = link.pid
        os.kill(pid, signal.SIGKILL)
        lost = await first_loss(link)
        assert "-9" in lost.reason
        # The notice says that a new one takes requests already.
        with pytest.raises(MediaError, match="no port 'A'"):
            await link.request(m.ClosePort("A"))
        await talking(link, a, b)
        assert link.pid != pid


async def test_what_a_worker_had_is_told_when_it_dies_and_loops_play_on() -> None:
    async with WorkerLink() as link, Phone("A") as a:
        await link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
        await link.request(m.OpenPlayer("beep", MUSIC_ON_HOLD, loop=False))
        await link.request(m.OpenSink("closed"))
        await link.request(m.ClosePort("closed"))
        with pytest.raises(MediaError):
            await link.request(m.OpenFilePlayer("nothing", "/nothing.wav", loop=True))
        with pytest.raises(MediaError, match="open already"):
            await link.request(m.OpenSink("beep"))
        await connected(link, a)
        assert link.pid is not None
        os.kill(link.pid, signal.SIGKILL)
        lost = await first_loss(link)
        assert lost.ports == {"A", "beep"}
        await connected(link, a)
        await link.request(m.SetRoutes("x", [m.RouteTo("music", "A")]))
        await a.until_packets(30)
        assert a.hears() == {"moh"}


async def test_what_was_asked_of_a_worker_that_dies_fails_at_once() -> None:
    async with WorkerLink() as link:
        assert link.pid is not None
        os.kill(link.pid, signal.SIGSTOP)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(_refused(link)) for _ in range(3)]
            await asyncio.sleep(0)
            os.kill(link.pid, signal.SIGKILL)
        assert all(task.result() for task in asked)


async def _refused(link: WorkerLink) -> bool:
    with pytest.raises(MediaUnavailable):
        await link.request(m.OpenRtpPort("A"))
    return True


async def test_a_worker_that_hangs_is_replaced() -> None:
    settings = MediaSettings(request_timeout_s=3.0, heartbeat_s=0.1)
    async with WorkerLink(settings) as link:
        assert link.pid is not None
        pid = link.pid
        os.kill(pid, signal.SIGSTOP)
        await first_loss(link)
        assert not is_alive(pid)
        await link.request(m.Ping())


async def test_a_worker_that_can_not_start_is_said_and_is_tried_again() -> None:
    """A plane can't be made of this."""
    settings = MediaSettings(bind_host="no address", restart_delay_s=0.05, request_timeout_s=20)
    with pytest.raises(MediaUnavailable):
        async with WorkerLink(settings):
            pass


async def test_the_worker_ends_with_its_control_plane(tmp_path: Path) -> None:
    """The control plane is killed: no audio goes on for nobody."""
    program = tmp_path / "control.py"
    program.write_text(
        "import asyncio\n"
        "from endpoint.media.link import WorkerLink\n"
        "async def main():\n"
        "    async with WorkerLink() as link:\n"
        "        print(link.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    control = await asyncio.create_subprocess_exec(sys.executable, program, stdout=subprocess.PIPE)
    try:
        assert control.stdout is not None
        pid = int(await control.stdout.readline())
        assert is_alive(pid)
    finally:
        control.kill()
        await control.communicate()
    async with asyncio.timeout(20):
        while is_alive(pid):
            await asyncio.sleep(0.05)
            continue


async def test_audio_goes_on_while_the_control_plane_is_blocked() -> None:
    """Music is clocked by the worker; this process does nothing but take it from the socket."""
    async with WorkerLink() as link, Phone("B") as b:
        await connected(link, b)
        await link.request(m.OpenPlayer("music", MUSIC_ON_HOLD))
        await link.request(m.SetRoutes("x", [m.RouteTo("music", "B")]))
        await b.until_packets(5)
        b.take(40)
        assert b.hears() == {"moh"}


async def test_many_requests_at_once_are_all_answered_in_order() -> None:
    async with WorkerLink() as link:
        for number in range(3000):
            link.send(m.OpenSink(f"S{number}"))
        async with asyncio.TaskGroup() as group:
            for number in range(3000):
                group.create_task(link.request(m.ClosePort(f"S{number}")))


async def test_what_a_dead_worker_still_had_to_say_does_not_disturb_the_new_one() -> None:
    """Thousands of its answers are unread when it dies; the end of that stream comes last."""
    async with WorkerLink() as link:
        assert link.pid is not None
        pid = link.pid
        for number in range(3000):
            link.send(m.OpenSink(f"S{number}"))
        subprocess.run(["sleep", "0.5"], check=True)  # noqa: ASYNC221 - nothing is read meanwhile
        os.kill(pid, signal.SIGKILL)
        await first_loss(link)
        for _ in range(200):
            await link.request(m.Ping())


async def test_a_message_that_is_too_long_is_refused_and_harms_nobody() -> None:
    async with WorkerLink() as link:
        pid = link.pid
        long = m.OpenSink("S" * 300_000)
        with pytest.raises(MediaError, match="octets"):
            await link.request(long)
        link.send(long)
        await link.request(m.Ping())
        assert link.pid == pid


async def test_a_refusal_that_nobody_waits_for_harms_nothing() -> None:
    async with WorkerLink() as link:
        link.send(m.ClosePort("Z"))
        await link.request(m.Ping())


async def test_a_closed_link_takes_nothing() -> None:
    link = WorkerLink()
    async with link:
        pass
    with pytest.raises(MediaUnavailable):
        await link.request(m.Ping())
    link.send(m.ClosePort("Z"))
    assert [notice async for notice in link.notices()] == []


async def test_a_worker_keeps_to_its_core() -> None:
    core = min(os.sched_getaffinity(0))
    async with WorkerLink(MediaSettings(cpu_affinity=(core,))) as link:
        assert link.pid is not None
        assert os.sched_getaffinity(link.pid) == {core}
