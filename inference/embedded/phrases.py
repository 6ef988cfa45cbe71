"""The phrase notation: JSGF expansions, read into a tree that writes a grammar and matches words.

A phrase is words, `[optional]`, `(this | that)` and `<rule>`. The same text serves the recogniser
(as a JSGF grammar) and the understanding (as a matcher that gives back what each rule stood for),
so the two cannot disagree.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

Words = tuple[str, ...]
Slots = tuple[tuple[str, str], ...]
"""Rule names and the words each stood for, in order; a rule may occur twice."""


OPEN = "_open"
"""The word for any speech at all, in phrases such as `repeat after me <anything>`."""


@dataclass(frozen=True, slots=True)
class Word:
    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple["Node", ...]


Node = Word | Rule | Sequence | Choice


@cache
def parse(phrase: str) -> Node:
    """Read a phrase. Raises ValueError where brackets do not pair."""
    tokens = re.findall(r"<\w+>|[\w'_.]+|[()\[\]|]", phrase)
    node, rest = _choice(tokens, 0)
    if rest != len(tokens):
        raise ValueError(f"unpaired bracket in phrase {phrase!r}")
    return node


def _choice(tokens: list[str], at: int) -> tuple[Node, int]:
    options: list[Node] = []
    parts: list[Node] = []
    while at < len(tokens) and tokens[at] not in ")]":
        token = tokens[at]
        at += 1
        if token == "|":
            options.append(_sequence(parts))
            parts = []
        elif token in "([":
            node, at = _choice(tokens, at)
            if at >= len(tokens) or tokens[at] != {"(": ")", "[": "]"}[token]:
                raise ValueError(f"unpaired {token!r} in phrase")
            at += 1
            parts.append(node if token == "(" else Choice((node, Sequence(()))))
        else:
            parts.append(Rule(token[1:-1]) if token[0] == "<" else Word(token))
    options.append(_sequence(parts))
    return (options[0] if len(options) == 1 else Choice(tuple(options))), at


def _sequence(parts: list[Node]) -> Node:
    return parts[0] if len(parts) == 1 else Sequence(tuple(parts))


def match(phrase: str, words: Words, rules: Mapping[str, str]) -> Slots | None:
    """What the rules of `phrase` stand for in `words`; None where they are not that phrase."""
    for end, slots in _walk(parse(phrase), words, 0, rules):
        if end == len(words):
            return slots
    return None


def _walk(
    node: Node, words: Words, at: int, rules: Mapping[str, str]
) -> Iterator[tuple[int, Slots]]:
    """Every way `node` can take words from `at` on: where it ends, and its slots."""
    match node:
        case Word(text):
            if words[at : at + 1] == (text,):
                yield at + 1, ()
        case Rule(name):
            for end, inner in _walk(parse(rules[name]), words, at, rules):
                yield end, ((name, " ".join(words[at:end])), *inner)
        case Choice(options):
            for option in options:
                yield from _walk(option, words, at, rules)
        case Sequence(parts):
            if not parts:
                yield at, ()
                return
            for middle, head in _walk(parts[0], words, at, rules):
                for end, tail in _walk(Sequence(parts[1:]), words, middle, rules):
                    yield end, head + tail
