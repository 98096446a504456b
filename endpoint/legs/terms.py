"""What a line wants of audio: how it travels, in which codecs, and how digits go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from endpoint.legs.base import DigitKind
from endpoint.media.pjsip.messages import PAYLOAD_TYPE, SAMPLE_RATE_HZ
from signaling.errors import Misfit, SdpError
from signaling.sdp.description import Codec, SessionDescription
from signaling.sdp.dtls import has_fingerprint
from signaling.sdp.security import PLAIN_PROTOCOLS

LOCAL_L16 = Codec(PAYLOAD_TYPE, "L16", SAMPLE_RATE_HZ)
"""Between processes of this machine: linear audio."""


class Protection(StrEnum):
    """How audio travels."""

    RTP = "rtp"
    """In the clear."""
    SRTP = "srtp"
    """With keys in the SDP (SDES, RFC 4568): as secret as the signalling."""
    WEBRTC = "webrtc"
    """ICE and DTLS-SRTP: what browsers do."""

    @classmethod
    def of(cls, offer: SessionDescription) -> Protection:
        """What an offer asks for; an answer never gives less."""
        for medium in offer.media:
            if medium.kind != "audio" or not medium.port:
                continue
            if has_fingerprint(offer, medium) or medium.protocol.upper().startswith("UDP/TLS/"):
                return cls.WEBRTC
            clear = medium.protocol.upper() in PLAIN_PROTOCOLS
            return cls.RTP if clear and medium.attribute("crypto") is None else cls.SRTP
        return cls.RTP


class SrtpUse(StrEnum):
    """Whether SRTP with keys in the SDP is spoken on a line."""

    REQUIRED = "required"
    """Nothing else is offered or taken."""
    OPTIONAL = "optional"
    """Offered as RTP/AVP with keys: clear where the far end has none (RFC 8643)."""
    OFF = "off"
    """Clear, also where the far end would rather not."""


@dataclass(frozen=True, slots=True)
class AudioTerms:
    """How audio is offered to a far end, and what is taken from it."""

    protection: Protection = Protection.RTP
    """What is offered."""
    srtp: SrtpUse | None = None
    """What must be; None: what is offered to us is answered as it is made."""
    codecs: tuple[str, ...] = ()
    """Encodings to offer and take, in this order; empty: ours, so that most can be forwarded."""
    digits: DigitKind = DigitKind.EVENTS
    """How digits are sent, and looked for. INFO is understood in any case."""
    is_local: bool = False
    """It goes to another process of this machine, by the address that is bound."""
    strict_source: bool = False
    """Only what comes from the address of the far end's SDP is heard: a far end behind NAT is not,
    and a stranger never is."""

    def protection_for(self, offer: SessionDescription) -> Protection:
        """How to answer an offer. Raises SdpError (488) where it does not keep to `srtp`."""
        asked = Protection.of(offer)
        if self.srtp is None or asked is self.protection:
            return asked
        if self.srtp is SrtpUse.OFF and _is_wish(offer):
            return Protection.RTP
        if self.srtp is SrtpUse.OPTIONAL and asked is not Protection.WEBRTC:
            return Protection.SRTP if asked is Protection.SRTP else Protection.RTP
        raise SdpError(
            f"{asked} was offered, and SRTP is {self.srtp} on this line",
            misfit=Misfit.TRANSPORT,
        )


def on_this_machine(host: str) -> str:
    """How who is bound to an address is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


LOCAL = AudioTerms(codecs=(LOCAL_L16.encoding,), digits=DigitKind.INFO, is_local=True)
"""Of calls whose signalling and RTP are another process's; digits go beside the audio."""


def _is_wish(offer: SessionDescription) -> bool:
    """Keys stand beside a profile that is clear."""
    protocols = (medium.protocol.upper() for medium in offer.media if medium.kind == "audio")
    return next(protocols, "") in PLAIN_PROTOCOLS
