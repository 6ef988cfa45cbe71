"""media.unfinished: do these words want more?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.unfinished import unfinished


@pytest.mark.parametrize(
    "text",
    [
        # English
        *("I want to", "tell me about the", "and", "What is the weather in", "because,", "um"),
        *("count from one to", "what is the capital of", "play something by Bach and", "Tell me"),
        *("my name is", "what is", "what do you know about", "how do I get to", "I'm", "hmm"),
        *(
            "set an alarm for",
            "well, I want",
            "okay could you",
            "I was thinking…",
            "call my broth-",
        ),
        # Hindi
        *("mujhe batao ki", "dilli ke", "haan lekin", "kyonki", "mujhe", "main aur", "Raam ne"),
        *("मुझे बताओ कि", "दिल्ली के", "क्योंकि", "मुझे", "चाय या"),
        # Telugu
        *("naaku", "nenu intiki vellanu kani", "endukante", "aayana gurinchi", "naaku oka"),
        *("నాకు", "ఎందుకంటే", "అతని గురించి", "నాకు ఒక", "రాముడు మరియు"),
    ],
)
def test_these_want_more(text: str) -> None:
    assert unfinished(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "…",
        # English
        *("tell me a story", "stop", "yes", "uh-huh", "mm-hmm", "turn it on", "stop that"),
        *("where are you from", "what are you looking for", "what is it about", "who is it for"),
        *("tell me what time it is", "yes I am", "yes I would", "come in", "let me in"),
        *("I think so", "what's the weather like", "count from one to ten", "what is this"),
        *("What do you want?", "which city do you live in", "I like it too", "who are you"),
        # Hindi
        *("mausam kaisa hai", "dilli se", "ghar mein", "ek aur", "thoda aur", "iska kya matlab"),
        *("मौसम कैसा है", "दिल्ली से", "एक और", "बंद करो"),
        # Telugu
        *("nenu bagunnanu", "mee peru emiti", "velava leda", "hyderabad nunchi", "katha cheppu"),
        *("మీ పేరు ఏమిటి", "కథ చెప్పు", "హైదరాబాద్ నుంచి", "అవును"),
    ],
)
def test_these_may_be_all(text: str) -> None:
    assert not unfinished(text)


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    assert unfinished(text) in (True, False)
    assert unfinished(f"{text} and")
