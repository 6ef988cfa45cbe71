"""An event loop whose clock jumps: when nothing is ready, it is at once the next timer's time.

A minute of call takes milliseconds, and every run gives the same milliseconds. Only for what
waits for nothing but timers: a loop that has to wait for a socket or a thread says so.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingToWaitFor(RuntimeError):
    """Every task waits for something that no timer will bring."""


class _Selector(selectors.DefaultSelector):
    """Looks, but never waits: in place of the wait the clock moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingToWaitFor("no timer is set and nothing is ready")
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s. `stall` is what a busy machine does: time passes and nothing runs."""

    def __init__(self) -> None:
        self._time = _Selector()
        super().__init__(self._time)

    def time(self) -> float:
        return self._time.now

    def stall(self, seconds: float) -> None:
        self._time.now += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


async def until(seconds: float) -> None:
    """Sleep until this time of the loop's clock."""
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


async def settle() -> None:
    """Let all that is ready run, without time passing."""
    for _ in range(20):
        await asyncio.sleep(0)
