"""A session as one of its transports has it: sound and words pass only while it carries the call.

While a call moves there are two: the old one that still carries it, and the new one that is being
connected. Whichever started last is the session's; the others hear nothing and send silence.
"""

from collections.abc import Callable
from typing import Protocol

from pyee import EventEmitter

from media.events import Event
from media.frames import Samples, frame_length, silence
from signaling.messages import ClientMessage, Resume
from signaling.transport import EVENT


class Carried(Protocol):
    """What a leg needs of its session."""

    input_rate: int
    output_rate: int

    @property
    def sequence(self) -> int: ...
    @property
    def live(self) -> bool: ...
    @property
    def due(self) -> float | None: ...
    def carry(self, leg: "Leg") -> None: ...
    def receive_frame(self, samples: Samples) -> None: ...
    def receive_message(self, message: ClientMessage) -> None: ...
    def reject_message(self, reason: str) -> None: ...
    def receive_played(self, sequence: int) -> None: ...
    def pull(self) -> Samples: ...


class Leg:
    """See `signaling.transport.Call`. `transport` names the kind, `resume` is how it came.

    `on_replaced` is called when another leg has taken over, or when this one may not carry the
    session after all because its token was used by another meanwhile.
    """

    def __init__(self, session: Carried, transport: str, resume: Resume | None) -> None:
        self.input_rate = session.input_rate
        self.output_rate = session.output_rate
        self.events = EventEmitter()
        self.locate: Callable[[int], int | None] = lambda timestamp: None
        self.on_due: Callable[[], object] = lambda: None
        self.on_replaced: Callable[[], object] = lambda: None
        self.transport = transport
        self.resume = resume
        self.carrying = False
        self.hold = 0  # frames of silence to give first: the old transport has them still to play
        self.seen = 0  # the session's next frame when something last came from the caller
        self._session = session

    @property
    def sequence(self) -> int:
        return self._session.sequence

    @property
    def live(self) -> bool:
        return self._session.live and not self.hold

    @property
    def due(self) -> float | None:
        if not self.carrying:
            return None
        return 0.0 if self.hold else self._session.due

    def start(self) -> None:
        self._session.carry(self)

    def receive_frame(self, samples: Samples) -> None:
        if self.carrying:
            self.seen = self._session.sequence
            self._session.receive_frame(samples)

    def receive_message(self, message: ClientMessage) -> None:
        if self.carrying:
            self.seen = self._session.sequence
            self._session.receive_message(message)

    def reject_message(self, reason: str) -> None:
        if self.carrying:
            self._session.reject_message(reason)

    def receive_played(self, sequence: int) -> None:
        if self.carrying:  # perhaps only an estimate: it does not show that the caller is there
            self._session.receive_played(sequence)

    def pull(self) -> Samples:
        if self.carrying and not self.hold:
            return self._session.pull()
        self.hold = max(0, self.hold - 1)
        return silence(frame_length(self.output_rate))

    def send(self, event: Event, seq: int) -> None:
        """Have the transport send an event of the session."""
        self.events.emit(EVENT, event, seq)
