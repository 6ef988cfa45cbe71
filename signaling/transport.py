"""What a transport needs of a call; every transport drives it the same way."""

from collections.abc import Callable
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
        """20 ms for the caller to hear; called every 20 ms, whether there is something or not."""


class Transport(Protocol):
    """What carries a call, as the server has it."""

    @property
    def lost_packets(self) -> int:
        """Packets of the caller's that were concealed or skipped."""

    @property
    def skipped_ticks(self) -> int:
        """Frames that were not sent because the event loop or the client was late."""

    async def close(self, replaced: bool = False) -> None:
        """End and free everything; `replaced` if another transport carries the session now.

        Harmless when already done.
        """


Closed = Callable[[bool], None]
"""How a transport says that it has ended, once: True if it was lost and the caller may come back,
False if the caller has hung up."""
