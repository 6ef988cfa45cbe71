"""The packets that carry audio over a WebSocket or TCP: twelve bytes, then PCM or Opus.

0       kind
1-3     zero
4-7     sequence, big-endian
8-11    timestamp: milliseconds on a clock of the sender's, big-endian
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_MESSAGE = 65_536  # bytes, of a text or a packet

_HEADER = struct.Struct(">B3sII")
_ZERO = bytes(3)


class Kind(IntEnum):
    """What follows the header."""

    PCM = 1  # 16 bit, signed, little-endian, mono, at the rate agreed
    OPUS = 2  # one Opus packet
    SILENCE = 3  # nothing: from this sequence on there is nothing to play until more audio comes


class PacketError(ValueError):
    """The bytes are no packet; the text says why."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A piece of audio on its way; `sequence` and `timestamp` are counted modulo 2**32."""

    kind: Kind
    sequence: int
    timestamp: int
    payload: bytes = b""


def encode_packet(packet: Packet) -> bytes:
    header = _HEADER.pack(
        packet.kind, _ZERO, packet.sequence & 0xFFFFFFFF, packet.timestamp & 0xFFFFFFFF
    )
    return header + packet.payload


def decode_packet(data: bytes) -> Packet:
    """The packet in these bytes. Raises PacketError."""
    if len(data) > MAX_MESSAGE:
        raise PacketError(f"a packet has at most {MAX_MESSAGE} bytes, this has {len(data)}")
    if len(data) < _HEADER.size:
        raise PacketError(f"a packet has at least {_HEADER.size} bytes, this has {len(data)}")
    kind, zero, sequence, timestamp = _HEADER.unpack_from(data)
    if kind not in set(Kind) or zero != _ZERO:
        raise PacketError(f"a packet begins with its kind, 1 to 3, and three zeros: {data[:4]!r}")
    return Packet(Kind(kind), sequence, timestamp, data[_HEADER.size :])
