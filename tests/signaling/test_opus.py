"""libopus does what this server needs of it, and survives what the network brings."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, frame_length, silence
from signaling.opus import (
    MAX_PACKET_BYTES,
    OpusDecoder,
    OpusEncoder,
    OpusError,
    packet_samples,
)
from tests.signaling.speech import frames, likeness, speech

RATES = [8_000, 12_000, 16_000, 24_000, 48_000]


def encode(samples: Samples, rate: int, **options: Any) -> list[bytes]:
    encoder = OpusEncoder(rate, **options)
    return [encoder.encode(frame) for frame in frames(samples, rate)]


@pytest.mark.parametrize("rate", RATES)
def test_a_voice_survives(rate: int) -> None:
    voice = speech(1.0, rate)
    decoder = OpusDecoder(rate)
    heard = np.concatenate([decoder.decode(packet) for packet in encode(voice, rate)])
    assert len(heard) == len(voice)
    heard = heard[: rate // 2]
    assert likeness(voice, heard, rate // 100) > 0.75
    assert likeness(speech(1.0, rate, pitch=170), heard, rate // 100) < 0.4


def test_rates_need_not_agree() -> None:
    decoder = OpusDecoder(16_000)
    packets = encode(speech(0.5, 48_000), 48_000)
    heard = np.concatenate([decoder.decode(packet) for packet in packets])
    assert len(heard) == 8_000
    assert likeness(speech(0.5, 16_000), heard, 160) > 0.75


def test_bitrate_is_kept() -> None:
    sizes = {}
    for bitrate in (12_000, 24_000, 48_000):
        packets = encode(speech(2.0, 24_000), 24_000, bitrate=bitrate)
        sizes[bitrate] = sum(map(len, packets)) * 8 / 2.0
        assert sizes[bitrate] <= 1.2 * bitrate
    assert sizes[12_000] < sizes[24_000] < sizes[48_000]


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_packets_know_their_length(milliseconds: int) -> None:
    length = 24 * milliseconds
    packet = OpusEncoder(24_000).encode(speech(0.1, 24_000)[:length])
    assert packet_samples(packet, 24_000) == length
    assert packet_samples(packet, 48_000) == 2 * length
    assert len(OpusDecoder(24_000).decode(packet)) == length


def test_a_frame_of_no_opus_length_is_refused() -> None:
    with pytest.raises(OpusError, match="invalid argument"):
        OpusEncoder(24_000).encode(silence(100))


def test_a_rate_that_opus_does_not_know_is_refused() -> None:
    with pytest.raises(OpusError):
        OpusEncoder(44_100)
    with pytest.raises(OpusError):
        OpusDecoder(44_100)


def recovered(packets: list[bytes], lost: int, *, with_following: bool) -> Samples:
    """The frame that stands in for the lost one."""
    decoder = OpusDecoder(16_000)
    for packet in packets[:lost]:
        decoder.decode(packet)
    return decoder.conceal(320, packets[lost + 1] if with_following else None)


def lost_frame(packets: list[bytes], lost: int) -> Samples:
    decoder = OpusDecoder(16_000)
    return [decoder.decode(packet) for packet in packets[: lost + 1]][lost]


def test_error_correction_brings_the_lost_frame_itself_back() -> None:
    # A new pitch begins in the lost frame, so nothing before it could tell what was in it.
    voice = np.concatenate((speech(0.5, 16_000, 100), speech(0.5, 16_000, 210)))
    lost = 25
    plain = encode(voice, 16_000, bitrate=24_000)
    corrected = encode(voice, 16_000, bitrate=24_000, expected_loss=20)
    truth = lost_frame(corrected, lost)
    by_fec = likeness(truth, recovered(corrected, lost, with_following=True))
    by_guess = likeness(truth, recovered(corrected, lost, with_following=False))
    assert by_fec > 0.7
    assert by_guess < by_fec - 0.3
    without = likeness(lost_frame(plain, lost), recovered(plain, lost, with_following=True))
    assert without < by_fec - 0.3


def test_concealment_goes_on_as_before_and_then_fades() -> None:
    decoder = OpusDecoder(16_000)
    voice = speech(0.38, 16_000)  # ends in the middle of a syllable
    heard = [decoder.decode(packet) for packet in encode(voice, 16_000)]
    concealed = [decoder.conceal(320) for _ in range(50)]
    assert all(len(frame) == 320 for frame in concealed)

    def loudness(frame: Samples) -> float:
        return float(np.sqrt(np.mean(np.square(frame, dtype=np.float64))))

    assert loudness(concealed[0]) > 0.3 * loudness(heard[-1])
    assert loudness(concealed[-1]) < 0.3 * loudness(concealed[0])


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff",  # code 3 without the count of its frames
        b"\xff\xff",  # 63 frames, far over 120 ms
        b"\x03\x00",  # no frames at all
        b"\x01\x00",  # two frames of equal size in an odd number of bytes
    ],
)
def test_garbage_is_refused_and_the_decoder_goes_on(garbage: bytes) -> None:
    packets = encode(speech(0.4, 16_000), 16_000)
    clean, disturbed = OpusDecoder(16_000), OpusDecoder(16_000)
    for packet in packets[:10]:
        clean.decode(packet)
        disturbed.decode(packet)
    with pytest.raises(OpusError):
        disturbed.decode(garbage)
    for packet in packets[10:]:
        np.testing.assert_array_equal(disturbed.decode(packet), clean.decode(packet))


@given(st.lists(st.binary(max_size=200) | st.binary(max_size=MAX_PACKET_BYTES), max_size=8))
@settings(deadline=None)
def test_any_bytes_give_sound_or_an_opus_error(packets: list[bytes]) -> None:
    decoder = OpusDecoder(16_000)
    for packet in packets:
        try:
            samples = decoder.decode(packet)
        except OpusError:
            continue
        assert samples.dtype == np.int16
        assert 0 < len(samples) <= 1920
        assert len(samples) == packet_samples(packet, 16_000)
    for following in packets:
        try:
            assert len(decoder.conceal(frame_length(16_000), following)) == 320
        except OpusError:
            continue
    assert len(decoder.decode(encode(speech(0.02, 16_000), 16_000)[0])) == 320


def test_frames_are_copies() -> None:
    decoder = OpusDecoder(16_000)
    first, second = encode(speech(0.04, 16_000), 16_000)
    heard = decoder.decode(first)
    before = heard.copy()
    decoder.decode(second)
    np.testing.assert_array_equal(heard, before)
