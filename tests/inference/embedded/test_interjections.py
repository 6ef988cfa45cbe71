"""Words said over an answer: heard as a phrase of the list or, rather than wrongly, not at all.

The callers' voices are none of those that the examples are spoken in.
"""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import yaml

from inference.embedded import EmbeddedEngine
from inference.embedded.hint_grammar import HintGrammar
from inference.embedded.interjections import LONGEST, Interjections, ShortSpeech
from inference.protocol import Heard, Transcript, Voice
from inference.settings import EngineSettings
from media.frames import Samples
from tests.inference.embedded.caller import answer_words, ask, caller_says, caller_words, frames

ROOT = Path(__file__).parents[3]
WORDS = yaml.safe_load((ROOT / "configs" / "words.yaml").read_text())
BACKCHANNELS = [phrase for lists in WORDS.values() for phrase in lists["backchannels"]]
VOICE = "en-us+m2"
STOPS = [phrase for lists in WORDS.values() for phrase in lists["stops"]]


def ignore(transcript: Transcript) -> None:
    """A call that does not show partial transcripts."""


@pytest.fixture(scope="module")
def hinted() -> EmbeddedEngine:
    engine = EmbeddedEngine(EngineSettings(hints=(*BACKCHANNELS, *STOPS)))
    asyncio.run(engine.warm_up())
    return engine


@pytest.fixture
def interjections(hinted: EmbeddedEngine) -> Interjections:
    return hinted.interjections


def heard(interjections: Interjections, audio: Samples) -> list[tuple[str, int]]:
    """Each text that came, and the sample by which it did."""
    short = ShortSpeech(interjections)
    return [
        (short.text, 320 * number)
        for number, frame in enumerate(frames(audio), 1)
        if short.feed(frame.samples)
    ]


def test_the_lists_are_texts_and_no_phrase_is_in_both() -> None:
    assert all(isinstance(phrase, str) for phrase in BACKCHANNELS + STOPS)
    assert not set(BACKCHANNELS) & set(STOPS)
    assert not {"no", "what", "hello", "thank you"} & set(BACKCHANNELS)


@pytest.mark.parametrize("said", ["okay", "yeah", "i see"])
def test_a_backchannel(interjections: Interjections, said: str) -> None:
    assert heard(interjections, caller_says(said, VOICE))[-1][0] in BACKCHANNELS


@pytest.mark.parametrize("said", ["stop", "hold on", "wait a minute"])
def test_a_stop(interjections: Interjections, said: str) -> None:
    assert heard(interjections, caller_says(said, VOICE))[-1][0] in STOPS


@pytest.mark.parametrize(
    ("said", "voice", "phrases"),
    [
        ("अच्छा", "hi+m2", ("achha", "accha", "अच्छा")),
        ("रुको", "hi+m2", ("ruko", "रुको")),
        ("సరే", "te+m2", ("sare", "sarey", "సరే")),
        ("ఆగండి", "te+m2", ("aagandi", "ఆగండి")),
    ],
)
def test_other_languages(
    interjections: Interjections, said: str, voice: str, phrases: tuple[str, ...]
) -> None:
    assert heard(interjections, caller_says(said, voice))[-1][0] in phrases


@pytest.mark.parametrize("said", ["no", "what", "hello", "what time is it", "tell me a poem"])
def test_anything_else_is_no_backchannel(interjections: Interjections, said: str) -> None:
    told = {text for text, _ in heard(interjections, caller_says(said, VOICE))}
    assert not told & set(BACKCHANNELS)


def test_it_is_known_within_a_tenth_of_a_second_of_its_end(interjections: Interjections) -> None:
    audio = caller_says("okay", VOICE)
    end = int(np.flatnonzero(np.abs(audio.astype(int)) > 300)[-1])
    [(_, at)] = heard(interjections, audio)
    assert at - end <= 1600


def test_a_word_of_the_users_own_in_whatever_spelling(interjections: Interjections) -> None:
    own = Interjections(["Banana", "okay"])
    said = caller_says("banana", VOICE)
    assert [text for text, _ in heard(own, said)] == ["Banana"]
    assert heard(interjections, said) == []


def test_what_goes_on_is_taken_back(interjections: Interjections) -> None:
    okay, rest = (caller_says(s, VOICE) for s in ("okay", "but what about tomorrow then"))
    texts = [text for text, _ in heard(interjections, np.concatenate([okay[:-4000], rest]))]
    assert texts[:2] == ["okay", ""]
    assert texts[-1] == ""


def test_long_speech_is_none(interjections: Interjections) -> None:
    okay = caller_says("okay", VOICE)[4000:-6400]
    again = np.concatenate([np.zeros(4800, np.int16), *[okay] * 6, np.zeros(8000, np.int16)])
    assert len(okay) * 6 > LONGEST * 16000
    short = ShortSpeech(interjections)
    for frame in frames(again):
        short.feed(frame.samples)
    assert short.over
    assert short.text == ""


@pytest.mark.parametrize("level", [0, 1, 300, 8000])
def test_noise_is_none(interjections: Interjections, level: int) -> None:
    rng = np.random.default_rng(level)
    noise = np.clip(rng.normal(0, level, 16000), -32768, 32767).astype(np.int16)
    assert heard(interjections, noise) == []


def test_any_sound_of_any_length_is_borne(interjections: Interjections) -> None:
    rng = np.random.default_rng(2)
    for length in (0, 1, 2, 399, 400, 700, 2400, 16000):
        for samples in (np.full(length, -32768), rng.integers(-32768, 32768, length)):
            assert interjections.recognise(samples.astype(np.int16)) == ""


def test_callers_who_are_heard_at_once_are_heard_as_alone() -> None:
    grammar = HintGrammar((*BACKCHANNELS, *STOPS))
    phrases = ("wait a minute", "be quiet", "one moment")
    said = [caller_says(phrase, "en-us+edward") for phrase in phrases]
    waiting = {phrase: grammar.hear(a) for phrase, a in zip(phrases, said, strict=True)}
    dropped = grammar.hear(said[0])
    found: dict[str, str] = {}
    assert [next(hearing) for hearing in waiting.values()] == [None, None, None]
    next(dropped)
    del dropped  # this caller went on, or hung up
    while waiting:
        for phrase, hearing in list(waiting.items()):
            try:
                next(hearing)
            except StopIteration as heard:
                found[phrase] = heard.value
                del waiting[phrase]
    assert found == {phrase: phrase for phrase in phrases}


def test_without_hints_nothing_is_heard() -> None:
    assert heard(Interjections([]), caller_says("okay", VOICE)) == []


# In the engine


async def partials_of(engine: EmbeddedEngine, audio: Samples) -> list[str]:
    told: list[Transcript] = []
    async with engine.open(Voice(), told.append) as session:
        for frame in frames(audio):
            session.listen(4, frame)
    assert all(partial.turn == 4 and not partial.final for partial in told)
    return [partial.text for partial in told]


async def test_the_engine_tells_it_and_nothing_else(hinted: EmbeddedEngine) -> None:
    said = np.concatenate([caller_says("okay", VOICE), np.zeros(16000, np.int16)])
    assert await partials_of(hinted, said) == ["okay"]


async def test_the_engine_tells_that_it_was_none(hinted: EmbeddedEngine) -> None:
    okay, rest = (caller_says(s, VOICE) for s in ("okay", "what time is it please"))
    told = await partials_of(hinted, np.concatenate([okay[:-4000], rest]))
    assert told[:2] == ["okay", "…"]
    assert not {*told[1:]} & {*BACKCHANNELS}


async def test_commands_are_still_told_as_they_are_spoken(hinted: EmbeddedEngine) -> None:
    told = await partials_of(hinted, caller_says("count from one to twenty"))
    assert told[-1] == "count from one to twenty"


async def test_a_stop_is_answered_by_little(hinted: EmbeddedEngine) -> None:
    async with hinted.open(Voice(), ignore) as session:
        chunks = await ask(session, 1, caller_says("wait a minute", VOICE))
    assert caller_words(chunks) == "wait a minute"
    assert answer_words(chunks) == "Okay."


async def test_a_given_text_is_said_word_by_word_and_remembered(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        spoken = [chunk async for chunk in session.say(1, "This call is recorded. Go ahead.")]
        assert [getattr(chunk, "text", None) for chunk in spoken] == [
            *("This ", "call ", "is ", "recorded. ", "Go ", "ahead.")
        ]
        chunks = await ask(session, 2, caller_says("what did you say"))
        assert answer_words(chunks) == "I said: This call is recorded. Go ahead."
        chunks = await ask(session, 3, caller_says("what did i say"))
        assert answer_words(chunks) == "You said: what did you say."


async def test_of_a_given_text_only_what_was_heard_is_remembered(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        async for _ in session.say(1, "This call is recorded. Go ahead."):
            pass
        session.truncate(1, Heard(0.4, "This call "))
        chunks = await ask(session, 2, caller_says("what did you say"))
    assert answer_words(chunks) == "I said: This call"
