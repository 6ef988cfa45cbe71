"""Tokens to text as they come: what a token adds is known only with those around it."""

from collections.abc import Callable, Sequence

UNFINISHED = "\ufffd"  # what the bytes of a part of a character are decoded to


class TextStream:
    """One answer's. `decode` makes text of tokens; whatever it decodes is decoded twice at most."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._told: list[int] = []  # the latest tokens whose text was given, for what goes before
        self._fresh: list[int] = []

    def put(self, token: int) -> str:
        """The text that is certain now and was not before: none in the midst of a character."""
        self._fresh.append(token)
        text = self._text()
        if text.endswith(UNFINISHED):
            return ""
        self._told, self._fresh = self._fresh, []
        return text

    def end(self) -> str:
        """What is left, as it is."""
        return self._text() if self._fresh else ""

    def _text(self) -> str:
        before = self._decode(self._told)
        return self._decode([*self._told, *self._fresh])[len(before) :]
