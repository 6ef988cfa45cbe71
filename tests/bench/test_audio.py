"""Recordings of any kind come in as one kind, and speech is found to the window."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.audio import (
    AUDIBLE,
    WINDOW_SECONDS,
    AudioFileError,
    loudness,
    read_audio,
    speech_span,
    write_audio,
)
from media.frames import Samples

RATE = 24_000


def tone(seconds: float, rate: int = RATE, amplitude: float = 0.25) -> Samples:
    t = np.arange(round(seconds * rate)) / rate
    return (amplitude * 32767 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


def pause(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 8_000, 1), ("a.flac", 44_100, 2), ("a.wav", 48_000, 6), ("a.wav", RATE, 1)],
)
def test_any_recording_comes_in_as_mono(
    name: str, rate: int, channels: int, tmp_path: Path
) -> None:
    samples = np.repeat(tone(1.0, rate)[:, None], channels, axis=1)
    soundfile.write(tmp_path / name, samples, rate)
    read = read_audio(tmp_path / name, RATE)
    assert read.dtype == np.int16
    assert len(read) == pytest.approx(RATE, abs=1)
    middle = slice(RATE // 4, RATE // 2)
    np.testing.assert_allclose(read[middle], tone(1.0)[middle], atol=200)


def test_channels_are_mixed(tmp_path: Path) -> None:
    samples = np.stack((tone(0.5), -tone(0.5)), axis=1)
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    assert np.abs(read_audio(tmp_path / "a.wav", RATE)).max() <= 1


def test_too_loud_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(1000, 3.0), RATE, subtype="FLOAT")
    assert set(read_audio(tmp_path / "a.wav", RATE).tolist()) == {32767}


@pytest.mark.parametrize("content", [b"", b"RIFF", b"hello, this is no sound" * 100])
def test_what_is_no_recording(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=r"a\.wav cannot be read as audio"):
        read_audio(path, RATE)


def test_a_recording_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"none\.wav"):
        read_audio(tmp_path / "none.wav", RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(AudioFileError, match=r"empty\.wav holds no audio"):
        read_audio(tmp_path / "empty.wav", RATE)


def test_write(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", tone(0.1), RATE)
    samples, rate = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, tone(0.1))
    with pytest.raises(AudioFileError, match="cannot be written"):
        write_audio(tmp_path / "none" / "a.wav", tone(0.1), RATE)


def test_loudness() -> None:
    assert loudness(np.full(RATE, 32767, dtype=np.int16), RATE) == pytest.approx(0.0, abs=0.01)
    levels = loudness(tone(1.0, amplitude=0.1), RATE)
    assert len(levels) == round(1 / WINDOW_SECONDS)
    assert levels == pytest.approx(-23, abs=1)  # a sine of amplitude 0.1
    assert loudness(pause(0.1), RATE).max() < -100
    assert len(loudness(pause(0.004), RATE)) == 0


def test_the_span_of_speech() -> None:
    recording = np.concatenate((pause(0.5), tone(0.3), pause(0.4), tone(0.3), pause(0.7)))
    assert speech_span(recording, RATE) == pytest.approx((0.5, 1.5), abs=1e-9)
    assert speech_span(tone(1.0), RATE) == pytest.approx((0.0, 1.0))


def test_noise_under_speech_is_not_part_of_it() -> None:
    hiss = np.random.default_rng(1).normal(0, 32767 * 10 ** (-43 / 20), round(0.5 * RATE))
    assert loudness(hiss.astype(np.int16), RATE).max() > AUDIBLE
    recording = np.concatenate((hiss.astype(np.int16), tone(1.0, amplitude=0.9), pause(0.1)))
    assert speech_span(recording, RATE) == pytest.approx((0.5, 1.5))


def test_a_silent_recording_has_none() -> None:
    for silent in (pause(1.0), pause(0.0), tone(1.0, amplitude=0.002)):
        with pytest.raises(AudioFileError, match="nothing to hear"):
            speech_span(silent, RATE)
