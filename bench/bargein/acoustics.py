"""The caller's room, without an echo canceller in it: what the microphone hears of the loudspeaker.

A small loudspeaker that overdrives softly, a room that decays exponentially, and a delay. Seeded:
the same path, rate and seed give the same room.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.frames import Samples

FULL_SCALE = 32768.0
TYPICAL_LEVEL = -23.0  # dBFS RMS, of an answer; the overdriven loudspeaker is set up for it
LOWEST = 180.0  # Hz: under it a small loudspeaker gives nothing to speak of
DIRECT_TO_REVERBERANT = 6.0  # dB: loudspeaker and microphone of one laptop


@dataclass(frozen=True, slots=True)
class EchoPath:
    """From what is played to what the microphone hears of it."""

    delay: float = 0.1  # seconds, loudspeaker to microphone, the client's buffers included
    coupling: float = -10.0  # dB, RMS of the echo relative to what was played
    nonlinearity: float = 0.0  # 0: linear, 1: a heavily overdriven loudspeaker
    reverberation: float = 0.2  # T60 in seconds; 0: no room


class EchoRoom:
    """A room that is played into at `rate` Hz, piece by piece."""

    def __init__(self, path: EchoPath, rate: int, seed: int) -> None:
        if path.delay < 0 or path.reverberation < 0 or not 0 <= path.nonlinearity <= 1:
            raise ValueError(f"no such echo path: {path}")
        self._response = _impulse_response(path.reverberation, rate, np.random.default_rng(seed))
        self._history = np.zeros(len(self._response) - 1)
        self._delayed = np.zeros(round(path.delay * rate))
        self._limit, makeup = _loudspeaker(path.nonlinearity)
        self._gain = makeup * 10 ** (path.coupling / 20)

    def process(self, played: Samples) -> Samples:
        """What the microphone hears while this is given to the loudspeaker; of the same length."""
        if not len(played):
            return played
        sound = played.astype(np.float64)
        if self._limit:
            sound = self._limit * np.tanh(sound / self._limit)
        stretch = np.concatenate((self._history, sound))
        self._history = stretch[len(sound) :]
        size = 1 << (len(stretch) - 1).bit_length()
        spectrum = np.fft.rfft(stretch, size) * np.fft.rfft(self._response, size)
        echo = np.fft.irfft(spectrum, size)[len(self._response) - 1 : len(stretch)]
        self._delayed = np.concatenate((self._delayed, echo * self._gain))
        heard, self._delayed = self._delayed[: len(played)], self._delayed[len(played) :]
        return np.clip(np.rint(heard), -32768, 32767).astype(np.int16)


def _loudspeaker(nonlinearity: float) -> tuple[float, float]:
    """Where it saturates (0: nowhere), and the gain that makes up for what that takes away."""
    if not nonlinearity:
        return 0.0, 1.0
    rms = FULL_SCALE * 10 ** (TYPICAL_LEVEL / 20)
    limit = rms * 10 ** (1.2 * (1 - nonlinearity))  # from 24 dB over the RMS down to the RMS
    # The amplitudes of speech are about Laplacian.
    speech = np.random.default_rng(0).laplace(0, rms / np.sqrt(2), 20_000)
    left = limit * np.tanh(speech / limit)
    return limit, float(np.sqrt(np.mean(speech**2) / np.mean(left**2)))


def _impulse_response(
    reverberation: float, rate: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The direct sound and the room after it; the echo of speech is as loud as the speech."""
    length = max(round(0.01 * rate), round(reverberation * rate))
    times = np.arange(length) / rate
    response = np.zeros(length)
    if reverberation:
        tail = generator.normal(size=length) * 10 ** (-3 * times / reverberation)
        tail[: round(0.001 * rate)] = 0
        response = tail / np.sqrt(np.sum(tail**2)) * 10 ** (-DIRECT_TO_REVERBERANT / 20)
    response[0] += 1.0
    # The loudspeaker's own colour: no bass, and a resonance or two where this one has them.
    size = 2 * (1 << (length - 1).bit_length())
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    colour = 1j * frequencies / (1j * frequencies + LOWEST)
    for centre in generator.uniform(500, 3500, 2):
        bandwidth, height = centre / 4, generator.uniform(-0.5, 1.0)
        colour *= 1 + height / (1 + 1j * (frequencies - centre) / (bandwidth / 2))
    spectrum = np.fft.rfft(response, size) * colour
    # Speech falls by about 9 dB an octave above 500 Hz: by its power is the coupling defined.
    speech = 1 / (1 + (frequencies / 500) ** 3) * (frequencies > 100)
    power = np.sum(np.abs(spectrum) ** 2 * speech) / np.sum(speech)
    return np.asarray(np.fft.irfft(spectrum / np.sqrt(power), size)[:length])
