"""Whether two recognisers heard the same sounds.

The grammar hears commands in everything. Where its score leaves doubt, the open-vocabulary
transcript decides: its words are often wrong, but they sound like what was said. For commands
the two differ in half of their phones (median), for other speech in three quarters.
"""

from collections.abc import Sequence

from inference.embedded.recogniser import Hypothesis

MIN_SURE = -3.8
"""Certainty from which the grammar is believed alone: all of 13 human commands, 3 of 108 pieces of
other human speech."""

_MIN_SCORE = -6.5
_MAX_DOUBT = 2.0  # passes 9 of 10 doubtful commands of espeak-ng's, and 8 of 69 other pieces
_SCORE_WEIGHT = 0.25
_EASY_COST = 1.2
_EASY = frozenset(("um", "uh", "well", "so", "okay", "please")) | frozenset(
    ("plus", "minus", "times", "divided", "add", "subtract", "multiply", "divide")
)
"""Words the grammar fits to any noise: fillers, and sums, of which there are too many."""


def certainty(hypothesis: Hypothesis) -> float:
    """The score, less for each word that is easily fitted to anything."""
    return hypothesis.score - _EASY_COST * sum(word in _EASY for word in hypothesis.words)


def plausible(certainty: float) -> bool:
    """Whether a transcript could still make up for this certainty."""
    return certainty >= _MIN_SCORE


def agree(certainty: float, command: Sequence[str], transcript: Sequence[str]) -> bool:
    """Whether the phones of the grammar's words and of the transcript's let the command stand."""
    return phone_distance(command, transcript) - _SCORE_WEIGHT * certainty < _MAX_DOUBT


def phone_distance(a: Sequence[str], b: Sequence[str]) -> float:
    """Edits that turn `a` into `b`, as a share of the longer: 0 (equal) to 1."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1] / max(len(a), len(b), 1)
