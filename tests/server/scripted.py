"""A session for tests on virtual time: an engine that follows a script, a transport in memory.

At each multiple of 20 ms the transport gives a frame of the caller and pulls one of the answer, in
that order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineInfo,
    EngineOverloaded,
    Heard,
    OnTranscript,
    Speech,
    Transcript,
    TurnId,
    Voice,
    VoiceInfo,
)
from media.endpointing import EndpointingSettings
from media.events import Event, SessionResumed, SessionStarted, StateChanged
from media.frames import AudioFrame, Samples, silence
from media.interruption import InterruptionSettings
from media.phrases import Phrases
from media.vad import VadSettings
from server.dialogue import TurnTaking
from server.leg import Leg
from server.session import OUTPUT_RATE, Session, SessionSettings
from signaling.messages import Played, Resume
from signaling.transport import EVENT
from tests.virtual_time import settle, until

RATE = 16_000
TICK = 0.02
TURNS = TurnTaking(
    VadSettings(detector="energy", onset=0.1, hangover=0.2, pre_roll=0.3),
    EndpointingSettings(min_delay=0.4, max_delay=1.2),
    # Levels in place of sounds have no echo to be found.
    InterruptionSettings(
        min_duration=0.12, echo_gate=False, duck=0.0, resume_false_interruption=False
    ),
    Phrases(),
)
INFO = EngineInfo(
    name="scripted",
    mode="turn",
    input_rate=RATE,
    voices=(VoiceInfo("priya", "Priya"), VoiceInfo("ravi", "Ravi")),
    emotions=("neutral", "calm"),
    languages=("en", "te"),
)

Answer = Callable[["ScriptedSession", TurnId], AsyncIterator[Chunk]]


def tone(seconds: float, level: int) -> Samples:
    """A sound whose samples are all of this level: what is heard tells whose it is."""
    return np.full(round(seconds * OUTPUT_RATE), level, dtype=np.int16)


def says(seconds: float, level: int = 5000, text: str = "", wait: float = 0.0) -> Answer:
    """An answer of one piece, after so many seconds of thought."""

    async def answer(session: "ScriptedSession", turn: TurnId) -> AsyncIterator[Chunk]:
        yield Transcript(turn, f"request {turn}", final=True)
        await asyncio.sleep(wait)
        yield Speech(tone(seconds, level), OUTPUT_RATE, text)

    return answer


def fails(after: float = 0.0, error: Exception | None = None) -> Answer:
    async def answer(session: "ScriptedSession", turn: TurnId) -> AsyncIterator[Chunk]:
        await asyncio.sleep(after)
        raise error or EngineFailed("it broke")
        yield

    return answer


def is_silent() -> Answer:
    async def answer(session: "ScriptedSession", turn: TurnId) -> AsyncIterator[Chunk]:
        await asyncio.sleep(3600)
        yield Speech(silence(0), OUTPUT_RATE)

    return answer


class ScriptedSession:
    """Answers the turns with the answers of the script, in order; notes all it is told."""

    def __init__(self, script: list[Answer], on_transcript: OnTranscript) -> None:
        self.on_transcript = on_transcript
        self.frames: list[tuple[TurnId, Samples]] = []
        self.truncated: list[tuple[TurnId, Heard]] = []
        self.voices: list[Voice] = []
        self.running: set[TurnId] = set()
        self.ended: list[tuple[TurnId, float]] = []
        self._script = iter(script)

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        assert frame.rate == RATE
        self.frames.append((turn, frame.samples))

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        self.running.add(turn)
        try:
            async for chunk in next(self._script)(self, turn):
                yield chunk
        finally:
            self.running.discard(turn)
            self.ended.append((turn, round(asyncio.get_running_loop().time(), 6)))

    async def say(self, turn: TurnId, text: str) -> AsyncIterator[Chunk]:
        yield Speech(tone(1.0, 3000), OUTPUT_RATE, text)

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        self.truncated.append((turn, Heard(round(heard.seconds, 6), heard.text)))

    def set_voice(self, voice: Voice) -> None:
        if voice.name not in ("priya", "ravi"):
            raise ValueError(f"no voice {voice.name!r}: on offer are priya, ravi")
        self.voices.append(voice)


class ScriptedEngine:
    def __init__(self, script: list[Answer], info: EngineInfo = INFO, room: bool = True) -> None:
        self.info = info
        self.sessions: list[ScriptedSession] = []
        self.open_now = 0
        self._script = script
        self._room = room

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator[ScriptedSession]:
        if not self._room:
            raise EngineOverloaded("all 0 places are taken")
        session = ScriptedSession(self._script, on_transcript)
        self.sessions.append(session)
        self.open_now += 1
        try:
            yield session
        finally:
            self.open_now -= 1


class Ear:
    """A transport in memory: what came of its leg, frame by frame and event by event."""

    def __init__(self, leg: Leg, speech: list[tuple[float, float]]) -> None:
        self.leg = leg
        self.heard: list[tuple[float, int, Samples]] = []  # when, which frame, what
        self.events: list[tuple[int, Event]] = []
        self.replaced: list[float] = []  # when
        self.deaf = False  # nothing comes from the caller any more
        self._speech = speech
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        leg.on_replaced = lambda: self.replaced.append(self._loop.time())
        leg.events.on(EVENT, lambda event, seq: self.events.append((seq, event)))

    def start(self) -> "Ear":
        """It is connected, and carries the session."""
        self.leg.start()
        self._task = asyncio.create_task(self._carry())
        return self

    async def stop(self) -> None:
        """From now on it is dead: nobody is told."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def sound(self, sequence: int | None = None) -> Samples:
        """What was pulled, or of it what comes before the frame of this number."""
        played = [s for _, number, s in self.heard if sequence is None or number < sequence]
        return np.concatenate([silence(0), *played])

    async def _carry(self) -> None:
        tick = round(self._loop.time() / TICK + 0.4999)
        while True:
            await until(tick * TICK)
            # The frame that is complete now was spoken in the 20 ms before.
            middle = (tick - 0.5) * TICK
            voice = any(begin < middle < end for begin, end in self._speech)
            if not self.deaf:
                self.leg.receive_frame(np.full(RATE // 50, 8000 * voice, dtype=np.int16))
            await settle()  # what the frame set going comes before the pull
            self.heard.append((self._loop.time(), self.leg.sequence, self.leg.pull()))
            tick += 1


class Line:
    """A session and its caller, who comes over one transport and then perhaps over others."""

    def __init__(
        self,
        *script: Answer,
        info: EngineInfo = INFO,
        reply_timeout: float = 5.0,
        resume_window: float = 30.0,
    ) -> None:
        self.engine = ScriptedEngine(list(script), info)
        self.session = Session(
            self.engine, Voice("priya"), TURNS, SessionSettings(reply_timeout, resume_window)
        )
        self.events: list[tuple[float, Event]] = []
        self.over: list[float] = []  # when it was
        self.ears: list[Ear] = []
        self._speech: list[tuple[float, float]] = []
        self._loop = asyncio.get_running_loop()
        self.session.on_over = lambda: self.over.append(self._loop.time())
        self.session.events.on(
            EVENT, lambda event, seq: self.events.append((self._loop.time(), event))
        )

    @property
    def host(self) -> ScriptedSession:
        return self.engine.sessions[0]

    @property
    def ear(self) -> Ear:
        """The first transport."""
        return self.ears[0]

    @property
    def heard(self) -> list[tuple[float, Samples]]:
        return [(at, samples) for at, _, samples in self.ear.heard]

    def speaks(self, begin: float, end: float) -> None:
        """The caller will speak from here to there (at multiples of 20 ms)."""
        self._speech.append((begin, end))

    def resume(self, played: Played | None, ear: Ear | None = None) -> Resume:
        """What the caller asks for who has lost this transport, else the latest."""
        events = (ear or self.ears[-1]).events
        tokens = [
            e.resume_token for _, e in events if isinstance(e, SessionStarted | SessionResumed)
        ]
        return Resume(self.session.id, tokens[-1], events[-1][0], played)

    def ear_over(self, transport: str, resume: Resume | None = None) -> Ear:
        """Another transport of the caller's, not yet connected. Raises ResumeRefused."""
        self.ears.append(Ear(self.session.leg(transport, resume), self._speech))
        return self.ears[-1]

    async def __aenter__(self) -> "Line":
        await self.session.open()
        self.ear_over("webrtc").start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for ear in self.ears:
            await ear.stop()
        await self.session.close()
        assert self.engine.open_now == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def at(self, kind: type[Event]) -> list[float]:
        """When events of this kind came."""
        return [round(at, 6) for at, event in self.events if isinstance(event, kind)]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def states(self) -> list[str]:
        return [event.state for event in self.of(StateChanged)]

    def sounding(self, level: int | None = None) -> list[float]:
        """The ticks at which something, or nothing but this very level, was pulled."""
        return [
            round(at, 6)
            for at, samples in self.heard
            if (samples.any() if level is None else (samples == level).all())
        ]
