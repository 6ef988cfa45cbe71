"""How one call's datagrams travel on the shared ports: what aioice has in place of a UDP socket."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_priority
from aioice.ice import StunProtocol

from signaling.limits import Budget, unsent_bytes
from signaling.tcp_port import close

Address = tuple[str, int]

MAX_FIRST_FRAME = 548  # bytes: what a STUN request may have on any path (RFC 8489, 6.1)
MAX_FRAME = 2048
MAX_LEGS = 8  # TCP connections of one call
MAX_ADDRESSES = 32  # UDP addresses of one call on one port
IDLE_TIMEOUT = 60.0  # seconds; browsers check every connection that they keep every 25 s
STALE = 3.0  # seconds; a caller's media come every 20 ms and checks every 2.5 s
MAX_UNSENT = 1 << 18  # bytes; nobody reads at the other end
MAX_UNSENT_AUDIO = 1 << 12  # bytes: 0.8 s at 32 kbit/s. What comes later is lost, not late

BURST = 2000.0  # as many frames may come at once: 20 s of audio after a stall
RATE = 250.0  # frames/s, else
STUN_COST = 10.0  # frames' worth of work


def is_stun(data: bytes) -> bool:
    """STUN, as opposed to DTLS and RTP (RFC 7983)."""
    return data[:1] < b"\4"


def binding_request(data: bytes) -> stun.Message | None:
    """The check in these bytes, if it has all that ICE demands of one; not yet authenticated."""
    try:
        message = stun.parse_message(data)
    except (ValueError, struct.error):  # the latter for attributes of a wrong size
        return None
    wanted = {"USERNAME", "PRIORITY", "MESSAGE-INTEGRITY"}
    is_one = (message.message_method, message.message_class) == (
        stun.Method.BINDING,
        stun.Class.REQUEST,
    )
    return message if is_one and wanted <= message.attributes.keys() else None


class Paths:
    """A duck-typed DatagramTransport of one call, with the aioice protocol that uses it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._protocol = StunProtocol(connection)
        # A kind that no remote candidate is of: aioice checks nothing that has not checked it.
        self._protocol.local_candidate = Candidate(
            foundation="mux",
            component=1,
            transport="mux",
            priority=candidate_priority(1, "host", 0),
            host="0.0.0.0",
            port=9,
            type="host",
        )
        self._protocol.connection_made(cast(asyncio.BaseTransport, self))
        connection._protocols.append(self._protocol)

    def receive(self, data: bytes, address: Address) -> None:
        """A datagram from an authenticated address, be it what it may."""
        if not is_stun(data):
            self._connection.data_received(data, 1)
        elif data[:2] != b"\0\1" or binding_request(data):
            with suppress(struct.error):
                self._protocol.datagram_received(data, address)

    def sendto(self, data: bytes, address: Address) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """aioice closes what carries a connection."""
        self._loop.call_soon(self._protocol.connection_lost, None)


@dataclass(eq=False)
class Leg:
    """One TCP connection of a call."""

    writer: asyncio.StreamWriter
    address: Address  # by which aioice knows it
    heard: float


class TcpPaths(Paths):
    """The TCP connections of one call.

    A browser that lost its connection calls again, and Firefox does not nominate what it then has:
    so the new connection takes the place, and the address, of the one that was lost.
    """

    def __init__(self, connection: Connection, on_close: Callable[[], None]) -> None:
        super().__init__(connection)
        self.dropped = 0  # packets of audio that were not sent late
        self._on_close = on_close
        self._closed = False
        self._legs: dict[Address, Leg] = {}
        self._addresses: list[Address] = []  # all there ever were

    def adopt(self, writer: asyncio.StreamWriter) -> Leg | None:
        """Take a connection whose other end has shown the password; None if there are too many."""
        peer = writer.get_extra_info("peername")
        if peer is None or self._closed:
            return None
        address = self._place(cast(Address, peer[:2]))
        if address is None:
            return None
        if address not in self._addresses:
            self._addresses.append(address)
        leg = self._legs[address] = Leg(writer, address, self._loop.time())
        return leg

    def drop(self, leg: Leg) -> None:
        """This connection is over."""
        if self._legs.get(leg.address) is leg:
            del self._legs[leg.address]
        close(leg.writer)

    def sendto(self, data: bytes, address: Address) -> None:
        leg = self._legs.get(address) or self._latest()
        if leg is None or leg.writer.is_closing():
            return
        unsent = _unsent(leg.writer)
        if unsent > MAX_UNSENT:
            leg.writer.transport.abort()
        elif unsent > MAX_UNSENT_AUDIO and data[:1] >= b"\x80":  # RTP and RTCP
            self.dropped += 1
        else:
            leg.writer.write(len(data).to_bytes(2, "big") + data)

    def close(self) -> None:
        self._closed = True
        self._on_close()
        for leg in list(self._legs.values()):
            self.drop(leg)
        super().close()

    def _place(self, peer: Address) -> Address | None:
        """The address that a new connection goes by: its own, unless the one in use is lost."""
        pair = self._connection._nominated.get(1)
        used = pair.remote_addr if pair and pair.protocol is self._protocol else None
        for leg in [leg for leg in self._legs.values() if leg.address in (peer, used)]:
            if leg.address == peer or self._loop.time() - leg.heard > STALE:
                self.drop(leg)  # it only seems to be there
        if len(self._legs) >= MAX_LEGS:
            return None
        if used and used not in self._legs:
            return used
        if peer in self._addresses or len(self._addresses) < MAX_LEGS:
            return peer
        return next(address for address in self._addresses if address not in self._legs)

    def _latest(self) -> Leg | None:
        """What stands in for a lost connection until there is a new one."""
        return max(self._legs.values(), key=lambda leg: leg.heard, default=None)


def _unsent(writer: asyncio.StreamWriter) -> int:
    waiting = writer.transport.get_write_buffer_size()
    return waiting + unsent_bytes(writer.get_extra_info("socket"))


def _work(data: bytes) -> float:
    """What a frame costs us, in frames of audio."""
    return 1 + len(data) / 500 + (STUN_COST if is_stun(data) else 0)


async def read_frames(
    reader: asyncio.StreamReader, leg: Leg, take: Callable[[bytes], None]
) -> None:
    """Take the frames of a connection (RFC 4571), no faster than its budget allows.

    Returns at one that is too long. Raises EOFError or OSError when the connection is over, and
    TimeoutError when it is idle.
    """
    clock = asyncio.get_running_loop().time
    budget = Budget(RATE, BURST, clock())
    count = 0
    async with asyncio.timeout(IDLE_TIMEOUT) as idle:
        while (size := int.from_bytes(await reader.readexactly(2), "big")) <= MAX_FRAME:
            data = await reader.readexactly(size)
            now = clock()
            if now - leg.heard > 1:
                leg.heard = now
                idle.reschedule(now + IDLE_TIMEOUT)
            count += 1
            if debt := budget.spend(_work(data), now):
                await asyncio.sleep(debt)
            elif count % 16 == 0:
                await asyncio.sleep(0)  # a full buffer is read without waiting: let others run
            if data:
                take(data)


class UdpPort(Protocol):
    """A UDP socket that all calls share, and who is at the addresses that it knows."""

    transport: asyncio.DatagramTransport
    owners: dict[Address, Any]


class UdpPaths(Paths):
    """The addresses of one call on one UDP port."""

    def __init__(self, connection: Connection, port: UdpPort) -> None:
        super().__init__(connection)
        self.heard: dict[Address, float] = {}
        self._port = port
        self._budget = Budget(RATE, BURST, self._loop.time())
        self._closed = False

    def learn(self, address: Address) -> bool:
        """Whether this address, which has shown the password, is the call's."""
        owner = self._port.owners.get(address)
        if owner is self:
            return True
        if self._closed or len(self.heard) >= MAX_ADDRESSES:
            return False
        if owner and self._loop.time() - owner.heard[address] < STALE:
            return False  # or who can forge an address could take another's call from them
        if owner:
            del owner.heard[address]
        self._port.owners[address] = self
        self.heard[address] = self._loop.time()
        return True

    def receive(self, data: bytes, address: Address) -> None:
        now = self._loop.time()
        self.heard[address] = now
        if not self._budget.spend(_work(data), now):
            super().receive(data, address)

    def sendto(self, data: bytes, address: Address) -> None:
        transport = self._port.transport
        if address not in self.heard or transport.is_closing():
            return
        if cast(asyncio.WriteTransport, transport).get_write_buffer_size() < MAX_UNSENT:
            transport.sendto(data, address)

    def close(self) -> None:
        self._closed = True
        for address in self.heard:
            del self._port.owners[address]
        self.heard.clear()
        super().close()
