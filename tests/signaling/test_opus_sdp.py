"""What an offer asks of our voice, and what our answer asks of the caller's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.opus_sdp import (
    MAX_BITRATE,
    MIN_BITRATE,
    OpusWishes,
    opus_wishes,
    with_opus_parameters,
)

AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\n"
OPUS = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\n"


def offer(fmtp: str = "", more: str = "") -> str:
    line = f"a=fmtp:111 {fmtp}\r\n" if fmtp else ""
    video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=fmtp:111 usedtx=0\r\na=ptime:60\r\n"
    return f"v=0\r\ns=-\r\n{AUDIO}{OPUS}{line}{more}{video}"


@pytest.mark.parametrize(
    ("sdp", "wishes"),
    [
        (offer(), OpusWishes()),
        (offer("minptime=10;useinbandfec=1"), OpusWishes(fec=True)),  # Chromium
        (
            offer("maxplaybackrate=48000;stereo=1;useinbandfec=1"),  # Firefox
            OpusWishes(fec=True),
        ),
        (offer("maxaveragebitrate=20000; UseInbandFEC=1"), OpusWishes(20_000, fec=True)),
        (offer("usedtx=1"), OpusWishes()),
        (offer("usedtx=0"), OpusWishes(dtx=False)),
        (offer("maxaveragebitrate=5"), OpusWishes(MIN_BITRATE)),
        (offer("maxaveragebitrate=510000"), OpusWishes(MAX_BITRATE)),
        (offer("maxaveragebitrate=much"), OpusWishes()),
        (offer(more="a=ptime:40\r\n"), OpusWishes(packet_frames=2)),
        (offer(more="a=ptime:10\r\n"), OpusWishes()),
        (offer(more="a=ptime:120\r\n"), OpusWishes(packet_frames=3)),
        (offer(more="a=ptime:60\r\na=maxptime:40\r\n"), OpusWishes(packet_frames=2)),
        ("v=0\r\n", OpusWishes()),
        ("", OpusWishes()),
    ],
)
def test_what_an_offer_asks(sdp: str, wishes: OpusWishes) -> None:
    assert opus_wishes(sdp) == wishes


@given(st.text(), st.text())
def test_nonsense_is_no_wish(fmtp: str, more: str) -> None:
    for sdp in (fmtp, offer(fmtp, more)):
        wishes = opus_wishes(sdp)
        assert 1 <= wishes.packet_frames <= 3
        assert wishes.max_bitrate is None or MIN_BITRATE <= wishes.max_bitrate <= MAX_BITRATE


def test_our_answer_asks_for_error_correction_and_no_dtx() -> None:
    asked = opus_wishes(with_opus_parameters(AUDIO + OPUS))
    assert asked == OpusWishes(fec=True, dtx=False)


def test_an_answer_that_has_parameters_keeps_them() -> None:
    sdp = AUDIO + OPUS + "a=fmtp:111 stereo=1\r\n"
    assert with_opus_parameters(sdp) == sdp
