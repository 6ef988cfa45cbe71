"""What the prediction leaves of an echo, how loud that may be, and whether there is more: a caller.

In bands and as powers, where codec, overdriven loudspeaker and small shifts of time do not matter.
"""

import numpy as np
from numpy.typing import NDArray

from media.echo_reference import Wave

Bands = NDArray[np.float32]

BANDS = 24
LOWEST, HIGHEST = 120.0, 7400.0  # Hz
FADE_SECONDS = 0.004  # of the analysis window at its newest end

DECAY = 0.55  # of an echo's power from frame to frame: what T60 = 0.45 s leaves
NEAR = 0.3  # of what the coupling says of what was played about then: what no filter predicts
ACROSS = 0.004  # of the echo's power, in every band: a loudspeaker's harmonics

FIRST_LEAK = 2.5  # nepers of power: nothing is known to be cancelled
HIGHEST_LEAK, LOWEST_LEAK = 2.5, -4.0
BEWARE = 1.0
BEWARE_LEARNT = 8
NOISE_RISE = 1.02  # per frame


def band_matrix(length: int, rate: int) -> NDArray[np.float32]:
    """From the powers of `length` + 1 bins to those of the bands, as (bins, bands)."""
    top = min(HIGHEST, 0.46 * rate)
    mel = np.linspace(_mel(LOWEST), _mel(top), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    frequencies = np.arange(length + 1) * rate / (2 * length)
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)


def _mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


def analysis_window(length: int) -> Wave:
    """Over two frames, for the newest to count most."""
    fade = max(1, length // 5)
    rise = np.sin(np.linspace(0, np.pi / 2, 2 * length - fade)) ** 2
    fall = np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return np.asarray(np.concatenate((rise, fall)), dtype=np.float32)


class ResidualModel:
    """Follows, band by band, how much of the echo the prediction leaves, and the noise."""

    def __init__(self, silence: Bands) -> None:
        self._silence = silence  # power of each band that is nothing to hear
        self.reset()

    def reset(self) -> None:
        self._echo: Bands = np.zeros(BANDS, dtype=np.float32)
        self._leak: Bands = np.full(BANDS, FIRST_LEAK, dtype=np.float32)
        self.noise: Bands = self._silence
        self._smooth: Bands = self._silence
        self._learnt = 0

    def expect(self, predicted: Bands, nearby: Bands) -> Bands:
        """The residual's power, from the predicted echo's and from what was played about then."""
        echo = np.maximum(predicted + NEAR * nearby, DECAY * self._echo)
        self._echo = echo
        spread = echo + np.float32(ACROSS) * echo.mean()
        return np.asarray(spread * np.exp(self._leak))

    def hear_noise(self, heard: Bands) -> None:
        """The floor: the lowest of the last second or two."""
        self._smooth = self._smooth + np.float32(0.4) * (heard - self._smooth)
        self.noise = np.minimum(self.noise * np.float32(NOISE_RISE), self._smooth) + self._silence

    def learn(self, excess: Bands, audible: NDArray[np.bool_]) -> None:
        """There was only echo, and it was by `excess` (nepers) more than expected."""
        self._learnt += 1
        step = max(0.06, 0.8 / (1 + self._learnt / 3))
        # Three steps up balance one down at the upper quartile.
        change = np.where(excess > 0, 1.5 * step, -0.5 * step) * audible
        self._leak += change.astype(np.float32)
        np.clip(self._leak, LOWEST_LEAK, HIGHEST_LEAK, out=self._leak)

    def beware(self) -> None:
        """The echo has moved: for a while more of it may be left."""
        np.minimum(self._leak + np.float32(BEWARE), HIGHEST_LEAK, out=self._leak)
        self._learnt = min(self._learnt, BEWARE_LEARNT)

    def doubt(self, excess: Bands, audible: NDArray[np.bool_]) -> None:
        """There may have been a caller too: rise slowly, lest a change shuts the gate for good."""
        self._leak += ((excess > 0) & audible) * np.float32(0.006)
        np.minimum(self._leak, HIGHEST_LEAK, out=self._leak)


def gain_filter(gains: Bands, interpolation: NDArray[np.float32]) -> NDArray[np.complex64]:
    """The minimum-phase filter with these gains: it delays nothing."""
    logarithm = interpolation @ np.log(gains)
    cepstrum = np.fft.irfft(logarithm.astype(np.complex64))
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.asarray(np.exp(np.fft.rfft(cepstrum)), dtype=np.complex64)


def interpolation_matrix(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """From gains of the bands to gains of the bins, for `gain_filter`."""
    padded = matrix.copy()
    first, last = matrix[:, 0].argmax(), matrix[:, -1].argmax()
    padded[:first, 0] = 1
    padded[last + 1 :, -1] = 1
    return np.asarray(padded / np.maximum(padded.sum(axis=1, keepdims=True), 1e-6))
