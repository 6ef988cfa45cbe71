from datetime import datetime

import pytest

from inference.embedded.answers import Request
from inference.embedded.numbers import number_of, ordinal_of, words_of_number
from inference.embedded.skills import SKILLS, skill_grammar, understand
from inference.embedded.texts import TEXTS
from inference.memory import Memory
from inference.protocol import Voice


def answer(words: str, voice: Voice | None = None, memory: Memory | None = None) -> str:
    found = understand(tuple(words.split()))
    assert found is not None, words
    skill, slots = found
    now = datetime(2026, 1, 2, 15, 5)
    return skill.answer(Request(slots, voice or Voice("priya"), memory or Memory(), now)).text


@pytest.mark.parametrize("value", [0, 7, 13, 20, 21, 99, 100, 101, 219, 999, 1000, -45])
def test_a_number_said_and_understood_is_itself(value: int) -> None:
    assert number_of(words_of_number(value).replace("-", " ")) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [(2.5, "two point five"), (-1 / 3, "minus zero point three three"), (998001, None)],
)
def test_fractions_are_read_to_two_places(value: float, words: str | None) -> None:
    expected = words or "nine hundred and ninety-eight thousand one"
    assert words_of_number(value) == expected


def test_ordinals() -> None:
    assert [ordinal_of(day) for day in (1, 2, 3, 12, 20, 21, 31)] == (
        ["first", "second", "third", "twelfth", "twentieth", "twenty-first", "thirty-first"]
    )


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("what is seventeen times three", "Seventeen times three is fifty-one."),
        ("um please subtract ten from four", "Four minus ten is minus six."),
        ("divide seven by two", "Seven divided by two is three point five."),
        ("what is one divided by zero", "Nothing can be divided by zero."),
        ("count", "One, two, three, four, five, six, seven, eight, nine, ten."),
        ("count from three to one", "Three, two, one."),
        ("count down from two", "Two, one."),
        ("count backwards to three", "Three, two, one."),
        ("could you tell me what time it is please", "It is three oh five in the afternoon."),
    ],
)
def test_answers(asked: str, expected: str) -> None:
    assert answer(asked) == expected


def test_every_fixed_text_is_there_in_both_languages() -> None:
    assert all(set(texts) == {"en", "te"} for texts in TEXTS.values())
    assert "సమాధానం 4" in answer("two plus two", Voice("priya", language="te"))


def test_the_story_is_long() -> None:
    assert len(TEXTS["story"]["en"].split()) > 300


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ("speak like arjun", Voice("arjun")),
        ("speak halfway between priya and ravi", Voice("priya+ravi")),
        ("sound very excited", Voice("priya", "excited")),
        ("speak a bit slower", Voice("priya", rate=0.8)),
        ("speak telugu", Voice("priya", language="te")),
    ],
)
def test_voice_changes(asked: str, changed: Voice) -> None:
    found = understand(tuple(asked.split()))
    assert found is not None
    skill, slots = found
    request = Request(slots, Voice("priya"), Memory(), datetime(2026, 1, 1))
    assert skill.answer(request).voice == changed


def test_memory_holds_ten_turns() -> None:
    memory = Memory()
    for turn in range(12):
        memory.begin(turn, f"question {turn}").answer = f"answer {turn}"
    assert [exchange.turn for exchange in memory.exchanges] == list(range(2, 12))
    assert answer("what did i just say", memory=memory) == "You said: question 11."


def test_words_of_no_skill_are_understood_as_nothing() -> None:
    assert understand(("tell", "me", "a")) is None
    assert understand(("the", "weather")) is None


def test_the_grammar_knows_every_skill() -> None:
    automaton = skill_grammar()
    first_words = {word for source, word, _ in automaton.arcs if source == 0}
    assert {"hello", "what", "count", "repeat", "spell", "goodbye"} <= first_words
    assert len({skill.name for skill in SKILLS}) == len(SKILLS)
