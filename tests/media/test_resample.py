"""media.resample: a stream converted piece by piece is the recording converted at once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, silence
from media.resample import FRAME_DELAY, FrameResampler, Quality, Resampler

RATES = (8000, 16000, 22050, 24000, 44100, 48000)


def noise(length: int, seed: int = 1) -> Samples:
    return np.random.default_rng(seed).integers(-9000, 9000, length).astype(np.int16)


def convert(samples: Samples, source: int, target: int, lengths: list[int]) -> Samples:
    """`samples` in pieces of these lengths, over and over, and the rest of it at the end."""
    resampler = Resampler(source, target)
    out, position, turn = [silence(0)], 0, 0
    while position < len(samples):
        length = lengths[turn % len(lengths)]
        out.append(resampler.process(samples[position : position + length]))
        position, turn = position + length, turn + 1
    out.append(resampler.process(silence(0), last=True))
    return np.concatenate(out)


@settings(max_examples=25, deadline=None)
@given(
    source=st.sampled_from(RATES),
    target=st.sampled_from(RATES),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
)
def test_pieces_make_no_difference(source: int, target: int, lengths: list[int]) -> None:
    samples = noise(source // 4)
    streamed = convert(samples, source, target, lengths)
    assert np.array_equal(streamed, convert(samples, source, target, [len(samples)]))
    assert abs(len(streamed) - len(samples) * target / source) <= 1


def test_silence_stays_silent() -> None:
    assert not convert(silence(5000), 24000, 16000, [480]).any()


@pytest.mark.parametrize("value", [1000, -1000])
def test_a_level_is_kept_to_the_bit(value: int) -> None:
    out = convert(np.full(4800, value, dtype=np.int16), 24000, 16000, [480])
    assert set(out[800:-800].tolist()) == {value}


def test_overshoot_is_clipped_and_does_not_wrap() -> None:
    high = np.arange(4800) // 48 % 2 == 1  # a full-scale square wave: its edges ring
    out = convert(np.where(high, 32767, -32768).astype(np.int16), 24000, 48000, [480])
    away = np.arange(len(out)) % 96 // 32 == 1  # the middle third of each half wave
    assert np.array_equal(out[away] > 0, np.repeat(high, 2)[away])


def test_the_same_rate_passes_through() -> None:
    samples = noise(777)
    resampler = Resampler(16000, 16000)
    assert np.array_equal(resampler.process(samples), samples)
    assert len(resampler.process(silence(0), last=True)) == 0


@pytest.mark.parametrize(("source", "target"), [(24000, 48000), (48000, 16000), (22050, 24000)])
def test_a_tone_keeps_its_pitch_place_and_level(source: int, target: int) -> None:
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(source) / source)
    out = convert(tone.astype(np.int16), source, target, [source // 50])
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(target) / target)
    middle = slice(target // 10, -target // 10)
    assert np.abs(out[middle] - expected[middle]).max() < 40  # a sample late would be 230 or more


@pytest.mark.parametrize(
    ("source", "target", "quality", "most"),
    [
        (48000, 16000, "LQ", 0.007),
        (24000, 16000, "LQ", 0.007),
        (24000, 48000, "HQ", 0.035),
        (22050, 48000, "HQ", 0.035),
        (48000, 24000, "HQ", 0.035),
    ],
)
def test_the_delay_is_what_the_docstring_says(
    source: int, target: int, quality: Quality, most: float
) -> None:
    resampler = Resampler(source, target, quality)
    out = sum(len(resampler.process(noise(source // 50, seed))) for seed in range(50))
    assert 0 <= target - out <= most * target


def by_frames(samples: Samples, source: int, target: int, lengths: list[int]) -> Samples:
    resampler = FrameResampler(source, target)
    out, position, turn = [silence(0)], 0, 0
    while position < len(samples):
        length = lengths[turn % len(lengths)]
        out.append(resampler.process(samples[position : position + length]))
        position, turn = position + length, turn + 1
    return np.concatenate(out)


@settings(max_examples=25, deadline=None)
@given(
    source=st.sampled_from((8000, 16000, 24000, 48000)),
    target=st.sampled_from((8000, 16000, 24000, 48000)),
    lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=6),
)
def test_frames_of_any_length_make_no_difference(
    source: int, target: int, lengths: list[int]
) -> None:
    samples = noise(source // 4)
    streamed = by_frames(samples, source, target, lengths)
    whole = by_frames(samples, source, target, [len(samples)])
    # Sums of floats in another order may fall on the other side of a half.
    assert len(streamed) == len(whole) == len(samples) * target // source
    assert np.abs(streamed.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("source", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("target", [8000, 16000, 24000, 48000])
def test_a_frame_in_is_a_frame_out(source: int, target: int) -> None:
    resampler = FrameResampler(source, target)
    frame = noise(source // 50)
    assert [len(resampler.process(frame)) for _ in range(5)] == [target // 50] * 5


@pytest.mark.parametrize("target", [8000, 16000, 48000])
def test_frames_keep_a_tone_and_its_place(target: int) -> None:
    source, hertz = 24000, 1000.0
    tone = np.rint(8000 * np.sin(2 * np.pi * hertz * np.arange(source) / source)).astype(np.int16)
    converted = by_frames(tone, source, target, [480])
    times = np.arange(len(converted)) / target - FRAME_DELAY
    # The last sample of a piece in stands at the same time as the last of the piece out.
    times += 1 / target - 1 / source
    expected = 8000 * np.sin(2 * np.pi * hertz * times)
    middle = slice(target // 10, -target // 10)
    assert np.abs(converted[middle] - expected[middle]).max() < 40


def test_frames_let_no_alias_through() -> None:
    source = 48000
    tone = np.rint(8000 * np.sin(2 * np.pi * 7000 * np.arange(source) / source)).astype(np.int16)
    assert np.abs(by_frames(tone, source, 8000, [960])[800:]).max() < 10
