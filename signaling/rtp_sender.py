"""Voice out as RTP, at once and without aiortc's sender in between.

aiortc's own way is a task that awaits a track, wraps what it gives in four objects and awaits its
way down to the socket, for each packet. Here a packet is a header, SRTP and
a `sendto`. RTCP, its clock and its counts stay aiortc's, fed as its own sender feeds them.
"""

import asyncio
import random
import struct
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from aiortc import MediaStreamTrack, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import State
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap

NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970

_FIXED_HEADER = struct.Struct("!BBHLL")
_EXTENSION_HEADER = struct.Struct("!HH")
_VERSION, _EXTENSION, _MARKER = 2 << 6, 1 << 4, 1 << 7


class SilentTrack(MediaStreamTrack):
    """The track of a sender whose packets come from elsewhere: it never has one."""

    kind = "audio"

    async def recv(self) -> NoReturn:
        """Waits until it is cancelled: aiortc cancels its sender's task when the call ends."""
        if self.readyState == "live":
            await asyncio.get_running_loop().create_future()
        raise MediaStreamError


@dataclass(frozen=True)
class RemoteReport:
    """What the other end last said (RTCP) of the packets sent to it."""

    fraction_lost: float  # 0 to 1, of the packets between its last two reports
    round_trip: float | None  # seconds, smoothed; none yet


class RtpSender:
    """Sends the packets of a transceiver whose track is a `SilentTrack`.

    Make it when the peer connection is connected. `last_timestamp` is what is on the wire: the
    media's timestamp and a random offset. Before the first packet it is the one before the first.
    """

    def __init__(self, transceiver: RTCRtpTransceiver) -> None:
        self._sender: Any = transceiver.sender
        self._dtls: Any = transceiver.sender.transport
        self._ice: Any = self._dtls.transport._connection
        self._payload_type: Any = transceiver._codecs[0].payloadType
        self._ssrc: int = self._sender._ssrc
        self._extension = _extension(transceiver)
        self._first_byte = _VERSION | (_EXTENSION if self._extension else 0)
        # In the lower half, where the count cannot wrap before the other end knows it (RFC 3711).
        self._sequence = random.getrandbits(15)
        self._origin = random.getrandbits(32)
        self.last_timestamp = (self._origin - 1) & 0xFFFFFFFF

    def send(self, payload: bytes, timestamp: int, marker: bool = False) -> None:
        """Send one packet now, if the connection is still there.

        `timestamp` counts at 48 kHz from 0 and may be of any size. `marker` says that the packet
        is the first after a silence in which none was sent.
        """
        sender, dtls = self._sender, self._dtls
        pair = self._ice._nominated.get(1)
        if dtls._state is not State.CONNECTED or pair is None or not sender._enabled:
            return
        self.last_timestamp = (self._origin + timestamp) & 0xFFFFFFFF
        header = _FIXED_HEADER.pack(
            self._first_byte,
            _MARKER | self._payload_type if marker else self._payload_type,
            self._sequence,
            self.last_timestamp,
            self._ssrc,
        )
        packet = dtls._tx_srtp.protect(header + self._extension + payload)
        try:
            # What `send_data` awaits of aioice is this alone, whatever it is that carries the pair.
            pair.protocol.transport.sendto(packet, pair.remote_addr)
        except RuntimeError:  # what uvloop says of a socket that was closed
            return
        self._sequence = (self._sequence + 1) & 0xFFFF
        sender._RTCRtpSender__ntp_timestamp = int((time.time() + NTP_EPOCH) * 2**32)
        sender._RTCRtpSender__rtp_timestamp = self.last_timestamp
        sender._RTCRtpSender__packet_count += 1
        sender._RTCRtpSender__octet_count += len(payload)
        dtls._RTCDtlsTransport__tx_packets += 1
        dtls._RTCDtlsTransport__tx_bytes += len(packet)

    def remote_report(self) -> RemoteReport | None:
        """The other end's latest; it makes one about every second. None before the first."""
        stats = self._sender._RTCRtpSender__stats
        report = stats.get(f"remote-inbound-rtp_{id(self._sender)}")
        if report is None:
            return None
        return RemoteReport(report.fractionLost / 256, report.roundTripTime)


def _extension(transceiver: RTCRtpTransceiver) -> bytes:
    """The header extension of every packet: the media's mid, where that was negotiated."""
    known = HeaderExtensionsMap()
    known.configure(RTCRtpParameters(headerExtensions=transceiver._headerExtensions))
    profile, value = known.set(HeaderExtensions(mid=transceiver.mid))
    return _EXTENSION_HEADER.pack(profile, len(value) // 4) + value if value else b""
