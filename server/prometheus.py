"""`/metrics`: what the server knows of itself, in the text format of Prometheus.

Nothing is counted for it: at each scrape it reads what the parts of the server count anyway.
docs/metrics.md says what each figure means.
"""

import asyncio
import threading
from collections.abc import Iterator
from statistics import fmean
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from inference.protocol import ServedEngine
from server.admission import Cause
from server.calls import Calls
from server.histogram import Histogram

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition(calls: Calls, engine: ServedEngine, max_sessions: int) -> bytes:
    """The body of the answer to a scrape, of the type CONTENT_TYPE."""
    registry = CollectorRegistry()
    registry.register(_Server(calls, engine, max_sessions))
    ProcessCollector(registry=registry)  # process_*: memory, CPU, descriptors
    return generate_latest(registry)


class _Server(Collector):
    def __init__(self, calls: Calls, engine: ServedEngine, max_sessions: int) -> None:
        self._calls = calls
        self._engine = engine
        self._max_sessions = max_sessions

    def collect(self) -> Iterator[Metric]:
        yield from self._load()
        yield from self._sessions()
        yield from self._media()
        yield _gauge("threads", "Threads of this process.", threading.active_count())
        yield _gauge("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def _load(self) -> Iterator[Metric]:
        load = self._calls.load
        figures = load.figures
        name = "event_loop_lag_seconds"
        yield _histogram(name, "How late the event loop's timers are.", load.lag)
        what = "Cores in use, of the latest two seconds."
        yield _gauge("cpu_cores", what, figures.cpu)
        what = "Cores that one call takes, as it was learned."
        yield _gauge("call_cost_cores", what, figures.call_cost)
        what = "How near the server is to its limits: above 1 new calls are refused."
        yield _gauge("pressure_ratio", what, load.pressure)

    def _sessions(self) -> Iterator[Metric]:
        metrics = self._calls.metrics
        yield _gauge("sessions", "Calls in progress.", len(self._calls))
        yield _gauge("sessions_max", "Calls that may be in progress.", self._max_sessions)
        yield _counter("sessions_started", "Calls that came about.", metrics.sessions)
        yield _counter("sessions_resumed", "Calls that went on another way.", metrics.resumed)
        refused = CounterMetricFamily(
            "vaani_calls_refused", "Calls that were refused, by the cause.", labels=["cause"]
        )
        for cause in get_args(Cause):
            refused.add_metric([cause], metrics.refused[cause])
        yield refused
        yield _counter("turns", "Turns of the callers.", metrics.turns)
        yield _counter("interruptions", "Answers that were spoken over.", metrics.interruptions)
        what = "Answers that fell silent because the caller might interrupt."
        yield _counter("pauses", what, metrics.pauses)
        what = "Of these, those that went on, because he did not."
        yield _counter("false_interruptions", what, metrics.false_interruptions)
        yield _counter("failures", "Errors told to callers.", metrics.failures)
        what = "From the end of a turn to the first audio of the answer."
        yield _histogram("first_audio_seconds", what, metrics.first_audio)
        yield _gauge("engine_ready", "Whether the engine takes calls.", self._engine.ready)
        what = "How often the engine's host was started."
        yield _counter("engine_starts", what, self._engine.generation)

    def _media(self) -> Iterator[Metric]:
        total = self._calls.total_media()
        for name, what, count in (
            ("packets_received", "Packets of the callers' audio.", total.received),
            ("packets_lost", "Packets that did not arrive, or too late.", total.lost),
            ("packets_late", "Packets that arrived too late.", total.late),
            ("audio_heard_seconds", "Sound given to the calls.", total.heard),
            ("audio_concealed_seconds", "Of that, made up for lost packets.", total.concealed),
            ("audio_recovered_seconds", "Of that, found in a later packet.", total.recovered),
            ("packets_sent", "Packets of our audio.", total.sent),
            ("frames_late", "Frames of 20 ms not sent, for they were late.", total.skipped),
        ):
            yield _counter(name, what, count)
        reports = self._calls.reports()
        delays = [r.delay for r in reports if r.received]
        jitters = [r.jitter for r in reports if r.received]
        losses = [r.remote_loss for r in reports if r.remote_loss is not None]
        trips = [r.round_trip for r in reports if r.round_trip is not None]
        for name, what, values in (
            ("jitter_buffer_delay_seconds", "Cost of order, mean of calls.", delays),
            ("jitter_seconds", "Of the packets' arrival, mean of calls.", jitters),
            ("remote_loss_ratio", "Our packets lost, mean of calls.", losses),
            ("round_trip_seconds", "Mean of calls.", trips),
        ):
            yield _gauge(name, what, fmean(values) if values else 0.0)


def _counter(name: str, what: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"vaani_{name}", what, value=value)  # its samples end in _total


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"vaani_{name}", what, value=value)


def _histogram(name: str, what: str, counted: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(
        f"vaani_{name}", what, buckets=counted.buckets(), sum_value=counted.sum
    )
