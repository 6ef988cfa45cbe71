"""Callers without a microphone: commands in espeak-ng voices that no answer is spoken in."""

CALLER_VOICES = ("en-us", "en-us+m3", "en-us+f2", "en-gb", "en-gb+f4", "en-gb-scotland")
