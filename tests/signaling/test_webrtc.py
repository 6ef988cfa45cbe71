"""Calls between a real transport and a real caller over loopback, and what a bad offer leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import VideoStreamTrack
from aiortc.rtp import RtpPacket

from media.events import Failure, ReplyText
from media.frames import Samples
from signaling.caller import WebRtcCaller
from signaling.messages import Interrupt, SetVoice
from signaling.webrtc import OfferError, WebRtcSettings, WebRtcTransport
from tests.conftest import NothingLeft
from tests.signaling.call import ScriptedCall
from tests.signaling.speech import frames, speech

RATE = 24_000
INPUT_RATE = 16_000
LOOPBACK = ("127.0.0.1",)
SETTINGS = WebRtcSettings(host_addresses=LOOPBACK)


def talkative() -> ScriptedCall:
    """A call that speaks all the time."""
    return ScriptedCall(voice=cycle(frames(speech(1.0, RATE), RATE)))


class Ends:
    """Both ends of a call, and a way to wait for what happens at either."""

    def __init__(self, settings: WebRtcSettings = SETTINGS) -> None:
        self.call = talkative()
        self.heard: list[Samples] = []
        self.events: list[dict[str, Any]] = []
        self.closed = asyncio.Event()
        self.lost: list[bool] = []  # what the transport said when it ended
        self.transport = WebRtcTransport(self.call, settings, self._close)
        self._voice = cycle(frames(speech(1.0, RATE, pitch=200), RATE))
        self.caller = WebRtcCaller(
            rate=RATE,
            pull=lambda: next(self._voice),
            receive=self._receive,
            receive_event=self._receive_event,
            addresses=LOOPBACK,
        )

    async def connect(self) -> None:
        await self.caller.accept(await self.transport.answer(await self.caller.offer()))
        await self.caller.connected.wait()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.call.changed.clear()
            await self.call.changed.wait()

    async def close(self) -> None:
        await self.caller.close()
        await self.transport.close()

    def _close(self, lost: bool) -> None:
        self.lost.append(lost)
        self.closed.set()

    def _receive(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.call.changed.set()

    def _receive_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.call.changed.set()


@asynccontextmanager
async def ends(settings: WebRtcSettings = SETTINGS) -> AsyncIterator[Ends]:
    both = Ends(settings)
    try:
        yield both
    finally:
        await both.close()


def audible(sounds: list[Samples]) -> bool:
    return any(np.abs(samples).max() > 3000 for samples in sounds)


async def test_both_hear_each_other_and_nothing_is_left(nothing_left: NothingLeft) -> None:
    async with nothing_left(), ends() as both:
        await both.connect()
        await both.until(lambda: audible(both.call.heard) and audible(both.heard))
        assert {len(samples) for samples in both.call.heard} == {INPUT_RATE // 50}
        assert {len(samples) for samples in both.heard} == {RATE // 50}
        assert not both.closed.is_set()


async def test_a_call_starts_when_it_is_connected() -> None:
    """An answer alone proves nothing: the session moves when the new transport works."""
    async with ends() as both:
        answer = await both.transport.answer(await both.caller.offer())
        assert both.call.started == 0
        await both.caller.accept(answer)
        await both.caller.connected.wait()
        await both.until(lambda: both.call.started == 1)


async def test_events_arrive_and_those_from_before_the_channel_come_first() -> None:
    async with ends() as both:
        both.call.emit(ReplyText(1, "one"))
        await both.connect()
        await both.until(lambda: both.call.started == 1)
        both.call.emit(ReplyText(1, "two"))
        await both.until(lambda: len(both.events) >= 3)
        assert both.events == [
            {"type": "reply.text", "seq": 1, "turn": 1, "text": "one"},
            {"type": "state", "seq": 2, "state": "listening"},
            {"type": "reply.text", "seq": 3, "turn": 1, "text": "two"},
        ]
        both.call.emit(Failure("c", "m"))
        await both.until(lambda: len(both.events) == 4)


async def test_messages_arrive_and_what_is_none_is_rejected() -> None:
    async with ends() as both:
        await both.connect()
        await both.until(lambda: bool(both.events))
        both.caller.send({"type": "interrupt"})
        both.caller.send({"type": []})
        both.caller._channel.send(b"\x00\x01")
        both.caller._channel.send("{")
        both.caller.send({"type": "played", "sequence": 4})
        both.caller.send({"type": "voice.set", "voice": {"rate": 1.5}})
        await both.until(lambda: len(both.call.messages) == 2)
        assert both.call.messages == [Interrupt(), SetVoice(rate=1.5)]
        assert len(both.call.rejected) == 4
        assert both.call.rejected[1] == "messages are text, not binary"
        assert '"timestamp"' in both.call.rejected[3]


async def test_a_ping_is_answered_by_the_transport() -> None:
    async with ends() as both:
        await both.connect()
        await both.until(lambda: bool(both.events))
        both.caller.send({"type": "ping", "t": 7.5})
        await both.until(lambda: {"type": "pong", "t": 7.5} in both.events)
        assert both.call.messages == []


async def test_what_was_played_is_told_by_the_time_stamp_of_its_packet() -> None:
    """The packet of a time stamp was encoded from one frame; played next is the one after it."""
    async with ends() as both:
        both.call.sequence = 5000  # the session is older than this transport
        received: list[int] = []  # time stamps, as they come
        keep = both.caller._receiver.add

        def add(packet: RtpPacket) -> tuple[bool, None]:
            received.append(packet.timestamp)
            return keep(packet)

        both.caller._receiver.add = add  # type: ignore[method-assign]
        await both.connect()
        await both.until(lambda: len(received) >= 30 and len(both.events) > 0)
        # Frames are pulled one a packet from 5000 on; loopback loses none.
        for index in (3, 10, 20):
            assert both.call.locate(received[index]) == 5000 + index + 1
        # Between two packets it is the former that was played.
        assert both.call.locate((received[10] + 100) & 0xFFFFFFFF) == 5011
        both.caller.send({"type": "played", "timestamp": received[20]})
        await both.until(lambda: bool(both.call.played))
        assert both.call.played[0][1] == 5021


async def test_a_second_channel_is_left_alone() -> None:
    async with ends() as both:
        second = both.caller._pc.createDataChannel("more")
        await both.connect()
        await both.until(lambda: bool(both.events))
        while second.readyState != "open":
            await asyncio.sleep(0.01)
        second.send('{"type": "interrupt"}')
        both.caller.send({"type": "voice.set", "voice": {}})
        await both.until(lambda: bool(both.call.messages))
        assert both.call.messages == [SetVoice()]


async def test_unsent_events_are_bounded() -> None:
    async with ends() as both:
        for number in range(1, 1001):
            both.call.emit(ReplyText(number, ""))
        await both.connect()
        listening = {"type": "state", "seq": 1001, "state": "listening"}
        await both.until(lambda: listening in both.events)
        assert len(both.events) == 256
        assert both.events[0]["seq"] == 1001 - 255


async def test_a_caller_who_hangs_up_closes_the_transport(nothing_left: NothingLeft) -> None:
    async with nothing_left(), ends() as both:
        await both.connect()
        await both.until(lambda: bool(both.call.heard))
        await both.caller.close()
        await both.closed.wait()
        assert both.lost == [False]


async def test_a_server_that_hangs_up_closes_the_caller() -> None:
    async with ends() as both:
        await both.connect()
        await both.until(lambda: bool(both.call.heard))
        await both.transport.close()
        await both.caller.closed.wait()
        await both.transport.close()  # harmless
        assert not both.closed.is_set()  # who closes need not be told


async def test_an_offer_without_media_is_forgotten(nothing_left: NothingLeft) -> None:
    async with nothing_left(), ends(replace(SETTINGS, connect_timeout=0.1)) as both:
        await both.transport.answer(await both.caller.offer())
        await both.closed.wait()
        assert both.lost == [True]
        assert both.call.started == 0
        assert both.call.heard == []


async def test_a_vanished_caller_is_noticed(nothing_left: NothingLeft) -> None:
    async with nothing_left(), ends(replace(SETTINGS, silence_timeout=0.5)) as both:
        await both.connect()
        await both.until(lambda: len(both.call.heard) > 5)
        [sender] = both.caller._pc.getSenders()
        assert both.caller._voice
        both.caller._voice.close()  # no more packets, and no goodbye
        await sender.stop()
        await both.closed.wait()
        assert both.lost == [True]


async def test_a_caller_who_only_sends_messages_is_there() -> None:
    async with ends(replace(SETTINGS, silence_timeout=1.0)) as both:
        await both.connect()
        await both.until(lambda: bool(both.events) and bool(both.call.heard))
        assert both.caller._voice
        both.caller._voice.close()
        for n in range(30):  # 1.5 s: longer than the timeout
            both.caller.send({"type": "ping", "t": n})
            await asyncio.sleep(0.05)
        assert not both.closed.is_set()
        await both.closed.wait()


async def test_video_beside_the_voice_is_declined(nothing_left: NothingLeft) -> None:
    """aiortc would decode it into a queue without an end."""
    async with nothing_left(), ends() as both:
        both.caller._pc.addTrack(VideoStreamTrack())
        offer = await both.caller.offer()
        assert "m=video" in offer
        answer = await both.transport.answer(offer)
        assert "a=inactive" in answer.split("m=video")[1]
        await both.caller.accept(answer)
        await both.caller.connected.wait()
        await both.until(lambda: audible(both.call.heard) and audible(both.heard))
        video = both.transport._pc.getTransceivers()[1]
        assert video.currentDirection == "inactive"
        assert video.receiver.track._queue.empty()  # type: ignore[attr-defined]


async def test_the_answer_speaks_opus_alone_and_asks_for_error_correction() -> None:
    async with ends() as both:
        answer = await both.transport.answer(await both.caller.offer())
        voice = answer.split("m=")[1]
        assert voice.count("a=rtpmap:") == 1
        assert "opus/48000/2" in voice
        assert "useinbandfec=1" in voice


async def test_candidates_may_trickle() -> None:
    async with ends() as both:
        offer = await both.caller.offer()
        lines = [line for line in offer.splitlines() if line.startswith("a=candidate:")]
        bare = "".join(
            line + "\r\n"
            for line in offer.splitlines()
            if not line.startswith(("a=candidate:", "a=end-of-candidates"))
        )
        await both.caller.accept(await both.transport.answer(bare))
        assert lines
        for line in lines:
            await both.transport.add_candidate(line.removeprefix("a="), "0", None)
        await both.transport.add_candidate("", "0", 0)
        await both.caller.connected.wait()


# What cannot be answered


async def offered(kind: str, direction: str = "sendrecv") -> str:
    pc = RTCPeerConnection()
    try:
        pc.addTransceiver(kind, direction=direction)
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)
    finally:
        await pc.close()


async def refused(offer: str) -> str:
    """Why the offer is refused."""
    transport = WebRtcTransport(ScriptedCall(), SETTINGS, lambda lost: None)
    try:
        with pytest.raises(OfferError) as caught:
            await transport.answer(offer)
    finally:
        await transport.close()
    return str(caught.value)


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        ("", "no audio"),
        ("hello", "no audio"),
        ("v=0\r\nm=audio\r\n", "not an SDP"),
        ("\x00\ud800" * 100, ""),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "no audio"),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 111\r\n", ""),
    ],
)
async def test_what_is_no_sdp(offer: str, reason: str, nothing_left: NothingLeft) -> None:
    async with nothing_left():
        assert reason in await refused(offer)


async def test_an_offer_without_usable_audio(nothing_left: NothingLeft) -> None:
    async with nothing_left():
        assert "no audio" in await refused(await offered("video"))
        for direction in ("recvonly", "sendonly", "inactive"):
            assert f"audio is {direction}" in await refused(await offered("audio", direction))
        offer = await offered("audio")
        assert "not Opus" in await refused(offer.replace("opus/48000/2", "speex/16000"))


@pytest.mark.parametrize("lost", ["a=fingerprint", "a=ice-ufrag", "a=setup", "a=rtpmap", "a=mid"])
async def test_an_offer_that_lacks_something(lost: str, nothing_left: NothingLeft) -> None:
    """Some of it is optional; whatever is not must be an OfferError."""
    async with nothing_left():
        offer = await offered("audio")
        lines = [line for line in offer.splitlines() if not line.startswith(lost)]
        assert len(lines) < len(offer.splitlines())
        transport = WebRtcTransport(ScriptedCall(), SETTINGS, lambda lost: None)
        try:
            with suppress(OfferError):
                await transport.answer("\r\n".join([*lines, ""]))
        finally:
            await transport.close()


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "candidate:",
        "candidate:1 1 udp",
        "1 one udp 1 127.0.0.1 9 typ host",
        "1 1 udp 1 127.0.0.1 port typ host",
        "1 1 udp 1 127.0.0.1 9 type host",
        "1 1 udp 1 not-an-address 9 typ host",
        "1 1 udp 1 ::ffff:999 9 typ host",
        "1 1 udp 1 127.0.0.1 99999 typ host",
        "1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "1 1 udp 1 127.0.0.1 9 typ host raddr",
        "1 2 udp 1 127.0.0.1 9 typ host",
        "1 1 udp " + "9" * 400 + " 127.0.0.1 9 typ nonsense",
        "\ud800 " * 12,
    ],
)
async def test_bad_candidates_do_no_harm(line: str, nothing_left: NothingLeft) -> None:
    async with nothing_left(), ends() as both:
        await both.caller.accept(await both.transport.answer(await both.caller.offer()))
        try:
            await both.transport.add_candidate(line, "0", 0)
        except OfferError as error:
            str(error).encode()
        await both.caller.connected.wait()


async def test_a_candidate_must_say_what_it_is_for() -> None:
    async with ends() as both:
        await both.transport.answer(await both.caller.offer())
        line = "candidate:1 1 udp 1 127.0.0.1 9 typ host"
        with pytest.raises(OfferError, match="mid or the index"):
            await both.transport.add_candidate(line, None, None)
        with pytest.raises(OfferError, match="not an ICE candidate"):
            await both.transport.add_candidate("garbage", "0", 0)
        await both.transport.add_candidate(line, "no such", None)
