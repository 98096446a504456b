"""The media plane in virtual time: players, sinks, routes, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from endpoint.audio.analysis import heard
from endpoint.audio.tones import BUSY, MUSIC_ON_HOLD, MUSIC_ON_HOLD_HZ, PARTY_TONES_HZ, level_of
from endpoint.errors import MediaError
from endpoint.media import messages as m
from endpoint.media.link import LocalLink

pytestmark = pytest.mark.scenario

PARTIES = dict(zip("ABC", PARTY_TONES_HZ, strict=False))
SIGNATURES = {"moh": MUSIC_ON_HOLD_HZ, **{name: (hz,) for name, hz in PARTIES.items()}}


@pytest.fixture
async def link() -> AsyncIterator[LocalLink]:
    async with LocalLink() as link:
        await link.request(m.OpenPlayer("moh", MUSIC_ON_HOLD))
        for name, hz in PARTIES.items():
            await link.request(m.OpenPlayer(f"{name} says", [m.Segment([hz], 1000, -20.0)]))
            await link.request(m.OpenSink(name))
            await link.request(m.StartListening(name))
        yield link


async def route(link: LocalLink, *pairs: str) -> None:
    routes = [m.RouteTo("moh" if a == "m" else f"{a} says", b) for a, b in map(tuple, pairs)]
    await link.request(m.SetRoutes("call", routes))


async def matrix(link: LocalLink) -> dict[str, set[str]]:
    await asyncio.sleep(0.5)
    found = {}
    for name in PARTIES:
        answer = await link.request(m.ReadHeard(name))
        found[name] = heard(np.frombuffer(answer.samples, "<i2"), SIGNATURES)
    return found


async def test_who_hears_whom_is_what_the_routes_say(link: LocalLink) -> None:
    assert await matrix(link) == {"A": set(), "B": set(), "C": set()}
    await route(link, "AB", "BA")
    assert await matrix(link) == {"A": {"B"}, "B": {"A"}, "C": set()}
    await route(link, "mB", "AC", "CA")
    assert await matrix(link) == {"A": {"C"}, "B": {"moh"}, "C": {"A"}}
    await route(link, "AB", "BA", "AC", "CA", "BC", "CB")
    assert await matrix(link) == {"A": {"B", "C"}, "B": {"A", "C"}, "C": {"A", "B"}}
    await route(link)
    assert await matrix(link) == {"A": set(), "B": set(), "C": set()}


async def test_groups_do_not_touch_each_other(link: LocalLink) -> None:
    await route(link, "AB")
    await link.request(m.SetRoutes("other", [m.RouteTo("moh", "C")]))
    await route(link, "BA")
    assert await matrix(link) == {"A": {"B"}, "B": set(), "C": {"moh"}}


async def test_a_port_that_closes_is_heard_no_more(link: LocalLink) -> None:
    await route(link, "AB", "CB")
    await link.request(m.ClosePort("A says"))
    assert (await matrix(link))["B"] == {"C"}


async def test_a_route_to_a_port_that_is_not_open_is_left_out_and_the_rest_is_done(
    link: LocalLink,
) -> None:
    await route(link, "AB", "AC")
    await link.request(
        m.SetRoutes("call", [m.RouteTo("B says", "A"), m.RouteTo("gone", "B"), m.RouteTo("B", "A")])
    )
    assert await matrix(link) == {"A": {"B"}, "B": set(), "C": set()}


async def test_a_gain_is_a_gain(link: LocalLink) -> None:
    await link.request(m.SetRoutes("call", [m.RouteTo("A says", "B", -10.0)]))
    await asyncio.sleep(0.5)
    answer = await link.request(m.ReadHeard("B"))
    assert level_of(np.frombuffer(answer.samples, "<i2")) == pytest.approx(-30.0, abs=0.2)


async def test_a_player_that_does_not_loop_ends_and_says_so(link: LocalLink) -> None:
    await link.request(m.OpenPlayer("beep", [m.Segment([PARTIES["A"]], 500)], loop=False))
    await asyncio.sleep(3)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await link.request(m.SetRoutes("call", [m.RouteTo("beep", "B")]))
    async for notice in link.notices():
        assert notice == m.PlaybackEnded("beep")
        break
    assert loop.time() - started == pytest.approx(0.5, abs=0.021)
    assert (await matrix(link))["B"] == set()


async def test_a_player_that_does_not_loop_waits_while_nobody_listens(link: LocalLink) -> None:
    await link.request(m.OpenPlayer("beep", [m.Segment([PARTIES["A"]], 1000)], loop=False))
    await link.request(m.SetRoutes("call", [m.RouteTo("beep", "B")]))
    await asyncio.sleep(0.5)
    await link.request(m.SetRoutes("call", []))
    await asyncio.sleep(5)
    await link.request(m.SetRoutes("call", [m.RouteTo("beep", "C")]))
    loop = asyncio.get_running_loop()
    started = loop.time()
    async for notice in link.notices():
        assert notice == m.PlaybackEnded("beep")
        break
    assert loop.time() - started == pytest.approx(0.5, abs=0.041)


async def test_a_loop_is_heard_from_its_start_by_everybody(link: LocalLink) -> None:
    await link.request(m.OpenPlayer("busy", BUSY))
    await link.request(m.SetRoutes("one", [m.RouteTo("busy", "A")]))
    await asyncio.sleep(0.75)
    await link.request(m.SetRoutes("two", [m.RouteTo("busy", "B")]))
    await asyncio.sleep(0.2)
    silent = np.frombuffer((await link.request(m.ReadHeard("A", 160))).samples, "<i2")
    loud = np.frombuffer((await link.request(m.ReadHeard("B", 160))).samples, "<i2")
    assert level_of(silent) == -127.0
    assert level_of(loud) == pytest.approx(-18.0, abs=0.5)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (m.OpenSink("A"), "open already"),
        (m.OpenPlayer("A", MUSIC_ON_HOLD), "open already"),
        (m.OpenRtpPort("A"), "open already"),
        (m.ClosePort("Z"), "no port 'Z'"),
        (m.ReadHeard("moh"), "nobody listens"),
        (m.StartListening("moh"), "hears nothing"),
        (m.ReadStatistics("A"), "no far end"),
        (m.StopRecording("r"), "no recording 'r'"),
        (m.OpenPlayer("long", [m.Segment([], 200_000)]), "at most"),
    ],
)
async def test_what_can_not_be_done_is_refused_and_changes_nothing(
    link: LocalLink, command: m.Command[m.Result], text: str
) -> None:
    await route(link, "AB")
    with pytest.raises(MediaError, match=text):
        await link.request(command)
    assert (await matrix(link))["B"] == {"A"}
