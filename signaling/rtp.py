"""Opus straight from the RTP packet: the one place that reaches into aiortc's RTP.

aiortc's own way has a jitter buffer with 80 ms standing delay that grows by 200 ms at the first
lost packet, a decoder thread, and an unbounded queue. `tap` takes the packets at the jitter
buffer's place; SRTP, RTCP and statistics stay aiortc's. Tests fail loudly if the place moves.
"""

import asyncio
from collections.abc import Callable

import numpy as np
from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rtp import RtpPacket

from media.frames import Samples, frame_length, silence
from media.jitter_buffer import Arrived, Gap, JitterBuffer, Lost
from signaling.opus import OpusDecoder, OpusError, packet_samples

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_LAST_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
_RECEIVED = "_RTCDtlsTransport__rx_packets"


class OpusReceiver:
    """One incoming stream: packets in, 20 ms frames at `rate` Hz out, in order, by callback.

    `receive` is called on the event loop, in the task that reads the network: it must not raise
    and must not take long.
    """

    def __init__(self, rate: int, receive: Callable[[Samples], None]) -> None:
        self._receive = receive
        self._rate = rate
        self._decoder = OpusDecoder(rate)
        self._buffer = JitterBuffer()
        self._packet_samples = frame_length(rate)
        self._pending = silence(0)
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.packets = 0
        self.last_packet = self._loop.time()

    @property
    def lost(self) -> int:
        """Packets that were concealed or skipped."""
        return self._buffer.lost

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """aiortc's jitter buffer interface; answers that there is nothing for its decoder."""
        self.packets += 1
        self.last_packet = self._loop.time()
        if packet.payload:
            self._take(packet)
        return False, None

    def close(self) -> None:
        """Give up what is waited for."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _take(self, packet: RtpPacket) -> None:
        try:
            packet_samples(packet.payload, self._rate)
        except OpusError:
            return  # as good as lost, and concealed like it
        self._buffer.add(packet.sequence_number, packet.timestamp, packet.payload)
        self._release()

    def _release(self) -> None:
        self.close()
        for item in self._buffer.release(self._loop.time()):
            self._emit(self._decode(item))
        if self._buffer.timeout is not None:
            self._timer = self._loop.call_at(self._buffer.timeout, self._release)

    def _decode(self, item: Arrived | Lost | Gap) -> Samples:
        try:
            match item:
                case Arrived(payload):
                    samples = self._decoder.decode(payload)
                    if len(samples) != self._packet_samples:
                        self._packet_samples = len(samples)
                        self._buffer.set_duration(len(samples) / self._rate)
                    return samples
                case Lost(following):
                    return self._decoder.conceal(self._packet_samples, following)
                case Gap(seconds):
                    return silence(round(seconds * self._rate))
        except OpusError:
            # Anyone can put bytes that are not Opus into a packet; the call goes on without them.
            return silence(self._packet_samples)

    def _emit(self, samples: Samples) -> None:
        length = frame_length(self._rate)
        if len(self._pending) == 0 and len(samples) == length:
            self._receive(samples)
            return
        pending = np.concatenate((self._pending, samples))
        while len(pending) >= length:
            self._receive(pending[:length])
            pending = pending[length:]
        self._pending = pending


def tap(receiver: RTCRtpReceiver, stream: OpusReceiver) -> None:
    """Have `stream` take the receiver's packets. Call before the first packet arrives."""
    assert hasattr(receiver, _JITTER_BUFFER), "aiortc has moved its jitter buffer"
    setattr(receiver, _JITTER_BUFFER, stream)


def last_timestamp(sender: RTCRtpSender) -> int:
    """The RTP timestamp of the packet sent last: that of its track and a random offset."""
    return int(getattr(sender, _LAST_TIMESTAMP))


def received_packets(receiver: RTCRtpReceiver) -> int:
    """How many packets of any kind came over the receiver's transport: RTCP and data too."""
    return int(getattr(receiver.transport, _RECEIVED))
