"""The peers are sound: what they do with each other is known before they meet our endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from .peers.baresip import Baresip
from .peers.kamailio import Kamailio

pytestmark = pytest.mark.interop


async def test_two_baresips_talk_through_kamailio(kamailio: Kamailio, tmp_path: Path) -> None:
    async with (
        Baresip(
            tmp_path / "a", "6001", kamailio.address, password=kamailio.password, tone_hz=440
        ) as alice,
        Baresip(
            tmp_path / "b", "6002", kamailio.address, password=kamailio.password, tone_hz=1000
        ) as bob,
    ):
        await alice.dial("6002")
        await bob.ringing()
        await bob.accept()
        await alice.established()
        await bob.established()

        assert await alice.heard() == {1000}
        assert await bob.heard() == {440}

        await alice.hold()
        await alice.send_digits("12")
        await alice.hang_up()
        await bob.closed()
