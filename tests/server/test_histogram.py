"""Buckets are cumulative, and a value on a bound belongs to the bucket under it."""

from server.histogram import Histogram


def test_empty() -> None:
    counted = Histogram((0.1, 1.0))
    assert counted.buckets() == [("0.1", 0.0), ("1.0", 0.0), ("+Inf", 0.0)]
    assert counted.sum == 0.0


def test_values() -> None:
    counted = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.5, 1.0, 1.5, 99.0):
        counted.add(value)
    assert counted.buckets() == [("0.1", 2.0), ("1.0", 4.0), ("+Inf", 6.0)]
    assert counted.sum == 102.1
