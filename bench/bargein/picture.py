"""A trial drawn as SVG: the caller above, the bot below, and what happened when.

Colours are the page's, by class. The onset of the caller's speech is 0 on the axis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from bench.bargein.results import ENVELOPE_SECONDS, Trial

WIDTH = 520.0  # of the viewBox, in its units, and so all lengths here
LEFT, RIGHT = 44.0, 6.0
CALLER_Y, BOT_Y = 44.0, 106.0  # the middle of each track
HALF = 26.0  # of a track's height
LEAST_HEIGHT = 0.4  # of silence
TRACKS_TOP, TRACKS_BOTTOM = CALLER_Y - HALF, BOT_Y + HALF
LINE = 14.0  # between two rows of text
CHARACTER = 6.0  # width, at the labels' size, on the safe side
QUIET, LOUD = -60.0, -12.0  # dBFS: no height, and all of it
BEFORE, AFTER = 1.0, 1.0  # seconds that are shown around what happened
LONGEST = 9.0  # seconds that are shown of what a caller says something in
COLUMNS = 400


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a line: `kind` is its CSS class."""

    at: float
    kind: str
    label: str


def marks(trial: Trial) -> list[Mark]:
    """What happened in a trial: with a sign, the time from the onset; without, what is measured."""
    if trial.onset is None:
        return []
    found = [Mark(trial.onset, "caller", "onset")]
    if trial.speech_end is not None:
        found.append(Mark(trial.speech_end, "caller", f"end {_ms(trial, trial.speech_end)}"))
    if trial.stop is not None:
        found.append(Mark(trial.stop, "stop", f"stop {_ms(trial, trial.stop)}"))
    if trial.resume is not None:
        gap = "" if trial.gap_ms is None else f", gap {trial.gap_ms:.0f} ms"
        found.append(Mark(trial.resume, "bot", f"resume {_ms(trial, trial.resume)}{gap}"))
    if trial.response is not None:
        late = (
            _ms(trial, trial.response)
            if trial.response_ms is None
            else f"{trial.response_ms:.0f} ms"
        )
        found.append(Mark(trial.response, "bot", f"response {late}"))
    return found


def span(trials: Sequence[Trial]) -> tuple[float, float] | None:
    """The part to show of each of these trials, in seconds from their onset, so that they can be
    compared; None: all of it, as somebody says nothing.
    """
    if not trials or any(trial.onset is None for trial in trials):
        return None
    last = max(mark.at - (trial.onset or 0.0) for trial in trials for mark in marks(trial))
    return -BEFORE, min(last + AFTER, LONGEST)


def draw(trial: Trial, shown: tuple[float, float] | None, caption: str) -> str:
    """The SVG element. `shown` is what `span` gave; `caption` is for those who cannot see it."""
    zero = trial.onset or 0.0
    whole = max(len(trial.caller_track), len(trial.bot_track), 1) * ENVELOPE_SECONDS
    begin, end = (zero + shown[0], zero + shown[1]) if shown else (0.0, whole)
    scale = (WIDTH - LEFT - RIGHT) / (end - begin)

    def x(at: float) -> float:
        return LEFT + (at - begin) * scale

    found = [mark for mark in marks(trial) if begin <= mark.at <= end]
    placed = [(mark, x(mark.at)) for mark in found]
    above, raised = _labels(
        [one for one in placed if one[0].kind == "caller"], TRACKS_TOP - 6, -LINE
    )
    below, rows = _labels(
        [one for one in placed if one[0].kind != "caller"], TRACKS_BOTTOM + 13, LINE
    )
    top = min(0.0, LINE * (1 - raised))
    axis = TRACKS_BOTTOM + 4 + LINE * rows
    height = axis + 22
    parts = [
        f'<svg class="trial" viewBox="0 {top:g} {WIDTH:g} {height - top:g}" role="img"'
        f' aria-label="{escape(caption)}">',
        f'<text class="who caller" x="0" y="{CALLER_Y + 4:g}">caller</text>',
        f'<text class="who bot" x="0" y="{BOT_Y + 4:g}">bot</text>',
        _track(trial.caller_track, begin, end, CALLER_Y, "caller"),
        _track(trial.bot_track, begin, end, BOT_Y, "bot"),
        *(_line(mark, x(mark.at)) for mark in found),
        *above,
        *below,
        _axis(begin - zero, end - zero, axis, scale),
        "</svg>",
    ]
    return "".join(parts)


def _ms(trial: Trial, at: float) -> str:
    return f"{1000 * (at - (trial.onset or 0.0)):+.0f} ms".replace("-", "−")


def _track(levels: Sequence[float], begin: float, end: float, y: float, kind: str) -> str:
    """The envelope, mirrored as a waveform is."""
    columns = min(COLUMNS, max(1, round((end - begin) / ENVELOPE_SECONDS)))
    heights = _heights(levels, begin, end, columns)
    # Each column's left and right edge, along the top and back along the bottom.
    xs = np.repeat(np.linspace(LEFT, WIDTH - RIGHT, columns + 1), 2)[1:-1]
    edges = np.repeat(heights, 2)
    top = [f"{x:.1f},{y - height:.1f}" for x, height in zip(xs, edges, strict=True)]
    bottom = [f"{x:.1f},{y + height:.1f}" for x, height in zip(xs, edges, strict=True)]
    return f'<polygon class="{kind}" points="{" ".join(top + bottom[::-1])}"/>'


def _heights(
    levels: Sequence[float], begin: float, end: float, columns: int
) -> NDArray[np.float64]:
    """Of each column, the loudest value in it; where there is none, silence."""
    edges = np.rint(np.linspace(begin, end, columns + 1) / ENVELOPE_SECONDS).astype(int)
    values = []
    for first, last in pairwise(edges):
        there = levels[first : max(first + 1, last)] if first >= 0 else ()
        values.append(max(there, default=QUIET))
    heights = HALF * (np.array(values) - QUIET) / (LOUD - QUIET)
    clipped: NDArray[np.float64] = np.clip(heights, LEAST_HEIGHT, HALF)
    return clipped


def _line(mark: Mark, x: float) -> str:
    return (
        f'<line class="{mark.kind}" x1="{x:.1f}" x2="{x:.1f}"'
        f' y1="{TRACKS_TOP:g}" y2="{TRACKS_BOTTOM:g}"/>'
    )


def _labels(placed: Sequence[tuple[Mark, float]], y: float, step: float) -> tuple[list[str], int]:
    """The texts, each in the first row where it hides no other, and how many rows there are."""
    rows: list[list[tuple[float, float]]] = []
    texts = []
    for mark, x in placed:
        width = CHARACTER * len(mark.label)
        left = min(x, WIDTH - RIGHT - width)
        taken = (left, left + width + CHARACTER)
        row = next(
            (n for n, others in enumerate(rows) if all(_apart(taken, other) for other in others)),
            len(rows),
        )
        if row == len(rows):
            rows.append([])
        rows[row].append(taken)
        anchor = "" if left == x else ' text-anchor="end"'
        at = x if left == x else WIDTH - RIGHT
        texts.append(
            f'<text class="{mark.kind}" x="{at:.1f}" y="{y + row * step:g}"{anchor}>'
            f"{escape(mark.label)}</text>"
        )
    return texts, len(rows)


def _apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[1] <= other[0] or other[1] <= one[0]


def _axis(begin: float, end: float, y: float, scale: float) -> str:
    """Seconds from the onset, or from the beginning of the recording."""
    step = next((step for step in (0.5, 1, 2, 5, 10, 20, 60) if step * scale >= 40), 120)
    parts = [f'<line class="axis" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y:g}" y2="{y:g}"/>']
    for number in range(ceil(begin / step), floor(end / step) + 1):
        x = LEFT + (number * step - begin) * scale
        label = f"{number * step:g}".replace("-", "−")
        unit = " s" if number == 0 else ""
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{y:g}" y2="{y + 4:g}"/>'
            f'<text class="axis" x="{x:.1f}" y="{y + 17:g}" text-anchor="middle">'
            f"{label}{unit}</text>"
        )
    return "".join(parts)
