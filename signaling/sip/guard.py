"""The guard at the door: what is not even read, and what is not even answered.

Four rules, for everybody but the `exempt` networks, each with bounded memory however many sources
there are:

1. A banned source (`bans`) is dropped.
2. A source's strangers, and all strangers together, have a rate; what is over it is dropped.
3. A known flow (`known`) is exempt from both, whatever others do at its address: it has a rate of
   its own. So a flood or a guesser behind the same NAT does not silence phones that are there.
4. Datagrams may bear a forged address, so strangers are sent no more octets than twice what came
   in their name (as RFC 9000 §8.1 has it for QUIC, with three): we are no amplifier.

Sans-IO, like the rest of this package.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from signaling.sip.bans import Ban, BanRule, Bans
from signaling.sip.flow import Flow
from signaling.sip.known import KnownFlows
from signaling.sip.rates import Bucket, Rate, Rates
from signaling.sip.source import Source, source_of

AMPLIFICATION: Final = 2
"""Octets sent to a stranger for each that came."""
_CREDIT_CAP: Final = 65_536
_TELL_EVERY_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Limits of what comes in. A source is an IPv4 address or an IPv6 network of 64 bits."""

    source_rate: Rate = field(default_factory=lambda: Rate(200, 2000))
    """Messages of a source's strangers."""
    stranger_rate: Rate = field(default_factory=lambda: Rate(1000, 5000))
    """Messages of all strangers together."""
    flow_rate: Rate = field(default_factory=lambda: Rate(2000, 10_000))
    """Messages of a known flow: a phone's, or a proxy's with all its calls."""
    known_for_s: float = 7200.0
    """How long after the last digest, or the last request of ours, a flow is known."""
    bans: BanRule = field(default_factory=BanRule)
    sources: int = 10_000
    """How many are remembered."""


@dataclass(frozen=True, slots=True)
class SourceBanned:
    """Told once a ban."""

    ban: Ban
    for_s: float


@dataclass(frozen=True, slots=True)
class SourceLimited:
    """Messages of a source are being dropped; told once a minute at most."""

    source: Source


GuardNotice = SourceBanned | SourceLimited


class Guard:
    """Asked for each message that comes and each answer that goes."""

    def __init__(self, settings: GuardSettings, is_exempt: Callable[[str], bool]) -> None:
        """`is_exempt` says of a flow's host that it is never limited nor banned."""
        self.settings = settings
        self._is_exempt = is_exempt
        self._bans = Bans(settings.bans, settings.sources)
        self._known = KnownFlows(settings.known_for_s, settings.sources)
        self._sources: Rates[Source] = Rates(settings.source_rate, settings.sources)
        self._flows: Rates[Flow] = Rates(settings.flow_rate, settings.sources)
        self._strangers: Bucket | None = None
        self._credit: OrderedDict[Source, int] = OrderedDict()
        self._told: OrderedDict[Source, float] = OrderedDict()
        self._notices: list[GuardNotice] = []

    def __repr__(self) -> str:
        return f"<Guard bans={len(self._bans)} known={len(self._known)} of {len(self._sources)}>"

    # -- what comes and goes ----------------------------------------------------------------------

    def admits(self, flow: Flow, size: int, now: float) -> bool:
        """Whether a message of so many octets is read at all."""
        if self._is_exempt(flow.host):
            return True
        source = source_of(flow.host)
        if not flow.reliable:
            self._give(source, AMPLIFICATION * size)
        if self._known.has(flow, now):
            admitted = self._flows.take(flow, now)
        elif self._bans.is_banned(source, now):
            return False
        else:
            admitted = self._sources.take(source, now) and self._take_stranger(now)
        if not admitted:
            self._tell_limited(source, now)
        return admitted

    def may_answer(self, flow: Flow, size: int, now: float) -> bool:
        """Whether a response of so many octets may go out: rule 4."""
        if flow.reliable or self._known.has(flow, now) or self._is_exempt(flow.host):
            return True
        source = source_of(flow.host)
        # Where a phone without rport is answered at another port than it asked from.
        if self._known.has_source(source, now):
            return True
        left = self._credit.get(source, 0) - size
        if left < 0:
            return False
        self._credit[source] = left
        return True

    # -- who is who -------------------------------------------------------------------------------

    def know(self, flow: Flow, now: float) -> None:
        """Somebody proved there who it is, or we send a request there."""
        self._known.add(flow, now)

    def closed(self, flow: Flow) -> None:
        """A connection is gone."""
        self._known.discard(flow)

    def failed(self, flow: Flow, user: str | None, now: float) -> None:
        """A digest for a nonce of ours was wrong. The flow must prove anew who it is."""
        if self._is_exempt(flow.host):
            return
        self._known.discard(flow)
        ban = self._bans.failed(source_of(flow.host), user, now)
        if ban is not None:
            self._notices.append(SourceBanned(ban, self.settings.bans.ban_s))

    # -- for the operator -------------------------------------------------------------------------

    def bans(self, now: float) -> list[Ban]:
        """Who is banned now."""
        return self._bans.all(now)

    def lift(self, host: str) -> bool:
        """Take a ban back, by its source or an address of it; False where there is none."""
        return self._bans.lift(source_of(host))

    def take_notices(self) -> list[GuardNotice]:
        """What is to be told; handed out once."""
        notices, self._notices = self._notices, []
        return notices

    # -- inside -----------------------------------------------------------------------------------

    def _give(self, source: Source, octets: int) -> None:
        credit = self._credit
        credit[source] = min(_CREDIT_CAP, credit.get(source, 0) + octets)
        credit.move_to_end(source)
        if len(credit) > self.settings.sources:
            credit.popitem(last=False)

    def _take_stranger(self, now: float) -> bool:
        if self._strangers is None:
            self._strangers = Bucket(self.settings.stranger_rate, now)
        return self._strangers.take(now)

    def _tell_limited(self, source: Source, now: float) -> None:
        if self._told.get(source, now) > now:
            return
        self._told[source] = now + _TELL_EVERY_S
        self._told.move_to_end(source)
        if len(self._told) > self.settings.sources:
            self._told.popitem(last=False)
        self._notices.append(SourceLimited(source))
