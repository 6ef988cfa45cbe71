"""media.playout: nothing is lost, nothing clicks, and what was heard is known to the word."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, frame_length, silence
from media.playout import FADE_SECONDS, TRAILING_FRAMES, PlayoutBuffer

RATE = 24_000
FRAME = frame_length(RATE)
FADE = 192  # 8 ms
REBUFFER = 1440  # 60 ms

SMOOTH = 900
"""More than any step in `tone` (785) with a fade on top (53); a cut at its height is 10 000."""


def tone(length: int, rate: int = RATE) -> Samples:
    """300 Hz, amplitude 10 000, at its very height where it ends after full frames: a cosine."""
    t = np.arange(1, length + 1) / rate
    rise = np.minimum(1.0, t / 0.01)  # its own beginning is soft: a click is the buffer's doing
    return np.asarray(10_000 * rise * np.cos(2 * np.pi * 300 * t), dtype=np.int16)


def constant(length: int, value: int = 1000) -> Samples:
    return np.full(length, value, dtype=np.int16)


def pulled(buffer: PlayoutBuffer, frames: int) -> Samples:
    return np.concatenate([buffer.pull() for _ in range(frames)])


def drained(buffer: PlayoutBuffer) -> Samples:
    out = [silence(0)]
    while not buffer.drained:
        out.append(buffer.pull())
        assert len(out) < 100_000
    return np.concatenate(out)


def biggest_step(samples: Samples) -> int:
    return int(np.abs(np.diff(samples.astype(int), prepend=0, append=0)).max())


# Audio in, audio out


def test_silence_before_during_and_after() -> None:
    buffer = PlayoutBuffer(RATE)
    assert not pulled(buffer, 5).any()
    assert (buffer.played, buffer.buffered, buffer.underruns) == (0, 0, 0)
    assert not buffer.drained
    buffer.push(constant(FRAME), RATE)
    buffer.finish()
    assert pulled(buffer, 1).tolist() == constant(FRAME).tolist()
    assert buffer.drained
    assert not pulled(buffer, 5).any()
    assert (buffer.played, buffer.underruns) == (0.02, 0)


def test_an_empty_answer_is_drained_at_once() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.finish()
    assert buffer.drained


@given(lengths=st.lists(st.integers(0, 2000), max_size=12), seed=st.integers(0, 99))
def test_what_is_pulled_is_what_was_pushed(lengths: list[int], seed: int) -> None:
    noise = np.random.default_rng(seed)
    pieces = [noise.integers(-32768, 32768, n).astype(np.int16) for n in lengths]
    buffer = PlayoutBuffer(RATE)
    for piece in pieces:
        buffer.push(piece, RATE)
    buffer.finish()
    whole = np.concatenate([silence(0), *pieces])
    out = drained(buffer)
    assert np.array_equal(out[: len(whole)], whole)
    assert not out[len(whole) :].any()
    assert len(out) - len(whole) < FRAME
    assert round(buffer.played * RATE) == len(whole)


@settings(max_examples=60, deadline=None)
@given(
    out_rate=st.sampled_from([16_000, 24_000, 48_000]),
    pieces=st.lists(
        st.tuples(st.sampled_from([8000, 16_000, 22_050, 24_000, 48_000]), st.integers(0, 4000)),
        max_size=8,
    ),
)
def test_no_rate_loses_sound(out_rate: int, pieces: list[tuple[int, int]]) -> None:
    buffer = PlayoutBuffer(out_rate)
    expected = 0.0
    for number, (rate, length) in enumerate(pieces):
        buffer.push(constant(length), rate, f"{number} ")
        expected += length / rate
    buffer.finish()
    drained(buffer)
    assert abs(buffer.played - expected) <= (len(pieces) + 1) / out_rate
    assert buffer.buffered == 0


def test_the_pushed_samples_are_not_written_to() -> None:
    samples = tone(3 * FRAME)
    before = samples.copy()
    buffer = PlayoutBuffer(RATE)
    buffer.push(samples, RATE)
    pulled(buffer, 2)
    buffer.flush()
    pulled(buffer, 2)
    buffer.reset()
    buffer.push(samples[: FRAME + 10], RATE)
    pulled(buffer, 3)  # runs dry, which fades out
    assert np.array_equal(samples, before)


def test_buffered_and_played() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(RATE), RATE)
    buffer.push(constant(RATE // 2), RATE)
    assert buffer.buffered == 1.5
    pulled(buffer, 10)
    assert buffer.buffered == 1.3
    assert buffer.played == 0.2


# What was heard


def test_heard_is_exact_at_pieces() -> None:
    buffer = PlayoutBuffer(RATE)
    for word in ("one ", "two ", "three"):
        buffer.push(constant(2 * FRAME), RATE, word)
    heard = [buffer.heard_text()]
    for _ in range(6):
        buffer.pull()
        heard.append(buffer.heard_text())
    assert heard == ["", "", "one ", "one ", "one two ", "one two ", "one two three"]
    assert buffer.text == "one two three"


def test_heard_is_proportional_inside_a_piece() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(10 * FRAME), RATE, "a b c d e")
    heard = []
    for _ in range(10):
        buffer.pull()
        heard.append(buffer.heard_text().split())
    assert [len(words) for words in heard] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 48_000])
def test_words_keep_their_place_through_the_resampler(rate: int) -> None:
    buffer = PlayoutBuffer(RATE)
    for word in ("one ", "two ", "three "):
        buffer.push(constant(rate // 10), rate, word)
    buffer.finish()
    heard = []
    for _ in range(15):
        buffer.pull()
        heard.append(len(buffer.heard_text().split()))
    # 100 ms each, to the frame, although the resampler gave the sound up to 66 ms later.
    assert heard == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]


def test_words_keep_their_place_when_the_rate_changes() -> None:
    buffer = PlayoutBuffer(RATE)
    for word, rate in (("one ", 22_050), ("two ", 8000), ("three ", 48_000)):
        buffer.push(constant(rate // 10), rate, word)
    buffer.finish()
    heard = []
    for _ in range(15):
        buffer.pull()
        heard.append(len(buffer.heard_text().split()))
    assert heard == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3]


def test_words_after_a_wordless_sound_are_not_heard_before_it_ends() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(10 * FRAME), RATE)  # a breath, a laugh
    buffer.push(constant(10 * FRAME), RATE, "one two three four five")
    heard = []
    for _ in range(20):
        buffer.pull()
        heard.append(len(buffer.heard_text().split()))
    assert heard == [0] * 11 + [1, 1, 2, 2, 3, 3, 4, 4, 5]


def test_words_without_a_sound_are_heard_with_what_follows() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(silence(0), RATE, "silent ")
    assert buffer.heard_text() == ""
    buffer.push(constant(FRAME), RATE, "loud ")
    assert buffer.heard_text() == ""
    buffer.pull()
    assert buffer.heard_text() == "silent loud "
    buffer.push(silence(0), RATE, "after")
    assert buffer.heard_text() == "silent loud "
    assert buffer.text == "silent loud after"


def test_each_piece_is_newly_heard_once_and_in_order() -> None:
    buffer = PlayoutBuffer(RATE)
    assert buffer.newly_heard() == ""
    for word in ("one ", "two ", "three"):
        buffer.push(constant(2 * FRAME), RATE, word)
    new = [buffer.newly_heard()]
    for _ in range(8):
        buffer.pull()
        new.append(buffer.newly_heard())
        assert buffer.newly_heard() == ""
    assert new == ["", "", "one ", "", "two ", "", "three", "", ""]


def test_pieces_heard_since_the_last_question_come_together() -> None:
    buffer = PlayoutBuffer(RATE)
    for word in ("one ", "two ", "three"):
        buffer.push(constant(2 * FRAME), RATE, word)
    pulled(buffer, 5)
    assert buffer.newly_heard() == "one two "
    buffer.pull()
    assert buffer.newly_heard() == "three"


def test_nothing_of_a_half_played_piece_is_newly_heard() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(10 * FRAME + 1), RATE, "a b c d e")
    pulled(buffer, 10)
    assert buffer.heard_text() == "a b c d "
    assert buffer.newly_heard() == ""  # one sample is still to come
    buffer.pull()
    assert buffer.newly_heard() == "a b c d e"


def test_nothing_is_newly_heard_in_a_fade() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME), RATE, "one ")
    buffer.push(constant(FADE), RATE, "two ")
    buffer.push(constant(FRAME), RATE, "three")
    buffer.pull()
    buffer.flush()
    pulled(buffer, 3)
    assert buffer.newly_heard() == "one "
    assert buffer.newly_heard() == ""


def test_reset_forgets_what_was_newly_heard() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME), RATE, "told ")
    buffer.push(constant(FRAME), RATE, "untold ")
    buffer.pull()
    assert buffer.newly_heard() == "told "
    buffer.pull()
    buffer.reset()
    assert buffer.newly_heard() == ""
    buffer.push(constant(FRAME), RATE, "new ")
    assert buffer.newly_heard() == ""
    buffer.pull()
    assert buffer.newly_heard() == "new "


def test_words_without_a_sound_are_newly_heard_with_what_follows() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME), RATE, "loud ")
    buffer.push(silence(0), RATE, "silent ")
    buffer.pull()
    assert buffer.newly_heard() == buffer.heard_text() == "loud "
    buffer.push(constant(2 * FRAME), RATE, "again ")
    assert buffer.newly_heard() == ""
    buffer.pull()
    assert buffer.newly_heard() == "silent "
    buffer.pull()
    assert buffer.newly_heard() == "again "
    buffer.push(silence(0), RATE, "after")
    buffer.finish()
    buffer.pull()
    assert buffer.newly_heard() == ""  # nothing follows
    assert buffer.newly_heard(over=True) == "after"
    assert buffer.newly_heard(over=True) == ""


WORDS = st.lists(st.sampled_from(["a", "be", "see ", " ", "నమస్కారం ", ". "]), max_size=4)
OPERATION = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 1500), WORDS.map("".join)),
    st.tuples(st.sampled_from(["pull", "pull", "flush", "finish"]), st.just(0), st.just("")),
)


@settings(deadline=None)
@given(
    operations=st.lists(OPERATION, max_size=40),
    rate=st.sampled_from([8000, 22_050, RATE, 48_000]),
)
def test_heard_is_a_growing_prefix_and_samples_are_conserved(
    operations: list[tuple[str, int, str]], rate: int
) -> None:
    buffer = PlayoutBuffer(RATE)
    heard, told, played, pushed, over = "", "", 0.0, 0, False
    for name, length, text in operations:
        if name == "push" and not over:
            buffer.push(constant(length), rate, text)
            pushed += length
        elif name == "pull":
            assert len(buffer.pull()) == FRAME
        elif name == "flush":
            buffer.flush()
            over = True
            assert buffer.buffered == 0
        elif name == "finish" and not over:
            buffer.finish()
            over = True
        assert buffer.played >= played
        assert buffer.heard_text().startswith(heard)
        assert buffer.text.startswith(buffer.heard_text())
        told += buffer.newly_heard()
        assert buffer.heard_text().startswith(told)
        assert buffer.newly_heard() == ""
        if rate == RATE and not (over and buffer.drained):
            assert round((buffer.played + buffer.buffered) * RATE) == pushed
        heard, played = buffer.heard_text(), buffer.played
    assert played <= pushed / rate + 1 / RATE


# Flush


@pytest.mark.parametrize("frames", range(1, 12))
@pytest.mark.parametrize("left", [0, 1, 7, FADE - 1, FADE, 5000])
def test_flush_fades_within_8_ms_and_does_not_click(frames: int, left: int) -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(tone(frames * FRAME + left), RATE)
    before = pulled(buffer, frames)
    buffer.flush()
    after = pulled(buffer, 3)
    assert not after[FADE:].any()
    assert biggest_step(np.concatenate((before, after))) < SMOOTH
    assert (buffer.played, buffer.buffered) == (frames * 0.02, 0)


def test_flush_goes_on_with_what_was_playing() -> None:
    buffer = PlayoutBuffer(RATE)
    sound = tone(RATE)
    buffer.push(sound, RATE, "word " * 50)
    pulled(buffer, 10)
    heard = buffer.heard_text()
    buffer.flush()
    assert buffer.heard_text() == heard == "word " * 10
    tail = buffer.pull()[:FADE]
    expected = sound[10 * FRAME : 10 * FRAME + FADE] * np.linspace(1, 0, FADE)
    assert np.abs(tail - expected).max() <= 1
    assert buffer.heard_text() == heard  # nobody hears a word end in a fade


def test_flush_before_anything_was_heard_is_silent() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(tone(RATE), RATE)
    buffer.flush()
    assert not pulled(buffer, 3).any()
    assert buffer.played == 0


def test_nothing_of_the_old_answer_sounds_in_the_next() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(tone(48_000, 48_000), 48_000, "old")  # the resampler holds some of it back
    pulled(buffer, 5)
    buffer.flush()
    buffer.reset()
    assert (buffer.text, buffer.heard_text(), buffer.played) == ("", "", 0)
    assert not buffer.drained
    buffer.push(constant(960, -3), 48_000, "new")
    buffer.finish()
    out = pulled(buffer, 3)
    assert not out[FADE:FRAME].any()
    new = out[FRAME:]
    assert np.abs(new).max() <= 4
    assert buffer.heard_text() == "new"
    assert buffer.drained


@pytest.mark.parametrize("between", ["nothing", "reset", "reset and push"])
def test_a_second_flush_leaves_the_first_its_fade(between: str) -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(tone(RATE), RATE)
    before = pulled(buffer, 4)
    buffer.flush()
    if between != "nothing":
        buffer.reset()
    if between == "reset and push":
        buffer.push(tone(RATE), RATE)
    buffer.flush()
    after = buffer.pull()
    assert after.any()
    assert not after[FADE:].any()
    assert biggest_step(np.concatenate((before, after))) < SMOOTH
    buffer.flush()
    assert not pulled(buffer, 2).any()


# Underruns


@pytest.mark.parametrize("surplus", [0, 1, 5, FADE - 1, FADE, FADE + 1, FRAME - 1])
def test_an_underrun_counts_once_and_has_soft_edges(surplus: int) -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(tone(4 * FRAME + surplus), RATE)
    out = [pulled(buffer, 10)]
    assert buffer.underruns == 1
    buffer.push(tone(RATE)[5000:], RATE)  # begins in the middle of a wave
    out.append(pulled(buffer, 5))
    assert buffer.underruns == 1
    sound = np.concatenate(out)
    assert biggest_step(sound[: 14 * FRAME]) < 10_001  # the cut at the end is this test's own
    assert biggest_step(sound[: 9 * FRAME]) < SMOOTH
    assert np.abs(np.diff(sound.astype(int))).max() < SMOOTH


def test_after_an_underrun_it_waits_for_60_ms() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME + 100), RATE)
    pulled(buffer, 2)
    buffer.push(constant(REBUFFER - 1), RATE)
    assert not pulled(buffer, 3).any()
    assert buffer.played == (FRAME + 100) / RATE
    buffer.push(constant(1), RATE)
    out = pulled(buffer, 3)
    assert (out[FADE:] == 1000).all()
    assert buffer.underruns == 1
    assert not pulled(buffer, 5)[FADE:].any()
    assert buffer.underruns == 2


def test_what_is_left_at_the_end_is_played_without_waiting() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME + 100), RATE)
    pulled(buffer, 3)
    buffer.push(constant(700), RATE)
    assert not buffer.pull().any()
    buffer.finish()
    out = pulled(buffer, 2)
    assert (out[FADE:700] == 1000).all()
    assert not out[700:].any()
    assert buffer.drained
    assert (buffer.underruns, buffer.played) == (1, (FRAME + 800) / RATE)


def test_waiting_for_the_first_sound_is_no_underrun() -> None:
    buffer = PlayoutBuffer(RATE)
    pulled(buffer, 50)
    buffer.push(constant(FRAME), RATE)
    assert (buffer.pull() == 1000).all()  # nor does it wait for 60 ms
    assert buffer.underruns == 0


def test_reset_ends_a_starved_answer() -> None:
    buffer = PlayoutBuffer(RATE)
    buffer.push(constant(FRAME + 1), RATE)
    pulled(buffer, 3)
    buffer.reset()
    buffer.push(constant(FRAME), RATE)
    assert (buffer.pull() == 1000).all()
    assert buffer.underruns == 1  # a count for the call, not for the answer


# A live stream


def test_trim_drops_the_oldest() -> None:
    buffer = PlayoutBuffer(RATE)
    for value in range(1, 11):
        buffer.push(constant(FRAME, value), RATE)
    buffer.pull()
    buffer.trim(0.1)
    assert buffer.buffered == 0.1
    assert buffer.played == 0.02  # what was dropped was not heard
    assert pulled(buffer, 5)[FRAME // 2 :: FRAME].tolist() == [6, 7, 8, 9, 10]
    buffer.trim(0.1)
    assert buffer.played == 0.12


def test_trim_does_not_click() -> None:
    """Two loud places are joined by a fade from one to the other."""
    buffer = PlayoutBuffer(RATE)
    for value in (9000, 9000, -9000, -9000):
        buffer.push(constant(FRAME, value), RATE)
    before = buffer.pull()
    buffer.trim(0.02)
    after = buffer.pull()
    steps = np.abs(np.diff(np.concatenate((before, after)).astype(int)))
    assert steps.max() < 18000 / (FADE_SECONDS * RATE) + 4
    assert after[-1] == -9000
    assert buffer.buffered == 0


def test_it_is_settled_when_an_encoder_knows_of_the_silence() -> None:
    buffer = PlayoutBuffer(RATE)
    assert buffer.settled
    buffer.push(constant(FRAME, 5), RATE)
    buffer.finish()
    buffer.pull()
    for _ in range(TRAILING_FRAMES):
        assert not buffer.settled
        buffer.pull()
    assert buffer.settled


def test_an_hour_neither_grows_nor_drifts() -> None:
    """Chunks of 83 ms at 22.05 kHz, 180 000 pulls. Virtual: a few seconds."""
    buffer = PlayoutBuffer(RATE)
    chunk = tone(1837, 22_050)
    pushed = 0

    def run(frames: range) -> None:
        nonlocal pushed
        for frame in frames:
            while pushed * 50 < (frame + 6) * 22_050:  # 100 to 200 ms ahead, as an engine would be
                buffer.push(chunk, 22_050)
                pushed += len(chunk)
            assert len(buffer.pull()) == FRAME

    run(range(1000))
    tracemalloc.start()
    run(range(1000, 2000))
    before = tracemalloc.get_traced_memory()[0]
    run(range(2000, 4000))
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert growth < 30_000  # the buffer itself holds up to 200 ms, 10 KB
    run(range(4000, 180_000))
    assert buffer.played == 3600
    assert buffer.underruns == 0
    assert buffer.buffered < 0.2
    buffer.finish()
    drained(buffer)
    assert abs(buffer.played - pushed / 22_050) < 0.0001
