"""inference.cascade.engine: what flows between its parts, and what of it is remembered."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import numpy as np
import pytest

from inference.cascade.engine import CascadeEngine, CascadeSession
from inference.cascade.parts import Ear
from inference.memory import Memory
from inference.protocol import (
    Chunk,
    EngineFailed,
    Heard,
    Speech,
    Transcript,
    Voice,
    VoiceInfo,
)
from inference.settings import EngineSettings
from media.frames import AudioFrame, Samples


class Listener:
    """A recogniser of how many frames it hears: "frames 3"."""

    partials = True

    def __init__(self) -> None:
        self.closed = 0

    async def warm_up(self) -> None: ...

    def begin(self, on_partial: Callable[[str], None]) -> "Counter":
        return Counter(self, on_partial)


class Counter:
    def __init__(self, owner: Listener, on_partial: Callable[[str], None]) -> None:
        self._owner, self._on_partial, self._frames = owner, on_partial, 0

    def listen(self, samples: Samples) -> None:
        self._frames += 1
        self._on_partial(f"frames {self._frames}")

    async def finish(self) -> str:
        await asyncio.sleep(0)
        return f"frames {self._frames}"

    def close(self) -> None:
        self._owner.closed += 1


class Writer:
    """A responder that writes what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.pieces: list[str | Exception] = ["Good. ", "Morning. ", "All."]
        self.asked: list[list[dict[str, str]]] = []
        self.written = 0
        self.closed = 0

    async def warm_up(self) -> None: ...

    async def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        self.asked.append(memory.messages("Be kind."))
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.written += 1
                yield piece
        finally:
            self.closed += 1


class Speaker:
    """A synthesizer of a sample a letter."""

    voices = (VoiceInfo("a", "A"), VoiceInfo("b", "B"))
    emotions = ()
    languages = ()

    async def warm_up(self) -> None: ...

    def check(self, voice: Voice) -> Voice:
        if voice.name not in ("", "a", "b"):
            raise ValueError(f"no voice {voice.name!r}; on offer: a, b")
        return Voice(voice.name or "a")

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Speech]:
        yield Speech(np.full(len(text), ord(voice.name), np.int16), 16_000, text)


class Parts:
    def __init__(self) -> None:
        self.listener, self.writer, self.speaker = Listener(), Writer(), Speaker()
        self.engine = CascadeEngine(
            EngineSettings("cascade"), self.listener, self.writer, self.speaker
        )
        self.told: list[Transcript] = []


@pytest.fixture
def parts() -> Parts:
    return Parts()


def listen(session: CascadeSession, turn: int, frames: int = 3) -> None:
    for _ in range(frames):
        session.listen(turn, AudioFrame(np.zeros(320, np.int16), 16_000))


async def answer(session: CascadeSession, turn: int) -> list[Chunk]:
    return [chunk async for chunk in session.respond(turn)]


def spoken(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks if isinstance(chunk, Speech)]


async def test_words_and_then_an_answer_clause_by_clause(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        listen(session, 1)
        chunks = await answer(session, 1)
    assert chunks[0] == Transcript(1, "frames 3", final=True)
    assert spoken(chunks) == ["Good. ", "Morning. ", "All."]
    assert [t.text for t in parts.told] == ["frames 1", "frames 2", "frames 3"]
    assert not any(t.final for t in parts.told)


async def test_the_first_clause_is_spoken_before_the_second_is_written(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        listen(session, 1)
        async with aclosing(session.respond(1)) as chunks:
            await anext(chunks)
            assert spoken([await anext(chunks)]) == ["Good. "]
            assert parts.writer.written == 1
        assert parts.writer.closed == 1  # and no more of it is wanted
        assert parts.listener.closed == 1


async def test_what_was_heard_is_remembered(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        listen(session, 1)
        await answer(session, 1)
        session.truncate(1, Heard(0.5, "Good. Mor"))
        listen(session, 2, 1)
        await answer(session, 2)
    assert parts.writer.asked[1] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "frames 3"},
        {"role": "assistant", "content": "Good. Mor"},
        {"role": "user", "content": "[interrupts you] frames 1"},
    ]


async def test_what_must_be_said_is_remembered_too(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        chunks = [chunk async for chunk in session.say(1, "This is a notice. Really.")]
        assert spoken(chunks) == ["This is a notice. ", "Really."]
        listen(session, 2)
        await answer(session, 2)
    assert {"role": "assistant", "content": "This is a notice. Really."} in parts.writer.asked[0]


async def test_a_turn_in_which_nothing_was_heard_asks_nobody(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        chunks = await answer(session, 7)
    assert chunks[0] == Transcript(7, "", final=True)
    assert spoken(chunks)
    assert not parts.writer.asked


async def test_a_responder_that_fails_fails_the_turn_and_no_more(parts: Parts) -> None:
    parts.writer.pieces = ["Well. ", EngineFailed("it broke off")]
    async with parts.engine.open(Voice(), parts.told.append) as session:
        listen(session, 1)
        with pytest.raises(EngineFailed, match="broke off"):
            await answer(session, 1)
        parts.writer.pieces = ["Fine."]
        listen(session, 2)
        assert spoken(await answer(session, 2)) == ["Fine."]
    assert parts.listener.closed == 2


async def test_another_voice_is_for_the_next_answer(parts: Parts) -> None:
    async with parts.engine.open(Voice("b"), parts.told.append) as session:
        listen(session, 1)
        async with aclosing(session.respond(1)) as chunks:
            await anext(chunks)
            first = await anext(chunks)
            session.set_voice(Voice("a"))
            second = await anext(chunks)
        with pytest.raises(ValueError, match="on offer: a, b"):
            session.set_voice(Voice("c"))
    assert isinstance(first, Speech)
    assert isinstance(second, Speech)
    assert (first.samples[0], second.samples[0]) == (ord("b"), ord("b"))


async def test_a_frame_of_another_rate_is_refused(parts: Parts) -> None:
    async with parts.engine.open(Voice(), parts.told.append) as session:
        with pytest.raises(ValueError, match="16000 Hz, not 8000"):
            session.listen(1, AudioFrame(np.zeros(160, np.int16), 8_000))
