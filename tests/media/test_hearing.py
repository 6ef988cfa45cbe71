"""What of the microphone's sound is the caller's voice."""

import numpy as np

from media.frames import AudioFrame, Samples
from media.hearing import Hearing
from media.vad import VAD_RATE, VadSettings


class Always:
    """Takes everything for speech, as a detector does in a canteen."""

    def probability(self, samples: Samples) -> float:
        return 1.0


def speech(hearing: Hearing, level: float, frames: int) -> list[float]:
    """Seconds of speech in the run, after each frame of noise of this RMS."""
    random = np.random.default_rng(7)
    out = []
    for _ in range(frames):
        samples = random.normal(0, level, 320).astype(np.int16)
        heard = hearing.hear(AudioFrame(samples, VAD_RATE), in_turn=False)
        out.append(heard.activity.speech)
    return out


def test_what_does_not_stand_out_from_the_background_is_no_speech_for_as_long_as_it_lasts() -> None:
    hearing = Hearing(
        VadSettings(), input_rate=16_000, output_rate=24_000, echo_gate=False, detector=Always()
    )
    speech(hearing, 500, 100)
    assert not any(speech(hearing, 500, 500))
    # The caller, 10 dB louder, is heard after a frame or two, and no longer than he speaks.
    assert speech(hearing, 1600, 10)[-1] >= 0.16
    assert speech(hearing, 500, 20)[-1] == 0.0
