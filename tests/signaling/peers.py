"""Two bare peer connections that are connected, and what one hears of the other's RTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.rtp import RtpPacket

from signaling.ice import connections, use_addresses
from signaling.receiver import OpusReceiver
from signaling.rtp import tap
from signaling.rtp_receiver import RtpReceiver
from signaling.rtp_sender import RtpSender, SilentTrack

LOOPBACK = ["127.0.0.1"]


class Received(NamedTuple):
    sequence: int
    timestamp: int
    payload: bytes
    source: int


@dataclass
class Ear:
    """In the place of an `OpusReceiver`: notes what it is given; `slow` what came aiortc's way."""

    heard: list[Received] = field(default_factory=list)
    slow: list[RtpPacket] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self.slow.append(packet)
        self.receive(packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc)
        return False, None

    def receive(self, sequence: int, timestamp: int, payload: bytes, source: int) -> None:
        self.heard.append(Received(sequence, timestamp, payload, source))
        self.changed.set()

    async def has_heard(self, count: int) -> None:
        while len(self.heard) < count:
            self.changed.clear()
            await self.changed.wait()


@dataclass
class Peers:
    """`near` sends by `sender`; `far` hears it by `ear`."""

    near: RTCPeerConnection
    far: RTCPeerConnection
    sender: RtpSender
    ear: Ear

    @property
    def near_voice(self) -> RTCRtpTransceiver:
        return self.near.getTransceivers()[0]

    @property
    def far_voice(self) -> RTCRtpTransceiver:
        return self.far.getTransceivers()[0]

    @property
    def transport(self) -> Any:
        """The DTLS transport of the one that hears."""
        return self.far_voice.receiver.transport

    @property
    def connection(self) -> Any:
        """The ICE connection of the one that hears."""
        return connections(self.far)[0]

    def address(self) -> tuple[str, int]:
        """Where the one that hears gets its datagrams."""
        [protocol] = self.connection._protocols
        return cast(tuple[str, int], protocol.transport.get_extra_info("sockname"))


@asynccontextmanager
async def peers(
    direct: bool = True, munge: Callable[[str], str] = lambda sdp: sdp
) -> AsyncIterator[Peers]:
    """Connected peers. With `direct` the far one has a `RtpReceiver`, else it is only tapped.
    `munge` changes the offer.
    """
    near, far = RTCPeerConnection(), RTCPeerConnection()
    try:
        voice = near.addTransceiver(SilentTrack(), "sendrecv")
        near.createDataChannel("events")
        far_voice = far.addTransceiver(SilentTrack(), "sendrecv")
        offer = await near.createOffer()
        use_addresses(near, LOOPBACK)
        await near.setLocalDescription(offer)
        munged = munge(near.localDescription.sdp)
        await far.setRemoteDescription(RTCSessionDescription(munged, "offer"))
        ear = Ear()
        tap(far_voice.receiver, cast(OpusReceiver, ear))
        use_addresses(far, LOOPBACK)
        await far.setLocalDescription(await far.createAnswer())
        if direct:
            RtpReceiver(far_voice, cast(OpusReceiver, ear))
        await near.setRemoteDescription(far.localDescription)
        await _connected(near)
        await _connected(far)
        yield Peers(near, far, RtpSender(voice), ear)
    finally:
        await near.close()
        await far.close()


async def _connected(pc: RTCPeerConnection) -> None:
    changed = asyncio.Event()
    pc.on("connectionstatechange", changed.set)
    while pc.connectionState != "connected":
        changed.clear()
        await changed.wait()
    # aiortc starts its receivers only after it has said so.
    while not pc.getTransceivers()[0].receiver._RTCRtpReceiver__started:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
