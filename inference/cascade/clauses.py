"""An answer's text, as it comes, cut where a voice may pause.

A synthesizer speaks a whole clause at a time, and better the more it has of it; but the caller
waits for the first. So the first ends at a comma already, the others where a sentence does.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator

FIRST_LETTERS = 12  # of a first clause that ends at a comma
LONGEST = 240  # characters, after which one is cut at a space

_SENTENCE = re.compile(r"[.!?…।]+[\"')\]]*\s|\n")
_PAUSE = re.compile(r"[,;:–—]\s")


async def clauses(pieces: AsyncIterator[str]) -> AsyncGenerator[str]:
    """The text of `pieces` in clauses, with the space that follows: joined they are the text."""
    pending, first = "", True
    async for piece in pieces:
        pending += piece
        while end := _end(pending, first):
            yield pending[:end]
            pending, first = pending[end:], False
    if pending.strip():
        yield pending


def _end(text: str, first: bool) -> int:
    """Where the clause that the text begins with ends; 0: not yet."""
    begin = len(text) - len(text.lstrip())
    ends = [match.end() for match in [_SENTENCE.search(text, begin)] if match]
    if first and (match := _PAUSE.search(text, begin + FIRST_LETTERS)):
        ends.append(match.end())
    if ends:
        return min(ends)
    return text.rfind(" ", begin, LONGEST) + 1 if len(text) > LONGEST else 0
