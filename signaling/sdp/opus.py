"""The parameters of Opus in an fmtp (RFC 7587 §6.1)."""

from __future__ import annotations

from dataclasses import dataclass

_RATES_HZ = range(8000, 48001)
_BITRATES = range(6000, 510001)
_MINPTIMES_MS = range(3, 121)


@dataclass(frozen=True, slots=True)
class OpusParameters:
    """What the describer wants to receive, and says that it will send."""

    max_playback_rate_hz: int = 48000
    max_average_bitrate: int | None = None
    """Bits a second; None: the sender's choice."""
    stereo: bool = False
    """The describer likes to receive stereo."""
    sends_stereo: bool = False
    constant_bitrate: bool = False
    in_band_fec: bool = False
    """The describer makes use of FEC."""
    discontinuous: bool = False
    """The describer takes DTX."""
    min_ptime_ms: int = 3

    @classmethod
    def parse(cls, fmtp: str) -> OpusParameters:
        """Read an fmtp. What is unknown or out of range counts as not said; nothing is raised."""
        said: dict[str, str] = {}
        for part in fmtp.split(";"):
            name, _, value = part.strip(" ").partition("=")
            said.setdefault(name.strip(" ").lower(), value.strip(" "))

        def number(name: str, allowed: range) -> int | None:
            text = said.get(name, "")
            if not text.isascii() or not text.isdigit() or len(text) > 7:
                return None
            return int(text) if int(text) in allowed else None

        return cls(
            max_playback_rate_hz=number("maxplaybackrate", _RATES_HZ) or 48000,
            max_average_bitrate=number("maxaveragebitrate", _BITRATES),
            stereo=said.get("stereo") == "1",
            sends_stereo=said.get("sprop-stereo") == "1",
            constant_bitrate=said.get("cbr") == "1",
            in_band_fec=said.get("useinbandfec") == "1",
            discontinuous=said.get("usedtx") == "1",
            min_ptime_ms=number("minptime", _MINPTIMES_MS) or 3,
        )

    def __str__(self) -> str:
        """The fmtp; defaults are left out."""
        words = []
        if self.min_ptime_ms != 3:
            words.append(f"minptime={self.min_ptime_ms}")
        if self.max_playback_rate_hz != 48000:
            words.append(f"maxplaybackrate={self.max_playback_rate_hz}")
        if self.max_average_bitrate is not None:
            words.append(f"maxaveragebitrate={self.max_average_bitrate}")
        flags = {
            "stereo": self.stereo,
            "sprop-stereo": self.sends_stereo,
            "cbr": self.constant_bitrate,
            "useinbandfec": self.in_band_fec,
            "usedtx": self.discontinuous,
        }
        words += [f"{name}=1" for name, on in flags.items() if on]
        return ";".join(words)
