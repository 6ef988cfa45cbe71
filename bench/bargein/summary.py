"""Trials in figures, and which of the suite's thresholds they keep."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

from bench.bargein.results import Check, Expected, Summary, Trial
from bench.bargein.suite import Suite, Thresholds
from bench.target import median_p95

ALL = "all"
FAILED_PERCENT = 2.0
"""Of the calls, where the suite sets no other limit: of many calls one may fail for any reason, but
what most of them say is not known when most of them failed."""

LEAST = frozenset({"resumed_percent"})
"""Metrics that have a least value."""

IF_ANY = frozenset({"resumed_percent", "history_error"})
"""Metrics that some servers or trials give nothing to judge by, for no fault of theirs."""


def summarize(name: str, trials: Sequence[Trial]) -> Summary:
    """Of a scenario, or of all."""
    held = [trial for trial in trials if trial.outcome is not None]
    stopping = [trial for trial in held if trial.expected == "stop"]
    going_on = [trial for trial in held if trial.expected == "continue"]
    waiting = [trial for trial in held if trial.expected == "wait"]
    seconds = sum(trial.bot_seconds for trial in going_on)
    cuts = sum(trial.false_interruptions for trial in going_on)
    gaps = [trial for trial in going_on if trial.stop is not None and trial.onset is not None]
    errors = [trial.history_error for trial in held if trial.history_error is not None]
    return Summary(
        scenario=name,
        trials=len(trials),
        failed=len(trials) - len(held),
        missed_percent=_percent(stopping, "missed"),
        false_percent=_percent(going_on, "false_interruption"),
        false_per_hour=round(3600 * cuts / seconds, 2) if seconds else None,
        took_over_percent=_percent(waiting, "took_over"),
        stop_ms=_median_p95([trial.stop_ms for trial in stopping]),
        response_ms=_median_p95(
            [trial.response_ms for trial in (*stopping, *waiting) if trial.outcome != "took_over"]
        ),
        gap_ms=_median_p95([trial.gap_ms for trial in going_on]),
        resumed_percent=_share([trial.resume is not None for trial in gaps]),
        history_error=round(sum(errors) / len(errors), 2) if errors else None,
        bot_seconds=round(sum(trial.bot_seconds for trial in held), 1),
    )


_EXPECTED: dict[str, Expected] = {
    "stop_p50_ms": "stop",
    "stop_p95_ms": "stop",
    "missed_percent": "stop",
    "gap_p50_ms": "continue",
    "gap_p95_ms": "continue",
    "false_percent": "continue",
    "false_per_hour": "continue",
    "took_over_percent": "wait",
}
"""Of the trials that a metric is about, where that is one kind."""


def check(suite: Suite, summaries: Sequence[Summary]) -> tuple[Check, ...]:
    """The thresholds of the scenarios that were played, and then those of all.

    A threshold of what no scenario that was played is about is left out.
    """
    found = {summary.scenario: summary for summary in summaries}
    played = [scenario for scenario in suite.scenarios if scenario.name in found]
    out: list[Check] = []
    for scenario in played:
        out += _checks(found[scenario.name], scenario.thresholds, {scenario.expect})
    kinds = {scenario.expect for scenario in played}
    out += _checks(found[ALL], suite.thresholds, kinds)
    if suite.thresholds.failed_percent is None:
        out += _checks(found[ALL], Thresholds(failed_percent=FAILED_PERCENT), kinds)
    return tuple(out)


def _checks(
    summary: Summary, thresholds: Thresholds, kinds: Collection[Expected]
) -> Iterator[Check]:
    for metric, limit in asdict(thresholds).items():
        if limit is None or (metric in _EXPECTED and _EXPECTED[metric] not in kinds):
            continue
        value = metric_of(summary, metric)
        if value is None:
            kept = metric in IF_ANY
        else:
            kept = value >= limit if metric in LEAST else value <= limit
        yield Check(summary.scenario, metric, limit, value, kept)


def metric_of(summary: Summary, metric: str) -> float | None:
    """The value that a threshold of this name is about."""
    if metric == "failed_percent":
        return round(100 * summary.failed / summary.trials, 2) if summary.trials else None
    for ending, index in (("_p50_ms", 0), ("_p95_ms", 1)):
        if metric.endswith(ending):
            pair: tuple[float, float] | None = getattr(summary, metric.removesuffix(ending) + "_ms")
            return pair[index] if pair else None
    value: float | None = getattr(summary, metric)
    return value


def _percent(trials: Sequence[Trial], outcome: str) -> float | None:
    return _share([trial.outcome == outcome for trial in trials])


def _share(values: Sequence[bool]) -> float | None:
    return round(100 * sum(values) / len(values), 2) if values else None


def _median_p95(values: Sequence[float | None]) -> tuple[float, float] | None:
    seen = [value for value in values if value is not None]
    return median_p95(seen) if seen else None
