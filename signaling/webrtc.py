"""A call over WebRTC: one peer connection, an audio track each way, a data channel."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.sdp import SessionDescription, candidate_from_sdp

from media.events import Event
from media.frames import Samples
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
from signaling.opus_sdp import OpusWishes, opus_wishes, with_opus_parameters
from signaling.presence import Presence
from signaling.receiver import OpusReceiver
from signaling.rtp import received_packets, tap
from signaling.rtp_receiver import RtpReceiver
from signaling.rtp_sender import RtpSender, SilentTrack
from signaling.transport import EVENT, Call, Closed, MediaReport
from signaling.turn import IceServer as IceServer
from signaling.turn import usable_servers, with_credentials
from signaling.voice import VoiceSender

logger = logging.getLogger(__name__)

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
        self._track = SilentTrack()
        self._voice: VoiceSender | None = None
        self._wishes = OpusWishes()
        self._channel: RTCDataChannel | None = None
        self._unsent: deque[str] = deque(maxlen=MAX_UNSENT_EVENTS)
        self._transceiver: RTCRtpTransceiver | None = None
        # After which packet, by its time stamp, which frame is played.
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
        self._wishes = opus_wishes(offer)
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
        self._transceiver = voice
        for transceiver in self._pc.getTransceivers():
            # Nobody would take video or a second voice from aiortc's queues, which have no end.
            if transceiver is not voice:
                transceiver.direction = "inactive"
        addresses = self._settings.host_addresses or default_addresses()
        use_addresses(self._pc, () if self._mux and self._mux.has_udp else addresses)
        if self._mux:
            self._mux.attach(self._pc)
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        RtpReceiver(voice, self._receiver)
        return with_opus_parameters(self._pc.localDescription.sdp)

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
        if self._voice:
            self._voice.close()
        self._track.stop()
        await self._pc.close()

    def report(self) -> MediaReport:
        heard = self._receiver.report() if self._receiver else MediaReport()
        return self._voice.report(heard) if self._voice else heard

    # The peer connection

    def _follow_state(self) -> None:
        state = self._pc.connectionState
        logger.debug("< connection %s", state)
        if state == "connected" and self._presence is None:
            self._watchdog.cancel()
            self._watch()
            self._call.start()
            self._speak()
        elif state in ("failed", "closed"):
            self._give_up(lost=state == "failed")

    def _watch(self) -> None:
        """A caller who vanishes says nothing; aiortc itself notices after 30 to 60 s."""
        assert self._transceiver is not None
        receiver = self._transceiver.receiver
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

    def _speak(self) -> None:
        assert self._transceiver is not None
        rtp, wishes = RtpSender(self._transceiver), self._wishes

        def send(payload: bytes, timestamp: int, marker: bool) -> None:
            rtp.send(payload, timestamp, marker)
            self._timestamps.append((rtp.last_timestamp, self._call.sequence))

        bitrate = min(self._settings.bitrate, wishes.max_bitrate or self._settings.bitrate)
        self._voice = VoiceSender(
            self._call,
            OpusEncoder(self._call.output_rate, bitrate, dtx=wishes.dtx),
            send,
            rtp.remote_report,
            wishes,
        )
        self._voice.start()

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
