import pytest

from inference.embedded.automaton import Automaton, compile_phrases
from inference.embedded.phrases import match

RULES = {"colour": "red | dark blue", "thing": "car | <colour> car"}


def accepts(automaton: Automaton, words: str) -> bool:
    arcs = {(source, word): target for source, word, target in automaton.arcs}
    state = 0
    for word in words.split():
        if (state, word) not in arcs:
            return False
        state = arcs[state, word]
    return state in automaton.finals


@pytest.mark.parametrize(
    ("words", "slots"),
    [
        ("paint it red", (("colour", "red"),)),
        ("please paint the car dark blue", (("colour", "dark blue"),)),
        ("paint it", None),
        ("paint it red red", None),
    ],
)
def test_a_phrase_gives_what_its_rules_stand_for(
    words: str, slots: tuple[tuple[str, str], ...] | None
) -> None:
    phrase = "[please] paint (it | the car) <colour>"
    assert match(phrase, tuple(words.split()), RULES) == slots


@pytest.mark.parametrize("phrase", ["(a", "a)", "[a | b", "(a]"])
def test_unpaired_brackets_are_refused(phrase: str) -> None:
    with pytest.raises(ValueError, match="unpaired"):
        match(phrase, ("a",), {})


def test_the_automaton_accepts_what_the_phrases_say_and_no_more() -> None:
    automaton = compile_phrases(["paint <thing> [now]", "stop"], RULES, "um | well", "please")
    for words in ("stop", "um well um stop please", "paint dark blue car now please", "paint car"):
        assert accepts(automaton, words), words
    for words in ("", "um", "please stop", "stop please please", "paint dark car"):
        assert not accepts(automaton, words), words


def test_the_automaton_is_minimal() -> None:
    assert compile_phrases(["a c | b c", "a c"], {}, "um", "please").states == 4
