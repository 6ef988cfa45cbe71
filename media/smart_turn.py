"""Is the caller's turn complete, by its sound? Smart Turn v3 through onnxruntime.

Smart Turn (pipecat-ai/smart-turn, BSD 2-Clause) is Whisper tiny's encoder with a classifier: it
hears the intonation and the drawn-out last word that a transcript does not show. Its weights are
not part of Vaani. This was written after the published inference code and was only ever run with
stand-ins for the model: it has never met the real weights.

The model is meant to be asked when a voice detector has found about 0.2 s of silence.
"""

import math
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from media.frames import Samples, silence

TURN_RATE = 16_000
"""Hz, of what the model hears."""

TURN_SECONDS = 8
"""So much of the end of a turn it hears."""

MELS = 80
FRAMES = 800  # 10 ms each
WINDOW = 400  # samples; 25 ms
HOP = 160

_INPUT = "input_features"


class TurnModel(Protocol):
    """Judges by its sound whether a turn is over."""

    def probability(self, samples: Samples) -> float:
        """The probability (0..1) that the turn which ends with these samples is complete.

        Mono PCM at 16 kHz, the pause at the end included; of more than 8 s the last 8 are heard.
        """


class SmartTurn:
    """A Smart Turn v3 file. It keeps nothing from one question to the next: calls share one.

    Raises ValueError, which names the file and what is wrong with it.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise ValueError(f"{path}: there is no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the other cores belong to other calls
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own have no common class
            raise ValueError(f"{path}: not a usable ONNX model: {error}") from error
        _check_inputs(path, self._session.get_inputs())
        try:
            output = self._run(log_mel(silence(0)))
        except Exception as error:
            raise ValueError(f"{path}: the model does not run: {error}") from error
        if output.size != 1:
            raise ValueError(f"{path}: gives {output.size} numbers, not one probability")
        if not 0 <= float(output.ravel()[0]) <= 1:
            raise ValueError(f"{path}: gives {output.ravel()[0]:g}, which is no probability")

    def probability(self, samples: Samples) -> float:
        return float(self._run(log_mel(samples)).ravel()[0])

    def _run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = self._session.run(None, {_INPUT: features[None]})[0]
        return np.asarray(output)


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """What Whisper hears of the last 8 s: a log-mel spectrogram, shape (80, 800).

    Mono PCM at 16 kHz. Shorter audio is preceded by zeros, so that it ends where the model expects
    the end of a turn. As Hugging Face's WhisperFeatureExtractor(chunk_length=8) has it with
    do_normalize=True: zero mean and unit variance over all 8 s, power spectra of 25 ms each 10 ms,
    80 mel bands, log10 with a floor 80 dB under the loudest, scaled.
    """
    length = TURN_SECONDS * TURN_RATE
    tail = samples[-length:]
    audio = np.zeros(length)
    audio[length - len(tail) :] = tail / 32768.0
    audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
    padded = np.pad(audio, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:FRAMES]
    spectrum = np.fft.rfft(windows * _hann(), axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    # Band by band: one product of matrices BLAS shares out to threads that wait for each other,
    # on two busy cores 8 ms where this takes 0.4.
    bands = np.stack([power[:, bins] @ weights for bins, weights in _mel_filters()])
    mel = np.log10(np.maximum(bands, 1e-10))
    mel = (np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0
    return np.ascontiguousarray(mel, dtype=np.float32)


@cache
def _hann() -> NDArray[np.float64]:
    """The periodic window: one sample longer than the symmetric one, without its last."""
    return np.asarray(np.hanning(WINDOW + 1)[:-1], dtype=np.float64)


@cache
def _mel_filters() -> list[tuple[slice, NDArray[np.float64]]]:
    """Triangles from 0 to 8 kHz, even on Slaney's mel scale, of unit area: bins and weights."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / TURN_RATE)
    edges = _hertz(np.linspace(0.0, _mel(TURN_RATE / 2), MELS + 2))
    filters: list[tuple[slice, NDArray[np.float64]]] = []
    for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
        inside = np.flatnonzero((low < frequencies) & (frequencies < high))
        bins = slice(inside[0], inside[-1] + 1) if len(inside) else slice(0)
        rising = (frequencies[bins] - low) / (centre - low)
        falling = (high - frequencies[bins]) / (high - centre)
        filters.append((bins, np.minimum(rising, falling) * 2.0 / (high - low)))
    return filters


_LINEAR = 1000.0  # Hz: below it Slaney's scale is linear, 3 mels to 200 Hz; above, 27 to ln(6.4)


def _mel(hertz: float) -> float:
    if hertz < _LINEAR:
        return 3.0 * hertz / 200.0
    return 15.0 + 27.0 * math.log(hertz / _LINEAR, 6.4)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(
        mels < 15.0, 200.0 * mels / 3.0, _LINEAR * np.exp(np.log(6.4) / 27.0 * (mels - 15.0))
    )


def _check_inputs(path: str | Path, inputs: list[Any]) -> None:
    wanted = f"{_INPUT}: tensor(float) [1, {MELS}, {FRAMES}]"
    found = ", ".join(f"{given.name}: {given.type} {given.shape}" for given in inputs)
    fits = (
        len(inputs) == 1
        and inputs[0].name == _INPUT
        and inputs[0].type == "tensor(float)"
        and len(inputs[0].shape) == 3
        and all(
            size == wanted_size or not isinstance(size, int)  # a name stands for any size
            for size, wanted_size in zip(inputs[0].shape, (1, MELS, FRAMES), strict=True)
        )
    )
    if not fits:
        raise ValueError(f"{path}: takes {found or 'nothing'}, where Smart Turn v3 takes {wanted}")
