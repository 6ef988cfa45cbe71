"""What a transport needs of a call; every transport drives it the same way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pyee import EventEmitter

from media.frames import Samples
from signaling.messages import ClientMessage

EVENT = "event"
"""The name under which `Call.events` emits a `media.events.Event` and its number (`seq`)."""


class Call(Protocol):
    """One session, as one of its transports has it. All on the event loop, nothing blocks.

    Until `start`, and after another transport has started, nothing is heard and silence is pulled.
    """

    input_rate: int  # Hz, of the frames it wants
    output_rate: int  # Hz, of the frames it gives
    events: EventEmitter
    locate: Callable[[int], int | None]
    """Set by a transport whose packets have timestamps in place of the frames' sequence numbers:
    the frame that is played after the packet of this timestamp."""
    on_due: Callable[[], object]
    """Set by a transport: called when `due` may have become something else."""

    @property
    def live(self) -> bool:
        """Whether its frames come one by one, each due when it is there; else there is an answer
        that waits, and it is the transport that paces it: 20 ms a frame."""

    @property
    def due(self) -> float | None:
        """From when on the next frame is to be pulled, on the loop's clock; None: there is none."""

    @property
    def sequence(self) -> int:
        """The number, in the session, of the frame that `pull` gives next."""

    def start(self) -> None:
        """The transport is connected and listens to `events`: it carries the session from now on.

        The first event follows.
        """

    def receive_frame(self, samples: Samples) -> None:
        """Hear 20 ms of the caller."""

    def receive_message(self, message: ClientMessage) -> None:
        """Hear what the client wants."""

    def reject_message(self, reason: str) -> None:
        """Tell the client that it sent something that is no message."""

    def receive_played(self, sequence: int) -> None:
        """Hear which frame the client plays next."""

    def pull(self) -> Samples:
        """20 ms for the caller to hear; silence if there is nothing."""


@dataclass(frozen=True, slots=True)
class MediaReport:
    """The audio that a transport carries, counted since it began. Times in seconds.

    A stream (WebSocket, TCP) loses nothing: what it cannot know stays at its default.
    """

    received: int = 0  # packets of the caller's audio that arrived
    lost: int = 0  # and those that did not, or too late: other sound was put in their place
    late: int = 0  # of these, those that did arrive, but too late
    heard: float = 0.0  # of sound given to the call
    concealed: float = 0.0  # of that, what was made up for lost packets
    recovered: float = 0.0  # of that, what was found again in the next packet (FEC)
    delay: float = 0.0  # that putting packets in order costs now, in the mean
    jitter: float = 0.0  # of the packets' arrival now (RFC 3550)
    sent: int = 0  # packets of our audio
    skipped: int = 0  # frames not sent because the event loop or the client was late
    remote_loss: float | None = None  # share of our packets lost, by the caller's latest report
    round_trip: float | None = None


_COUNTED = ("received", "lost", "late", "heard", "concealed", "recovered", "sent", "skipped")


def add(one: MediaReport, other: MediaReport) -> MediaReport:
    """What both counted. What is so only now, such as the jitter, has no sum: it is left out."""
    return MediaReport(**{name: getattr(one, name) + getattr(other, name) for name in _COUNTED})


class Transport(Protocol):
    """What carries a call, as the server has it."""

    def report(self) -> MediaReport:
        """What became of the audio so far."""

    async def close(self, replaced: bool = False) -> None:
        """End and free everything; `replaced` if another transport carries the session now.

        Harmless when already done.
        """


Closed = Callable[[bool], None]
"""How a transport says that it has ended, once: True if it was lost and the caller may come back,
False if the caller has hung up."""
