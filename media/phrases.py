"""What a caller says over an answer, judged by its words: assent, a stop, or something to say.

Words are compared, never sounds: recognisers spell a hum or a stretched vowel in many ways, and
`normalize` brings them together. Both the phrases and what is heard go through it.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

Words = tuple[str, ...]

_UNSEEN = {ord(sign): None for sign in "'’‘ʼ\u200b\u200c\u200d\ufeff"}
"""Within a word: apostrophes, which recognisers leave out, and the joiners of Indic scripts."""

_ALIKE = {0x0901: 0x0902, 0x0C01: 0x0C02}
"""Chandrabindu and anusvara: हाँ is as often written हां."""

_STRETCHED = re.compile(r"(\D)\1{2,}")
_HUM = re.compile(r"h?m+h*")
_ASSENTING_HUM = re.compile(r"m+h+m+")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The phrases of all languages together, as `normalize` gives them."""

    backchannels: frozenset[Words] = frozenset()  # "go on, I listen": the answer goes on
    stops: frozenset[Words] = frozenset()  # "be quiet": the answer ends at once


def make_phrases(backchannels: Iterable[str], stops: Iterable[str]) -> Phrases:
    """The phrases as people write them; those without a letter are left out."""
    return Phrases(_normalized(backchannels), _normalized(stops))


def normalize(text: str) -> Words:
    """The words of a text: lower case, without punctuation, alike where they sound alike.

    Letters, digits and combining marks of all scripts stay. A hyphen divides ("uh-huh" is two
    words), an apostrophe does not ("don't" is "dont"). A letter said three times or more is said
    once ("okayyy"). Hums are "mm" and "hmm", however long, and "mhm" is "mm hmm".
    """
    text = unicodedata.normalize("NFKC", text.translate(_UNSEEN)).casefold()
    text = unicodedata.normalize("NFKC", text.translate(_UNSEEN)).translate(_ALIKE)
    spaced = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in text)
    words: list[str] = []
    for word in spaced.split():
        if _ASSENTING_HUM.fullmatch(word):
            words += ["mm", "hmm"]
        elif _HUM.fullmatch(word):
            words.append("hmm" if word.startswith("h") else "mm")
        else:
            words.append(_STRETCHED.sub(r"\1", word))
    return tuple(words)


_LEADS = normalize(
    "no nope nah oh uh um er ah hey please sorry well but and so now just vaani "
    "nahi nahin arey arre नहीं अरे ledu kadu ayyo లేదు కాదు అయ్యో"
)
"""What may come before a stop and says little alone: "no no wait", "oh please stop"."""

_NEGATIONS = frozenset(normalize("mat मत"))
"""Hindi may say "don't stop" with the negation at the end: "ruko mat"."""


def is_backchannel(words: Sequence[str], phrases: Phrases) -> bool:
    """Whether these are backchannels one after another and nothing else: "yeah uh huh right"."""
    return bool(words) and len(words) in _reached(words, phrases.backchannels)


def has_stop(words: Sequence[str], phrases: Phrases) -> bool:
    """Whether this begins with a stop, after backchannels and such: "okay stop", "no no wait".

    A stop inside a sentence is none: "don't stop", "the bus stop".
    """
    leads = phrases.backchannels | {(lead,) for lead in _LEADS}
    return any(
        end == len(words) or words[end] not in _NEGATIONS
        for start in _reached(words, leads)
        for end in _ends(words, start, phrases.stops)
    )


def count_words(words: Sequence[str], phrases: Phrases) -> int:
    """How many words are left after the backchannels that these begin with.

    Further on the same words are part of what is said: "right" counts in "turn right", and not in
    "right, turn". 0 for words that are a backchannel.
    """
    return len(words) - max(_reached(words, phrases.backchannels))


def _normalized(phrases: Iterable[str]) -> frozenset[Words]:
    return frozenset(words for phrase in phrases if (words := normalize(phrase)))


def _reached(words: Sequence[str], phrases: Collection[Words]) -> set[int]:
    """Up to where words from the first on can be covered by phrases one after another."""
    reached = {0}
    fresh = [0]
    while fresh:
        new = {end for start in fresh for end in _ends(words, start, phrases)} - reached
        reached |= new
        fresh = list(new)
    return reached


def _ends(words: Sequence[str], start: int, phrases: Collection[Words]) -> list[int]:
    """Where the phrases end that begin at `start`."""
    longest = max(map(len, phrases), default=0)
    last = min(len(words), start + longest)
    return [end for end in range(start + 1, last + 1) if tuple(words[start:end]) in phrases]
