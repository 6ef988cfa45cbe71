"""Markers are found to less than a millisecond, and nothing else is taken for one."""

from collections.abc import Iterator

import numpy as np
import pytest

from bench.caller import RATE
from bench.impairment import Conditions, Impairment
from bench.loops import MARKER_SPACING, marker_loop
from bench.markers import MARKERS, find, marker
from media.frames import Samples, frame_length, silence
from signaling.opus import OpusDecoder, OpusEncoder

OPUS_SECONDS = 0.0065  # by which libopus' encoder is behind


def through_opus(samples: Samples, bitrate: int, loss: float = 0.0) -> Samples:
    encoder, decoder = OpusEncoder(RATE, bitrate), OpusDecoder(RATE)
    network = Impairment(Conditions(loss=loss, seed=1), "")

    def frames() -> Iterator[Samples]:
        for frame in samples.reshape(-1, frame_length(RATE)):
            packet = encoder.encode(frame)
            lost = network.pass_on() is None
            yield decoder.conceal(len(frame)) if lost else decoder.decode(packet)

    return np.concatenate(list(frames()))


@pytest.mark.parametrize(("bitrate", "loss"), [(16_000, 0.0), (24_000, 0.0), (24_000, 0.1)])
def test_markers_survive_opus_and_loss(bitrate: int, loss: float) -> None:
    loop = marker_loop()
    heard = through_opus(through_opus(loop.samples, bitrate, loss), bitrate)
    found = []
    for number, mark in enumerate(loop.marks):
        begin = round(mark * RATE)
        place = find(heard[begin : begin + round(0.4 * RATE)], number)
        if place is not None:
            found.append(place / RATE)
    assert len(found) >= (1 - 3 * loss) * len(loop.marks)
    assert found == pytest.approx([2 * OPUS_SECONDS] * len(found), abs=0.001)


def test_no_marker_is_taken_for_another() -> None:
    for number in range(len(MARKERS)):
        others = [marker(other) for other in range(len(MARKERS)) if other != number]
        assert find(np.concatenate(others), number) is None
        placed = np.concatenate((silence(1234), *others, marker(number), silence(1000)))
        length = len(marker(number))
        assert find(placed, number) == 1234 + length * len(others)


def test_neither_silence_nor_noise_nor_a_scrap_is_a_marker() -> None:
    noise = np.random.default_rng(0).normal(0, 3000, RATE).astype(np.int16)
    for sound in (silence(RATE), noise, marker(0)[:100], silence(0)):
        assert find(sound, 0) is None


def test_a_loop_is_whole_frames_and_its_like_markers_are_seconds_apart() -> None:
    loop = marker_loop()
    assert len(loop.samples) % frame_length(RATE) == 0
    assert len(loop.marks) % len(MARKERS) == 0  # also from the end to the beginning
    apart = loop.marks[len(MARKERS)] - loop.marks[0]
    assert apart == pytest.approx(len(MARKERS) * MARKER_SPACING, abs=0.05)
