"""media.endpointing: how long a silence must be before the caller has finished."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from media.endpointing import (
    Endpointing,
    EndpointingSettings,
    PauseHistory,
    make_turn_model,
)
from media.frames import Samples

FRAME = 320  # 20 ms
LEAST, MOST = 0.4, 1.2


def semantic(model: "Model | None" = None) -> Endpointing:
    return Endpointing(EndpointingSettings(mode="semantic"), model)


def test_defaults() -> None:
    assert EndpointingSettings() == EndpointingSettings("semantic", LEAST, MOST, "")


def test_fixed_waits_alike_for_everything() -> None:
    endpointing = Endpointing(EndpointingSettings(mode="fixed"))
    endpointing.begin_turn()
    endpointing.went_on(0.9)
    for complete in (None, True, False):
        assert endpointing.delay("I want to", complete) == LEAST


@pytest.mark.parametrize(
    ("text", "complete", "delay"),
    [
        ("", None, LEAST),
        ("tell me a story", None, LEAST),
        ("I want to", None, MOST),
        ("I want to", True, LEAST),
        ("count from one to ten", False, MOST),
        ("", False, MOST),
    ],
)
def test_semantic_asks_the_engine_and_then_the_words(
    text: str, complete: bool | None, delay: float
) -> None:
    endpointing = semantic()
    endpointing.begin_turn()
    assert endpointing.delay(text, complete) == delay


def test_semantic_follows_the_words_as_they_grow() -> None:
    endpointing = semantic()
    endpointing.begin_turn()
    delays = [endpointing.delay(text, None) for text in ("count", "count from", "count from one")]
    assert delays == [LEAST, MOST, LEAST]


# The model


class Model:
    """Says what it is told to say, and remembers what it was asked about."""

    def __init__(self, *answers: float) -> None:
        self.answers = list(answers)
        self.asked: list[Samples] = []

    def probability(self, samples: Samples) -> float:
        self.asked.append(samples)
        return self.answers[len(self.asked) - 1]


def speak(endpointing: Endpointing, frames: int, value: int = 1) -> None:
    for _ in range(frames):
        endpointing.hear(np.full(FRAME, value, dtype=np.int16))


def pause(endpointing: Endpointing, frames: int, text: str = "") -> list[float]:
    """The delays of a pause's frames."""
    delays = []
    for _ in range(frames):
        endpointing.hear(np.zeros(FRAME, dtype=np.int16))
        delays.append(endpointing.delay(text, None))
    return delays


def last_delay(probability: float, text: str) -> float:
    endpointing = semantic(Model(probability))
    endpointing.begin_turn()
    speak(endpointing, 50)
    return pause(endpointing, 15, text)[-1]


def test_model_is_asked_once_in_each_pause() -> None:
    model = Model(0.1, 0.9)
    endpointing = semantic(model)
    endpointing.begin_turn()
    speak(endpointing, 20)
    first = pause(endpointing, 25)
    endpointing.went_on(0.5)
    speak(endpointing, 10)
    second = pause(endpointing, 30)
    assert len(model.asked) == 2
    assert first[-1] > 1.0
    assert second[-1] == LEAST
    assert len(model.asked[1]) == (20 + 25 + 10 + 10) * FRAME  # at 0.2 s of the second pause


def test_model_is_not_asked_in_the_gaps_of_speech() -> None:
    model = Model()
    endpointing = semantic(model)
    endpointing.begin_turn()
    for _ in range(10):  # nobody calls `went_on` for so little
        speak(endpointing, 5)
        assert set(pause(endpointing, 4)) == {MOST}
    assert model.asked == []


@pytest.mark.parametrize(("probability", "ends"), [(1.0, 0.1), (0.0, MOST)])
def test_model_is_asked_before_a_short_delay_is_over(probability: float, ends: float) -> None:
    model = Model(probability)
    endpointing = Endpointing(EndpointingSettings(min_delay=0.1), model)
    endpointing.begin_turn()
    speak(endpointing, 20)
    delays = pause(endpointing, 70)
    silences = [0.02 * (n + 1) for n in range(70)]
    over = [silence for silence, delay in zip(silences, delays, strict=True) if silence >= delay]
    assert len(model.asked) == 1
    assert over[0] == pytest.approx(ends)


def test_model_hears_the_last_eight_seconds_of_this_turn() -> None:
    model = Model(0.9, 0.9)
    endpointing = semantic(model)
    endpointing.begin_turn()
    speak(endpointing, 100, value=1)
    endpointing.begin_turn()
    speak(endpointing, 100, value=2)
    pause(endpointing, 10)
    assert list(np.unique(model.asked[0])) == [0, 2]
    speak(endpointing, 385, value=3)
    pause(endpointing, 20)
    heard = model.asked[1]
    assert 8 * 16_000 <= len(heard) < 8 * 16_000 + FRAME
    assert list(np.unique(heard)) == [0, 3]


def test_wait_shrinks_as_the_model_grows_sure() -> None:
    delays = [last_delay(p, "tell me a story") for p in (0.0, 0.2, 0.4, 0.5, 1.0)]
    assert delays == pytest.approx([1.2, 0.88, 0.56, 0.4, 0.4])


def test_unfinished_words_yield_only_to_a_model_that_is_very_sure() -> None:
    assert last_delay(0.7, "I want to") > 1.0
    assert last_delay(0.99, "I want to") == LEAST


def test_engine_is_believed_before_the_model() -> None:
    endpointing = semantic(Model(0.0))
    endpointing.begin_turn()
    pause(endpointing, 20)
    assert endpointing.delay("tell me a story", True) == LEAST


@pytest.mark.parametrize("mode", ["fixed", "adaptive"])
def test_other_modes_load_no_model(mode: str, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.onnx")
    settings = EndpointingSettings(mode=mode, model=missing)  # type: ignore[arg-type]
    assert make_turn_model(settings) is None


def test_missing_model_is_named(tmp_path: Path) -> None:
    assert make_turn_model(EndpointingSettings()) is None
    with pytest.raises(ValueError, match=r"none\.onnx"):
        make_turn_model(EndpointingSettings(model=str(tmp_path / "none.onnx")))


# Adaptive


def adapted(*turns: list[float]) -> float:
    """The delay after turns with these pauses."""
    endpointing = Endpointing(EndpointingSettings(mode="adaptive"))
    for pauses in turns:
        endpointing.begin_turn()
        for pause in pauses:
            endpointing.went_on(pause)
    endpointing.begin_turn()
    return endpointing.delay("I want to", False)


def test_adaptive_begins_midway() -> None:
    assert adapted() == pytest.approx((LEAST + MOST) / 2)


def test_brisk_caller_waits_less_and_hesitant_one_has_more_time() -> None:
    assert adapted(*[[0.25]] * 30) == LEAST
    assert adapted(*[[0.3, 0.7]] * 30) == pytest.approx(0.7)
    assert adapted(*[[1.1]] * 30) == pytest.approx(1.1)


def test_delay_stays_within_its_limits() -> None:
    assert adapted(*[[5.0]] * 5) == MOST
    assert adapted(*[[]] * 40) == LEAST


def test_one_cut_off_turn_asks_for_more_time_and_is_forgotten() -> None:
    calm: list[list[float]] = [[0.3]] * 20
    assert adapted(*calm, [1.0]) == pytest.approx(1.0)
    assert adapted(*calm, [1.0], *calm) == LEAST


def test_pauses_before_any_turn_do_no_harm() -> None:
    endpointing = Endpointing(EndpointingSettings(mode="adaptive"))
    endpointing.went_on(1.0)
    assert endpointing.delay("", None) == pytest.approx(1.0)


def simulate(median: float, wait: Callable[[PauseHistory], float]) -> tuple[float, float]:
    """Share of turns cut off and mean delay, for a caller whose pauses are log-normal."""
    dice = random.Random(median)
    cut, delays = 0, []
    for _ in range(60):
        history = PauseHistory(LEAST, MOST)
        for _ in range(15):
            history.begin_turn()
            was_cut = False
            for _ in range(dice.randint(0, 4)):
                pause = median * math.exp(dice.gauss(0, 0.4))
                taken = pause >= wait(history)
                history.went_on(pause)
                if taken:
                    was_cut = True
                    history.begin_turn()
            cut += was_cut
            delays.append(wait(history))
    return cut / len(delays), sum(delays) / len(delays)


def test_adapting_cuts_off_less_than_a_fixed_delay_of_the_same_mean() -> None:
    callers = (0.22, 0.4, 0.65)
    adaptive = [simulate(median, lambda history: history.delay) for median in callers]
    delays = [delay for _, delay in adaptive]
    assert delays == sorted(delays)
    assert delays[0] < 0.65 < 0.95 < delays[2]
    mean = sum(delays) / len(delays)
    fixed = [simulate(median, lambda history: mean) for median in callers]
    assert sum(cut for cut, _ in adaptive) < 0.9 * sum(cut for cut, _ in fixed)
    assert adaptive[2][0] < 0.75 * fixed[2][0]  # the hesitant caller, who is cut off most
