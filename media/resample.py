"""Sample rate conversion of a stream, by libsoxr."""

from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from media.frames import Samples

Quality = Literal["LQ", "HQ"]
"""LQ delays by 6 ms and will do for a detector; HQ delays by 20-35 ms and is for ears."""


class Resampler:
    """One stream from `source` to `target` Hz; the delay comes back out with `last=True`.

    In float and rounded here: soxr dithers int16 with noise seeded by the time of day, and then
    the same call would not sound, nor be decided, the same twice. It costs 4 us a frame.
    """

    def __init__(self, source: int, target: int, quality: Quality = "HQ") -> None:
        self._stream = (
            None
            if source == target
            else soxr.ResampleStream(source, target, 1, dtype="float32", quality=quality)
        )

    def process(self, samples: Samples, last: bool = False) -> Samples:
        """Convert the next piece; with `last`, all that is still inside comes too."""
        if self._stream is None:
            return samples
        converted: NDArray[np.float32] = self._stream.resample_chunk(
            samples.astype(np.float32), last=last
        )
        return np.clip(np.rint(converted), -32768, 32767).astype(np.int16)
