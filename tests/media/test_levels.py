"""The caller's level, and that of the place he speaks from."""

import numpy as np
import pytest

from media.levels import Background, CallerLevel

FRAME = 0.02


def heard(levels: list[float]) -> Background:
    background = Background()
    standing_out(background, levels)
    return background


def babble(mean: float, seconds: float, seed: int = 1) -> list[float]:
    """Levels of frames of many voices: 4 dB around their mean."""
    random = np.random.default_rng(seed)
    return list(random.normal(mean, 4.0, round(seconds / FRAME)))


def standing_out(background: Background, levels: list[float], in_turn: bool = False) -> float:
    """The share of these frames that may be the caller's."""
    return sum(background.receive(decibels, FRAME, in_turn) for decibels in levels) / len(levels)


def test_a_caller_may_speak_from_the_first_frame_on() -> None:
    assert standing_out(Background(), [-30.0] * 50, in_turn=True) == 1.0


def test_a_steady_noise_does_not_stand_out_and_a_nearer_voice_does() -> None:
    background = heard(babble(-35.0, 3.0))
    assert standing_out(background, babble(-35.0, 3.0, seed=2)) < 0.05
    assert standing_out(background, [-22.0] * 10) >= 0.6


def test_a_noise_that_begins_in_the_call_is_known_within_three_seconds() -> None:
    background = heard([-60.0] * 100)
    standing_out(background, babble(-35.0, 3.0))
    assert standing_out(background, babble(-35.0, 2.0, seed=2)) < 0.05


def test_a_word_hardly_moves_it_and_a_silence_soon_brings_it_back() -> None:
    background = heard([-60.0] * 100)
    assert standing_out(background, [-20.0] * 20) == 1.0
    assert background.decibels < -50.0
    standing_out(background, [-60.0] * 50)
    assert background.decibels == pytest.approx(-60.0, abs=0.1)


def test_the_callers_own_turn_is_no_background() -> None:
    background = heard([-60.0] * 100)
    # Eight seconds without a breath.
    assert standing_out(background, [-20.0] * 400, in_turn=True) == 1.0


def test_how_loud_the_caller_usually_is() -> None:
    level = CallerLevel()
    level.end_turn()
    assert level.usual is None
    for decibels in (-40.0, -30.0, -20.0, -20.0):
        level.receive(decibels)
    level.end_turn()
    assert level.usual == -20.0
    level.receive(-40.0)  # somebody else, perhaps
    level.end_turn()
    assert level.usual == -22.0
    level.receive(-18.0)
    level.end_turn()
    assert level.usual == -18.0
