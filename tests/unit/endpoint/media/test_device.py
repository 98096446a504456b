"""By what names sound devices are chosen."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from endpoint.errors import MediaError
from endpoint.media.device import Library, stable_names
from tests.interop.peers.pulse import require_portaudio

pytestmark = pytest.mark.unit


def test_a_name_is_without_the_number_of_its_card() -> None:
    """Which is another one when it is plugged in elsewhere."""
    for number in (0, 3):
        names = ["default", f"USB Headset: Audio (hw:{number},0)", "HDMI (hw:9,7)"]
        assert stable_names(names) == ["default", "USB Headset: Audio", "HDMI"]


def test_two_of_one_name_are_told_apart_by_their_numbers() -> None:
    names = ["USB Headset: Audio (hw:1,0)", "USB Headset: Audio (hw:2,0)", "HDMI (hw:0,3)"]
    assert stable_names(names) == [*names[:2], "HDMI"]


@pytest.fixture
async def library() -> Library:
    """PortAudio, where a microphone is the default and no speaker is there."""
    await require_portaudio()
    library = Library()
    library.sounddevice = SimpleNamespace(default=SimpleNamespace(device=(0, -1)))
    return library


def test_a_default_that_is_not_there_is_said_to_be_none(library: Library) -> None:
    assert library.index("default", is_input=True) is None
    with pytest.raises(MediaError, match="this machine has no sound output"):
        library.index("default", is_input=False)
