"""Puts packets back in order and says what is missing between them: no clock, no codec.

There is no playout clock here: who hears is a program, which wants audio in order and soon, not
evenly. So a packet leaves the moment it comes, and a queue on the way (jitter without reordering)
costs nothing more. Only a hole raises a question: is the packet lost, or has it been overtaken?
The path's own history answers. The lateness of an overtaken packet, from the arrival of the first
packet behind it to its own, is what a wait would have had to be, and can be measured even after the
packet was given up. The wait is the largest lateness seen, with a margin, and is halved with every
`HALF_LIFE` packets: a maximum, because to wait too long costs something only at a hole and to wait
too short costs sound; decaying, because a path that overtakes less often than that is not worth
delaying each loss for; by packets and not by time, because when nothing comes nothing is learned.
On a path that only loses it goes to nothing: a loss is known as one when the next packet comes.

How much is missing the time stamps say, since numbers do not know of pauses (DTX). Time that was
lost is not silence: of a long loss only the beginning is concealed and the rest left out, or an
outage would end the caller's turn.
"""

from dataclasses import dataclass
from typing import NamedTuple

CLOCK_RATE = 48_000  # of time stamps and ticks: Opus, whatever the audio (RFC 7587)
FIRST_WAIT = 0.015  # s, until the path is known
MIN_WAIT = 0.002  # s; less is none
MAX_WAIT = 0.06  # s; a packet later than that is concealed: late audio delays the whole call
HALF_LIFE = 250  # packets, 5 s
MAX_CONCEALED = CLOCK_RATE // 5  # ticks of one hole
LONGEST_PACKET = CLOCK_RATE * 60 // 1000  # ticks, that a sender might have changed to in a hole
SHORTEST_GAP = CLOCK_RATE // 100  # ticks; less is a sender who sets its clock right
TICKS_STEP = CLOCK_RATE // 400  # Opus frames, lost ones too, are multiples of 2.5 ms
MAX_DROPOUT, MAX_MISORDER = 3000, 100  # sequence numbers: RFC 3550, A.1
MAX_HELD = 50  # packets behind a hole: a bound of memory, the wait ends before

_DECAY = 0.5 ** (1 / HALF_LIFE)


class Packet(NamedTuple):
    """A packet as it arrived; when it is released, decode it."""

    sequence: int  # 16 bits
    timestamp: int  # 32 bits
    ticks: int  # how long its audio is
    payload: bytes
    arrival: float  # s, on the clock that `release` is asked by
    source: int = 0  # SSRC

    @property
    def announces_silence(self) -> bool:
        """Opus says by a packet of at most two bytes that until the next there is only noise."""
        return len(self.payload) <= 2


@dataclass(frozen=True, slots=True)
class Lost:
    """Conceal so much; `following` is the packet right after it, if that one is here."""

    ticks: int
    following: bytes | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The sender sent nothing on purpose for so many ticks, if its time stamps tell the truth."""

    ticks: int


Released = Packet | Lost | Gap


class JitterBuffer:
    """`add` packets as they come: it returns what is due. `timeout` says when to `release`."""

    def __init__(self) -> None:
        self.lost = 0  # packets that did not come, or too late
        self.late = 0  # of these, those that came too late
        self.delay = 0.0  # s that packets wait, in the mean of the last few
        self.jitter = 0.0  # s, RFC 3550, 6.4.1
        self._wait = FIRST_WAIT
        self._stray: Packet | None = None
        self._latest: Packet | None = None
        self._held: dict[int, Packet] = {}
        # When the first packet behind each of those came.
        self._given_up: dict[int, float] = {}
        # Of the stream: what follows the packet passed on last.
        self._next: int | None = None
        self._timestamp: int | None = None
        self._ticks = 0
        self._silent = False
        self._missing = 0

    @property
    def wait(self) -> float:
        """Seconds that a packet waits for one before it."""
        return self._wait if self._wait >= MIN_WAIT else 0.0

    @property
    def timeout(self) -> float | None:
        """When the hole that is waited for is given up."""
        return self._first_arrival() + self.wait if self._held else None

    def add(self, packet: Packet) -> list[Released]:
        """Take a packet; all that is due with it, in order."""
        sequence = packet.sequence
        if self._next is None:
            self._next = sequence
        distance = ((sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
        latest = self._latest
        if latest is not None:
            if self._stray and _is_next(self._stray, packet):
                return self._restart(self._stray) + self.add(packet)
            if packet.source != latest.source or not -MAX_MISORDER <= distance < MAX_DROPOUT:
                self._stray = packet  # two in a row are a new stream
                return []
            self._measure_jitter(latest, packet)
        self._latest, self._stray = packet, None
        if distance < 0:
            overtaken = self._given_up.pop(sequence, None)
            if overtaken is not None:  # else it is a second copy
                self.late += 1
                self._learn(packet.arrival - overtaken)
            return []
        self._wait *= _DECAY
        if self._held:
            if sequence in self._held:
                return []
            behind = [
                other.arrival
                for number, other in self._held.items()
                if (number - sequence) & 0xFFFF < 0x8000
            ]
            if behind:
                self._learn(packet.arrival - min(behind))
        self._held[sequence] = packet
        return self.release(packet.arrival)

    def release(self, now: float) -> list[Released]:
        """All that is due, in order."""
        out: list[Released] = []
        while self._held:
            assert self._next is not None
            packet = self._held.pop(self._next, None)
            if packet is not None:
                self._pass_on(out, packet, now)
                continue
            # Counted from the first that came: a second hole must not make it wait again.
            waited = now - self._first_arrival()
            if waited < self.wait - 1e-6 and len(self._held) < MAX_HELD:
                break
            self._give_up()
        return out

    def _first_arrival(self) -> float:
        return min(packet.arrival for packet in self._held.values())

    def _learn(self, lateness: float) -> None:
        if lateness <= MAX_WAIT:  # for a later one no wait would have been long enough
            self._wait = max(self._wait, min(MAX_WAIT, 1.25 * lateness + 0.004))

    def _measure_jitter(self, latest: Packet, packet: Packet) -> None:
        sent = _signed(packet.timestamp - latest.timestamp) / CLOCK_RATE
        difference = abs(packet.arrival - latest.arrival - sent)
        if difference < 1.0:  # more is an outage
            self.jitter += (difference - self.jitter) / 16

    def _restart(self, first: Packet) -> list[Released]:
        self._latest = self._stray = self._next = self._timestamp = None
        self._held.clear()
        self._given_up.clear()
        return self.add(first)

    def _pass_on(self, out: list[Released], packet: Packet, now: float) -> None:
        self._next = (packet.sequence + 1) & 0xFFFF
        if self._given_up:  # under this number, a lap of 65 536 before
            self._given_up.pop(packet.sequence, None)
        self.delay += (now - packet.arrival - self.delay) / 64
        if not packet.payload:
            return  # padding: a number without audio
        if self._missing or packet.timestamp != self._timestamp:
            self._bridge(out, packet, self._missing)
            self._missing = 0
        self._timestamp = (packet.timestamp + packet.ticks) & 0xFFFFFFFF
        self._ticks, self._silent = packet.ticks, packet.announces_silence
        out.append(packet)

    def _give_up(self) -> None:
        """Go on with the first packet that is there."""
        assert self._next is not None
        awaited, arrival = self._next, self._first_arrival()
        first = min(self._held, key=lambda sequence: (sequence - awaited) & 0xFFFF)
        missing = (first - awaited) & 0xFFFF
        self.lost += missing
        for sequence in range(first - min(missing, MAX_MISORDER), first):
            self._given_up[sequence & 0xFFFF] = arrival
        while len(self._given_up) > MAX_MISORDER:
            del self._given_up[next(iter(self._given_up))]
        self._missing += missing
        self._next = first

    def _bridge(self, out: list[Released], packet: Packet, missing: int) -> None:
        """Tell what lies between the audio before and this packet, where so many are missing."""
        if self._timestamp is None:
            return  # nothing was before
        span = _signed(packet.timestamp - self._timestamp)
        if span == 0:
            return  # what is missing held no audio
        ticks, silent = self._ticks, span - missing * self._ticks
        if missing and span > 0:
            longer = span <= missing * LONGEST_PACKET and not self._silent
            if longer or silent < 0:  # they were of another length
                ticks, silent = span // missing // TICKS_STEP * TICKS_STEP, 0
        count = min(missing, MAX_CONCEALED // ticks) if ticks else 0
        lost = [Lost(ticks, None)] * count
        gap = [Gap(silent)] if silent >= SHORTEST_GAP else []
        if lost and (self._silent or not gap):
            lost[-1] = Lost(ticks, packet.payload)
        # No one is silent before saying so, and then what is lost is what comes after.
        out += [*gap, *lost] if self._silent else [*lost, *gap]


def _is_next(one: Packet, other: Packet) -> bool:
    return one.source == other.source and (one.sequence + 1) & 0xFFFF == other.sequence


def _signed(ticks: int) -> int:
    """A difference of time stamps."""
    return ((ticks + 0x80000000) & 0xFFFFFFFF) - 0x80000000
