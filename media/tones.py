"""Sounds the server makes by itself, when no engine can."""

import numpy as np

from media.frames import Samples


def apology(rate: int) -> Samples:
    """Two soft falling notes, 0.6 s at `rate` Hz: "that went wrong, say it again"."""
    notes = []
    for frequency in (440.0, 330.0):
        t = np.arange(round(0.3 * rate)) / rate
        envelope = np.sin(np.pi * np.clip(t / 0.3, 0, 1)) ** 0.5 * np.exp(-4 * t)
        notes.append(0.2 * envelope * np.sin(2 * np.pi * frequency * t))
    return np.asarray(np.concatenate(notes) * 32767, dtype=np.int16)
