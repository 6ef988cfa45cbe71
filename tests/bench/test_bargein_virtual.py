"""The bench against a session, on virtual time: every figure of it is exact.

At each multiple of 20 ms the line gives the session a frame of the caller's and pulls one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.bargein.judge import Reference, judge, words_of
from bench.bargein.plan import Plan, Utterance, draw
from bench.bargein.results import Expected, Report, Trial
from bench.bargein.runner import play_suite
from bench.bargein.sounds import NOMINAL, leveled
from bench.bargein.suite import Suite, parse_suite
from bench.bargein.targets import Target
from bench.bargein.trial import play
from bench.caller import RATE as MOUTH_RATE
from bench.caller import Caller
from inference.protocol import Chunk, OnTranscript, Speech, Transcript, TurnId, Voice
from media.events import Event
from media.frames import AudioFrame, Samples
from media.interruption import InterruptionSettings
from media.phrases import make_phrases
from server.dialogue import TurnTaking
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
async def call(
    turns: TurnTaking = TURNS, make_engine: Callable[..., ScriptedEngine] = ScriptedEngine
) -> AsyncIterator[Caller]:
    """A caller whose first question is answered with a story, and every other with a sentence."""
    engine = make_engine([story(), *(says(1.0, 7000, "yes") for _ in range(9))], INFO)
    session = Session(engine, Voice("priya"), turns, SessionSettings())
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
    # 0.12 s, and a frame until what was heard can be cut; then the end-of-turn delay.
    assert (trial.stop_ms, trial.response_ms, trial.history_error) == (130.0, 400.0, 0)


async def test_the_same_is_measured_again() -> None:
    one, other = await tried("stop", over(0.8)), await tried("stop", over(0.8))
    assert (one.stop_ms, one.response_ms) == (other.stop_ms, other.response_ms)
    assert (one.bot_seconds, one.history_error) == (other.bot_seconds, other.history_error)


async def test_after_a_word() -> None:
    trial = await tried("stop", over(0.8, after=None, word=4))
    assert trial.outcome == "stopped"
    # The fourth word ends 1.0 s into the answer.
    assert trial.bot_seconds == 1.11


async def test_a_click_is_nothing() -> None:
    trial = await tried("continue", over(0.04))
    assert (trial.outcome, trial.false_interruptions, trial.gap_ms) == ("continued", 0, 0.0)


async def test_an_answer_that_nobody_speaks_over() -> None:
    trial = await tried("continue", replace(ASK, seconds=10.0))
    assert (trial.outcome, trial.gap_ms) == ("continued", 0.0)
    assert trial.bot_seconds == pytest.approx(10.0, abs=0.05)


@pytest.mark.parametrize(
    ("pause", "outcome", "response_ms"), [(0.3, "waited", 400.0), (0.9, "took_over", None)]
)
async def test_a_pause(pause: float, outcome: str, response_ms: float | None) -> None:
    said = np.concatenate((sound(0.6), np.zeros(round(pause * MOUTH_RATE), np.int16), sound(0.6)))
    utterance = Utterance(said, "tell me | a story", (0.6, 0.6 + pause))
    trial = await tried("wait", replace(ASK, utterance=utterance))
    assert trial.outcome == outcome
    if outcome == "waited":
        assert trial.response_ms == response_ms


# Suites, with the policy as it is by default


SUITE = """
name: virtual
scenarios:
  - {name: stop, expect: stop, caller: {say: [stop]}, at: {after: 1.51}}
  - {name: question, expect: stop, caller: {say: [what time is it]}, at: {after: 1.51}}
  - {name: after-a-word, expect: stop, caller: {say: [stop]}, at: {word: 4}}
  - {name: backchannel, expect: continue, caller: {say: [uh-huh]}, at: {after: 1.51}}
  - {name: cough, expect: continue, caller: {say: [ahem]}, at: {after: 1.51}}
  - {name: click, expect: continue, caller: {say: [tk]}, at: {after: 1.51}}
  - name: soft
    expect: continue
    caller: {say: [uh-huh], level: -34}
    at: {after: 1.51}
thresholds:
  stop_p95_ms: 150
  gap_p95_ms: 1000
  missed_percent: 0
  false_percent: 0
  history_error: 0
"""

LENGTHS = {"stop": 0.3, "what time is it": 1.0, "uh-huh": 0.4, "ahem": 0.2, "tk": 0.03}
KNOWN = {0.3: "stop", 0.4: "uh-huh", 0.6: "tell me a story"}
"""Seconds, and the words that the engine makes of so much sound."""
RECOGNISED_AFTER = 0.08  # seconds of silence

POLICY = InterruptionSettings(echo_gate=False)
WORDS = make_phrases(["uh-huh"], ["stop"])


class Recognising(ScriptedSession):
    """Knows words by how long they are, a moment after their end."""

    def __init__(self, script: list[Any], on_transcript: OnTranscript) -> None:
        super().__init__(script, on_transcript)
        self._turn, self._loud, self._quiet = 0, 0, 0

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        super().listen(turn, frame)
        if turn != self._turn:
            self._turn, self._loud, self._quiet = turn, 0, 0
        loud = bool(np.abs(frame.samples).max() > 300)
        self._loud, self._quiet = self._loud + loud, 0 if loud else self._quiet + 1
        if self._quiet == round(RECOGNISED_AFTER / TICK):
            # A frame at each end may be half a one.
            for seconds, words in KNOWN.items():
                if 0 <= self._loud - round(seconds / TICK) <= 1:
                    self.on_transcript(Transcript(turn, words, final=False))
                    break


class RecognisingEngine(ScriptedEngine):
    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator[ScriptedSession]:
        yield Recognising(self._script, on_transcript)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said by a synthesizer, in a process or a thread: they are not on virtual time."""

    def synthesized(text: str, language: str, chance: object) -> Samples:
        return leveled(sound(LENGTHS[text]), NOMINAL)

    def draw_suite(suite: Suite, seed: int, recordings: Sequence[Path]) -> Any:
        return {s.name: [draw(suite, s, 0, seed, recordings)] for s in suite.scenarios}

    async def to_thread(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr("bench.bargein.plan.synthesized", synthesized)
    monkeypatch.setattr(
        "bench.bargein.plan.asked", lambda question, voice: leveled(sound(0.6), -20.0)
    )
    monkeypatch.setattr("bench.bargein.runner.draw_suite", draw_suite)
    monkeypatch.setattr(asyncio, "to_thread", to_thread)


async def played(**changes: Any) -> Report:
    suite = parse_suite(yaml.load(SUITE, yaml.BaseLoader), "virtual.yaml")
    turns = replace(TURNS, interruption=replace(POLICY, **changes), phrases=WORDS)
    target = Target("virtual", lambda relay: call(turns, RecognisingEngine), False)
    return await play_suite(
        suite, target, scenarios=suite.scenarios, recordings=[], seed=1, calls=20
    )


def figures(report: Report) -> dict[str, tuple[Any, ...]]:
    return {
        trial.scenario: (trial.outcome, trial.stop_ms, trial.gap_ms, trial.error)
        for trial in report.trials
    }


async def test_a_suite_from_its_text_to_its_limits(at_once: None) -> None:
    """Held at the sixth frame of the caller's; what was nothing goes on where it was cut: 0.1 s
    after a backchannel, 0.6 s after what was not understood; a soft one makes no gap."""
    report = await played()
    assert figures(report) == {
        "stop": ("stopped", 110.0, None, ""),
        "question": ("stopped", 110.0, None, ""),
        "after-a-word": ("stopped", 110.0, None, ""),
        "backchannel": ("continued", None, 390.0, ""),
        "cough": ("continued", None, 690.0, ""),
        "click": ("continued", None, 0.0, ""),
        "soft": ("continued", None, 0.0, ""),
    }
    assert {trial.response_ms for trial in report.trials if trial.expected == "stop"} == {400.0}
    whole = report.summaries[-1]
    assert (whole.scenario, whole.trials, whole.failed) == ("all", 7, 0)
    assert (whole.stop_ms, whole.response_ms) == ((110.0, 110.0), (400.0, 400.0))
    assert (whole.missed_percent, whole.false_percent, whole.false_per_hour) == (0.0, 0.0, 0.0)
    assert (whole.gap_ms, whole.resumed_percent) == ((390.0, 690.0), 100.0)
    assert whole.history_error == 0.0
    assert [check.metric for check in report.checks] == [
        *("stop_p95_ms", "gap_p95_ms", "missed_percent", "false_percent", "history_error"),
        "failed_percent",
    ]
    assert report.passed


@pytest.mark.parametrize(
    ("changes", "found", "broken"),
    [
        (
            {"min_duration": 0.3},
            {"question": 310.0, "stop": None},
            ["stop_p95_ms", "missed_percent"],
        ),
        (
            {"resume_false_interruption": False},
            {"question": 110.0, "stop": 110.0},
            ["false_percent", "history_error"],
        ),
        ({"enabled": False}, {"question": None, "stop": None}, ["stop_p95_ms", "missed_percent"]),
        ({"false_interruption_timeout": 1.2}, {"question": 110.0}, ["gap_p95_ms"]),
    ],
)
async def test_a_worse_policy_breaks_limits(
    at_once: None, changes: dict[str, Any], found: dict[str, float | None], broken: list[str]
) -> None:
    report = await played(**changes)
    stops = {trial.scenario: trial.stop_ms for trial in report.trials}
    assert {name: stops[name] for name in found} == found
    assert [check.metric for check in report.checks if not check.kept][: len(broken)] == broken
    assert not report.passed
