"""media.playout: what was pulled but not heard is pulled again, and heard is what the far end says.

An answer's samples are its positions, 1 at the first, so that what is pulled says where it is from.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, silence
from media.playout import KEPT_SECONDS, PlayoutBuffer
from tests.media.test_playout import FADE, FRAME, RATE, drained, pulled


def places(start: int, stop: int) -> Samples:
    """The samples of an answer from one place to another. (A minute is longer than an int16.)"""
    return ((np.arange(start, stop) % 30_000) + 1).astype(np.int16)


def speaking(frames: int, chunk: int = 700) -> PlayoutBuffer:
    """An answer of so many frames, pushed in chunks that fit no frame, and not yet finished."""
    buffer = PlayoutBuffer(RATE)
    for start in range(0, frames * FRAME, chunk):
        buffer.push(places(start, min(frames * FRAME, start + chunk)), RATE)
    return buffer


def same(out: Samples, start: int) -> bool:
    """Whether this is the answer from there on, after a fade-in."""
    whole = places(start, start + len(out))
    faded = out[:FADE].astype(int)
    soft = bool(faded[0] == 0 and (faded <= whole[:FADE]).all())
    return soft and out[FADE:].tolist() == whole[FADE:].tolist()


@pytest.mark.parametrize("chunk", [100, 480, 700, 5000, 100_000])
@pytest.mark.parametrize("behind", [1, 4, 7, 30])
def test_a_rewind_pulls_the_very_same_again(behind: int, chunk: int) -> None:
    buffer = speaking(100, chunk)
    buffer.finish()
    pulled(buffer, 30)
    buffer.rewind(30 - behind)
    assert buffer.played == pytest.approx((30 - behind) * 0.02)
    assert buffer.buffered == pytest.approx((70 + behind) * 0.02)
    assert same(pulled(buffer, 70 + behind), (30 - behind) * FRAME)
    assert buffer.drained
    assert (buffer.played, buffer.underruns) == (2.0, 0)


def test_a_rewind_to_what_was_not_pulled_changes_nothing() -> None:
    buffer = speaking(20)
    pulled(buffer, 5)
    for sequence in (5, 6, 4_000_000_000):
        buffer.rewind(sequence)
    assert pulled(buffer, 2).tolist() == places(5 * FRAME, 7 * FRAME).tolist()


def test_it_can_be_rewound_again_and_again() -> None:
    """To a frame of the second time, and then to one before the first."""
    buffer = speaking(60)
    pulled(buffer, 20)
    buffer.rewind(15)
    assert same(pulled(buffer, 10), 15 * FRAME)  # frames 20 to 29
    buffer.rewind(26)
    assert same(pulled(buffer, 4), 21 * FRAME)  # frames 30 to 33
    buffer.rewind(12)
    assert same(pulled(buffer, 40), 12 * FRAME)


def test_at_most_so_much_is_kept() -> None:
    kept = round(KEPT_SECONDS * 50)
    buffer = speaking(2 * kept)
    pulled(buffer, kept + 500)
    buffer.rewind(0)
    assert buffer.played == pytest.approx(500 * 0.02)
    assert same(pulled(buffer, 100), 500 * FRAME)


def test_what_is_kept_does_not_grow() -> None:
    buffer = PlayoutBuffer(RATE)
    for frame in range(10_000):
        buffer.push(places(frame * FRAME, (frame + 1) * FRAME), RATE)
        buffer.pull()
    held = sum(len(chunk) for chunk in buffer._kept)
    assert held <= KEPT_SECONDS * RATE + FRAME


def test_after_its_natural_end_the_end_can_still_be_heard() -> None:
    buffer = speaking(10)
    buffer.finish()
    pulled(buffer, 14)  # four of silence
    assert buffer.drained
    buffer.rewind(7)
    assert not buffer.drained
    assert same(drained(buffer), 7 * FRAME)
    assert buffer.played == 0.2


def test_an_end_that_fills_no_frame_comes_again_and_nothing_with_it() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(places(0, 1000), RATE)
    buffer.finish()
    pulled(buffer, 5)
    buffer.rewind(1)
    out = pulled(buffer, 3)
    assert out[FADE : 1000 - FRAME].tolist() == places(FRAME + FADE, 1000).tolist()
    assert not out[1000 - FRAME :].any()


def test_a_rewind_never_reaches_into_another_answer() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(np.full(10 * FRAME, 9999, dtype=np.int16), RATE)
    buffer.finish()
    pulled(buffer, 12)
    buffer.reset()
    buffer.rewind(5)
    assert buffer.buffered == 0
    assert not pulled(buffer, 3).any()
    buffer.push(places(0, 5 * FRAME), RATE)
    pulled(buffer, 2)
    buffer.rewind(5)  # in the answer before: this one comes from its beginning
    assert same(pulled(buffer, 5), 0)
    assert buffer.played == 0.1


def test_what_was_flushed_does_not_come_back() -> None:
    buffer = speaking(50)
    pulled(buffer, 10)
    buffer.flush()
    buffer.rewind(5)
    assert buffer.buffered == 0
    fade = pulled(buffer, 1)
    assert not fade[FADE:].any()
    buffer.rewind(5)
    assert not pulled(buffer, 20).any()


def test_an_underrun_before_the_rewind_is_not_pulled_again() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(places(0, 5 * FRAME), RATE)
    pulled(buffer, 9)  # four of nothing
    buffer.rewind(3)
    assert not pulled(buffer, 1).any()  # 40 ms are there: it waits for 60
    buffer.push(places(5 * FRAME, 15 * FRAME), RATE)
    assert same(pulled(buffer, 12), 3 * FRAME)


def test_the_first_frame_of_a_rewind_does_not_click() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(np.full(20 * FRAME, 10_000, dtype=np.int16), RATE)
    pulled(buffer, 10)
    buffer.rewind(6)
    steps = np.abs(np.diff(buffer.pull().astype(int), prepend=0))
    assert steps.max() <= 10_000 / (FADE - 1) + 1


def test_the_sequence_counts_every_frame_through_all_answers() -> None:
    buffer = PlayoutBuffer(RATE)
    assert buffer.sequence == 0
    pulled(buffer, 3)
    buffer.push(places(0, 5 * FRAME), RATE)
    pulled(buffer, 2)
    buffer.flush()
    buffer.reset()
    assert buffer.sequence == 5
    buffer.rewind(4)
    assert buffer.sequence == 5  # a frame that comes again has a number of its own
    pulled(buffer, 2)
    assert buffer.sequence == 7


# What the far end says it has played


def words(buffer: PlayoutBuffer, number: int, frames: int = 5) -> None:
    for n in range(number):
        buffer.push(places(0, frames * FRAME), RATE, f"w{n} ")


def test_heard_follows_the_reports() -> None:
    buffer = PlayoutBuffer(RATE)
    words(buffer, 8)
    pulled(buffer, 20)
    assert (buffer.heard, buffer.heard_text()) == (0.4, "w0 w1 w2 w3 ")
    buffer.receive_played(12)  # 160 ms behind
    assert buffer.unheard == 8
    assert (buffer.played, buffer.heard) == pytest.approx((0.4, 0.24))
    assert buffer.heard_text() == "w0 w1 "
    assert buffer.newly_heard() == "w0 w1 "
    pulled(buffer, 3)  # until it says more, it stays so much behind
    assert buffer.heard == pytest.approx(0.3)
    assert buffer.newly_heard() == "w2 "
    buffer.receive_played(23)
    assert (buffer.unheard, buffer.heard) == pytest.approx((0, 0.46))
    assert buffer.newly_heard() == "w3 "


def test_nothing_is_heard_before_the_answer_reaches_the_ear() -> None:
    buffer = PlayoutBuffer(RATE)
    pulled(buffer, 50)
    buffer.receive_played(46)
    words(buffer, 3)
    pulled(buffer, 4)
    assert (buffer.played, buffer.heard, buffer.heard_text()) == (0.08, 0, "")
    pulled(buffer, 1)
    assert buffer.heard == pytest.approx(0.02)


def test_of_an_answer_before_nothing_of_this_one_was_heard() -> None:
    buffer = PlayoutBuffer(RATE)
    words(buffer, 4)
    pulled(buffer, 20)
    buffer.reset()
    words(buffer, 4)
    pulled(buffer, 10)
    buffer.receive_played(15)  # still in the first
    assert (buffer.heard, buffer.heard_text(), buffer.newly_heard()) == (0, "", "")


def test_reports_that_cannot_be() -> None:
    buffer = PlayoutBuffer(RATE)
    words(buffer, 8)
    pulled(buffer, 10)
    buffer.receive_played(4_000_000_000)
    assert (buffer.unheard, buffer.heard) == (0, 0.2)
    buffer.receive_played(0)
    assert (buffer.heard, buffer.heard_text()) == (0, "")


def test_after_a_rewind_all_that_is_pulled_counts_as_heard_until_told_otherwise() -> None:
    buffer = PlayoutBuffer(RATE)
    words(buffer, 8)
    pulled(buffer, 20)
    buffer.receive_played(10)
    buffer.rewind(10)
    assert (buffer.unheard, buffer.heard) == pytest.approx((0, 0.2))
    assert buffer.heard_text() == "w0 w1 "
    pulled(buffer, 5)
    assert buffer.heard_text() == "w0 w1 w2 "


def test_a_word_is_told_once_though_it_is_played_twice() -> None:
    buffer = PlayoutBuffer(RATE)
    words(buffer, 4)
    told = ""
    for _ in range(12):
        buffer.pull()
        told += buffer.newly_heard()
    buffer.rewind(3)
    for _ in range(20):
        buffer.pull()
        told += buffer.newly_heard()
    assert told == "w0 w1 w2 w3 "


# Whatever is pushed, pulled, reported and rewound

OPERATION = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 3000)),
    st.tuples(st.just("pull"), st.integers(1, 12)),
    st.tuples(st.just("pull"), st.integers(1, 12)),
    st.tuples(st.just("played"), st.integers(-3, 40)),
    st.tuples(st.just("rewind"), st.integers(-3, 40)),
    st.tuples(st.just("finish"), st.just(0)),
)


@settings(deadline=None)
@given(operations=st.lists(OPERATION, max_size=40))
def test_every_sample_is_pulled_in_order_and_none_is_invented(
    operations: list[tuple[str, int]],
) -> None:
    """Each run of sound goes on where the one before ended, or where it was rewound to."""
    buffer = PlayoutBuffer(RATE)
    began: list[int] = []  # where in the answer each frame began
    pushed, at, finished = 0, 0, False

    def pull() -> None:
        nonlocal at
        began.append(at)
        before = buffer.played
        out = buffer.pull()
        taken = round((buffer.played - before) * RATE)
        assert 0 <= taken <= FRAME
        expected = places(at, at + taken).astype(int)
        sound = out[:taken].astype(int)
        assert (sound <= expected).all()  # equal, but for fades
        # Faded are only the ends of a run: the middle of a full frame never.
        if taken == FRAME:
            assert (sound[FADE:] == expected[FADE:]).all()
        assert np.count_nonzero(out[taken:]) <= FADE  # what ends on a loud sample falls softly
        at += taken

    for name, number in operations:
        sequence = max(0, buffer.sequence - number)
        match name:
            case "push" if not finished:
                buffer.push(places(pushed, pushed + number), RATE, f"{number} ")
                pushed += number
            case "pull":
                for _ in range(number):
                    pull()
            case "played":
                buffer.receive_played(sequence)
            case "rewind":
                # Of frames that were rewound themselves the earliest place counts.
                if sequence < len(began):
                    at = min(at, began[sequence])
                buffer.rewind(sequence)
            case "finish":
                buffer.finish()
                finished = True
        assert round(buffer.played * RATE) == at
        assert buffer.played + buffer.buffered == pytest.approx(pushed / RATE)
        assert 0 <= buffer.heard <= buffer.played
        assert buffer.text.startswith(buffer.heard_text())
        assert buffer.sequence == len(began)
    buffer.finish()
    while not buffer.drained:
        pull()
    assert at == pushed


@settings(deadline=None)
@given(
    pieces=st.lists(st.tuples(st.integers(0, 2000), st.sampled_from(["", "a ", "bb c "]))),
    steps=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9)), max_size=30),
    rate=st.sampled_from([8000, 22_050, RATE, 48_000]),
)
def test_nobody_hears_a_word_before_its_sound(
    pieces: list[tuple[int, str]], steps: list[tuple[int, int]], rate: int
) -> None:
    """However far the far end is behind, at any rate of the engine's."""
    ear, sure = PlayoutBuffer(RATE), PlayoutBuffer(RATE)
    for length, text in pieces:
        for buffer in (ear, sure):
            buffer.push(silence(length), rate, text)
    for frames, behind in steps:
        for _ in range(frames):
            for buffer in (ear, sure):
                buffer.pull()
        ear.receive_played(ear.sequence - behind)
        assert sure.heard_text().startswith(ear.heard_text())
        assert ear.heard <= sure.heard
        assert ear.played == sure.played
        assert ear.text.startswith(ear.heard_text())
