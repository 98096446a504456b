"""What `doctor` finds of sound devices."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

from endpoint.app.facts import stations
from endpoint.app.settings import Config
from endpoint.app.words import counted
from endpoint.errors import MediaError
from endpoint.legs.base import SoundUse
from endpoint.legs.sound import SoundStation
from endpoint.media.devicelink import list_devices
from endpoint.media.soundmessages import DEFAULT, SoundDevice

Finding = tuple[bool, str, str]
"""Whether it is fatal, what was found, what to do."""
_INSTALL = "Debian: apt install libportaudio2, and libasound2-plugins where PulseAudio runs"


async def findings(config: Config) -> tuple[str, list[Finding]]:
    """What is there, and what is not of what stations name."""
    sounds = [one for one in stations(config) if isinstance(one, SoundStation)]
    needs = [one for one in sounds if any(c.is_device for c in one.choices.values())]
    try:
        devices = await list_devices()
    except MediaError as error:
        if not needs:
            return f"none: {error}; only stations of kind sound need them", []
        return "", [(True, str(error), _INSTALL)]
    found = [finding for one in sounds for finding in _missing(one, devices)]
    return counted(len(devices), "sound device"), found


def _missing(one: SoundStation, devices: list[SoundDevice]) -> Iterator[Finding]:
    if one.noise_suppression and importlib.util.find_spec("webrtc_noise_gain") is None:
        text = f"{one.device}: noise_suppression is set, and nothing is there to do it"
        yield False, text, "pip install 'agent-endpoint[noise]'"
    for use, choice in one.choices.items():
        fits = [
            each for each in devices if (each.inputs if use is SoundUse.INPUT else each.outputs)
        ]
        names = {each.name for each in fits} | {each.text for each in fits}
        is_there = choice.name in names or (choice.name == DEFAULT and fits)
        if choice.is_device and not is_there:
            text = f"{one.device}: its {use} {choice.name!r} is not there"
            yield False, text, "agent-endpoint sound list shows what is; it is used when it comes"
