"""Phrases as one minimal word automaton.

The grammar decoder's cost grows with states and epsilon arcs: the same phrases written as JSGF,
with their optional words left to the decoder to expand, took 1 to 12 s per second of speech.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from inference.embedded.phrases import Choice, Node, Rule, Sequence, Word, parse

Arcs = tuple[tuple[int, str, int], ...]
"""(from state, word, to state)."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """Deterministic and minimal; state 0 is the start."""

    states: int
    finals: frozenset[int]
    arcs: Arcs


@dataclass(slots=True)
class _Nfa:
    rules: Mapping[str, str]
    arcs: dict[int, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    skips: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    states: int = 1

    def new(self) -> int:
        self.states += 1
        return self.states - 1

    def add(self, node: Node, start: int) -> int:
        """Lay `node` out from `start` on; the state where it ends."""
        match node:
            case Word(text):
                end = self.new()
                self.arcs[start].append((text, end))
                return end
            case Rule(name):
                return self.add(parse(self.rules[name]), start)
            case Sequence(parts):
                for part in parts:
                    start = self.add(part, start)
                return start
            case Choice(options):
                end = self.new()
                for option in options:
                    begin = self.new()
                    self.skips[start].append(begin)
                    self.skips[self.add(option, begin)].append(end)
                return end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        seen = set(states)
        todo = list(seen)
        while todo:
            for target in self.skips[todo.pop()]:
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return frozenset(seen)


def compile_phrases(
    phrases: Iterable[str], rules: Mapping[str, str], lead: str, tail: str
) -> Automaton:
    """All phrases, any of them after any number of `lead` phrases and before one of `tail`."""
    nfa = _Nfa(rules)
    nfa.skips[nfa.add(parse(lead), 0)].append(0)
    ends = [nfa.add(parse(phrase), 0) for phrase in phrases]
    before_tail = nfa.new()
    for end in ends:
        nfa.skips[end].append(before_tail)
    finals = {before_tail, nfa.add(parse(tail), before_tail)}
    return _minimal(*_deterministic(nfa, finals))


def _deterministic(nfa: _Nfa, finals: set[int]) -> tuple[list[dict[str, int]], set[int]]:
    start = nfa.closure([0])
    number = {start: 0}
    table: list[dict[str, int]] = []
    todo = [start]
    for subset in todo:  # grows while it is walked
        targets: dict[str, set[int]] = defaultdict(set)
        for state in subset:
            for word, target in nfa.arcs[state]:
                targets[word].add(target)
        row = {}
        for word in sorted(targets):
            closed = nfa.closure(targets[word])
            if closed not in number:
                number[closed] = len(number)
                todo.append(closed)
            row[word] = number[closed]
        table.append(row)
    return table, {n for subset, n in number.items() if subset & finals}


def _minimal(table: list[dict[str, int]], finals: set[int]) -> Automaton:
    """Moore's partition refinement: split states until equals behave equally."""
    group = [int(state in finals) for state in range(len(table))]
    while True:
        keys: dict[object, int] = {}
        refined = [
            keys.setdefault((group[s], tuple((w, group[t]) for w, t in row.items())), len(keys))
            for s, row in enumerate(table)
        ]
        if len(keys) == len(set(group)):
            break
        group = refined
    # refined numbers groups in order of first state, so the start stays 0
    arcs = {
        (refined[s], word, refined[t]) for s, row in enumerate(table) for word, t in row.items()
    }
    return Automaton(len(keys), frozenset(refined[s] for s in finals), tuple(sorted(arcs)))
