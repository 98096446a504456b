"""Where a device's ears and mouth are, as the native interface and its clients say it.

The sound devices of this machine, a page's WebRTC, a program's RTP.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from endpoint.gateways.native.messages import Device

SoundName = Annotated[str, Meta(min_length=1, max_length=1024)]
SoundGain = Annotated[float, Meta(ge=-60, le=30)]


class ChooseSound(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`PUT /devices/{device}/sound`: what is not said stays as it is."""

    input: SoundName | None = None
    """The microphone: a sound device by its name, `default`, `null` or `tone:HZ`."""
    output: SoundName | None = None
    """The speaker: a sound device by its name, `default` or `null`."""
    ringer: SoundName | None = None
    """Where it rings, likewise."""
    input_gain_db: SoundGain | None = None
    output_gain_db: SoundGain | None = None
    ringer_gain_db: SoundGain | None = None


class MediaOffer(Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /devices/{device}/media`, and `PUT` of a further offer."""

    sdp: Annotated[str, Meta(min_length=1, max_length=60_000)]
    """Of an `RTCPeerConnection` with one audio transceiver."""


class AttachAudio(Struct, frozen=True, forbid_unknown_fields=True):
    """`PUT /calls/{call}/audio`: a program on this machine is the device's ears and mouth."""

    device: Device
    """Whose; its station is for a program."""
    port: Annotated[int, Meta(ge=1, le=65_535)]
    """Where the program takes RTP on 127.0.0.1: L16/16000 is 97, telephone-event/16000 is 101."""


class SoundPart(Struct, frozen=True):
    """One of the three sound devices of a station."""

    use: str
    """`input`, `output` or `ringer`."""
    name: str
    """As it was chosen."""
    gain_db: float
    failure: str = ""
    """Why it is not there; empty where it is, or is not in use."""


class Sound(Struct, frozen=True):
    """200 of `GET` and `PUT /devices/{device}/sound`."""

    device: str
    parts: list[SoundPart]
    in_call: bool
    """They are in use, or ready to be: it rings."""


class Media(Struct, frozen=True):
    """201 of `POST /devices/{device}/media`, 200 of `PUT`."""

    device: str
    media: str
    """The session: `/devices/{device}/media/{media}`."""
    etag: str
    """Of its ICE session; another one after a restart."""
    sdp: str
    """Our answer."""


class AudioAddress(Struct, frozen=True):
    """200 of `PUT /calls/{call}/audio`."""

    host: str
    """Where the program is to send the same."""
    port: int
    ssrc: int
    """Of what it will hear: one for all calls that the device has one telephone in."""
