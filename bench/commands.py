"""Is the caller understood, answered rightly and soon, and is the answer intelligible?

    python run.py bench commands --json

Says every command below to the server, in voices that no answer is spoken in, over real WebRTC.
For each: was the transcript what was said, is the answer the right one, does a recogniser that
hears the answer take it for that answer among all answers, and how long did it take from the end
of the caller's speech to the first audible sample of the answer.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.call import say_and_listen
from bench.caller import CallFailed, connect
from bench.impairment import Conditions, add_network_arguments, conditions
from bench.recognise import which
from bench.relay import Relay
from bench.target import add_target_arguments, median_p95, target
from bench.voices import CALLER_VOICES, speak
from media.frames import Samples

COMMANDS = (
    # what is said, and what a right answer matches
    ("hello", r"hello|hi\b|namaste"),
    ("good morning", r"hello|hi\b|good morning|namaste"),
    ("how are you", r"well|fine|good|great"),
    ("who are you", r"vaani"),
    ("what is your name", r"vaani"),
    ("what can you do", r"story.*|count.*|time.*"),
    ("what time is it", r"\b(it is|it's|the time)\b"),
    ("what is the date", r"day,"),
    ("count from one to five", r"one, two, three, four, five"),
    ("count from three to eight", r"three, four, five, six, seven, eight"),
    ("count to four", r"one, two, three, four"),
    ("count from ten to one", r"ten, nine, eight.*two, one"),
    ("what is two plus three", r"\bfive\b"),
    ("what is seven times eight", r"fifty.six"),
    ("what is twenty minus four", r"sixteen"),
    ("what is forty divided by five", r"\beight\b"),
    ("what is nine plus nine", r"eighteen"),
    ("what is six times seven", r"forty.two"),
    ("what is one hundred minus one", r"ninety.nine"),
    ("tell me a poem", r"\w+.*\w+"),
    ("spell hello", r"(?i)h.*e.*l.*l.*o"),
    ("spell voice", r"(?i)v.*o.*i.*c.*e"),
    ("speak as priya", r"(?i)priya"),
    ("speak as arjun", r"(?i)arjun"),
    ("speak as lakshmi", r"(?i)lakshmi"),
    ("sound happy", r"(?i)happ"),
    ("sound sad", r"(?i)sad"),
    ("sound excited", r"(?i)excited"),
    ("speak slower", r"(?i)slow"),
    ("speak faster", r"(?i)fast"),
    ("what did i say", r"(?i)you said|nothing"),
    ("thank you", r"(?i)welcome|pleasure|gladly"),
    ("goodbye", r"(?i)bye"),
)

INTELLIGIBLE_WORDS = 25  # longer answers are not put to the recogniser: any part betrays them


@dataclass(frozen=True, slots=True)
class Outcome:
    """One command said in one voice. `recognised` is None where the recogniser was not asked."""

    voice: str
    said: str
    transcript: str
    reply: str
    understood: bool
    answered: bool
    recognised: bool | None
    first_audio_ms: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_target_arguments(parser)
    add_network_arguments(parser)
    parser.add_argument(
        "--voices", type=int, default=2, metavar="N", help="that say each command (default 2)"
    )
    parser.add_argument(
        "--end-of-turn",
        type=float,
        default=0.4,
        metavar="SECONDS",
        help="the server's endpointing.min_delay, which is taken off the latency",
    )


def run(args: argparse.Namespace) -> int:
    try:
        outcomes = asyncio.run(_run(args, conditions(args)))
    except (CallFailed, ValueError) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    latencies = [o.first_audio_ms for o in outcomes if o.first_audio_ms is not None]
    after = [latency - 1000 * args.end_of_turn for latency in latencies]
    asked = [o.recognised for o in outcomes if o.recognised is not None]
    report = {
        "commands": len(outcomes),
        "understood": sum(o.understood for o in outcomes),
        "answered": sum(o.answered for o in outcomes),
        "recognised_again": [sum(asked), len(asked)],
        "first_audio_ms": median_p95(latencies) if latencies else None,
        "after_end_of_turn_ms": median_p95(after) if after else None,
    }
    if args.json:
        print(json.dumps({**report, "outcomes": [asdict(o) for o in outcomes]}))
    else:
        for o in outcomes:
            if not (o.understood and o.answered and o.recognised is not False):
                print(f"{o.voice}: {o.said!r} heard as {o.transcript!r}, answered {o.reply[:60]!r}")
        for name, value in report.items():
            print(f"{name.replace('_', ' ')}: {value}")
    return 0 if all(o.understood and o.answered for o in outcomes) else 1


async def _run(args: argparse.Namespace, network: Conditions) -> list[Outcome]:
    outcomes: list[tuple[Outcome, Samples]] = []
    async with target(args.url, args.overrides) as url:
        for number in range(args.voices):
            for index, (said, right) in enumerate(COMMANDS):
                voice = CALLER_VOICES[(index + number) % len(CALLER_VOICES)]
                relay = None if network.clean else Relay(network, f"{number} {said}")
                outcomes.append(await _ask(url, args.transport, relay, voice, said, right))
    replies = list(dict.fromkeys(o.reply for o, _ in outcomes if _is_short(o.reply)))
    return [_recognised(outcome, heard, replies) for outcome, heard in outcomes]


async def _ask(
    url: str, transport: str, relay: Relay | None, voice: str, said: str, right: str
) -> tuple[Outcome, Samples]:
    """A call of its own, so that no voice or mood is left over from the last."""
    async with connect(url, transport, relay) as caller:
        result = await say_and_listen(caller, speak(said, voice))
        outcome = Outcome(
            voice,
            said,
            result.transcript,
            result.reply,
            understood=_plain(result.transcript) == said,
            answered=bool(re.search(right, result.reply, re.IGNORECASE)),
            recognised=None,
            first_audio_ms=result.first_audio_ms,
        )
        return outcome, caller.ear.recording()


def _recognised(outcome: Outcome, heard: Samples, replies: Sequence[str]) -> Outcome:
    if not _is_short(outcome.reply):
        return outcome
    same = which(heard, replies) == outcome.reply
    return Outcome(**{**asdict(outcome), "recognised": same})


def _is_short(reply: str) -> bool:
    return 0 < len(reply.split()) <= INTELLIGIBLE_WORDS


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))
