"""How busy this server is, and whether one more call would make the calls in progress suffer.

One event loop carries all calls of a process. Two figures tell how it fares: how late its timers
are, which is how late every call's audio is, whoever takes the time, and how much of one core the
process uses, which foretells the first. Both are of the last two seconds, and a call needs longer
than that to show in them: the calls that were let in meanwhile are added at what a call is known
to cost, or a burst of callers would be in before the first of them is seen.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from server.histogram import Histogram

PERIOD = 0.047  # seconds between two looks: each falls elsewhere in the 20 ms of a frame
LOOKS = 43  # that a figure speaks of: two seconds
SETTLING = 3.0  # seconds until a call shows in full: it connects, and fills the two seconds

FIRST_COST = 0.03  # of a core, a call, until it is known
LEARNING = 0.02  # the share of a look in what is known: a new price is learned in a few seconds

LAG_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # seconds

RELIEF = {"max_lag": 0.5, "max_cpu": 0.95}
"""Once a call was refused, the limits are lower by these factors until one is taken again."""


@dataclass(frozen=True)
class AdmissionSettings:
    """Configuration section `admission`: what a new call must leave to the calls in progress."""

    max_lag: Annotated[float, Field(gt=0)] = 0.02  # s, of the event loop, in one look of ten
    max_cpu: Annotated[float, Field(gt=0)] = 0.8  # of one core, with the new call in it


@dataclass(frozen=True, slots=True)
class Figures:
    """The load as it is now."""

    calls: int = 0  # in progress
    lag: float = 0.0  # seconds that the event loop's timers are late: one in ten is later
    max_lag: float = 0.0  # the latest
    cpu: float = 0.0  # cores in use
    pending: int = 0  # calls that do not show in this yet, or not in full
    call_cost: float = FIRST_COST  # cores for one call

    @property
    def projected_cpu(self) -> float:
        """With all calls let in so far, and one more."""
        return self.cpu + (self.pending + 1) * self.call_cost


def overloaded(figures: Figures, limits: AdmissionSettings) -> str | None:
    """Why no call should be let in, in words for the caller; None if there is room.

    Where nobody is calling nobody suffers: one call is always let in.
    """
    if not figures.calls:
        return None
    if figures.lag > limits.max_lag:
        return (
            f"the server is busy: its event loop is {1000 * figures.lag:.0f} ms late "
            f"(limit {1000 * limits.max_lag:.0f} ms)"
        )
    if figures.projected_cpu > limits.max_cpu:
        return (
            f"the server is busy: with this call it would use {figures.projected_cpu:.0%} "
            f"of its processor (limit {limits.max_cpu:.0%})"
        )
    return None


class Load:
    """Measures from its creation until `close`. `calls` tells how many are in progress.

    `clock` must tell the time of the moment: an event loop may remember that of its latest turn.
    """

    def __init__(
        self,
        settings: AdmissionSettings,
        calls: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._loop = asyncio.get_running_loop()
        self.lag = Histogram(LAG_BOUNDS)  # since the start
        self._lags: deque[float] = deque(maxlen=LOOKS)
        self._spent: deque[tuple[float, float]] = deque(maxlen=LOOKS + 1)  # time and CPU time
        self._admitted: deque[float] = deque()  # when, those that are settling
        self._call_cost = FIRST_COST
        self._refusing = False
        self._due = clock() + PERIOD
        self._timer = self._loop.call_later(PERIOD, self._look)

    def close(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    @property
    def figures(self) -> Figures:
        """The load as it is now."""
        calls = self._calls()
        lags = sorted(self._lags) or [0.0]
        return Figures(
            calls=calls,
            lag=lags[int(0.9 * len(lags))],
            max_lag=lags[-1],
            cpu=self._cpu(),
            pending=self._pending(calls),
            call_cost=self._call_cost,
        )

    @property
    def pressure(self) -> float:
        """0: idle; above 1 a call is refused, unless it is the only one."""
        figures, limits = self.figures, self._limits()
        return max(figures.lag / limits.max_lag, figures.projected_cpu / limits.max_cpu)

    def snapshot(self) -> dict[str, object]:
        """What `/status` shows."""
        figures = self.figures
        return {
            "lag_ms": {
                "p90": round(1000 * figures.lag, 1),
                "max": round(1000 * figures.max_lag, 1),
            },
            "cpu": round(figures.cpu, 3),
            "projected_cpu": round(figures.projected_cpu, 3),
            "call_cost": round(figures.call_cost, 4),
            "pressure": round(self.pressure, 2),
        }

    def admit(self) -> str | None:
        """Let a call in: None, and from now on it counts. Else why not, in words for the caller."""
        reason = overloaded(self.figures, self._limits())
        self._refusing = reason is not None
        if reason is None:
            self._admitted.append(self._clock())
        return reason

    def _limits(self) -> AdmissionSettings:
        """Lower while calls are refused, so that it is not taken and refused by turns."""
        if not self._refusing:
            return self._settings
        lowered = {name: getattr(self._settings, name) * by for name, by in RELIEF.items()}
        return replace(self._settings, **lowered)

    def _look(self) -> None:
        now = self._clock()
        # However long a stall is, it is one look: what happens once is no reason to refuse.
        lag = max(0.0, now - self._due)
        self._lags.append(lag)
        self.lag.add(lag)
        self._spent.append((now, self._cpu_clock()))
        self._learn()
        self._due += PERIOD * max(1, math.ceil((now - self._due) / PERIOD))
        self._timer = self._loop.call_later(self._due - now, self._look)

    def _cpu(self) -> float:
        if len(self._spent) < 2:
            return 0.0
        (began, spent_before), (now, spent) = self._spent[0], self._spent[-1]
        return (spent - spent_before) / (now - began)

    def _pending(self, calls: int) -> int:
        while self._admitted and self._admitted[0] <= self._clock() - SETTLING:
            self._admitted.popleft()
        return min(len(self._admitted), calls)  # some came to nothing

    def _learn(self) -> None:
        calls = self._calls()
        if calls > 2 * self._pending(calls):  # while many connect, it is that which is measured
            self._call_cost += LEARNING * (self._cpu() / calls - self._call_cost)
