"""Figures for Prometheus: what has happened is counted here, what is now is read when asked for.

Labels are words of ours, names of trunks and numbers of workers: never a device, a number that was
dialled, or anything that others chose.
"""

from __future__ import annotations

import re
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from endpoint.callcontrol.commands import Command, CommandAccepted
from endpoint.callcontrol.model import CallRecord
from endpoint.callcontrol.runner import CallRecords
from endpoint.errors import CommandRejected
from endpoint.legs.base import AudioFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "agent_endpoint"
_COMMAND_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_CALL_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_SETUP_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
_MOS = (1, 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.4, 4.5)
_LOSS = (0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_JITTER_S = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)
_HELD_UP_S = (0.25, 0.5, 1, 2, 5, 10)
_RECORD_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

Families = Callable[[], Iterable[Metric]]
"""Reads what is true now."""


class Metrics:
    """All figures of one endpoint."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` is the loop's clock."""
        self._now = now
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._calls = Counter(
            f"{PREFIX}_calls",
            "Calls that are over, by who asked for them, the cause, and whether they were answered",
            ("direction", "cause", "answered"),
            registry=self._registry,
        )
        self._call_s = self._histogram(
            "call_duration_seconds", "From the answer to the end", _CALL_S, ("direction",)
        )
        self._setup_s = self._histogram(
            "call_setup_seconds", "From the beginning of a call to its answer", _SETUP_S
        )
        self._commands = Counter(
            f"{PREFIX}_commands",
            "Commands, by what came of them: accepted, or the word of the refusal",
            ("command", "outcome"),
            registry=self._registry,
        )
        self._command_s = self._histogram(
            "command_seconds", "From a command to its acceptance", _COMMAND_S, ("command",)
        )
        self._mos = self._quality("mos", "MOS by the E-model", _MOS)
        self._loss = self._quality("loss_ratio", "Share of packets that were lost", _LOSS)
        self._jitter = self._quality("jitter_seconds", "Jitter (RFC 3550)", _JITTER_S)
        self._records = Counter(
            f"{PREFIX}_call_records",
            "Records of calls, by whether they could be kept",
            ("outcome",),
            registry=self._registry,
        )
        self._record_s = self._histogram(
            "call_record_seconds", "How long the end of a call waits for its record", _RECORD_S
        )

        self._held_up_s = self._histogram(
            "event_loop_held_up_seconds",
            "How long the control process did nothing else, each time over 0.2 s",
            _HELD_UP_S,
        )

    def held_up(self, seconds: float) -> None:
        """The event loop was held up for so long."""
        self._held_up_s.observe(seconds)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self._registry)

    def _quality(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        told = f"{text}, of a leg's audio when its call was over; received, or sent as it says"
        return self._histogram(f"leg_{name}", told, buckets, ("direction",))

    def read(self, families: Families) -> None:
        """Have what is true now told by these too."""
        self._registry.register(_State(families))

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    async def commanding(
        self, command: Command, go: Callable[[Command], Awaitable[CommandAccepted]]
    ) -> CommandAccepted:
        """Around a command."""
        began, outcome = self._now(), "failed"
        try:
            accepted = await go(command)
            outcome = "accepted"
            self._command_s.labels(command.name).observe(self._now() - began)
            return accepted
        except CommandRejected as rejection:
            outcome = rejection.reason
            raise
        finally:
            self._commands.labels(command.name, outcome).inc()

    def measured(self, records: CallRecords) -> CallRecords:
        """The same place for records, with what goes there counted."""
        return _Measured(self, records)

    def _heard(self, direction: str, audio: AudioFigures) -> None:
        if audio.mos is not None:
            self._mos.labels(direction).observe(audio.mos)
        if audio.loss_percent is not None:
            self._loss.labels(direction).observe(audio.loss_percent / 100)
        if audio.jitter_ms is not None:
            self._jitter.labels(direction).observe(audio.jitter_ms / 1000)

    async def written(self, records: CallRecords, record: CallRecord) -> None:
        """Write a record, and count it."""
        began = self._now()
        answered = record.established_at is not None
        self._calls.labels(record.direction, record.ending.cause, str(answered).lower()).inc()
        if record.established_at is not None:
            self._setup_s.observe(_seconds(record.started_at, record.established_at))
            self._call_s.labels(record.direction).observe(
                _seconds(record.established_at, record.ended_at)
            )
        for leg in record.connections:
            if leg.quality is not None:
                self._heard("received", leg.quality.received)
                self._heard("sent", leg.quality.sent)
        try:
            await records.write(record)
        except Exception:
            self._records.labels("failed").inc()
            raise
        self._records.labels("kept").inc()
        self._record_s.observe(self._now() - began)


class _Measured:
    def __init__(self, metrics: Metrics, records: CallRecords) -> None:
        self._metrics = metrics
        self._inner = records

    async def write(self, record: CallRecord) -> None:
        """See `CallRecords`."""
        await self._metrics.written(self._inner, record)


class _State(Collector):
    def __init__(self, families: Families) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """What is true now."""
        return self._families()

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not read what may not be there yet."""
        return ()


def gauge(name: str, text: str, value: float) -> Metric:
    """One figure that goes up and down."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value)


def gauges(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """The same, for each value of a label."""
    family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=(label,))
    for word, value in values:
        family.add_metric((word,), value)
    return family


def counter(name: str, text: str, value: float) -> Metric:
    """One figure that only grows."""
    return CounterMetricFamily(f"{PREFIX}_{name}", text, value)


def restarts(counts: Tally[str]) -> Metric:
    """What was begun anew, by kind: of a task's name what is no number, and nobody's."""
    kinds: Tally[str] = Tally()
    for name, count in counts.items():
        words = [word for word in name.split() if not re.search(r"[\d:@]", word)]
        kinds[" ".join(words) or "task"] += count
    family = CounterMetricFamily(
        f"{PREFIX}_restarts", "What had to be begun anew", labels=("task",)
    )
    for kind, count in sorted(kinds.items()):
        family.add_metric((kind,), count)
    return family


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
