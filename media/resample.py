"""Sample rate conversion of a stream, by libsoxr."""

from typing import Literal, cast

import numpy as np
import soxr

from media.frames import Samples

Quality = Literal["LQ", "HQ"]
"""LQ delays by 6 ms and will do for a detector; HQ delays by 20-35 ms and is for ears."""


class Resampler:
    """One stream from `source` to `target` Hz; the delay comes back out with `last=True`."""

    def __init__(self, source: int, target: int, quality: Quality = "HQ") -> None:
        self._stream = (
            None
            if source == target
            else soxr.ResampleStream(source, target, 1, dtype="int16", quality=quality)
        )

    def process(self, samples: Samples, last: bool = False) -> Samples:
        """Convert the next piece; with `last`, all that is still inside comes too."""
        if self._stream is None:
            return samples
        return cast(Samples, self._stream.resample_chunk(np.ascontiguousarray(samples), last=last))
