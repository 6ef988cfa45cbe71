"""What a caller says, by seed: whose voice, how fast, how loud."""

import ctypes
import random
from collections.abc import Sequence
from pathlib import Path

import espeakng_loader
import numpy as np

from bench.audio import SPEECH_RANGE, WINDOW_SECONDS, loudness, speech_span
from bench.bargein.suite import Language
from bench.call import read_speech
from bench.caller import RATE
from bench.voices import CALLER_VOICES, speak
from media.frames import Samples, silence

VOICES: dict[Language, Sequence[str]] = {
    "en": CALLER_VOICES,
    "hi": ("hi", "hi+adam", "hi+f5", "hi+m6"),
    "te": ("te", "te+adam", "te+f5", "te+m6"),
}
WORDS_PER_MINUTE = (140, 185)
PITCHES = (35, 65)
NOMINAL = -23.0
"""dBFS, at which it is looked where speech begins, whatever its level then is."""
FADE_SECONDS = 0.01
SUFFIXES = (".wav", ".flac")


def begin_voices(seed: int) -> None:
    """In a process that has said nothing yet: from now on the voices waver by this seed."""
    speak("a", CALLER_VOICES[0])  # what initialises the library also seeds it, by the clock
    ctypes.CDLL(espeakng_loader.get_library_path()).espeak_ng_SetRandSeed(ctypes.c_long(seed))


def synthesized(text: str, language: Language, chance: random.Random) -> Samples:
    """The text in one of the voices, each a little different; at NOMINAL, without silence around.

    Raises AudioFileError where nothing can be heard.
    """
    voice = chance.choice(VOICES[language])
    rate, pitch = chance.randint(*WORDS_PER_MINUTE), chance.randint(*PITCHES)
    return leveled(trimmed(speak(text, voice, rate, pitch)), NOMINAL)


def recordings_in(folder: Path) -> list[Path]:
    """The WAV and FLAC files in a folder and those under it, in order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def recorded(path: Path, seconds: float) -> Samples:
    """The first seconds of speech of a recording, at NOMINAL. Raises AudioFileError."""
    samples = trimmed(read_speech(path))[: round(seconds * RATE)].astype(np.float64)
    fade = min(len(samples), round(FADE_SECONDS * RATE))
    samples[len(samples) - fade :] *= np.linspace(1, 0, fade)
    return leveled(trimmed(samples.astype(np.int16)), NOMINAL)


def trimmed(samples: Samples) -> Samples:
    """Only the speech of it. Raises AudioFileError."""
    begin, end = speech_span(samples, RATE)
    return samples[round(begin * RATE) : round(end * RATE)]


def leveled(samples: Samples, dbfs: float) -> Samples:
    """With this RMS where it is active; peaks that come out too high are clipped."""
    return amplified(samples, dbfs - active_level(samples))


def amplified(samples: Samples, decibels: float) -> Samples:
    louder = samples.astype(np.float64) * 10 ** (decibels / 20)
    return np.clip(np.round(louder), -32768, 32767).astype(np.int16)


def active_level(samples: Samples) -> float:
    """RMS in dBFS of the windows within SPEECH_RANGE of the loudest; digital silence is -120."""
    levels = loudness(samples, RATE)
    if not len(levels):
        return -120.0
    active = levels[levels >= levels.max() - SPEECH_RANGE]
    return float(10 * np.log10(np.mean(10 ** (active / 10))))


def halves(samples: Samples) -> tuple[Samples, Samples]:
    """A recording cut where its middle is quietest: there its caller may pause."""
    levels = loudness(samples, RATE)
    smooth = np.convolve(levels, np.ones(8) / 8, mode="same")
    low, high = int(0.3 * len(levels)), max(int(0.7 * len(levels)), int(0.3 * len(levels)) + 1)
    cut = round((low + int(np.argmin(smooth[low:high]))) * WINDOW_SECONDS * RATE)
    return samples[:cut], samples[cut:]


def paused(first: Samples, second: Samples, seconds: float) -> Samples:
    """One after the other, with a pause between them."""
    return np.concatenate((first, silence(round(seconds * RATE)), second))
