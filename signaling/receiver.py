"""One incoming stream of Opus: packets in as they arrive, frames out in order.

Frames are the caller's time: who waits for the end of a turn counts them. So each second of the
caller's gives a second of frames, but never more than that, and:

- What is lost is concealed: by the next packet if that carries it too (FEC), else by libopus, which
  lets the last sound die away within 0.1 s and makes noise for ever after: that fades out here.
- When the sender announced silence (DTX), comfort noise is made as time goes by, a packet behind in
  case the next one is only late; when that comes, only what is missing is added. This ends after
  `MAX_NOISE`: libopus sends a sign of life every 0.4 s, and a dead network must not sound alive.
- When packets stop without a word, nothing is given, for nobody knows what is said meanwhile. When
  time stamps tell later that it was a pause, it is made up for.
- Longer pauses are `signaling.presence`'s, which knows whether the caller is there: what it has
  told must not be told again.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from media.jitter_buffer import CLOCK_RATE, Gap, JitterBuffer, Lost, Packet, Released
from signaling.limits import Budget
from signaling.opus import OpusDecoder, OpusError, has_fec, packet_samples
from signaling.presence import MUTE_SECONDS
from signaling.transport import MediaReport

MAX_NOISE = 1.0  # s of comfort noise without a packet: two signs of life may be lost
MAX_AHEAD = 2880  # ticks, that noise may have been too early: jitter; more is a wrong time stamp
FADE_START, FADE_END = 0.1, 0.2  # s into a loss

BURST = 10.0  # s of sound that may come faster than it can be spoken: what an outage held back
MAX_SPEED = 1.01  # of a sender's clock, in the long run

_FRAME_TICKS = round(FRAME_SECONDS * CLOCK_RATE)


class OpusReceiver:
    """One incoming stream: packets in, 20 ms frames at `rate` Hz out, in order, by callback.

    `receive` is called on the event loop, in the task that reads the network: it must not raise
    and must not take long.
    """

    def __init__(self, rate: int, receive: Callable[[Samples], None]) -> None:
        self._give = receive
        self._rate = rate
        self._length = frame_length(rate)
        self._decoder = OpusDecoder(rate)
        self._buffer = JitterBuffer()
        self._pending = silence(0)
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._silent_since: float | None = None  # when the packet that said so came
        self._ahead = 0  # ticks of comfort noise given, that no time stamp has confirmed yet
        self._run = 0  # samples made up since the last that were not
        self._closed = False
        self._heard = self._concealed = self._recovered = 0  # samples
        self._received = 0  # packets
        self._budget = Budget(MAX_SPEED, BURST, self._loop.time())

    @property
    def lost(self) -> int:
        """Packets that were concealed or skipped."""
        return self._buffer.lost

    def add(self, packet: Any) -> tuple[bool, None]:
        """aiortc's jitter buffer interface; answers that there is nothing for its decoder."""
        self.receive(packet.sequence_number, packet.timestamp, packet.payload, packet.ssrc)
        return False, None

    def receive(self, sequence: int, timestamp: int, payload: bytes, source: int = 0) -> None:
        """Take a packet: its 16-bit sequence number, its 32-bit RTP timestamp, its Opus, its SSRC.

        Whatever is no Opus is as good as lost.
        """
        self._received += 1
        now = self._loop.time()
        try:
            ticks = packet_samples(payload, CLOCK_RATE) if payload else 0
        except OpusError:
            return
        self._play(self._buffer.add(Packet(sequence, timestamp, ticks, payload, now, source)))

    def report(self) -> MediaReport:
        """What became of the packets so far."""
        return MediaReport(
            received=self._received,
            lost=self._buffer.lost,
            late=self._buffer.late,
            heard=self._heard / self._rate,
            concealed=self._concealed / self._rate,
            recovered=self._recovered / self._rate,
            delay=self._buffer.delay,
            jitter=self._buffer.jitter,
        )

    def close(self) -> None:
        """Hear nothing from now on. Harmless when already done, and while a frame is given."""
        self._closed = True
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _play(self, items: Iterable[Released]) -> None:
        for item in items:
            match item:
                case Packet():
                    self._emit(self._decode(item))
                    self._silent_since = item.arrival if item.announces_silence else None
                    self._ahead = min(self._ahead, MAX_AHEAD)
                case Lost(ticks, following):
                    self._emit(self._conceal(self._samples(ticks), following))
                case Gap(ticks):
                    for samples in self._fill(ticks):
                        self._emit(samples)
                    self._begin_a_frame()
        self._stop_timer()
        due = self._due()
        if due is not None and not self._closed:
            self._timer = self._loop.call_at(due, self._wake)

    def _due(self) -> float | None:
        """When something is to be done even if no packet comes."""
        if self._buffer.timeout is not None:
            return self._buffer.timeout
        if self._silent_since is None or self._ahead >= MAX_NOISE * CLOCK_RATE:
            return None
        return self._silent_since + (self._ahead + 2 * _FRAME_TICKS) / CLOCK_RATE

    def _wake(self) -> None:
        if self._buffer.timeout is None:
            self._ahead += _FRAME_TICKS
            self._emit(self._noise(self._length))
        self._play(self._buffer.release(self._loop.time()))

    def _samples(self, ticks: int) -> int:
        return ticks * self._rate // CLOCK_RATE

    def _decode(self, packet: Packet) -> Samples:
        try:
            samples = self._decoder.decode(packet.payload)
        except OpusError:
            # Anyone can put bytes that are not Opus into a packet; the call goes on without them.
            return self._conceal(self._samples(packet.ticks), None)
        self._run = 0
        return samples

    def _conceal(self, length: int, following: bytes | None) -> Samples:
        self._concealed += length
        if following is not None and has_fec(following):
            self._recovered += length
            self._run = 0
            return self._noise(length, following)
        start, self._run = self._run, self._run + length
        samples = self._noise(length)
        if self._run > FADE_START * self._rate:
            at = np.arange(start, self._run) / self._rate
            gain = np.clip((FADE_END - at) / (FADE_END - FADE_START), 0, 1)
            samples = (samples * gain).astype(np.int16)
        return samples

    def _noise(self, length: int, following: bytes | None = None) -> Samples:
        """What the decoder makes up; it then also knows that time has passed."""
        try:
            return self._decoder.conceal(length, following)
        except OpusError:
            return silence(length)

    def _fill(self, ticks: int) -> Iterator[Samples]:
        """What is still missing of a pause."""
        announced = self._silent_since is not None
        limit = round((MAX_NOISE if announced else MUTE_SECONDS) * CLOCK_RATE)
        missing = min(ticks, limit) - self._ahead
        self._ahead = max(0, self._ahead - ticks)
        while missing > 0:
            length = self._samples(min(missing, _FRAME_TICKS))
            missing -= _FRAME_TICKS
            # One who was silent without a word did not run the encoder either.
            yield self._noise(length) if announced else silence(length)

    def _begin_a_frame(self) -> None:
        """Make the pause half a frame longer or shorter at most, so that a frame begins with what
        follows. Else each from now on would wait for a part of the next packet."""
        rest = len(self._pending)
        if 2 * rest >= self._length:
            self._emit(silence(self._length - rest))
        self._pending = silence(0)

    def _emit(self, samples: Samples) -> None:
        if self._closed:
            return
        if not self._budget.take(len(samples) / self._rate, self._loop.time()):
            return  # from one who sends faster than time goes by, and goes on so
        self._heard += len(samples)
        length = self._length
        if len(self._pending) == 0 and len(samples) == length:
            self._give(samples)
            return
        pending = np.concatenate((self._pending, samples))
        while len(pending) >= length:
            self._give(pending[:length])
            pending = pending[length:]
        self._pending = pending
