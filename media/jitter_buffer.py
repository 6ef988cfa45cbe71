"""Puts packets back in order and says which are lost: no clock, no codec.

Driven by arrival: on a clean path a packet leaves the moment it comes, so the buffer costs no
delay at all. A hole is waited for, but briefly, because a late packet can be concealed while late
audio delays the whole call. The wait grows when a packet turns up after it was given up
(the path reorders more than was thought) and decays again.
"""

from collections import deque
from dataclasses import dataclass

MIN_WAIT = 0.015
MAX_WAIT = 0.06
WAIT_DECAY = 0.999  # per packet: a widened wait is halved in 14 s
MAX_HELD = 6  # packets behind a hole; more are there than any wait is worth
MAX_JUMP = 100  # sequence numbers; further is another stream
MAX_CONCEALED = 10  # packets; a longer gap is skipped, or old loss would delay new speech
CLOCK_RATE = 48_000  # Opus timestamps, whatever the audio (RFC 7587)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Decode this packet."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Conceal one packet; `following` is the packet after it, if that one is here."""

    following: bytes | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The sender was silent on purpose (DTX) for so many seconds."""

    seconds: float


Released = Arrived | Lost | Gap


class JitterBuffer:
    """`add` packets as they come, take what is due with `release`; `timeout` says when to look."""

    def __init__(self) -> None:
        self.lost = 0
        self.late = 0
        self._next: int | None = None
        self._timestamp: int | None = None  # of the latest packet passed on, if nothing was lost
        self._duration = CLOCK_RATE // 50
        self._held: dict[int, tuple[int, bytes]] = {}
        self._arrived: dict[int, float] = {}  # when each of those came
        self._given_up: deque[int] = deque(maxlen=MAX_JUMP)
        self._wait = MIN_WAIT

    @property
    def timeout(self) -> float | None:
        """When the hole that is waited for is given up, on the clock of `now`."""
        return min(self._arrived.values()) + self._wait if self._arrived else None

    def add(self, sequence: int, timestamp: int, payload: bytes) -> None:
        """Take a packet as it arrives: 16-bit sequence number, 32-bit RTP timestamp."""
        if self._next is None:
            self._next = sequence
        distance = ((sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
        if abs(distance) > MAX_JUMP:
            self._held.clear()
            self._arrived.clear()
            self._next, self._timestamp = sequence, None
        elif distance < 0:
            if sequence in self._given_up:  # else it is a second copy
                self._given_up.remove(sequence)
                self.late += 1
                self._wait = min(MAX_WAIT, self._wait * 1.5)
            return
        self._wait = max(MIN_WAIT, self._wait * WAIT_DECAY)
        self._held[sequence] = (timestamp, payload)

    def release(self, now: float) -> list[Released]:
        """All that is due, in order."""
        out: list[Released] = []
        while self._held:
            assert self._next is not None
            if self._next in self._held:
                self._pass_on(out)
                continue
            for sequence in self._held:
                self._arrived.setdefault(sequence, now)
            # Counted from the first that came: a second hole must not make it wait again.
            waited = now - min(self._arrived.values())
            if waited < self._wait - 1e-6 and len(self._held) < MAX_HELD:
                break
            self._give_up(out)
        return out

    def _pass_on(self, out: list[Released]) -> None:
        assert self._next is not None
        timestamp, payload = self._held.pop(self._next)
        self._arrived.pop(self._next, None)
        if self._timestamp is not None:
            ahead = (timestamp - self._timestamp - self._duration) & 0xFFFFFFFF
            if 0 < ahead < CLOCK_RATE:
                out.append(Gap(ahead / CLOCK_RATE))
        self._timestamp = timestamp
        self._next = (self._next + 1) & 0xFFFF
        out.append(Arrived(payload))

    def _give_up(self, out: list[Released]) -> None:
        """Conceal up to the first packet that is there."""
        assert self._next is not None
        awaited = self._next
        first = min(self._held, key=lambda sequence: (sequence - awaited) & 0xFFFF)
        missing = (first - awaited) & 0xFFFF
        _, payload = self._held[first]
        self.lost += missing
        self._given_up.extend((self._next + index) & 0xFFFF for index in range(missing))
        for index in range(min(missing, MAX_CONCEALED)):
            last = index == min(missing, MAX_CONCEALED) - 1
            out.append(Lost(payload if last else None))
        self._next, self._timestamp = first, None

    def set_duration(self, seconds: float) -> None:
        """How long the sender's packets are, once one was decoded; 20 ms until then."""
        self._duration = round(seconds * CLOCK_RATE)
