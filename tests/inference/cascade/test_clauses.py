"""inference.cascade.clauses: where an answer is cut, and that nothing of it is lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.cascade.clauses import LONGEST, clauses


async def pieces_of(text: str, size: int) -> AsyncIterator[str]:
    for at in range(0, len(text), size):
        yield text[at : at + size]


async def cut(text: str, size: int = 3) -> list[str]:
    return [clause async for clause in clauses(pieces_of(text, size))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Yes", ["Yes"]),
        ("It is ten. It is late.", ["It is ten. ", "It is late."]),
        ("It is 3.5 degrees.", ["It is 3.5 degrees."]),
        # the first one ends at a comma, but not at one that is at hand
        ("Well, as you asked, it is ten. And late, too.",
         ["Well, as you asked, ", "it is ten. ", "And late, too."]),
        ("Really?! (Yes.) No", ["Really?! ", "(Yes.) ", "No"]),
        ("One\nTwo", ["One\n", "Two"]),
        ("\n\nOne. Two", ["\n\nOne. ", "Two"]),
        ("నమస్తే। బాగున్నారా?", ["నమస్తే। ", "బాగున్నారా?"]),
    ],
)  # fmt: skip
async def test_where(text: str, expected: list[str]) -> None:
    assert await cut(text) == expected


async def test_one_without_end_is_cut_at_a_space() -> None:
    found = await cut("word " * 200)
    assert len(found) > 3
    assert all(len(clause) <= LONGEST and clause.endswith("word ") for clause in found)


@given(st.text(alphabet="ab .,!\n।"), st.integers(1, 9))
def test_nothing_is_lost(text: str, size: int) -> None:
    found = "".join(asyncio.run(cut(text, size)))
    assert text.startswith(found)
    assert not text[len(found) :].strip()


async def test_the_size_of_the_pieces_changes_nothing() -> None:
    text = "One, two and three, four. Five? Six: seven. " * 5
    whole = await cut(text, len(text))
    for size in (1, 2, 7, 31):
        assert await cut(text, size) == whole
    assert "".join(whole) == text
