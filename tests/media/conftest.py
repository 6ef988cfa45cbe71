"""Speech for the tests: human recordings where they are at hand, espeak-ng's voice everywhere."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from media.frames import Samples

OUT = 24_000
ANSWER = (
    "Once upon a time there was a small village at the foot of a mountain. "
    "The people there kept bees and sold honey at the market every week."
)
RECORDINGS = Path(__file__).parents[3] / "shared" / "audio"
HUMAN = ("weather_question", "dog-or-cat-3-nowait", "seine")
SENTENCES = ("What is the weather like today?", "Tell me about cats.", "No, stop, I mean dogs.")

ESPEAK = """
import ctypes, sys
import espeakng_loader

espeak = ctypes.CDLL(espeakng_loader.get_library_path())
espeak.espeak_Initialize(2, 20, espeakng_loader.get_data_path().encode(), 0x8000)

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
def write(samples, count, events):
    if samples and count:
        sys.stdout.buffer.write(ctypes.string_at(samples, 2 * count))
    return 0

espeak.espeak_SetSynthCallback(write)
text = sys.argv[1].encode()
espeak.espeak_Synth(text, len(text) + 1, 0, 0, 0, 1, None, None)
espeak.espeak_Synchronize()
"""
"""Said by a process of its own: the library's state is global, and not only these tests use it."""


def synthesize(sentence: str) -> tuple[Samples, int]:
    said = subprocess.run([sys.executable, "-c", ESPEAK, sentence], capture_output=True, check=True)
    return np.frombuffer(said.stdout, dtype=np.int16), 22_050


def read(name: str) -> tuple[Samples, int]:
    path = RECORDINGS / "speech" / f"{name}.flac"
    if not path.exists():
        pytest.skip("the human recordings are not at hand")
    samples, rate = soundfile.read(path, dtype="int16")
    return samples, rate


@pytest.fixture(scope="session", params=["human", "espeak"])
def voice(request: pytest.FixtureRequest) -> str:
    """Whose voice `utterances` are in."""
    return str(request.param)


@pytest.fixture(scope="session")
def utterances(voice: str) -> Callable[[int], list[Samples]]:
    """Three short utterances, at the rate asked for."""
    spoken = [read(n) for n in HUMAN] if voice == "human" else [synthesize(s) for s in SENTENCES]

    def at(target: int) -> list[Samples]:
        return [soxr.resample(samples, rate, target) for samples, rate in spoken]

    return at


def at_level(samples: Samples, level: float) -> Samples:
    """With its loud parts at so many dBFS."""
    wide = samples.astype(np.float64)
    loud = wide[np.abs(wide) > np.abs(wide).max() / 20]
    scaled = wide / np.sqrt(np.mean(loud**2)) * 32768 * 10 ** (level / 20)
    return np.asarray(scaled.clip(-32768, 32767), dtype=np.int16)


@pytest.fixture(scope="module")
def answer() -> Samples:
    samples, rate = synthesize(ANSWER)
    return at_level(soxr.resample(samples, rate, OUT), -20)
