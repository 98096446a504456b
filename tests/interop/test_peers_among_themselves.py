"""The peers are sound: what they do with each other is known before they meet our endpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .peers.baresip import Baresip
from .peers.feed import PeerError
from .peers.hearing import hear
from .peers.jssip import JsSip
from .peers.kamailio import Kamailio
from .peers.rtpengine import Rtpengine
from .peers.sipp import Sipp, register

pytestmark = [pytest.mark.interop, pytest.mark.soak]

Phones = Callable[..., Baresip]


@pytest.fixture
def phone(kamailio: Kamailio, tmp_path: Path) -> Phones:
    """Make a baresip that registers at Kamailio over UDP."""

    def make(user: str, tone_hz: int, **settings: str) -> Baresip:
        settings.setdefault("password", kamailio.password)
        return Baresip(
            tmp_path / user,
            user,
            kamailio.address,
            tone_hz=tone_hz,
            **settings,  # type: ignore[arg-type]
        )

    return make


async def test_two_baresips_talk_hold_retrieve_and_press_keys(phone: Phones) -> None:
    async with phone("6001", 590) as alice, phone("6002", 1010) as bob:
        await alice.dial("6002")
        await bob.ringing()
        await bob.accept()
        await alice.established()
        await bob.established()
        await hear({alice: {1010}, bob: {590}})

        await alice.hold()
        await hear({alice: set(), bob: set()})
        await alice.resume()
        await hear({alice: {1010}, bob: {590}})

        await alice.send_digits("1234#")
        assert await bob.digits(5) == "1234#"

        await alice.hang_up()
        await bob.closed()
        await hear({bob: set()})


async def test_baresip_with_a_wrong_password_is_not_registered(phone: Phones) -> None:
    with pytest.raises(PeerError, match="not registered"):
        async with phone("6001", 590, password="wrong"):
            pass


async def test_media_goes_through_rtpengine_where_kamailio_is_told_to(tmp_path: Path) -> None:
    async with (
        Rtpengine(tmp_path / "rtpengine") as relay,
        Kamailio(tmp_path / "kamailio", rtpengine=relay.control) as server,
        Baresip(tmp_path / "a", "6001", server.address, password=server.password) as alice,
        Baresip(
            tmp_path / "b", "6002", server.address, password=server.password, tone_hz=1010
        ) as bob,
    ):
        await alice.dial("6002")
        await bob.ringing()
        await bob.accept()
        await alice.established()
        await hear({alice: {1010}, bob: {590}})
        assert await relay.calls() == 1


async def test_sipp_calls_sipp(kamailio: Kamailio, tmp_path: Path) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(tmp_path, "uas", kamailio.address, user="7002", sip_port=port) as callee,
        _caller(kamailio, tmp_path, "uac", talk_ms=300) as caller,
    ):
        await caller.finished()
        await callee.finished()


async def test_sipp_ends_the_call_that_it_answered(kamailio: Kamailio, tmp_path: Path) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(
            tmp_path, "uas_hangs_up", kamailio.address, user="7002", sip_port=port, talk_ms=300
        ) as callee,
        _caller(kamailio, tmp_path, "uac") as caller,
    ):
        await caller.finished()
        await callee.finished()


@pytest.mark.parametrize("status", [486, 488, 603])
async def test_sipp_refuses(kamailio: Kamailio, tmp_path: Path, status: int) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(
            tmp_path, "uas_refuses", kamailio.address, user="7002", sip_port=port, status=status
        ) as callee,
        _caller(kamailio, tmp_path, "uac_refused", status=status) as caller,
    ):
        await caller.finished()
        await callee.finished()


async def test_sipp_gives_up_a_call_that_rings(kamailio: Kamailio, tmp_path: Path) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(tmp_path, "uas_no_answer", kamailio.address, user="7002", sip_port=port) as callee,
        _caller(kamailio, tmp_path, "uac_cancel") as caller,
    ):
        await caller.finished()
        await callee.finished()


async def test_sipp_sends_digits_as_info(kamailio: Kamailio, tmp_path: Path) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(tmp_path, "uas", kamailio.address, user="7002", sip_port=port) as callee,
        _caller(kamailio, tmp_path, "uac_info") as caller,
    ):
        await caller.finished()
        await callee.finished()


async def test_sipp_echoes_what_baresip_says_and_answers_its_hold(
    kamailio: Kamailio, phone: Phones, tmp_path: Path
) -> None:
    port = await register(tmp_path, kamailio.address, user="7002", password=kamailio.password)
    async with (
        Sipp(tmp_path, "uas", kamailio.address, user="7002", sip_port=port) as echo,
        phone("6001", 590) as alice,
    ):
        await alice.dial("7002")
        await alice.established()
        await hear({alice: {590}})
        await alice.hold()
        await hear({alice: set()})
        await alice.resume()
        await hear({alice: {590}})
        await alice.hang_up()
        await echo.finished()


async def test_jssip_over_wss_talks_with_baresip_over_udp(
    kamailio: Kamailio, phone: Phones, tmp_path: Path
) -> None:
    async with (
        _browser(kamailio, tmp_path) as browser,
        phone("6001", 590) as alice,
    ):
        await browser.dial("6001")
        await alice.ringing()
        await alice.accept()
        await browser.established()
        await hear({browser: {590}, alice: {1130}})

        assert await browser.hold()
        await hear({browser: set(), alice: {1130}})
        assert await browser.resume()
        await hear({browser: {590}, alice: {1130}})

        await alice.send_digits("7#")
        assert await browser.party.digits_received(2) == "7#"
        await alice.hang_up()
        assert (await browser.closed())["by"] == "remote"


async def test_jssip_takes_a_call_and_is_put_on_hold(
    kamailio: Kamailio, phone: Phones, tmp_path: Path
) -> None:
    async with (
        _browser(kamailio, tmp_path) as browser,
        phone("6001", 590) as alice,
    ):
        await alice.dial("6003")
        assert (await browser.ringing())["peer"] == "6001"
        await browser.accept()
        await alice.established()
        await browser.established()
        await hear({browser: {590}, alice: {1130}})

        await alice.hold()
        assert (await browser.event("hold"))["by"] == "remote"
        await alice.resume()
        assert (await browser.event("unhold"))["by"] == "remote"
        await browser.hang_up()
        await alice.closed()


async def test_jssip_registers_over_plain_websocket_and_unregisters(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    async with JsSip(
        tmp_path / "ws",
        "6003",
        kamailio.ws_url,
        domain=kamailio.address,
        password=kamailio.password,
    ) as browser:
        await browser.unregister()


async def test_jssip_refuses_a_certificate_that_nobody_vouches_for(
    kamailio: Kamailio, tmp_path: Path
) -> None:
    async with JsSip(
        tmp_path / "wss",
        "6003",
        kamailio.wss_url,
        domain=kamailio.address,
        password=kamailio.password,
        register=False,
    ) as browser:
        refusal = await browser.event("socket_error")
        assert "certificate" in refusal["text"]


def _caller(
    kamailio: Kamailio,
    directory: Path,
    scenario: str,
    *,
    talk_ms: int = 30_000,
    status: int = 486,
) -> Sipp:
    return Sipp(
        directory,
        scenario,
        kamailio.address,
        user="7001",
        password=kamailio.password,
        target="7002",
        talk_ms=talk_ms,
        status=status,
    )


def _browser(kamailio: Kamailio, directory: Path) -> JsSip:
    return JsSip(
        directory / "browser",
        "6003",
        kamailio.wss_url,
        domain=kamailio.address,
        password=kamailio.password,
        ca_file=kamailio.ca_file,
        tone_hz=1130,
    )
