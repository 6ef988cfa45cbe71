"""How far behind the loudspeaker is its echo? Generalised cross-correlation, phase transform.

The phase transform (Knapp and Carter, 1976) makes every frequency count alike, so that the echo of
speech is one sharp peak and another voice only adds to the floor under it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from media.echo_reference import Wave

HEARD_SECONDS = 0.5  # of the microphone that are looked at
MAX_DELAY = 0.66  # seconds, from a pull to the frame with its echo
MIN_DELAY = 0.01  # a frame takes 20 ms, and a sound card its time
SPAN = HEARD_SECONDS + MAX_DELAY
FADE_SECONDS = 0.01
LOWEST, HIGHEST = 250, 3750  # Hz
LOOK_RATE = 8000  # Hz: the resolution of a delay


@dataclass(frozen=True, slots=True)
class Likeness:
    """The delay at which the microphone is most like what was played; score: peak over floor."""

    delay: float  # seconds
    score: float


def find_delay(
    heard: Wave, played: Wave, rate: int, possible: NDArray[np.bool_] | None = None
) -> Likeness:
    """`heard` is the latest HEARD_SECONDS; `played`, of SPAN, ends with it.

    `possible`: of equal stretches of delay, from MAX_DELAY down, those it may be in.
    """
    # Both end now: an edge in each would be alike too.
    fade = round(FADE_SECONDS * rate)
    heard = heard.copy()
    heard[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    size = round(SPAN * rate)
    fine = round(SPAN * LOOK_RATE)
    bins = slice(round(LOWEST * SPAN), round(HIGHEST * SPAN))
    cross = np.conj(np.fft.rfft(heard, size)[bins]) * np.fft.rfft(played, size)[bins]
    magnitude = np.abs(cross)
    spectrum = np.zeros(fine // 2 + 1, dtype=np.complex64)
    spectrum[bins] = cross / (magnitude + 1e-3 * magnitude.mean() + 1e-20)
    last = fine - round((HEARD_SECONDS + MIN_DELAY) * LOOK_RATE)
    correlation = np.fft.irfft(spectrum, fine)[:last]
    candidates = correlation
    if possible is not None:
        mask = np.repeat(possible, math.ceil(MAX_DELAY * LOOK_RATE / len(possible)))
        candidates = np.where(mask[:last], correlation, -np.inf)
    best = int(np.argmax(candidates))
    if not 0 < best < len(correlation) - 1:  # no peak: it goes on beyond
        return Likeness(MAX_DELAY - best / LOOK_RATE, 0.0)
    floor = float(np.sqrt(np.mean(np.square(correlation)))) + 1e-20
    before, peak, after = correlation[best - 1 : best + 2].astype(float)
    shift = 0.5 * (before - after) / (before - 2 * peak + after - 1e-12)
    delay = MAX_DELAY - (best + float(np.clip(shift, -0.5, 0.5))) / LOOK_RATE
    return Likeness(delay, float(correlation[best]) / floor)
