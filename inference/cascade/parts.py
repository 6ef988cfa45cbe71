"""The three parts of a cascade, each one of several: who hears, who answers, who speaks.

Each is shared by all calls. Text flows through them in pieces as small as they come, so that the
answer's first clause is being spoken while its last is not yet thought of.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from inference.memory import Memory
from inference.protocol import Speech, Voice, VoiceInfo
from media.frames import Samples

HEARING_RATE = 16_000
"""Hz, of what recognisers are given."""


class Ear(Protocol):
    """One turn of one call, being heard."""

    def listen(self, samples: Samples) -> None:
        """The next of it, at HEARING_RATE; never blocks."""

    async def finish(self) -> str:
        """The turn is over: its words, "" where there are none. Raises EngineFailed."""

    def close(self) -> None:
        """It is of no use any more; also after `finish`."""


class Recogniser(Protocol):
    """Speech to words."""

    @property
    def partials(self) -> bool:
        """Whether it gives words while it listens."""

    async def warm_up(self) -> None: ...

    def begin(self, on_partial: Callable[[str], None]) -> Ear:
        """A turn begins; its words so far go to `on_partial`, on the event loop."""


class Responder(Protocol):
    """Words to an answer's words."""

    async def warm_up(self) -> None: ...

    def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        """The answer to what the caller said last, in pieces of text. Raises EngineFailed.

        `ear` has heard it, for who answers the sound and not the words.
        """


class Synthesizer(Protocol):
    """Words to speech."""

    @property
    def voices(self) -> tuple[VoiceInfo, ...]: ...

    @property
    def emotions(self) -> tuple[str, ...]: ...

    @property
    def languages(self) -> tuple[str, ...]:
        """That it can be asked for; none: it has one."""

    async def warm_up(self) -> None: ...

    def check(self, voice: Voice) -> Voice:
        """The voice, with its name. Raises ValueError naming what is on offer."""

    def speak(self, text: str, voice: Voice) -> AsyncGenerator[Speech]:
        """A clause; its pieces' texts joined are `text`. Raises EngineFailed."""
