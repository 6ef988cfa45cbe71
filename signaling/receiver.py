"""One incoming stream of Opus: packets in as they arrive, frames out in order."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from media.frames import Samples, frame_length, silence
from media.jitter_buffer import Arrived, Gap, JitterBuffer, Lost
from signaling.opus import OpusDecoder, OpusError, packet_samples
from signaling.transport import MediaReport


class OpusReceiver:
    """One incoming stream: packets in, 20 ms frames at `rate` Hz out, in order, by callback.

    `receive` is called on the event loop, in the task that reads the network: it must not raise
    and must not take long.
    """

    def __init__(self, rate: int, receive: Callable[[Samples], None]) -> None:
        self._give = receive
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

    def add(self, packet: Any) -> tuple[bool, None]:
        """aiortc's jitter buffer interface; answers that there is nothing for its decoder."""
        self.receive(packet.sequence_number, packet.timestamp, packet.payload)
        return False, None

    def receive(self, sequence: int, timestamp: int, payload: bytes) -> None:
        """Take a packet: its 16-bit sequence number, its 32-bit RTP timestamp, its Opus."""
        self.packets += 1
        self.last_packet = self._loop.time()
        if payload:
            self._take(sequence, timestamp, payload)

    def report(self) -> MediaReport:
        """What became of the packets so far."""
        return MediaReport(received=self.packets, lost=self.lost)

    def close(self) -> None:
        """Give up what is waited for."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _take(self, sequence: int, timestamp: int, payload: bytes) -> None:
        try:
            packet_samples(payload, self._rate)
        except OpusError:
            return  # as good as lost, and concealed like it
        self._buffer.add(sequence, timestamp, payload)
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
            self._give(samples)
            return
        pending = np.concatenate((self._pending, samples))
        while len(pending) >= length:
            self._give(pending[:length])
            pending = pending[length:]
        self._pending = pending
