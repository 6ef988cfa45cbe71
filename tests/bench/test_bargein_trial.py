"""Trials on virtual time with a bot of a few lines: what is said when, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.audio import AudioFileError
from bench.bargein.acoustics import EchoPath
from bench.bargein.judge import Reference, judge
from bench.bargein.microphone import Microphone
from bench.bargein.noises import noise
from bench.bargein.plan import Plan, Utterance, draw, draw_suite
from bench.bargein.results import Expected, Trial
from bench.bargein.sounds import active_level
from bench.bargein.suite import Suite, parse_suite
from bench.bargein.trial import MOST_ANSWERS, play
from bench.caller import RATE, Caller
from bench.dial import CallFailed
from media.frames import Samples, frame_length, silence
from tests.virtual_time import until

pytestmark = pytest.mark.virtual_time

TICK = 0.02
FRAME = frame_length(RATE)


def sound(seconds: float, level: int = 8000, half_period: int = 20) -> Samples:
    """A square wave: its loudness is its level, from the first sample to the last."""
    high = np.arange(round(seconds * RATE)) // half_period % 2 == 0
    return np.where(high, level, -level).astype(np.int16)


class Bot:
    """Answers what is louder than a whisper, 0.4 s after its end, and stops or not.

    `stops_after` so much of the caller's sound, and then it `resumes_after` so much silence;
    `lasts` so long at most; `greets` so long.
    """

    def __init__(
        self,
        stops_after: float | None = 0.1,
        resumes_after: float | None = None,
        lasts: float = 100.0,
        answers: bool = True,
        events: bool = True,
        patience: float = 0.4,
        greets: float = 0.0,
    ) -> None:
        self.stops_after, self.resumes_after = stops_after, resumes_after
        self.lasts, self.answers, self.events, self.patience = lasts, answers, events, patience
        self.turn = 0
        self.left = greets  # seconds of sound
        self.held = 0.0
        self.loud = self.quiet = 0.0

    def tick(self, heard: Samples, tell: Callable[[dict[str, Any]], None]) -> Samples:
        if np.abs(heard).max() > 300:
            self.loud, self.quiet = self.loud + TICK, 0.0
        else:
            self.quiet += TICK
            if self.quiet > self.patience:
                self._answer(tell)
        if self.left > 0 and self.stops_after is not None and self.loud >= self.stops_after - 0.001:
            self.held, self.left = self.left, 0.0
            if self.resumes_after is None:
                self._end(tell, interrupted=True)
        if self.left <= 0:
            return silence(FRAME)
        self.left -= TICK
        if self.left <= 0.001:
            self.left = 0.0
            self._end(tell, interrupted=False)
        return sound(TICK, 5000, 30)

    def _answer(self, tell: Callable[[dict[str, Any]], None]) -> None:
        if self.held and self.resumes_after is not None:
            if self.quiet >= self.resumes_after:
                self.left, self.held, self.loud = self.held, 0.0, 0.0
            return
        if self.loud >= 0.1 and self.answers and not self.left:
            self.turn += 1
            self.left = self.lasts
            if self.events:
                tell({"type": "reply.started", "turn": self.turn})
        self.loud = 0.0

    def _end(self, tell: Callable[[dict[str, Any]], None], interrupted: bool) -> None:
        if self.events and self.turn:
            event = {"type": "reply.ended", "turn": self.turn, "text": "", "heard": "one two"}
            tell({**event, "interrupted": interrupted})


@asynccontextmanager
async def call(bot: Bot) -> AsyncIterator[Caller]:
    caller = Caller("http://bot", "tcp")
    if bot.events:
        caller.receive_event({"type": "state", "state": "listening"})

    async def carry() -> None:
        tick = round(asyncio.get_running_loop().time() / TICK) + 1
        while True:
            await until(tick * TICK)
            caller.hear(bot.tick(caller.mouth.pull(), caller.receive_event))
            tick += 1

    line = asyncio.create_task(carry())
    try:
        yield caller
    finally:
        line.cancel()
        await asyncio.gather(line, return_exceptions=True)


async def tried(
    bot: Bot, expected: Expected, plan: Plan, reference: Reference | None = None
) -> Trial:
    async with call(bot) as caller:
        take = await play(caller, plan)
    return judge("s", 0, expected, "stop", take, reference)


ASK = Plan(0, question=sound(0.5))
OVER = replace(ASK, utterance=Utterance(sound(0.4), "stop"), after=1.0)


async def test_a_bot_that_stops() -> None:
    trial = await tried(Bot(stops_after=0.1), "stop", OVER)
    assert trial.outcome == "stopped"
    # Heard a frame late, and confirmed at the end of the frame in which 0.1 s were said.
    assert trial.stop_ms == pytest.approx(100, abs=25)
    assert trial.onset is not None
    assert trial.speech_end == pytest.approx(trial.onset + 0.4)
    assert trial.response_ms == pytest.approx(420, abs=25)
    assert trial.bot_seconds == pytest.approx(1.1, abs=0.05)


async def test_a_bot_that_is_deaf() -> None:
    assert (await tried(Bot(stops_after=None), "stop", OVER)).outcome == "missed"
    trial = await tried(Bot(stops_after=None), "continue", OVER)
    assert (trial.outcome, trial.gap_ms) == ("continued", 0.0)


async def test_a_bot_that_resumes() -> None:
    bot = Bot(stops_after=0.1, resumes_after=0.5)
    trial = await tried(bot, "continue", OVER)
    assert (trial.outcome, trial.false_interruptions) == ("continued", 0)
    assert trial.gap_ms == pytest.approx(800, abs=50)
    assert trial.resume is not None
    trial = await tried(Bot(stops_after=0.1, resumes_after=0.5), "stop", OVER)
    assert trial.outcome == "missed"


async def test_a_bot_that_stops_for_anything() -> None:
    trial = await tried(Bot(), "continue", OVER)
    assert (trial.outcome, trial.false_interruptions) == ("false_interruption", 1)
    assert trial.response is not None


async def test_a_bot_without_events() -> None:
    assert (await tried(Bot(events=False), "stop", OVER)).outcome == "stopped"
    # Its next answer comes late enough to tell it from a pause in the first.
    bot = Bot(events=False, patience=1.0)
    assert (await tried(bot, "continue", OVER)).outcome == "false_interruption"
    with pytest.raises(CallFailed, match="which words"):
        await tried(Bot(events=False), "stop", replace(OVER, after=None, word=3))


async def test_a_greeting_is_heard_out() -> None:
    trial = await tried(Bot(greets=3.0, stops_after=0.1), "stop", OVER)
    assert trial.outcome == "stopped"
    assert trial.onset is not None
    assert trial.onset > 3.0 + 0.7 + 0.5 + 1.0


async def test_a_bot_that_says_nothing() -> None:
    with pytest.raises(CallFailed, match="no answer was heard within 15 s"):
        await tried(Bot(answers=False), "stop", OVER)


async def test_an_answer_that_does_not_last_is_asked_for_again() -> None:
    with pytest.raises(CallFailed, match="3 answers did not last"):
        await tried(Bot(lasts=0.5), "stop", OVER)


async def test_seconds_of_answers() -> None:
    trial = await tried(Bot(lasts=4.0), "continue", replace(ASK, seconds=10.0))
    assert (trial.outcome, trial.onset) == ("continued", None)
    assert trial.bot_seconds == pytest.approx(10.0, abs=0.1)


async def test_a_bot_that_interrupts_itself() -> None:
    echoes = replace(ASK, seconds=10.0, echo=EchoPath(delay=0.1))
    trial = await tried(Bot(stops_after=0.1, lasts=8.0), "continue", echoes)
    assert trial.outcome == "false_interruption"
    assert 3 <= trial.false_interruptions <= MOST_ANSWERS
    assert trial.bot_seconds < 5.0
    deaf = await tried(Bot(stops_after=None), "continue", echoes)
    assert deaf.outcome == "continued"
    assert deaf.bot_seconds == pytest.approx(10.0, abs=0.1)


async def test_noise_is_heard_over_answers_alone() -> None:
    noisy = replace(ASK, seconds=3.0, noise=noise("white", 1), noise_level=-33.0)
    assert (await tried(Bot(), "continue", noisy)).outcome == "false_interruption"
    # Where it is there from the beginning, this bot never hears the end of a question.
    with pytest.raises(CallFailed, match="no answer"):
        await tried(Bot(), "continue", replace(noisy, noise_always=True))


@pytest.mark.parametrize(("patience", "outcome"), [(0.4, "took_over"), (0.8, "waited")])
async def test_a_pause(patience: float, outcome: str) -> None:
    said = np.concatenate((sound(0.5), silence(round(0.6 * RATE)), sound(0.5)))
    plan = replace(ASK, utterance=Utterance(said, "tell me | a story", (0.5, 1.1)))
    trial = await tried(Bot(patience=patience, stops_after=None), "wait", plan)
    assert trial.outcome == outcome


async def test_a_caller_over_his_own_echo() -> None:
    """6 dB louder than it is at his microphone, whatever his words were made with."""
    words = replace(OVER, utterance=Utterance(sound(0.4), "stop", None, 6.0), after=2.0)
    async with call(Bot(stops_after=None)) as caller:
        take = await play(caller, replace(words, echo=EchoPath(delay=0.1, coupling=-20)))
    assert take.said is not None
    before, within = take.said[0] - 0.5, take.said[0] + 0.1
    echo = np.median(take.caller[round(before / 0.005) : round(take.said[0] / 0.005)])
    both = np.median(take.caller[round(within / 0.005) : round(take.said[1] / 0.005)])
    assert both - echo == pytest.approx(10 * np.log10(1 + 10**0.6), abs=1.0)
    with pytest.raises(CallFailed, match="no echo"):
        await tried(Bot(), "stop", replace(words, echo=EchoPath(coupling=-150)))


# The microphone


async def test_what_a_microphone_hears() -> None:
    async with call(Bot()) as caller:
        plan = replace(ASK, noise=noise("white", 1), noise_level=-30.0)
        microphone = Microphone(caller.ear, plan)
        heard = {}
        for noisy, muted in ((False, False), (True, False), (True, True)):
            microphone.noisy, microphone.muted = noisy, muted
            heard[noisy, muted] = np.concatenate(
                [microphone.mix(silence(FRAME)) for _ in range(50)]
            )
    assert not heard[False, False].any()
    assert not heard[True, True].any()
    assert active_level(heard[True, False]) == pytest.approx(-30, abs=0.5)


async def test_the_echo_is_that_of_what_is_played_now() -> None:
    caller = Caller("http://bot", "tcp")
    path = EchoPath(delay=0.2, coupling=-10, nonlinearity=0.0, reverberation=0.1)
    microphone = Microphone(caller.ear, replace(ASK, echo=path))
    chance = np.random.default_rng(1)
    for tick in range(1, 60):
        await until(tick * TICK)
        # 0.4 s of sound arrive as a burst would: three frames at once, then one by one.
        for _ in range(3 if tick == 20 else 1 if 20 < tick < 38 else 0):
            caller.hear((chance.normal(0, 3000, FRAME)).astype(np.int16))
        microphone.mix(silence(FRAME))
    loud = np.abs(microphone.recording(0.0)) > 300
    first, last = np.flatnonzero(loud)[[0, -1]] / RATE
    assert first == pytest.approx(0.4 + 0.2, abs=0.02)
    assert last == pytest.approx(0.4 + 0.4 + 0.2, abs=0.1)


async def test_an_ear_remembers_a_stretch() -> None:
    caller = Caller("http://bot", "tcp")
    for tick in range(1, 6):
        await until(tick * TICK)
        caller.hear(np.full(FRAME, tick, dtype=np.int16))
    heard = caller.ear.between(0.03, 0.07)
    assert [heard[0], heard[FRAME // 2], heard[-1]] == [1, 2, 3]
    assert not caller.ear.between(0.13, 0.15).any()


# Drawing


def suite(**scenario: Any) -> Suite:
    return parse_suite({"name": "x", "scenarios": [{"name": "s", **scenario}]}, "x.yaml")


STOP: dict[str, Any] = {"expect": "stop", "at": {"after": [1, 2]}}


def test_plans_are_within_their_ranges_and_differ() -> None:
    found = suite(
        **STOP,
        caller={"say": ["stop", "wait"], "level": [-40, -30]},
        echo={"delay": [0.1, 0.3]},
        noise={"kind": "white", "snr": 10},
        network={"loss": 2, "jitter": 10},
    )
    plans = [draw(found, found.scenarios[0], number, 1, []) for number in range(6)]
    assert [plan.utterance.text for plan in plans if plan.utterance] == ["stop", "wait"] * 3
    for plan in plans:
        assert plan.utterance is not None
        assert plan.after is not None
        assert plan.echo is not None
        assert plan.network is not None
        level = active_level(plan.utterance.samples)
        assert -40.1 < level < -29.9
        assert plan.noise_level == pytest.approx(level - 10, abs=0.2)
        assert 1 <= plan.after <= 2
        assert 0.1 <= plan.echo.delay <= 0.3
        assert (plan.network.loss, plan.network.jitter) == (0.02, 0.01)
    assert len({plan.after for plan in plans}) == len({plan.seed for plan in plans}) == 6


def test_a_pause_is_put_where_the_words_have_it() -> None:
    found = suite(expect="wait", caller={"say": ["tell me | a story"]}, pauses=0.5)
    utterance = draw(found, found.scenarios[0], 0, 1, []).utterance
    assert utterance is not None
    assert utterance.pause is not None
    begin, end = (round(at * RATE) for at in utterance.pause)
    assert end - begin == pytest.approx(0.5 * RATE, abs=2)
    assert not utterance.samples[begin:end].any()
    assert utterance.samples[:begin].any()
    assert utterance.samples[end:].any()


def test_recordings_are_wanted_and_missing() -> None:
    found = suite(**STOP, caller={"recordings": "true"})
    with pytest.raises(AudioFileError, match="no recordings"):
        draw(found, found.scenarios[0], 0, 1, [])


def test_a_suite_is_drawn_the_same_for_the_same_seed() -> None:
    found = suite(**STOP, caller={"say": ["stop", "what time is it"]}, repeat=2)

    def drawn() -> list[tuple[float | None, bytes, bytes]]:
        plans = draw_suite(found, 1, [])["s"]
        return [
            (plan.after, plan.question.tobytes(), plan.utterance.samples.tobytes())
            for plan in plans
            if plan.utterance
        ]

    first = drawn()
    assert first == drawn()
    others = [draw(found, found.scenarios[0], number, 2, []).after for number in range(2)]
    assert [after for after, *_ in first] != others
