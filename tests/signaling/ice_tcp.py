"""The other end of ICE-TCP for tests: raw frames, and aioice calling over an active TCP connection.

With a server's ports, and the ends of a connection that need no network, for virtual time.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from aioice import Candidate, Connection, stun
from aioice.ice import StunProtocol
from aiortc import RTCPeerConnection

from signaling.ice import connections
from signaling.ice_mux import IceMux
from signaling.tcp_port import TcpPort

LOOPBACK = ("127.0.0.1",)
PEER = "peer"  # the caller's user name fragment in raw checks
PASSWORD = "p" * 22


def frame(data: bytes) -> bytes:
    """As RFC 4571 has it."""
    return len(data).to_bytes(2, "big") + data


def check(connection: Connection, password: str | None = None, **attributes: object) -> bytes:
    """A check of this connection; `password` in place of the right one, more attributes, or fewer:
    those that are None."""
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{connection.local_username}:{PEER}"
    request.attributes["PRIORITY"] = 1_845_501_695
    request.attributes["ICE-CONTROLLING"] = 1
    for name, value in attributes.items():
        request.attributes[name] = value
        if value is None:
            del request.attributes[name]
    request.add_message_integrity((password or connection.local_password).encode())
    return bytes(request)


def message(kind: int, attributes: bytes) -> bytes:
    """A STUN message of whatever these bytes are."""
    header = kind.to_bytes(2, "big") + len(attributes).to_bytes(2, "big")
    return header + stun.COOKIE.to_bytes(4, "big") + bytes(12) + attributes


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other end closes."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


class Ports:
    """A server's: one for TCP, one for UDP if asked."""

    def __init__(self, mux: IceMux, tcp: TcpPort) -> None:
        self.mux = mux
        self.tcp = tcp

    @property
    def tcp_address(self) -> tuple[str, int]:
        return self.mux.tcp[0]

    @property
    def udp_address(self) -> tuple[str, int]:
        return self.mux.udp[0]


@asynccontextmanager
async def open_ports(*, udp: bool = False) -> AsyncIterator[Ports]:
    mux = IceMux()
    tcp = TcpPort(mux.accept, None)
    try:
        mux.tcp = (("127.0.0.1", await tcp.start(["127.0.0.1"], 0)),)
        if udp:
            mux.udp = (("127.0.0.1", await mux.listen_udp(LOOPBACK, 0)),)
        yield Ports(mux, tcp)
    finally:
        await tcp.close()
        mux.close()


@asynccontextmanager
async def attached(mux: IceMux, *, connecting: bool = False) -> AsyncIterator[Connection]:
    """What aioice has of a call; the caller's name is known, and checks are answered."""
    pc = RTCPeerConnection()
    connect = None
    try:
        pc.addTransceiver("audio")
        connection = connections(pc)[0]
        connection.remote_username, connection.remote_password = PEER, PASSWORD
        mux.attach(pc)
        if connecting:
            await connection.gather_candidates()
            connect = asyncio.create_task(connection.connect())
            await asyncio.sleep(0)
        yield connection
    finally:
        await connections(pc)[0].close()
        await pc.close()
        if connect:
            await asyncio.gather(connect, return_exceptions=True)


@contextmanager
def udp_socket(ports: Ports) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setblocking(False)
        one.connect(ports.udp_address)
        yield one


class ActiveTcp:
    """aioice's way over TCP: connects when there is something to send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._protocol = StunProtocol(connection)
        self._protocol.local_candidate = Candidate(
            "active", 1, "tcp", 1, "127.0.0.1", 9, "host", tcptype="active"
        )
        self._protocol.connection_made(cast(asyncio.BaseTransport, self))
        connection._protocols.append(self._protocol)

        async def gather(component: int, addresses: list[str], **_: float) -> list[Candidate]:
            return [self._protocol.local_candidate]

        setattr(connection, "get_component_candidates", gather)  # noqa: B010

    def sendto(self, data: bytes, address: tuple[str, int]) -> None:
        if self._writer and not self._writer.is_closing():
            self._writer.write(frame(data))
        elif self._task is None:
            self._task = asyncio.create_task(self._call(data, address))

    async def redial(self) -> None:
        """Lose the connection, and call again with a check that does not nominate."""
        assert self._writer
        assert self._task
        self._writer.transport.abort()
        await self._task
        pair = self._connection._nominated[1]
        request = self._connection.build_request(pair, nominate=False)
        request.add_message_integrity(str(self._connection.remote_password).encode())
        self._task = asyncio.create_task(self._call(bytes(request), pair.remote_addr))

    def close(self) -> None:
        if self._task:
            self._task.cancel()
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    async def _call(self, first: bytes, address: tuple[str, int]) -> None:
        reader, writer = await asyncio.open_connection(*address)
        self._writer = writer
        try:
            writer.write(frame(first))
            while True:
                self._protocol.datagram_received(await read_frame(reader), address)
        except (EOFError, OSError):
            pass
        finally:
            writer.close()


class FakeTransport(asyncio.Transport):
    """Keeps what is written; as much of it is unsent as the test says."""

    def __init__(self, reader: asyncio.StreamReader, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer})
        self.sent = bytearray()
        self.unsent = 0
        self.closed = False
        self._reader = reader

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._reader.feed_eof()

    abort = close


class Line:
    """A TCP connection without a network: `feed` is what the other end sends."""

    def __init__(self, port: int = 40_000) -> None:
        loop = asyncio.get_running_loop()
        self.reader = asyncio.StreamReader()
        self.transport = FakeTransport(self.reader, ("192.0.2.1", port))
        protocol = asyncio.StreamReaderProtocol(self.reader)
        self.writer = asyncio.StreamWriter(self.transport, protocol, self.reader, loop)
        self.feed: Callable[[bytes], None] = self.reader.feed_data
