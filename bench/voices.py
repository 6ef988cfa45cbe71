"""Callers without a microphone: commands in espeak-ng voices that no answer is spoken in."""

import numpy as np

from bench.caller import RATE
from inference.embedded import espeak
from media.frames import Samples
from media.resample import Resampler

CALLER_VOICES = ("en-us", "en-us+m3", "en-us+f2", "en", "en-gb-x-rp", "en-gb-scotland")


def speak(text: str, voice: str, rate: int = 160, pitch: int = 50) -> Samples:
    """The text in an espeak-ng voice, mono at RATE Hz; `rate` in words per minute."""
    prosody = espeak.Prosody(voice, rate=rate, pitch=pitch)
    words = [word.samples for word in espeak.synthesize(text, prosody)]
    return Resampler(espeak.RATE, RATE).process(np.concatenate(words), last=True)
