"""Plays a suite to a target, several calls at once; a call that fails is a trial that failed."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.audio import loudness
from bench.bargein.judge import Reference, Take, failed, judge, silences, words_of
from bench.bargein.plan import Plan, draw_suite
from bench.bargein.results import Report, Trial
from bench.bargein.suite import Scenario, Suite
from bench.bargein.summary import ALL, check, summarize
from bench.bargein.targets import Target
from bench.bargein.trial import play
from bench.caller import RATE, CallFailed
from bench.relay import Relay
from bench.target import median_p95

REFERENCE_SECONDS = 8.0
"""Of an answer that nobody speaks over: the moments of most scenarios lie before."""
WHOLE_SECONDS = 150.0  # where its length is to be known
TRIAL_TIMEOUT = 90.0  # and five times what is to be heard
GAP_WINDOW = 2.0  # seconds in which the longest of the answer's own pauses is looked for


async def play_suite(
    suite: Suite,
    target: Target,
    *,
    scenarios: Sequence[Scenario],
    recordings: Sequence[Path],
    seed: int,
    calls: int,
    note: Callable[[Trial], object] = lambda trial: None,
) -> Report:
    """Play these scenarios of the suite, so many calls at once; `note` is told of each trial.

    Raises AudioFileError.
    """
    notes: dict[str, str] = {}
    played: list[Scenario] = []
    for scenario in scenarios:
        if reason := _left_out(scenario, target, recordings):
            notes[scenario.name] = reason
        else:
            played.append(scenario)
    plans = await asyncio.to_thread(draw_suite, suite, seed, recordings)
    places = asyncio.Semaphore(calls)
    asking = next(plan for some in plans.values() for plan in some)
    reference = asyncio.create_task(_reference(target, played, asking, places, notes))

    async def trial(scenario: Scenario, plan: Plan) -> Trial:
        async with places:
            result = await _trial(target, scenario, plan, reference)
        note(result)
        return result

    wanted = [(scenario, plan) for scenario in played for plan in plans[scenario.name]]
    trials = await asyncio.gather(*(trial(*one) for one in wanted))
    await reference
    summaries = [
        summarize(scenario.name, [one for one in trials if one.scenario == scenario.name])
        for scenario in played
    ]
    summaries.append(summarize(ALL, trials))
    return Report(
        suite=suite.name,
        description=suite.description,
        target=target.label,
        seed=seed,
        summaries=tuple(summaries),
        checks=check(suite, summaries),
        trials=tuple(trials),
        notes=notes,
    )


def _left_out(scenario: Scenario, target: Target, recordings: Sequence[Path]) -> str | None:
    if scenario.network and not target.impairable:
        return "left out: only WebRTC can be impaired"
    if scenario.caller and scenario.caller.recordings and not recordings:
        return "left out: it takes recordings of people (--recordings FOLDER)"
    return None


async def _trial(
    target: Target,
    scenario: Scenario,
    plan: Plan,
    reference: "asyncio.Task[Reference | None]",
) -> Trial:
    said = plan.utterance.text if plan.utterance else ""
    try:
        take = await _call(target, plan)
        known = await reference
        # In a thread: other calls' clocks run meanwhile.
        return await asyncio.to_thread(
            judge, scenario.name, plan.number, scenario.expect, said, take, known
        )
    except (CallFailed, OSError) as error:
        text = str(error) or type(error).__name__
        return failed(scenario.name, plan.number, scenario.expect, said, text)


async def _call(target: Target, plan: Plan) -> Take:
    """Raises CallFailed."""
    limit = TRIAL_TIMEOUT + 5 * (plan.seconds or 0.0)
    relay = Relay(plan.network, f"{plan.seed}") if plan.network else None
    try:
        async with asyncio.timeout(limit), target.connect(relay) as caller:
            return await play(caller, plan)
    except TimeoutError:
        raise CallFailed(f"the trial did not end within {limit:g} s") from None


async def _reference(
    target: Target,
    played: Sequence[Scenario],
    asking: Plan,
    places: asyncio.Semaphore,
    notes: dict[str, str],
) -> Reference | None:
    """The answer as it is when nobody speaks over it; None where it could not be had."""
    words = any(scenario.at and scenario.at.word for scenario in played)
    latest = max((s.at.after[1] for s in played if s.at and s.at.after), default=0.0)
    if not any(scenario.caller and scenario.at for scenario in played) and not any(
        scenario.seconds for scenario in played
    ):
        return None
    seconds = max(REFERENCE_SECONDS, latest + 4.0) + 8.0 * words
    try:
        async with places:
            found = await _listened(target, seconds, asking)
            if not found.words and any(scenario.seconds for scenario in played):
                # Without events only its length tells whether an answer was cut.
                found = await _listened(target, WHOLE_SECONDS, asking)
    except CallFailed as error:
        notes["reference"] = f"an answer to compare others with could not be had: {error}"
        return None
    median, high = median_p95(await asyncio.to_thread(_own_pauses, found))
    notes["gaps"] = (
        f"the answer's own pauses: the longest in {GAP_WINDOW:g} s is {1000 * median:.0f} ms "
        f"in the median, {1000 * high:.0f} ms at the 95th percentile"
    )
    return found


async def _listened(target: Target, seconds: float, asking: Plan) -> Reference:
    take = await _call(target, Plan(0, asking.question, seconds=seconds))
    answer = take.answers[0]
    begin = round(answer.start * RATE)
    trial = await asyncio.to_thread(judge, "reference", 0, "continue", "", take)
    whole = trial.bot_seconds if trial.bot_seconds < seconds - 1.0 else None
    return Reference(take.recording[begin:], words_of(take.events, answer), whole)


def _own_pauses(reference: Reference) -> list[float]:
    """The longest pause in each GAP_WINDOW of the answer, every half second."""
    levels = loudness(reference.sound, RATE)
    length = reference.seconds or len(reference.sound) / RATE
    pauses = silences(levels)
    longest = []
    for begin in np.arange(0.0, max(0.5, length - GAP_WINDOW), 0.5):
        inside = [p.seconds for p in pauses if begin <= p.begin <= begin + GAP_WINDOW and p.over]
        longest.append(max(inside, default=0.0))
    return longest
