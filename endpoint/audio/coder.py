"""What every audio codec has: an encoder and a decoder, each with the state of one stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from endpoint.audio.frame import Samples


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How to encode, for the codecs that leave a choice (Opus); the others take no notice."""

    bit_rate: int = 32000
    """Bits a second; 6000 to 510000. Below 30000 libopus finds no room for `fec`."""
    complexity: int = 5
    """0 (cheap) to 10 (good)."""
    fec: bool = True
    """Carry a coarse copy of each packet in the next one (RFC 6716 §2.1.7)."""
    expected_loss_percent: int = 10
    """How much of the bit rate that copy is worth; 0 to 100."""
    dtx: bool = False
    """Send next to nothing while nobody speaks (RFC 6716 §2.1.9)."""
    cbr: bool = False
    """All packets of one size."""


class Encoder(Protocol):
    """Linear audio to payloads."""

    def encode(self, samples: Samples) -> bytes:
        """The payload for mono audio of one packet time. Raises AudioError."""
        ...


class Decoder(Protocol):
    """Payloads to linear audio."""

    def decode(self, payload: bytes) -> Samples:
        """The mono audio of the next payload in order. Raises AudioError; its state stays good."""
        ...

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """As many samples in place of what was lost, or is late.

        `following` is the payload right after the lost one, where it is already here: a codec with
        forward error correction finds a copy in it. It is to be decoded after this as usual.
        """
        ...
