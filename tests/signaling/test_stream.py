"""The pace of a stream, on virtual time: ahead in sound, nothing in silence, never a burst."""

import asyncio
from typing import cast

import numpy as np
import pytest

from media.events import ReplyEnded, ReplyText
from media.frames import FRAME_SECONDS, silence
from signaling.messages import Hello
from signaling.packets import Kind
from signaling.stream import MAX_AHEAD, MAX_UNSENT_TEXTS
from tests.signaling.call import LiveCall
from tests.signaling.stream_line import INTERRUPTED, LEAD, TRAIL, levels, line, sound
from tests.virtual_time import VirtualTimeLoop, settle

pytestmark = pytest.mark.virtual_time

# The pace


async def test_silence_is_not_sent() -> None:
    async with line() as running:
        await running.client(3.0)
        assert running.channel.packets == []
        assert running.call.pulls == []


async def test_what_comes_after_a_silence_does_not_wait_for_a_tick() -> None:
    async with line() as running:
        loop = asyncio.get_running_loop()
        for pause in (0.513, 0.707, 0.001):
            await running.client(pause)
            said = loop.time()
            running.call.say(sound(20))
            await running.client(1.0)
            first = next(at for at, n in running.channel.audio if at >= said)
            assert first == said


async def test_sound_is_sent_ahead_of_its_time_and_then_at_its_pace() -> None:
    async with line() as running:
        await running.client(1.0)
        start = running.call.sequence
        running.call.say(sound(100))
        await running.client(1.0)
        audio = running.channel.audio
        begin = audio[0][0]
        assert [n for _, n in audio] == list(range(start, start + len(audio)))
        assert [at for at, _ in audio[: LEAD + 1]] == [begin] * (LEAD + 1)
        for at, n in audio[LEAD + 1 :]:
            # Frame n has its time n frames after the first, and goes LEAD frames before it.
            assert at == pytest.approx(begin + (n - start - LEAD) * FRAME_SECONDS, abs=1e-6)


async def test_one_packet_says_that_it_is_silent_after_the_trail_of_a_sound() -> None:
    async with line() as running:
        await running.client(0.5)
        start = running.call.sequence
        running.call.say(sound(20))
        await running.client(3.0)
        assert [n for _, n in running.channel.audio] == list(range(start, start + 20 + TRAIL))
        assert running.channel.silences == [start + 20 + TRAIL]
        assert levels(running.channel) == [*range(1000, 1020), 0, 0]


async def test_the_lead_is_let_go_in_silence() -> None:
    """Else the frames pulled would run ahead of time a little further with each answer."""
    async with line() as running:
        ahead = []
        for _ in range(10):
            began, first = asyncio.get_running_loop().time(), running.call.sequence
            running.call.say(sound(20))
            await running.client(2.0)
            ahead.append(
                max(
                    n + 1 - first - (at - began) / FRAME_SECONDS
                    for at, n in running.channel.audio
                    if n >= first
                )
            )
        assert max(ahead) <= 1 + LEAD + 1e-6
        assert len(running.channel.silences) == 10


async def test_a_short_pause_keeps_the_numbers_and_the_lead() -> None:
    async with line() as running:
        running.call.say([*sound(30), *[silence(480)] * TRAIL, *sound(30, 2000)])
        await running.client(0.8)
        audio = running.channel.audio
        assert [n for _, n in audio] == list(range(audio[0][1], audio[0][1] + len(audio)))
        assert running.channel.silences == []
        assert len(running.call.pulls) == pytest.approx(0.8 / FRAME_SECONDS + LEAD, abs=1)


async def test_sequence_numbers_are_the_sessions() -> None:
    async with line(sequence=5000) as running:
        running.call.say(sound(5))
        await running.client(1.0)
        first, last = running.channel.audio[0][1], running.channel.audio[-1][1]
        assert (first, last) == (5000, 5006)


async def test_the_time_of_a_packet_is_in_it() -> None:
    async with line() as running:
        await running.client(1.0)
        running.call.say(sound(50))
        await running.client(0.5)
        for at, packet in running.channel.packets:
            assert packet.timestamp == pytest.approx(1000 * at, abs=1)


async def test_another_lead() -> None:
    async with line(lead=0.0) as running:
        running.call.say(sound(50))
        await running.client(0.5)
        times = [at for at, _ in running.channel.audio]
        assert np.diff(times) == pytest.approx([FRAME_SECONDS] * (len(times) - 1))


async def test_opus_to_the_client() -> None:
    async with line(Hello("opus", 48_000, None)) as running:
        running.call.say(sound(10))
        await running.client(1.0)
        kinds = [packet.kind for _, packet in running.channel.packets]
        assert kinds == [Kind.OPUS] * (10 + TRAIL) + [Kind.SILENCE]


# A live stream


async def test_a_live_frame_is_sent_the_moment_it_is_due() -> None:
    call = LiveCall()
    async with line(call=call) as running:
        loop = asyncio.get_running_loop()
        due = []
        for frame, pause in zip(sound(6), (0.3, 0.02, 0.05, 0.001, 0.02, 0.019), strict=True):
            await running.client(pause)
            due.append(loop.time() + 0.004)
            call.arrive(frame, after=0.004)
        await running.client(1.0)
        assert [at for at, _ in running.channel.audio] == pytest.approx(due)
        assert levels(running.channel) == list(range(1000, 1006))
        assert [n for _, n in running.channel.audio] == list(range(6))


async def test_a_live_stream_that_stops_is_said_to_be_silent_once() -> None:
    call = LiveCall()
    async with line(call=call) as running:
        for frame in sound(4):
            call.arrive(frame)
            await running.client(0.09)  # late, but not silent
        await running.client(2.0)
        call.arrive(sound(1)[0])
        await running.client(2.0)
        assert running.channel.silences == [4, 5]
        assert len(call.pulls) == 5


async def test_a_live_stream_does_not_wait_for_a_client_who_has_stopped_to_play() -> None:
    call = LiveCall()
    async with line(call=call) as running:
        loop = asyncio.get_running_loop()
        running.channel.put({"type": "played", "sequence": 0})
        for frame in sound(3 * MAX_AHEAD):
            call.arrive(frame)
            await running.client(0.02)
        assert len(running.channel.audio) == MAX_AHEAD + 1
        at, last = call.pulls[-1]
        assert at == pytest.approx(loop.time() - 0.02)
        assert last == 3 * MAX_AHEAD - 1
        assert running.transport.report().skipped == 2 * MAX_AHEAD - 1


# Interruption


async def test_a_flush_takes_back_what_was_sent_and_nothing_more_is() -> None:
    async with line() as running:
        running.call.say(sound(100))
        await running.client(0.5)
        sent = len(running.channel.audio)
        tail = silence(480)
        tail[:192] = 500
        running.call.hush(tail)  # what a playout buffer gives after its flush
        sequence = running.call.sequence
        running.call.emit(INTERRUPTED)
        await running.client(2.0)
        flush = next(n for n, text in enumerate(running.channel.texts) if text["type"] == "flush")
        assert running.channel.texts[flush] == {"type": "flush", "sequence": sequence}
        assert running.channel.texts[flush + 1]["type"] == "reply.ended"
        assert len(running.channel.audio) == sent
        assert running.channel.silences == []  # the flush has said it
        assert running.call.due is None  # what trails an answer was pulled all the same


async def test_an_answer_right_after_a_flush_is_sent_whole() -> None:
    async with line() as running:
        running.call.say(sound(100))
        await running.client(0.5)
        sent = len(running.channel.audio)
        running.call.hush(*sound(30, 3000))
        start = running.call.sequence
        running.call.emit(INTERRUPTED)
        await running.client(2.0)
        assert levels(running.channel)[sent:] == [*range(3000, 3030), 0, 0]
        assert running.channel.audio[sent][1] == start


async def test_a_flush_in_silence_loses_nothing_of_the_next_answer() -> None:
    async with line() as running:
        await running.client(1.0)
        running.call.emit(INTERRUPTED)
        click = silence(480)
        click[10] = 4000
        running.call.say([click, *sound(3)])
        await running.client(1.0)
        assert len(running.channel.audio) == 4 + TRAIL


async def test_an_answer_that_ends_by_itself_is_not_flushed() -> None:
    async with line() as running:
        running.call.say(sound(10))
        await running.client(0.1)
        running.call.emit(ReplyEnded(1, "one", "one", 0.2, interrupted=False))
        await running.client(1.0)
        assert "flush" not in {text["type"] for text in running.channel.texts}
        assert len(running.channel.audio) == 10 + TRAIL


@pytest.mark.parametrize("lag", [3, MAX_AHEAD + 20])
async def test_frames_that_were_taken_back_are_not_waited_for(lag: int) -> None:
    """A client may go on reporting where it was when it was flushed: the next answer comes."""
    async with line() as running:
        running.call.say(sound(300))
        await running.client(3.0)
        played = running.channel.audio[-1][1] + 1 - lag
        running.channel.put({"type": "played", "sequence": played})
        await settle()
        running.call.hush()
        running.call.emit(INTERRUPTED)
        for _ in range(40):
            running.channel.put({"type": "played", "sequence": played})
            await running.client(0.25)
        sent = len(running.channel.audio)
        running.call.say(sound(20, 5000))
        await running.client(0.05)
        assert levels(running.channel)[sent] == 5000
        await running.client(1.0, lag=LEAD)
        assert levels(running.channel)[sent : sent + 20] == list(range(5000, 5020))


async def test_silence_is_not_waited_for() -> None:
    async with line() as running:
        running.call.say(sound(20))
        await running.client(20.0, lag=0)
        sent = len(running.channel.audio)
        running.call.say(sound(20, 5000))
        await running.client(1.0)
        assert levels(running.channel)[sent : sent + 20] == list(range(5000, 5020))


# A connection that takes no more


async def test_nothing_is_pulled_while_the_connection_takes_nothing() -> None:
    async with line() as running:
        running.call.say(sound(200))
        await running.client(0.5)
        running.channel.open.clear()
        await running.client(0.04)
        pulled, sent = len(running.call.pulls), len(running.channel.audio)
        await running.client(2.0)
        assert len(running.call.pulls) == pulled
        opened = asyncio.get_running_loop().time()
        running.channel.open.set()
        await running.client(1.0)
        # It goes on where it was, each frame once.
        assert levels(running.channel) == list(range(1000, 1000 + len(running.channel.audio)))
        after = running.channel.audio[sent:]
        for n, (at, _) in enumerate(after):
            assert at >= opened + (n - LEAD - 1) * FRAME_SECONDS - 1e-6
        assert len(after) == pytest.approx(1.0 / FRAME_SECONDS + LEAD, abs=2)
        assert running.transport.report().skipped == pytest.approx(100, abs=3)


async def test_a_stall_of_the_machine_is_not_made_good_by_a_burst() -> None:
    async with line() as running:
        running.call.say(sound(200))
        await running.client(0.5)
        sent = len(running.channel.audio)
        loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        loop.stall(1.0)
        began = loop.time()
        await running.client(0.5)
        after = running.channel.audio[sent:]
        for n, (at, _) in enumerate(after):
            assert at >= began + (n - LEAD - 1) * FRAME_SECONDS - 1e-6
        assert levels(running.channel) == list(range(1000, 1000 + len(running.channel.audio)))


async def test_a_client_who_falls_behind_is_waited_for() -> None:
    async with line() as running:
        running.call.say(sound(1000))
        await running.client(1.0, lag=LEAD)
        played = running.channel.audio[-1][1] + 1 - LEAD
        for _ in range(40):  # it plays nothing more, but reports
            running.channel.put({"type": "played", "sequence": played})
            await running.client(0.25)
        ahead = running.channel.audio[-1][1] + 1 - played
        assert ahead == pytest.approx(MAX_AHEAD, abs=0.25 / FRAME_SECONDS + LEAD)
        assert running.transport.report().skipped > 300
        sent = len(running.channel.audio)
        await running.client(1.0, lag=LEAD)  # it has caught up
        assert len(running.channel.audio) - sent == pytest.approx(50, abs=LEAD + 14)
        assert levels(running.channel) == list(range(1000, 1000 + len(running.channel.audio)))


async def test_a_client_whose_reports_stop_is_waited_for() -> None:
    """A proxy in between takes everything while the client takes nothing."""
    async with line() as running:
        running.call.say([*sound(100), *[silence(480)] * 300, *sound(400, 5000)])
        await running.client(4.0, lag=LEAD)
        await running.client(4.5, lag=LEAD)  # a long silence is nothing to catch up with
        last = running.channel.audio[-1][1]
        await running.client(4.0)
        assert running.channel.audio[-1][1] - last == pytest.approx(MAX_AHEAD, abs=LEAD + 14)
        await running.client(8.0, lag=LEAD)
        assert levels(running.channel)[-402:] == [*range(5000, 5400), 0, 0]  # nothing is lost


async def test_what_a_client_has_played_is_told_to_the_call() -> None:
    async with line() as running:
        running.call.say(sound(100))
        await running.client(0.5)
        running.channel.put({"type": "played", "sequence": 7})
        await settle()
        assert running.call.played[-1][1] == 7
        told = len(running.call.played)
        await running.client(0.5)
        assert len(running.call.played) == told  # its own word counts, not a guess


async def test_of_a_client_that_does_not_report_it_is_guessed() -> None:
    async with line() as running:
        running.call.say(sound(50))
        await running.client(0.5)
        for at, sequence in running.call.played:
            # At 20 ms a frame, after those that were sent ahead.
            assert sequence == pytest.approx(at / FRAME_SECONDS + 1, abs=1.01)


async def test_texts_that_nobody_takes_are_bounded() -> None:
    async with line() as running:
        running.channel.open.clear()
        for number in range(MAX_UNSENT_TEXTS + 10):
            running.call.emit(ReplyText(number, "word "))
        assert await running.running is True
