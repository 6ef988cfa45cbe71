"""One call of a load: says a loop of ready packets, and notes what comes back when."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.arrivals import Arrivals
from bench.dial import addresses, offer_line, stream_line
from bench.relay import Relay
from bench.stream_packets import StreamPacketCaller
from media.frames import FRAME_SECONDS
from signaling.packet_caller import PacketCaller


class PacketCall:
    """Notes the `arrivals` of packets; a probe, which overrides `said` and `heard`, notes more."""

    def __init__(self, packets: Sequence[bytes], begin: int = 0) -> None:
        self.clock = asyncio.get_running_loop().time
        self.arrivals = Arrivals()
        self.first_packet: float | None = None  # when it came
        self._packets = packets
        self._next = begin

    def pull(self) -> bytes:
        index = self._next % len(self._packets)
        self._next += 1
        self.said(index, self.clock() - FRAME_SECONDS)
        return self._packets[index]

    def receive(self, sequence: int, timestamp: int, payload: bytes) -> None:
        now = self.clock()
        self.first_packet = self.first_packet or now
        self.arrivals.add(sequence, timestamp, now)
        self.heard(sequence, timestamp, payload)

    def said(self, index: int, at: float) -> None:
        """The packet of this index holds what was said from this time on."""

    def heard(self, sequence: int, timestamp: int, payload: bytes) -> None:
        """A packet arrived."""


@asynccontextmanager
async def carried(
    call: PacketCall, url: str, transport: str, relay: Relay | None = None
) -> AsyncIterator[None]:
    """Have the call up over one of TRANSPORTS; hangs up. Raises CallFailed."""
    if transport == "webrtc":
        peer = PacketCaller(pull=call.pull, receive=call.receive, addresses=addresses(url))
        async with offer_line(url, peer, relay):
            yield
    else:
        stream = StreamPacketCaller(pull=call.pull, receive=call.receive)
        async with stream_line(url, transport, stream):
            yield
