"""What a stream's client may say and what it may not, and how a stream ends."""

import asyncio

import pytest

from media.events import ReplyText
from media.frames import FRAME_SECONDS
from signaling.channel import ChannelClosed
from signaling.messages import HangUp, Interrupt
from signaling.packets import Kind, Packet, encode_packet
from signaling.stream import StreamSettings, StreamTransport, refuse
from tests.signaling.call import ScriptedCall
from tests.signaling.memory_channel import MemoryChannel
from tests.signaling.stream_line import PCM, RATE, line
from tests.virtual_time import settle, until

pytestmark = pytest.mark.virtual_time

# The client


async def test_messages_go_where_they_belong() -> None:
    async with line() as running:
        running.channel.put({"type": "ping", "t": 1.5})
        running.channel.put({"type": "interrupt"})
        running.channel.put({"type": "hangup"})
        await settle()
        assert running.call.messages == [Interrupt(), HangUp()]
        assert {"type": "pong", "t": 1.5} in running.channel.texts


@pytest.mark.parametrize(
    "message",
    [
        "{",
        "{}",
        '{"type": "hello", "codec": "opus"}',
        '{"type": "played", "timestamp": 1}',
        b"",
        b"\x01\x00",
        bytes(700),
        encode_packet(Packet(Kind.OPUS, 0, 0, bytes(40))),
        encode_packet(Packet(Kind.PCM, 0, 0)),
        encode_packet(Packet(Kind.PCM, 0, 0, bytes(961))),
        encode_packet(Packet(Kind.PCM, 0, 0, bytes(48_000))),
    ],
)
async def test_what_is_no_message_is_rejected_and_the_call_goes_on(message: str | bytes) -> None:
    async with line() as running:
        running.channel.put(message)
        running.channel.put({"type": "interrupt"})
        await settle()
        assert len(running.call.rejected) == 1
        assert running.call.messages == [Interrupt()]
        assert running.call.heard == []
        assert not running.running.done()


def microphone(number: int, seconds: float = 0.02) -> bytes:
    return encode_packet(Packet(Kind.PCM, number, 20 * number, bytes(2 * round(RATE * seconds))))


async def test_the_microphone_is_heard_in_frames() -> None:
    async with line() as running:
        for number in range(100):
            running.channel.put(microphone(number))
            await asyncio.sleep(FRAME_SECONDS)
        assert len(running.call.heard) == pytest.approx(100, abs=3)
        assert {len(frame) for frame in running.call.heard} == {320}


async def test_a_stalled_connection_delivers_what_was_said() -> None:
    async with line() as running:
        await running.client(4.0)
        running.call.heard.clear()
        for number in range(200):  # 4 s at once
            running.channel.put(microphone(number))
        await running.client(0.2)
        assert len(running.call.heard) == pytest.approx(200, abs=3)


async def test_who_talks_faster_than_time_is_not_listened_to() -> None:
    async with line() as running:
        for number in range(2000):  # 60 ms of sound every 10 ms
            running.channel.put(microphone(number, 0.06))
            await asyncio.sleep(0.01)
        # 20 s went by, and 10 s are forgiven.
        assert len(running.call.heard) * FRAME_SECONDS == pytest.approx(30, abs=0.5)
        assert not running.running.done()


async def test_who_floods_with_messages_is_let_go() -> None:
    async with line() as running:
        for _ in range(10_000):
            running.channel.put({"type": "ping", "t": 1})
        assert await running.running is True
        assert asyncio.get_running_loop().time() < 1


async def test_pings_twice_a_second_for_an_hour_are_no_flood() -> None:
    async with line() as running:
        for _ in range(3600 * 2):
            running.channel.put({"type": "ping", "t": 1})
            await asyncio.sleep(0.5)
        assert not running.running.done()


# Ends


async def test_a_client_who_hangs_up_is_not_lost() -> None:
    async with line() as running:
        running.channel.put(ChannelClosed(hung_up=True))
        assert await running.running is False


async def test_a_connection_that_breaks_is_lost() -> None:
    async with line() as running:
        running.channel.put(ChannelClosed())
        assert await running.running is True


async def test_a_client_who_falls_silent_is_lost() -> None:
    async with line() as running:
        running.channel.put({"type": "ping", "t": 1})
        assert await running.running is True
        assert asyncio.get_running_loop().time() == pytest.approx(5, abs=0.3)


async def test_a_client_who_is_there_but_muted_is_heard_as_silence() -> None:
    async with line() as running:
        await running.client(10.0)
        assert len(running.call.heard) * FRAME_SECONDS == pytest.approx(10, abs=1)


@pytest.mark.parametrize(("replaced", "code"), [(False, 1000), (True, 4000)])
async def test_the_last_events_are_sent_at_the_end(replaced: bool, code: int) -> None:
    async with line() as running:
        await running.client(1.0)
        for number in range(20):
            running.call.emit(ReplyText(number, "word "))
        await running.transport.close(replaced)
        assert await running.running is False
        assert [t["turn"] for t in running.channel.texts if t["type"] == "reply.text"] == [
            *range(20)
        ]
        assert running.channel.closed[0][0] == code


async def test_the_end_says_that_the_call_has_moved_also_when_nothing_was_taken() -> None:
    async with line() as running:
        running.channel.open.clear()
        running.call.emit(ReplyText(1, "word "))
        await settle()
        await running.transport.close(replaced=True)
        await running.running
        assert {code for code, _ in running.channel.closed} == {4000}


async def test_the_end_waits_for_nobody_who_takes_nothing() -> None:
    async with line() as running:
        running.channel.open.clear()
        running.call.emit(ReplyText(1, "word "))
        await settle()
        began = asyncio.get_running_loop().time()
        await running.transport.close()
        assert asyncio.get_running_loop().time() - began <= 1.0
        assert running.channel.closed


async def test_after_the_end_nothing_is_pulled_or_said() -> None:
    async with line() as running:
        await running.client(1.0)
        await running.transport.close()
        pulled, sent = len(running.call.pulls), len(running.channel.sent)
        running.call.emit(ReplyText(1, "word "))
        await until(60)
        assert (len(running.call.pulls), len(running.channel.sent)) == (pulled, sent)


async def test_a_bug_is_not_swallowed() -> None:
    call = ScriptedCall()
    channel = MemoryChannel()
    transport = StreamTransport(call, channel, PCM, StreamSettings())
    call.receive_message = 1 // 1  # type: ignore[assignment]
    channel.put({"type": "interrupt"})
    with pytest.raises(TypeError):
        await transport.run()
    assert channel.closed


async def test_a_refusal_says_why() -> None:
    channel = MemoryChannel()
    await refuse(channel, 4003, "resume_refused", "no such session")
    assert channel.texts == [
        {"type": "error", "code": "resume_refused", "message": "no such session"}
    ]
    assert channel.closed == [(4003, "resume_refused")]


async def test_a_refusal_says_when_to_try_again() -> None:
    channel = MemoryChannel()
    await refuse(channel, 4013, "refused", "no", retry_after=7)
    assert channel.texts[-1]["retry_after"] == 7


async def test_a_refusal_waits_for_nobody_who_takes_nothing() -> None:
    channel = MemoryChannel()
    channel.open.clear()
    await refuse(channel, 4013, "refused", "no")
    assert channel.closed == [(4013, "refused")]
    assert asyncio.get_running_loop().time() == pytest.approx(1)
