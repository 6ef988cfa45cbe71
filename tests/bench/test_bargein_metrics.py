"""What a recording says of a trial, on recordings drawn by hand; and the sums of trials."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from bench.audio import WINDOW_SECONDS
from bench.bargein.judge import (
    Answer,
    Levels,
    Reference,
    Take,
    best_match,
    failed,
    judge,
    silences,
    track,
)
from bench.bargein.results import Expected, Trial
from bench.bargein.suite import Suite, parse_suite
from bench.bargein.summary import ALL, check, summarize
from bench.caller import RATE
from bench.voices import speak
from media.frames import Samples, silence

SPOKEN = (3.0, 3.6)
ANSWER = Answer(1.0, 1)
Spans = Sequence[tuple[float, float]]


def levels(spans: Spans, seconds: float = 9.0) -> Levels:
    out = np.full(round(seconds / WINDOW_SECONDS), -90.0)
    for begin, end in spans:
        out[round(begin / WINDOW_SECONDS) : round(end / WINDOW_SECONDS)] = -20.0
    return out


def take(bot: Spans, **changes: Any) -> Take:
    made = Take(
        bot=levels(bot),
        caller=levels([SPOKEN]),
        recording=silence(9 * RATE),
        said=SPOKEN,
        pause=None,
        answers=(ANSWER,),
        events=(),
    )
    return replace(made, **changes)


def event(at: float, kind: str, turn: int = 1, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"type": kind, "turn": turn, **fields}


def ended(at: float, heard: str = "", turn: int = 1, interrupted: bool = True) -> Any:
    return event(at, "reply.ended", turn, heard=heard, text="", interrupted=interrupted)


def tried(expected: Expected, made: Take, reference: Reference | None = None) -> Trial:
    return judge("s", 0, expected, "stop", made, reference)


# Stop


def test_an_answer_that_stops() -> None:
    events = (ended(3.15, "one two"), event(4.45, "reply.started", 2))
    trial = tried("stop", take([(1.0, 3.135), (4.5, 6.0)], events=events))
    assert trial.outcome == "stopped"
    assert (trial.stop, trial.stop_ms) == (3.135, 135.0)
    assert (trial.response, trial.response_ms) == (4.5, 900.0)
    assert (trial.onset, trial.speech_end) == SPOKEN
    assert trial.resume is None
    assert trial.bot_seconds == pytest.approx(2.135, abs=0.006)


def test_pauses_between_words_are_not_the_end() -> None:
    trial = tried("stop", take([(1.0, 2.95), (3.2, 3.3)]))
    assert (trial.outcome, trial.stop_ms) == ("stopped", 300.0)


def test_who_speaks_in_a_pause_stops_the_answer_at_once() -> None:
    trial = tried("stop", take([(1.0, 2.9)]))
    assert (trial.outcome, trial.stop_ms) == ("stopped", 0.0)


@pytest.mark.parametrize("last", [4.2, 9.0])
def test_an_answer_that_stops_late_is_missed(last: float) -> None:
    trial = tried("stop", take([(1.0, last)]))
    assert (trial.outcome, trial.stop_ms) == ("missed", None)


def test_a_long_utterance_is_not_waited_for() -> None:
    trial = tried("stop", take([(1.0, 4.6)], said=(3.0, 8.0)))
    assert trial.outcome == "missed"
    trial = tried("stop", take([(1.0, 4.4)], said=(3.0, 8.0)))
    assert (trial.outcome, trial.stop_ms) == ("stopped", 1400.0)


def test_an_answer_that_goes_on_afterwards_is_missed() -> None:
    trial = tried("stop", take([(1.0, 3.1), (5.0, 8.0)]))  # no event of another answer
    assert (trial.outcome, trial.resume, trial.response) == ("missed", 5.0, None)


def test_words_that_the_history_has_too_many() -> None:
    # The answer begins at 1.0: four words of it were heard before 3.1.
    heard = ((0.5, "a"), (1.0, "b"), (1.5, "c"), (2.05, "d"), (2.5, "e"), (3.0, "f"))
    reference = Reference(silence(0), heard, None)
    for said, error in (("a b c d", 0), ("a b c d e f", 2), ("a b", 2), ("", 4), ("x y", None)):
        made = take([(1.0, 3.1)], events=(ended(3.1, said),))
        assert tried("stop", made, reference).history_error == error
    assert tried("stop", take([(1.0, 3.1)]), reference).history_error is None


# Continue


def test_an_answer_that_goes_on() -> None:
    trial = tried("continue", take([(1.0, 3.4), (3.52, 9.0)]))
    assert (trial.outcome, trial.gap_ms, trial.false_interruptions) == ("continued", 120.0, 0)
    assert (trial.stop, trial.resume) == (None, None)
    assert trial.bot_seconds == pytest.approx(8.0)


def test_an_answer_that_is_held_and_goes_on() -> None:
    events = (event(3.1, "reply.paused"), event(3.45, "reply.resumed"))
    trial = tried("continue", take([(1.0, 3.1), (3.45, 9.0)], events=events))
    assert (trial.outcome, trial.gap_ms) == ("continued", 350.0)
    assert (trial.stop, trial.resume) == (3.1, 3.45)


def test_an_answer_that_was_cut_by_the_server_s_own_word() -> None:
    events = (ended(3.15), event(5.0, "reply.started", 2))
    trial = tried("continue", take([(1.0, 3.1), (5.0, 6.0)], events=events))
    assert (trial.outcome, trial.false_interruptions) == ("false_interruption", 1)
    assert (trial.stop, trial.resume, trial.response) == (3.1, None, 5.0)
    assert trial.gap_ms == 1900.0
    assert trial.bot_seconds == pytest.approx(2.1)


def test_a_silent_server_s_answer_that_does_not_come_back() -> None:
    silent = (Answer(1.0, None),)
    assert tried("continue", take([(1.0, 3.1)], answers=silent)).outcome == "false_interruption"
    trial = tried("continue", take([(1.0, 3.1), (3.8, 9.0)], answers=silent))
    assert (trial.outcome, trial.gap_ms, trial.resume) == ("continued", 700.0, 3.8)


def test_what_a_silent_server_says_after_a_gap_is_known_by_its_sound() -> None:
    story = speak("once in a town at the edge of the hills there lived a woman", "en-us")
    other = speak("sorry I did not understand that please say it again", "en-us")
    reference = Reference(story, (), None)
    # Who says the same from its start again has not gone on with it.
    for piece, goes_on in ((story[RATE:], True), (other, False), (story, False)):
        recording = silence(9 * RATE)
        recording[4 * RATE : 4 * RATE + len(piece)] = piece // 2
        spans = [(1.0, 3.1), (4.0, 8.0)]
        made = take(spans, recording=recording, answers=(Answer(1.0, None),))
        outcome = "continued" if goes_on else "false_interruption"
        assert tried("continue", made, reference).outcome == outcome
        trial = tried("stop", made, reference)
        assert trial.outcome == ("missed" if goes_on else "stopped")
        assert (trial.resume, trial.response) == ((4.0, None) if goes_on else (None, 4.0))


def test_what_nobody_speaks_over_is_counted_whole() -> None:
    events = (ended(3.0), ended(8.0, turn=2, interrupted=False))
    answers = (Answer(1.0, 1), Answer(5.0, 2))
    made = take([(1.0, 3.0), (5.0, 6.0), (6.3, 8.0)], said=None, events=events, answers=answers)
    trial = tried("continue", made)
    assert (trial.outcome, trial.false_interruptions) == ("false_interruption", 1)
    assert trial.bot_seconds == pytest.approx(5.0)
    assert (trial.stop, trial.onset, trial.gap_ms) == (3.0, None, 300.0)


def test_what_a_question_cuts_was_not_cut_for_nothing() -> None:
    """The bot answers an echo, and goes on with that until it is asked again."""
    events = (ended(3.0), ended(5.2, turn=2), ended(8.0, turn=3, interrupted=False))
    answers = (Answer(1.0, 1, 0.1), Answer(6.0, 3, 5.0))
    made = take([(1.0, 3.0), (3.5, 5.2), (6.0, 8.0)], said=None, events=events, answers=answers)
    assert tried("continue", made).false_interruptions == 1
    later = (ended(3.0), ended(4.0, turn=2), ended(8.0, turn=3, interrupted=False))
    assert tried("continue", replace(made, events=later)).false_interruptions == 2


def test_a_silent_server_s_answer_is_cut_when_it_is_shorter_than_the_whole() -> None:
    made = take([(1.0, 4.0)], said=None, answers=(Answer(1.0, None), Answer(8.0, None)))
    assert tried("continue", made, Reference(silence(0), (), 10.0)).false_interruptions == 1
    assert tried("continue", made, Reference(silence(0), (), 4.0)).false_interruptions == 0


# Wait


@pytest.mark.parametrize(
    ("bot", "outcome", "response_ms"),
    [
        ([(4.2, 6.0)], "waited", 600.0),
        ([(3.35, 3.5), (4.2, 6.0)], "took_over", -250.0),
        ([(3.52, 3.6)], "took_over", -80.0),  # as the caller goes on: it was decided before
    ],
)
def test_a_caller_who_pauses(bot: Spans, outcome: str, response_ms: float) -> None:
    trial = tried("wait", take(bot, pause=(3.3, 3.5), answers=()))
    assert (trial.outcome, trial.response_ms) == (outcome, response_ms)


# Sound


def test_silences() -> None:
    found = silences(levels([(0.0, 1.0), (1.2, 2.0)], 3.0), 0.1)
    assert [(round(s.begin, 3), round(s.end, 3), s.over) for s in found] == [
        (1.0, 1.2, True),
        (2.0, 3.0, False),
    ]


def test_a_track_keeps_its_peaks() -> None:
    drawn = levels([(0.1, 0.105)], 0.2)
    assert track(drawn) == (-90.0,) * 5 + (-20.0,) + (-90.0,) * 4


def test_sounds_that_are_alike() -> None:
    story = speak("once in a town at the edge of the hills there lived a woman", "en-us")
    chance = np.random.default_rng(1)
    piece: Samples = story[RATE : RATE + RATE // 2]
    noisy = (piece * 0.25 + chance.normal(0, 200, len(piece))).astype(np.int16)
    alike, at = best_match(noisy, story)
    assert alike > 0.8
    assert at == pytest.approx(1.0, abs=0.001)
    assert best_match(speak("no", "en-us"), silence(RATE))[0] == 0.0
    assert best_match(silence(100), story)[0] == 0.0
    assert best_match(story, piece)[0] == 0.0


# Sums


def trial(outcome: Any, expected: Expected = "stop", **changes: Any) -> Trial:
    made = replace(failed("s", 0, expected, "", ""), outcome=outcome, bot_seconds=10.0)
    return replace(made, **changes)


def test_a_summary() -> None:
    found = summarize(
        "s",
        [
            *(trial("stopped", stop_ms=100.0 + n, history_error=n % 2) for n in range(9)),
            trial("missed"),
            failed("s", 10, "stop", "", "no answer"),
            trial("continued", "continue", gap_ms=100.0, bot_seconds=90.0),
            trial(
                "false_interruption",
                "continue",
                gap_ms=900.0,
                false_interruptions=2,
                stop=1.0,
                onset=0.5,
            ),
            trial("continued", "continue", gap_ms=300.0, stop=1.0, resume=1.3, onset=0.5),
            trial("waited", "wait", response_ms=500.0),
            trial("took_over", "wait", response_ms=-100.0),
        ],
    )
    assert (found.trials, found.failed) == (16, 1)
    assert (found.missed_percent, found.took_over_percent) == (10.0, 50.0)
    assert found.false_percent == pytest.approx(33.33)
    assert found.false_per_hour == pytest.approx(3600 * 2 / 110, abs=0.01)
    assert found.stop_ms == (104.0, 108.0)
    assert found.gap_ms == (300.0, 900.0)
    assert found.response_ms == (500.0, 500.0)
    assert found.resumed_percent == 50.0
    assert found.history_error == pytest.approx(0.44)


def test_a_summary_of_nothing() -> None:
    found = summarize("s", [failed("s", 0, "stop", "", "no answer")])
    figures = {key: value for key, value in asdict(found).items() if value is not None}
    assert figures == {"scenario": "s", "trials": 1, "failed": 1, "bot_seconds": 0.0}


def suite(thresholds: dict[str, Any], own: dict[str, Any]) -> Suite:
    content = {
        "name": "x",
        "thresholds": thresholds,
        "scenarios": [
            {
                "name": "s",
                "expect": "stop",
                "caller": {"say": ["a"]},
                "at": {"after": 1},
                "thresholds": own,
            }
        ],
    }
    return parse_suite(content, "x.yaml")


def test_thresholds_are_of_a_scenario_or_of_all() -> None:
    trials = [trial("stopped", stop_ms=100.0), trial("missed")]
    summaries = [summarize("s", trials), summarize(ALL, trials)]
    found = check(suite({"missed_percent": 50}, {"stop_p95_ms": 99}), summaries)
    assert [(c.scenario, c.metric, c.value, c.kept) for c in found] == [
        ("s", "stop_p95_ms", 100.0, False),
        (ALL, "missed_percent", 50.0, True),
        (ALL, "failed_percent", 0.0, True),
    ]


def test_what_was_not_seen_is_not_kept() -> None:
    trials = [failed("s", 0, "stop", "", "no answer")]
    summaries = [summarize("s", trials), summarize(ALL, trials)]
    wanted = {"stop_p50_ms": 150, "history_error": 1, "resumed_percent": 90, "false_percent": 1}
    found = {c.metric: c.kept for c in check(suite(wanted, {}), summaries)}
    assert found == {
        "stop_p50_ms": False,
        "history_error": True,
        "resumed_percent": True,
        "failed_percent": False,
    }
    resumed = replace(summaries[1], resumed_percent=80.0)
    [least] = [c for c in check(suite(wanted, {}), [resumed]) if c.metric == "resumed_percent"]
    assert not least.kept
