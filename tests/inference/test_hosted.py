"""An engine in a process of its own: what it answers, and what its death and silence cost."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest

from inference import host, hosted
from inference.embedded.voices import EMOTIONS, LANGUAGES, voice_infos
from inference.embedded.voices import check_voice as embedded_check
from inference.host_link import HostProcess, HostSocket
from inference.hosted import HostedEngine, HostedSession, check_voice
from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineInfo,
    EngineOverloaded,
    Heard,
    Speech,
    Transcript,
    Voice,
    VoiceInfo,
)
from inference.settings import EngineSettings
from inference.wire import messages
from media.frames import AudioFrame
from tests.conftest import NothingLeft


@asynccontextmanager
async def running(name: Literal["echo", "loopback"] = "echo") -> AsyncIterator[HostedEngine]:
    engine = HostedEngine(HostProcess(EngineSettings(name=name)))
    engine.start()
    try:
        await engine.warm_up()
        yield engine
    finally:
        pid = engine.pid
        await engine.stop()
        assert not engine.ready
        assert engine.pid is None
        assert pid is None or not exists(pid), "a process or a zombie is left"


def exists(pid: int) -> bool:
    """Whether there is such a process, be it only as a zombie."""
    return Path(f"/proc/{pid}").exists()


def frame(level: int) -> AudioFrame:
    return AudioFrame(np.full(320, level, dtype=np.int16), 16_000)


def ignore(transcript: Transcript) -> None:
    raise AssertionError(f"nobody is to understand anything here: {transcript}")


async def answer(session: HostedSession, turn: int, level: int, count: int = 5) -> list[int]:
    """The levels of the frames that come back for so many of this level."""
    for _ in range(count):
        session.listen(turn, frame(level))
    levels: list[int] = []
    async for chunk in session.respond(turn):
        if isinstance(chunk, Speech):
            levels.extend(chunk.samples[:: len(frame(0).samples)].tolist())
    return levels


async def test_the_host_answers() -> None:
    async with running() as engine:
        assert engine.info == EngineInfo(name="echo", mode="turn", input_rate=16_000)
        async with engine.open(Voice(), ignore) as session:
            session.listen(1, frame(7))
            chunks = [chunk async for chunk in session.respond(1)]
            assert chunks[0] == Transcript(1, "", final=True)
            assert isinstance(chunks[1], Speech)
            np.testing.assert_array_equal(chunks[1].samples, frame(7).samples)
            assert len(chunks) == 2
            assert await answer(session, 2, 8) == [8] * 5
        assert engine.generation == 1


async def test_two_sessions_get_their_own_answers() -> None:
    async with (
        running() as engine,
        engine.open(Voice(), ignore) as one,
        engine.open(Voice(), ignore) as other,
    ):
        assert one.number != other.number
        first, second = await asyncio.gather(answer(one, 1, 11, 200), answer(other, 1, 22, 200))
        assert first == [11] * 200
        assert second == [22] * 200


async def test_stream_mode() -> None:
    async with running("loopback") as engine, engine.open(Voice(), ignore) as session:
        assert engine.info.mode == "stream"
        stream = cast("AsyncIterator[Speech]", session.respond(0))
        for level in range(1, 4):
            session.listen(0, frame(level))
            assert (await anext(stream)).samples[0] == level


async def test_a_stream_can_be_left_and_begun_again_and_again() -> None:
    async with running("loopback") as engine, engine.open(Voice(), ignore) as session:
        for level in range(1, 6):
            async with aclosing(session.respond(0)) as stream:  # type: ignore[type-var]
                session.listen(0, frame(level))
                chunk = await anext(stream)
                assert isinstance(chunk, Speech)
                assert chunk.samples[0] == level


async def test_a_host_killed_in_mid_answer_costs_that_answer() -> None:
    async with running("loopback") as engine, engine.open(Voice(), ignore) as session:
        stream = session.respond(0)
        session.listen(0, frame(1))
        await anext(stream)
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineFailed, match="crashed"):
            await anext(stream)
        assert not engine.ready
        # The same session goes on with the next host.
        stream = session.respond(0)
        waiting = asyncio.ensure_future(anext(stream))
        await engine.warm_up()
        while not waiting.done():
            session.listen(0, frame(2))
            await asyncio.sleep(0.02)
        chunk = waiting.result()
        assert isinstance(chunk, Speech)
        assert chunk.samples[0] == 2
        assert engine.pid not in (None, pid)
        assert engine.generation == 2
        assert not exists(pid), "a zombie is left"


async def test_a_turn_across_a_restart_fails_and_the_next_works() -> None:
    async with running() as engine, engine.open(Voice(), ignore) as session:
        session.listen(1, frame(1))
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed):
            # Whether it notices before or after the question: it fails, and does not hang.
            await answer(session, 1, 1)
        await engine.warm_up()
        if session._generation != engine.generation:
            with pytest.raises(EngineFailed, match="restarted while the caller spoke"):
                await anext(session.respond(1))
        assert await answer(session, 2, 9) == [9] * 5


async def test_a_new_session_while_the_host_is_down_is_refused() -> None:
    async with running() as engine:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        while engine.ready:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineOverloaded, match="starting"):
            async with engine.open(Voice(), ignore):
                pass
        assert engine._sessions == {}


async def test_before_the_host_was_ever_ready() -> None:
    engine = HostedEngine(HostProcess(EngineSettings(name="echo")))
    with pytest.raises(EngineOverloaded, match="starting"):
        _ = engine.info
    engine.start()
    with pytest.raises(EngineOverloaded, match="starting"):
        async with engine.open(Voice(), ignore):
            pass
    await engine.stop()
    await HostedEngine(HostProcess(EngineSettings(name="echo"))).stop()  # never started


@pytest.mark.parametrize("moment", [0.0, 0.005, 0.02, 0.1, 0.3])
async def test_stopping_at_any_moment_of_the_start_leaves_nothing(
    moment: float, nothing_left: NothingLeft
) -> None:
    await (await asyncio.create_subprocess_exec("true")).wait()  # what a loop opens for its first
    async with nothing_left():
        engine = HostedEngine(HostProcess(EngineSettings(name="echo")))
        engine.start()
        await asyncio.sleep(moment)
        pid = engine.pid
        await engine.stop()
        assert engine.pid is None
        assert pid is None or not exists(pid)


async def test_a_host_that_is_stopped_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded engine's recogniser has a folder: it is to be gone, but for a kill."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    engine = HostedEngine(HostProcess(EngineSettings()))
    engine.start()
    await engine.warm_up()
    assert os.listdir(tmp_path)
    await engine.stop()
    assert os.listdir(tmp_path) == []


async def test_a_host_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(hosted, "HANG_TIMEOUT", 1.0)
    async with running() as engine, engine.open(Voice(), ignore) as session:
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(EngineFailed, match="crashed"):
            await answer(session, 1, 1)
        await engine.warm_up()
        assert engine.pid != pid
        assert await answer(session, 2, 2) == [2] * 5


async def test_a_host_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosted, "MIN_BACKOFF", 0.01)
    create, attempts = asyncio.create_subprocess_exec, 0

    async def no_process_twice(*args: object, **options: object) -> object:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await create(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process_twice)
    async with running() as engine, engine.open(Voice(), ignore) as session:
        assert attempts == 3
        assert await answer(session, 1, 1) == [1] * 5


async def test_nothing_is_said_to_a_host_before_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hosted, "MIN_BACKOFF", 0.01)
    create, starting, go_on = asyncio.create_subprocess_exec, asyncio.Event(), asyncio.Event()

    async def create_slowly(*args: object, **options: object) -> object:
        starting.set()
        await go_on.wait()
        return await create(*args, **options)  # type: ignore[arg-type]

    async with running() as engine:
        async with engine.open(Voice(), ignore):
            monkeypatch.setattr(asyncio, "create_subprocess_exec", create_slowly)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            await starting.wait()
        go_on.set()  # the session has said goodbye to nobody
        await engine.warm_up()
        assert engine.generation == 2


async def test_a_turn_waits_only_so_long_for_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "RESTART_WAIT", 0.05)
    monkeypatch.setattr(hosted, "MIN_BACKOFF", 60.0)
    async with running() as engine, engine.open(Voice(), ignore) as session:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        while engine.ready:
            await asyncio.sleep(0.001)
        with pytest.raises(EngineFailed, match="restarting"):
            await answer(session, 1, 1)


async def test_a_cancelled_answer_gives_no_more_chunks() -> None:
    async with running("loopback") as engine, engine.open(Voice(), ignore) as session:
        stream = session.respond(0)
        session.listen(0, frame(1))
        await anext(stream)
        await cast("asyncio.Future[None]", stream.aclose())  # type: ignore[attr-defined]
        assert session._answers == {}
        for _ in range(20):
            session.listen(0, frame(2))
        # An answer after all those: nothing of the cancelled one is in it or was kept.
        session.truncate(0, Heard(0.02, ""))
        async with aclosing(session.respond(0)) as again:  # type: ignore[type-var]
            chunk = await anext(again)
            assert isinstance(chunk, Speech)
            assert chunk.samples[0] == 2


async def test_a_session_refused_by_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as engine:
        opening = HostedSession(engine, 99, Voice(), ignore)
        engine._sessions[99] = opening
        task = asyncio.ensure_future(opening.open())
        await asyncio.sleep(0)
        opening.receive({"op": "refused", "session": 99, "reason": "all 64 places are taken"})
        with pytest.raises(EngineOverloaded, match="all 64"):
            await task
        del engine._sessions[99]


async def test_a_session_refused_after_a_restart_fails_its_turn_and_tries_again() -> None:
    async with running() as engine, engine.open(Voice(), ignore) as session:
        session.listen(1, frame(1))
        stream = session.respond(1)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        session.receive({"op": "refused", "session": session.number, "reason": "no room now"})
        with pytest.raises(EngineFailed, match="no room now"):
            await waiting
        assert await answer(session, 2, 3) == [3] * 5


async def test_one_sessions_bug_leaves_the_host_and_the_others_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running() as engine,
        engine.open(Voice(), ignore) as buggy,
        engine.open(Voice(), ignore) as other,
    ):
        engine._receive(
            {
                "op": "transcript",
                "session": buggy.number,
                "turn": 1,
                "text": "x",
                "final": False,
                "complete": None,
            }
        )
        assert "nobody is to understand" in caplog.text
        assert await answer(other, 1, 4) == [4] * 5
        assert engine.generation == 1


@asynccontextmanager
async def shared(path: Path) -> AsyncIterator[tuple[HostedEngine, list[HostedEngine]]]:
    """One who has started a host, and two more that share it."""
    owner = HostedEngine(HostProcess(EngineSettings(name="echo"), path))
    sharers = [HostedEngine(HostSocket(path)) for _ in range(2)]
    try:
        for engine in (owner, *sharers):
            engine.start()
        for engine in (owner, *sharers):
            await engine.warm_up()
        yield owner, sharers
    finally:
        for engine in (*sharers, owner):
            await engine.stop()


async def test_a_host_is_shared_and_each_has_sessions_of_his_own(tmp_path: Path) -> None:
    async with (
        shared(tmp_path / "host") as (owner, (one, other)),
        one.open(Voice(), ignore) as first,
        other.open(Voice(), ignore) as second,
    ):
        assert first.number == second.number
        assert one.pid == other.pid == owner.pid
        answers = await asyncio.gather(answer(first, 1, 11, 50), answer(second, 1, 22, 50))
        assert list(answers) == [[11] * 50, [22] * 50]
        await one.stop()
        assert await answer(second, 2, 33) == [33] * 5


async def test_a_shared_host_that_dies_comes_back_to_all(tmp_path: Path) -> None:
    async with (
        shared(tmp_path / "host") as (owner, sharers),
        sharers[0].open(Voice(), ignore) as first,
        sharers[1].open(Voice(), ignore) as second,
    ):
        assert owner.pid is not None
        os.kill(owner.pid, signal.SIGKILL)
        while any(engine.ready for engine in sharers):
            await asyncio.sleep(0.001)
        for session in (first, second):
            with suppress(EngineFailed):  # for one who spoke while there was no host
                await answer(session, 1, 0)
            assert await answer(session, 2, 7) == [7] * 5
        assert sharers[0].pid == sharers[1].pid == owner.pid


async def test_a_server_that_talks_rubbish_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "host"
    async with shared(path) as (owner, (one, _)), one.open(Voice(), ignore) as session:
        pid = owner.pid
        for rubbish in (b"\xc1", b"\x01", b"\x80", b"\x93\1\2\3", b"\x81\xa2op\xa4open"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(rubbish)
            await reader.read(1)  # ready
            await reader.read()
            writer.close()
            await writer.wait_closed()
        assert await answer(session, 1, 5) == [5] * 5
        assert owner.pid == pid


OFFER = EngineInfo(
    name="embedded",
    mode="turn",
    input_rate=16_000,
    voices=(VoiceInfo("priya", "Priya"), VoiceInfo("ravi", "Ravi")),
    emotions=("neutral", "calm"),
    languages=("en", "te"),
)


VOICES = [
    Voice("priya"),
    Voice("ravi", "calm", 2.0, "te"),
    Voice("", "calm"),  # the engine's own choice
    *map(Voice, ("priya+ravi", "priya+ravi:0.3", "ravi+priya:.25", "priya+ravi:0", "priya+ravi:1")),
]
NO_VOICES = [
    (Voice("nobody"), "no voice 'nobody': on offer are priya, ravi"),
    (Voice("priya+nobody"), "no voice 'nobody': on offer are priya, ravi"),
    (Voice("nobody+priya"), "no voice 'nobody': on offer are priya, ravi"),
    (Voice("priya+"), "no voice '': on offer are priya, ravi"),
    (Voice("+"), "no voice '': on offer are priya, ravi"),
    (Voice("priya+ravi+priya"), "no voice 'ravi+priya': on offer are priya, ravi"),
    (Voice("priya:0.3"), "no voice 'priya:0.3': on offer are priya, ravi"),
    *(
        (Voice(name), f"no voice {name!r}: the share of the second is from 0 to 1")
        for name in ("priya+ravi:2", "priya+ravi:-0.5", "priya+ravi:half", "priya+ravi:nan")
    ),
    (Voice("priya", "angry"), "no emotion 'angry': on offer are neutral, calm"),
    (Voice("priya", language="fr"), "no language 'fr': on offer are en, te"),
]


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_a_voice_on_offer(voice: Voice) -> None:
    check_voice(OFFER, voice)


@pytest.mark.parametrize(("voice", "complaint"), NO_VOICES, ids=lambda value: str(value)[:40])
def test_a_voice_that_is_not_on_offer(voice: Voice, complaint: str) -> None:
    with pytest.raises(ValueError, match="no ") as caught:
        check_voice(OFFER, voice)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("voice", [v for v, _ in NO_VOICES] + VOICES, ids=lambda v: str(v)[:40])
def test_the_embedded_engine_accepts_the_same(voice: Voice) -> None:
    """A voice that is taken here and refused there would be told to the caller as changed."""
    info = EngineInfo("embedded", "turn", 16_000, voice_infos(), tuple(EMOTIONS), tuple(LANGUAGES))

    def accepted(check: Callable[[], object]) -> bool:
        try:
            check()
        except ValueError:
            return False
        return True

    engine_takes_it = accepted(lambda: embedded_check(voice))
    assert accepted(lambda: check_voice(info, voice)) == engine_takes_it


def test_an_engine_that_offers_nothing() -> None:
    echo = EngineInfo("echo", "turn", 16_000)
    check_voice(echo, Voice("", "angry", 1.0, "fr"))
    with pytest.raises(ValueError, match="none but the engine's own"):
        check_voice(echo, Voice("priya"))


async def test_set_voice_checks_and_remembers() -> None:
    async with running() as engine, engine.open(Voice(), ignore) as session:
        engine._info = OFFER
        with pytest.raises(ValueError, match="on offer are priya, ravi"):
            session.set_voice(Voice("nobody"))
        assert session._voice == Voice()
        session.set_voice(Voice("ravi"))
        assert session._voice == Voice("ravi")


# Inside the host, with an engine that misbehaves


class Moody:
    """Refuses voices, chokes on frames and on everything else, by the name of its voice."""

    info = EngineInfo("moody", "turn", 16_000, (VoiceInfo("grumpy", "Grumpy"),))

    async def warm_up(self) -> None:
        """There is nothing to load."""

    @asynccontextmanager
    async def open(self, voice: Voice, on_transcript: object) -> AsyncIterator["MoodySession"]:
        if voice.name == "broken":
            raise RuntimeError("out of memory")
        yield MoodySession()
        raise RuntimeError("does not close well")


class MoodySession:
    def listen(self, turn: int, frame: AudioFrame) -> None:
        if turn == 13:
            raise RuntimeError("chokes")

    async def respond(self, turn: int) -> AsyncIterator[Chunk]:
        if turn == 13:
            raise RuntimeError("chokes")
        yield Transcript(turn, "fine", final=True)

    async def say(self, turn: int, text: str) -> AsyncIterator[Chunk]:
        yield Speech(np.zeros(480, dtype=np.int16), 24_000, text)

    def truncate(self, turn: int, heard: Heard) -> None:
        raise RuntimeError("remembers everything")

    def set_voice(self, voice: Voice) -> None:
        raise ValueError(f"no voice {voice.name!r}")


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "make_engine", lambda settings: Moody())


@asynccontextmanager
async def in_this_process() -> AsyncIterator[HostedEngine]:
    """A hosted engine whose host is a task here, so that the engine can be any."""
    ours, theirs = socket.socketpair()
    serving = asyncio.create_task(host.serve(theirs))
    engine = HostedEngine(HostProcess(EngineSettings(name="echo")))
    engine.generation = 1
    reader, engine._writer = await asyncio.open_connection(sock=ours)

    async def read() -> None:
        async for message in messages(reader):
            engine._receive(message)

    reading = asyncio.create_task(read())
    engine.send("start", settings=asdict(EngineSettings(name="echo")), path=None)
    await engine.warm_up()
    try:
        yield engine
    finally:
        engine._writer.close()
        await serving
        await reading


@pytest.mark.usefixtures("moody")
async def test_what_an_engine_raises_costs_one_session_at_most(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with in_this_process() as engine, AsyncExitStack() as stack:
        session = await stack.enter_async_context(engine.open(Voice(), ignore))
        session.set_voice(Voice("grumpy"))
        session.listen(13, frame(1))
        session.truncate(1, Heard(0.0, ""))
        with pytest.raises(EngineFailed, match="RuntimeError: chokes"):
            await anext(session.respond(13))
        with pytest.raises(EngineOverloaded, match="RuntimeError: out of memory"):
            async with engine.open(Voice("broken"), ignore):
                pass
        async with engine.open(Voice(), ignore):
            pass
        # After all this the host is there, for this session and for another.
        assert [c async for c in session.respond(14)] == [Transcript(14, "fine", final=True)]
        async with engine.open(Voice(), ignore) as other:
            assert [c async for c in other.respond(1)] == [Transcript(1, "fine", final=True)]
    for told in ("no voice 'grumpy'", "chokes", "remembers everything", "does not close well"):
        assert told in caplog.text


class Endless(Moody):
    @asynccontextmanager
    async def open(self, voice: Voice, on_transcript: object) -> AsyncIterator["EndlessSession"]:
        yield EndlessSession()


class EndlessSession(MoodySession):
    running: set[int] = set()  # noqa: RUF012 - seen from outside

    async def respond(self, turn: int) -> AsyncIterator[Chunk]:
        self.running.add(turn)
        try:
            while True:
                yield Speech(np.zeros(480, dtype=np.int16), 24_000)
                await asyncio.sleep(0.001)
        finally:
            self.running.discard(turn)


async def test_cancelling_and_closing_reach_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "make_engine", lambda settings: Endless())

    async def only(turns: set[int]) -> None:
        while EndlessSession.running != turns:
            await asyncio.sleep(0.001)

    async with in_this_process() as engine:
        async with engine.open(Voice(), ignore) as session:
            for turn in (1, 2):
                async with aclosing(session.respond(turn)) as stream:  # type: ignore[type-var]
                    await anext(stream)
                    await only({turn})
                await only(set())
            # The same turn again at once: its cancellation must not be forgotten with the first.
            for _ in range(3):
                async with aclosing(session.respond(3)) as stream:  # type: ignore[type-var]
                    await anext(stream)
            await only(set())
            await anext(session.respond(4))
            await only({4})
        await only(set())  # the session's end is the end of its answers
