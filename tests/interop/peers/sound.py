"""Tones: made as WAV files for peers to play, found again in what peers heard."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
RATE_HZ = 8000

PARTY_TONES_HZ = (590, 1010, 1130, 1400, 1800, 2300)
"""What peers say. Apart from each other, from DTMF and from the endpoint's own sounds."""
MUSIC_HZ = {523, 659}
"""The endpoint's music on hold, as `docs/call-control.md` gives it."""
PROGRESS_HZ = 425
"""Ring-back and busy (ITU-T E.180)."""
TONES_HZ = (*PARTY_TONES_HZ, *sorted(MUSIC_HZ), PROGRESS_HZ)
DTMF_HZ = {
    key: (row_hz, column_hz)
    for row_hz, keys in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for column_hz, key in zip((1209, 1336, 1477, 1633), keys, strict=True)
}
"""Row and column of each digit (ITU-T Q.23)."""

_PRESENT = 0.15
"""Share of the window's energy that makes a tone heard. G.711 noise is 38 dB lower."""
_AUDIBLE = 150.0
"""Root mean square under which a window is silence."""


def tone(frequency_hz: int, duration_s: float, *, peak: int = 8000) -> Samples:
    """Return a sine at 8 kHz."""
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    return (np.sin(2 * np.pi * frequency_hz * time_s) * peak).astype(np.int16)


def write_tone(path: Path, frequency_hz: int, duration_s: float = 120.0) -> Path:
    """Write a mono 16-bit 8 kHz WAV. A whole number of seconds repeats without a click."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(tone(frequency_hz, duration_s).tobytes())
    return path


def keys_pressed(digits: str, *, duration_s: float = 0.1) -> Samples:
    """Return DTMF digits, so long each and so far apart (ITU-T Q.23)."""
    pause = np.zeros(int(RATE_HZ * duration_s), np.int16)
    pairs = [DTMF_HZ[digit] for digit in digits]
    keys = [
        tone(low, duration_s, peak=6000) + tone(high, duration_s, peak=6000) for low, high in pairs
    ]
    return np.concatenate([part for key in keys for part in (key, pause)])


def write_digits(path: Path, digits: str, duration_s: float = 120.0) -> Path:
    """Write a WAV of DTMF digits, 100 ms each and 100 ms apart, over and over (ITU-T Q.23)."""
    once = keys_pressed(digits)
    repeated = np.tile(once, int(duration_s * RATE_HZ / once.size) + 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(repeated.astype(np.int16).tobytes())
    return path


def dtmf_in(samples: Samples) -> set[str]:
    """Return the DTMF digits in the window, by windows of 40 ms."""
    size = RATE_HZ // 25
    found: set[str] = set()
    for start in range(0, samples.size - size + 1, size):
        tones = tones_in(
            samples[start : start + size], {hz for pair in DTMF_HZ.values() for hz in pair}
        )
        found |= {digit for digit, pair in DTMF_HZ.items() if tones == set(pair)}
    return found


def tones_in(samples: Samples, among: Iterable[int] = TONES_HZ) -> set[int]:
    """Return the tones in the window, by their share of its energy (Goertzel's sum written out)."""
    if samples.size == 0:
        return set()
    signal = samples.astype(np.float64)
    time_s = np.arange(signal.size) / RATE_HZ
    return tones_by_power(
        float(np.mean(signal**2)),
        {
            frequency: 2 * abs(np.mean(signal * np.exp(-2j * np.pi * frequency * time_s))) ** 2
            for frequency in among
        },
    )


def longest_gap_ms(samples: Samples, tone_hz: int, *, window_ms: int = 20) -> int:
    """Return for how long, at the most, a tone was not heard, in windows of so many ms."""
    size = window_ms * RATE_HZ // 1000
    longest = gap = 0
    for start in range(0, samples.size - size + 1, size):
        gap = 0 if tone_hz in tones_in(samples[start : start + size], (tone_hz,)) else gap + 1
        longest = max(longest, gap)
    return longest * window_ms


def tones_by_power(energy: float, powers: Mapping[int, float]) -> set[int]:
    """Return the tones of a window by its mean power and that of each; full scale is 32768²."""
    if energy < _AUDIBLE**2:
        return set()
    return {frequency for frequency, power in powers.items() if power > _PRESENT * energy}


def ulaw_decode(octets: bytes) -> Samples:
    """Decode G.711 µ-law as ITU-T G.711 §3 words it, one octet a sample."""
    code = ~np.frombuffer(octets, np.uint8)
    exponent = (code >> 4) & 7
    magnitude = (((code & 15).astype(np.int32) << 3) + 132 << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def ulaw_encode(samples: Samples) -> bytes:
    """Encode G.711 µ-law: the code whose decoded value is nearest."""
    return _NEAREST[samples.astype(np.int32) + 32768].tobytes()


def _nearest_codes() -> npt.NDArray[np.uint8]:
    values = ulaw_decode(bytes(range(256))).astype(np.int32)
    order = np.argsort(values, kind="stable")
    middles = (values[order][1:] + values[order][:-1]) / 2
    return order[np.searchsorted(middles, np.arange(-32768, 32768))].astype(np.uint8)


_NEAREST = _nearest_codes()
