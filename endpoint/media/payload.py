"""Payload types as negotiated: which one is audio, which one events, what we can do with each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from endpoint.audio.codec import AudioCodec, Encoding, codec_named
from endpoint.audio.coder import EncoderSettings
from endpoint.audio.frame import SAMPLE_RATE_HZ, WIDEBAND_HZ
from endpoint.media.messages import PayloadType

COMFORT_NOISE = 13
"""Its static number (RFC 3551 §6), which some use without having negotiated it."""
_TELEPHONE_EVENT = "TELEPHONE-EVENT"
_COMFORT_NOISE = "CN"
_BIT_RATES = (6000, 510_000)


def is_event(payload_type: PayloadType) -> bool:
    """True for telephone events (RFC 4733)."""
    return payload_type.encoding == _TELEPHONE_EVENT


def is_noise(payload_type: PayloadType) -> bool:
    """True for comfort noise (RFC 3389)."""
    return payload_type.encoding == _COMFORT_NOISE


def audio_of(payload_types: Iterable[PayloadType]) -> PayloadType | None:
    """The first that is audio."""
    return next((p for p in payload_types if not is_event(p) and not is_noise(p)), None)


def encodable_of(payload_types: Iterable[PayloadType]) -> PayloadType | None:
    """The first audio that we can encode."""
    return next((p for p in payload_types if codec_of(p) is not None), None)


def events_of(payload_types: Iterable[PayloadType], rate_hz: int) -> PayloadType | None:
    """The telephone events to send beside audio of this clock; they should have it too.

    RFC 4733 §2.1 wants one clock; where only another was negotiated, as phones do that know 8000
    alone and speak Opus, an event in that is still better understood than a tone.
    """
    events = [p for p in payload_types if is_event(p)]
    return next((p for p in events if p.clock_rate_hz == rate_hz), events[0] if events else None)


def codec_of(payload_type: PayloadType | None) -> AudioCodec | None:
    """How it is encoded and decoded; None for what we can't mix, as 44.1 kHz or stereo L16."""
    if payload_type is None:
        return None
    wanted_hz = WIDEBAND_HZ
    if payload_type.encoding == Encoding.OPUS:
        most_hz = _number(parameters_of(payload_type.fmtp), "maxplaybackrate", WIDEBAND_HZ)
        wanted_hz = WIDEBAND_HZ if most_hz >= WIDEBAND_HZ else SAMPLE_RATE_HZ
    codec = codec_named(
        payload_type.encoding, payload_type.clock_rate_hz, opus_sample_rate_hz=wanted_hz
    )
    if codec is None or codec.channels != payload_type.channels:
        return None
    is_narrow = codec.sample_rate_hz == SAMPLE_RATE_HZ
    return codec if is_narrow or codec.sample_rate_hz % WIDEBAND_HZ == 0 else None


def encoder_settings(payload_type: PayloadType, ours: EncoderSettings) -> EncoderSettings:
    """How to encode for a far end that said this of itself (RFC 7587 §6.1), within our settings.

    What it can't be, as a rate that is no number, is taken for not said. Whether it wants stereo
    does not matter: ours is mono, of which every decoder makes two equal channels.
    """
    said = parameters_of(payload_type.fmtp)
    most = _number(said, "maxaveragebitrate", ours.bit_rate)
    return replace(
        ours,
        bit_rate=min(max(min(most, ours.bit_rate), _BIT_RATES[0]), _BIT_RATES[1]),
        fec=ours.fec and said.get("useinbandfec") == "1",
        dtx=ours.dtx or said.get("usedtx") == "1",
        cbr=ours.cbr or said.get("cbr") == "1",
    )


def parameters_of(fmtp: str) -> dict[str, str]:
    """`a=1; b=2` as a dictionary, names in lower case."""
    pairs = [part.partition("=") for part in fmtp.split(";")]
    return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


def _number(parameters: dict[str, str], name: str, otherwise: int) -> int:
    text = parameters.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 10 and text.isascii() else otherwise
