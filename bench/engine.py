"""How soon an engine answers, and how many calls it carries at once.

    python run.py bench engine --set engine.name=cascade --calls 1 4 16 --json

No call and no network: the engine in its host, spoken to as the media server does. Every caller
says its question at the pace of speech and waits for the answer; the calls of one run begin within
a second of each other. Reported are, from the last frame of the question: the first of the words
understood, and the first sound of the answer; how much faster than its sound an answer comes; the
share of answers in which no sound came later than it was due; and the host's memory.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bench.caller import RATE
from bench.processes import tree
from bench.target import median_p95
from bench.voices import CALLER_VOICES, speak
from inference.host_link import HostProcess
from inference.hosted import HostedEngine, HostedSession
from inference.protocol import EngineFailed, Speech, Transcript
from media.frames import FRAME_SECONDS, AudioFrame, Samples, frame_length
from media.resample import Resampler
from server.config import Config
from server.settings import SettingsError, load

QUESTIONS = ("tell me a joke", "count from one to five", "what can you do", "tell me a poem")
READY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One turn; seconds from the last frame of the question."""

    words: float
    first_audio: float | None
    done: float
    audio: float  # how long the answer sounds
    late: float  # by how much the latest of its sound came after it was due


@dataclass(frozen=True, slots=True)
class Report:
    """So many calls at once."""

    calls: int
    answers: int
    failed: int
    words_ms: tuple[float, float] | None
    first_audio_ms: tuple[float, float] | None
    faster_than_sound: float | None  # median
    in_time_percent: float | None
    memory_mb: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--calls", type=int, nargs="+", default=[1], metavar="N", help="at once; several runs"
    )
    parser.add_argument("--turns", type=int, default=5, metavar="N", help="of each call")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SECTION.KEY=VALUE",
        help="a setting, as for serve: engine.name=cascade",
    )
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    try:
        config, _ = load(Config, None, os.environ, args.overrides)
        reports = asyncio.run(_run(config, args.calls, args.turns))
    except SettingsError as error:
        print(*(f"vaani: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return 2
    except TimeoutError:
        print(f"vaani: the engine was not ready in {READY_SECONDS:g} s", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps([asdict(report) for report in reports]))
    else:
        for report in reports:
            print(*(f"{key.replace('_', ' ')}: {value}" for key, value in asdict(report).items()),
                  sep="; ")  # fmt: skip
    return 0 if all(report.answers and not report.failed for report in reports) else 1


async def _run(config: Config, counts: Sequence[int], turns: int) -> list[Report]:
    engine = HostedEngine(HostProcess(config.engine))
    engine.start()
    try:
        async with asyncio.timeout(READY_SECONDS):
            await engine.warm_up()
        return [await _measure(engine, config, count, turns) for count in counts]
    finally:
        await engine.stop()


async def _measure(engine: HostedEngine, config: Config, calls: int, turns: int) -> Report:
    found = await asyncio.gather(
        *(_call(engine, config, number, calls, turns) for number in range(calls))
    )
    answers = [answer for call in found for answer in call if answer]
    heard = [answer for answer in answers if answer.first_audio is not None]
    memory = tree(engine.pid) if engine.pid else {}
    return Report(
        calls,
        len(answers),
        sum(answer is None for call in found for answer in call),
        _ms([answer.words for answer in answers]),
        _ms([answer.first_audio for answer in heard if answer.first_audio is not None]),
        round(float(np.median([a.audio / max(a.done, 1e-3) for a in heard])), 1) if heard else None,
        round(100 * float(np.mean([a.late <= FRAME_SECONDS for a in heard])), 1) if heard else None,
        round(sum(usage.rss_mb for usage in memory.values()), 1),
    )


def _ms(seconds: Sequence[float]) -> tuple[float, float] | None:
    if not seconds:
        return None
    median, p95 = median_p95(seconds)
    return round(1000 * median, 1), round(1000 * p95, 1)


async def _call(
    engine: HostedEngine, config: Config, number: int, calls: int, turns: int
) -> list[Answer | None]:
    await asyncio.sleep(number / calls)
    answers: list[Answer | None] = []
    async with engine.open(config.engine.voice, lambda transcript: None) as session:
        for turn in range(1, turns + 1):
            text = QUESTIONS[(number + turn) % len(QUESTIONS)]
            sound = speak(text, CALLER_VOICES[number % len(CALLER_VOICES)])
            try:
                answers.append(await _ask(session, engine.info.input_rate, turn, sound))
            except EngineFailed as error:
                print(f"call {number}, turn {turn}: {error}", file=sys.stderr)
                answers.append(None)
    return answers


async def _ask(session: HostedSession, rate: int, turn: int, sound: Samples) -> Answer:
    samples = Resampler(RATE, rate).process(sound, last=True)
    length = frame_length(rate)
    begin = time.perf_counter()
    for number, at in enumerate(range(0, len(samples) - length, length)):
        await asyncio.sleep(max(0.0, begin + number * FRAME_SECONDS - time.perf_counter()))
        session.listen(turn, AudioFrame(samples[at : at + length], rate))
    said = time.perf_counter()
    words, first, audio, late = 0.0, None, 0.0, 0.0
    async for chunk in session.respond(turn):
        now = time.perf_counter() - said
        match chunk:
            case Transcript(final=True):
                words = now
            case Speech() if len(chunk.samples):
                first = now if first is None else first
                late = max(late, now - (first + audio))
                audio += len(chunk.samples) / chunk.rate
    return Answer(words, first, time.perf_counter() - said, audio, late)
