"""Noises and voices by seed: the same each time, as loud as asked, and what they are called."""

import random
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile

from bench.audio import AudioFileError, speech_span
from bench.bargein.noises import LOOP_SECONDS, Sound, noise
from bench.bargein.sounds import (
    NOMINAL,
    VOICES,
    active_level,
    amplified,
    halves,
    recorded,
    recordings_in,
    synthesized,
    trimmed,
)
from bench.bargein.suite import Language, NoiseKind
from bench.caller import RATE
from bench.voices import speak
from media.frames import silence

KINDS: tuple[NoiseKind, ...] = get_args(NoiseKind)


def flatness(sound: Sound) -> float:
    """Of its spectrum in bands of some 50 Hz up to 4 kHz: 1 is white, a sine is near 0."""
    power = np.square(np.abs(np.fft.rfft(sound)))[1 : round(4000 * LOOP_SECONDS)]
    bands = power[: len(power) // 1000 * 1000].reshape(-1, 1000).sum(axis=1)
    return float(np.exp(np.log(bands + 1e-9).mean()) / bands.mean())


@pytest.mark.parametrize("kind", ["white", "music", "door"])
def test_a_noise_is_the_same_for_the_same_seed(kind: NoiseKind) -> None:
    sound = noise(kind, 1)
    noise.cache_clear()
    assert np.array_equal(sound, noise(kind, 1))
    assert not np.array_equal(sound, noise(kind, 2))


@pytest.mark.parametrize("kind", ["white", "babble", "music"])
def test_steady_noises_have_an_rms_of_one(kind: NoiseKind) -> None:
    sound = noise(kind, 1)
    assert len(sound) == LOOP_SECONDS * RATE
    assert np.sqrt(np.mean(np.square(sound))) == pytest.approx(1, rel=1e-3)
    seconds = np.sqrt(np.mean(np.square(sound.reshape(-1, RATE)), axis=1))
    assert seconds.min() > 0.4  # it never stops, and its loop has no hole


def test_what_they_sound_like() -> None:
    flat = {kind: flatness(noise(kind, 1)) for kind in KINDS}
    assert flat["white"] > 0.9
    assert 0.01 < flat["music"] < 0.6
    assert 0.01 < flat["babble"] < 0.6


def test_a_door_slams_now_and_then() -> None:
    power = np.mean(np.square(noise("door", 3).reshape(-1, RATE // 20)), axis=1)
    loud = power > 0.1
    slams = np.flatnonzero(loud[1:] & ~loud[:-1])
    assert 4 <= len(slams) <= 14
    assert np.median(power) < 1e-6  # and in between it is quiet
    assert power.max() > 1


@pytest.mark.parametrize(("language", "text"), [("en", "uh-huh"), ("hi", "अच्छा"), ("te", "సరే")])
def test_voices_say_it_each_a_little_differently(language: Language, text: str) -> None:
    said = [synthesized(text, language, random.Random(n)) for n in range(4)]
    assert len({len(samples) for samples in said}) > 1
    for samples in said:
        assert active_level(samples) == pytest.approx(NOMINAL, abs=0.1)
        assert 0.1 < len(samples) / RATE < 1.5
        begin, end = speech_span(samples, RATE)
        assert begin < 0.02
        assert end > len(samples) / RATE - 0.02


def test_every_voice_exists() -> None:
    for voice in {voice for voices in VOICES.values() for voice in voices}:
        assert len(trimmed(speak("okay", voice))) > 0


def test_levels() -> None:
    said = synthesized("what time is it", "en", random.Random(1))
    assert active_level(amplified(said, -10)) == pytest.approx(NOMINAL - 10, abs=0.1)
    assert active_level(silence(RATE)) == pytest.approx(-120)
    assert np.abs(amplified(said, 60).astype(int)).max() == 32768


def test_recordings_are_found_and_cut(tmp_path: Path) -> None:
    tone = (8000 * np.sin(np.arange(2 * 16_000) / 5)).astype(np.int16)
    quiet = np.zeros(8000, dtype=np.int16)
    (tmp_path / "deeper").mkdir()
    soundfile.write(tmp_path / "deeper" / "a.flac", np.concatenate((quiet, tone)), 16_000)
    soundfile.write(tmp_path / "b.WAV", quiet, 16_000)
    (tmp_path / "c.txt").write_text("no sound")
    found = recordings_in(tmp_path)
    assert [path.name for path in found] == ["b.WAV", "a.flac"]
    said = recorded(found[1], 1.5)
    assert len(said) / RATE == pytest.approx(1.5, abs=0.02)
    assert active_level(said) == pytest.approx(NOMINAL, abs=0.1)
    with pytest.raises(AudioFileError, match="nothing to hear"):
        recorded(found[0], 1.5)


def test_a_recording_is_cut_where_it_is_quietest() -> None:
    said = np.full(RATE, 8000, dtype=np.int16)
    said[round(0.55 * RATE) : round(0.65 * RATE)] = 0
    first, second = halves(said)
    assert len(first) + len(second) == RATE
    assert len(first) / RATE == pytest.approx(0.6, abs=0.05)
