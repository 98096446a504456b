"""L16: linear audio as it is, in network order (RFC 3551 §4.5.11)."""

from __future__ import annotations

import numpy as np

from endpoint.audio.concealment import Concealer
from endpoint.audio.frame import Samples
from endpoint.errors import AudioError


class L16Encoder:
    """Any number of samples to twice as many octets."""

    def encode(self, samples: Samples) -> bytes:
        """The payload for mono audio."""
        return samples.astype(">i2").tobytes()


class L16Decoder:
    """Octets to half as many samples."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._concealer = Concealer(sample_rate_hz)

    def decode(self, payload: bytes) -> Samples:
        """The audio of a payload. Raises AudioError for half a sample."""
        if len(payload) % 2:
            raise AudioError(f"an L16 payload of {len(payload)} octets")
        return self._concealer.hear(np.frombuffer(payload, ">i2").astype(np.int16))

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """What was heard last, repeated and fading."""
        return self._concealer.conceal(samples)
