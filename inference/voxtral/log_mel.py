"""The log-mel spectrogram of Whisper and Voxtral, made while the caller speaks.

Frames of 400 samples every 160 at 16 kHz, centred, 128 or 80 mel bands, log10; at the end floored
at 8 under the loudest and scaled. transformers' WhisperFeatureExtractor makes the same of all at
once.
"""

import numpy as np
from numpy.typing import NDArray

from media.frames import Samples

WINDOW, HOP = 400, 160  # samples
PIECE_SECONDS = 30  # what the encoder hears at once
PIECE_FRAMES = 3000
QUIETEST = 1e-10
RANGE = 8.0  # decades under the loudest

Mel = NDArray[np.float32]


class LogMel:
    """One turn's. `filters` are the extractor's, (201, bands)."""

    def __init__(self, filters: NDArray[np.floating]) -> None:
        self._filters = filters.astype(np.float32)
        self._window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)  # periodic
        self._pending: Mel = np.zeros(0, np.float32)  # from half a window before the next frame on
        self._frames: list[Mel] = []
        self._heard = 0  # samples

    @property
    def seconds(self) -> float:
        """How much was heard."""
        return self._heard / 16_000

    def feed(self, samples: Samples) -> None:
        """The next samples, at 16 kHz."""
        self._heard += len(samples)
        self._take(samples.astype(np.float32) / np.float32(32768))

    def finish(self) -> Mel:
        """All of it and then silence, in pieces: (pieces, bands, PIECE_FRAMES)."""
        size = PIECE_SECONDS * 16_000
        pieces = max(1, -(-self._heard // size))
        silence = pieces * size - self._heard
        # What follows the last sound by more than a window is all alike.
        self._take(np.zeros(min(silence, 2 * WINDOW), np.float32))
        if silence < WINDOW // 2:  # the end is mirrored like the beginning
            self._take(self._pending[-2 : -2 - WINDOW // 2 : -1])
        spectrum = np.full(
            (pieces * PIECE_FRAMES, self._filters.shape[1]), np.log10(QUIETEST), np.float32
        )
        heard = np.concatenate(self._frames)[: len(spectrum)] if self._frames else spectrum[:0]
        spectrum[: len(heard)] = heard
        spectrum = (np.maximum(spectrum, spectrum.max() - RANGE) + 4) / 4
        return np.ascontiguousarray(
            spectrum.reshape(pieces, PIECE_FRAMES, -1).transpose(0, 2, 1), dtype=np.float32
        )

    def _take(self, wave: Mel) -> None:
        wave = np.concatenate((self._pending, wave))
        if not self._frames:  # the first frame's first half is its second, mirrored
            half = WINDOW // 2
            if len(wave) <= half:
                self._pending = wave
                return
            wave = np.concatenate((wave[half:0:-1], wave))
        count = max(0, (len(wave) - WINDOW) // HOP + 1)
        self._pending = wave[count * HOP :]
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[: count * HOP : HOP]
            powers = np.square(np.abs(np.fft.rfft(frames * self._window))).astype(np.float32)
            bands = np.maximum(powers @ self._filters, np.float32(QUIETEST))
            self._frames.append(np.log10(bands))
