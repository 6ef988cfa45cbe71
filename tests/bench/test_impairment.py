"""The bad network: the same for the same seed, and as bad as it was asked to be."""

import argparse
from itertools import groupby

import pytest

from bench.impairment import Conditions, Impairment, add_network_arguments, conditions


def fates(network: Conditions, name: str = "", packets: int = 50_000) -> list[float | None]:
    impairment = Impairment(network, name)
    result = [impairment.pass_on() for _ in range(packets)]
    assert impairment.packets == packets
    assert impairment.lost == result.count(None)
    return result


def bursts(result: list[float | None]) -> list[int]:
    return [len(list(run)) for lost, run in groupby(fate is None for fate in result) if lost]


def test_the_same_seed_gives_the_same_losses_and_another_others() -> None:
    network = Conditions(loss=0.1, jitter=0.03, seed=7)
    assert fates(network, "up") == fates(network, "up")
    assert fates(network, "up") != fates(network, "down")
    assert fates(network, "up") != fates(Conditions(loss=0.1, jitter=0.03, seed=8), "up")


@pytest.mark.parametrize("loss", [0.01, 0.02, 0.05, 0.1, 0.5])
@pytest.mark.parametrize("burst", [None, 2.0, 5.0])
def test_so_much_is_lost_in_bursts_so_long(loss: float, burst: float | None) -> None:
    result = fates(Conditions(loss=loss, burst=burst))
    assert result.count(None) / len(result) == pytest.approx(loss, rel=0.2)
    found = bursts(result)
    by_chance = 1 / (1 - loss)
    assert sum(found) / len(found) == pytest.approx(burst or by_chance, rel=0.15)


def test_delay_and_jitter() -> None:
    result = [late for late in fates(Conditions(delay=0.05, jitter=0.03)) if late is not None]
    assert len(result) == 50_000
    assert min(result) == pytest.approx(0.05, abs=1e-4)
    assert max(result) == pytest.approx(0.08, abs=1e-4)
    assert sum(result) / len(result) == pytest.approx(0.065, abs=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.0}, {"loss": -0.1}, {"burst": 0.5}, {"jitter": -1.0}, {"delay": -1.0}]
)
def test_what_no_network_does(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"loss|burst|negative"):
        Conditions(**wrong)  # type: ignore[arg-type]


def test_the_arguments_are_in_percent_and_milliseconds() -> None:
    parser = argparse.ArgumentParser()
    add_network_arguments(parser)
    parser.add_argument("--transport")
    line = [
        "--loss",
        "2",
        "--burst",
        "3",
        "--jitter",
        "30",
        "--delay",
        "20",
        "--seed",
        "5",
        "--transport",
    ]
    args = parser.parse_args([*line, "webrtc"])
    assert conditions(args) == Conditions(0.02, 3.0, 0.03, 0.02, 5)
    with pytest.raises(ValueError, match="only WebRTC"):
        conditions(parser.parse_args([*line, "tcp"]))
    assert conditions(parser.parse_args(["--transport", "tcp"])).clean
