"""What is made of what was said over an answer."""

from dataclasses import replace

import pytest

from media.interruption import InterruptionSettings, Overlap, Verdict, judge
from media.phrases import make_phrases
from media.vad import Activity

PHRASES = make_phrases(("okay", "uh-huh", "haan"), ("stop", "wait a moment"))
SETTINGS = InterruptionSettings()
USUAL = -25.0

WAIT, HOLD, TAKE, IGNORE = Verdict.WAIT, Verdict.HOLD, Verdict.TAKE, Verdict.IGNORE


def said(
    speech: float, silence: float = 0.0, *, text: str = "", decibels: float = USUAL
) -> Overlap:
    """Speech of so many seconds and then silence, in one run."""
    overlap = Overlap()
    overlap.follow(Activity(speech, 0.0, speech, 0.0), decibels)
    if silence:
        over = silence >= 0.2
        overlap.follow(Activity(0.0 if over else speech, 0.0, speech, silence), -80.0)
    overlap.understand(text, None)
    return overlap


def verdict(
    overlap: Overlap,
    settings: InterruptionSettings = SETTINGS,
    usual: float | None = USUAL,
    worded: bool = True,
    echoes: bool = False,
) -> Verdict:
    return judge(overlap, settings, PHRASES, usual, worded, echoes)


@pytest.mark.parametrize(
    ("speech", "silence", "expected"),
    [
        (0.08, 0.0, WAIT),  # too short to say
        (0.08, 0.2, IGNORE),  # and it was no more
        (0.1, 0.0, HOLD),
        (0.68, 0.0, HOLD),
        (0.7, 0.0, TAKE),  # longer than a backchannel
        (0.48, 0.58, HOLD),  # something may still follow
        (0.48, 0.6, IGNORE),  # nothing did
        (0.5, 0.28, HOLD),
        (0.5, 0.3, TAKE),  # too long for a word that would have been known
    ],
)
def test_by_length_alone(speech: float, silence: float, expected: Verdict) -> None:
    assert verdict(said(speech, silence)) is expected


@pytest.mark.parametrize(
    ("speech", "silence", "expected"),
    [
        (0.18, 0.0, WAIT),  # the gate lets as much of the echo through now and then
        (0.18, 0.2, IGNORE),
        (0.2, 0.0, HOLD),
        (0.28, 0.2, HOLD),
        (0.3, 0.2, TAKE),  # of what an echo leaves of a word none may be understood
    ],
)
def test_in_an_echo(speech: float, silence: float, expected: Verdict) -> None:
    for decibels in (USUAL, USUAL - 20):
        assert verdict(said(speech, silence, decibels=decibels), echoes=True) is expected


def test_in_an_echo_words_count_at_once() -> None:
    assert verdict(said(0.06, text="stop"), echoes=True) is TAKE


@pytest.mark.parametrize(
    ("text", "speech", "silence", "expected"),
    [
        ("okay", 0.3, 0.0, HOLD),  # it may be "okay but"
        ("okay", 0.3, 0.08, HOLD),
        ("okay", 0.3, 0.1, IGNORE),
        ("Okay, uh-huh!", 1.2, 0.0, HOLD),  # a long assent is one
        ("okay okay", 1.4, 0.0, TAKE),  # but not for ever
        ("okay but what about", 0.5, 0.0, TAKE),
        ("what", 0.3, 0.0, TAKE),
        ("stop", 0.06, 0.0, TAKE),  # at once
        ("okay stop", 0.3, 0.0, TAKE),
    ],
)
def test_by_words(text: str, speech: float, silence: float, expected: Verdict) -> None:
    assert verdict(said(speech, silence, text=text)) is expected


def test_soft_speech_never_silences_the_answer() -> None:
    for decibels, speech, silence, expected in (
        (USUAL - 8, 0.5, 0.0, HOLD),  # as loud as that is not soft
        (USUAL - 9, 0.5, 0.0, WAIT),
        (USUAL - 9, 0.5, 0.58, WAIT),  # its words may still come
        (USUAL - 9, 0.5, 0.6, IGNORE),
        (USUAL - 9, 2.08, 0.0, WAIT),
        (USUAL - 9, 2.1, 0.0, TAKE),
        (USUAL - 9, 0.7, 0.18, WAIT),
        (USUAL - 9, 0.7, 0.2, TAKE),  # a soft voice is heard too, when it pauses
        (USUAL - 9, 0.68, 0.2, WAIT),
    ):
        assert verdict(said(speech, silence, decibels=decibels)) is expected
    quiet = said(0.5, decibels=USUAL - 9)
    assert verdict(quiet, usual=None) is HOLD  # nobody knows yet how loud this caller is
    assert verdict(said(0.5, decibels=USUAL - 9, text="stop")) is TAKE
    talk = said(0.5, decibels=USUAL - 9, text="what time is it")
    assert verdict(talk) is WAIT  # it may be somebody else's
    talk.complete = True
    assert verdict(talk) is TAKE


def test_soft_talk_that_goes_on_in_the_background_is_no_pause() -> None:
    talk = said(1.2, decibels=USUAL - 9)
    talk.follow(Activity(0.0, 0.0, 0.0, 0.2), USUAL - 14)  # it only ceased to stand out
    assert (talk.over, talk.stopped) == (True, False)
    assert verdict(talk) is WAIT


def test_soft_talk_may_fade_and_is_over_all_the_same() -> None:
    talk = said(0.8, decibels=USUAL - 9)
    for silence in range(1, 11):  # frames
        fading = USUAL - 14 if silence <= 2 else USUAL - 30
        talk.follow(Activity(0.8 if silence < 10 else 0.0, 0.0, 1.0, silence * 0.02), fading)
    assert verdict(talk) is TAKE


def test_min_words() -> None:
    two = replace(SETTINGS, min_words=2)
    assert verdict(said(5.0, text="what"), two) is HOLD
    assert verdict(said(0.5, 0.3), two) is HOLD
    assert verdict(said(0.5, text="what time"), two) is TAKE
    assert verdict(said(0.5, text="okay what"), two) is HOLD  # an assent is no word
    assert verdict(said(0.5, text="stop"), two) is TAKE  # whatever the number
    # An engine that gives no words would else never be interrupted.
    assert verdict(said(0.7), two, worded=False) is TAKE


def test_an_engine_without_words_is_stopped_by_a_short_word_too() -> None:
    assert verdict(said(0.3, 0.2), worded=False) is TAKE
    assert verdict(said(0.28, 0.2), worded=False) is HOLD  # a cough
    assert verdict(said(0.3, 0.2), worded=True) is HOLD
    assert verdict(said(0.3, 0.2, decibels=USUAL - 9), worded=False) is WAIT


def test_without_second_thoughts() -> None:
    rash = replace(SETTINGS, resume_false_interruption=False)
    assert verdict(said(0.08), rash) is WAIT
    assert verdict(said(0.1, text="okay"), rash) is TAKE


def test_gaps_count_as_much_as_the_speech_around_them() -> None:
    """In a noise only the loudest of a caller's words stand out."""
    overlap = Overlap()
    for speech, age, silence in ((0.2, 0.2, 0.0), (0.2, 0.34, 0.14), (0.4, 0.68, 0.0)):
        overlap.follow(Activity(speech, 0.0, age, silence), USUAL)
    assert (overlap.speech, overlap.length) == (0.4, 0.68)
    assert verdict(overlap) is HOLD
    overlap.follow(Activity(0.42, 0.0, 0.7, 0.0), USUAL)
    assert verdict(overlap) is TAKE
    clicks = Overlap()
    for number in range(1, 12):
        clicks.follow(Activity(0.02 * number, 0.0, 0.18 * number, 0.0), USUAL)
    assert clicks.length == pytest.approx(0.44)
    assert verdict(clicks) is HOLD


def test_several_runs_are_one_thing_said() -> None:
    overlap = Overlap()
    overlap.follow(Activity(0.3, 0.04, 0.3, 0.0), -20.0)
    overlap.follow(Activity(0.0, 0.0, 0.0, 0.2), -80.0)
    assert overlap.speech == pytest.approx(0.34)
    assert (overlap.over, overlap.silence) == (True, 0.2)
    overlap.follow(Activity(0.02, 0.0, 0.02, 0.0), -30.0)
    overlap.follow(Activity(0.2, 0.0, 0.2, 0.0), -30.0)
    assert overlap.speech == pytest.approx(0.54)
    assert (overlap.over, overlap.silence) == (False, 0.0)
    assert overlap.loudest == -20.0
