"""How loud is the caller, and the place he speaks from?

A voice detector takes the talk of a canteen, or a singer on the radio, for speech, which it is.
What sets the caller apart is that he is nearer: what does not stand out from the background is not
his voice.
"""

import math
from dataclasses import dataclass, field

import numpy as np

MARGIN = 6.0
"""dB above the background from which on a sound may be the caller's voice."""

SMOOTHING = 0.4
"""The share of a new frame in the level that is compared.

The talk of many goes up and down from frame to frame by as much as the caller is nearer. Six voices
10 dB under the caller's seemed to speak up once a minute when each frame was judged by itself, and
never over some frames together; the caller was found after 130 ms in the median among them, and
after 120 ms in a quiet place.
"""

RISE, FALL = 24.0, 24.0
"""dB per second by which the background follows what is louder, and what is quieter.

It settles at the median: a noise that begins is known in a second, and a word is over sooner.
"""

QUIETEST = -60.0
"""dBFS; whatever is quieter than that is as quiet."""

RISE_IN_TURN = 3.0
"""The same while the caller has the turn, and what is louder is mostly he."""


@dataclass(slots=True)
class Background:
    """Follows the level of what is no speech of the caller's."""

    decibels: float = QUIETEST  # dBFS
    _power: float = 0.0  # of the latest frames, smoothed; full scale is 1

    def receive(self, decibels: float, seconds: float, in_turn: bool) -> bool:
        """Take the next frame's level in dBFS: whether it may hold the caller's voice."""
        power = 10 ** (max(decibels, QUIETEST) / 10)
        self._power += (SMOOTHING if self._power else 1.0) * (power - self._power)
        now = 10 * math.log10(self._power)
        stands_out = now >= self.decibels + MARGIN
        if now > self.decibels:
            step = (RISE_IN_TURN if in_turn else RISE) * seconds
            self.decibels = min(now, self.decibels + step)
        else:
            self.decibels = max(now, self.decibels - FALL * seconds)
        return stands_out


LOUD_PERCENTILE = 75
"""Of the levels of a turn's frames with speech, that is how loud it was: its vowels."""


SOFTER = 2.0
"""dB by which one turn can make the caller a softer one: what was softer may not have been he."""


@dataclass(slots=True)
class CallerLevel:
    """How loud the caller usually is, by his turns so far."""

    usual: float | None = None  # dBFS; None before his first turn
    _turn: list[float] = field(default_factory=list)

    def receive(self, decibels: float) -> None:
        """Take the level of a frame with speech in it, of his turn."""
        self._turn.append(decibels)

    def end_turn(self) -> None:
        """The turn is over."""
        if not self._turn:
            return
        loud = float(np.percentile(self._turn, LOUD_PERCENTILE))
        self.usual = loud if self.usual is None else max(loud, self.usual - SOFTER)
        self._turn.clear()
