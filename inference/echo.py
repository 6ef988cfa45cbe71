"""Engines without a model: what the caller said, played back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inference.protocol import (
    Chunk,
    EngineInfo,
    Heard,
    OnTranscript,
    Speech,
    Transcript,
    TurnId,
    Voice,
)
from media.frames import AudioFrame

LIVE_FRAMES = 10  # that wait to be sent back; more are late, and a live stream drops the oldest


class EchoEngine:
    """Answers each turn with the caller's own words."""

    info = EngineInfo(name="echo", mode="turn", input_rate=16_000)

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> "AsyncIterator[_EchoSession]":
        yield _EchoSession()


class _EchoSession:
    def __init__(self) -> None:
        self._turn: TurnId = 0
        self._frames: list[AudioFrame] = []

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        if turn != self._turn:
            self._turn, self._frames = turn, []
        self._frames.append(frame)

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Transcript(turn, "", final=True)
        for frame in self._frames if turn == self._turn else ():
            yield Speech(frame.samples, frame.rate)

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """An echo remembers nothing."""

    def set_voice(self, voice: Voice) -> None:
        """An echo has the caller's voice."""


class LoopbackEngine:
    """Stream mode: every frame straight back, for measuring all that is around an engine."""

    info = EngineInfo(name="loopback", mode="stream", input_rate=24_000)

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> "AsyncIterator[_LoopbackSession]":
        yield _LoopbackSession()


class _LoopbackSession:
    def __init__(self) -> None:
        self._frames: asyncio.Queue[AudioFrame] = asyncio.Queue(LIVE_FRAMES)

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(frame)

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        while True:
            frame = await self._frames.get()
            yield Speech(frame.samples, frame.rate)

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """There are no turns to cut."""

    def set_voice(self, voice: Voice) -> None:
        """A loop has the caller's voice."""
