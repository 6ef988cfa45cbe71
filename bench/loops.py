"""What callers of a load say, over and over, encoded once: speech, or markers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.audio import AUDIBLE, loudness, speech_span
from bench.caller import RATE
from bench.markers import marker
from bench.voices import CALLER_VOICES, speak
from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from signaling.opus import OpusEncoder

TEXTS = (
    "the quick brown fox jumps over the lazy dog and runs into the forest",
    "could you tell me how long it takes to get to the station from here",
    "i would like to know what the weather is going to be like tomorrow",
)
PAUSE_SECONDS = 2.0  # in which an answer as long as the words is heard
MARKER_SPACING = 0.5
BITRATE = 24_000
_NOISE = 20.0  # what a microphone hears in a quiet room: -64 dBFS


@dataclass(frozen=True, slots=True)
class Loop:
    """Sound at RATE Hz, whole frames of it.

    `marks`: where in it, in seconds, each marker begins, or each utterance ends.
    """

    samples: Samples
    marks: tuple[float, ...]

    def packets(self, transport: str) -> list[bytes]:
        """The payload of each frame as the transport carries it."""
        frames = self.samples.reshape(-1, frame_length(RATE))
        if transport == "webrtc":
            encoder = OpusEncoder(RATE, BITRATE)
            return [encoder.encode(frame) for frame in frames]
        return [frame.astype("<i2").tobytes() for frame in frames]


def speech_loop() -> Loop:
    """Speech without a pause."""
    pieces = [_sounding(speak(text, voice)) for text, voice in _said()]
    return _loop(np.concatenate(pieces), ())


def talk_loop(utterances: Sequence[Samples] = ()) -> Loop:
    """Utterances, each with a pause after it as long as itself and PAUSE_SECONDS."""
    pieces: list[Samples] = []
    marks, length = [], 0
    for said in utterances or [speak(text, voice) for text, voice in _said()]:
        marks.append(length / RATE + speech_span(said, RATE)[1])
        pieces += [said, silence(len(said) + round(PAUSE_SECONDS * RATE))]
        length += 2 * len(said) + round(PAUSE_SECONDS * RATE)
    return _loop(np.concatenate(pieces), marks)


def marker_loop(count: int = 24) -> Loop:
    """Markers, each at another place in its frame; the first at once."""
    random = np.random.default_rng(count)
    samples = silence(round(count * MARKER_SPACING * RATE))
    marks = []
    for number in range(count):
        mark = number * MARKER_SPACING + (number > 0) * random.uniform(0, 2 * FRAME_SECONDS)
        at = round(mark * RATE)
        sound = marker(number)
        samples[at : at + len(sound)] = sound
        marks.append(at / RATE)
    return _loop(samples, marks)


def _said() -> list[tuple[str, str]]:
    return list(zip(TEXTS, CALLER_VOICES, strict=False))


def _sounding(samples: Samples) -> Samples:
    """Without its silences."""
    window = len(samples) // len(levels) if len(levels := loudness(samples, RATE)) else 1
    whole = samples[: len(levels) * window].reshape(-1, window)
    return np.asarray(whole[levels >= AUDIBLE].reshape(-1))


def _loop(samples: Samples, marks: Sequence[float]) -> Loop:
    samples = np.concatenate((samples, silence(-len(samples) % frame_length(RATE))))
    noise = np.random.default_rng(0).normal(0, _NOISE, len(samples))
    noisy = np.clip(samples + noise, -32768, 32767).astype(np.int16)
    return Loop(noisy, tuple(marks))
