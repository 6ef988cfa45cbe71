"""The other end of a WebRTC call, for benches: Opus packets out, RTP packets in, no sound between.

caller = PacketCaller(pull=..., receive=..., addresses=["127.0.0.1"])
await caller.accept((however the offer gets there)(await caller.offer()))
await caller.connected.wait()
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from media.frames import FRAME_SECONDS
from signaling.ice import use_addresses
from signaling.opus_sdp import with_opus_parameters
from signaling.rtp import tap
from signaling.rtp_receiver import RtpReceiver
from signaling.rtp_sender import RtpSender, SilentTrack

FRAME_TICKS = 960  # of 20 ms in Opus' RTP timestamps (RFC 7587)


class PacketCaller:
    """One call. `pull` gives the Opus packet of 20 ms each time it is called, `receive` takes the
    sequence number, the RTP timestamp and the payload of each packet the moment it arrives.
    """

    def __init__(
        self,
        *,
        pull: Callable[[], bytes],
        receive: Callable[[int, int, bytes], None],
        addresses: Sequence[str],
    ) -> None:
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._addresses = addresses
        self._pull = pull
        self._ear = _Ear(receive)
        self._pc = RTCPeerConnection()
        self._track = SilentTrack()
        self._transceiver = self._pc.addTransceiver(self._track, "sendrecv")
        self._pc.createDataChannel("events")  # some servers wait for one
        self._pc.on("track", self._receive_track)
        self._pc.on("connectionstatechange", self._follow_state)
        self._speaking: asyncio.Task[None] | None = None

    async def offer(self) -> str:
        """The SDP to send to the server, all candidates in it."""
        offer = await self._pc.createOffer()
        use_addresses(self._pc, self._addresses)
        await self._pc.setLocalDescription(offer)
        # As browsers offer it: error correction is welcome, and silence need not be sent.
        return with_opus_parameters(self._pc.localDescription.sdp).replace(";usedtx=0", "")

    async def accept(self, answer: str) -> None:
        """Take the server's SDP; the call is up when `connected` is set."""
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        RtpReceiver(self._transceiver, self._ear)

    async def close(self) -> None:
        if self._speaking:
            self._speaking.cancel()
        self._track.stop()
        await self._pc.close()

    def _receive_track(self, track: MediaStreamTrack) -> None:
        tap(self._transceiver.receiver, self._ear)

    def _follow_state(self) -> None:
        state = self._pc.connectionState
        if state == "connected" and self._speaking is None:
            self.connected.set()
            self._speaking = asyncio.create_task(self._speak())
        elif state in ("failed", "closed"):
            self.closed.set()

    async def _speak(self) -> None:
        """A packet every 20 ms by the event loop's clock; one that is late is sent all the same."""
        clock = asyncio.get_running_loop().time
        rtp = RtpSender(self._transceiver)
        began, tick = clock(), 0
        while True:
            rtp.send(self._pull(), tick * FRAME_TICKS)
            tick += 1
            await asyncio.sleep(began + tick * FRAME_SECONDS - clock())


class _Ear:
    """What aiortc's jitter buffer and an `OpusReceiver` have in common."""

    def __init__(self, receive: Callable[[int, int, bytes], None]) -> None:
        self._receive = receive

    def receive(self, sequence: int, timestamp: int, payload: bytes, ssrc: int = 0) -> None:
        self._receive(sequence, timestamp, payload)

    def add(self, packet: Any) -> tuple[bool, None]:
        self._receive(packet.sequence_number, packet.timestamp, packet.payload)
        return False, None
