"""What came of a suite: plain data, as JSON has it and as the report draws it.

Times are in seconds from the beginning of a trial's recording, durations in ms where they say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ENVELOPE_SECONDS = 0.02
"""Of sound, for one value of a track."""

Expected = Literal["stop", "continue", "wait"]
"""Of the bot: fall silent; go on speaking; leave the caller, who only pauses, the turn."""

Outcome = Literal["stopped", "missed", "continued", "false_interruption", "waited", "took_over"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One call, or one stretch of it, in which one thing was tried.

    `stop`: where the last audible sample of the answer was, after `onset`, the first audible one of
    what the caller said over it; `speech_end`: the end of that. `resume`: where the answer went on
    after a gap. `response`: the first sound of the answer to what the caller said.
    `gap_ms`: the longest silence of the bot's after the onset, where it was to go on.
    `history_error`: words by which the server's account of what was heard is off, None: unknown.
    """

    scenario: str
    number: int
    expected: Expected
    outcome: Outcome | None  # None: the call failed, `error` says why
    said: str  # by the caller: the words, or the recording's name
    onset: float | None
    speech_end: float | None
    stop: float | None
    resume: float | None
    response: float | None
    stop_ms: float | None
    response_ms: float | None
    gap_ms: float | None
    history_error: int | None
    bot_seconds: float  # of the answer that were heard, its pauses included
    false_interruptions: int  # of the answer, where it was to go on
    caller_track: tuple[float, ...]  # loudness in dBFS, a value for each ENVELOPE_SECONDS
    bot_track: tuple[float, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """A scenario, or all of a suite's (`scenario` is "all"). None: nothing to judge it by.

    Percent are of the trials whose call did not fail: `missed` of those that expect "stop",
    `false` of those that expect "continue", `took_over` of those that expect "wait".
    Pairs are (median, p95).
    """

    scenario: str
    trials: int
    failed: int
    missed_percent: float | None
    false_percent: float | None
    false_per_hour: float | None  # of the bot's speech that was to go on
    took_over_percent: float | None
    stop_ms: tuple[float, float] | None
    response_ms: tuple[float, float] | None
    gap_ms: tuple[float, float] | None
    resumed_percent: float | None  # of the gaps, those after which the same answer went on
    history_error: float | None  # words, in the mean
    bot_seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """A threshold of the suite, and whether it was kept: `value` is None where nothing was seen."""

    scenario: str
    metric: str
    limit: float
    value: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Of one suite against one target."""

    suite: str
    description: str
    target: str  # such as "vaani over webrtc", "openai ws://…", "pipecat"
    seed: int
    summaries: tuple[Summary, ...]  # of each scenario, in order; the last is of all
    checks: tuple[Check, ...]
    trials: tuple[Trial, ...]
    notes: Mapping[str, str]  # scenarios that were left out, and why

    @property
    def passed(self) -> bool:
        return all(check.kept for check in self.checks)
