"""signaling.receiver: what loss, disorder and silence on the way become in the call."""

import asyncio
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frames import Samples, frame_length
from media.jitter_buffer import MAX_CONCEALED
from signaling.opus import OpusDecoder, OpusEncoder, has_fec
from signaling.presence import MUTE_SECONDS, Presence
from signaling.receiver import BURST, MAX_NOISE, OpusReceiver
from tests.signaling.call import ScriptedCall
from tests.signaling.speech import frames, likeness, speech
from tests.virtual_time import VirtualTimeLoop, run, until

RATE = 16_000
TICKS = 960  # of the RTP clock in 20 ms
TIMESTAMP, SEQUENCE = 0xFFFF_F000, 0xFFF0  # both wrap soon
SSRC = 1234


def rtp(index: int, payload: bytes, ticks: int | None = None, ssrc: int = SSRC) -> RtpPacket:
    """The packet at `index` in a stream; it is `ticks` into it, 20 ms a packet by default."""
    timestamp = TIMESTAMP + (index * TICKS if ticks is None else ticks)
    return RtpPacket(
        payload_type=111,
        sequence_number=(SEQUENCE + index) & 0xFFFF,
        timestamp=timestamp & 0xFFFF_FFFF,
        ssrc=ssrc,
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


def level(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def steps(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """From each sample to the next."""
    return np.abs(np.diff(samples.astype(np.int64)))


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
    assert receiver.report().received == 1


@pytest.mark.parametrize("number", [1, 2])
def test_nothing_comes_after_close(number: int) -> None:
    """Neither at a hole nor in a pause, and even if it is closed by who is given a frame."""

    async def close(sent: Sequence[tuple[float, RtpPacket]]) -> int:
        out: list[Samples] = []

        def receive(samples: Samples) -> None:
            out.append(samples)
            if len(out) == number:
                receiver.close()

        receiver = OpusReceiver(RATE, receive)
        for at, packet in sent:
            await until(at)
            receiver.add(packet)
        await asyncio.sleep(2)
        return len(out)

    packets = encoded(0.2)
    assert run(close([(0.0, rtp(0, packets[0])), (0.04, rtp(2, packets[2]))])) == number
    assert run(close([(0.0, rtp(0, packets[0])), (0.02, rtp(1, b"\x48"))])) == number
    assert run(close([(i * 0.02, rtp(i, packet)) for i, packet in enumerate(packets)])) == number


# Loss


def test_what_is_in_the_next_packet_is_recovered_and_nothing_else() -> None:
    packets = encoded(2.0)
    carried = [i for i in range(20, 80) if has_fec(packets[i + 1])]
    other = next(i for i in range(20, 80) if i not in carried)
    lost = {carried[0], carried[len(carried) // 2], other}
    arrivals = [(i * 0.02, rtp(i, p)) for i, p in enumerate(packets) if i not in lost]
    out, receiver = received(arrivals, 2.2)
    report = receiver.report()
    assert (report.received, report.lost, report.late) == (97, 3, 0)
    assert report.heard == pytest.approx(2.0)
    assert report.concealed == pytest.approx(0.06)
    assert report.recovered == pytest.approx(0.04)
    frame = slice(carried[0] * 320, (carried[0] + 1) * 320)
    assert likeness(undisturbed(packets)[frame], sound(out)[frame]) > 0.8


def test_one_in_ten_lost_sounds_nearer_to_what_was_said_with_error_correction() -> None:
    alike = []
    for expected_loss in (0, 20):
        packets = encoded(10.0, expected_loss=expected_loss)
        gone = np.random.default_rng(5).random(len(packets)) < 0.1
        gone[:5] = gone[-1] = False
        arrivals = [(i * 0.02, rtp(i, p)) for i, p in enumerate(packets) if not gone[i]]
        heard = sound(received(arrivals, 10.2)[0])
        alike.append(likeness(_only(undisturbed(packets), gone), _only(heard, gone)))
    concealed, recovered = alike
    assert concealed > 0.6
    assert recovered > concealed + 0.05


def _only(samples: Samples, frames_of: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Samples:
    """These frames of it."""
    return samples.reshape(-1, frame_length(RATE))[frames_of].ravel()


@pytest.mark.parametrize("expected_loss", [0, 20])
@pytest.mark.parametrize("hole", [1, 2, 3, 5, 9, 30])
def test_where_concealment_begins_and_ends_nothing_clicks(expected_loss: int, hole: int) -> None:
    packets = encoded(4.0, expected_loss=expected_loss)
    truth = undisturbed(packets)
    for first in range(20, 150, 13):
        arrivals = [
            (i * 0.02, rtp(i, packet))
            for i, packet in enumerate(packets)
            if not first <= i < first + hole
        ]
        heard = sound(received(arrivals, 4.2)[0])
        assert len(heard) == len(truth) - 320 * max(0, hole - 10)
        around = slice((first - 1) * 320, (first + min(hole, 10) + 3) * 320)
        assert steps(heard[around]).max() <= 1.1 * steps(truth).max()


def test_a_long_loss_fades_to_silence_and_no_time_is_made_up() -> None:
    """Nobody knows what was said in an outage: it must not end the caller's turn."""
    packets = encoded(6.0, expected_loss=0)
    arrivals = [(i * 0.02, rtp(i, packet)) for i, packet in enumerate(packets) if not 50 <= i < 200]
    out, receiver = received(arrivals, 6.2)
    assert [at for at, _ in out[:50]] == pytest.approx([i * 0.02 for i in range(50)])
    heard, concealed = sound(out), MAX_CONCEALED // 3
    assert len(heard) == 3 * RATE + concealed
    report = receiver.report()
    assert report.lost == 150
    assert report.concealed == pytest.approx(MAX_CONCEALED / 48_000)
    made_up = heard[RATE : RATE + concealed]
    assert level(made_up[:320]) > 500
    assert level(made_up[-320:]) < 0.1 * level(made_up[:320])
    assert level(made_up[-20:]) < 10
    # Soon after it the sound is the one that was sent.
    truth = undisturbed(packets)
    assert likeness(truth[-2 * RATE + 4000 :], heard[-2 * RATE + 4000 :]) > 0.95


def test_packets_that_stop_without_a_word_are_an_outage() -> None:
    arrivals = [(i * 0.02, rtp(i, packet)) for i, packet in enumerate(encoded(1.0))]
    out, _ = received(arrivals, 10.0)
    assert len(out) == 50


def test_after_an_outage_all_that_was_held_back_is_heard_at_once() -> None:
    packets = encoded(5.0)
    arrivals = [
        (max(i * 0.02, 4.0) if i >= 50 else i * 0.02, rtp(i, packet))
        for i, packet in enumerate(packets)
    ]
    out, receiver = received(arrivals, 5.2)
    np.testing.assert_array_equal(sound(out), undisturbed(packets))
    assert out[199][0] == pytest.approx(4.0)
    assert receiver.report().delay == 0


def test_a_stream_that_begins_anew_is_heard() -> None:
    """Another source, whose numbers would fit; its time does not."""
    one, other = encoded(1.0), encoded(1.0)
    arrivals = [(i * 0.02, rtp(i, packet)) for i, packet in enumerate(one)]
    arrivals += [
        (1.0 + i * 0.02, rtp(60 + i, packet, 123_456_789 + i * TICKS, ssrc=99))
        for i, packet in enumerate(other)
    ]
    out, receiver = received(arrivals, 2.2)
    assert len(sound(out)) == 2 * RATE
    assert receiver.report().lost == 0
    assert likeness(undisturbed(other)[4000:], sound(out)[RATE + 4000 :]) > 0.95


# Silence that is not sent


def paused(seconds: float, pause: float) -> list[tuple[float, RtpPacket]]:
    """Speech, a pause of room noise, speech; by an encoder with DTX, as a browser sends it.

    Of packets that announce silence only the first is sent. Each with its time.
    """
    encoder = OpusEncoder(RATE, 24_000, dtx=True)
    noise = np.random.default_rng(7).normal(0, 8, round(pause * RATE)).astype(np.int16)
    voice = np.concatenate((speech(seconds, RATE), noise, speech(seconds, RATE)))
    out: list[tuple[float, RtpPacket]] = []
    silent = False
    for i, frame in enumerate(frames(voice, RATE)):
        packet = encoder.encode(frame)
        if not (silent and len(packet) <= 2):
            out.append((i * 0.02, rtp(len(out), packet, i * TICKS)))
        silent = len(packet) <= 2
    return out


def clock_error(out: Sequence[tuple[float, Samples]]) -> list[float]:
    """At each frame: how many seconds the caller's time, counted in frames, is behind the clock."""
    return [at - i * 0.02 for i, (at, _) in enumerate(out)]


@pytest.mark.parametrize("odd", [1, 300, 479, 481, 700, 959])
def test_after_a_pause_of_any_length_frames_do_not_wait_for_each_other(odd: int) -> None:
    """One who speaks again begins a packet when he does, and not on a grid of 20 ms."""
    packets = encoded(1.0)
    pause = 0.3 + odd / 48_000
    arrivals = [
        (i * 0.02 + wait, rtp(i, packet, i * TICKS + round(wait * 48_000)))
        for i, packet in enumerate(packets)
        for wait in [pause if i >= 10 else 0.0]
    ]
    out, _ = received(arrivals, 2.0)
    assert [at for at, _ in out[-30:]] == pytest.approx([at for at, _ in arrivals[-30:]])
    assert likeness(sound(out[-30:]), undisturbed(packets)[-30 * 320 :]) > 0.99
    assert len(out) == pytest.approx((1.0 + pause) / 0.02, abs=0.51)


def test_in_a_pause_frames_go_on_in_real_time() -> None:
    arrivals = paused(1.0, 5.0)
    assert len(arrivals) < 200  # of 350: it is not sent
    out, receiver = received(arrivals, 7.2)
    assert len(out) == 350
    assert min(clock_error(out)) > -0.001
    assert max(clock_error(out)) < 0.021
    assert level(sound(out)[round(1.5 * RATE) : 6 * RATE]) < 40
    assert level(sound(out)[6 * RATE :]) > 3000
    report = receiver.report()
    assert (report.lost, report.concealed) == (0, 0)
    assert report.heard == pytest.approx(7.0)


@pytest.mark.parametrize("drift", [-1e-3, 1e-3])
def test_a_pause_is_neither_shortened_nor_stretched(drift: float) -> None:
    """A minute of it, with jitter, from a sender whose clock goes too fast or too slow."""
    sent = paused(0.6, 60.0)
    delays = np.random.default_rng(5).uniform(0, 0.03, len(sent)).tolist()
    arrivals = accumulate(
        (at * (1 + drift) + delay for (at, _), delay in zip(sent, delays, strict=True)), max
    )
    packets = [packet for _, packet in sent]
    out, receiver = received(list(zip(arrivals, packets, strict=True)), 70)
    # By the end no more than jitter off the sender's own time, which the packets tell.
    assert len(out) == pytest.approx(61.2 * 50, abs=2)
    errors = [at - i * 0.02 * (1 + drift) for i, (at, _) in enumerate(out)]
    assert min(errors) > -0.03
    assert max(errors) < 0.08
    assert receiver.lost == 0


def test_signs_of_life_may_be_lost_in_a_pause() -> None:
    sent = paused(1.0, 5.0)
    first = next(i for i, (at, _) in enumerate(sent) if at > 2.5)
    arrivals = sent[:first] + sent[first + 2 :]
    out, receiver = received(arrivals, 7.2)
    assert receiver.lost == 2
    assert len(out) == 350
    assert max(clock_error(out)) < 0.045


def test_speech_that_is_lost_after_a_pause_is_in_the_next_packet() -> None:
    packets = encoded(2.0)
    back = next(i for i in range(50, 99) if has_fec(packets[i + 1]))
    arrivals = [(0.02 * i, rtp(i, packet)) for i, packet in enumerate(packets[:back])]
    # The table of contents alone: silence from here on, for 0.4 s with it.
    arrivals += [(0.02 * back, rtp(back, b"\x48"))]
    arrivals += [
        (0.4 + 0.02 * i, rtp(i + 1, packets[i], (i + 20) * TICKS))
        for i in range(back + 1, len(packets))
    ]
    out, receiver = received(arrivals, 2.7)
    # The noise was a frame too long by then, for which the next pause would be shorter.
    assert len(out) == 121
    assert receiver.report().recovered == pytest.approx(0.02)


def test_a_stall_of_the_server_stretches_no_pause() -> None:
    async def stall() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        heard: list[float] = []
        receiver = OpusReceiver(RATE, lambda samples: heard.append(loop.time()))
        sent = paused(1.0, 5.0)
        for at, packet in sent:
            if 2.0 < loop.time() < 2.6:
                loop.stall(0.7)
            if at > loop.time():
                await until(at)
            receiver.add(packet)
        await until(8.0)
        receiver.close()
        return heard

    heard = run(stall())
    assert len(heard) == pytest.approx(350, abs=2)


def test_a_network_that_dies_in_a_pause_does_not_sound_alive() -> None:
    arrivals = [(at, packet) for at, packet in paused(1.0, 5.0) if at < 3.0]
    out, _ = received(arrivals, 60.0)
    assert out[-1][0] == pytest.approx(arrivals[-1][0] + MAX_NOISE, abs=0.05)

    async def watch() -> float:
        """With the watchdog that a transport has: when it is missed."""
        loop, call, lost = asyncio.get_running_loop(), ScriptedCall(), list[float]()
        presence = Presence(call, 5.0, lambda: lost.append(loop.time()))
        receiver = OpusReceiver(RATE, lambda samples: presence.hear())
        for at, packet in arrivals:
            await until(at)
            receiver.add(packet)
        await until(60)
        receiver.close()
        presence.close()
        return lost[0]

    assert run(watch()) == pytest.approx(arrivals[-1][0] + MAX_NOISE + 5.0, abs=0.3)


@pytest.mark.parametrize("pause", [0.3, 0.7, 1.5, 30.0])
def test_of_a_pause_without_a_word_presence_tells_the_rest(pause: float) -> None:
    packets = encoded(0.4)
    arrivals = [
        (i * 0.02 + wait, rtp(i, packet, i * TICKS + round(wait * 48_000)))
        for i, packet in enumerate(packets)
        for wait in [pause if i >= 10 else 0.0]
    ]
    out, receiver = received(arrivals, pause + 1)
    assert receiver.lost == 0
    told = min(pause, MUTE_SECONDS)
    assert len(sound(out)) == round((0.4 + told) * RATE)
    assert not sound(out)[round(0.2 * RATE) : round((0.2 + told) * RATE)].any()
    # What was sent is heard as it was sent: the decoder knows of no loss.
    np.testing.assert_array_equal(
        sound(out)[round((0.2 + told) * RATE) :], undisturbed(packets)[round(0.2 * RATE) :]
    )


def test_a_sender_whose_time_stands_still_in_a_pause_is_not_punished() -> None:
    """Its time stamps count packets: the noise that was made stays ahead of them for ever."""
    packets = encoded(1.0)
    arrivals = [(0.0, rtp(0, b"\x48"))]
    arrivals += [(2.0 + i * 0.02, rtp(1 + i, packet)) for i, packet in enumerate(packets)]
    arrivals += [(3.0, rtp(51, b"\x48"))]
    out, _ = received(arrivals, 10.0)
    assert max(at for at, _ in out) == pytest.approx(3.0 + MAX_NOISE, abs=0.05)


# Whole paths


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1])
def test_packets_that_overtake_each_other_cost_little(loss: float) -> None:
    packets = encoded(20.0)
    random = np.random.default_rng(11)
    delays, gone = random.uniform(0, 0.03, len(packets)), random.random(len(packets)) < loss
    arrivals = [
        (i * 0.02 + delays[i], rtp(i, packet)) for i, packet in enumerate(packets) if not gone[i]
    ]
    out, receiver = received(arrivals, 20.5)
    report = receiver.report()
    lost = int(gone.sum())
    assert report.received == len(arrivals)
    assert report.lost == pytest.approx(lost, rel=0.2, abs=5)
    assert report.lost == lost + report.late
    assert report.concealed == pytest.approx(report.lost * 0.02, rel=0.01)
    assert 0 < report.delay < 0.004
    assert 0.005 < report.jitter < 0.015
    assert len(out) == 1000
    assert max(clock_error(out)) < 0.12  # a few lost, their wait


# Whatever arrives

FOREIGN = [
    b"\xff" * 160,  # silence of PCMU
    bytes(range(160)),
    b"\x0a\x8a\x03\x20",  # a telephone event
    b"\x48",
    b"\xf8\xff\xfe",  # silence of Opus
    b"",
]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60),
            st.integers(0, 2**16 - 1) | st.integers(0, 20),
            st.binary(max_size=40) | st.sampled_from(encoded(0.1) + FOREIGN),
            st.integers(0, 2**32 - 1) | st.none(),
            st.sampled_from([SSRC, SSRC, SSRC, 1]),
        ),
        max_size=30,
    )
)
@settings(deadline=None)
def test_whatever_arrives_only_whole_frames_come_out(
    packets: list[tuple[int, int, bytes, int | None, int]],
) -> None:
    arrivals = [
        (at / 1000, rtp(sequence, payload, ticks, ssrc))
        for at, sequence, payload, ticks, ssrc in packets
    ]
    out, receiver = received(arrivals, 3.0)
    assert {len(samples) for _, samples in out} <= {320}
    report = receiver.report()
    assert report.received == len(packets)
    assert len(out) == int(round(report.heard * RATE) / 320)
    assert 0 <= report.recovered <= report.concealed <= report.heard


def test_one_who_sends_faster_than_time_goes_by_is_not_heard_for_long() -> None:
    packet = encoded(0.02)[0]
    arrivals = [(i * 0.001, rtp(i, packet)) for i in range(3000)]  # a minute of it in three seconds
    arrivals += [(3 + i * 0.001, rtp(3000 + i, b"\x48", i * 48_000)) for i in range(1000)]
    out, _ = received(arrivals, 4.0)
    assert len(out) * 0.02 == pytest.approx(4.0 + BURST, abs=0.1)


@pytest.mark.parametrize("payload", FOREIGN)
def test_another_codec_harms_no_one(payload: bytes) -> None:
    packets = encoded(1.0)
    arrivals = [
        (i * 0.02, rtp(i, payload if 20 <= i < 25 else packet)) for i, packet in enumerate(packets)
    ]
    out, _ = received(arrivals, 1.5)
    assert len(out) >= 45
    truth, heard = undisturbed(packets)[-300 * 16 :], sound(out)[-300 * 16 :]
    assert likeness(truth, heard) > 0.9
