"""What is observed of one port: its counts, the last seconds of them, and what follows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from endpoint.media import messages as m
from endpoint.media.diagnosis import (
    Counts,
    ReceivedDiagnosis,
    Reception,
    Sending,
    SentDiagnosis,
    judge_received,
    judge_sent,
)
from endpoint.media.inbound import Inbound
from endpoint.media.outbound import Outbound
from endpoint.media.quality import burst_ratio, opinion, rating
from endpoint.media.rtcp import RemoteView
from endpoint.media.transport import PacketTransport
from endpoint.media.xr import VoipMetrics

_LOOKS: Final = 5
"""In the last seconds."""
_JITTERS: Final = 2
"""A jitter buffer that we know nothing of waits for so many times the jitter."""
_DBM0_OF_DBOV: Final = 6
"""A sine at full scale is -3 dBov, and 3 dBm0 in G.711."""


class Observer:
    """Reads what the parts of a port have counted. `look` is to be called every `interval_s`."""

    def __init__(
        self,
        inbound: Inbound,
        outbound: Outbound,
        transport: PacketTransport,
        view: RemoteView,
        window_s: float,
        report_s: float,
    ) -> None:
        """Set up.

        Args:
            inbound: what comes.
            outbound: what goes.
            transport: how it does.
            view: what the far end reports.
            window_s: the last seconds.
            report_s: reports of the far end count for so long.
        """
        self.interval_s = window_s / _LOOKS
        self._inbound = inbound
        self._outbound = outbound
        self._transport = transport
        self._view = view
        self._window_s = window_s
        self._report_s = report_s
        self._looks: deque[Counts] = deque(maxlen=_LOOKS)
        self._since = 0.0
        self._packet_ms = 0

    def restart(self, packet_ms: int, now: float) -> None:
        """Something else was agreed with the far end: what was before tells nothing."""
        self._looks.clear()
        self._since = now
        self._packet_ms = packet_ms
        self.look()

    def look(self) -> None:
        """Remember the counts of now."""
        self._looks.append(self._counts())

    @property
    def hears_nothing(self) -> bool:
        """True where no packet came in the last seconds."""
        looks = self._looks
        return len(looks) == _LOOKS and looks[0].received == looks[-1].received

    def statistics(
        self, remote: m.Remote | None, levels_dbov: Sequence[float | None], now: float
    ) -> m.Statistics:
        """All that is known.

        Args:
            remote: the far end; None: not negotiated yet.
            levels_dbov: of everybody whom the far end should hear; None: not known.
            now: the time.
        """
        known_dbov = [level for level in levels_dbov if level is not None]
        all_known = levels_dbov and len(known_dbov) == len(levels_dbov)
        sent_level_dbov = max(known_dbov) if all_known else None
        inbound, counts = self._inbound, self._counts()
        last = counts.since(self._looks[0] if self._looks else counts)
        # A report about nothing has nothing lost.
        view = self._view if last.sent > 0 and self._is_reported(now) else RemoteView()
        level_dbov, mos, remote_mos = inbound.level_dbov(), self._mos(last), self._remote_mos(view)
        received, sent = ReceivedDiagnosis.NO_FAR_END, SentDiagnosis.NO_FAR_END
        if remote is not None:
            is_web = isinstance(remote, m.SetWebRtcRemote)
            is_connected = not is_web or self._transport.outlet is not None
            is_young = now - self._since < self._window_s / 2
            reception = Reception(
                is_connected,
                remote.receiving,
                is_young,
                level_dbov,
                inbound.is_garbled,
                mos,
                last,
            )
            received = judge_received(reception)
            sending = Sending(
                is_connected,
                remote.sending,
                is_young,
                bool(levels_dbov),
                sent_level_dbov,
                view.hears,
                remote_mos,
                last.sent,
            )
            sent = judge_sent(sending)
        played = inbound.played
        proven, trip_s = self._transport.proven, self._view.round_trip_s
        return m.Statistics(
            packets_received=counts.received,
            packets_expected=counts.expected,
            packets_lost=counts.lost,
            packets_sent=counts.sent,
            packets_foreign=counts.foreign,
            packets_refused=counts.refused,
            packets_malformed=counts.malformed,
            packets_unnegotiated=counts.unnegotiated,
            packets_late=played.late,
            packets_discarded=played.discarded,
            packets_undecodable=played.undecodable,
            concealed_ms=round(played.concealed_ms),
            playout_ms=_rounded(inbound.playout_ms, 1),
            loss_percent=_percent(_loss(last)),
            jitter_ms=round(self._jitter_ms, 3),
            mos=_rounded(mos, 2),
            received_level_dbov=level_dbov,
            sent_level_dbov=sent_level_dbov,
            remote_lost=self._view.lost,
            remote_loss_percent=_percent(view.loss),
            remote_jitter_ms=_rounded(self._remote_jitter_ms(view), 3),
            remote_mos=_rounded(remote_mos, 2),
            round_trip_ms=None if trip_s is None else round(1000 * trip_s, 3),
            codec=inbound.current.encoding if inbound.current is not None else "",
            srtp_profile=self._transport.srtp_profile,
            is_dtls=isinstance(remote, m.SetWebRtcRemote),
            remote="" if proven is None else _text_of(*proven),
            diagnosis_received=received,
            diagnosis_sent=sent,
        )

    def metrics(self) -> VoipMetrics | None:
        """How we hear the far end, to tell it so; None while it has sent nothing."""
        source = self._inbound.source
        whole = self._counts()
        if source.ssrc < 0:
            return None
        loss, unheard = _share(whole.lost, whole.expected), _share(whole.unheard, whole.expected)
        ratio = burst_ratio(loss, whole.lost, whole.loss_runs)
        bursts = source.bursts.figures(source.since_loss, self._packet_ms)
        level_dbov = self._inbound.level_dbov()
        overall = rating(loss + unheard, self._delay_ms(self._playout_ms), ratio)
        return VoipMetrics(
            ssrc=source.ssrc,
            loss=loss,
            discard=unheard,
            burst_density=bursts.burst_density,
            gap_density=bursts.gap_density,
            burst_ms=bursts.burst_ms,
            gap_ms=bursts.gap_ms,
            round_trip_ms=self._trip_ms,
            signal_dbm=None if level_dbov is None else round(level_dbov + _DBM0_OF_DBOV),
            rating=overall,
            listening_mos=opinion(rating(loss + unheard, 0, ratio)),
            conversation_mos=opinion(overall),
            delay_ms=self._playout_ms,
        )

    def _counts(self) -> Counts:
        inbound, transport = self._inbound, self._transport
        source, played = inbound.source, inbound.played
        expected, lost = source.expected, source.lost
        return Counts(
            received=expected - lost,
            expected=expected,
            lost=lost,
            loss_runs=source.bursts.runs,
            unheard=played.late + played.discarded,
            foreign=transport.foreign_packets,
            refused=transport.refused_packets,
            malformed=inbound.malformed_packets,
            unnegotiated=inbound.unnegotiated_packets,
            sent=self._outbound.sender.packets,
        )

    def _mos(self, last: Counts) -> float | None:
        loss = _loss(last)
        if loss is None:
            return None
        ratio = burst_ratio(loss, last.lost, last.loss_runs)
        return opinion(rating(loss, self._delay_ms(self._playout_ms), ratio))

    def _is_reported(self, now: float) -> bool:
        """True while what the far end has reported counts."""
        return self._view.at is not None and now - self._view.at < self._report_s

    def _remote_mos(self, view: RemoteView) -> float | None:
        """What the far end says itself, or what its report makes of it."""
        if view.metrics is not None and view.metrics.conversation_mos is not None:
            return view.metrics.conversation_mos
        if view.loss is None:
            return None
        playout_ms = _JITTERS * (self._remote_jitter_ms(view) or 0.0)
        return opinion(rating(view.loss, self._delay_ms(playout_ms)))

    def _delay_ms(self, playout_ms: float) -> float:
        """From mouth to ear, as far as we can know."""
        return self._trip_ms / 2 + self._packet_ms + playout_ms

    @property
    def _playout_ms(self) -> float:
        """Of our jitter buffer; where we only forward, of the one that whoever hears it has."""
        playout_ms = self._inbound.playout_ms
        return _JITTERS * self._jitter_ms if playout_ms is None else max(playout_ms, 0.0)

    @property
    def _trip_ms(self) -> float:
        return 1000 * (self._view.round_trip_s or 0.0)

    @property
    def _jitter_ms(self) -> float:
        return self._inbound.source.jitter_ms

    def _remote_jitter_ms(self, view: RemoteView) -> float | None:
        jitter = view.jitter
        return None if jitter is None else 1000 * jitter / self._outbound.sender.rate_hz


def _loss(counts: Counts) -> float | None:
    """The share that nobody could hear; None where nothing was expected."""
    if counts.expected <= 0:
        return None
    return _share(counts.lost, counts.expected) + _share(counts.unheard, counts.expected)


def _share(part: int, whole: int) -> float:
    return min(max(part / whole, 0.0), 1.0) if whole > 0 else 0.0


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * min(share, 1.0), 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _text_of(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
