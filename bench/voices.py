"""Callers without a microphone: commands in espeak-ng voices that no answer is spoken in."""

from bench.caller import RATE
from inference.embedded.espeak import RATE as ESPEAK_RATE
from inference.embedded.espeak import synthesize
from media.frames import Samples
from media.resample import Resampler

CALLER_VOICES = ("en-us", "en-us+adam", "en-us+f5", "en-us+m6", "en-us-nyc", "en-us+m5")


def speak(text: str, voice: str, rate: int = 160, pitch: int = 50) -> Samples:
    """The text in an espeak-ng voice, mono at RATE Hz; `rate` in words per minute."""
    samples, _ = synthesize(text, voice, rate=rate, pitch=pitch)
    return Resampler(ESPEAK_RATE, RATE).process(samples, last=True)
