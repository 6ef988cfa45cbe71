"""media.phrases: assent, a stop, or something to say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.phrases import (
    Phrases,
    count_words,
    has_stop,
    is_backchannel,
    make_phrases,
    normalize,
)

PHRASES = make_phrases(
    [
        *("okay", "yeah", "uh-huh", "mm", "hmm", "mm-hmm", "right", "I see", "got it", "oh"),
        *("haan", "achha", "theek hai", "हाँ", "अच्छा", "ठीक है"),
        *("avunu", "sare", "అవును", "సరే", "ఆహా"),
    ],
    [
        *("stop", "wait", "hold on", "stop it"),
        *("ruko", "ruk jao", "रुको", "बस करो"),
        *("aagandi", "aapu", "ఆగండి", "ఆపు"),
    ],
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uh-huh", "uh huh"),
        ("Mm-hmm!", "mm hmm"),
        ("mhm", "mm hmm"),
        ("MMMMM...", "mm"),
        ("M m", "mm mm"),
        ("hmmmm", "hmm"),
        ("okayyy", "okay"),
        ("good", "good"),
        ("in 1000 years", "in 1000 years"),
        ("Don’t stop", "dont stop"),
        ("don't stop", "dont stop"),
        ("stop_it", "stop it"),
        ("हाँ, ठीक है।", "हां ठीक है"),
        ("హా… అవునండీ!", "హా అవునండీ"),
        ("ఆండ్\u200cరాయిడ్", "ఆండ్రాయిడ్"),
        ("…?!", ""),
    ],
)
def test_words_are_spelled_alike(text: str, words: str) -> None:
    assert normalize(text) == tuple(words.split())


def test_combining_marks_stay() -> None:
    assert normalize("కి") != normalize("కు")
    assert normalize("cafe\u0301") == normalize("café") != normalize("cafe")


def test_phrases_without_a_letter_are_left_out() -> None:
    assert make_phrases(["…", ""], ["Stop!"]) == Phrases(frozenset(), frozenset({("stop",)}))


BACKCHANNELS = [
    *("okay", "Okay, okay.", "yeah uh-huh right", "Mmmm", "mhm", "I see, I see", "oh okayyy"),
    *("haan haan", "Achha, theek hai", "हां", "हाँ हाँ", "ठीक है, अच्छा।"),
    *("avunu avunu", "Sare!", "అవును, సరే", "ఆహా"),
]

STOPS = [
    *("stop", "Stop it!", "okay stop", "no no wait", "uh-huh yeah hold on", "oh please stop"),
    *("wait a moment", "stop talking about cats"),
    *("ruko", "haan haan ruk jao", "अरे रुको", "ठीक है बस करो"),
    *("aagandi", "avunu aapu", "సరే ఆపు", "లేదు ఆగండి"),
]

WORDS = [
    *("what", "okay but what about dogs", "see", "I", "turn right", "uh oh no"),
    *("don't stop", "the bus stop", "never wait", "hold", "hold the line on"),
    *("haan lekin kyon", "mat ruko", "ruko mat", "यह अच्छा नहीं", "मत रुको"),
    *("avunu kani", "aapakandi", "అవును కానీ", "సరేలే కాదు"),
]


@pytest.mark.parametrize("text", BACKCHANNELS)
def test_assent_is_a_backchannel(text: str) -> None:
    words = normalize(text)
    assert is_backchannel(words, PHRASES)
    assert count_words(words, PHRASES) == 0
    assert not has_stop(words, PHRASES)


@pytest.mark.parametrize("text", STOPS)
def test_stop_may_be_led_in(text: str) -> None:
    words = normalize(text)
    assert has_stop(words, PHRASES)
    assert not is_backchannel(words, PHRASES)


@pytest.mark.parametrize("text", WORDS)
def test_other_words_are_neither(text: str) -> None:
    words = normalize(text)
    assert not has_stop(words, PHRASES)
    assert not is_backchannel(words, PHRASES)
    assert count_words(words, PHRASES) > 0


def test_silence_is_neither() -> None:
    assert not is_backchannel((), PHRASES)
    assert not has_stop((), PHRASES)
    assert count_words((), PHRASES) == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("okay but what about dogs", 4),
        ("right, turn", 1),
        ("turn right", 2),  # the last word is not assent here
        ("what yeah", 2),
        ("I see the sea", 2),
        ("no", 1),
        ("అవును కానీ ఎందుకు", 2),
    ],
)
def test_words_after_the_assent_are_counted(text: str, count: int) -> None:
    assert count_words(normalize(text), PHRASES) == count


def test_phrases_that_overlap_are_taken_apart_rightly() -> None:
    phrases = make_phrases(["a b", "a", "b c"], ["b", "stop"])
    assert is_backchannel(("a", "b", "c"), phrases)
    assert count_words(("a", "b", "c", "d"), phrases) == 1
    assert has_stop(("a", "b"), phrases)  # "a" and then the stop "b"


def test_without_phrases_all_words_count() -> None:
    assert not is_backchannel(("okay",), Phrases())
    assert not has_stop(("stop",), Phrases())
    assert count_words(("okay", "stop"), Phrases()) == 2


@given(st.text() | st.text(alphabet="hmoakys -'्ంఁ\u200d…"))
def test_any_text_is_judged(text: str) -> None:
    words = normalize(text)
    assert normalize(" ".join(words)) == words
    assert all(word and not word.isspace() for word in words)
    phrases = make_phrases(["okay", "mm", text], ["stop"])
    assert is_backchannel(words, phrases) == bool(words)
    assert count_words(words, PHRASES) <= len(words)
    assert (count_words(words, PHRASES) == 0) == (is_backchannel(words, PHRASES) or not words)
    has_stop(words, PHRASES)


@given(st.lists(st.sampled_from(BACKCHANNELS), min_size=1, max_size=4), st.sampled_from(STOPS))
def test_assent_repeated_is_assent_and_before_a_stop_it_is_a_stop(
    assent: list[str], stop: str
) -> None:
    words = normalize(" ".join(assent))
    assert is_backchannel(words, PHRASES)
    assert has_stop(words + normalize(stop), PHRASES)
