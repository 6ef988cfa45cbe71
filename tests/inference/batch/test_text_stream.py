"""inference.batch.text_stream: the pieces are the text, and no piece has half a character."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from inference.batch.text_stream import UNFINISHED, TextStream


def decode(tokens: Sequence[int]) -> str:
    """As tokenizers of bytes do; 256 is a word with a space of its own but at the beginning."""
    raw = b"".join(b" word" if token == 256 else bytes([token]) for token in tokens)
    return raw.decode(errors="replace").removeprefix(" ")


@given(st.text(alphabet="ab నమస్తే 🙂", max_size=30))
def test_pieces_are_the_text(text: str) -> None:
    tokens = list(text.encode())
    stream = TextStream(decode)
    pieces = [stream.put(token) for token in tokens]
    assert not any(UNFINISHED in piece for piece in pieces)
    assert "".join([*pieces, stream.end()]) == decode(tokens)


def test_a_space_that_the_tokens_before_it_make() -> None:
    stream = TextStream(decode)
    assert [stream.put(256) for _ in range(3)] == ["word", " word", " word"]


def test_what_is_never_finished_comes_at_the_end() -> None:
    stream = TextStream(decode)
    assert stream.put("న".encode()[0]) == ""
    assert stream.end() == UNFINISHED
