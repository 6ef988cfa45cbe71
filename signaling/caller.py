"""The other end of a WebRTC call, for programs: speaks and listens through callbacks.

caller = WebRtcCaller(rate=24_000, pull=..., receive=..., receive_event=...)
answer = (however the offer gets there)(await caller.offer())
await caller.accept(answer)
await caller.connected.wait()
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription

from media.frames import Samples
from signaling.bookmark import Bookmark
from signaling.ice import use_addresses
from signaling.opus import OpusEncoder
from signaling.opus_sdp import OpusWishes, opus_wishes, with_opus_parameters
from signaling.receiver import OpusReceiver
from signaling.rtp import tap
from signaling.rtp_sender import RtpSender, SilentTrack
from signaling.voice import VoiceSender


class _Microphone:
    """Is always on: a frame every 20 ms, whatever there is to hear."""

    live = False
    due = 0.0

    def __init__(self, rate: int, pull: Callable[[], Samples]) -> None:
        self.output_rate = rate
        self.pull = pull
        self.on_due: Callable[[], object] = lambda: None


class WebRtcCaller:
    """One call. `pull` gives 20 ms of the caller's voice at `rate` Hz each time it is called,
    `receive` takes 20 ms of the answer as it arrives, `receive_event` each event as a dict.
    """

    def __init__(
        self,
        *,
        rate: int,
        pull: Callable[[], Samples],
        receive: Callable[[Samples], None],
        receive_event: Callable[[dict[str, Any]], None],
        addresses: Sequence[str],
        bitrate: int = 32_000,
    ) -> None:
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._addresses = addresses
        self.bookmark = Bookmark()
        self._receive_event = receive_event
        self._pc = RTCPeerConnection()
        self._receiver = OpusReceiver(rate, receive)
        self._track = SilentTrack()
        self._transceiver = self._pc.addTransceiver(self._track, "sendrecv")
        self._microphone = _Microphone(rate, pull)
        self._encoder = OpusEncoder(rate, bitrate)
        self._wishes = OpusWishes()
        self._voice: VoiceSender | None = None
        self._channel = self._pc.createDataChannel("events")
        self._channel.on("message", self._receive_message)
        self._pc.on("track", self._receive_track)
        self._pc.on("connectionstatechange", self._follow_state)

    @property
    def lost_packets(self) -> int:
        """Packets of the answer that did not arrive in time."""
        return self._receiver.lost

    async def offer(self) -> str:
        """The SDP to send to the server, all candidates in it."""
        offer = await self._pc.createOffer()
        use_addresses(self._pc, self._addresses)
        await self._pc.setLocalDescription(offer)
        return with_opus_parameters(self._pc.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the server's SDP; the call is up when `connected` is set."""
        self._wishes = replace(opus_wishes(answer), dtx=False)
        await self._pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def send(self, message: dict[str, Any]) -> None:
        """Send a client message: see `signaling.messages`."""
        if self._channel.readyState == "open":
            self._channel.send(json.dumps(message))

    async def close(self) -> None:
        self._receiver.close()
        if self._voice:
            self._voice.close()
        self._track.stop()
        await self._pc.close()

    def _speak(self) -> None:
        if self._voice is None:
            rtp = RtpSender(self._transceiver)
            self._voice = VoiceSender(
                self._microphone, self._encoder, rtp.send, rtp.remote_report, self._wishes
            )
            self._voice.start()

    def _receive_message(self, text: str) -> None:
        message = json.loads(text)
        self.bookmark.note(message)
        self._receive_event(message)

    def _receive_track(self, track: MediaStreamTrack) -> None:
        for transceiver in self._pc.getTransceivers():
            if transceiver.receiver.track is track:
                tap(transceiver.receiver, self._receiver)

    def _follow_state(self) -> None:
        if self._pc.connectionState == "connected":
            self.connected.set()
            self._speak()
        elif self._pc.connectionState in ("failed", "closed"):
            self.closed.set()
