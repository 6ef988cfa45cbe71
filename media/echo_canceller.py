"""The linear part of the echo, predicted by a filter that learns the room.

A partitioned-block frequency-domain Kalman filter (Enzner and Vary 2006; Kuech, Mabande and Enzner
2014): how much it believes an error depends on how sure it is of itself and on how much else is
heard, so it needs no detector of double talk.
"""

import numpy as np
from numpy.typing import NDArray

from media.echo_reference import Wave

Spectra = NDArray[np.complex64]

TRANSITION = 0.993  # of the room from one frame to the next
FIRST_DOUBT = 1.0  # variance of the first coefficients, relative to the coupling
PROFILE = np.array([0.4, 1, 0.4, 0.2, 0.1, 0.06, 0.04, 0.03, 0.02, 0.02, 0.02, 0.02], np.float32)
NOISE_SMOOTHING = 0.6
SMALLEST = 1e-9
AT_ONCE = 2  # partitions


class EchoCanceller:
    """Predicts frames of `length` samples by `partitions` frames of what was played."""

    def __init__(self, length: int, partitions: int) -> None:
        self._length = length
        bins = length + 1
        self.played: Spectra = np.zeros((partitions, bins), dtype=np.complex64)
        self.powers = np.zeros((partitions, bins), dtype=np.float32)
        self._padded: Wave = np.zeros(2 * length, dtype=np.float32)
        self.reset(1.0)

    def reset(self, coupling: float) -> None:
        """Forget the room; the echo's power is about `coupling` of what is played."""
        self._weights: Spectra = np.zeros_like(self.played)
        self._turn = 0  # the partition whose response is constrained next
        profile = np.float32(FIRST_DOUBT * coupling) * PROFILE[: len(self.played), None]
        self._doubt = np.repeat(profile, self._length + 1, axis=1)
        self._noise = np.zeros(self._length + 1, dtype=np.float32)

    def load(self, stretch: Wave) -> None:
        """What was played of late: `partitions` + 1 frames, the newest last."""
        frames = stretch.reshape(-1, self._length)
        self.played[:] = np.fft.rfft(np.hstack((frames[:-1], frames[1:])))[::-1]
        self.powers[:] = np.abs(self.played) ** 2

    def push(self, two_frames: Wave) -> None:
        """The next frame that was played, after the one before it."""
        self.played[1:] = self.played[:-1]
        self.powers[1:] = self.powers[:-1]
        self.played[0] = np.fft.rfft(two_frames)
        self.powers[0] = self.played[0].real ** 2 + self.played[0].imag ** 2

    def predict(self) -> Wave:
        """The echo in the microphone's next frame."""
        spectrum = (self.played * self._weights).sum(axis=0)
        return np.asarray(np.fft.irfft(spectrum)[self._length :], dtype=np.float32)

    def adapt(self, residual: Wave, caution: float) -> None:
        """Learn from what the prediction left of the frame: more slowly with more `caution`."""
        self._padded[self._length :] = residual
        error = np.fft.rfft(self._padded)
        power = error.real**2 + error.imag**2
        self._noise += (1 - NOISE_SMOOTHING) * (power - self._noise)
        trusted = self.powers * self._doubt
        other = np.float32(caution) * self._noise + np.float32(SMALLEST)
        step = self._doubt / (trusted.sum(axis=0) + other)
        self._weights += step * np.conj(self.played) * error
        self._constrain()
        self._doubt *= np.float32(TRANSITION**2) * (1 - np.float32(0.5) * step * self.powers)
        weights = self._weights
        strength = weights.real**2 + weights.imag**2
        self._doubt += np.float32(1 - TRANSITION**2) * (strength + np.float32(1e-5))

    def _constrain(self) -> None:
        """No response is longer than a frame. In turn: all at once would cost four times more."""
        turn = slice(self._turn, self._turn + AT_ONCE)
        self._turn = (self._turn + AT_ONCE) % len(self._weights)
        response = np.fft.irfft(self._weights[turn])
        response[:, self._length :] = 0
        self._weights[turn] = np.fft.rfft(response)
