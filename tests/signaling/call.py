"""A call as a transport sees it, that says what a test has it say and notes what it is told."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from pyee import EventEmitter

from media.events import Event, StateChanged
from media.frames import Samples, frame_length, silence
from media.playout import TRAILING_FRAMES
from signaling.messages import ClientMessage
from signaling.transport import EVENT


class ScriptedCall:
    """See `signaling.transport.Call`. Pulled are the frames of `voice`, or else those of `say`.

    Nothing is due when they are over, but for the silence that trails them.

    `pulls` has the number of each frame pulled and when; `played` what the transport said that the
    client plays next, and when.
    """

    def __init__(
        self,
        input_rate: int = 16_000,
        output_rate: int = 24_000,
        voice: Iterator[Samples] | None = None,
        sequence: int = 0,
    ) -> None:
        self.input_rate = input_rate
        self.output_rate = output_rate
        self.events = EventEmitter()
        self.live = False
        self.on_due: Callable[[], object] = lambda: None
        self.locate: Callable[[int], int | None] = lambda timestamp: None
        self.sequence = sequence
        self.started = 0
        self.heard: list[Samples] = []
        self.heard_at: list[float] = []
        self.messages: list[ClientMessage] = []
        self.rejected: list[str] = []
        self.played: list[tuple[float, int]] = []
        self.pulls: list[tuple[float, int]] = []
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._voice = voice
        self._script: deque[Samples] = deque()
        self._seq = 0
        self._silent = TRAILING_FRAMES

    @property
    def due(self) -> float | None:
        talking = self._voice is not None or self._script or self._silent < TRAILING_FRAMES
        return 0.0 if talking else None

    def say(self, frames: Sequence[Samples]) -> None:
        """Give these next, silence after them."""
        self._script.extend(frames)
        self.on_due()

    def hush(self, *tail: Samples) -> None:
        """Throw away what was to be said, but for this tail."""
        self._script = deque(tail)

    def emit(self, event: Event) -> None:
        self._seq += 1
        self.events.emit(EVENT, event, self._seq)
        self.changed.set()

    def start(self) -> None:
        self.started += 1
        self.emit(StateChanged("listening"))

    def receive_frame(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.heard_at.append(self._loop.time())
        self.changed.set()

    def receive_message(self, message: ClientMessage) -> None:
        self.messages.append(message)
        self.changed.set()

    def reject_message(self, reason: str) -> None:
        self.rejected.append(reason)
        self.changed.set()

    def receive_played(self, sequence: int) -> None:
        self.played.append((self._loop.time(), sequence))
        self.changed.set()

    def pull(self) -> Samples:
        self.pulls.append((self._loop.time(), self.sequence))
        self.sequence += 1
        if self._voice is not None:
            return next(self._voice)
        self._silent = 0 if self._script else self._silent + 1
        return self._script.popleft() if self._script else silence(frame_length(self.output_rate))


class LiveCall(ScriptedCall):
    """One whose frames come one by one: each is due when `arrive` gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.live = True
        self._waiting: deque[tuple[float, Samples]] = deque()

    def arrive(self, samples: Samples, after: float = 0.0) -> None:
        """Due after so many seconds."""
        self._waiting.append((self._loop.time() + after, samples))
        self.on_due()

    @property
    def due(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def pull(self) -> Samples:
        self.pulls.append((self._loop.time(), self.sequence))
        self.sequence += 1
        return self._waiting.popleft()[1]
