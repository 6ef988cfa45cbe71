"""What a transport needs of a call; every transport drives it the same way."""

from typing import Protocol

from pyee import EventEmitter

from media.frames import Samples
from signaling.messages import ClientMessage

EVENT = "event"
"""The name under which `Call.events` emits every `media.events.Event`."""


class Call(Protocol):
    """One session, as its transport sees it. All on the event loop, nothing blocks."""

    input_rate: int  # Hz, of the frames it wants
    output_rate: int  # Hz, of the frames it gives
    events: EventEmitter

    def start(self) -> None:
        """The transport is listening to `events`; the first one follows."""

    def receive_frame(self, samples: Samples) -> None:
        """Hear 20 ms of the caller."""

    def receive_message(self, message: ClientMessage) -> None:
        """Hear what the client wants."""

    def reject_message(self, reason: str) -> None:
        """Tell the client that it sent something that is no message."""

    def pull(self) -> Samples:
        """20 ms for the caller to hear; called every 20 ms, whether there is something or not."""
