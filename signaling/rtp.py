"""Opus straight from the RTP packet: with `rtp_receiver` and `rtp_sender` all that is known here
of aiortc's inside.

aiortc's own way has a jitter buffer with 80 ms standing delay that grows by 200 ms at the first
lost packet, a decoder thread, and an unbounded queue. `tap` takes the packets at the jitter
buffer's place; SRTP, RTCP and statistics stay aiortc's. Tests fail loudly if the place moves.
"""

from typing import Any, Protocol

import aiortc
from aiortc import RTCPeerConnection, RTCRtpReceiver

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_DECODER_QUEUE = "_RTCRtpReceiver__decoder_queue"
_RECEIVED = "_RTCDtlsTransport__rx_packets"

INSIDE = {
    "transceiver": ("_codecs", "_headerExtensions"),
    "sender": (
        "_enabled",
        "_ssrc",
        "_RTCRtpSender__ntp_timestamp",
        "_RTCRtpSender__octet_count",
        "_RTCRtpSender__packet_count",
        "_RTCRtpSender__rtp_timestamp",
        "_RTCRtpSender__stats",
    ),
    "receiver": (
        "_enabled",
        _DECODER_QUEUE,
        _JITTER_BUFFER,
        "_RTCRtpReceiver__remote_streams",
    ),
    "transport": (
        "_rx_srtp",
        "_state",
        "_tx_srtp",
        "_RTCDtlsTransport__rx_bytes",
        _RECEIVED,
        "_RTCDtlsTransport__tx_bytes",
        "_RTCDtlsTransport__tx_packets",
    ),
    "ice": ("_connection",),
    "connection": ("_nominated", "_protocols", "data_received"),
}
"""The names that the three modules use of what is private to aiortc and aioice."""


class PacketListener(Protocol):
    """Takes the packets of a voice; `OpusReceiver` is one."""

    def add(self, packet: Any) -> tuple[bool, None]:
        """From aiortc, as its jitter buffer."""

    def receive(self, sequence: int, timestamp: int, payload: bytes, source: int = 0) -> None:
        """From `rtp_receiver`."""


def tap(receiver: RTCRtpReceiver, stream: PacketListener) -> None:
    """Have `stream` take the receiver's packets. Call before the first packet arrives."""
    assert hasattr(receiver, _JITTER_BUFFER), "aiortc has moved its jitter buffer"
    setattr(receiver, _JITTER_BUFFER, stream)
    # The thread of aiortc's decoder will have nothing to do: it ends as soon as it begins.
    getattr(receiver, _DECODER_QUEUE).put(None)


def received_packets(receiver: RTCRtpReceiver) -> int:
    """How many packets of any kind came over the receiver's transport: RTCP and data too."""
    return int(getattr(receiver.transport, _RECEIVED))


async def unsupported() -> str | None:
    """Why the installed aiortc cannot be used this way; None if it can."""
    pc = RTCPeerConnection()
    try:
        voice = pc.addTransceiver("audio")
        transport = voice.receiver.transport
        parts: dict[str, object] = {
            "transceiver": voice,
            "sender": voice.sender,
            "receiver": voice.receiver,
            "transport": transport,
            "ice": transport.transport,
            "connection": getattr(transport.transport, "_connection", None),
        }
        for part, names in INSIDE.items():
            for name in names:
                if not hasattr(parts[part], name):
                    return f"aiortc {aiortc.__version__}: its {part} has no {name}"
    finally:
        await pc.close()
    return None
