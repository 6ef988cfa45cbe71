"""How soon does the server fall silent when the caller speaks over it?

    python run.py bench bargein --interruptions 30

In each call the caller asks for a story and speaks over it at a random moment. The stop time is
taken at the caller's ear: onset of the caller's speech to the last audible sample of the answer.
"""

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.audio import AudioFileError
from bench.call import interrupt, read_speech
from bench.caller import CallFailed, connect
from bench.target import add_target_arguments, median_p95, target
from bench.voices import CALLER_VOICES, speak
from media.frames import Samples

QUESTION = "tell me a story"
WORDS = ("stop", "wait a moment", "what time is it", "tell me a poem", "goodbye")


@dataclass(frozen=True, slots=True)
class Result:
    """`missed`: answers that went on in spite of the caller. Times in ms."""

    interruptions: int
    missed: int
    stop_ms: tuple[float, float] | None
    all_stop_ms: list[float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    parser.add_argument("--interruptions", type=int, default=30, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of who says what when")
    parser.add_argument(
        "--input",
        dest="inputs",
        action="append",
        default=[],
        type=Path,
        metavar="USER.WAV",
        help="interrupt with recordings in place of synthesized words; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    try:
        recordings = [read_speech(path) for path in args.inputs]
        result = asyncio.run(_run(args, recordings))
    except (AudioFileError, CallFailed) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(result)))
    else:
        print(f"{result.interruptions} interruptions, {result.missed} missed")
        if result.stop_ms:
            print("onset to silence: median {:.0f} ms, p95 {:.0f} ms".format(*result.stop_ms))
    return 1 if result.missed else 0


async def _run(args: argparse.Namespace, recordings: Sequence[Samples]) -> Result:
    chance = random.Random(args.seed)
    stops: list[float] = []
    async with target(args.url, args.overrides) as url:
        for _ in range(args.interruptions):
            voice = chance.choice(CALLER_VOICES)
            words = chance.choice(recordings) if recordings else speak(chance.choice(WORDS), voice)
            async with connect(url, args.transport) as caller:
                result = await interrupt(
                    caller, speak(QUESTION, voice), chance.uniform(0.8, 2.5), words
                )
            if result.stop_ms is not None:
                stops.append(result.stop_ms)
    missed = args.interruptions - len(stops)
    return Result(args.interruptions, missed, median_p95(stops) if stops else None, sorted(stops))
