"""A call over WebRTC: one peer connection, an audio track each way, a data channel."""

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

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
from signaling.ice import default_addresses, use_addresses, without_idle_candidates
from signaling.ice_mux import IceMux
from signaling.messages import (
    ClientMessage,
    MessageError,
    Ping,
    Played,
    TransportMessage,
    decode_message,
    encode_event,
    encode_pong,
)
from signaling.opus import OpusEncoder
from signaling.presence import Presence
from signaling.receiver import OpusReceiver
from signaling.rtp import last_timestamp, received_packets, tap
from signaling.transport import EVENT, Call, Closed, MediaReport
from signaling.turn import IceServer as IceServer
from signaling.turn import usable_servers, with_credentials

logger = logging.getLogger(__name__)

CLOCK_RATE = 48_000  # of Opus RTP timestamps (RFC 7587)
MAX_TIMESTAMPS = 1500  # 30 s of packets whose time stamps are remembered
MAX_UNSENT_EVENTS = 256  # kept for a data channel that is not open yet
MAX_BUFFERED_EVENTS = 1 << 20  # bytes in a data channel that nobody reads


@dataclass(frozen=True)
class WebRtcSettings:
    """Configuration section `webrtc`. Times in seconds."""

    ice_servers: tuple[IceServer, ...] = ()
    host_addresses: tuple[str, ...] = ()  # to be reached at; empty: every interface and loopback
    tcp_port: int | None = 8001  # one for all calls: WebRTC over TCP, programs' calls; none: off
    udp_port: int | None = None  # one for all calls; none: each call has its own
    public_address: str = ""  # of these two ports, name or address; empty: found out
    public_tcp_port: int | None = None  # how callers see tcp_port; none: found out, or the same
    public_udp_port: int | None = None  # how callers see udp_port
    ice_transport_policy: Literal["all", "relay"] = "all"  # relay: callers come by TURN alone
    bitrate: int = 32_000  # bit/s of the voice sent
    connect_timeout: float = 15.0  # an offer whose media never comes is forgotten
    silence_timeout: float = 5.0  # without a packet or a message the caller is gone

    def __post_init__(self) -> None:
        for name in ("tcp_port", "udp_port", "public_tcp_port", "public_udp_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65_535:
                raise ValueError(f"{name} must be from 0 to 65535, not {port}")


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
    """Carries one call. `answer` once; `on_closed` is called once, unless `close` is."""

    def __init__(
        self,
        call: Call,
        settings: WebRtcSettings,
        on_closed: Closed,
        mux: IceMux | None = None,
    ) -> None:
        self._call = call
        self._settings = settings
        self._mux = mux
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pc = RTCPeerConnection(_configuration(settings.ice_servers))
        self._receiver: OpusReceiver | None = None
        self._track = VoiceTrack(self._pull, call.output_rate, settings.bitrate)
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque(maxlen=MAX_UNSENT_EVENTS)
        self._sender: RTCRtpSender | None = None
        # After which packet, by its time stamp, which frame was pulled.
        self._timestamps: deque[tuple[int, int]] = deque(maxlen=MAX_TIMESTAMPS)
        self._presence: Presence | None = None
        self._closed = False
        self._watchdog = self._loop.call_later(settings.connect_timeout, self._give_up, True)
        self._pc.on("datachannel", self._receive_channel)
        self._pc.on("connectionstatechange", self._follow_state)
        call.events.on(EVENT, self._send_event)
        call.locate = self._locate

    async def answer(self, offer: str) -> str:
        """The SDP answer to an SDP offer. Raises OfferError; then `close` is still to be called."""
        _check(offer)
        offer = without_idle_candidates(offer)
        voice = self._pc.addTransceiver(self._track, "sendrecv")
        voice.setCodecPreferences(_OPUS)
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        except Exception as error:
            # aiortc raises whatever its parser trips over: all of it is the offer's fault.
            raise OfferError(f"the offer cannot be used: {error!r}") from error
        self._receiver = OpusReceiver(self._call.input_rate, self._receive_frame)
        tap(voice.receiver, self._receiver)
        self._sender = voice.sender
        for transceiver in self._pc.getTransceivers():
            # Nobody would take video or a second voice from aiortc's queues, which have no end.
            if transceiver is not voice:
                transceiver.direction = "inactive"
        addresses = self._settings.host_addresses or default_addresses()
        use_addresses(self._pc, () if self._mux and self._mux.has_udp else addresses)
        if self._mux:
            self._mux.attach(self._pc)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
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

    async def close(self, replaced: bool = False) -> None:
        """End and free everything. Harmless when already done."""
        if self._closed:
            return
        self._closed = True
        self._watchdog.cancel()
        if self._presence:
            self._presence.close()
        self._call.events.remove_listener(EVENT, self._send_event)
        if self._receiver:
            self._receiver.close()
        self._track.stop()
        await self._pc.close()

    def report(self) -> MediaReport:
        heard = self._receiver.report() if self._receiver else MediaReport()
        return replace(heard, skipped=self._track.skipped)

    # The peer connection

    def _follow_state(self) -> None:
        state = self._pc.connectionState
        logger.debug("< connection %s", state)
        if state == "connected" and self._presence is None:
            self._watchdog.cancel()
            self._watch()
            self._call.start()
        elif state in ("failed", "closed"):
            self._give_up(lost=state == "failed")

    def _watch(self) -> None:
        """A caller who vanishes says nothing; aiortc itself notices after 30 to 60 s."""
        assert self._sender is not None
        receiver = next(t.receiver for t in self._pc.getTransceivers() if t.sender is self._sender)
        self._presence = Presence(
            self._call,
            self._settings.silence_timeout,
            lambda: self._give_up(lost=True),
            lambda: received_packets(receiver),
        )

    def _give_up(self, lost: bool) -> None:
        if not self._closed:
            self._on_closed(lost)

    # Audio

    def _receive_frame(self, samples: Samples) -> None:
        if self._presence:
            self._presence.hear()
        self._call.receive_frame(samples)

    def _pull(self) -> Samples:
        assert self._sender is not None
        self._timestamps.append((last_timestamp(self._sender), self._call.sequence))
        return self._call.pull()

    def _locate(self, timestamp: int) -> int | None:
        """The frame that is played after the packet of this time stamp."""
        for sent, sequence in reversed(self._timestamps):
            if (timestamp - sent) & 0xFFFFFFFF < 1 << 31:
                return sequence
        return None

    # The data channel

    def _receive_channel(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            return
        self._channel = channel
        channel.on("message", self._receive_message)
        while self._unsent:
            channel.send(self._unsent.popleft())

    def _receive_message(self, message: str | bytes) -> None:
        try:
            if isinstance(message, bytes):
                raise MessageError("messages are text, not binary")
            self._take(decode_message(message))
        except MessageError as error:
            self._call.reject_message(str(error))

    def _take(self, message: ClientMessage | TransportMessage) -> None:
        match message:
            case Ping():
                self._say(encode_pong(message))
            case Played(timestamp=int(timestamp)):
                if (sequence := self._locate(timestamp)) is not None:
                    self._call.receive_played(sequence)
            case Played():
                raise MessageError('here played needs "timestamp": frames have no other number')
            case _:
                self._call.receive_message(message)

    def _send_event(self, event: Event, seq: int) -> None:
        self._say(encode_event(event, seq))

    def _say(self, text: str) -> None:
        channel = self._channel
        if channel is None:
            self._unsent.append(text)
        elif channel.readyState == "open" and channel.bufferedAmount < MAX_BUFFERED_EVENTS:
            channel.send(text)


def _configuration(servers: Sequence[IceServer]) -> RTCConfiguration:
    """With `relay` too the server gathers all it has: it is the caller who uses relays alone."""
    usable = usable_servers(with_credentials(servers, time.time()))
    return RTCConfiguration([RTCIceServer(list(s.urls), s.username, s.credential) for s in usable])


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
