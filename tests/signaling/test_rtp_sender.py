"""Packets that aiortc did not send, as aiortc's other end sees them, and what it is told of them.

If one of these fails after an update, aiortc or aioice has moved what `signaling.rtp_sender` uses.
"""

import asyncio
import re
import time
from typing import Any

import pytest
from aioice.ice import StunProtocol
from aioice.turn import TurnTransport
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSrPacket

from signaling.ice_paths import Paths
from signaling.rtp_sender import NTP_EPOCH, RemoteReport, RtpSender, SilentTrack
from tests.conftest import NothingLeft
from tests.signaling.peers import peers


async def test_aiortc_takes_the_packets_for_its_own() -> None:
    async with peers(direct=False) as p:
        before = p.sender.last_timestamp
        for index in range(3):
            p.sender.send(b"voice %d" % index, index * 960, marker=index == 0)
        assert p.sender.last_timestamp == (before + 1 + 2 * 960) & 0xFFFFFFFF
        await p.ear.has_heard(3)
        first, second, third = p.ear.slow
        assert [packet.payload for packet in p.ear.slow] == [b"voice 0", b"voice 1", b"voice 2"]
        assert [packet.marker for packet in p.ear.slow] == [1, 0, 0]
        assert second.sequence_number == first.sequence_number + 1
        assert third.sequence_number == first.sequence_number + 2
        assert first.timestamp == (before + 1) & 0xFFFFFFFF
        assert third.timestamp == p.sender.last_timestamp
        assert first.ssrc == p.near_voice.sender._ssrc
        assert first.payload_type == p.far_voice._codecs[0].payloadType
        assert first.extensions.mid == p.near_voice.mid


async def test_without_header_extensions_there_are_none() -> None:
    def bare(sdp: str) -> str:
        return re.sub(r"a=extmap:.*\r\n", "", sdp)

    async with peers(direct=False, munge=bare) as p:
        p.sender.send(b"voice", 0)
        await p.ear.has_heard(1)
        assert p.ear.slow[0].payload == b"voice"
        assert p.ear.slow[0].extensions.mid is None


def test_aiortc_negotiates_no_other_extension_that_a_sender_fills() -> None:
    """Such as abs-send-time, which `RtpSender` would have to write too."""
    assert {extension.uri.rpartition(":")[2] for extension in HEADER_EXTENSIONS["audio"]} == {
        "mid",
        "ssrc-audio-level",  # aiortc gives none for packets that it has not encoded
    }


async def test_numbers_wrap() -> None:
    async with peers() as p:
        p.sender._sequence, p.sender._origin = 0xFFFE, 0xFFFFFC40
        for index in range(4):
            p.sender.send(b"voice", index * 960)
        await p.ear.has_heard(4)
        assert [packet.sequence for packet in p.ear.heard] == [0xFFFE, 0xFFFF, 0, 1]
        assert [packet.timestamp for packet in p.ear.heard] == [0xFFFFFC40, 0, 960, 1920]


async def test_the_senders_report_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiortc.rtcrtpsender.random.random", lambda: -0.5)  # at once
    reports: asyncio.Queue[RtcpSrPacket] = asyncio.Queue()

    async with peers() as p:
        receiver: Any = p.far_voice.receiver
        receiver._handle_rtcp_packet = reports.put
        for index in range(5):
            p.sender.send(b"voice", index * 960)
        await p.ear.has_heard(5)
        while (report := await reports.get()).sender_info.packet_count < 5:
            pass
        assert report.sender_info.packet_count == 5
        assert report.sender_info.octet_count == 5 * len(b"voice")
        assert report.sender_info.rtp_timestamp == p.sender.last_timestamp
        sent = report.sender_info.ntp_timestamp / 2**32 - NTP_EPOCH
        assert 0 <= time.time() - sent < 60
        stats = (await p.near_voice.sender.getStats()).values()
        [stream] = [entry for entry in stats if entry.type == "outbound-rtp"]
        assert (stream.packetsSent, stream.bytesSent) == (5, 5 * len(b"voice"))
        [transport] = [entry for entry in stats if entry.type == "transport"]
        assert transport.packetsSent >= 5
        assert transport.bytesSent >= 5 * len(b"voice")


async def test_what_the_far_end_reports() -> None:
    async with peers() as p:
        assert p.sender.remote_report() is None
        sender: Any = p.near_voice.sender
        info = RtcpReceiverInfo(
            ssrc=sender._ssrc,
            fraction_lost=64,
            packets_lost=7,
            highest_sequence=100,
            jitter=0,
            lsr=0,
            dlsr=0,
        )
        await sender._handle_rtcp_packet(RtcpRrPacket(ssrc=1, reports=[info]))
        assert p.sender.remote_report() == RemoteReport(0.25, None)


async def test_the_round_trip_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiortc.rtcrtpsender.random.random", lambda: -0.5)
    monkeypatch.setattr("aiortc.rtcrtpreceiver.random.random", lambda: -0.49)
    async with peers() as p:
        p.sender.send(b"voice", 0)
        while not ((report := p.sender.remote_report()) and report.round_trip is not None):
            await asyncio.sleep(0.001)
        assert report.fraction_lost == 0
        assert abs(report.round_trip) < 60


async def test_a_disabled_direction_sends_nothing() -> None:
    async with peers() as p:
        p.sender.send(b"voice", 0)
        p.near_voice._setCurrentDirection("inactive")
        p.sender.send(b"unwanted", 960)
        p.near_voice._setCurrentDirection("sendrecv")
        p.sender.send(b"voice", 1920)
        await p.ear.has_heard(2)
        assert [packet.payload for packet in p.ear.heard] == [b"voice", b"voice"]
        assert p.ear.heard[1].sequence == (p.ear.heard[0].sequence + 1) & 0xFFFF


async def test_nothing_is_sent_after_the_end(nothing_left: NothingLeft) -> None:
    async with nothing_left():
        async with peers() as p:
            p.sender.send(b"voice", 0)
            await p.ear.has_heard(1)
        sent = p.sender.last_timestamp
        p.sender.send(b"late", 960)
        assert p.sender.last_timestamp == sent
        del p


async def test_before_the_connection_nothing_is_sent() -> None:
    async with peers() as p:
        transport: Any = p.near_voice.sender.transport
        state, transport._state = transport._state, None
        p.sender.send(b"early", 0)
        transport._state = state
        nominated = p.sender._ice._nominated.copy()
        p.sender._ice._nominated.clear()
        p.sender.send(b"early", 0)
        p.sender._ice._nominated.update(nominated)
        p.sender.send(b"voice", 960)
        await p.ear.has_heard(1)
        assert p.ear.heard[0].payload == b"voice"


async def test_a_track_that_is_silent_ends() -> None:
    track = SilentTrack()
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_all_that_aioice_does_to_send_is_sendto() -> None:
    """`RtpSender` leaves `send_data` out, which is a coroutine, whatever carries the pair."""
    sent: list[tuple[bytes, tuple[str, int]]] = []

    class Transport:
        def sendto(self, data: bytes, address: tuple[str, int]) -> None:
            sent.append((data, address))

    protocol: Any = StunProtocol.__new__(StunProtocol)
    protocol.transport = Transport()
    with pytest.raises(StopIteration):  # it ended without waiting for anything
        protocol.send_data(b"voice", ("192.0.2.1", 5)).send(None)
    assert sent == [(b"voice", ("192.0.2.1", 5))]
    assert callable(TurnTransport.sendto)
    assert callable(Paths.sendto)


async def test_the_first_timestamp_is_random() -> None:
    async with peers() as p:
        others = {RtpSender(p.near_voice).last_timestamp for _ in range(8)}
        assert len(others) == 8
