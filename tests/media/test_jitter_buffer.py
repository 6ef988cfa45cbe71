"""media.jitter_buffer: in order, once, never late by more than the path's own disorder."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.jitter_buffer import (
    CLOCK_RATE,
    FIRST_WAIT,
    HALF_LIFE,
    MAX_CONCEALED,
    MAX_DROPOUT,
    MAX_HELD,
    MAX_MISORDER,
    MAX_WAIT,
    Gap,
    JitterBuffer,
    Lost,
    Packet,
    Released,
)

TICKS = 960  # of the RTP clock in 20 ms
ENOUGH = 5 * HALF_LIFE
SPEECH = b"speech %d"  # three bytes and more: not what announces silence


@dataclass
class Receiver:
    """A buffer, driven as it wants to be: `add`, and `release` at each `timeout`.

    The packet called 0 has the number `base`. Payloads are the packets' names.
    """

    buffer: JitterBuffer = field(default_factory=JitterBuffer)
    base: int = 0

    def advance(self, now: float) -> list[tuple[float, Released]]:
        out: list[tuple[float, Released]] = []
        while (due := self.buffer.timeout) is not None and due <= now:
            out += [(due, item) for item in self.buffer.release(due)]
        return out

    def packet(
        self, number: int, now: float, pause: int = 0, ticks: int = TICKS, source: int = 0
    ) -> Packet:
        timestamp = (self.base + number) * ticks + pause
        sequence = (self.base + number) & 0xFFFF
        return Packet(sequence, timestamp & 0xFFFFFFFF, ticks, SPEECH % number, now, source)

    def receive(self, number: int, now: float, pause: int = 0) -> list[tuple[float, Released]]:
        """Packet `number` of a stream of 20 ms packets, which paused for so many ticks before."""
        out = self.advance(now)
        return out + [(now, item) for item in self.buffer.add(self.packet(number, now, pause))]

    def learn_order(self, number: int, now: float) -> None:
        """`ENOUGH` packets from `number` on, in order: it is known that none is overtaken."""
        for i in range(ENOUGH):
            self.receive(number + i, now + i * 0.02)


def released(numbers: list[int], step: float = 0.02, base: int = 0) -> list[Released]:
    """What comes of these packets, one each `step`, and of a second of nothing after them."""
    receiver = Receiver(base=base)
    out = [item for i, n in enumerate(numbers) for item in receiver.receive(n, i * step)]
    return [item for _, item in out + receiver.advance(len(numbers) * step + 1)]


def named(items: Sequence[Released]) -> list[int | Lost | Gap]:
    """With the packets by name, and those that follow a loss."""
    return [int(item.payload.split()[1]) if isinstance(item, Packet) else item for item in items]


def lost(following: int | None = None, ticks: int = TICKS) -> Lost:
    return Lost(ticks, None if following is None else SPEECH % following)


# Order


@pytest.mark.parametrize("base", [0, 65_000])  # the second wraps on the way
def test_a_clean_path_costs_no_delay(base: int) -> None:
    receiver = Receiver(base=base)
    for number in range(1000):
        now = number * 0.02
        assert receiver.receive(number, now) == [(now, receiver.packet(number, now))]
        assert receiver.buffer.timeout is None
    assert (receiver.buffer.lost, receiver.buffer.late, receiver.buffer.delay) == (0, 0, 0)


@pytest.mark.parametrize("base", [0, 65_533, 4_473_921])  # 4 473 924 * 960 wraps 32 bits
def test_reordering_is_undone(base: int) -> None:
    assert named(released([0, 2, 1, 3, 5, 6, 4, 7], step=0.005, base=base)) == list(range(8))


def test_a_duplicate_is_neither_played_nor_late() -> None:
    receiver = Receiver()
    for number in range(50):
        receiver.receive(number, number * 0.02)
        assert receiver.receive(number, number * 0.02 + 0.001) == []
    due = 1.02 + receiver.buffer.wait
    receiver.receive(51, 1.02)
    receiver.receive(51, 1.021)
    assert receiver.buffer.timeout == pytest.approx(due, abs=1e-3)
    assert named([item for _, item in receiver.advance(2.0)]) == [lost(51), 51]
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 0)


# The wait


def test_at_first_a_hole_is_waited_for_a_little() -> None:
    receiver = Receiver()
    receiver.receive(0, 0.0)
    assert receiver.receive(2, 0.04) == []
    assert receiver.buffer.timeout == pytest.approx(0.04 + FIRST_WAIT, abs=1e-3)
    assert receiver.buffer.release(0.04 + FIRST_WAIT - 0.001) == []
    assert named(receiver.buffer.release(0.04 + FIRST_WAIT)) == [lost(2), 2]
    assert receiver.buffer.timeout is None
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 0)


def test_a_hole_that_is_filled_is_waited_for_no_longer() -> None:
    receiver = Receiver()
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.040)
    assert named([item for _, item in receiver.receive(1, 0.050)]) == [1, 2]
    assert receiver.buffer.timeout is None
    assert receiver.buffer.lost == 0


def test_where_nothing_is_overtaken_a_loss_is_known_with_the_next_packet() -> None:
    receiver = Receiver()
    receiver.learn_order(0, 0.0)
    out = receiver.receive(ENOUGH + 1, 30.0)
    assert named([item for _, item in out]) == [lost(ENOUGH + 1), ENOUGH + 1]


def test_the_wait_covers_the_lateness_that_was_seen_and_is_forgotten() -> None:
    receiver = Receiver()
    receiver.learn_order(0, 0.0)
    receiver.receive(ENOUGH + 1, 30.0)
    assert receiver.receive(ENOUGH, 30.03) == []  # given up at once; 30 ms late
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 1)
    assert 0.03 < receiver.buffer.wait < 0.045
    assert receiver.receive(ENOUGH + 3, 30.06) == []
    out = receiver.receive(ENOUGH + 2, 30.09)
    assert named([item for _, item in out]) == [ENOUGH + 2, ENOUGH + 3]
    receiver.learn_order(ENOUGH + 4, 30.1)
    assert receiver.buffer.wait == 0


def test_a_packet_that_came_in_time_keeps_the_wait_up() -> None:
    receiver = Receiver()
    for i in range(1000):  # each pair the wrong way round, 12 ms apart
        receiver.receive(2 * i + 1, i * 0.04)
        receiver.receive(2 * i, i * 0.04 + 0.012)
    assert receiver.buffer.lost == receiver.buffer.late == 0
    assert 0.012 < receiver.buffer.wait < 0.02
    assert receiver.buffer.delay == pytest.approx(0.006, abs=1e-3)  # half of them, for 12 ms


def test_what_comes_later_than_any_wait_teaches_nothing() -> None:
    receiver = Receiver()
    receiver.learn_order(0, 0.0)
    receiver.receive(ENOUGH + 1, 30.0)
    receiver.receive(ENOUGH, 30.0 + MAX_WAIT + 0.001)
    assert receiver.buffer.late == 1
    assert receiver.buffer.wait == 0


def test_a_second_hole_does_not_make_a_packet_wait_twice() -> None:
    receiver = Receiver()
    receiver.receive(0, 0.0)
    for number in (2, 4, 6):
        assert receiver.receive(number, 0.04) == []
    out = receiver.advance(1.0)
    assert named([item for _, item in out]) == [lost(2), 2, lost(4), 4, lost(6), 6]
    assert [at for at, _ in out] == pytest.approx([0.04 + FIRST_WAIT] * 6, abs=1e-3)


def test_what_is_held_is_bounded() -> None:
    receiver = Receiver()
    receiver.receive(0, 0.0)
    for number in range(2, MAX_HELD + 1):
        assert receiver.receive(number, 0.04) == []
    last = named([item for _, item in receiver.receive(MAX_HELD + 1, 0.04)])
    assert last == [lost(2), *range(2, MAX_HELD + 2)]


def test_a_number_given_up_a_lap_ago_is_forgotten() -> None:
    receiver = Receiver()
    lap = [number for number in range(2**16 + 20) if number != 10]
    for number in lap:
        receiver.receive(number, number * 0.02)
    receiver.receive(2**16 + 10, (2**16 + 20) * 0.02)  # a second copy
    assert (receiver.buffer.lost, receiver.buffer.late) == (1, 0)


def test_memory_is_bounded() -> None:
    """On a path that goes on losing, some of it for good and some of it for long."""
    receiver = Receiver()
    for number in range(0, 40_000, 2):
        receiver.receive(number, number * 0.02)
    assert len(pickle.dumps(receiver.buffer)) < 4000


# What is missing


@pytest.mark.parametrize("base", [0, 65_533, 4_473_921])
def test_loss_is_concealed_from_the_packet_after_it(base: int) -> None:
    assert named(released([0, 1, 4, 5], base=base)) == [0, 1, lost(), lost(4), 4, 5]


def test_of_a_long_loss_the_beginning_is_concealed() -> None:
    """The rest is left out: nobody knows what was said in it."""
    receiver = Receiver()
    receiver.receive(0, 0.0)
    out = named([item for _, item in receiver.receive(151, 3.02) + receiver.advance(4)])
    assert out == [*[lost()] * (MAX_CONCEALED // TICKS - 1), lost(151), 151]
    assert receiver.buffer.lost == 150


@pytest.mark.parametrize("base", [0, 4_473_900])  # the time stamp wraps on the way
@pytest.mark.parametrize("pause", [0.02, 0.38, 1.0, 5.0, 3600.0])
def test_a_pause_of_the_sender_is_a_gap(base: int, pause: float) -> None:
    """DTX: the sequence goes on, the time stamp jumps."""
    receiver, ticks = Receiver(base=base), round(pause * CLOCK_RATE)
    receiver.receive(0, 0.0)
    receiver.receive(1, 0.02)
    out = receiver.receive(2, 0.04 + pause, ticks) + receiver.receive(3, 0.06 + pause, ticks)
    assert named([item for _, item in out]) == [Gap(ticks), 2, 3]
    assert receiver.buffer.lost == 0
    assert receiver.buffer.timeout is None


def test_a_loss_before_a_pause_is_told_from_it() -> None:
    """Two lost, the second of which would have announced the pause: what is after knows neither."""
    receiver = Receiver()
    receiver.receive(0, 0.0)
    out = receiver.receive(3, 1.0, pause=19 * TICKS) + receiver.advance(2)
    assert named([item for _, item in out]) == [lost(), lost(), Gap(19 * TICKS), 3]
    assert receiver.buffer.lost == 2


@pytest.mark.parametrize("pause", [1, 2, 19, 500])
def test_a_loss_after_a_pause_is_the_beginning_of_speech(pause: int) -> None:
    receiver = Receiver()
    receiver.buffer.add(Packet(0, 0, TICKS, b"\x48", 0.0))  # announces silence
    out = receiver.receive(2, 0.4, pause=pause * TICKS) + receiver.advance(1)
    assert named([item for _, item in out]) == [Gap(pause * TICKS), lost(2), 2]


def test_a_loss_after_a_pause_may_be_of_shorter_packets() -> None:
    buffer = JitterBuffer()
    buffer.add(Packet(0, 0, TICKS, b"\x48", 0.0))
    out = buffer.add(Packet(3, 2 * TICKS, 480, SPEECH % 3, 0.1)) + buffer.release(0.2)
    assert named(out) == [lost(None, 480), lost(3, 480), 3]


@pytest.mark.parametrize("milliseconds", [10, 40, 60])
def test_what_was_lost_is_as_long_as_the_time_stamps_say(milliseconds: int) -> None:
    """The packets before were of 20 ms, those that are lost and after it are of another length."""
    receiver, ticks = Receiver(), milliseconds * 48
    receiver.receive(0, 0.0)
    packet = Packet(3, TICKS + 2 * ticks, ticks, SPEECH % 3, 0.1)
    assert named(receiver.buffer.add(packet) + receiver.buffer.release(0.2)) == [
        lost(None, ticks),
        lost(3, ticks),
        3,
    ]


def test_what_was_lost_is_of_a_length_that_the_decoder_can_make() -> None:
    buffer = JitterBuffer()
    buffer.add(Packet(0, 0, TICKS, SPEECH % 0, 0.0))
    out = buffer.add(Packet(3, TICKS + 2 * 500 + 1, TICKS, SPEECH % 3, 0.1)) + buffer.release(0.2)
    assert named(out) == [lost(None, 480), lost(3, 480), 3]


def test_numbers_without_audio_are_no_loss_of_audio() -> None:
    """Padding: a bandwidth probe takes numbers, but no time."""
    receiver = Receiver()
    receiver.receive(0, 0.0)
    assert receiver.buffer.add(Packet(1, TICKS, 0, b"", 0.01)) == []
    out = receiver.receive(2, 0.04, pause=-TICKS)
    assert named([item for _, item in out]) == [2]
    out = receiver.receive(5, 0.06, pause=-3 * TICKS) + receiver.advance(1)  # and two got lost
    assert named([item for _, item in out]) == [5]
    assert receiver.buffer.lost == 2


def test_loss_before_padding_is_concealed_when_audio_comes() -> None:
    receiver = Receiver()
    receiver.receive(0, 0.0)
    assert receiver.buffer.add(Packet(2, 2 * TICKS, 0, b"", 0.03)) == []
    assert receiver.advance(1.0) == []
    out = receiver.receive(3, 1.0, pause=-TICKS)
    assert named([item for _, item in out]) == [lost(3), 3]


@pytest.mark.parametrize("extra", [-5 * TICKS, -1, 1, 100, -(2**31)])
def test_a_time_stamp_that_makes_no_sense_is_no_gap(extra: int) -> None:
    receiver = Receiver(base=1000)
    receiver.receive(0, 0.0)
    assert named([item for _, item in receiver.receive(1, 0.02, extra)]) == [1]
    receiver.receive(2, 0.04)
    out = receiver.receive(4, 0.06, -3 * TICKS) + receiver.advance(1)
    assert named([item for _, item in out]) == [lost(4), 4]


@pytest.mark.parametrize("milliseconds", [10, 40, 60, 120])
def test_longer_packets_are_no_gaps(milliseconds: int) -> None:
    receiver, buffer, out = Receiver(), JitterBuffer(), list[Released]()
    for number in range(5):
        packet = receiver.packet(number, number * milliseconds / 1000, ticks=milliseconds * 48)
        out += buffer.add(packet)
    assert named(out) == list(range(5))


# Streams


@pytest.mark.parametrize("jump", [MAX_DROPOUT + 1, 30_000, -MAX_MISORDER, -30_000])
def test_a_jump_is_a_new_stream_when_it_goes_on(jump: int) -> None:
    receiver = Receiver(base=40_000)
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.02)  # held, and forgotten with its stream
    assert receiver.receive(jump, 0.021) == []
    out = [item for i in range(1, 4) for _, item in receiver.receive(jump + i, 0.021 + i * 0.01)]
    assert named(out) == [jump, jump + 1, jump + 2, jump + 3]
    assert receiver.buffer.timeout is None
    assert receiver.buffer.lost == 0


def test_a_packet_from_nowhere_changes_nothing() -> None:
    receiver = Receiver(base=40_000)
    receiver.receive(0, 0.0)
    for number in range(1, 100):
        assert receiver.receive(number + 30_000 * (1 + number % 2), number * 0.02 - 0.01) == []
        out = receiver.receive(number, number * 0.02)
        assert named([item for _, item in out]) == [number]
    assert receiver.buffer.lost == 0


def test_another_source_is_another_stream() -> None:
    receiver, other = Receiver(), Receiver(base=3)  # whose numbers would fit
    receiver.receive(0, 0.0)
    out = [
        item
        for number in range(3)
        for item in receiver.buffer.add(other.packet(number, 0.1, source=7))
    ]
    assert named(out) == [0, 1, 2]
    assert receiver.buffer.lost == 0


def test_nothing_of_the_stream_before_counts_in_a_new_one() -> None:
    receiver, other = Receiver(), Receiver()
    receiver.receive(0, 0.0)
    receiver.receive(2, 0.04)
    receiver.advance(1.0)  # 1 is given up
    receiver.buffer.add(Packet(4, 4 * TICKS, 0, b"", 1.0))
    receiver.advance(2.0)  # and so is 3, with only padding after it
    out = [
        item
        for number in (2, 3, 1)  # the last is from before its stream began here
        for item in receiver.buffer.add(other.packet(number, 3.0, source=7))
    ]
    assert named(out) == [2, 3]
    assert (receiver.buffer.lost, receiver.buffer.late) == (2, 0)


def test_two_sources_at_once_are_not_mixed() -> None:
    receiver, other = Receiver(), Receiver(base=7)
    for number in range(100):
        out = receiver.receive(number, number * 0.02)
        assert named([item for _, item in out]) == [number]
        assert receiver.buffer.add(other.packet(number, number * 0.02, source=7)) == []


def test_jitter_is_that_of_rfc_3550() -> None:
    receiver, expected, before = Receiver(base=60_000), 0.0, 0.0
    delays = np.random.default_rng(1).uniform(0, 0.015, 500)
    for number, delay in enumerate(delays.tolist()):
        receiver.receive(number, number * 0.02 + delay)
        if number:
            expected += (abs(delay - before) - expected) / 16
        before = delay
    assert receiver.buffer.jitter == pytest.approx(expected)
    receiver.receive(500, 30.0)  # after an outage
    assert receiver.buffer.jitter == pytest.approx(expected)


# Whole paths, two minutes each


SECONDS = 120
COUNT = SECONDS * 50


def random_loss(share: float, seed: int = 1) -> list[bool]:
    return list(np.random.default_rng(seed).random(COUNT) < share)


def bursts(share: float, mean: float = 3, seed: int = 2) -> list[bool]:
    """Gilbert-Elliott: bursts of `mean` packets."""
    random, bad, out = np.random.default_rng(seed).random(COUNT).tolist(), False, list[bool]()
    for x in random:
        bad = x < (1 - 1 / mean if bad else share / (mean * (1 - share)))
        out.append(bad)
    return out


def delays(longest: float, seed: int = 3) -> list[float]:
    """Each packet's own, so that packets overtake each other."""
    return list(np.random.default_rng(seed).uniform(0, longest, COUNT))


def queued(arrivals: Sequence[float]) -> list[float]:
    """The same path without overtaking."""
    return list(accumulate(arrivals, max))


@dataclass
class Outcome:
    """What became of a path: shares of all packets, and the waits of those that were played."""

    lost: float
    concealed: float
    waits: list[tuple[float, float]]  # when, for how long
    buffer: JitterBuffer

    def wait_after(self, start: float, end: float = 1e9) -> float:
        """The mean of a span of time."""
        return float(np.mean([wait for at, wait in self.waits if start <= at < end]))


def travelled(arrivals: Sequence[float], missing: Sequence[bool] = ()) -> Outcome:
    receiver, out = Receiver(base=64_000), list[tuple[float, Released]]()
    gone = missing or [False] * len(arrivals)
    for at, number in sorted(
        (at, number) for number, at in enumerate(arrivals) if not gone[number]
    ):
        out += receiver.receive(number, at)
    out += receiver.advance(1e6)
    played = [(at, item) for at, item in out if isinstance(item, Packet)]
    return Outcome(
        lost=sum(gone) / len(arrivals),
        concealed=sum(isinstance(item, Lost) for _, item in out) / len(arrivals),
        waits=[(at, at - packet.arrival) for at, packet in played],
        buffer=receiver.buffer,
    )


STEADY = [number * 0.02 for number in range(COUNT)]
SHAKEN = [at + delay for at, delay in zip(STEADY, delays(0.03), strict=True)]
LOSSES = {
    **{f"{share:.0%}": random_loss(share) for share in (0.01, 0.02, 0.05, 0.1)},
    **{f"{share:.0%} in bursts": bursts(share) for share in (0.02, 0.05, 0.1)},
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("path", ["steady", "queued"])
def test_on_a_path_that_only_loses_all_that_comes_is_played_at_once(name: str, path: str) -> None:
    outcome = travelled(STEADY if path == "steady" else queued(SHAKEN), LOSSES[name])
    assert outcome.buffer.late == 0
    assert outcome.concealed == pytest.approx(outcome.lost, rel=0.05)
    assert outcome.wait_after(20) == 0
    assert outcome.wait_after(0, 20) < 0.002


@pytest.mark.parametrize("name", LOSSES)
def test_packets_that_overtake_each_other_are_hardly_concealed(name: str) -> None:
    outcome = travelled(SHAKEN, LOSSES[name])
    assert outcome.concealed == pytest.approx(outcome.lost, rel=0.2)
    assert outcome.wait_after(0, 60) < 0.003
    assert outcome.wait_after(60) < 0.003  # no ratchet
    assert max(wait for _, wait in outcome.waits) < 0.02


@pytest.mark.parametrize(("longest", "share"), [(0.03, 0.002), (0.06, 0.003)])
def test_overtaking_alone_is_put_right(longest: float, share: float) -> None:
    path = [at + delay for at, delay in zip(STEADY, delays(longest), strict=True)]
    outcome = travelled(path)
    assert outcome.concealed < share
    assert outcome.wait_after(0) < longest / 10


def test_after_an_outage_all_is_played_and_nothing_is_delayed() -> None:
    """Three seconds of packets come at once, then the path is as before."""
    held = [max(at, 63.0) if 60 <= at < 63 else at for at in STEADY]
    outcome = travelled(held, random_loss(0.02))
    assert outcome.concealed == pytest.approx(outcome.lost)
    assert outcome.wait_after(20) == 0


def test_after_bad_times_the_delay_goes_back_to_nothing() -> None:
    shaken = [*SHAKEN[: COUNT // 2], *STEADY[COUNT // 2 :]]
    outcome = travelled(shaken, random_loss(0.05))
    assert outcome.wait_after(30, 60) > 0.0002
    assert outcome.wait_after(80) == 0
    assert outcome.buffer.delay < 1e-6


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
    receiver = Receiver(base=base)
    out: list[tuple[float, Released]] = []
    first: dict[int, float] = {}
    for now, number in arrivals:
        first.setdefault(number, now)
        out += receiver.receive(number, now)
    out += receiver.advance(arrivals[-1][0] + 1)
    assert receiver.buffer.timeout is None

    names = named([item for _, item in out])
    numbers = [name for name in names if isinstance(name, int)]
    assert numbers == sorted(set(numbers))
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert receiver.buffer.lost == missing
    assert len(set(first) - set(numbers)) == receiver.buffer.late  # each was dropped as too late
    for now, item in out:
        if isinstance(item, Packet):
            assert now - first[int(item.payload.split()[1])] <= MAX_WAIT + 1e-9

    concealed, before = list[Lost](), numbers[0] - 1
    for name in names:
        match name:
            case Lost():
                concealed.append(name)
            case int():
                hole = name - before - 1
                assert len(concealed) == min(hole, MAX_CONCEALED // TICKS)
                # The last has what the decoder's error correction needs.
                assert not hole or concealed[-1] == lost(name)
                concealed, before = [], name
            case Gap():
                raise AssertionError("nobody paused")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**16 - 1) | st.integers(0, 200),
            st.integers(0, 2**32 - 1) | st.integers(0, 200 * TICKS),
            st.sampled_from([0, 120, TICKS, 5760]),
            st.binary(max_size=4),
            st.floats(0, 0.1),  # since the one before
            st.integers(0, 1),  # the source
        ),
        max_size=60,
    )
)
def test_whatever_the_numbers_are(packets: list[tuple[int, int, int, bytes, float, int]]) -> None:
    buffer, now, out = JitterBuffer(), 0.0, list[tuple[float, Released]]()
    for sequence, timestamp, ticks, payload, later, source in packets:
        now += later
        while (due := buffer.timeout) is not None and due <= now:
            out += [(due, item) for item in buffer.release(due)]
        ticks = ticks if payload else 0
        packet = Packet(sequence, timestamp, ticks, payload, now, source)
        out += [(now, item) for item in buffer.add(packet)]
    released = [item for _, item in out if isinstance(item, Packet)]
    assert len(released) == len({id(packet) for packet in released}) <= len(packets)
    for _, item in out:
        match item:
            case Lost(ticks):
                assert 0 < ticks <= 5760
                assert ticks % 120 == 0
            case Gap(ticks):
                assert 0 < ticks < 2**31
    assert sum(isinstance(item, Lost) for _, item in out) <= buffer.lost
    assert 0 <= buffer.delay <= MAX_WAIT + 0.11
