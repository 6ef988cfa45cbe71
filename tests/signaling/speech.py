"""A sound that Opus takes for speech: a voice's harmonics, in syllables."""

import numpy as np

from media.frames import Samples, frame_length


def speech(seconds: float, rate: int, pitch: float = 130.0) -> Samples:
    """Mono at `rate` Hz, peaking at half of full scale, never quite silent."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * pitch * (t + 0.004 * np.sin(2 * np.pi * 3 * t))
    harmonics = [np.sin(n * phase) / n for n in range(1, 20) if n * pitch < rate * 0.4]
    syllables = 0.55 - 0.45 * np.cos(2 * np.pi * 4 * t)
    voice = np.sum(harmonics, axis=0) * syllables
    return np.asarray(0.5 * 32767 * voice / np.abs(voice).max(), dtype=np.int16)


def frames(samples: Samples, rate: int) -> list[Samples]:
    """Its whole 20 ms frames."""
    length = frame_length(rate)
    return list(samples[: len(samples) // length * length].reshape(-1, length))


def likeness(one: Samples, other: Samples, longest_delay: int = 0) -> float:
    """The correlation (at most 1) of two sounds, where `other` may come later by so many samples.

    0.9 is a signal-to-noise ratio of 6 dB, which for a voice codec is much: it is not the waveform
    that it keeps.
    """
    best = -1.0
    for delay in range(longest_delay + 1):
        a = one[: len(other) - delay].astype(np.float64)
        b = other[delay : delay + len(a)].astype(np.float64)
        best = max(best, float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b) + 1)))
    return best
