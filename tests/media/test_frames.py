"""media.frames: lengths and durations."""

import dataclasses

import numpy as np
import pytest

from media.frames import FRAME_SECONDS, AudioFrame, frame_length, silence


@pytest.mark.parametrize(
    ("rate", "length"), [(8000, 160), (12000, 240), (16000, 320), (24000, 480), (48000, 960)]
)
def test_a_frame_is_20_ms_at_every_rate_of_opus(rate: int, length: int) -> None:
    assert frame_length(rate) == length
    assert AudioFrame(silence(length), rate).seconds == FRAME_SECONDS


def test_silence_is_fresh_each_time() -> None:
    first = silence(3)
    first[:] = 7
    assert silence(3).tolist() == [0, 0, 0]
    assert silence(3).dtype == np.int16
    assert len(silence(0)) == 0


def test_a_frame_does_not_change() -> None:
    frame = AudioFrame(silence(320), 16000)
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.rate = 8000  # type: ignore[misc]
