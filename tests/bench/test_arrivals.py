"""What is told from when packets arrive."""

import pytest

from bench.arrivals import Arrivals, Window

TICKS = 960


def window(packets: list[tuple[int, int, float]]) -> Window:
    """Of packets with this number, this place in time (in frames), this time of arrival."""
    arrivals = Arrivals()
    for sequence, frame, now in packets:
        arrivals.add(sequence & 0xFFFF, frame * TICKS & 0xFFFFFFFF, now)
    return arrivals.take()


def test_a_clean_stream() -> None:
    found = window([(n, n, 0.02 * n) for n in range(101)])
    assert (found.received, found.lost, found.skipped, found.late) == (100, 0, 0, 0)
    assert found.deviations_ms == pytest.approx([0.0] * 100, abs=0.01)
    assert found.backlog_ms == pytest.approx(0.0)


def test_lost_reordered_and_doubled_packets_with_numbers_that_wrap() -> None:
    order = [*range(50), 51, 50, *range(52, 60), 60, 60, *range(64, 101)]
    wrap = 0x10000 - 20, (1 << 32) // TICKS - 30
    found = window([(wrap[0] + n, wrap[1] + n, 0.02 * i) for i, n in enumerate(order)])
    assert (found.received, found.lost) == (97, 3)


def test_a_pause_of_the_sender_is_skipped_and_no_jitter() -> None:
    found = window(
        [(n, n if n < 50 else n + 10, 0.02 * (n if n < 50 else n + 10)) for n in range(100)]
    )
    assert (found.lost, found.skipped, found.late) == (0, 10, 0)
    assert max(found.deviations_ms) == pytest.approx(0.0, abs=0.01)


def test_jitter_and_packets_that_are_late() -> None:
    found = window([(n, n, 0.02 * n + (0.05 if n % 10 == 5 else 0.0)) for n in range(101)])
    assert found.late == 10
    assert found.deviations_ms.count(50.0) == 20


def test_a_delay_that_grows_is_backlog() -> None:
    assert window([(n, n, 0.021 * n) for n in range(400)]).backlog_ms == pytest.approx(300, abs=5)


def test_each_window_begins_where_the_last_one_ended() -> None:
    arrivals = Arrivals()
    taken = []
    for n in (n for n in range(200) if n not in (100, 101)):
        arrivals.add(n, n * TICKS, 0.02 * n)
        if n in (99, 199):
            taken.append(arrivals.take())
    assert [(one.received, one.lost) for one in taken] == [(99, 0), (98, 2)]
    assert Arrivals().take() == Window(0, 0, 0, 0, 0.0, [])
