"""Sample rate conversion of a stream: by libsoxr, or frame by frame where delay counts."""

from functools import cache
from math import gcd
from typing import Literal

import numpy as np
import soxr
from numpy.lib.stride_tricks import as_strided
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


FRAME_DELAY = 0.003  # seconds
_KAISER = 6.76  # -70 dB and less beyond the edge,
_TRANSITION = 720  # Hz that 3 ms to each side need for it


class FrameResampler:
    """One stream from `source` to `target` Hz, 3 ms late: 20 ms in are 20 ms out.

    soxr, whatever its quality, gives nothing for a while and then 20 ms or more at once, which a
    live stream of frames would have to wait for.
    """

    def __init__(self, source: int, target: int) -> None:
        self._matrix = None if source == target else _windowed_sinc(source, target)
        self._kept = np.zeros(_history(source), dtype=np.float32)
        self._rest = 0  # of what is kept, the samples that were too few to be converted

    def process(self, samples: Samples) -> Samples:
        """Convert the next piece, of any length."""
        if self._matrix is None:
            return samples
        stretch = np.concatenate((self._kept, samples), dtype=np.float32)
        history = len(self._kept) - self._rest
        step = len(self._matrix) - history
        blocks = (len(stretch) - history) // step
        whole = blocks * step
        self._rest = len(stretch) - history - whole
        self._kept = stretch[whole:]
        if not whole:
            return samples[:0]
        size = stretch.itemsize
        overlapping = as_strided(stretch, (blocks, history + step), (step * size, size))
        # Copied, because BLAS takes none that overlap: 4 times as fast from 48 to 16 kHz.
        windows = np.ascontiguousarray(overlapping)
        converted: NDArray[np.float32] = (windows @ self._matrix).reshape(-1)
        return np.clip(np.rint(converted), -32768, 32767).astype(np.int16)


def _history(source: int) -> int:
    return round(2 * FRAME_DELAY * source)


@cache
def _windowed_sinc(source: int, target: int) -> NDArray[np.float32]:
    """The matrix that makes the next few samples at `target` Hz of the next few at `source` Hz and
    their history: as few as make a whole number of both.
    """
    history, common = _history(source), gcd(source, target)
    samples_in = (np.arange(-history, source // common) + 1) / source
    samples_out = (np.arange(target // common) + 1) / target - FRAME_DELAY
    lag = samples_out[None, :] - samples_in[:, None]
    inside = np.clip(1 - (lag / FRAME_DELAY) ** 2, 0, None)
    window = np.i0(_KAISER * np.sqrt(inside)) / np.i0(_KAISER) * (inside > 0)
    bandwidth = min(source, target) - _TRANSITION
    return np.asarray(bandwidth / source * np.sinc(bandwidth * lag) * window, dtype=np.float32)
