"""What of the microphone's sound is the caller's voice, and not an echo or the background."""

from dataclasses import dataclass

import numpy as np

from media.echo_gate import EchoGate
from media.frames import AudioFrame, Samples, frame_length, silence
from media.levels import Background
from media.resample import Resampler
from media.vad import (
    SILENT,
    VAD_RATE,
    Activity,
    SpeechRun,
    VadSettings,
    VoiceDetector,
    level,
    make_detector,
)


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame of the caller's, without the echo.

    `samples` are those of it that the detector was given, at VAD_RATE; `decibels` is its level.
    """

    frame: AudioFrame
    samples: Samples
    decibels: float
    activity: Activity


class Hearing:
    """One call's ear: `play` what goes out, `receive` what comes in, and `hear` what is left of it.

    `detector` may be given for tests; otherwise it is the one the settings name.
    """

    def __init__(
        self,
        settings: VadSettings,
        *,
        input_rate: int,
        output_rate: int,
        echo_gate: bool,
        detector: VoiceDetector | None = None,
    ) -> None:
        self._gate = EchoGate(input_rate=input_rate, output_rate=output_rate)
        self._gated = echo_gate
        self._mistaken = False
        self._resampler = Resampler(input_rate, VAD_RATE, "LQ")
        self._detector = detector or make_detector(settings)
        self._pending = silence(0)
        self._probability = 0.0
        self._background = Background()
        self._run = SpeechRun(settings)

    def play(self, samples: Samples, sequence: int, now: float) -> None:
        """This frame of the answer is on its way to the caller."""
        if self._gated:
            self._gate.play(samples, sequence, now)

    def receive_played(self, sequence: int, now: float) -> None:
        """The caller's side plays the frame of this number next."""
        if self._gated:
            self._gate.receive_played(sequence, now)

    def receive(self, frame: AudioFrame, now: float) -> list[AudioFrame]:
        """Take the next 20 ms: what can be heard now, in frames without the echo.

        None while the gate waits to know whether this is one, and then several.
        """
        if not self._gated:
            return [frame]
        knew = self._gate.knows
        heard = self._gate.receive(frame.samples, now)
        self._mistaken = self._gate.knows and not knew
        return [AudioFrame(samples, frame.rate) for samples in heard]

    @property
    def mistaken(self) -> bool:
        """The latest frame has shown that this line has an echo: what went before may be one."""
        return self._mistaken

    @property
    def echoes(self) -> bool:
        """Whether this line has an echo, of which no more than a part of the caller's is free."""
        return self._gated and self._gate.knows

    def hear(self, frame: AudioFrame, in_turn: bool) -> Heard:
        """Look for the caller's voice in the next of these; `in_turn` while he has the turn."""
        decibels = level(frame.samples)
        fresh = self._resampler.process(frame.samples)
        self._detect(fresh)
        if self._background.receive(decibels, frame.seconds, in_turn):
            activity = self._run.receive(self._probability, decibels, frame.seconds)
        else:
            activity = self._run.receive(0.0, SILENT, frame.seconds)
        return Heard(frame, fresh, decibels, activity)

    def begin_anew(self) -> None:
        """What was said until now is dealt with: only speech from now on counts."""
        self._run.begin_anew()

    def _detect(self, fresh: Samples) -> None:
        pending = np.concatenate((self._pending, fresh))
        window = frame_length(VAD_RATE)
        while len(pending) >= window:
            self._probability = self._detector.probability(pending[:window])
            pending = pending[window:]
        self._pending = pending
