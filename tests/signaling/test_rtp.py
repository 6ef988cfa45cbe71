"""signaling.rtp: the place in aiortc where packets are taken, and the names it is read by."""

import inspect
import re

import pytest
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RtpPacket

from media.frames import Samples
from signaling import rtp, rtp_receiver, rtp_sender
from signaling.opus import OpusEncoder
from signaling.receiver import OpusReceiver
from signaling.rtp import received_packets, tap
from tests.signaling.speech import speech
from tests.virtual_time import run


async def test_aiortc_still_has_the_place_that_is_tapped() -> None:
    """If this fails, aiortc has moved its jitter buffer: `signaling.rtp.tap` must follow."""
    pc = RTCPeerConnection()
    try:
        receiver = pc.addTransceiver("audio").receiver
        heard: list[Samples] = []
        stream = OpusReceiver(16_000, heard.append)
        tap(receiver, stream)
        # A receiver that knows the codec, and a packet as the network brings it.
        codecs = {111: _opus_codec()}
        receiver._RTCRtpReceiver__codecs = codecs  # type: ignore[attr-defined]
        packet = RtpPacket(payload_type=111, sequence_number=65_535, timestamp=4_000_000_000)
        packet.payload = OpusEncoder(16_000).encode(speech(0.02, 16_000))
        await receiver._handle_rtp_packet(packet, arrival_time_ms=0)
        assert stream.report().received == 1
        assert [len(frame) for frame in heard] == [320]
    finally:
        await pc.close()


async def test_aiortc_still_counts_where_it_is_read() -> None:
    """If this fails, `received_packets` must follow a name of aiortc's.

    What it means is held by the calls in test_webrtc.py.
    """
    pc = RTCPeerConnection()
    try:
        assert received_packets(pc.addTransceiver("audio").receiver) == 0
    finally:
        await pc.close()


def _opus_codec() -> object:
    capabilities = RTCRtpReceiver.getCapabilities("audio")
    assert capabilities is not None
    [codec] = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
    return codec


def test_a_place_that_moved_is_told() -> None:
    async def tap_something_else() -> None:
        tap(object(), OpusReceiver(16_000, lambda samples: None))  # type: ignore[arg-type]

    with pytest.raises(AssertionError, match="moved"):
        run(tap_something_else())


async def test_the_installed_aiortc_can_be_used() -> None:
    assert await rtp.unsupported() is None


@pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part, names in rtp.INSIDE.items() for name in names]
)
async def test_a_name_that_is_gone_is_told(
    part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rtp.INSIDE, part, (f"{name}_moved",))
    assert f"its {part} has no {name}_moved" in str(await rtp.unsupported())


def test_every_private_name_that_is_used_is_known() -> None:
    sources = [inspect.getsource(module) for module in (rtp_receiver, rtp_sender)]
    used = {name for text in sources for name in re.findall(r"(?<!\bself)\.(_\w+)", text)}
    assert used <= {name for names in rtp.INSIDE.values() for name in names}
    assert "_RTCRtpSender__stats" in used
