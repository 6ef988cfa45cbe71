"""From RTP packets to frames: the place in aiortc, and what loss, reordering and silence do."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, frame_length
from signaling.opus import OpusDecoder, OpusEncoder
from signaling.receiver import OpusReceiver
from signaling.rtp import last_timestamp, received_packets, tap
from tests.signaling.speech import frames, likeness, speech
from tests.virtual_time import run, until

RATE = 16_000
TICKS = 960  # of the RTP clock in 20 ms
TIMESTAMP, SEQUENCE = 0xFFFF_F000, 0xFFF0  # both wrap soon


def rtp(index: int, payload: bytes, ticks: int | None = None) -> RtpPacket:
    """The packet at `index` in a stream; it is `ticks` into it, 20 ms a packet by default."""
    timestamp = TIMESTAMP + (index * TICKS if ticks is None else ticks)
    return RtpPacket(
        payload_type=111,
        sequence_number=(SEQUENCE + index) & 0xFFFF,
        timestamp=timestamp & 0xFFFF_FFFF,
        payload=payload,
    )


def encoded(seconds: float, packet_ms: int = 20, expected_loss: int = 20) -> list[bytes]:
    encoder = OpusEncoder(RATE, 24_000, expected_loss)
    voice, length = speech(seconds, RATE), RATE * packet_ms // 1000
    return [encoder.encode(voice[i : i + length]) for i in range(0, len(voice), length)]


def received(
    arrivals: Sequence[tuple[float, RtpPacket]], seconds: float
) -> tuple[list[tuple[float, Samples]], OpusReceiver]:
    """The frames that come of packets arriving at these times, each with its own time."""

    async def receive() -> tuple[list[tuple[float, Samples]], OpusReceiver]:
        loop = asyncio.get_running_loop()
        out: list[tuple[float, Samples]] = []
        receiver = OpusReceiver(RATE, lambda samples: out.append((loop.time(), samples)))
        for at, packet in sorted(arrivals, key=lambda arrival: arrival[0]):
            await until(at)
            assert receiver.add(packet) == (False, None)
        await until(seconds)
        receiver.close()
        return out, receiver

    return run(receive())


def sound(out: Sequence[tuple[float, Samples]]) -> Samples:
    return np.concatenate([samples for _, samples in out])


def undisturbed(packets: Sequence[bytes]) -> Samples:
    decoder = OpusDecoder(RATE)
    return np.concatenate([decoder.decode(packet) for packet in packets])


async def test_aiortc_still_has_the_place_that_is_tapped() -> None:
    """If this fails, aiortc has moved its jitter buffer: `signaling.rtp.tap` must follow."""
    pc = RTCPeerConnection()
    try:
        receiver = pc.addTransceiver("audio").receiver
        heard: list[Samples] = []
        stream = OpusReceiver(RATE, heard.append)
        tap(receiver, stream)
        # A receiver that knows the codec, and a packet as the network brings it.
        codecs = {111: _opus_codec()}
        receiver._RTCRtpReceiver__codecs = codecs  # type: ignore[attr-defined]
        await receiver._handle_rtp_packet(rtp(0, encoded(0.02)[0]), arrival_time_ms=0)
        assert stream.packets == 1
        assert [len(frame) for frame in heard] == [320]
    finally:
        await pc.close()


async def test_aiortc_still_counts_where_it_is_read() -> None:
    """If this fails, `last_timestamp` or `received_packets` must follow a name of aiortc's.

    What they mean is held by the calls in test_webrtc.py.
    """
    pc = RTCPeerConnection()
    try:
        voice = pc.addTransceiver("audio")
        voice.sender._RTCRtpSender__rtp_timestamp = 4_000_000_000  # type: ignore[attr-defined]
        assert last_timestamp(voice.sender) == 4_000_000_000
        assert received_packets(voice.receiver) == 0
    finally:
        await pc.close()


def _opus_codec() -> object:
    capabilities = RTCRtpReceiver.getCapabilities("audio")
    assert capabilities is not None
    [codec] = [codec for codec in capabilities.codecs if codec.mimeType == "audio/opus"]
    return codec


def test_a_place_that_moved_is_told() -> None:
    async def tap_something_else() -> None:
        tap(object(), OpusReceiver(RATE, lambda samples: None))  # type: ignore[arg-type]

    with pytest.raises(AssertionError, match="moved"):
        run(tap_something_else())


def test_on_a_clean_path_nothing_is_delayed_or_changed() -> None:
    packets = encoded(1.0)
    arrivals = [(i * 0.02, rtp(i, packet)) for i, packet in enumerate(packets)]
    out, receiver = received(arrivals, 1.2)
    assert [at for at, _ in out] == pytest.approx([at for at, _ in arrivals], abs=1e-9)
    np.testing.assert_array_equal(sound(out), undisturbed(packets))
    assert receiver.lost == 0


def test_reordered_packets_are_put_right() -> None:
    packets = encoded(1.0)
    late = {5: 0.012, 17: 0.014, 30: 0.01}  # under the wait for a hole, over half a packet
    arrivals = [
        (i * 0.02 + (0.02 + late[i] if i in late else 0), rtp(i, packet))
        for i, packet in enumerate(packets)
    ]
    out, receiver = received(arrivals, 1.2)
    np.testing.assert_array_equal(sound(out), undisturbed(packets))
    assert receiver.lost == 0


def test_lost_packets_are_replaced_in_time() -> None:
    packets = encoded(2.0)
    lost = {10, 25, 26, 40, 41, 42, 70}
    arrivals = [(i * 0.02, rtp(i, p)) for i, p in enumerate(packets) if i not in lost]
    out, receiver = received(arrivals, 2.2)
    assert receiver.lost == len(lost)
    assert [len(samples) for _, samples in out] == [320] * 100
    heard = sound(out)
    assert len(heard) == len(undisturbed(packets))
    # One lost packet is carried by the next; the stream is the same again soon after the hole.
    truth = undisturbed(packets)
    assert likeness(truth[10 * 320 : 11 * 320], heard[10 * 320 : 11 * 320]) > 0.7
    assert likeness(truth[55 * 320 : 68 * 320], heard[55 * 320 : 68 * 320]) > 0.95
    # Nobody waited for long: every frame is there at most two packets and the wait later.
    assert max(at - i * 0.02 for i, (at, _) in enumerate(out)) < 0.08


def test_silence_that_was_not_sent_is_a_pause() -> None:
    packets = encoded(0.4)
    # DTX: after ten packets the sender is silent for 0.3 s; the numbers go on, the clock jumped.
    arrivals = [
        (i * 0.02 + pause, rtp(i, packet, i * TICKS + round(pause * 48_000)))
        for i, packet in enumerate(packets)
        for pause in [0.3 if i >= 10 else 0.0]
    ]
    out, receiver = received(arrivals, 1.0)
    heard = sound(out)
    assert receiver.lost == 0
    assert len(heard) == round(0.7 * RATE)
    assert not heard[round(0.2 * RATE) : round(0.5 * RATE)].any()
    assert np.abs(heard[round(0.5 * RATE) :]).max() > 3000


@pytest.mark.parametrize("packet_ms", [10, 40, 60])
def test_packets_of_any_length_become_frames(packet_ms: int) -> None:
    packets = encoded(1.2, packet_ms)
    ticks = packet_ms * 48
    arrivals = [
        (i * packet_ms / 1000, rtp(i, packet, i * ticks)) for i, packet in enumerate(packets)
    ]
    out, receiver = received(arrivals, 1.5)
    assert {len(samples) for _, samples in out} == {frame_length(RATE)}
    np.testing.assert_array_equal(sound(out), undisturbed(packets))
    assert receiver.lost == 0


def test_the_length_of_packets_may_change() -> None:
    encoder, voice = OpusEncoder(RATE), speech(1.2, RATE)
    packets, arrivals, position = [], [], 0
    for index, milliseconds in enumerate([20, 20, 60, 60, 20, 40, 20] * 5):
        length = 16 * milliseconds
        packets.append(encoder.encode(voice[position : position + length]))
        arrivals.append((position / RATE, rtp(index, packets[-1], position * 3)))
        position += length
    assert position == len(voice)
    out, _ = received(arrivals, 1.5)
    np.testing.assert_array_equal(sound(out), undisturbed(packets))


def test_a_lost_long_packet_is_as_long() -> None:
    packets = encoded(1.2, 60)
    arrivals = [(i * 0.06, rtp(i, p, i * 2880)) for i, p in enumerate(packets) if i != 8]
    out, receiver = received(arrivals, 1.5)
    assert receiver.lost == 1
    assert len(sound(out)) == round(1.2 * RATE)


def test_garbage_is_concealed_like_a_loss() -> None:
    packets = encoded(1.0)
    arrivals = [
        (i * 0.02, rtp(i, b"\xff" if i in (20, 21) else packet)) for i, packet in enumerate(packets)
    ]
    out, receiver = received(arrivals, 1.2)
    assert receiver.lost == 2
    assert len(sound(out)) == RATE
    truth = undisturbed(packets)
    assert likeness(truth[30 * 320 :], sound(out)[30 * 320 :]) > 0.95


def test_an_empty_packet_is_none() -> None:
    """Padding alone: what a bandwidth probe looks like."""
    out, receiver = received([(0.0, rtp(0, b""))], 0.2)
    assert out == []
    assert receiver.packets == 1


def test_nothing_comes_after_close() -> None:
    async def close_at_a_hole() -> list[Samples]:
        packets, out = encoded(0.1), list[Samples]()
        receiver = OpusReceiver(RATE, out.append)
        receiver.add(rtp(0, packets[0]))
        receiver.add(rtp(2, packets[2]))
        receiver.close()
        await asyncio.sleep(1)
        return out

    assert len(run(close_at_a_hole())) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.integers(0, 2**16 - 1),
            st.binary(max_size=40) | st.sampled_from(encoded(0.1)),
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_whatever_arrives_only_whole_frames_come_out(
    packets: list[tuple[int, int, bytes]],
) -> None:
    arrivals = [
        (at / 1000, rtp(sequence, payload, sequence * 137)) for at, sequence, payload in packets
    ]
    out, _ = received(arrivals, 1.0)
    assert {len(samples) for _, samples in out} <= {320}


def test_the_signal_is_whole_frames() -> None:
    assert [len(frame) for frame in frames(speech(0.1, RATE), RATE)] == [320] * 5
