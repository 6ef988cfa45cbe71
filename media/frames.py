"""The one shape audio has inside Vaani: mono 16-bit PCM."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""Mono PCM, shape (n,)."""

FRAME_SECONDS = 0.02
"""The length of a frame everywhere: one Opus packet, one playout tick."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A piece of what the caller said: mono PCM at `rate` Hz, usually 20 ms of it."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def frame_length(rate: int) -> int:
    """Samples in one 20 ms frame at `rate` Hz; every rate Opus knows divides evenly."""
    return rate // 50


def silence(length: int) -> Samples:
    return np.zeros(length, dtype=np.int16)
