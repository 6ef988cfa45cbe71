"""A call over WebRTC: one peer connection, an audio track each way, a data channel."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription, candidate_from_sdp
from av.packet import Packet

from media.events import Event
from media.frames import FRAME_SECONDS, Samples
from signaling.ice import default_addresses, use_addresses
from signaling.messages import MessageError, decode_message, encode_event
from signaling.opus import OpusEncoder
from signaling.rtp import OpusReceiver, tap
from signaling.transport import EVENT, Call

logger = logging.getLogger(__name__)

CLOCK_RATE = 48_000  # of Opus RTP timestamps (RFC 7587)
MAX_UNSENT_EVENTS = 256  # kept for a data channel that is not open yet
MAX_BUFFERED_EVENTS = 1 << 20  # bytes in a data channel that nobody reads


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server, handed to the browser and used by the server itself."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True)
class WebRtcSettings:
    """Configuration section `webrtc`. Times in seconds."""

    ice_servers: tuple[IceServer, ...] = ()
    host_addresses: tuple[str, ...] = ()  # to be reached at; empty: every interface and loopback
    bitrate: int = 32_000  # bit/s of the voice sent
    connect_timeout: float = 15.0  # an offer whose media never comes is forgotten
    silence_timeout: float = 10.0  # without a packet or a message the caller is gone


_OPUS = [
    codec
    for codec in RTCRtpSender.getCapabilities("audio").codecs
    if codec.mimeType.lower() == "audio/opus"
]


class OfferError(ValueError):
    """The offer cannot be answered; the text says why."""


class VoiceTrack(MediaStreamTrack):
    """Pulls 20 ms at a time and gives it as an Opus packet, paced by the event loop's clock.

    Deadlines are absolute: a tick that comes late is followed by one that is on time. After a
    stall of more than a tick the missed ones are skipped, in RTP time too; none is caught up.
    """

    kind = "audio"

    def __init__(self, pull: Callable[[], Samples], rate: int, bitrate: int) -> None:
        super().__init__()
        self._pull = pull
        self._encoder = OpusEncoder(rate, bitrate)
        self._clock = asyncio.get_running_loop().time
        self._start: float | None = None
        self._tick = 0
        self.skipped = 0

    async def recv(self) -> "Packet[Any]":
        """The next packet, when it is due. aiortc sends packets as they are."""
        if self.readyState != "live":
            raise MediaStreamError
        if self._start is None:
            self._start = self._clock()
        ahead = self._start + self._tick * FRAME_SECONDS - self._clock()
        if ahead > 0:
            await asyncio.sleep(ahead)
        elif -ahead > FRAME_SECONDS:
            missed = int(-ahead / FRAME_SECONDS)
            self._tick += missed
            self.skipped += missed
        packet = Packet(self._encoder.encode(self._pull()))
        packet.pts = round(self._tick * FRAME_SECONDS * CLOCK_RATE)
        packet.time_base = Fraction(1, CLOCK_RATE)
        self._tick += 1
        return packet


class WebRtcTransport:
    """Carries one call. `answer` once; `on_closed` is called once, whoever ends it."""

    def __init__(self, call: Call, settings: WebRtcSettings, on_closed: Callable[[], None]) -> None:
        self._call = call
        self._settings = settings
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pc = RTCPeerConnection(_configuration(settings.ice_servers))
        self._receiver: OpusReceiver | None = None
        self._track = VoiceTrack(call.pull, call.output_rate, settings.bitrate)
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque(maxlen=MAX_UNSENT_EVENTS)
        self._last_message = self._loop.time()
        self._connected = False
        self._closed = False
        self._watchdog = self._loop.call_later(settings.connect_timeout, self._give_up)
        self._pc.on("datachannel", self._receive_channel)
        self._pc.on("connectionstatechange", self._follow_state)
        call.events.on(EVENT, self._send_event)

    async def answer(self, offer: str) -> str:
        """The SDP answer to an SDP offer. Raises OfferError; then `close` is still to be called."""
        _check(offer)
        voice = self._pc.addTransceiver(self._track, "sendrecv")
        voice.setCodecPreferences(_OPUS)
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        except Exception as error:
            # aiortc raises whatever its parser trips over: all of it is the offer's fault.
            raise OfferError(f"the offer cannot be used: {error!r}") from error
        self._receiver = OpusReceiver(self._call.input_rate, self._call.receive_frame)
        tap(voice.receiver, self._receiver)
        for transceiver in self._pc.getTransceivers():
            # Nobody would take video or a second voice from aiortc's queues, which have no end.
            if transceiver is not voice:
                transceiver.direction = "inactive"
        use_addresses(self._pc, self._settings.host_addresses or default_addresses())
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        self._call.start()
        return _ask_for_fec(self._pc.localDescription.sdp)

    async def add_candidate(self, line: str, mid: str | None, index: int | None) -> None:
        """Trickle ICE: another of the caller's candidates. Raises OfferError."""
        line = line.removeprefix("candidate:").strip()
        if not line:
            return  # the end of candidates; aioice needs no end, and may fail at one
        try:
            candidate = candidate_from_sdp(line)
        except (AssertionError, IndexError, ValueError) as error:
            raise OfferError(f"not an ICE candidate: {line[:100]!r}") from error
        if mid is None and index is None:
            raise OfferError("an ICE candidate needs the mid or the index of its media")
        candidate.sdpMid, candidate.sdpMLineIndex = mid, index
        await self._pc.addIceCandidate(candidate)

    async def close(self) -> None:
        """Hang up and free everything. Harmless when already done."""
        if self._closed:
            return
        self._closed = True
        self._watchdog.cancel()
        self._call.events.remove_listener(EVENT, self._send_event)
        if self._receiver:
            self._receiver.close()
        self._track.stop()
        await self._pc.close()

    @property
    def lost_packets(self) -> int:
        """Packets of the caller's that were concealed or skipped."""
        return self._receiver.lost if self._receiver else 0

    @property
    def skipped_ticks(self) -> int:
        """Frames that were not sent because the event loop was late by more than a frame."""
        return self._track.skipped

    # The peer connection

    def _follow_state(self) -> None:
        state = self._pc.connectionState
        logger.debug("< connection %s", state)
        if state == "connected" and not self._connected:
            self._connected = True
            self._watchdog.cancel()
            self._watch()
        elif state in ("failed", "closed"):
            self._give_up()

    def _watch(self) -> None:
        """A caller who vanishes says nothing; aiortc itself notices after 30 to 60 s."""
        assert self._receiver is not None
        seen = max(self._receiver.last_packet, self._last_message)
        left = seen + self._settings.silence_timeout - self._loop.time()
        if left <= 0:
            self._give_up()
        else:
            self._watchdog = self._loop.call_later(left, self._watch)

    def _give_up(self) -> None:
        if not self._closed:
            self._on_closed()

    # The data channel

    def _receive_channel(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._receive_message)
        while self._unsent:
            channel.send(self._unsent.popleft())

    def _receive_message(self, message: str | bytes) -> None:
        self._last_message = self._loop.time()
        try:
            if isinstance(message, bytes):
                raise MessageError("messages are text, not binary")
            self._call.receive_message(decode_message(message))
        except MessageError as error:
            self._call.reject_message(str(error))

    def _send_event(self, event: Event) -> None:
        text = encode_event(event)
        channel = self._channel
        if channel is None:
            self._unsent.append(text)
        elif channel.readyState == "open" and channel.bufferedAmount < MAX_BUFFERED_EVENTS:
            channel.send(text)


def _configuration(servers: Sequence[IceServer]) -> RTCConfiguration:
    return RTCConfiguration([RTCIceServer(list(s.urls), s.username, s.credential) for s in servers])


def _check(offer: str) -> None:
    try:
        media = SessionDescription.parse(offer).media
    except Exception as error:
        raise OfferError(f"not an SDP: {error!r}") from error
    audio = [m for m in media if m.kind == "audio"]
    if not audio:
        raise OfferError("the offer has no audio: add a microphone track before the offer")
    if audio[0].direction != "sendrecv":
        raise OfferError(f"the offer's audio is {audio[0].direction}: it must be sendrecv")
    if not any(codec.mimeType.lower() == "audio/opus" for codec in audio[0].rtp.codecs):
        raise OfferError("the offer's audio is not Opus, and nothing else is spoken here")


def _ask_for_fec(sdp: str) -> str:
    """Tell the caller that we use in-band FEC; aiortc answers without any Opus parameters."""
    return re.sub(
        r"(a=rtpmap:(\d+) opus/48000/2\r\n)(?!a=fmtp:\2)",
        r"\1a=fmtp:\2 minptime=10;useinbandfec=1\r\n",
        sdp,
    )
