"""How words are pronounced, in the acoustic model's 39 phones."""

from pathlib import Path

import pocketsphinx

MODEL = Path(pocketsphinx.get_model_path()) / "en-us"

_NAMES = {
    "vaani": ["V AA N IY", "V AE N IY"],
    "priya": ["P R IY Y AH", "P R IY AH"],
    "arjun": ["AA R JH UH N", "AA R JH AH N"],
    "ravi": ["R AA V IY", "R AE V IY"],
    "lakshmi": ["L AH K SH M IY", "L AE K SH M IY"],
    "telugu": ["T EH L UH G UW", "T EH L AH G UW"],
}
"""Words the model's dictionary lacks."""


def pronunciations(words: set[str]) -> dict[str, list[str]]:
    """Each word's ways, phones separated by spaces. Raises ValueError for unknown words."""
    found = known_pronunciations(words)
    if unknown := sorted(words - found.keys()):
        raise ValueError(f"no pronunciation for {', '.join(unknown)}")
    return found


def known_pronunciations(words: set[str]) -> dict[str, list[str]]:
    """The same, of those words that have any.

    Reads the dictionary of 134 000 words (0.1 s) and keeps what was asked for.
    """
    found = {word: ways for word, ways in _NAMES.items() if word in words}
    for line in (MODEL / "cmudict-en-us.dict").read_text().splitlines():
        entry, _, phones = line.partition(" ")
        word = entry.partition("(")[0]
        if word in words and word not in _NAMES:
            found.setdefault(word, []).append(phones)
    return found
