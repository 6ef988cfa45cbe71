"""When each packet of the voice is sent, and with which timestamp: on virtual time, so exact."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, pairwise
from typing import cast

import numpy as np
import pytest

from media.frames import frame_length, silence
from media.playout import TRAILING_FRAMES
from signaling.opus import OpusDecoder, OpusEncoder
from signaling.opus_sdp import OpusWishes
from signaling.rtp_sender import RemoteReport
from signaling.transport import MediaReport
from signaling.voice import REPORT_SECONDS, REST_SECONDS, Speaker, VoiceSender
from tests.signaling.call import LiveCall, ScriptedCall
from tests.signaling.speech import frames, likeness, speech
from tests.virtual_time import VirtualTimeLoop

pytestmark = pytest.mark.virtual_time
RATE = 24_000
TICKS = 960


@dataclass
class Wire:
    """What was sent: when, the packet, its timestamp, its marker."""

    packets: list[tuple[float, bytes, int, bool]] = field(default_factory=list)

    def send(self, payload: bytes, timestamp: int, marker: bool) -> None:
        self.packets.append((asyncio.get_running_loop().time(), payload, timestamp, marker))

    @property
    def times(self) -> list[float]:
        return [at for at, _, _, _ in self.packets]

    @property
    def timestamps(self) -> list[int]:
        return [timestamp for _, _, timestamp, _ in self.packets]

    @property
    def voiced(self) -> list[tuple[float, int, bool]]:
        """Of the packets that hold more than silence: time, timestamp, marker."""
        return [(at, ts, mark) for at, data, ts, mark in self.packets if len(data) > 33]


def talking() -> ScriptedCall:
    return ScriptedCall(voice=cycle(frames(speech(1.0, RATE), RATE)))


def sender(
    call: Speaker, wire: Wire, wishes: OpusWishes | None = None, reports: Sequence[float] = ()
) -> VoiceSender:
    wishes = wishes or OpusWishes()
    losses = iter(reports)
    return VoiceSender(
        call,
        OpusEncoder(RATE, dtx=wishes.dtx),
        wire.send,
        lambda: RemoteReport(loss, 0.05) if (loss := next(losses, None)) is not None else None,
        wishes,
    )


async def test_a_packet_every_20_ms() -> None:
    wire = Wire()
    voice = sender(talking(), wire)
    voice.start()
    await asyncio.sleep(9.99)
    assert wire.times == pytest.approx([0.02 * n for n in range(500)], abs=1e-6)
    assert wire.timestamps == [TICKS * n for n in range(500)]
    decoder = OpusDecoder(RATE)
    assert {len(decoder.decode(payload)) for _, payload, _, _ in wire.packets} == {480}
    assert voice.report(MediaReport()) == MediaReport(sent=500)


async def test_late_ticks_do_not_add_up() -> None:
    wire, loop = Wire(), cast(VirtualTimeLoop, asyncio.get_running_loop())
    voice = sender(talking(), wire)
    voice.start()
    for _ in range(30):
        await asyncio.sleep(0.033)
        loop.stall(0.013)
    late = [at - 0.02 * n for n, at in enumerate(wire.times)]
    assert max(late) == pytest.approx(0.013, abs=0.002)
    assert min(late[-10:]) == pytest.approx(0.0, abs=1e-6)
    assert wire.timestamps == [TICKS * n for n in range(len(wire.times))]
    assert voice.report(MediaReport()).skipped == 0


async def test_a_stall_is_skipped_and_not_caught_up() -> None:
    wire, loop = Wire(), cast(VirtualTimeLoop, asyncio.get_running_loop())
    voice = sender(talking(), wire)
    voice.start()
    await asyncio.sleep(0.09)
    loop.stall(0.2)  # at 0.29 s; the ticks from 0.1 to 0.26 s will never be sent
    await asyncio.sleep(0.055)
    assert voice.report(MediaReport()).skipped == 9
    assert wire.timestamps == [TICKS * n for n in (*range(5), *range(14, 18))]
    assert wire.times[5:] == pytest.approx([0.29, 0.3, 0.32, 0.34])


async def test_when_nothing_is_said_little_is_sent() -> None:
    call, wire = ScriptedCall(), Wire()
    sender(call, wire).start()
    await asyncio.sleep(10.0)
    assert len(wire.packets) == pytest.approx(10 / REST_SECONDS, abs=12)
    # At first without a gap: then the far end has been told that what is missing is not lost.
    told = next(n for n, (_, payload, _, _) in enumerate(wire.packets) if len(payload) <= 2)
    assert wire.times[: told + 1] == pytest.approx([0.02 * n for n in range(told + 1)])
    assert wire.timestamps == [round(48_000 * at) for at in wire.times]
    assert max(np.diff(wire.times)) <= REST_SECONDS + 1e-6
    assert call.pulls == []
    assert np.median([len(payload) for _, payload, _, _ in wire.packets]) <= 2


async def test_what_is_said_after_a_silence_is_said_at_once_and_time_has_moved_on() -> None:
    call, wire, loop = ScriptedCall(), Wire(), asyncio.get_running_loop()
    voice = sender(call, wire)
    voice.start()
    said = []
    for pause in (0.5034, 1.0077, 0.7001):
        await asyncio.sleep(pause)
        said.append(loop.time())
        call.say(frames(speech(1.0, RATE)[: RATE // 2], RATE))
        await asyncio.sleep(1.0)
    starts = [at for at, _, marker in wire.voiced if marker]
    assert starts == pytest.approx(said)
    for (at, ticks, _), (later, more, _) in pairwise(wire.voiced):
        assert more - ticks == pytest.approx(48_000 * (later - at), abs=1)
    assert voice.report(MediaReport()).skipped == 0


async def test_an_answer_right_after_another_keeps_the_clock() -> None:
    """Its first frame does not come before the last one before it is over."""
    call, wire = ScriptedCall(), Wire()
    sender(call, wire).start()
    call.say(frames(speech(1.0, RATE), RATE)[:10])
    await asyncio.sleep((10 + TRAILING_FRAMES) * 0.02 + 0.005)
    assert call.due is None
    call.say(frames(speech(1.0, RATE), RATE)[:10])
    await asyncio.sleep(0.19)
    assert wire.times == pytest.approx([ts / 48_000 for ts in wire.timestamps])


async def test_trailing_silence_tells_the_far_end_that_no_packet_is_lost() -> None:
    """The packets end with one that says so: its decoder fills what follows with silence."""
    call, wire = ScriptedCall(), Wire()
    sender(call, wire).start()
    call.say(frames(speech(1.0, RATE), RATE)[:10])
    await asyncio.sleep((10 + TRAILING_FRAMES) * 0.02)
    assert len(wire.packets[-1][1]) <= 2
    assert wire.times[-1] > 0.2 + 0.02 * 8


async def test_one_who_wants_silence_too_gets_it() -> None:
    call, wire = ScriptedCall(), Wire()
    sender(call, wire, OpusWishes(dtx=False)).start()
    await asyncio.sleep(0.505)
    call.say(frames(speech(1.0, RATE), RATE)[:10])
    await asyncio.sleep(0.485)
    assert wire.times == pytest.approx([0.02 * n for n in range(50)])
    assert wire.timestamps == [TICKS * n for n in range(50)]


@pytest.mark.parametrize("count", [2, 3])
async def test_long_packets(count: int) -> None:
    call, wire = ScriptedCall(), Wire()
    said = speech(1.0, RATE)
    call.say(frames(said, RATE))
    sender(call, wire, OpusWishes(packet_frames=count)).start()
    await asyncio.sleep(1.4)
    assert wire.timestamps[:10] == [TICKS * count * n for n in range(10)]
    decoder = OpusDecoder(RATE)
    packets = [payload for at, payload, _, _ in wire.packets if at < 1.0]
    heard = np.concatenate([decoder.decode(payload) for payload in packets])
    assert len(heard) == len(packets) * count * frame_length(RATE)
    assert likeness(said, heard, longest_delay=400) > 0.8


# Live


async def test_a_live_frame_goes_out_when_it_is_due() -> None:
    call, wire, loop = LiveCall(), Wire(), asyncio.get_running_loop()
    first, *more = frames(speech(1.0, RATE), RATE)
    call.arrive(first)
    due = [loop.time()]
    sender(call, wire).start()
    await asyncio.sleep(0.02)
    for frame in more:
        due.append(loop.time() + 0.003)
        call.arrive(frame, after=0.003)
        await asyncio.sleep(0.02 if len(due) % 5 else 0.035)
        if not len(due) % 5:
            call.arrive(frame)  # the one that was late comes with the next
            due.append(loop.time())
    assert wire.times == pytest.approx(due)
    assert wire.timestamps == [TICKS * n for n in range(len(due))]


@pytest.mark.parametrize("dtx", [True, False])
async def test_a_live_stream_is_not_filled_with_silence_because_of_jitter(dtx: bool) -> None:
    """Not for one who wants silence sent either: its timestamps would run ahead of time."""
    call, wire = LiveCall(), Wire()
    voice = frames(speech(1.0, RATE), RATE)
    call.arrive(voice[0])
    sender(call, wire, OpusWishes(dtx=dtx)).start()
    for n, frame in enumerate(voice[1:] * 4):
        await asyncio.sleep(0.04 if n % 2 else 0.0)  # late by 20 ms, and then two at once
        call.arrive(frame)
    assert wire.timestamps == [TICKS * n for n in range(1 + 4 * len(voice[1:]))]


async def test_a_live_stream_that_begins_again_and_again_keeps_real_time() -> None:
    call, wire, loop = LiveCall(), Wire(), asyncio.get_running_loop()
    sender(call, wire).start()
    for pause in (0.411, 0.403, 0.6051, 1.19, 0.4):
        await asyncio.sleep(pause)
        call.arrive(frames(speech(1.0, RATE), RATE)[20])
    await asyncio.sleep(0.05)
    assert wire.timestamps[-1] / 48_000 == pytest.approx(wire.times[-1], abs=1e-3)
    assert loop.time() - wire.times[-1] <= 0.05


async def test_a_live_stream_that_was_silent_goes_on_in_real_time() -> None:
    call, wire = LiveCall(), Wire()
    voice = frames(speech(1.0, RATE), RATE)
    call.arrive(voice[20])
    sender(call, wire).start()
    await asyncio.sleep(1.505)
    call.arrive(voice[21])
    call.arrive(voice[22])
    await asyncio.sleep(0.001)
    (second, _, later, marker), (third, _, last, _) = wire.packets[-2:]
    assert [second, third] == pytest.approx([1.505, 1.505])
    assert later == pytest.approx(1.505 * 48_000, abs=1)
    assert last - later == TICKS
    assert marker


# Loss


PACKETS = round(REPORT_SECONDS / 0.02)
LOST = 18
"""The packet, of each second, that is taken for lost: it lies in the middle of a syllable."""


async def carried_the_one_before(losses: Sequence[float], wishes: OpusWishes) -> list[bool]:
    """Whether, after each report, a lost packet can be had from the one after it."""
    wire = Wire()
    sender(talking(), wire, wishes, losses).start()
    await asyncio.sleep(REPORT_SECONDS * (len(losses) + 1) - 0.01)
    found = []
    for second in range(1, len(losses) + 1):
        packets = [payload for _, payload, _, _ in wire.packets]
        part = packets[second * PACKETS : (second + 1) * PACKETS]
        with_fec, without = OpusDecoder(RATE), OpusDecoder(RATE)
        for payload in packets[: second * PACKETS + LOST]:
            with_fec.decode(payload), without.decode(payload)
        length = frame_length(RATE)
        again = with_fec.conceal(length, part[LOST + 1])
        found.append(not np.array_equal(again, without.conceal(length)))
    return found


async def test_packets_carry_the_one_before_while_the_far_end_misses_some() -> None:
    asked = OpusWishes(fec=True)
    losses = [0.0, 0.1, 0.1, *([0.0] * 16)]
    carried = await carried_the_one_before(losses, asked)
    assert carried[:3] == [False, True, True]
    assert carried[3]  # what was lost may be lost again
    assert not carried[-1]


async def test_one_who_could_not_use_it_gets_no_error_correction() -> None:
    assert not any(await carried_the_one_before([0.2, 0.2], OpusWishes(fec=False)))


async def test_what_the_far_end_reports_is_reported() -> None:
    voice = sender(ScriptedCall(), Wire(), None, [0.25])
    report = voice.report(MediaReport(received=7))
    assert report == MediaReport(received=7, remote_loss=0.25, round_trip=0.05)


async def test_a_closed_sender_sends_no_more() -> None:
    call, wire = talking(), Wire()
    voice = sender(call, wire)
    voice.start()
    await asyncio.sleep(0.1)
    voice.close()
    count = len(wire.packets)
    call.on_due()
    call.say([silence(480)])
    await asyncio.sleep(1.0)
    assert len(wire.packets) == count
