"""espeak-ng as a library: a sentence in, the audio of each of its words out.

It is fast (1 ms for a second of speech) and keeps one global state, so it is initialised once
and every sentence sets its voice anew, under a lock.
"""

import ctypes
import re
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from inference.embedded.voices import EMOTIONS, LANGUAGES, timbre_of
from inference.protocol import Speech, Voice
from media.frames import Samples

RATE = 22050
"""Hz; what espeak_Initialize gives back."""

LEVEL_DBFS = -20.0
"""RMS of the active part of a neutral sentence."""

_SYNCHRONOUS, _UTF8, _PHONEMES = 2, 1, 0x100
_DONT_EXIT = 0x8000
_SET_RATE, _SET_PITCH, _SET_RANGE = 1, 3, 4
_EVENT_END, _EVENT_WORD = 0, 1
_PEAK = 0.9
_lock = Lock()


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Library:
    """The library after its initialisation, and what its callback gathers."""

    def __init__(self) -> None:
        self.dll: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        self.audio: list[NDArray[np.int16]] = []
        self.words: list[tuple[int, int]] = []  # character, sample
        path = espeakng_loader.get_data_path().encode()
        rate = self.dll.espeak_Initialize(_SYNCHRONOUS, 20, path, _DONT_EXIT)
        if rate != RATE:
            raise RuntimeError(f"espeak-ng did not start: {rate}")
        self._callback = _Callback(self._gather)  # kept: the library holds no reference
        self.dll.espeak_SetSynthCallback(self._callback)

    def _gather(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self.audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_WORD:
                self.words.append((events[index].text_position - 1, events[index].sample))
            index += 1
        return 0


@cache
def _library() -> _Library:
    return _Library()


def speak(text: str, voice: Voice) -> list[Speech]:
    """One sentence, a piece per word; the pieces' texts joined are `text`.

    Text without a sound of its own, a dash say, goes with the word before it.
    """
    timbre, emotion = timbre_of(voice.name), EMOTIONS[voice.emotion]
    audio, words = synthesize(
        text,
        f"{LANGUAGES[voice.language]}+{timbre.variant}",
        rate=timbre.words_per_minute * emotion.rate * voice.rate,
        pitch=timbre.pitch + emotion.pitch,
        pitch_range=timbre.range * emotion.range,
    )
    return _cut(text, _leveled(audio, LEVEL_DBFS + emotion.level_db), words)


def synthesize(
    text: str,
    voice: str,
    rate: float = 165.0,
    pitch: float = 50.0,
    pitch_range: float = 50.0,
    phonemes: bool = False,
) -> tuple[Samples, list[tuple[int, int]]]:
    """Text in one of espeak-ng's own voices, and where each word starts: (character, sample).

    `rate` is in words per minute, `pitch` and `pitch_range` go from 0 to 99. With `phonemes`,
    what stands in [[ ]] is espeak-ng's phonemes. Raises ValueError where it has no such voice.
    """
    with _lock:
        library = _library()
        if library.dll.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        library.dll.espeak_SetParameter(_SET_RATE, round(rate), 0)
        library.dll.espeak_SetParameter(_SET_PITCH, round(min(max(pitch, 0), 99)), 0)
        library.dll.espeak_SetParameter(_SET_RANGE, round(min(max(pitch_range, 0), 99)), 0)
        library.audio.clear()
        library.words.clear()
        encoded = text.encode() + b"\0"
        flags = _UTF8 | _PHONEMES * phonemes
        library.dll.espeak_Synth(encoded, len(encoded), 0, 0, 0, flags, None, None)
        audio = np.concatenate(library.audio) if library.audio else np.zeros(0, np.int16)
        return audio, list(library.words)


def _leveled(audio: Samples, dbfs: float) -> Samples:
    """The audio with its active 10 ms blocks at `dbfs` RMS, less where its peaks would clip."""
    block = RATE // 100
    wave = audio.astype(np.float64) / 32768
    power = np.square(wave[: len(wave) // block * block]).reshape(-1, block).mean(axis=1)
    active = power[power > 1e-4 * power.max(initial=0.0)]
    if not len(active) or not power.any():
        return audio
    gain = 10 ** (dbfs / 20) / np.sqrt(active.mean())
    gain = min(gain, _PEAK / np.abs(wave).max())
    return np.asarray(np.round(wave * gain * 32768), dtype=np.int16)


def _cut(text: str, audio: Samples, words: list[tuple[int, int]]) -> list[Speech]:
    spans = [match.span() for match in re.finditer(r"\S+\s*", text)]
    starts: list[tuple[int, int]] = []  # character, sample
    for begin, end in spans:
        sounds = [sample for position, sample in words if begin <= position < end]
        if sounds and (not starts or sounds[0] > starts[-1][1]):
            starts.append((begin, sounds[0]))
    if not starts:
        return [Speech(audio, RATE, text)]
    edges = [(0, 0), *starts[1:], (len(text), len(audio))]
    return [Speech(audio[a:b], RATE, text[i:j]) for (i, a), (j, b) in pairwise(edges)]
