"""Is the caller still there? And one who is there, but sends no audio, is silent."""

import asyncio
from collections.abc import Callable

from media.frames import FRAME_SECONDS, frame_length, silence
from signaling.transport import Call

CHECK_SECONDS = 0.25
MUTE_SECONDS = 0.5  # without audio, from a caller who is there: longer than any network's jitter
LONGEST_PAUSE = 2.5  # between two signs of a caller who is there: clients ping every two seconds
MAX_SILENCE = 2.0  # seconds of silence told at once; more changes nothing


class Presence:
    """Watches one transport. A muted track or a device that sends only speech must not hold a turn
    open, but a dead network must not end one: what tells them apart is whether anything comes.
    """

    def __init__(
        self,
        call: Call,
        timeout: float,
        on_lost: Callable[[], None],
        count: Callable[[], int] = lambda: 0,
    ) -> None:
        """`count` may say how many things came that nobody tells `see` of."""
        self._call = call
        self._timeout = timeout
        self._on_lost = on_lost
        self._count = count
        self._counted = count()
        self._loop = asyncio.get_running_loop()
        self._seen = self._heard = self._loop.time()
        self._muted = False  # at the last check
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)

    def hear(self) -> None:
        """Audio came from the caller."""
        self._seen = self._heard = self._loop.time()

    def see(self) -> None:
        """Something came from the caller."""
        now = self._loop.time()
        if now - self._seen > LONGEST_PAUSE:
            self._heard += now - self._seen  # an outage: nobody knows what was said in it
        self._seen = now

    def close(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        now = self._loop.time()
        if (counted := self._count()) != self._counted:
            self._counted = counted
            self.see()
        if now - self._seen >= self._timeout:
            self._on_lost()
            return
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check)
        missing = self._seen - self._heard
        # Once is not enough: after an outage a message may be back a moment before the audio.
        before, self._muted = self._muted, missing >= MUTE_SECONDS
        if before and self._muted:
            self._heard = self._seen
            frame = silence(frame_length(self._call.input_rate))
            for _ in range(round(min(missing, MAX_SILENCE) / FRAME_SECONDS)):
                self._call.receive_frame(frame)
