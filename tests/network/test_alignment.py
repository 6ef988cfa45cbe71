"""What was heard of an answer, where it is known what was done to it."""

import numpy as np
import pytest

from bench.lab.alignment import compare
from bench.voices import speak
from media.frames import Samples, silence

RATE = 24_000
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight")


@pytest.fixture(scope="module")
def spoken() -> list[Samples]:
    return [np.concatenate((speak(word, "en-us"), silence(2400))) for word in NUMBERS]


def heard_as(spoken: list[Samples], *parts: int | float) -> Samples:
    """Words by their place, and seconds of silence; with some noise, later and less loud."""
    sounds = [spoken[p] if isinstance(p, int) else silence(round(p * RATE)) for p in parts]
    sound = np.concatenate((silence(7777), *sounds)) * 0.6
    noise = np.random.default_rng(1).normal(0, 20, len(sound))
    return np.asarray(sound + noise, dtype=np.int16)


def test_all_of_it(spoken: list[Samples]) -> None:
    heard = compare(heard_as(spoken, *range(8)), np.concatenate(spoken), RATE)
    assert heard.missing < 0.05
    assert heard.repeated == 0
    assert heard.gap < 0.05
    assert heard.fit < 0.8


def test_a_gap_alone_loses_nothing(spoken: list[Samples]) -> None:
    sound = heard_as(spoken, *range(8))
    middle = len(sound) // 2
    torn = np.concatenate((sound[:middle], silence(RATE), sound[middle:]))
    heard = compare(torn, np.concatenate(spoken), RATE)
    assert heard.missing < 0.05
    assert heard.repeated == 0
    assert heard.gap == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("gap", [0.0, 1.5])
@pytest.mark.parametrize("word", range(1, 7))
def test_a_missing_word(spoken: list[Samples], word: int, gap: float) -> None:
    parts = (*range(word), gap, *range(word + 1, 8))
    heard = compare(heard_as(spoken, *parts), np.concatenate(spoken), RATE)
    assert heard.missing > 0.2
    assert heard.repeated < 0.15


@pytest.mark.parametrize("gap", [0.0, 1.5])
@pytest.mark.parametrize("word", range(1, 7))
def test_a_repeated_word(spoken: list[Samples], word: int, gap: float) -> None:
    parts = (*range(word + 1), gap, *range(word, 8))
    heard = compare(heard_as(spoken, *parts), np.concatenate(spoken), RATE)
    assert heard.missing < 0.15
    assert heard.repeated > 0.2


def test_what_was_never_heard(spoken: list[Samples]) -> None:
    everything = np.concatenate(spoken)
    assert compare(heard_as(spoken, 0, 1, 2), everything, RATE).missing > 1
    assert compare(heard_as(spoken, 5, 6, 7), everything, RATE).missing > 1
    nothing = compare(heard_as(spoken, 1.0), everything, RATE)
    assert nothing.missing > 2
    assert compare(heard_as(spoken, 7, 3, 5, 1), everything, RATE).missing > 1
