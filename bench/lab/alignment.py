"""What of an answer was heard? Follows a recording along the answer's undisturbed sound.

Each 10 ms of the recording is laid to a place in the reference, so that the spectra fit and the
places run on; a pause may come at any place, a jump costs. What is jumped over was not heard; what
is jumped back over was heard twice. Jitter buffers, codecs and concealment do no harm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.frames import Samples

STEP = 0.01  # seconds
WINDOW = 0.025
BANDS = 26
TOP = 5000.0  # Hz
SILENT = -50.0  # dBFS

DIFFERENT = 3.0  # of a sound in place of silence; two sounds of speech differ by 0.3 to 2
STRETCH = 0.3  # of a step more or less than the reference takes
PAUSE = 0.05  # of a silent step that the reference has not
BEGIN_PAUSE = 1.0
JUMP = 12.0

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """Seconds of the answer's sound, its own silences left out; `gap` with the silence around it.

    `gap` is the longest silence that the reference has not. `fit` is the mean difference of the
    sounds from the reference's: above 1 something else was heard.
    """

    missing: float
    repeated: float
    gap: float
    fit: float


def compare(heard: Samples, reference: Samples, rate: int) -> Heard:
    """Both mono at `rate` Hz; the recording may begin and end with any length of silence."""
    answer, answer_loud = _features(reference, rate)
    ear, ear_loud = _features(heard, rate)
    first, last = np.flatnonzero(answer_loud)[[0, -1]]
    answer, answer_loud = answer[first : last + 1], answer_loud[first : last + 1]
    places, paused, fit = _follow(ear, ear_loud, answer, answer_loud)
    visits = np.zeros(len(answer), int)
    missing = repeated = 0
    at = -1  # the last place that was heard
    longest = pause = 0
    for place, is_pause in zip(places, paused, strict=True):
        pause = pause + 1 if is_pause else 0
        # What comes before the first sound and after the last is no gap in the answer.
        if 0 < at < len(answer) - 3:
            longest = max(longest, pause)
        if is_pause or place == at:
            continue
        if place < at:
            repeated += int(answer_loud[place : at + 1].sum())
        at = place
        visits[place] += 1
    # A step of two is a stretch, not a hole.
    covered = visits > 0
    covered[1:-1] |= covered[:-2] & covered[2:]
    missing = int((answer_loud & ~covered).sum())
    return Heard(missing * STEP, repeated * STEP, longest * STEP, fit)


def _follow(
    ear: Features, ear_loud: NDArray[np.bool_], answer: Features, answer_loud: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], float]:
    """The cheapest path: for each step a place in the answer, and whether it paused there."""
    steps, places = len(ear), len(answer)
    here = np.arange(places)
    play = np.full(places, 1e9)
    rest = np.full(places, 1e9)
    rest[0] = 0.0
    # Where each state came from: a place, plus `places` if it paused there.
    play_from = np.empty((steps, places), np.int32)
    rest_from = np.empty((steps, places), np.int32)
    differences = np.zeros(steps)
    table = []
    for step in range(steps):
        both = np.minimum(play, rest)
        best = int(np.argmin(both))
        jump = both[best] + JUMP
        jump_from = best + places * bool(rest[best] < play[best])

        ways = np.stack(
            (
                _shifted(play, 1),
                play + STRETCH,
                _shifted(play, 2) + STRETCH,
                _shifted(rest, 1),
                rest,
                np.full(places, jump),
            )
        )
        origins = np.stack(
            (here - 1, here, here - 2, here - 1 + places, here + places, np.full(places, jump_from))
        )
        chosen = np.argmin(ways, axis=0)
        play_from[step] = origins[chosen, here]
        cost = np.where(
            answer_loud == ear_loud[step],
            np.linalg.norm(answer - ear[step], axis=1) if ear_loud[step] else 0.0,
            DIFFERENT,
        )
        table.append(cost)
        new_play = ways[chosen, here] + cost

        pauses = np.stack((rest, play + BEGIN_PAUSE))
        chosen = np.argmin(pauses, axis=0)
        rest_from[step] = np.where(chosen == 0, here + places, here)
        rest = pauses[chosen, here] + (DIFFERENT if ear_loud[step] else PAUSE)
        play = new_play

    state = int(np.argmin(np.concatenate((play, rest))))
    path = np.empty(steps, np.int64)
    for step in range(steps - 1, -1, -1):
        path[step] = state
        state = int((rest_from if state >= places else play_from)[step, state % places])
    paused = path >= places
    path %= places
    followed = np.flatnonzero(~paused & ear_loud)
    differences = np.array([table[step][path[step]] for step in followed])
    return path, paused, float(differences.mean()) if len(differences) else DIFFERENT


def _shifted(costs: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    return np.concatenate((np.full(places, 1e9), costs[:-places]))


def _features(samples: Samples, rate: int) -> tuple[Features, NDArray[np.bool_]]:
    """The shape of the spectrum of each step, and whether there is a sound at all."""
    length, hop = round(WINDOW * rate), round(STEP * rate)
    padded = np.concatenate((samples, np.zeros(length, np.int16))).astype(np.float32) / 32768
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    loud = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12) > SILENT
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)) ** 2
    bands = np.log10(spectrum @ _mel(length, rate) + 1e-7)
    bands -= bands.mean(axis=1, keepdims=True)
    shape = bands / (np.linalg.norm(bands, axis=1, keepdims=True) + 1e-6) * 2
    return shape.astype(np.float32), loud


def _mel(length: int, rate: int) -> NDArray[np.float64]:
    """Triangles on the mel scale: (bins, BANDS)."""
    mel = np.linspace(0, 2595 * np.log10(1 + TOP / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.fft.rfftfreq(length, 1 / rate)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.asarray(np.maximum(0, np.minimum(rise, fall)))
