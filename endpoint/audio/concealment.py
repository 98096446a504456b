"""Packet loss concealment for codecs that have none of their own (after ITU-T G.711 Appendix I)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from endpoint.audio.frame import Samples
from endpoint.audio.pitch import HISTORY_MS, period_of

_FULL_MS = 20
_GONE_MS = 80
_FADE_MS = 4


class Concealer:
    """Repeats the last period of what was heard, ever more quietly, until more is heard.

    Two packets of 20 ms that are lost are hardly noticed; after 80 ms it is silent. The way back
    to what is heard next is a cross-fade of 4 ms.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._sample_rate_hz = sample_rate_hz
        self._history: Samples = np.zeros(HISTORY_MS * sample_rate_hz // 1000, dtype=np.int16)
        self._period: npt.NDArray[np.float32] | None = None
        self._made = 0
        fade = _FADE_MS * sample_rate_hz // 1000
        self._fade_in: npt.NDArray[np.float32] = (np.arange(1, fade + 1) / (fade + 1)).astype(
            np.float32
        )

    def hear(self, samples: Samples) -> Samples:
        """Take the next audio that was not lost. Returns it, faded in where some was lost."""
        if self._period is not None:
            samples = self._merge(samples)
            self._period = None
        size = len(self._history)
        if len(samples) >= size:
            self._history = samples[-size:]
        else:
            self._history = np.concatenate([self._history[len(samples) :], samples])
        return samples

    def conceal(self, samples: int) -> Samples:
        """As many samples, to follow all that was heard and concealed so far."""
        if self._period is None:
            period = period_of(self._history, self._sample_rate_hz)
            self._period = self._seamless(period)
            self._made = 0
        made = self._continue(self._period, samples)
        self._made += samples
        return np.rint(made).astype(np.int16)

    def _seamless(self, period: int) -> npt.NDArray[np.float32]:
        """One period, its end bent towards what comes before its beginning, so that it repeats."""
        fade = min(period // 4, len(self._fade_in))
        wave = self._history[-period - fade :].astype(np.float32)
        rising = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        wave[-fade:] = wave[-fade:] * (1 - rising) + wave[:fade] * rising
        return wave[fade:]

    def _continue(self, period: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
        at = self._made + np.arange(samples)
        full, gone = (ms * self._sample_rate_hz / 1000 for ms in (_FULL_MS, _GONE_MS))
        gain = np.clip((gone - at) / (gone - full), 0.0, 1.0).astype(np.float32)
        result: npt.NDArray[np.float32] = period[at % len(period)] * gain
        return result

    def _merge(self, samples: Samples) -> Samples:
        assert self._period is not None
        fade = self._fade_in[: len(samples)]
        merged = samples.copy()
        old = self._continue(self._period, len(fade))
        merged[: len(fade)] = np.rint(old * (1 - fade) + samples[: len(fade)] * fade)
        return merged
