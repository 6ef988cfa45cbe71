"""What can be told from when packets arrive: loss, jitter, backlog.

A packet is judged against its RTP timestamp, so that a pause in sending (DTX) is no jitter.
"""

from array import array
from dataclasses import dataclass

import numpy as np

CLOCK_RATE = 48_000
LATE = 0.04  # seconds behind the quickest packet: two frames
FRAME_TICKS = 960


@dataclass(frozen=True, slots=True)
class Window:
    """One call's packets in a stretch of time.

    `skipped`: frames that the sender left out, by its timestamps; `late`: packets more than LATE
    behind the quickest; `backlog_ms`: by how much later packets came in the last quarter than in
    the first; `deviations_ms`: between each two packets, |time between arrivals - between stamps|.
    """

    received: int
    lost: int
    skipped: int
    late: int
    backlog_ms: float
    deviations_ms: list[float]


class Arrivals:
    """Takes packets as they come; `take` gives what came since the last time."""

    def __init__(self) -> None:
        self._sequence: int | None = None  # the highest, unwrapped
        self._timestamp = 0
        self._sequences = array("q")
        self._media = array("d")  # seconds, by the timestamps
        self._times = array("d")

    def add(self, sequence: int, timestamp: int, now: float) -> None:
        """A packet with this 16-bit sequence number and 32-bit timestamp arrived."""
        if self._sequence is None:
            self._sequence, self._timestamp = sequence, timestamp
        ahead = ((sequence - self._sequence + 0x8000) & 0xFFFF) - 0x8000
        ticks = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self._sequences.append(self._sequence + ahead)
        self._media.append((self._timestamp + ticks) / CLOCK_RATE)
        self._times.append(now)
        if ahead > 0:
            self._sequence += ahead
            self._timestamp += ticks

    def take(self) -> Window:
        """What came, and forget it but for its last packet, to which the next is compared."""
        sequences = np.array(self._sequences)
        media, times = np.array(self._media), np.array(self._times)
        for kept in (self._sequences, self._media, self._times):
            del kept[:-1]
        if len(sequences) < 2:
            return Window(0, 0, 0, 0, 0.0, [])
        unique, index = np.unique(sequences, return_index=True)
        steps, stamps = np.diff(unique), np.diff(media[index])
        gaps = np.rint(stamps[steps == 1] * CLOCK_RATE / FRAME_TICKS) - 1
        transit = times - media
        quarter = -(-len(transit) // 4)
        return Window(
            received=len(unique) - 1,
            lost=int(unique[-1] - unique[0]) - (len(unique) - 1),
            skipped=int(gaps[gaps > 0].sum()),
            late=int(np.count_nonzero(transit > transit.min() + LATE)),
            backlog_ms=round(
                1000 * float(np.median(transit[-quarter:]) - np.median(transit[:quarter])), 2
            ),
            deviations_ms=[
                round(float(d), 2) for d in 1000 * np.abs(np.diff(times) - np.diff(media))
            ],
        )
