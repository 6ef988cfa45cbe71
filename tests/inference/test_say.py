"""`say` is kept by every engine and across the socket: the text is spoken, or refused in words."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict

import numpy as np
import pytest

from inference import host
from inference.echo import EchoEngine, LoopbackEngine
from inference.host_link import HostProcess
from inference.hosted import HostedEngine
from inference.memory import Memory
from inference.protocol import Chunk, EngineFailed, EngineInfo, Heard, Speech, Transcript, Voice
from inference.settings import EngineSettings
from inference.wire import messages
from media.frames import AudioFrame


def ignore(transcript: Transcript) -> None:
    raise AssertionError(f"nobody spoke: {transcript}")


@pytest.mark.parametrize("engine", [EchoEngine(), LoopbackEngine()], ids=lambda e: e.info.name)
async def test_an_engine_without_a_voice_says_so(engine: EchoEngine | LoopbackEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        with pytest.raises(EngineFailed, match=f"{engine.info.name} .*cannot speak a given text"):
            await anext(session.say(1, "Hello."))


class Reader:
    """Says a text word by word, and notes which turns it is at; an empty text breaks it."""

    info = EngineInfo("reader", "turn", 16_000)

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.truncated: list[tuple[int, Heard]] = []

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(self, voice: Voice, on_transcript: object) -> AsyncIterator["Reader"]:
        yield self

    def listen(self, turn: int, frame: AudioFrame) -> None:
        """It does not."""

    async def respond(self, turn: int) -> AsyncIterator[Chunk]:
        yield Transcript(turn, "asked", final=True)

    async def say(self, turn: int, text: str) -> AsyncIterator[Chunk]:
        self.running.add(turn)
        try:
            for at, word in enumerate(text.split()):
                must = word != "must"
                yield Speech(np.full(3, at, dtype=np.int16), 24_000, f"{word} ", must)
            if not text:
                raise EngineFailed("the reader has nothing to read")
            if text == "for ever":
                await asyncio.Event().wait()
        finally:
            self.running.discard(turn)

    def truncate(self, turn: int, heard: Heard) -> None:
        self.truncated.append((turn, heard))

    def set_voice(self, voice: Voice) -> None:
        """It has one."""


@asynccontextmanager
async def hosted(engine: Reader, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HostedEngine]:
    """A hosted engine whose host is a task here."""
    monkeypatch.setattr(host, "make_engine", lambda settings: engine)
    ours, theirs = socket.socketpair()
    serving = asyncio.create_task(host.serve(theirs))
    far = HostedEngine(HostProcess(EngineSettings(name="echo")))
    far.generation = 1
    reader, far._writer = await asyncio.open_connection(sock=ours)

    async def read() -> None:
        async for message in messages(reader):
            far._receive(message)

    reading = asyncio.create_task(read())
    far.send("start", settings=asdict(EngineSettings(name="echo")), path=None)
    await far.warm_up()
    try:
        yield far
    finally:
        far._writer.close()
        await serving
        await reading


async def test_across_the_socket_it_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosted(Reader(), monkeypatch) as engine, engine.open(Voice(), ignore) as session:
        spoken = [chunk async for chunk in session.say(3, "this must be said")]
        assert all(isinstance(chunk, Speech) for chunk in spoken)
        told = [(c.text, c.allow_interruptions) for c in spoken if isinstance(c, Speech)]
        assert told == [("this ", True), ("must ", False), ("be ", True), ("said ", True)]
        # the ordinary answers go on as before
        assert [c async for c in session.respond(4)] == [Transcript(4, "asked", final=True)]


async def test_across_the_socket_a_refusal_keeps_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosted(Reader(), monkeypatch) as engine, engine.open(Voice(), ignore) as session:
        with pytest.raises(EngineFailed) as caught:
            await anext(session.say(1, ""))
    assert str(caught.value) == "the reader has nothing to read"
    assert "Traceback" not in caplog.text


async def test_across_the_socket_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    async with hosted(reader, monkeypatch) as engine, engine.open(Voice(), ignore) as session:
        async with aclosing(session.say(5, "for ever")) as saying:  # type: ignore[type-var]
            await anext(saying)
            assert reader.running == {5}
        session.truncate(5, Heard(0.1, "for"))
        while reader.running or not reader.truncated:
            await asyncio.sleep(0)
        assert reader.truncated == [(5, Heard(0.1, "for"))]
        assert session._answers == {}


async def test_a_host_that_was_restarted_says_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with hosted(Reader(), monkeypatch) as engine, engine.open(Voice(), ignore) as session:
        session._generation = 0  # it knows another host
        assert len([chunk async for chunk in session.say(1, "two words")]) == 2
        session._generation = 0
        with pytest.raises(EngineFailed, match="restarted while the caller spoke"):
            await anext(session.respond(2))


# What the history makes of what was said and of what was cut


def test_the_endpoint_is_told_of_an_interruption_by_the_caller_alone() -> None:
    memory = Memory()
    memory.begin(1, "count").add("One, two, three.")
    memory.truncate(1, "One, two, ")
    memory.begin(2, "no, in french").add("Un, deux.")
    memory.begin(3, "thanks")
    assert memory.messages("Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "count"},
        {"role": "assistant", "content": "One, two,"},
        {"role": "user", "content": "[interrupts you] no, in french"},
        {"role": "assistant", "content": "Un, deux."},
        {"role": "user", "content": "thanks"},
    ]


def test_roles_alternate_whatever_was_said_unasked_or_not_heard() -> None:
    memory = Memory()
    memory.begin(1, "").add("Welcome.")
    memory.begin(2, "count").add("One.")
    memory.truncate(2, "")
    memory.begin(3, "stop")
    assert memory.messages("")[1:] == [
        {"role": "user", "content": "[says nothing]"},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "count\n[interrupts you] stop"},
    ]


def test_what_is_made_after_the_cut_was_not_heard() -> None:
    memory = Memory()
    exchange = memory.begin(1, "count")
    exchange.add("One, two, three. ")
    memory.truncate(1, "One,")
    exchange.add("Four.")  # its cancellation was still on the way
    assert memory.last_answer() == "One,"
