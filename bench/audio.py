"""Recordings, and when in them something can be heard."""

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from media.frames import Samples

WINDOW_SECONDS = 0.005  # in which loudness is judged: the resolution of every figure here
AUDIBLE = -45.0  # dBFS; comfort silence and Opus' noise lie far under it
SPEECH_RANGE = 35.0  # dB under its loudest window at which a recording's speech ends


class AudioFileError(ValueError):
    """The file cannot be read as audio; the text names it and says why."""


def read_audio(path: Path, rate: int) -> Samples:
    """A WAV or FLAC file of any rate and channels as mono at `rate` Hz. Raises AudioFileError."""
    try:
        samples, source = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(f"{path} cannot be read as audio: {error}") from None
    if len(samples) == 0:
        raise AudioFileError(f"{path} holds no audio")
    mono = soxr.resample(samples.mean(axis=1), source, rate)
    pcm: Samples = (np.clip(mono, -1, 1) * 32767).astype(np.int16)
    return pcm


def write_audio(path: Path, samples: Samples, rate: int) -> None:
    """Write mono 16-bit WAV. Raises AudioFileError."""
    try:
        soundfile.write(path, samples, rate, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise AudioFileError(f"{path} cannot be written: {error}") from None


def loudness(samples: Samples, rate: int) -> NDArray[np.float64]:
    """The level of each whole window in dBFS."""
    length = round(WINDOW_SECONDS * rate)
    windows = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    power: NDArray[np.float64] = np.mean(np.square(windows), axis=1) / 32768.0**2
    return np.asarray(10 * np.log10(power + 1e-12))


def speech_span(samples: Samples, rate: int) -> tuple[float, float]:
    """Where the speech of a recording begins and ends, in seconds. Raises AudioFileError."""
    levels = loudness(samples, rate)
    if not len(levels) or levels.max() < AUDIBLE:
        raise AudioFileError("there is nothing to hear in the recording")
    audible = np.flatnonzero(levels >= max(AUDIBLE, levels.max() - SPEECH_RANGE))
    return float(audible[0] * WINDOW_SECONDS), float((audible[-1] + 1) * WINDOW_SECONDS)
