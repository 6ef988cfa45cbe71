"""The engine protocol: all that the media server knows about whoever answers.

A turn has a number. Frames are listened to under the number of the caller's turn, the answer
to it carries the same number, and both sides drop what belongs to an older one. That is the
whole of cancellation: nothing late can be mistaken for something new.

Drive a session like this::

    async with engine.open(voice, on_transcript) as session:
        session.listen(1, frame)            # as often as frames come, while the caller talks
        async for chunk in session.respond(1):
            ...
        session.truncate(1, heard)          # only when the answer was cut: what was heard of it

An engine in *turn* mode is given the frames of the caller's speech (with pre-roll) and asked to
respond when the caller has finished. An engine in *stream* mode (full duplex) is given every
frame, under turn 0, and `respond(0)` is one endless iterator.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from media.frames import AudioFrame, Samples

TurnId = int


@dataclass(frozen=True, slots=True)
class Voice:
    """How the answer should sound. Names are the engine's own, lower case.

    `rate` is a factor on the voice's normal speaking rate; `language` a BCP 47 tag.
    """

    name: str = ""
    emotion: str = "neutral"
    rate: float = 1.0
    language: str = "en"


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A voice on offer: `name` to ask for it by, `label` to show."""

    name: str
    label: str


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is; constant for its life."""

    name: str
    mode: Literal["turn", "stream"]
    input_rate: int  # Hz, of the frames it wants; one that Opus decodes to: 8, 12, 16, 24 or 48 kHz
    voices: tuple[VoiceInfo, ...] = ()
    emotions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    partials: bool = False  # it gives words while it listens


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the engine understood of the caller's turn so far.

    `complete` is the engine's opinion for endpointing: True, these words are a finished request;
    False, more must follow ("count from one to"); None, no opinion.
    """

    turn: TurnId
    text: str
    final: bool
    complete: bool | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of the answer: mono PCM at `rate` Hz, and the words it speaks.

    The texts of an answer's pieces, joined as they are, are the answer's text: a piece that
    is one word carries its space. The smaller the pieces, the more exactly is known what was heard.
    A piece that must be said, such as a legal notice, does not allow interruptions.
    """

    samples: Samples
    rate: int
    text: str = ""
    allow_interruptions: bool = True


@dataclass(frozen=True, slots=True)
class VoiceChanged:
    """The caller asked the engine, in words, to sound different; the page's controls follow."""

    voice: Voice


Chunk = Transcript | Speech | VoiceChanged
"""What `respond` yields: the final Transcript of the caller's turn first, then the answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the caller heard of an answer that was cut short."""

    seconds: float
    text: str


class EngineFailed(Exception):
    """The engine could not answer: it crashed, hung or gave up. The next turn may work."""


class EngineOverloaded(Exception):
    """No room for another session; the text says how much room there is."""


class EngineSession(Protocol):
    """One call's conversation with an engine."""

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        """Hear a frame of the caller's turn. Never blocks; a new number starts a new turn."""

    def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        """Answer what was heard under `turn`; closing the iterator cancels it.

        Raises EngineFailed.
        """

    def say(self, turn: TurnId, text: str) -> AsyncIterator[Chunk]:
        """Speak this text as the answer of `turn`, which no caller asked for; remembered as said.

        Raises EngineFailed, also where the engine cannot speak a given text.
        """

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """Remember of this answer only what was heard, and that it was cut."""

    def set_voice(self, voice: Voice) -> None:
        """Sound like this from the next answer on. Raises ValueError naming what is on offer."""


OnTranscript = Callable[[Transcript], None]
"""Called on the event loop with each partial transcript while the caller talks."""


class Engine(Protocol):
    """One per model, shared by all calls."""

    @property
    def info(self) -> EngineInfo: ...

    async def warm_up(self) -> None:
        """Load and run everything once, so that the first caller waits for nothing."""

    def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AbstractAsyncContextManager[EngineSession]:
        """A session for one call. Raises EngineOverloaded on entry."""


class ServedEngine(Engine, Protocol):
    """An engine as the media server has it: `start` before use and `stop` after."""

    @property
    def ready(self) -> bool:
        """Whether it takes calls now."""

    @property
    def pid(self) -> int | None:
        """The process of its host, while there is one."""

    @property
    def generation(self) -> int:
        """How often it was started."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...
