"""An ear for recognisers that want the whole turn: it keeps what it hears until the end."""

from collections import deque
from collections.abc import Awaitable, Callable

import numpy as np

from inference.cascade.parts import HEARING_RATE
from media.frames import Samples

MOST_SECONDS = 30.0  # of a turn, the latest: what Whisper hears at once


class Recording:
    """An `Ear`; `transcribe` makes the words of it all."""

    def __init__(self, transcribe: Callable[[Samples], Awaitable[str]]) -> None:
        self._transcribe = transcribe
        self._heard: deque[Samples] = deque()
        self._length = 0

    def listen(self, samples: Samples) -> None:
        self._heard.append(samples)
        self._length += len(samples)
        while self._length > MOST_SECONDS * HEARING_RATE:
            self._length -= len(self._heard.popleft())

    async def finish(self) -> str:
        if not self._length:
            return ""
        return await self._transcribe(np.concatenate(self._heard))

    def close(self) -> None:
        self._heard.clear()
        self._length = 0
