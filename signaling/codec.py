"""Between 20 ms frames and the packets of a WebSocket or TCP call: PCM or Opus, either end."""

from typing import Literal, Protocol

import numpy as np

from media.frames import Samples, frame_length, silence
from media.resample import FrameResampler
from signaling.messages import OPUS_RATE
from signaling.opus import OpusDecoder, OpusEncoder, packet_samples
from signaling.packets import Kind, Packet, PacketError

MAX_PACKET_SECONDS = 0.06

Codec = Literal["pcm16", "opus"]


class Encoder(Protocol):
    """One stream of frames into payloads."""

    kind: Kind

    def encode(self, samples: Samples) -> bytes: ...


class _OpusFrames:
    kind = Kind.OPUS

    def __init__(self, rate: int, bitrate: int) -> None:
        self._encoder = OpusEncoder(rate, bitrate)

    def encode(self, samples: Samples) -> bytes:
        return self._encoder.encode(samples)


class _PcmFrames:
    kind = Kind.PCM

    def __init__(self, source: int, rate: int) -> None:
        self._resampler = FrameResampler(source, rate)

    def encode(self, samples: Samples) -> bytes:
        return self._resampler.process(samples).astype("<i2").tobytes()


def make_encoder(codec: Codec, source: int, rate: int, bitrate: int) -> Encoder:
    """Frames at `source` Hz into Opus of so many bit/s, or into PCM at `rate` Hz."""
    return _OpusFrames(source, bitrate) if codec == "opus" else _PcmFrames(source, rate)


class PacketDecoder:
    """Packets, of PCM at `source` Hz or of Opus, into 20 ms frames at `rate` Hz."""

    def __init__(self, codec: Codec, source: int, rate: int) -> None:
        self._opus = OpusDecoder(rate) if codec == "opus" else None
        self._source = source
        self._resampler = FrameResampler(source, rate)
        self._length = frame_length(rate)
        self._pending = silence(0)

    def decode(self, packet: Packet) -> list[Samples]:
        """The frames that this packet completes. Raises PacketError or OpusError."""
        self._pending = np.concatenate((self._pending, self._samples(packet)))
        whole = len(self._pending) // self._length * self._length
        frames = list(self._pending[:whole].reshape(-1, self._length))
        self._pending = self._pending[whole:]
        return frames

    def _samples(self, packet: Packet) -> Samples:
        if self._opus and packet.kind is Kind.OPUS:
            if packet_samples(packet.payload, OPUS_RATE) > OPUS_RATE * MAX_PACKET_SECONDS:
                raise PacketError("an Opus packet has at most 60 ms")
            return self._opus.decode(packet.payload)
        if self._opus or packet.kind is not Kind.PCM:
            raise PacketError(f"packets of kind {packet.kind:d} were not agreed on")
        size = len(packet.payload)
        limit = 2 * round(self._source * MAX_PACKET_SECONDS)
        if size % 2 or not 0 < size <= limit:
            raise PacketError(f"PCM has an even number of bytes, at most {limit}, and not {size}")
        return self._resampler.process(np.frombuffer(packet.payload, "<i2").astype(np.int16))
