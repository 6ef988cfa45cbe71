"""Opus straight from the RTP packet: the one place that reaches into aiortc's RTP.

aiortc's own way has a jitter buffer with 80 ms standing delay that grows by 200 ms at the first
lost packet, a decoder thread, and an unbounded queue. `tap` takes the packets at the jitter
buffer's place; SRTP, RTCP and statistics stay aiortc's. Tests fail loudly if the place moves.
"""

from aiortc import RTCRtpReceiver, RTCRtpSender

from signaling.receiver import OpusReceiver

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_LAST_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
_RECEIVED = "_RTCDtlsTransport__rx_packets"


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
