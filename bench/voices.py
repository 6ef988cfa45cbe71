"""Callers without a microphone: commands in espeak-ng voices that no answer is spoken in."""

from bench.caller import RATE
from inference.embedded import espeak
from media.frames import Samples
from media.resample import Resampler

CALLER_VOICES = ("en-us", "en-us+m7", "en-us+f3", "en", "en-gb-x-rp", "en-gb-scotland")


def speak(text: str, voice: str, rate: int = 160, pitch: int = 50) -> Samples:
    """The text in an espeak-ng voice, mono at RATE Hz; `rate` in words per minute."""
    samples, _ = espeak.synthesize(text, voice, rate=rate, pitch=pitch)
    return Resampler(espeak.RATE, RATE).process(samples, last=True)
