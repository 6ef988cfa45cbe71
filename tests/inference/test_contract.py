"""What every engine owes the media server, wherever it runs: the promises of inference.protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.embedded.espeak import RATE as ESPEAK_RATE
from inference.embedded.espeak import synthesize
from inference.host import make_engine
from inference.host_link import HostProcess
from inference.hosted import HostedEngine
from inference.protocol import (
    Chunk,
    Engine,
    EngineFailed,
    EngineOverloaded,
    EngineSession,
    Heard,
    Speech,
    Transcript,
    Voice,
    VoiceChanged,
)
from inference.settings import (
    CascadeSettings,
    EngineSettings,
    RecogniserSettings,
    ResponderSettings,
    SynthesizerSettings,
    VoxtralSettings,
)
from media.frames import AudioFrame, Samples
from media.resample import Resampler
from tests.inference.batch.tiny import qwen3, vits, whisper
from tests.inference.voxtral.tiny import voxtral

Running = Callable[[EngineSettings], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def in_process(settings: EngineSettings) -> AsyncIterator[Engine]:
    engine = make_engine(settings)
    await engine.warm_up()
    yield engine


@asynccontextmanager
async def in_a_host(settings: EngineSettings) -> AsyncIterator[Engine]:
    engine = HostedEngine(HostProcess(settings))
    engine.start()
    try:
        await engine.warm_up()
        yield engine
    finally:
        await engine.stop()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> CascadeSettings:
    """A cascade of real model classes that were taught nothing."""
    folder = tmp_path_factory.mktemp("models")
    return CascadeSettings(
        RecogniserSettings("whisper", str(whisper(folder / "whisper"))),
        ResponderSettings("causal_lm", str(qwen3(folder / "qwen3")), max_tokens=20, context=512),
        SynthesizerSettings("vits", str(vits(folder / "vits"))),
    )


@pytest.fixture(scope="module")
def tiny_voxtral(tmp_path_factory: pytest.TempPathFactory) -> VoxtralSettings:
    folder = voxtral(tmp_path_factory.mktemp("models") / "voxtral")
    return VoxtralSettings(str(folder), max_tokens=20, context=1024)


PLACES = (
    *((name, in_process) for name in ("embedded", "echo", "cascade", "tiny", "voxtral")),
    # A host takes seconds to import the models' libraries.
    *((name, in_a_host) for name in ("embedded", "echo", "tiny")),
)


@pytest.fixture(params=PLACES, ids=lambda place: f"{place[0]}-{place[1].__name__}")
def place(request: pytest.FixtureRequest) -> tuple[Any, Running]:
    chosen: tuple[Any, Running] = request.param
    return chosen


@pytest.fixture
def settings(request: pytest.FixtureRequest, place: tuple[Any, Running]) -> EngineSettings:
    limits = partial(EngineSettings, max_sessions=3, slots=2)
    match place[0]:
        case "tiny":
            return limits("cascade", cascade=request.getfixturevalue("tiny"))
        case "voxtral":
            return limits("voxtral", voxtral=request.getfixturevalue("tiny_voxtral"))
        case name:
            return limits(name)


@pytest.fixture
def running(place: tuple[Any, Running]) -> Running:
    return place[1]


@cache
def words(text: str) -> Samples:
    samples, _ = synthesize(text, "en-us+adam")
    return Resampler(ESPEAK_RATE, 16_000).process(samples, last=True)


def say(session: EngineSession, turn: int, text: str) -> None:
    padded = np.concatenate((words(text), np.zeros(8000, np.int16)))
    for at in range(0, len(padded) - 320, 320):
        session.listen(turn, AudioFrame(padded[at : at + 320], 16_000))


async def answer(session: EngineSession, turn: int) -> list[Chunk]:
    return [chunk async for chunk in session.respond(turn)]


def ignore(transcript: Transcript) -> None:
    """What they think meanwhile is their own."""


def sound(chunks: list[Chunk]) -> int:
    """How long it is, in samples."""
    return sum(len(chunk.samples) for chunk in chunks if isinstance(chunk, Speech))


def told(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks if not isinstance(chunk, VoiceChanged)]


async def test_a_transcript_and_then_speech(settings: EngineSettings, running: Running) -> None:
    async with running(settings) as engine, engine.open(Voice(), ignore) as session:
        for turn in (1, 2):
            say(session, turn, "what time is it")
            transcript, *rest = await answer(session, turn)
            assert isinstance(transcript, Transcript)
            assert transcript.final
            assert transcript.turn == turn
            assert all(isinstance(chunk, Speech) for chunk in rest)
            assert sound(rest)


async def test_two_calls_at_once_are_answered_as_each_alone(
    settings: EngineSettings, running: Running
) -> None:
    asked = ("what is two plus three", "count from one to five")

    async def ask(engine: Engine, text: str) -> tuple[int, list[str]]:
        async with engine.open(Voice(), ignore) as session:
            say(session, 1, text)
            chunks = await answer(session, 1)
            return sound(chunks), told(chunks)

    async with running(settings) as engine:
        together = await asyncio.gather(*(ask(engine, text) for text in asked))
        alone = [await ask(engine, text) for text in asked]
    for both, one in zip(together, alone, strict=True):
        assert both[1] == one[1]
        assert both[0] == pytest.approx(one[0], rel=0.01)  # espeak-ng's breath is never the same
    assert together[0][1] != together[1][1]


async def test_who_leaves_an_answer_gets_the_next(
    settings: EngineSettings, running: Running
) -> None:
    async with running(settings) as engine, engine.open(Voice(), ignore) as session:
        for turn in range(1, 4):
            say(session, turn, "tell me a story")
            async with aclosing(session.respond(turn)) as chunks:  # type: ignore[type-var]
                await anext(chunks)
                await anext(chunks)
            session.truncate(turn, Heard(0.1, "Once"))
        say(session, 9, "what time is it")
        transcript, *rest = await answer(session, 9)
        assert isinstance(transcript, Transcript)
        assert transcript.turn == 9
        assert sound(rest)


async def test_a_session_that_is_closed_makes_room(
    settings: EngineSettings, running: Running
) -> None:
    if settings.name == "echo":
        pytest.skip("it has room for all")
    async with running(settings) as engine:
        for _ in range(2):
            async with (
                engine.open(Voice(), ignore) as one,
                engine.open(Voice(), ignore),
                engine.open(Voice(), ignore),
            ):
                with pytest.raises(EngineOverloaded, match="all 3 sessions"):
                    async with engine.open(Voice(), ignore):
                        pass
                say(one, 1, "tell me a story")
                task = asyncio.create_task(answer(one, 1))  # left in the midst of it
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_nothing_heard_is_answered_too(settings: EngineSettings, running: Running) -> None:
    async with running(settings) as engine, engine.open(Voice(), ignore) as session:
        transcript, *_ = await answer(session, 1)
        assert transcript == Transcript(1, "", final=True)


async def test_a_model_that_is_missing_is_named(tmp_path: Path, tiny: CascadeSettings) -> None:
    missing = SynthesizerSettings("vits", str(tmp_path / "none"))
    cascade = CascadeSettings(synthesizer=missing)
    with pytest.raises(EngineFailed, match=f"there is no folder {missing.model}"):
        await make_engine(EngineSettings("cascade", cascade=cascade)).warm_up()
