"""The search for how many calls are held, what counts as held, and one short load for real."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bench.callers import Row
from bench.latency import quarters
from bench.load import find_max, holds, line, numbers, panels, slope
from bench.loops import Loop, speech_loop, talk_loop
from media.frames import frame_length
from run import main

GOOD = Row(
    calls=10,
    at=10.0,
    cpu_ms=15.0,
    cpu_server_ms=12.0,
    cpu_children_ms=3.0,
    rss_mb=150.0,
    threads=5,
    descriptors=30,
    latency_ms=(33.0, 35.0),
    jitter_p95_ms=1.0,
    received=5000,
    lost=0,
    late=0,
    skipped=0,
    backlog_ms=0.0,
    dropped_percent=None,
    concealed_percent=0.0,
    caller_cpu=0.1,
    caller_lag_ms=1.0,
    failed=[],
)


@pytest.mark.parametrize("most", [0, 1, 7, 13, 40, 100])
async def test_the_search_finds_the_most(most: int) -> None:
    tried = []

    async def held(calls: int) -> bool:
        tried.append(calls)
        return calls <= most

    found = await find_max(held, 10, 64)
    assert found <= min(most, 64) <= found + max(1, found // 20)
    assert len(tried) == len(set(tried)) <= 10


@pytest.mark.parametrize(
    "worse",
    [
        {"failed": ["refused"]},
        {"received": 0},
        {"lost": 1},
        {"skipped": 1},
        {"jitter_p95_ms": 10.0},
        {"backlog_ms": 20.0},
    ],
)
def test_what_is_not_held(worse: dict[str, object]) -> None:
    assert holds(GOOD)
    assert holds(replace(GOOD, late=3, cpu_ms=99.0))
    assert not holds(replace(GOOD, **worse))  # type: ignore[arg-type]


def test_memory_per_call_is_a_slope() -> None:
    assert slope([(1, 100.0), (10, 109.0), (20, 119.0)]) == pytest.approx(1.0)
    assert slope([(10, 100.0), (10, 101.0)]) is None


def test_the_median_in_each_quarter() -> None:
    assert quarters([(1.0, 30.0), (2.0, 40.0), (2.4, 50.0), (11.0, 90.0)], 10.0) == [
        40.0,
        None,
        None,
        90.0,
    ]


def test_what_is_plotted_over_what() -> None:
    by_calls, x = panels([replace(GOOD, calls=20, cpu_ms=9.0), GOOD])
    assert x == "calls"
    assert by_calls["CPU, ms per call-second"]["all"] == [(10, 15.0), (20, 9.0)]
    over_time, x = panels([GOOD, replace(GOOD, at=20.0, latency_ms=None)])
    assert x == "seconds"
    assert over_time["latency, ms"]["median"] == [(10.0, 33.0)]
    assert over_time["threads, descriptors"]["threads"] == [(10.0, 5), (20.0, 5)]


def test_a_row_in_the_table() -> None:
    assert "33 / 35" in line(GOOD)
    assert line(replace(GOOD, latency_ms=None, failed=["no", "no"])).endswith("no")


def test_how_many_calls() -> None:
    assert numbers("1,10,20") == [1, 10, 20]
    with pytest.raises(ValueError, match="at least one"):
        numbers("0,5")


@pytest.mark.parametrize("loop", [speech_loop, talk_loop])
def test_what_callers_say(loop: Callable[[], Loop]) -> None:
    said = loop()
    for transport in ("webrtc", "tcp"):
        packets = said.packets(transport)
        assert len(packets) * frame_length(24_000) == len(said.samples)
    for mark in said.marks:  # nothing but noise for two seconds after an utterance
        pause = said.samples[round((mark + 0.1) * 24_000) :][: 2 * 24_000]
        assert np.abs(pause.astype(int)).max() < 200


@pytest.mark.parametrize(("mode", "seconds"), [("echo", "3"), ("talk", "6")])
def test_a_short_load_for_real(mode: str, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "load", "--calls", "2", "--seconds", seconds, "--mode", mode, "--json"]
    assert main([*command, "--loss", "5", "--set", 'webrtc.host_addresses=["127.0.0.1"]']) == 0
    result = json.loads(capsys.readouterr().out)
    [row] = result["rows"]
    assert row["calls"] == 2
    assert row["failed"] == []
    assert row["received"] > 50
    assert row["cpu_server_ms"] > 0
    assert row["rss_mb"] > 10
    assert 0 < row["dropped_percent"] < 20
    assert 0 < row["latency_ms"][0] < 5000
    assert result["held"] is None
