"""Noises of a caller's room, by seed: each mono at RATE Hz, in floats, of RMS 1 where it sounds.

They are heard in a loop, so that an hour of them costs no more than their first seconds.
"""

import random
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.bargein.suite import NoiseKind
from bench.caller import RATE
from bench.voices import CALLER_VOICES, speak

Sound = NDArray[np.float32]

LOOP_SECONDS = 20.0
TALKERS = 6
_TALK = (
    "I told her that the train would be late again, but she did not want to hear it.",
    "We could meet at the corner shop after work, if you bring the keys with you.",
    "The children left their shoes in the garden, and of course it rained all night.",
    "My brother has bought a new car, a small one, and he will not stop talking about it.",
    "Did you see the match yesterday? They were two goals up, and then they lost.",
    "There is a little more rice in the kitchen, and somebody should finish the soup.",
    "It was cheaper last year, everything was, and the people were friendlier too.",
    "Put it on the table over there, no, not on that one, it has only three legs.",
)
_CHORDS = ((0, 4, 7, 12), (-3, 0, 4, 9), (-7, -3, 0, 5), (-5, -1, 2, 7))  # I vi IV V, semitones
_SCALE = (0, 2, 4, 7, 9, 12, 14, 16)


@cache
def noise(kind: NoiseKind, seed: int) -> Sound:
    """LOOP_SECONDS of it. Of slams of a door the RMS of each is 1, and between them is silence."""
    chance = np.random.default_rng([seed, len(kind), ord(kind[0])])
    if kind == "white":
        return _leveled(chance.standard_normal(round(LOOP_SECONDS * RATE)))
    if kind == "babble":
        return _leveled(_babble(seed))
    if kind == "music":
        return _leveled(_music(chance))
    return _slams(chance).astype(np.float32)


def _leveled(sound: NDArray[np.float64]) -> Sound:
    return np.asarray(sound / np.sqrt(np.mean(np.square(sound))), dtype=np.float32)


def _babble(seed: int) -> NDArray[np.float64]:
    """Several people, each of whom goes on talking, at like loudness."""
    chance = random.Random(f"babble {seed}")
    out = np.zeros(round(LOOP_SECONDS * RATE))
    for talker in range(TALKERS):
        voice = CALLER_VOICES[(seed + talker) % len(CALLER_VOICES)]
        pitch, speed = chance.randint(20, 80), chance.randint(140, 190)
        parts: list[NDArray[np.float64]] = []
        while sum(map(len, parts)) < len(out):
            parts.append(speak(chance.choice(_TALK), voice, speed, pitch).astype(np.float64))
        talk = np.roll(np.concatenate(parts)[: len(out)], chance.randrange(len(out)))
        out += talk / np.sqrt(np.mean(np.square(talk)))
    return out


def _music(chance: np.random.Generator) -> NDArray[np.float64]:
    """Chords, a bass, a melody and drums: what a radio might play."""
    total = round(LOOP_SECONDS * RATE)
    out = np.zeros(total + 4 * RATE)
    beat = LOOP_SECONDS / round(LOOP_SECONDS * chance.uniform(95, 130) / 60)  # the loop has no seam
    root = chance.uniform(180, 250)
    for number in range(round(LOOP_SECONDS / beat)):
        at = round(number * beat * RATE)
        chord = _CHORDS[number // 4 % 4]
        if number % 4 == 0:
            for tone in chord:
                _add(out, at, 0.25 * _note(root * 2 ** (tone / 12), 4 * beat, 6, decay=1.2))
        _add(out, at, 0.5 * _note(root / 2 * 2 ** (chord[0] / 12), beat, 4, decay=0.4))
        for half in (0, 1):
            if chance.random() < 0.7:
                tone = _SCALE[chance.integers(len(_SCALE))]
                later = at + round(half * beat / 2 * RATE)
                _add(out, later, 0.4 * _note(2 * root * 2 ** (tone / 12), 0.6 * beat, 8, 0.25))
            hat = np.diff(_burst(chance, 0.05, 0.012), prepend=0.0)
            _add(out, at + round(half * beat / 2 * RATE), 0.25 * hat)
        if number % 2 == 0:
            _add(out, at, 0.9 * _thump(55.0, 0.25, 0.08))
        else:
            _add(out, at, 0.5 * _burst(chance, 0.2, 0.05))
    out[: len(out) - total] += out[total:]
    return out[:total]


def _slams(chance: np.random.Generator) -> NDArray[np.float64]:
    """A door that slams every few seconds: a latch, a thump and the room's answer to them."""
    out = np.zeros(round(LOOP_SECONDS * RATE))
    at = chance.uniform(0.5, 1.5)
    while at < LOOP_SECONDS - 0.6:
        slam = np.zeros(round(0.5 * RATE))
        _add(slam, 0, 0.4 * _burst(chance, 0.02, 0.004))
        begin = round(0.03 * RATE)
        for _ in range(4):
            hum = _thump(chance.uniform(60, 220), 0.4, chance.uniform(0.04, 0.09))
            _add(slam, begin, 0.7 * hum)
        _add(slam, begin, 1.2 * _burst(chance, 0.3, 0.03))
        tail = _burst(chance, 0.45, 0.12)
        dull = np.convolve(tail, np.ones(12) / 12, mode="same")
        _add(slam, begin, np.asarray(0.3 * dull, dtype=np.float64))
        loud = slam[: round(0.25 * RATE)]
        _add(out, round(at * RATE), slam / np.sqrt(np.mean(np.square(loud))))
        at += chance.uniform(1.5, 4.0)
    return out


def _add(out: NDArray[np.float64], at: int, sound: NDArray[np.float64]) -> None:
    end = min(len(out), at + len(sound))
    out[at:end] += sound[: end - at]


def _note(hertz: float, seconds: float, partials: int, decay: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros(len(time))
    for n in range(1, partials + 1):
        wave += np.sin(2 * np.pi * n * hertz * time) / n
    attack = np.minimum(1, time / 0.01) * np.minimum(1, (seconds - time) / 0.02)
    return np.asarray(wave * attack * np.exp(-time / decay))


def _thump(hertz: float, seconds: float, decay: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * RATE)) / RATE
    sweep = hertz * (time + 0.02 * (1 - np.exp(-time / 0.02)))
    return np.asarray(np.sin(2 * np.pi * sweep) * np.exp(-time / decay))


def _burst(chance: np.random.Generator, seconds: float, decay: float) -> NDArray[np.float64]:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(chance.standard_normal(len(time)) * np.exp(-time / decay))
