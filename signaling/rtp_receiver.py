"""Voice in, from the socket to `OpusReceiver` in one call.

aiortc's own way tries each datagram as STUN, queues it, wakes a task, and makes objects of a packet
of which three numbers and the payload are wanted. Here the packets of the voice leave that way at
the ICE connection: the same SRTP session authenticates them, and the same statistics are fed, from
which aiortc makes its RTCP reports. Everything else goes aiortc's way as before: STUN, DTLS, RTCP,
and a sender's packets until aiortc has taken the first of them for the voice's.
"""

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pylibsrtp
from aiortc import RTCRtpTransceiver

from signaling.rtp import PacketListener

logger = logging.getLogger(__name__)

MAX_SRTP = 1500  # bytes, of pylibsrtp's buffer: longer ones, and empty ones, end aiortc's reading

_FIXED_HEADER = struct.Struct("!BBHLL")


@dataclass(slots=True)
class _Seen:
    """What aiortc's statistics want to know of a packet."""

    sequence_number: int = 0
    timestamp: int = 0


class RtpReceiver:
    """Gives `stream` the voice of this transceiver from now on, until the connection closes.

    Make it when the local description is set, which is when the sockets are there; `rtp.tap` is
    still wanted for the first packet.
    """

    def __init__(self, transceiver: RTCRtpTransceiver, stream: PacketListener) -> None:
        self._receiver = cast(Any, transceiver.receiver)
        self._dtls: Any = transceiver.receiver.transport
        self._payload_type = transceiver._codecs[0].payloadType
        # Of those senders alone whose packets aiortc has routed to this receiver.
        self._statistics: Any = self._receiver._RTCRtpReceiver__remote_streams
        self._stream = stream
        self._seen = _Seen()
        connection: Any = self._dtls.transport._connection
        self._queue: Callable[[bytes, int], None] = connection.data_received
        connection.data_received = self._receive
        for protocol in connection._protocols:
            protocol.datagram_received = self._without_stun(protocol.datagram_received)

    def _without_stun(self, receive: Callable[[bytes, Any], None]) -> Callable[[bytes, Any], None]:
        """Only bytes that may be STUN (RFC 7983) are to be tried as STUN."""

        def receive_datagram(data: bytes, address: Any) -> None:
            if data[:1] >= b"\x80":
                self._receive(data, 1)
            else:
                receive(data, address)

        return receive_datagram

    def _receive(self, data: bytes, component: int) -> None:
        if data[:1] < b"\x80":
            if data:
                self._queue(data, component)
        elif len(data) <= MAX_SRTP:
            try:
                if not self._take(data):
                    self._queue(data, component)
            except Exception:
                # A bug of ours; whoever reads the socket has no part in it.
                logger.exception("a packet of %d bytes", len(data))

    def _take(self, data: bytes) -> bool:
        """Whether this is a packet of the voice. One that is forged is dropped."""
        if len(data) < _FIXED_HEADER.size or data[1] & 0x7F != self._payload_type:
            return False
        _, _, sequence, timestamp, ssrc = _FIXED_HEADER.unpack_from(data)
        statistics = self._statistics.get(ssrc)
        if statistics is None or not self._receiver._enabled:
            return False
        dtls = self._dtls
        dtls._RTCDtlsTransport__rx_packets += 1
        dtls._RTCDtlsTransport__rx_bytes += len(data)
        try:
            packet = dtls._rx_srtp.unprotect(data)
        except pylibsrtp.Error:
            return True
        body = payload(packet)
        if body is not None:
            seen = self._seen
            seen.sequence_number, seen.timestamp = sequence, timestamp
            statistics.add(seen)
            self._stream.receive(sequence, timestamp, body, ssrc)
        return True


def payload(packet: bytes) -> bytes | None:
    """What an RTP packet carries (RFC 3550, 5.1), None if its header says more than it has."""
    first, start, end = packet[0], 12 + 4 * (packet[0] & 0x0F), len(packet)
    if first & 0x10:  # an extension: a profile and a length in words
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    if first & 0x20:  # padding: the last byte counts them all
        if not 0 < packet[-1] <= end - start:
            return None
        end -= packet[-1]
    return packet[start:end] if start <= end else None
