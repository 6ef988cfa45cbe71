"""Marker sounds: short chirps that survive Opus and loss, found again to a fraction of a ms.

Markers differ, so that a delay longer than the time between two of them is no riddle.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.caller import RATE
from media.frames import Samples

MARKER_SECONDS = 0.08
_LEVEL = 12_000
_BAND = (300.0, 1800.0, 3300.0)  # Hz: where Opus keeps the waveform of a voice at any bitrate
_FOUND = 0.45  # correlation; Opus leaves 0.6 to 1, other markers 0.1 to 0.36


def _chirp(bounds: Sequence[float]) -> NDArray[np.float64]:
    """A tone that glides between these frequencies, in equal times."""
    length = round(MARKER_SECONDS * RATE)
    frequency = np.interp(np.linspace(0, len(bounds) - 1, length), range(len(bounds)), bounds)
    tone = np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    return np.asarray(tone * np.hanning(length) ** 0.25, dtype=np.float64)


_LOW, _MIDDLE, _HIGH = _BAND
MARKERS = [
    _chirp(bounds)
    for bounds in (
        (_LOW, _HIGH),
        (_HIGH, _LOW),
        (_LOW, _MIDDLE),
        (_HIGH, _MIDDLE),
        (_HIGH, _LOW, _HIGH),
        (_MIDDLE, _LOW),
        (_MIDDLE, _HIGH),
        (_LOW, _HIGH, _LOW, _HIGH, _LOW),
    )
]
"""Of the glides that were tried, eight that are least like each other: at most 0.14 of 1."""


def marker(number: int) -> Samples:
    """The marker of this number, which is taken modulo their count, at RATE Hz."""
    return (_LEVEL * MARKERS[number % len(MARKERS)]).astype(np.int16)


def find(samples: Samples, number: int) -> float | None:
    """Where this marker begins in the recording, in samples; None if it is not in it."""
    likeness = _likeness(samples, MARKERS[number % len(MARKERS)])
    if not len(likeness):
        return None
    at = int(np.argmax(likeness))
    return float(at) if likeness[at] >= _FOUND else None


def _likeness(samples: Samples, template: NDArray[np.float64]) -> NDArray[np.float64]:
    """The normalised correlation at each place where the template fits."""
    if len(samples) < len(template):
        return np.zeros(0)
    sound = samples.astype(np.float64)
    size = 1 << (len(sound) + len(template)).bit_length()
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(template, size))
    correlation = np.fft.irfft(spectrum, size)[: len(sound) - len(template) + 1]
    sums = np.concatenate(([0.0], np.cumsum(np.square(sound))))
    energy = sums[len(template) :] - sums[: -len(template)]
    floor = len(template) * 100.0**2  # quieter than this nothing is a marker
    scale = np.sqrt(np.maximum(energy, floor) * np.sum(np.square(template)))
    return np.asarray(correlation / scale)
