"""By what names sound devices are chosen."""

from __future__ import annotations

import pytest

from endpoint.media.device import stable_names

pytestmark = pytest.mark.unit


def test_a_name_is_without_the_number_of_its_card() -> None:
    """Which is another one when it is plugged in elsewhere."""
    for number in (0, 3):
        names = ["default", f"USB Headset: Audio (hw:{number},0)", "HDMI (hw:9,7)"]
        assert stable_names(names) == ["default", "USB Headset: Audio", "HDMI"]


def test_two_of_one_name_are_told_apart_by_their_numbers() -> None:
    names = ["USB Headset: Audio (hw:1,0)", "USB Headset: Audio (hw:2,0)", "HDMI (hw:0,3)"]
    assert stable_names(names) == [*names[:2], "HDMI"]
