"""From the settings of trunks to trunks."""

from __future__ import annotations

from dataclasses import replace

from endpoint.app.trunksettings import RuleSettings, TrunkSettings
from endpoint.errors import ConfigurationError
from endpoint.legs import line, trunk
from endpoint.legs.base import DeviceId, DigitKind
from endpoint.legs.numbering import NumberRule
from endpoint.legs.peer import PeerSettings
from endpoint.legs.terms import AudioTerms, Protection, SrtpUse
from endpoint.media.pjsip import MOST_CALLS
from signaling.sip.identity import Claim
from signaling.sip.liveness import LivenessSettings
from signaling.sip.uri import Uri


def trunk_of(settings: TrunkSettings, account: line.AccountSettings | None) -> trunk.TrunkSettings:
    """One trunk; `account` is that of its settings."""
    by_default = Claim.ASSERTED if account is None else Claim.PREFERRED
    interval_s = settings.options_interval_s
    by_pjsip = account is not None and account.engine is line.MediaEngine.PJSIP
    if by_pjsip and (settings.srtp != "off" or settings.codecs):
        text = 'its account\'s media_engine is pjsip: expected srtp = "off" and no codecs'
        raise ConfigurationError([f"trunk {settings.name}: {text}"])
    return trunk.TrunkSettings(
        name=settings.name,
        peers=tuple(
            PeerSettings(Uri.parse(peer.uri), peer.priority, peer.weight) for peer in settings.peers
        ),
        account=account,
        networks=tuple(settings.trusted_networks),
        order=settings.order,
        outgoing=tuple(_rule(rule) for rule in settings.outgoing),
        incoming=tuple(_rule(rule) for rule in settings.incoming),
        numbers=tuple(settings.numbers),
        device_numbers={
            DeviceId(device): number for device, number in settings.device_numbers.items()
        },
        default_number=settings.default_number,
        domain=settings.domain,
        claim=Claim(settings.identity) if settings.identity is not None else by_default,
        audio=account.audio
        if account is not None and by_pjsip
        else AudioTerms(
            protection=Protection.RTP if settings.srtp == "off" else Protection.SRTP,
            srtp=SrtpUse(settings.srtp),
            codecs=tuple(settings.codecs),
            digits=DigitKind(settings.dtmf),
            strict_source=settings.media_source == "sdp",
        ),
        transfers=line.Transfers(
            by_refer=settings.transfer == "refer", accepts=settings.accept_refer
        ),
        most_calls=min(settings.most_calls or MOST_CALLS, MOST_CALLS)
        if by_pjsip
        else settings.most_calls,
        first_response_s=settings.first_response_s,
        liveness=_liveness(interval_s) if interval_s else None,
    )


def _liveness(interval_s: float) -> LivenessSettings:
    """An answer has to be there before the next question."""
    by_default = LivenessSettings()
    return replace(
        by_default, interval_s=interval_s, timeout_s=min(interval_s, by_default.timeout_s)
    )


def _rule(settings: RuleSettings) -> NumberRule:
    return NumberRule(settings.match, settings.strip, settings.add, settings.to)
