"""What the turn-taking decides is to be done, in words for whoever does it."""

from dataclasses import dataclass

from media.events import Event
from media.frames import AudioFrame


@dataclass(frozen=True, slots=True)
class Listen:
    """Give this frame of the caller's turn to the engine."""

    turn: int
    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class StartTurn:
    """The caller has finished: ask the engine to answer."""

    turn: int


@dataclass(frozen=True, slots=True)
class Say:
    """Have the engine say this, as the answer of a turn in which the caller said nothing."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class CancelTurn:
    """Stop the engine's answer and let it know what was heard of it."""

    turn: int
    heard_seconds: float
    heard_text: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell everyone who listens."""

    event: Event


Action = Listen | StartTurn | Say | CancelTurn | Notify
