"""Who is let in: as many calls as are allowed, and none that those in progress would suffer from.

A caller who comes back to a session never asks here: it is in progress.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Literal

from server.load import Load

MIN_RETRY, USUAL_RETRY, MAX_RETRY = 2.0, 5.0, 30.0
"""Seconds after which one who was refused may ask again."""


Cause = Literal["full", "busy", "engine", "stopping", "connecting"]
"""Why a call was refused, in a word: what is counted."""


class CallRefused(Exception):
    """No call can be taken now; the text says why and is meant for the caller."""

    def __init__(self, text: str, cause: Cause, retry_after: float = USUAL_RETRY) -> None:
        super().__init__(text)
        self.cause = cause
        self.retry_after = math.ceil(retry_after)  # seconds


class Admission:
    """Decides by the number of calls, and by the load."""

    def __init__(self, max_sessions: int, load: Load, clock: Callable[[], float]) -> None:
        self._max_sessions = max_sessions
        self._load = load
        self._clock = clock
        self._departures: deque[float] = deque(maxlen=20)  # when the latest sessions ended

    def admit(self, calls: int) -> None:
        """One more call is let in beside so many. Raises CallRefused."""
        if calls >= self._max_sessions:
            message = f"all {self._max_sessions} calls that this server takes at once are in use"
            raise CallRefused(message, "full", self._until_a_place_is_free())
        if busy := self._load.admit():
            raise CallRefused(busy, "busy")

    def note_departure(self) -> None:
        """A session has ended: by these it is known how soon there is a place again."""
        self._departures.append(self._clock())

    def _until_a_place_is_free(self) -> float:
        """Seconds, if calls go on ending as often as they did lately."""
        if not self._departures:
            return USUAL_RETRY
        interval = (self._clock() - self._departures[0]) / len(self._departures)
        return min(max(interval, MIN_RETRY), MAX_RETRY)
