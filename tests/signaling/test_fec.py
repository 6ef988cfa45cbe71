"""signaling.opus.has_fec, against libopus itself, where it is new enough to know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.opus import OpusEncoder, _library, has_fec
from tests.signaling.speech import speech

RATE = 16_000


def answer(packet: bytes) -> int:
    """libopus's: 1 or 0, negative for what is no packet."""
    opus = _library()
    if not hasattr(opus, "opus_packet_has_lbrr"):
        pytest.skip("libopus before 1.5")
    return int(opus.opus_packet_has_lbrr(packet, len(packet)))


def packets(milliseconds: int, expected_loss: int) -> list[bytes]:
    encoder, length = OpusEncoder(RATE, 24_000, expected_loss), RATE * milliseconds // 1000
    voice = speech(3.0, RATE)
    return [encoder.encode(voice[i : i + length]) for i in range(0, len(voice), length)]


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_a_packet_that_carries_the_one_before_it_is_known(milliseconds: int) -> None:
    with_fec, without = packets(milliseconds, 20), packets(milliseconds, 0)
    assert [has_fec(packet) for packet in with_fec] == [answer(p) == 1 for p in with_fec]
    if milliseconds > 10:  # libopus has no bits for it at so low a rate, and packets so short
        assert sum(map(has_fec, with_fec)) > len(with_fec) / 2
    assert not any(map(has_fec, without))


@given(st.binary(min_size=1, max_size=300).filter(lambda packet: packet[0] & 0b111 == 0))
def test_of_any_bytes_it_says_what_libopus_says(packet: bytes) -> None:
    """Of mono packets of one frame."""
    expected = answer(packet)
    if expected >= 0:
        assert has_fec(packet) == (expected == 1)


@given(st.binary(min_size=1, max_size=20))
def test_no_bytes_harm_it(packet: bytes) -> None:
    assert has_fec(packet) in (True, False)
