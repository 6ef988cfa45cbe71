"""What happens in a call, as told to whoever listens: the page, metrics, recorders, dialects.

Every event is a frozen dataclass whose fields JSON can hold; `type` names it on the wire.
Turn numbers are those of the caller's turn that an event belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The first event of every session: who answers, and what may be asked of it."""

    type: ClassVar[str] = "session.started"
    session_id: str
    resume_token: str  # good for one resume
    resume_window: float  # seconds that the session waits for it
    transport: str  # "webrtc", "websocket" or "tcp"
    engine: str
    voices: tuple[Mapping[str, str], ...]  # each {"name", "label"}
    emotions: tuple[str, ...]
    languages: tuple[str, ...]
    voice: Mapping[str, Any]  # {"name", "emotion", "rate", "language"}


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """The session goes on over another transport."""

    type: ClassVar[str] = "session.resumed"
    session_id: str
    resume_token: str
    resume_window: float
    transport: str
    state: str
    turn: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Who has the turn: a value of `media.conversation.State`."""

    type: ClassVar[str] = "state"
    state: str


@dataclass(frozen=True, slots=True)
class UserStarted:
    type: ClassVar[str] = "user.started"
    turn: int


@dataclass(frozen=True, slots=True)
class UserStopped:
    """The end of the caller's turn was decided; the answer is being made."""

    type: ClassVar[str] = "user.stopped"
    turn: int


@dataclass(frozen=True, slots=True)
class UserTranscript:
    """What the caller said, as understood so far; `final` ends it."""

    type: ClassVar[str] = "user.transcript"
    turn: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class ReplyStarted:
    """The first audio of the answer is in the playout buffer."""

    type: ClassVar[str] = "reply.started"
    turn: int


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the answer's words, to be appended; not yet heard."""

    type: ClassVar[str] = "reply.text"
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyHeard:
    """The next piece of the answer's words that the caller has now heard, to be appended."""

    type: ClassVar[str] = "reply.heard"
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyPaused:
    """The caller speaks over the answer: it is silent until it is known whether that ends it."""

    type: ClassVar[str] = "reply.paused"
    turn: int


@dataclass(frozen=True, slots=True)
class ReplyResumed:
    """It was no interruption: the answer goes on from the word that was cut."""

    type: ClassVar[str] = "reply.resumed"
    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The answer is over. `heard` is the prefix of `text` that the caller heard."""

    type: ClassVar[str] = "reply.ended"
    turn: int
    text: str
    heard: str
    seconds: float  # of audio that was played
    interrupted: bool


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """Answers sound like this from now on."""

    type: ClassVar[str] = "voice.changed"
    voice: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """Something went wrong in this call; the call goes on unless it says otherwise."""

    type: ClassVar[str] = "error"
    code: str
    message: str


Event = (
    SessionStarted
    | SessionResumed
    | StateChanged
    | UserStarted
    | UserStopped
    | UserTranscript
    | ReplyStarted
    | ReplyText
    | ReplyHeard
    | ReplyPaused
    | ReplyResumed
    | ReplyEnded
    | VoiceChanged
    | Failure
)
