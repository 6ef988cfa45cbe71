"""What happens in one trial, drawn from its scenario: the same for the same seed.

espeak-ng's voices waver, by chance and by all that they have said before. So a suite is drawn whole
and in a process of its own, where nothing was said yet: there each voice wavers in the same way.
"""

import random
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from bench.audio import AudioFileError
from bench.bargein.acoustics import EchoPath
from bench.bargein.noises import Sound, noise
from bench.bargein.sounds import (
    NOMINAL,
    SUFFIXES,
    active_level,
    amplified,
    begin_voices,
    halves,
    leveled,
    paused,
    recorded,
    synthesized,
)
from bench.bargein.suite import PAUSE, Range, Scenario, Speech, Suite
from bench.call import read_speech
from bench.caller import RATE
from bench.impairment import Conditions
from bench.voices import CALLER_VOICES, speak
from media.frames import Samples

QUESTION_LEVEL = -20.0  # dBFS; what was asked is not what is tried
NOISE_SEEDS = 2  # so many loops of each kind of noise there are


@dataclass(frozen=True, slots=True)
class Utterance:
    """What the caller says, mono at RATE Hz without silence around it, and in words.

    `pause`: from where to where in it the caller pauses, in seconds. `over_echo`: see `Speech`.
    """

    samples: Samples
    text: str
    pause: tuple[float, float] | None = None
    over_echo: float | None = None

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


@dataclass(frozen=True, slots=True)
class Plan:
    """`after` and `word` are the moment in the answer, one of them; of `noise` the RMS is to be
    `noise_level` dBFS, and it begins at its sample `noise_at`.
    """

    number: int
    question: Samples
    utterance: Utterance | None = None
    after: float | None = None
    word: int | None = None
    seconds: float | None = None
    echo: EchoPath | None = None
    noise: Sound | None = None
    noise_level: float = 0.0
    noise_at: int = 0
    noise_always: bool = False
    network: Conditions | None = None
    seed: int = 0


def draw_suite(suite: Suite, seed: int, recordings: Sequence[Path]) -> Mapping[str, Sequence[Plan]]:
    """The plans of each scenario's trials; none where it needs recordings and there are none.

    Takes seconds, in another process. Raises AudioFileError.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_draw_suite, suite, seed, recordings).result()


def _draw_suite(
    suite: Suite, seed: int, recordings: Sequence[Path]
) -> Mapping[str, Sequence[Plan]]:
    begin_voices(seed)
    for voice in CALLER_VOICES:
        asked(suite.question, voice)
    return {
        scenario.name: [
            draw(suite, scenario, number, seed, recordings) for number in range(scenario.repeat)
        ]
        for scenario in suite.scenarios
        if recordings or not (scenario.caller and scenario.caller.recordings)
    }


def draw(
    suite: Suite, scenario: Scenario, number: int, seed: int, recordings: Sequence[Path]
) -> Plan:
    """The plan of a scenario's trial of this number, from 0. Raises AudioFileError."""
    chance = random.Random(f"{seed} {scenario.name} {number}")
    question = asked(suite.question, chance.choice(CALLER_VOICES))
    speech, level = scenario.caller, NOMINAL
    utterance = None
    if speech:
        level = _within(speech.level, chance)
        utterance = _utterance(speech, scenario.pauses, level, number, chance, recordings)
    at, echo, network = scenario.at, scenario.echo, scenario.network
    loop, under = None, 0.0
    if scenario.noise:
        loop = noise(scenario.noise.kind, chance.randrange(NOISE_SEEDS))
        under = (level if speech else scenario.noise.level) - _within(scenario.noise.snr, chance)
    return Plan(
        number=number,
        question=question,
        utterance=utterance,
        after=_within(at.after, chance) if at and at.after else None,
        word=at.word if at else None,
        seconds=scenario.seconds,
        echo=EchoPath(
            delay=_within(echo.delay, chance),
            coupling=_within(echo.coupling, chance),
            nonlinearity=_within(echo.nonlinearity, chance),
            reverberation=_within(echo.reverberation, chance),
        )
        if echo
        else None,
        noise=loop,
        noise_level=under,
        noise_at=chance.randrange(len(loop)) if loop is not None else 0,
        noise_always=bool(scenario.noise and scenario.noise.always),
        network=Conditions(
            loss=network.loss / 100,
            burst=network.burst,
            jitter=network.jitter / 1000,
            delay=network.delay / 1000,
            seed=chance.randrange(2**31),
        )
        if network
        else None,
        seed=chance.randrange(2**31),
    )


@cache
def asked(question: str, voice: str) -> Samples:
    """What makes the bot speak long, to be said. Raises AudioFileError."""
    if question.lower().endswith(SUFFIXES):
        return leveled(read_speech(Path(question)), QUESTION_LEVEL)
    return leveled(speak(question, voice), QUESTION_LEVEL)


def _utterance(
    speech: Speech,
    pauses: Range | None,
    level: float,
    number: int,
    chance: random.Random,
    recordings: Sequence[Path],
) -> Utterance:
    over_echo = _within(speech.over_echo, chance) if speech.over_echo else None
    # Each comes up equally often, and which comes when is not what the seed is for.
    if speech.recordings:
        if not recordings:
            raise AudioFileError("there are no recordings to say")
        path = recordings[number % len(recordings)]
        text, parts = path.stem, [recorded(path, speech.seconds)]
        if pauses:
            parts = list(halves(parts[0]))
    else:
        text = speech.say[number % len(speech.say)]
        state = chance.getrandbits(64)  # both parts are said by the same person
        parts = [
            synthesized(part.strip(), speech.language, random.Random(state))
            for part in text.split(PAUSE)
        ]
    parts = [amplified(part, level - active_level(part)) for part in parts]
    if not pauses:
        return Utterance(parts[0], text, None, over_echo)
    pause = _within(pauses, chance)
    begin = len(parts[0]) / RATE
    return Utterance(paused(parts[0], parts[1], pause), text, (begin, begin + pause), over_echo)


def _within(limits: Range, chance: random.Random) -> float:
    return chance.uniform(*limits)
