"""Two engines without a model: one plays the caller's turn back, one plays every frame back."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineInfo,
    Heard,
    OnTranscript,
    Speech,
    Transcript,
    TurnId,
    Voice,
)
from media.frames import AudioFrame

_PIECE_SECONDS = 0.1
_MAX_TURN_SECONDS = 60.0
_LOOPBACK_FRAMES = 25
"""Half a second: a reader that pauses longer loses the oldest frames, not its latency."""


def _refuse_voice(voice: Voice) -> None:
    if voice.name:
        raise ValueError(f"no voice {voice.name!r}: this engine has none of its own")


class EchoSession:
    """Keeps the frames of one turn; the answer is those frames."""

    def __init__(self) -> None:
        self._turn: TurnId = -1
        self._frames: deque[AudioFrame] = deque()
        self._seconds = 0.0

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        if turn != self._turn:
            self._turn = turn
            self._frames.clear()
            self._seconds = 0.0
        self._frames.append(frame)
        self._seconds += frame.seconds
        while self._seconds > _MAX_TURN_SECONDS:
            self._seconds -= self._frames.popleft().seconds

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        frames = list(self._frames) if turn == self._turn else []
        yield Transcript(turn, "", final=True)
        if not frames:
            return
        rate = frames[0].rate
        samples = np.concatenate([frame.samples for frame in frames])
        for piece in np.array_split(samples, -(-len(samples) // round(rate * _PIECE_SECONDS))):
            yield Speech(piece, rate)

    async def say(self, turn: TurnId, text: str) -> AsyncIterator[Chunk]:
        raise EngineFailed("the echo engine cannot speak a given text")
        yield  # an iterator like every answer

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """Nothing is remembered, so nothing is forgotten."""

    def set_voice(self, voice: Voice) -> None:
        _refuse_voice(voice)


class LoopbackSession:
    """Every frame straight back out, oldest dropped when nobody takes them."""

    def __init__(self) -> None:
        self._frames: deque[AudioFrame] = deque(maxlen=_LOOPBACK_FRAMES)
        self._arrived = asyncio.Event()

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        self._frames.append(frame)
        self._arrived.set()

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._frames:
                frame = self._frames.popleft()
                yield Speech(frame.samples, frame.rate)

    async def say(self, turn: TurnId, text: str) -> AsyncIterator[Chunk]:
        raise EngineFailed("the loopback engine cannot speak a given text")
        yield  # an iterator like every answer

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """Nothing is remembered, so nothing is forgotten."""

    def set_voice(self, voice: Voice) -> None:
        _refuse_voice(voice)


class EchoEngine:
    """Turn mode, 16 kHz: the caller hears his own words."""

    info = EngineInfo("echo", "turn", 16000)

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(self, voice: Voice, on_transcript: OnTranscript) -> AsyncIterator[EchoSession]:
        yield EchoSession()


class LoopbackEngine:
    """Stream mode, 24 kHz: a full-duplex engine of no delay, to measure everything around it."""

    info = EngineInfo("loopback", "stream", 24000)

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator[LoopbackSession]:
        yield LoopbackSession()
