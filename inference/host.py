"""The engine host: the process that owns the engine, so that no model runs in the media server.

Started by `inference.host_link`, which gives it one end of a socket pair. It ends when that closes.
Several servers may share it: it then serves others on a Unix socket, each with sessions of its own.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict

import uvloop
from pydantic import TypeAdapter

from inference.protocol import (
    Chunk,
    Engine,
    EngineFailed,
    EngineOverloaded,
    EngineSession,
    Heard,
    Transcript,
    Voice,
)
from inference.settings import EngineSettings
from inference.wire import Message, messages, pack, pack_chunk, pcm_samples
from media.frames import AudioFrame

logger = logging.getLogger("vaani.host")


def make_engine(settings: EngineSettings) -> Engine:
    """The engine the settings name; only its own libraries are imported."""
    match settings.name:
        case "embedded":
            from inference.embedded.engine import EmbeddedEngine

            return EmbeddedEngine(settings)
        case "cascade" | "voxtral":
            from inference.cascade.engine import make_cascade

            return make_cascade(settings)
        case "echo":
            from inference.echo import EchoEngine

            return EchoEngine()
        case "loopback":
            from inference.echo import LoopbackEngine

            return LoopbackEngine()


class _Slot:
    """One session in the host: the engine's session and the answer that is being made."""

    def __init__(self, number: int, session: EngineSession, stack: AsyncExitStack) -> None:
        self.number = number
        self.session = session
        self._stack = stack
        self._answers: dict[int, asyncio.Task[None]] = {}

    def answer(
        self, turn: int, begin: Callable[[], AsyncIterator[Chunk]], writer: asyncio.StreamWriter
    ) -> None:
        """Pass on the answer that `begin` makes, until it is over or cancelled."""
        task = asyncio.create_task(self._answer(turn, begin, writer))
        self._answers[turn] = task
        task.add_done_callback(lambda task: self._forget(turn, task))

    def _forget(self, turn: int, task: asyncio.Task[None]) -> None:
        if self._answers.get(turn) is task:  # not where the turn is being answered once more
            del self._answers[turn]

    async def _answer(
        self, turn: int, begin: Callable[[], AsyncIterator[Chunk]], writer: asyncio.StreamWriter
    ) -> None:
        try:
            async for chunk in begin():
                writer.write(pack_chunk(self.number, turn, chunk))
                await writer.drain()
            writer.write(pack("done", session=self.number, turn=turn))
        except ConnectionError:
            pass  # the media server is gone, and its sessions end in a moment
        except EngineFailed as error:
            self._tell_failure(turn, str(error), writer)
        except Exception as error:
            # Whatever a model raises ends this answer and no other.
            logger.exception("answer failed: session %d turn %d", self.number, turn)
            self._tell_failure(turn, f"{type(error).__name__}: {error}", writer)

    def _tell_failure(self, turn: int, reason: str, writer: asyncio.StreamWriter) -> None:
        if not writer.is_closing():
            writer.write(pack("failed", session=self.number, turn=turn, reason=reason))

    def cancel(self, turn: int) -> None:
        if task := self._answers.get(turn):
            task.cancel()

    async def close(self) -> None:
        tasks = list(self._answers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._stack.aclose()
        except Exception:
            logger.exception("session %d was not closed well", self.number)


async def serve(connection: socket.socket) -> None:
    """Serve the media server that started this, and those it lets in, until it closes this."""
    reader, writer = await asyncio.open_connection(sock=connection)
    incoming = messages(reader)
    start = await anext(incoming)
    assert start["op"] == "start", start
    try:
        engine = make_engine(TypeAdapter(EngineSettings).validate_python(start["settings"]))
        await engine.warm_up()
    except EngineFailed as error:
        logger.error("the engine cannot start: %s", error)  # a model is missing: no bug of ours
        sys.exit(1)
    others = _Others(engine)
    if path := start["path"]:
        await others.listen(path)
    try:
        with suppress(ConnectionError):  # it did not wait for all that was said to it
            await _serve_one(engine, incoming, writer)
    finally:
        await others.close()


class _Others:
    """The servers that share the engine with the one that started it: none ends it for the rest."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, path: str) -> None:
        self._server = await asyncio.start_unix_server(self._accept, path)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _serve_one(self._engine, messages(reader), writer)
        except ConnectionError:
            pass  # killed
        except asyncio.CancelledError:
            pass  # the end of the host, which asyncio's callback would report as a failure
        except Exception:
            logger.exception("a media server is not understood")
        finally:
            self._tasks.discard(task)


async def _serve_one(
    engine: Engine, incoming: AsyncIterator[Message], writer: asyncio.StreamWriter
) -> None:
    """One media server's sessions, until it closes the connection."""
    writer.write(pack("ready", info=asdict(engine.info)))
    slots: dict[int, _Slot] = {}
    try:
        async for message in incoming:
            if message["op"] == "open":
                await _open(engine, slots, message, writer)
            elif message["op"] == "ping":
                writer.write(pack("pong", n=message["n"]))
            elif slot := slots.get(message["session"]):
                if message["op"] == "close":
                    del slots[slot.number]
                    await slot.close()
                else:
                    try:
                        _handle(slot, message, writer)
                    except Exception:
                        # Whatever a model raises is one session's trouble.
                        logger.exception("session %d %s", slot.number, message["op"])
    finally:
        for slot in slots.values():
            await slot.close()
        writer.close()


async def _open(
    engine: Engine, slots: dict[int, _Slot], message: Message, writer: asyncio.StreamWriter
) -> None:
    number = message["session"]

    def send_transcript(transcript: Transcript) -> None:
        writer.write(pack_chunk(number, transcript.turn, transcript))

    stack = AsyncExitStack()
    try:
        opened = engine.open(Voice(**message["voice"]), send_transcript)
        session = await stack.enter_async_context(opened)
    except Exception as error:
        reason = str(error)
        if not isinstance(error, EngineOverloaded | ValueError):
            logger.exception("no session %d", number)
            reason = f"{type(error).__name__}: {error}"
        writer.write(pack("refused", session=number, reason=reason))
        return
    slots[number] = _Slot(number, session, stack)
    writer.write(pack("opened", session=number))


def _handle(slot: _Slot, message: Message, writer: asyncio.StreamWriter) -> None:
    session, turn = slot.session, message.get("turn", 0)
    match message["op"]:
        case "listen":
            session.listen(turn, AudioFrame(pcm_samples(message["pcm"]), message["rate"]))
        case "respond":
            slot.answer(turn, lambda: session.respond(turn), writer)
        case "say":
            slot.answer(turn, lambda: session.say(turn, message["text"]), writer)
        case "cancel":
            slot.cancel(turn)
        case "truncate":
            session.truncate(turn, Heard(message["seconds"], message["text"]))
        case op:
            assert op == "voice", op
            session.set_voice(Voice(**message["voice"]))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    descriptor = int(sys.argv[1])
    uvloop.run(serve(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main()
