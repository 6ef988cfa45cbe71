"""What a step loop tells of itself: how long steps take, how full they are, who waits how long."""

from collections import deque
from dataclasses import dataclass

import numpy as np

RECENT = 1000  # steps, and jobs, that the figures are of


@dataclass(frozen=True, slots=True)
class StepSummary:
    """Of the latest steps and jobs; seconds, and jobs in a step."""

    slots: int
    taken: int
    steps: int
    step_median: float
    step_p95: float
    batch_mean: float
    wait_p95: float


class StepFigures:
    """Written by the loop's thread, read by anyone."""

    def __init__(self, slots: int) -> None:
        self.taken = 0  # slots
        self.steps = 0
        self._slots = slots
        self._durations: deque[float] = deque(maxlen=RECENT)
        self._batches: deque[int] = deque(maxlen=RECENT)
        self._waits: deque[float] = deque(maxlen=RECENT)
        self._ends: deque[float] = deque(maxlen=64)  # when jobs have left, on the loop's clock

    def step(self, seconds: float, jobs: int) -> None:
        self.steps += 1
        self._durations.append(seconds)
        self._batches.append(jobs)

    def enter(self, now: float, waited: float) -> None:
        self.taken += 1
        self._waits.append(waited)

    def leave(self, now: float) -> None:
        self.taken -= 1
        self._ends.append(now)

    def expected_wait(self, ahead: int) -> float:
        """Seconds until a job with so many before it has a slot, at the pace of the latest."""
        if self.taken < self._slots or len(self._ends) < 2:
            return 0.0
        ends = list(self._ends)
        return (ahead + 1) * (ends[-1] - ends[0]) / (len(ends) - 1)

    def summary(self) -> StepSummary:
        durations, batches, waits = (
            np.array(list(kept) or [0.0]) for kept in (self._durations, self._batches, self._waits)
        )
        return StepSummary(
            self._slots,
            self.taken,
            self.steps,
            float(np.median(durations)),
            float(np.percentile(durations, 95)),
            float(batches.mean()),
            float(np.percentile(waits, 95)),
        )
