"""espeak-ng as a library: words, their sound, and their order."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inference.embedded.espeak import RATE, Prosody, VoiceError, synthesize

SENTENCES = (
    "Hello! I can count, from one to 21.",
    "3 plus 4 is 7.",
    "నమస్కారం, మీరు ఎలా ఉన్నారు?",
    "  spaces   before and behind  ",
    "A single\nline break, and an ellipsis… and a dash – so.",
)


@pytest.mark.parametrize("text", SENTENCES)
def test_the_words_joined_are_the_text(text: str) -> None:
    voice = "te" if text[0] > "z" else "en-us"
    assert "".join(word.text for word in synthesize(text, Prosody(voice))) == text


def test_each_word_has_its_own_sound() -> None:
    words = synthesize("one two three four", Prosody("en-us"))
    assert [word.text for word in words] == ["one ", "two ", "three ", "four"]
    assert all(0.1 < len(word.samples) / RATE < 1.0 for word in words)
    assert all(np.abs(word.samples).max() > 1000 for word in words)


def test_a_number_of_several_words_keeps_its_text() -> None:
    words = synthesize("It is 21 now.", Prosody("en-us"))
    assert "".join(word.text for word in words) == "It is 21 now."
    assert sum(len(word.samples) for word in words) > RATE // 2


def test_nothing_to_say_is_no_sound() -> None:
    assert synthesize("", Prosody("en-us")) == synthesize(" \n", Prosody("en-us")) == []


def test_rate_and_volume_are_obeyed() -> None:
    def spoken(prosody: Prosody) -> np.ndarray:
        return np.concatenate([w.samples for w in synthesize("a long enough sentence", prosody)])

    assert len(spoken(Prosody("en-us", rate=120))) > 1.4 * len(spoken(Prosody("en-us", rate=240)))
    loud = np.abs(spoken(Prosody("en-us", volume=100)).astype(int)).max()
    assert np.abs(spoken(Prosody("en-us", volume=40)).astype(int)).max() < 0.6 * loud


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(VoiceError, match="xx-yy"):
        synthesize("hello", Prosody("xx-yy"))


def test_threads_do_not_mix_their_words() -> None:
    """espeak-ng's state is global: without the lock sentences swallow each other's sound."""
    texts = [f"sentence number {n} of several" for n in range(20)]
    alone = [synthesize(text, Prosody("en-us")) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: synthesize(text, Prosody("en-us")), texts))
    for a, b in zip(alone, together, strict=True):
        assert [w.text for w in a] == [w.text for w in b]
        # espeak-ng varies a word's length by some milliseconds from one time to the next.
        assert [len(w.samples) for w in b] == pytest.approx([len(w.samples) for w in a], rel=0.1)
