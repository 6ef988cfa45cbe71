"""An engine in another process, as the `Engine` protocol: crash, hang and restart included.

The media server's event loop never waits for a model, and no model can take it down. When the
host dies its sessions live on here: the answers that were being made fail, the host is started
again, and each session opens itself anew with the next turn.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from itertools import count

from pydantic import TypeAdapter

from inference.host_link import HostLink
from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineInfo,
    EngineOverloaded,
    Heard,
    OnTranscript,
    Transcript,
    TurnId,
    Voice,
    VoiceChanged,
)
from inference.wire import Message, messages, pack, pcm_bytes, unpack_chunk
from media.frames import AudioFrame

logger = logging.getLogger(__name__)

PING_INTERVAL = 1.0
HANG_TIMEOUT = 5.0  # without a pong; pocketsphinx alone can hold the GIL for half a second
START_TIMEOUT = 120.0  # for loading weights
RESTART_WAIT = 8.0  # how long a turn waits for a host that is coming back
MIN_BACKOFF, MAX_BACKOFF = 0.2, 10.0

_END = object()


class HostedEngine:
    """An `Engine` whose work is done by a host process; one per server process.

    `start` it before use and `stop` it after; `warm_up` returns when the host is ready.
    """

    def __init__(self, host: HostLink) -> None:
        self._host = host
        self._sessions: dict[int, HostedSession] = {}
        self._numbers = count(1)
        self._ready = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._info: EngineInfo | None = None
        self._pong = 0.0
        self.generation = 0  # of the host: how often there was a new one

    @property
    def info(self) -> EngineInfo:
        """Known once the host was ready for the first time."""
        if self._info is None:
            raise EngineOverloaded("the engine is still starting")
        return self._info

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """The host's process, while there is one of ours."""
        return self._host.pid

    def start(self) -> None:
        """Have a host, and again whenever it ends, until `stop`."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._host.wait_closed()

    async def warm_up(self) -> None:
        await self._ready.wait()

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator["HostedSession"]:
        """A session of the host's engine. Raises EngineOverloaded, also while it is not ready."""
        if not self.ready:
            raise EngineOverloaded("the engine is still starting")
        session = HostedSession(self, next(self._numbers), voice, on_transcript)
        self._sessions[session.number] = session
        try:
            await session.open()
            yield session
        finally:
            del self._sessions[session.number]
            self.send("close", session=session.number)

    def send(self, op: str, **fields: object) -> None:
        """To the host, if there is one; what a dead host misses it could not have used."""
        if self._writer and not self._writer.is_closing():
            self._writer.write(pack(op, **fields))

    async def wait_ready(self) -> None:
        """Raises EngineFailed if the host does not come back in time."""
        try:
            async with asyncio.timeout(RESTART_WAIT):
                await self._ready.wait()
        except TimeoutError:
            raise EngineFailed("the engine is restarting") from None

    # The host

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = MIN_BACKOFF
        while True:
            started = loop.time()
            try:
                async with self._host.connect() as (reader, writer):
                    await self._converse(reader, writer)
                reason = self._host.ended
            except Exception as error:
                # A bug, or no process to be had now: not for ever without an engine.
                logger.exception("engine host")
                reason = repr(error)
            if loop.time() - started > 30:
                backoff = MIN_BACKOFF
            logger.error("engine host ended (%s); starting it again in %.1f s", reason, backoff)
            await asyncio.sleep(backoff)
            backoff = min(MAX_BACKOFF, backoff * 2)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Returns when the host is gone or does not answer."""
        self.generation += 1
        self._writer = writer
        self._pong = asyncio.get_running_loop().time() + START_TIMEOUT
        watchdog = asyncio.create_task(self._watch(writer))
        try:
            async for message in messages(reader):
                self._receive(message)
        except ConnectionError:
            pass  # killed with unread data: how it ended says it better
        finally:
            watchdog.cancel()
            self._ready.clear()
            self._writer = None
            for session in self._sessions.values():
                session.lose_host()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        for n in count():
            self.send("ping", n=n)
            await asyncio.sleep(PING_INTERVAL)
            if loop.time() - self._pong > HANG_TIMEOUT:
                logger.error("engine host does not answer")
                writer.transport.abort()
                return

    def _receive(self, message: Message) -> None:
        match message["op"]:
            case "pong":
                self._pong = asyncio.get_running_loop().time()
            case "ready":
                self._info = TypeAdapter(EngineInfo).validate_python(message["info"])
                self._pong = asyncio.get_running_loop().time()
                self._ready.set()
            case _:
                if session := self._sessions.get(message["session"]):
                    try:
                        session.receive(message)
                    except Exception:
                        # One call's bug; the host and the other calls have no part in it.
                        logger.exception("session %d %s", session.number, message["op"])


class HostedSession:
    """One call's session with the host; survives the host."""

    def __init__(
        self, engine: HostedEngine, number: int, voice: Voice, on_transcript: OnTranscript
    ) -> None:
        self.number = number
        self._engine = engine
        self._voice = voice
        self._on_transcript = on_transcript
        self._generation = 0  # of the host that knows this session
        self._turn: TurnId = 0
        self._answers: dict[TurnId, asyncio.Queue[Chunk | EngineFailed | object]] = {}
        self._opened: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Raises EngineOverloaded, or EngineFailed if the host dies meanwhile."""
        self._opened = asyncio.get_running_loop().create_future()
        self._send_open()
        try:
            await self._opened
        finally:
            self._opened = None

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        if turn != self._turn:
            self._turn = turn
            if self._engine.ready and self._generation != self._engine.generation:
                self._send_open()
        pcm = pcm_bytes(frame.samples)
        self._send("listen", turn=turn, rate=frame.rate, pcm=pcm)

    async def respond(self, turn: TurnId) -> AsyncIterator[Chunk]:
        restarted = await self._reopen()
        if restarted and turn:
            raise EngineFailed("the engine was restarted while the caller spoke")
        async with aclosing(self._answer("respond", turn)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def say(self, turn: TurnId, text: str) -> AsyncIterator[Chunk]:
        await self._reopen()
        async with aclosing(self._answer("say", turn, text=text)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _reopen(self) -> bool:
        """Wait for a host that knows this session; True if it is another. Raises EngineFailed."""
        await self._engine.wait_ready()
        if self._generation == self._engine.generation:
            return False
        self._send_open()
        return True

    async def _answer(self, op: str, turn: TurnId, **fields: object) -> AsyncGenerator[Chunk]:
        answer: asyncio.Queue[Chunk | EngineFailed | object] = asyncio.Queue()
        self._answers[turn] = answer
        self._send(op, turn=turn, **fields)
        try:
            while (item := await answer.get()) is not _END:
                if isinstance(item, EngineFailed):
                    raise item
                if isinstance(item, VoiceChanged):
                    self._voice = item.voice
                yield item  # type: ignore[misc]
        finally:
            del self._answers[turn]
            self._send("cancel", turn=turn)

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        self._send("truncate", turn=turn, seconds=heard.seconds, text=heard.text)

    def set_voice(self, voice: Voice) -> None:
        check_voice(self._engine.info, voice)
        self._voice = voice
        self._send("voice", voice=asdict(voice))

    def receive(self, message: Message) -> None:
        """A message from the host for this session."""
        match message["op"]:
            case "opened":
                if self._opened and not self._opened.done():
                    self._opened.set_result(None)
            case "refused":
                logger.warning("engine refused a session: %s", message["reason"])
                self._generation = 0  # to be tried again with the next turn
                if self._opened and not self._opened.done():
                    self._opened.set_exception(EngineOverloaded(message["reason"]))
                self._fail_answers(message["reason"])
            case "done":
                self._put(message["turn"], _END)
            case "failed":
                self._put(message["turn"], EngineFailed(message["reason"]))
            case _:
                chunk = unpack_chunk(message)
                if isinstance(chunk, Transcript) and not chunk.final:
                    self._on_transcript(chunk)
                else:
                    self._put(message["turn"], chunk)

    def lose_host(self) -> None:
        """The host is gone: what it was doing for this session fails."""
        reason = "the engine crashed"
        if self._opened and not self._opened.done():
            self._opened.set_exception(EngineFailed(reason))
        self._fail_answers(reason)

    def _fail_answers(self, reason: str) -> None:
        for turn in self._answers:
            self._put(turn, EngineFailed(reason))

    def _put(self, turn: TurnId, item: Chunk | EngineFailed | object) -> None:
        if answer := self._answers.get(turn):
            answer.put_nowait(item)

    def _send_open(self) -> None:
        self._generation = self._engine.generation
        self._engine.send("open", session=self.number, voice=asdict(self._voice))

    def _send(self, op: str, **fields: object) -> None:
        if self._generation == self._engine.generation:
            self._engine.send(op, session=self.number, **fields)


def check_voice(info: EngineInfo, voice: Voice) -> None:
    """Raises ValueError naming what is on offer, if the engine does not offer this voice.

    No name is the engine's own choice; "priya+ravi" and "priya+ravi:0.3" lie between two.
    """
    first, plus, rest = voice.name.partition("+")
    second, _, weight = rest.partition(":")
    names = tuple(offer.name for offer in info.voices)
    for what, value, offered in (
        ("voice", first, names if plus else ("", *names)),
        ("voice", second, names if plus else ("",)),
        ("emotion", voice.emotion, info.emotions or (voice.emotion,)),
        ("language", voice.language, info.languages or (voice.language,)),
    ):
        if value not in offered:
            known = ", ".join(filter(None, offered)) or "none but the engine's own"
            raise ValueError(f"no {what} {value!r}: on offer are {known}")
    if not re.fullmatch(r"|0?\.\d+|0|1(\.0*)?|0\.", weight):
        raise ValueError(f"no voice {voice.name!r}: the share of the second is from 0 to 1")
