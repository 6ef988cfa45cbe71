"""Packets that come past aiortc: the same ones, authenticated and counted as before.

If one of these fails after an update, aiortc or aioice has moved what `signaling.rtp_receiver`
uses.
"""

import asyncio
import logging
import socket
from typing import Any

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import example, given
from hypothesis import strategies as st

from signaling.rtp import received_packets
from signaling.rtp_receiver import payload
from tests.signaling.peers import Peers, peers


def protected(p: Peers, payload_type: int | None = None, **fields: Any) -> bytes:
    """The next packet of the one who speaks, as it is on the wire; or another, of these fields."""
    sender = p.sender
    packet = RtpPacket(
        payload_type=sender._payload_type if payload_type is None else payload_type,
        sequence_number=sender._sequence,
        ssrc=fields.pop("ssrc", sender._ssrc),
        **fields,
    )
    sender._sequence += 1
    return bytes(sender._dtls._tx_srtp.protect(packet.serialize()))


async def speak(p: Peers, count: int) -> None:
    """So many packets, of which the first goes aiortc's way."""
    for index in range(count):
        p.sender.send(b"voice", index * 960)
        if index == 0:
            await p.ear.has_heard(1)
    await p.ear.has_heard(count)


async def test_what_is_heard_is_what_was_sent() -> None:
    async with peers() as p:
        await speak(p, 20)
        numbers = [packet.sequence for packet in p.ear.heard]
        assert numbers == [(numbers[0] + index) & 0xFFFF for index in range(20)]
        assert p.ear.heard[-1].timestamp == p.sender.last_timestamp
        assert {packet.payload for packet in p.ear.heard} == {b"voice"}
        assert {packet.source for packet in p.ear.heard} == {p.sender._ssrc}
        assert len(p.ear.slow) == 1, (
            "aiortc gets the first packet alone, by which it knows the SSRC"
        )


async def test_a_packet_is_taken_while_the_socket_is_read() -> None:
    async with peers() as p:
        await speak(p, 1)
        p.connection.data_received(protected(p, payload=b"next"), 1)
        assert p.ear.heard[-1].payload == b"next"


async def test_nothing_is_tried_as_stun_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def parse(data: bytes) -> None:
        tried.append(data[0])
        raise ValueError

    async with peers() as p:
        await speak(p, 1)
        monkeypatch.setattr("aioice.ice.stun.parse_message", parse)
        await speak(p, 5)
        monkeypatch.undo()
        assert all(first < 128 for first in tried)


async def test_aiortc_counts_as_if_it_had_taken_them() -> None:
    async def told(direct: bool) -> tuple[tuple[int, int], dict[str, int]]:
        async with peers(direct) as p:
            await speak(p, 3)
            p.sender._sequence += 2  # two are lost
            before = received_packets(p.far_voice.receiver)  # RTCP too, at random times
            for index in range(3, 8):
                p.sender.send(b"voice", index * 960)
            await p.ear.has_heard(8)
            stats = (await p.far_voice.receiver.getStats()).values()
            [stream] = [entry for entry in stats if entry.type == "inbound-rtp"]
            counts = {"received": stream.packetsReceived, "lost": stream.packetsLost}
            [reported] = p.far_voice.receiver._RTCRtpReceiver__remote_streams.values()  # type: ignore[attr-defined]
            info = (reported.fraction_lost, reported.packets_expected)
            assert received_packets(p.far_voice.receiver) - before >= 5
            return info, counts

    direct = await told(direct=True)
    assert direct == await told(direct=False)
    assert direct[1] == {"received": 8, "lost": 2}


async def test_a_forged_packet_is_dropped() -> None:
    async with peers() as p:
        await speak(p, 2)
        [statistics] = p.far_voice.receiver._RTCRtpReceiver__remote_streams.values()  # type: ignore[attr-defined]
        packet = bytearray(protected(p, payload=b"voice"))
        packet[-1] ^= 1
        p.connection.data_received(bytes(packet), 1)
        p.connection.data_received(bytes(packet[:13]), 1)
        assert (len(p.ear.heard), statistics.packets_received) == (2, 2)
        packet[-1] ^= 1
        for _ in range(2):  # the same one again is a replay
            p.connection.data_received(bytes(packet), 1)
        assert (len(p.ear.heard), statistics.packets_received) == (3, 3)


async def test_what_is_not_the_voice_goes_aiortcs_way() -> None:
    async with peers() as p:
        await speak(p, 2)
        routed: list[tuple[int, int]] = []
        receiver: Any = p.far_voice.receiver

        async def note(packet: RtpPacket, arrival_time_ms: int) -> None:
            routed.append((packet.ssrc, packet.payload_type))

        receiver._handle_rtp_packet = note
        p.connection.data_received(protected(p, payload=b"other", ssrc=7), 1)
        p.connection.data_received(protected(p, payload=b"tone", payload_type=9), 1)
        while len(routed) < 2:
            await asyncio.sleep(0)
        assert routed == [(7, p.sender._payload_type), (p.sender._ssrc, 9)]
        assert len(p.ear.heard) == 2


async def test_another_sender_is_taken_when_aiortc_has_taken_it() -> None:
    async with peers() as p:
        await speak(p, 2)
        p.connection.data_received(protected(p, payload=b"first", ssrc=7), 1)
        await p.ear.has_heard(3)
        p.connection.data_received(protected(p, payload=b"second", ssrc=7), 1)
        assert [heard.payload for heard in p.ear.heard[2:]] == [b"first", b"second"]
        assert {heard.source for heard in p.ear.heard[2:]} == {7}


async def test_a_disabled_direction_hears_nothing() -> None:
    async with peers() as p:
        await speak(p, 2)
        p.far_voice._setCurrentDirection("inactive")
        p.connection.data_received(protected(p, payload=b"unwanted"), 1)
        await asyncio.sleep(0)
        p.far_voice._setCurrentDirection("sendrecv")
        p.connection.data_received(protected(p, payload=b"wanted"), 1)
        assert [heard.payload for heard in p.ear.heard[2:]] == [b"wanted"]


@pytest.mark.parametrize("datagram", [b"", b"\x80" * 1501, b"\x90", b"\xbf" * 65_000])
async def test_no_datagram_of_a_stranger_ends_a_call(datagram: bytes) -> None:
    """aiortc stops reading at an empty one, and at one that is longer than SRTP's buffer."""
    async with peers() as p:
        await speak(p, 2)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(datagram, p.address())
        p.sender.send(b"still here", 1920)
        await p.ear.has_heard(3)
        assert p.ear.heard[-1].payload == b"still here"
        assert p.transport.state == "connected"


async def test_a_bug_of_ours_ends_no_call(caplog: pytest.LogCaptureFixture) -> None:
    async with peers() as p:
        await speak(p, 2)

        def fail(*packet: object) -> None:
            raise ZeroDivisionError

        receive, p.ear.receive = p.ear.receive, fail  # type: ignore[assignment, method-assign]
        with caplog.at_level(logging.ERROR):
            p.connection.data_received(protected(p, payload=b"voice"), 1)
        assert "ZeroDivisionError" in caplog.text
        p.ear.receive = receive  # type: ignore[method-assign]
        p.sender.send(b"again", 1920)
        await p.ear.has_heard(3)


async def test_data_channels_work_as_before() -> None:
    async with peers() as p:
        await speak(p, 2)
        said: asyncio.Queue[str] = asyncio.Queue()
        p.far.on("datachannel", lambda channel: channel.on("message", said.put_nowait))
        channel = p.near.createDataChannel("more")
        channel.on("open", lambda: channel.send("hello"))
        assert await said.get() == "hello"


packets = st.builds(
    lambda first, rest: bytes([0x80 | first]) + rest, st.integers(0, 63), st.binary(max_size=60)
)


@given(packets.filter(lambda packet: len(packet) >= 12))
@example(bytes([0x90]) + bytes(11))  # an extension that is not there
@example(bytes([0x90]) + bytes(14))
@example(bytes([0xA0]) + bytes(11))  # padding of an empty packet
@example(bytes([0xA0]) + bytes(10) + b"\1")  # padding that would be the header's last byte
@example(bytes([0xA0]) + bytes(11) + b"\1")
@example(bytes([0x8F]) + bytes(40))  # sources that are not there
def test_a_header_is_read_as_aiortc_reads_it(packet: bytes) -> None:
    try:
        expected: bytes | None = RtpPacket.parse(packet).payload
    except ValueError:
        expected = None
    found = payload(packet)
    if expected is not None or not packet[0] & 0x10:  # aiortc looks into extensions, too
        assert found == expected


@given(st.binary(min_size=12, max_size=80))
def test_no_header_is_too_strange(packet: bytes) -> None:
    found = payload(packet)
    assert found is None or found in packet
