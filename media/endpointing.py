"""Has the caller finished, or only paused?

A short wait answers fast and cuts off whoever stops to think; a long one does neither. What can be
known at the pause decides between `min_delay` and `max_delay`: nothing (*fixed*), how long this
caller's pauses were (*adaptive*), or what he has said so far and how it sounded (*semantic*).

How to drive it: `begin_turn` when a turn of the caller's begins; `hear` for each frame of it, those
of its pauses included; `delay` in each silent frame, after its `hear`; `went_on` when the caller
speaks again.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from media.frames import Samples
from media.smart_turn import TURN_RATE, TURN_SECONDS, SmartTurn, TurnModel
from media.unfinished import unfinished


@dataclass(frozen=True)
class EndpointingSettings:
    """Configuration section `endpointing`. Seconds of silence after the caller's last sound."""

    mode: Literal["fixed", "adaptive", "semantic"] = "semantic"
    min_delay: float = 0.4  # ends a turn that may be finished
    max_delay: float = 1.2  # ends a turn that seems to want more
    model: str = ""  # a Smart Turn ONNX file, which judges the sound of the turn's end


def make_turn_model(settings: EndpointingSettings) -> TurnModel | None:
    """The model the settings name, if their mode asks one; all calls can share it.

    Raises ValueError, which names the file and what is wrong with it.
    """
    return SmartTurn(settings.model) if settings.mode == "semantic" and settings.model else None


JUDGED_AFTER = 0.2
"""Seconds of silence at which the model is asked: what it is used to hear after the words."""

WORDS_ODDS = 20.0
"""By so much the odds of "complete" fall when the words are unfinished.

The words then decide unless the model is very sure: 0.95 becomes 0.49, 0.9 becomes 0.31. It may
be right: a recogniser that is late leaves out the last words, and some sentences end with "to".
"""


class Endpointing:
    """The silence that ends a turn, in one call."""

    def __init__(self, settings: EndpointingSettings, model: TurnModel | None = None) -> None:
        self._settings = settings
        self._pauses = PauseHistory(settings.min_delay, settings.max_delay)
        self._text, self._wants_more = "", False
        self._ear = (
            None if model is None else _Ear(model, min(JUDGED_AFTER, settings.min_delay / 2))
        )

    def begin_turn(self) -> None:
        """The caller's next turn begins."""
        self._pauses.begin_turn()
        if self._ear:
            self._ear.begin_turn()

    def hear(self, samples: Samples) -> None:
        """The next frame of the turn, mono PCM at 16 kHz; without a model it is let go."""
        if self._ear:
            self._ear.hear(samples)

    def went_on(self, pause: float) -> None:
        """The caller spoke again after so many seconds, though his turn may have seemed over."""
        self._pauses.went_on(pause)

    def delay(self, text: str, complete: bool | None) -> float:
        """The seconds of silence that end the turn.

        `text` is what was understood of it so far, `complete` the engine's opinion of that.
        """
        settings = self._settings
        match settings.mode:
            case "fixed":
                return settings.min_delay
            case "adaptive":
                return self._pauses.delay
            case "semantic":
                finished = self._finished(text, complete)
                # From even odds on he is answered at once; the less likely, the longer the wait.
                doubt = max(0.0, 1.0 - 2.0 * finished)
                return (1.0 - doubt) * settings.min_delay + doubt * settings.max_delay

    def _finished(self, text: str, complete: bool | None) -> float:
        """The probability that the turn is complete."""
        if complete is not None:
            return float(complete)
        if text != self._text:  # asked 50 times a second
            self._text, self._wants_more = text, unfinished(text)
        heard = 1.0 if self._ear is None else self._ear.judge()
        if not self._wants_more:
            return heard
        return 0.0 if self._ear is None else heard / (heard + WORDS_ODDS * (1.0 - heard))


class _Ear:
    """The sound of the turn's end, and what the model says of it: asked once in each pause."""

    def __init__(self, model: TurnModel, after: float) -> None:
        self._model = model
        self._after = round(after * TURN_RATE)
        self._frames: deque[Samples] = deque()
        self.begin_turn()

    def begin_turn(self) -> None:
        self._frames.clear()
        self._length = 0
        self._unjudged = 2  # frames since `judge` was last asked; more than one: a new pause
        self._quiet = 0  # samples of this pause
        self._verdict: float | None = None

    def hear(self, samples: Samples) -> None:
        self._frames.append(samples)
        self._length += len(samples)
        while self._length - len(self._frames[0]) >= TURN_SECONDS * TURN_RATE:
            self._length -= len(self._frames.popleft())
        self._unjudged += 1

    def judge(self) -> float:
        """The probability that the turn is complete; 0 until the pause is long enough to tell."""
        if self._unjudged > 1:
            self._quiet, self._verdict = 0, None
        self._unjudged = 0
        self._quiet += len(self._frames[-1]) if self._frames else 0
        if self._verdict is None and self._quiet >= self._after:
            self._verdict = self._model.probability(np.concatenate(self._frames))
        return self._verdict or 0.0


KEPT = 0.9  # of the turns, that shall not be cut off
FADING = 0.9  # what a turn counts for, of what the turn after it does
TURNS = 30  # by then a turn counts for less than a twentieth


class PauseHistory:
    """How long this caller's pauses are, and the delay that spares him most of them.

    Of each turn the longest pause counts, since that is what the turn is cut off by, and a turn
    without one counts as 0. The delay is the quantile 0.9 of these over the recent turns, so that
    one turn in ten is cut off: a hesitant caller gets more time, a brisk one less. A turn counts
    for less with each that follows. Before all there is one imagined turn, whose pause lies midway
    between the limits: the first delay, forgotten like the rest.

    Simulated calls of 15 turns with log-normal pauses, a delay of 0.4 to 1.2 s: callers whose
    median pause is 0.22, 0.40 or 0.62 s get 0.60, 0.83 and 1.08 s in the mean, and 2, 10 and 23 %
    of their turns are cut off. A fixed 0.8 s cuts off 0, 9 and 43 %; 0.4 s cuts off 5, 52 and 81 %.
    """

    def __init__(self, least: float, most: float) -> None:
        self._least = least
        self._most = most
        self._longest = deque([(least + most) / 2], maxlen=TURNS)  # of each turn, the latest first
        self.delay = (least + most) / 2  # seconds, between the limits

    def begin_turn(self) -> None:
        self._longest.appendleft(0.0)
        self._adapt()

    def went_on(self, pause: float) -> None:
        self._longest[0] = max(self._longest[0], pause)
        self._adapt()

    def _adapt(self) -> None:
        turns = list(self._longest)
        # The turn in progress may still pause for longer, so for now it only ever asks for more.
        wanted = max(_quantile(turns), _quantile(turns[1:]))
        self.delay = min(self._most, max(self._least, wanted))


def _quantile(turns: list[float]) -> float:
    """What the share KEPT of the turns does not exceed, the latest first and counting most."""
    weighed = sorted(((pause, FADING**age) for age, pause in enumerate(turns)), reverse=True)
    over = (1.0 - KEPT) * sum(weight for _, weight in weighed)
    for pause, weight in weighed:
        over -= weight
        if over < 0.0:
            return pause
    return 0.0
