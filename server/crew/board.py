"""What the worker processes of one server know of each other at any time: a page of shared memory.

Each figure is written by one process alone, in eight aligned bytes, and so without a lock: no
worker can keep the others waiting, however it dies.

A call that one worker gives to another is counted by neither until it has got there. So each notes
how many it has ever sent to whom, and how many have reached it from whom: the difference is under
way. Without it a burst of callers would all go to the worker that seemed idle when they came.
"""

import mmap
import time
from pathlib import Path

BEAT_INTERVAL = 0.25  # seconds
SILENT = 2.0  # seconds; to a worker that has not written for so long no call is given

_CALLS, _PRESSURE, _BEAT, _FIXED = 0, 1, 2, 3


class Board:
    """The figures of all workers, as worker `number` sees and writes them."""

    def __init__(self, path: Path, count: int, number: int | None = None) -> None:
        """Raises OSError. Without a number one may only look on, and `clear`."""
        self.number = number
        self.count = count
        self._row = _FIXED + 2 * count
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8 * self._row * count)
        self._cells = memoryview(self._page).cast("d")
        if number is not None:
            for other in range(count):  # what was under way to, or from, the one before is lost
                self._set(number, self._arrived(other), self._get(other, self._sent(number)))
                self._set(number, self._sent(other), self._get(other, self._arrived(number)))

    @staticmethod
    def create(path: Path, count: int) -> "Board":
        """The file for it, all zero, and one's own view of it."""
        path.write_bytes(bytes(8 * count * (_FIXED + 2 * count)))
        return Board(path, count)

    def close(self) -> None:
        self._cells.release()
        self._page.close()

    def clear(self, number: int) -> None:
        """This worker is dead: it has no calls, and none is to be given to it."""
        for column in range(_FIXED):
            self._set(number, column, 0.0)

    # What this worker says

    def tally(self, calls: int) -> int:
        """So many calls are here; how many are in the whole server?"""
        self._set(self._me, _CALLS, calls)
        return sum(int(self._get(worker, _CALLS)) for worker in range(self.count))

    def beat(self, pressure: float) -> None:
        """Still there, and so busy: above 1 no further call is wanted."""
        self._set(self._me, _PRESSURE, pressure)
        self._set(self._me, _BEAT, time.monotonic())

    def send(self, worker: int) -> None:
        """A call is on its way to this worker, which may be oneself."""
        self._add(self._me, self._sent(worker), 1)

    def fail_to_send(self, worker: int) -> None:
        """It never got there."""
        self._add(self._me, self._sent(worker), -1)

    def arrive(self, sender: int) -> None:
        """It came, and is counted from now on, or will never be."""
        self._add(self._me, self._arrived(sender), 1)

    # What is known of all

    def choose(self) -> int:
        """The worker for the next call: with the fewest, and rather here than elsewhere."""
        now = time.monotonic()
        return min(
            (
                worker
                for worker in range(self.count)
                if worker == self._me or now - self._get(worker, _BEAT) < SILENT
            ),
            key=lambda w: (self.pressure(w) > 1, self.calls(w), w != self._me, w),
        )

    def calls(self, worker: int) -> int:
        """The calls it has, and those on their way to it."""
        under_way = (
            self._get(sender, self._sent(worker)) - self._get(worker, self._arrived(sender))
            for sender in range(self.count)
        )
        return int(self._get(worker, _CALLS) + sum(max(0.0, number) for number in under_way))

    def pressure(self, worker: int) -> float:
        return self._get(worker, _PRESSURE)

    def last_beat(self, worker: int) -> float:
        """When it last said that it is there, by time.monotonic; 0 if it never did."""
        return self._get(worker, _BEAT)

    @property
    def _me(self) -> int:
        assert self.number is not None, "one who looks on says nothing"
        return self.number

    def _sent(self, worker: int) -> int:
        return _FIXED + worker

    def _arrived(self, sender: int) -> int:
        return _FIXED + self.count + sender

    def _get(self, worker: int, column: int) -> float:
        return self._cells[worker * self._row + column]

    def _set(self, worker: int, column: int, value: float) -> None:
        self._cells[worker * self._row + column] = value

    def _add(self, worker: int, column: int, value: float) -> None:
        self._set(worker, column, self._get(worker, column) + value)
