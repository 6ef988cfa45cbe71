import asyncio

import numpy as np
import pytest

from inference.echo import EchoEngine, LoopbackEngine
from inference.protocol import Chunk, Speech, Transcript, Voice
from media.frames import AudioFrame


def ignore(transcript: Transcript) -> None:
    """Neither engine transcribes anything."""


def frame(value: int, rate: int) -> AudioFrame:
    return AudioFrame(np.full(rate // 50, value, dtype=np.int16), rate)


def audio_of(chunks: list[Chunk]) -> list[int]:
    speech = [chunk.samples for chunk in chunks if isinstance(chunk, Speech)]
    return [int(value) for piece in speech for value in piece]


@pytest.mark.parametrize("count", [1, 5, 6, 49])
async def test_echo_plays_the_turn_back_in_small_pieces(count: int) -> None:
    async with EchoEngine().open(Voice(), ignore) as session:
        session.listen(1, frame(-1, 16000))  # an older turn
        for value in range(count):
            session.listen(2, frame(value, 16000))
        chunks = [chunk async for chunk in session.respond(2)]
    assert chunks[0] == Transcript(2, "", final=True)
    assert audio_of(chunks) == [value for value in range(count) for _ in range(320)]
    sizes = [len(chunk.samples) for chunk in chunks if isinstance(chunk, Speech)]
    assert all(320 <= size <= 1600 for size in sizes)


async def test_echo_of_a_turn_nobody_spoke_is_only_its_transcript() -> None:
    async with EchoEngine().open(Voice(), ignore) as session:
        session.listen(1, frame(3, 16000))
        chunks = [chunk async for chunk in session.respond(2)]
    assert chunks == [Transcript(2, "", final=True)]


async def test_loopback_gives_every_frame_back_and_waits_for_the_next() -> None:
    async with LoopbackEngine().open(Voice(), ignore) as session:
        answer = session.respond(0)
        session.listen(0, frame(1, 24000))
        session.listen(0, frame(2, 24000))
        first = [await anext(answer), await anext(answer)]
        waiting = asyncio.ensure_future(anext(answer))
        await asyncio.sleep(0)
        assert not waiting.done()
        session.listen(0, frame(3, 24000))
        assert audio_of([*first, await waiting]) == [1] * 480 + [2] * 480 + [3] * 480


async def test_loopback_drops_the_oldest_when_nobody_takes_them() -> None:
    async with LoopbackEngine().open(Voice(), ignore) as session:
        for value in range(100):
            session.listen(0, frame(value, 24000))
        assert audio_of([await anext(session.respond(0))]) == [75] * 480


async def test_neither_has_voices() -> None:
    async with EchoEngine().open(Voice(), ignore) as session:
        session.set_voice(Voice())
        with pytest.raises(ValueError, match="no voice 'priya'"):
            session.set_voice(Voice("priya"))
