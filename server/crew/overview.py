"""What several workers tell of themselves, as one server's."""

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

Status = dict[str, Any]


def whole_status(own: Status, by_worker: Mapping[int, Status]) -> Status:
    """One's own `/status` with the calls and counts of all, and under "workers" those of each.

    The latency of answers is not summed: it stays with the workers.
    """
    workers = [{"worker": n, **status} for n, status in sorted(by_worker.items())]
    rows = [{"worker": w["worker"], **call} for w in workers for call in w["calls"]]
    counts: Status = {}
    for status in by_worker.values():
        _add(counts, status["since_start"])
    return {
        **own,
        "calls": rows,
        "since_start": counts,
        "workers": [{**worker, "calls": len(worker["calls"])} for worker in workers],
    }


def _add(total: Status, counts: Status) -> None:
    for name, value in counts.items():
        if isinstance(value, int):
            total[name] = total.get(name, 0) + value
        elif isinstance(value, dict) and all(isinstance(v, int) for v in value.values()):
            _add(total.setdefault(name, {}), value)


def whole_exposition(by_worker: Mapping[int, str]) -> bytes:
    """The workers' expositions as one, where each figure has a label that names its worker."""
    registry = CollectorRegistry()
    registry.register(_Workers(by_worker))
    return generate_latest(registry)


class _Workers(Collector):
    def __init__(self, by_worker: Mapping[int, str]) -> None:
        self._by_worker = by_worker

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for worker, text in sorted(self._by_worker.items()):
            for found in text_string_to_metric_families(text):
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                for sample in found.samples:
                    labels = {**sample.labels, "worker": str(worker)}
                    family.add_sample(sample.name, labels, sample.value)
        yield from families.values()
