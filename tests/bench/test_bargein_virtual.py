"""The bench against a session, on virtual time: every figure of it is exact.

At each multiple of 20 ms the line gives the session a frame of the caller's and pulls one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from bench.bargein.judge import Reference, judge, words_of
from bench.bargein.plan import Plan, Utterance
from bench.bargein.results import Expected, Trial
from bench.bargein.trial import play
from bench.caller import RATE as MOUTH_RATE
from bench.caller import Caller
from inference.protocol import Chunk, Speech, Transcript, TurnId, Voice
from media.events import Event
from media.frames import Samples
from server.session import OUTPUT_RATE, Session, SessionSettings
from signaling.transport import EVENT
from tests.server.scripted import (
    INFO,
    TICK,
    TURNS,
    ScriptedEngine,
    ScriptedSession,
    says,
    tone,
)
from tests.virtual_time import settle, until

pytestmark = pytest.mark.virtual_time

WORD_SECONDS = 0.25


def sound(seconds: float, level: int = 8000) -> Samples:
    return np.full(round(seconds * MOUTH_RATE), level, dtype=np.int16)


def story(words: int = 200) -> Any:
    """A long answer, a word each WORD_SECONDS."""

    async def answer(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Transcript(turn, "tell me a story", final=True)
        for number in range(words):
            yield Speech(tone(WORD_SECONDS, 5000), OUTPUT_RATE, f"word{number} ")

    return answer


@asynccontextmanager
async def call() -> AsyncIterator[Caller]:
    """A caller whose first question is answered with a story, and every other with a sentence."""
    engine = ScriptedEngine([story(), *(says(1.0, 7000, "yes") for _ in range(9))], INFO)
    session = Session(engine, Voice("priya"), TURNS, SessionSettings())
    await session.open()
    leg = session.leg("webrtc", None)
    caller = Caller("http://in-memory", "tcp")

    def tell(event: Event, seq: int) -> None:
        caller.receive_event({"type": event.type, **asdict(event)})

    async def carry() -> None:
        tick = round(asyncio.get_running_loop().time() / TICK) + 1
        while True:
            await until(tick * TICK)
            spoken = caller.mouth.pull()
            leg.receive_frame(spoken.reshape(-1, 3)[:, :2].ravel())  # 24 kHz to 16 kHz, of a level
            await settle()
            caller.hear(leg.pull())
            tick += 1

    leg.events.on(EVENT, tell)
    leg.start()
    line = asyncio.create_task(carry())
    try:
        yield caller
    finally:
        line.cancel()
        await asyncio.gather(line, return_exceptions=True)
        await session.close()


ASK = Plan(0, question=sound(0.6))


async def reference() -> Reference:
    async with call() as caller:
        take = await play(caller, replace(ASK, seconds=6.0))
    answer = take.answers[0]
    begin = round(answer.start * MOUTH_RATE)
    return Reference(take.recording[begin:], words_of(take.events, answer), None)


async def tried(expected: Expected, plan: Plan) -> Trial:
    known = await reference()
    async with call() as caller:
        take = await play(caller, plan)
    return judge("s", 0, expected, "stop", take, known)


def over(seconds: float, level: int = 8000, **changes: Any) -> Plan:
    """The caller speaks for so long, 1.5 s into the answer."""
    plan = replace(ASK, utterance=Utterance(sound(seconds, level), "stop"), after=1.51)
    return replace(plan, **changes)


async def test_an_interruption() -> None:
    trial = await tried("stop", over(0.8))
    assert trial.outcome == "stopped"
    assert trial.false_interruptions == 0
    assert trial.resume is None
    assert trial.stop_ms is not None
    assert 0 < trial.stop_ms <= 200
    assert trial.response_ms is not None
    assert 400 <= trial.response_ms <= 600
    assert trial.history_error is not None
    assert trial.history_error <= 1
    # EXACT MS: what stop_ms, response_ms, history_error are, to the window of 5 ms.


async def test_the_same_is_measured_again() -> None:
    one, other = await tried("stop", over(0.8)), await tried("stop", over(0.8))
    assert (one.stop_ms, one.response_ms) == (other.stop_ms, other.response_ms)
    assert (one.bot_seconds, one.history_error) == (other.bot_seconds, other.history_error)


async def test_after_a_word() -> None:
    trial = await tried("stop", over(0.8, after=None, word=4))
    assert trial.outcome == "stopped"
    assert trial.onset is not None
    assert trial.stop is not None
    # The fourth word ends 1.0 s into the answer; all before it was heard.
    assert trial.bot_seconds == pytest.approx(
        4 * WORD_SECONDS + (trial.stop - trial.onset), abs=0.1
    )
    # EXACT MS: trial.bot_seconds.


async def test_a_click_is_nothing() -> None:
    trial = await tried("continue", over(0.04))
    assert trial.outcome == "continued"
    assert trial.false_interruptions == 0
    # EXACT MS: trial.gap_ms (0 where a click only ducks).


async def test_an_answer_that_nobody_speaks_over() -> None:
    trial = await tried("continue", replace(ASK, seconds=10.0))
    assert (trial.outcome, trial.gap_ms) == ("continued", 0.0)
    assert trial.bot_seconds == pytest.approx(10.0, abs=0.05)


@pytest.mark.parametrize(("pause", "outcome"), [(0.3, "waited"), (0.9, "took_over")])
async def test_a_pause(pause: float, outcome: str) -> None:
    said = np.concatenate((sound(0.6), np.zeros(round(pause * MOUTH_RATE), np.int16), sound(0.6)))
    utterance = Utterance(said, "tell me | a story", (0.6, 0.6 + pause))
    trial = await tried("wait", replace(ASK, utterance=utterance))
    assert trial.outcome == outcome
    # EXACT MS: trial.response_ms where it waited (the end-of-turn delay and two ticks).
