"""`run.py call`: a headless caller that says recordings and reports what was answered, and when."""

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.audio import AudioFileError, read_audio, speech_span, write_audio
from bench.caller import RATE, Caller, CallFailed, connect
from media.frames import Samples

REPLY_TIMEOUT = 30.0  # from the end of speech to the first sound of the answer
REPLY_LIMIT = 300.0  # of one answer
PAUSE_SECONDS = 0.3  # of silence after the server says that the answer is over
DECISION_SECONDS = 0.2  # after the end of speech, in which no server has answered yet
SILENT_SERVER_PAUSE = 2.0  # the same for a server that says nothing


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One of the caller's turns and the answer to it.

    `first_audio_ms`: end of speech to first audible sample of the answer, None if there was none;
    `reply_seconds`: from there to the last audible sample; `stop_ms`: when the next input was said
    over this answer, onset of that speech to the last audible sample of the answer.
    """

    transcript: str
    reply: str
    first_audio_ms: float | None
    reply_seconds: float
    interrupted: bool
    stop_ms: float | None


@dataclass(frozen=True, slots=True)
class CallResult:
    """A whole call. `setup_ms`: from the offer to connected media."""

    setup_ms: float
    turns: list[TurnResult]


async def make_call(
    url: str,
    inputs: Sequence[Samples],
    interrupt_after: float | None = None,
    transport: str = "webrtc",
) -> tuple[CallResult, Samples]:
    """Say each input, mono at RATE Hz; what came of it, and all that was heard.

    With `interrupt_after`, each input but the first is said so many seconds into the answer to
    the one before. Raises CallFailed.
    """
    async with connect(url, transport) as caller:
        turns = []
        for index, samples in enumerate(inputs):
            last = index == len(inputs) - 1
            turns.append(await _start_turn(caller, samples))
            if last or interrupt_after is None:
                await _reply_ends(caller, turns[-1])
            else:
                await _reply_reaches(caller, turns[-1], interrupt_after)
        results = [
            _result(caller, turn, following)
            for turn, following in zip(turns, [*turns[1:], None], strict=True)
        ]
        return CallResult(round(1000 * caller.setup_seconds, 1), results), caller.ear.recording()


async def say_and_listen(
    caller: Caller, samples: Samples, hang_up_after: float | None = None
) -> TurnResult:
    """One turn of a call that is up: say it, hear the answer to its end or so many seconds of it.

    Raises CallFailed.
    """
    turn = await _start_turn(caller, samples)
    if hang_up_after is None:
        await _reply_ends(caller, turn)
    else:
        await _reply_reaches(caller, turn, hang_up_after)
    return _result(caller, turn, None)


async def interrupt(caller: Caller, question: Samples, after: float, words: Samples) -> TurnResult:
    """Ask, say `words` so many seconds into the answer, and see what becomes of the answer.

    Raises CallFailed.
    """
    turn = await _start_turn(caller, question)
    await _reply_reaches(caller, turn, after)
    following = await _start_turn(caller, words)
    await asyncio.sleep(following.end + DECISION_SECONDS - asyncio.get_running_loop().time())
    return _result(caller, turn, following)


@dataclass(frozen=True, slots=True)
class _Turn:
    """When the caller's speech began and ended, in loop time."""

    onset: float
    end: float


async def _start_turn(caller: Caller, samples: Samples) -> _Turn:
    begin, end = speech_span(samples, RATE)
    caller.mouth.say(samples)
    await caller.mouth.quiet.wait()
    return _Turn(caller.mouth.began + begin, caller.mouth.began + end)


async def _reply_ends(caller: Caller, turn: _Turn) -> None:
    clock = asyncio.get_running_loop().time

    def ended() -> bool:
        last = caller.ear.last_audible(turn.end)
        recent = caller.events_since(turn.onset)
        states = [(at, e["state"]) for at, e in recent if e["type"] == "state"]
        if not states:
            return last is not None and clock() - last > SILENT_SERVER_PAUSE
        # An answer may also be silence: "stop" wants none.
        answered = any(at >= turn.end and state == "thinking" for at, state in states)
        at, state = states[-1]
        quiet = clock() - max(last or at, at) > PAUSE_SECONDS
        return answered and state == "listening" and quiet

    def begun() -> bool:
        return caller.ear.first_audible(turn.end) is not None or ended()

    await caller.until(begun, REPLY_TIMEOUT, "no answer was heard")
    await caller.until(ended, REPLY_LIMIT, "the answer did not end")


async def _reply_reaches(caller: Caller, turn: _Turn, seconds: float) -> None:
    clock = asyncio.get_running_loop().time

    def reached() -> bool:
        first = caller.ear.first_audible(turn.end)
        return first is not None and clock() >= first + seconds

    await caller.until(reached, REPLY_TIMEOUT, "no answer was heard")


def _result(caller: Caller, turn: _Turn, following: _Turn | None) -> TurnResult:
    until = following.end if following else math.inf
    # The server may have heard several turns in one: whatever began before the next was said.
    numbers = {
        event["turn"]
        for at, event in caller.events_since(turn.onset)
        if event["type"] == "user.started" and at < (following.onset if following else math.inf)
    }
    events = [event for _, event in caller.events_since(turn.onset) if event.get("turn") in numbers]
    replies = [event for event in events if event["type"] == "reply.ended"]
    heard = [e["text"] for e in events if e["type"] == "user.transcript" and e["final"]]
    interrupted = any(reply["interrupted"] for reply in replies)
    first = caller.ear.first_audible(turn.end)
    # The answer to an interruption comes no sooner than its end of turn is decided.
    last = caller.ear.last_audible(turn.end, until + DECISION_SECONDS)
    if first is None or last is None or first > until:
        first = last = None
    stopped = following and last and interrupted and last < until + DECISION_SECONDS / 2
    return TurnResult(
        transcript=" ".join(heard),
        reply=" ".join(reply["heard"].strip() for reply in replies),
        first_audio_ms=_milliseconds(first - turn.end) if first else None,
        reply_seconds=round(last - first, 3) if first and last else 0.0,
        interrupted=interrupted,
        stop_ms=_milliseconds(max(0.0, last - following.onset))
        if following and last and stopped
        else None,
    )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def main(args: argparse.Namespace) -> int:
    """Run the command line's call; returns the exit code."""
    try:
        inputs = [read_speech(path) for path in args.inputs]
        result, heard = asyncio.run(
            make_call(args.url, inputs, args.interrupt_after, args.transport)
        )
        write_audio(args.output, heard, RATE)
    except (AudioFileError, CallFailed) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(result), ensure_ascii=False))
    else:
        print(f"connected in {result.setup_ms:.0f} ms")
        for turn in result.turns:
            print(f"> {turn.transcript}")
            late = "no answer" if turn.first_audio_ms is None else f"{turn.first_audio_ms:.0f} ms"
            cut = ", interrupted" if turn.interrupted else ""
            print(f"< {turn.reply}  ({late}, {turn.reply_seconds:.1f} s{cut})")
    return 0


def read_speech(path: Path) -> Samples:
    """A recording to say, mono at RATE Hz. Raises AudioFileError, also when it is silent."""
    samples = read_audio(path, RATE)
    try:
        speech_span(samples, RATE)
    except AudioFileError as error:
        raise AudioFileError(f"{path}: {error}") from None
    return samples
