"""media.jitter_buffer: in order, once, and never late by more than the longest wait."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.jitter_buffer import (
    CLOCK_RATE,
    MAX_CONCEALED,
    MAX_HELD,
    MAX_JUMP,
    MAX_WAIT,
    MIN_WAIT,
    Arrived,
    Gap,
    JitterBuffer,
    Lost,
    Released,
)

TICKS = 960  # of the RTP clock in 20 ms


@dataclass
class Receiver:
    """A buffer, driven as it wants to be: `release` after each `add` and at each `timeout`."""

    buffer: JitterBuffer
    base: int = 0  # what number and time stamp the packet called 0 has
    now: float = 0.0

    def advance(self, now: float) -> list[tuple[float, Released]]:
        out: list[tuple[float, Released]] = []
        while self.buffer.timeout is not None and self.buffer.timeout <= now:
            self.now = max(self.now, self.buffer.timeout)
            out += [(self.now, item) for item in self.buffer.release(self.now)]
        self.now = now
        return out

    def receive(self, number: int, now: float, extra: int = 0) -> list[tuple[float, Released]]:
        """Packet `number` of a stream of 20 ms packets arrives; its payload is its number."""
        out = self.advance(now)
        timestamp = (self.base + number) * TICKS + extra
        sequence = (self.base + number) & 0xFFFF
        self.buffer.add(sequence, timestamp & 0xFFFFFFFF, str(number).encode())
        return out + [(now, item) for item in self.buffer.release(now)]


def released(numbers: list[int], step: float = 0.02, base: int = 0) -> list[Released]:
    """What comes of these packets, one each `step`, and of a second of nothing after them."""
    receiver = Receiver(JitterBuffer(), base)
    out = [item for i, n in enumerate(numbers) for item in receiver.receive(n, i * step)]
    return [item for _, item in out + receiver.advance(len(numbers) * step + 1)]


def arrived(*numbers: int) -> list[Released]:
    return [Arrived(str(number).encode()) for number in numbers]


@pytest.mark.parametrize("base", [0, 65_000])  # the second wraps on the way
def test_a_clean_path_costs_no_delay(base: int) -> None:
    receiver = Receiver(JitterBuffer(), base)
    for number in range(1000):
        now = number * 0.02
        assert receiver.receive(number, now) == [(now, Arrived(str(number).encode()))]
        assert receiver.buffer.timeout is None
    assert (receiver.buffer.lost, receiver.buffer.late) == (0, 0)


@pytest.mark.parametrize("base", [0, 65_533, 4_473_921])  # 4 473 924 * 960 wraps 32 bits
def test_reordering_is_undone(base: int) -> None:
    assert released([0, 2, 1, 3, 5, 6, 4, 7], step=0.005, base=base) == arrived(*range(8))


@pytest.mark.parametrize("base", [0, 65_533])
def test_loss_is_concealed_from_the_packet_after_it(base: int) -> None:
    assert released([0, 1, 4, 5], base=base) == [
        *arrived(0, 1),
        Lost(None),
        Lost(b"4"),
        *arrived(4, 5),
    ]


def test_a_hole_is_waited_for_15_ms() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    assert receiver.receive(2, 0.04) == []
    assert receiver.buffer.timeout == pytest.approx(0.04 + MIN_WAIT)
    assert receiver.buffer.release(0.04 + MIN_WAIT - 0.001) == []
    assert receiver.buffer.release(0.04 + MIN_WAIT) == [Lost(b"2"), Arrived(b"2")]
    assert receiver.buffer.timeout is None
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 0)


def test_a_hole_that_is_filled_is_not_waited_for() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.040)
    assert [item for _, item in receiver.receive(1, 0.050)] == arrived(1, 2)
    assert receiver.buffer.timeout is None
    assert receiver.buffer.lost == 0


def test_a_second_hole_does_not_make_a_packet_wait_twice() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    for number in (2, 4, 6):
        assert receiver.receive(number, 0.04) == []
    assert [(round(t, 3), item) for t, item in receiver.advance(1.0)] == [
        (0.055, item)
        for number in (2, 4, 6)
        for item in (Lost(str(number).encode()), *arrived(number))
    ]


def test_too_many_packets_behind_a_hole_end_the_wait() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    for number in range(2, MAX_HELD + 1):
        assert receiver.receive(number, 0.04) == []
    last = receiver.receive(MAX_HELD + 1, 0.04)
    assert [item for _, item in last] == [Lost(b"2"), *arrived(*range(2, MAX_HELD + 2))]


def test_a_late_packet_is_dropped_and_widens_the_wait() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.04)
    receiver.advance(0.06)
    assert receiver.receive(1, 0.06) == []
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 1)
    receiver.receive(4, 0.08)
    assert receiver.buffer.timeout == pytest.approx(0.08 + 1.5 * MIN_WAIT, abs=1e-4)


def test_the_wait_has_a_limit_and_decays() -> None:
    receiver = Receiver(JitterBuffer())
    receiver.receive(0, 0.0)
    for i in range(20):  # each odd packet comes after it was given up
        receiver.receive(2 * i + 2, 0.1 * i)
        receiver.receive(2 * i + 1, 0.1 * i + 0.09)
    receiver.receive(42, 3.0)
    assert receiver.buffer.timeout == pytest.approx(3.0 + MAX_WAIT, abs=1e-4)
    receiver.advance(3.1)
    for i in range(693):  # 14 s
        receiver.receive(43 + i, 3.1 + 0.02 * i)
    receiver.receive(737, 20.0)
    assert receiver.buffer.timeout == pytest.approx(20.0 + MAX_WAIT / 2, abs=1e-3)
    receiver.advance(21.0)
    for i in range(3000):
        receiver.receive(738 + i, 21.0 + 0.02 * i)
    receiver.receive(3739, 100.0)
    assert receiver.buffer.timeout == pytest.approx(100.0 + MIN_WAIT)


def test_a_duplicate_is_neither_played_nor_late() -> None:
    receiver = Receiver(JitterBuffer())
    for number in range(50):
        receiver.receive(number, number * 0.02)
        assert receiver.receive(number, number * 0.02 + 0.001) == []
    receiver.receive(51, 1.02)
    receiver.receive(51, 1.021)
    assert receiver.buffer.timeout == pytest.approx(1.02 + MIN_WAIT)
    assert [item for _, item in receiver.advance(2.0)] == [Lost(b"51"), *arrived(51)]
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 0)


def test_old_loss_does_not_delay_new_speech() -> None:
    out = released([0, 51])
    assert out == [*arrived(0), *[Lost(None)] * (MAX_CONCEALED - 1), Lost(b"51"), *arrived(51)]


@pytest.mark.parametrize("jump", [MAX_JUMP + 2, 30_000, -MAX_JUMP - 2, -30_000])
def test_a_jump_is_another_stream(jump: int) -> None:
    receiver = Receiver(JitterBuffer(), base=40_000)
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.02)  # held, and forgotten with its stream
    out = [item for i in range(3) for _, item in receiver.receive(jump + i, 0.03 + i * 0.02)]
    assert out == arrived(jump, jump + 1, jump + 2)
    assert receiver.buffer.timeout is None
    assert receiver.buffer.lost == 0


def test_a_pause_of_the_sender_is_a_gap() -> None:
    """DTX: the sequence goes on, the time stamp jumps."""
    receiver = Receiver(JitterBuffer(), base=4_473_920)  # the time stamp wraps on the way
    receiver.receive(0, 0.0)
    receiver.receive(1, 0.02)
    out = receiver.receive(2, 0.42, extra=19 * TICKS)
    assert [item for _, item in out] == [Gap(0.38), *arrived(2)]
    assert [i for _, i in receiver.receive(3, 0.44, extra=19 * TICKS)] == arrived(3)


def test_a_time_stamp_that_makes_no_sense_is_no_gap() -> None:
    for extra in (-5 * TICKS, -1, CLOCK_RATE, 2**31):
        receiver = Receiver(JitterBuffer(), base=1000)
        receiver.receive(0, 0.0)
        assert [item for _, item in receiver.receive(1, 0.02, extra)] == arrived(1)


def test_longer_packets_are_no_gaps() -> None:
    """60 ms a packet, known when the first was decoded: after it was released."""
    buffer = JitterBuffer()
    out: list[Released] = []
    for number in range(5):
        buffer.add(number, number * 3 * TICKS, str(number).encode())
        out += buffer.release(number * 0.06)
        buffer.set_duration(0.06)
    assert out == arrived(*range(5))


@settings(deadline=None)
@given(
    base=st.integers(0, 2**24),
    fates=st.lists(
        st.tuples(
            st.sampled_from(["sent"] * 6 + ["lost", "twice"]),
            st.floats(0, 0.15),  # delay on the way
            st.floats(0, 0.15),  # and of the second copy
        ),
        min_size=1,
        max_size=60,
    ),
)
def test_any_path(base: int, fates: list[tuple[str, float, float]]) -> None:
    arrivals: list[tuple[float, int]] = []
    for number, (fate, delay, again) in enumerate(fates):
        if fate != "lost" or number == 0:
            arrivals.append((number * 0.02 + delay * (number > 0), number))
        if fate == "twice":
            arrivals.append((number * 0.02 + 0.001 + again, number))
    arrivals.sort()
    check(arrivals, base)


def test_a_long_bad_path() -> None:
    """10 % loss in bursts, 0 to 120 ms of jitter, 3 % twice, five minutes and a wrap."""
    random = np.random.default_rng(42)
    arrivals, bad = [(0.0, 0)], False
    for number in range(1, 15_000):
        bad = random.random() < (0.7 if bad else 0.035)
        if not bad:
            arrivals += [(number * 0.02 + random.uniform(0, 0.12), number)]
        if random.random() < 0.03:
            arrivals += [(number * 0.02 + random.uniform(0, 0.12), number)]
    arrivals.sort()
    check(arrivals, 60_000)


def check(arrivals: list[tuple[float, int]], base: int) -> None:
    """In order, once, all accounted for, nobody waits for more than MAX_WAIT."""
    receiver = Receiver(JitterBuffer(), base)
    out: list[tuple[float, Released]] = []
    first: dict[int, float] = {}
    for now, number in arrivals:
        first.setdefault(number, now)
        out += receiver.receive(number, now)
    out += receiver.advance(arrivals[-1][0] + 1)
    assert receiver.buffer.timeout is None

    played = [(now, int(item.payload)) for now, item in out if isinstance(item, Arrived)]
    numbers = [number for _, number in played]
    assert numbers == sorted(set(numbers))
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert receiver.buffer.lost == missing
    assert len(set(first) - set(numbers)) == receiver.buffer.late  # each was dropped as too late
    for now, number in played:
        assert now - first[number] <= MAX_WAIT + 1e-9

    concealed, before = 0, numbers[0] - 1
    for _, item in out:
        match item:
            case Lost(following):
                concealed += 1
                behind = following
            case Arrived(payload):
                hole = int(payload) - before - 1
                assert concealed == min(hole, MAX_CONCEALED)
                assert not hole or behind == payload  # for the decoder's error correction
                concealed, before = 0, int(payload)
            case Gap():
                raise AssertionError("nobody paused")


def test_memory_is_bounded() -> None:
    """Every second packet never comes: what is held stays small, whatever the wait."""
    receiver = Receiver(JitterBuffer())
    held = 0
    for number in range(0, 20_000, 2):
        out = receiver.receive(number, number * 0.0001)
        held += 1 - sum(isinstance(item, Arrived) for _, item in out)
        assert held <= MAX_HELD
