"""The media of all calls on one TCP port (RFC 6544, framed as RFC 4571 has it) and one UDP port.

aioice knows UDP sockets alone, one or more per call. Here a call's share of a port takes the place
of such a socket: an ICE-TCP connection's frames are datagrams from its address. Only the caller
calls: a passive TCP candidate is called, and whoever uses one UDP port for all calls has made it
public. So nothing is ever sent to an address that has not shown a call's password before, and a
stranger gets no answer at all.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

import aioice
from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCPeerConnection

from signaling.ice import Gather, connections, mark
from signaling.ice_paths import (
    MAX_FIRST_FRAME,
    MAX_FRAME,
    Address,
    TcpPaths,
    UdpPaths,
    binding_request,
    read_frames,
)

Stray = Callable[[str, bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Takes a connection whose first check is of no call here: `await stray(username, data, reader,
writer)`, where `data` is what was read of it. It is closed when that returns."""


class IceMux:
    """Give it to every WebRtcTransport; `tcp` and `udp` are the addresses to advertise (IP
    literals and ports), and may be set until the first call is answered. `prefix` begins every
    call's user name, so that who gets a connection that is not his knows whose it is."""

    prefix = ""
    stray: Stray | None = None

    def __init__(self, tcp: Sequence[Address] = (), udp: Sequence[Address] = ()) -> None:
        self.tcp = tuple(tcp)
        self.udp = tuple(udp)
        self._calls: dict[str, list[_Call]] = {}  # aioice's ufrags are short: they may coincide
        self._ports: list[_UdpPort] = []

    @property
    def calls(self) -> int:
        """Calls that are attached and not over."""
        return sum(map(len, self._calls.values()))

    @property
    def has_udp(self) -> bool:
        """Whether calls are to gather no UDP ports of their own."""
        return bool(self._ports)

    async def listen_udp(self, addresses: Sequence[str], port: int) -> int:
        """Receive on this port of each of these addresses, so that an answer leaves from where
        the question came to. Those that this machine lacks are left out; without any, OSError."""
        loop = asyncio.get_running_loop()
        refusal = "there is none"
        for address in addresses:
            try:
                _, bound = await loop.create_datagram_endpoint(
                    lambda: _UdpPort(self._authenticate), sock=_bound(address, port)
                )
            except OSError as error:
                refusal = str(error)
            else:
                self._ports.append(bound)
                port = bound.address[1]
        if not self._ports:
            raise OSError(f"UDP port {port} of {', '.join(addresses)}: {refusal}")
        return port

    def close(self) -> None:
        """Stop receiving UDP. Calls are closed by their peer connections."""
        for port in self._ports:
            port.transport.close()
        self._ports.clear()

    def attach(self, pc: RTCPeerConnection) -> None:
        """Carry this peer connection, until it closes.

        Call when it has the offer and the choice of its own addresses, before setLocalDescription.
        Media that are not bundled are left to find their own way: browsers bundle.
        """
        connection = connections(pc)[0]
        mark(connection, self.prefix)
        call = _Call(connection, self._ports, self._detach)
        self._calls.setdefault(connection.local_username, []).append(call)
        gather: Gather = connection.get_component_candidates
        more = _candidates(self.tcp, self.udp)

        async def gather_more(
            component: int, addresses: list[str], **options: float
        ) -> list[Candidate]:
            return [*await gather(component=component, addresses=addresses, **options), *more]

        setattr(connection, "get_component_candidates", gather_more)  # noqa: B010 - a method

    async def accept(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        proven: Callable[[], None],
    ) -> None:
        """Serve an ICE-TCP connection until it ends; see `tcp_port.TakeConnection`.

        Its first frame must be a check with the password of a call. Returns, for the connection to
        be closed, when it is not, when either end is gone, or when a limit is broken.
        """
        size = int.from_bytes(head[:2], "big")
        if not stun.HEADER_LENGTH <= size <= MAX_FIRST_FRAME:
            return
        with suppress(EOFError, OSError):
            first = head[2:] + await reader.readexactly(size - len(head) + 2)
            call = self._authenticate(first)
            if call is None and self.stray and (request := binding_request(first)):
                await self.stray(_username(request), head[:2] + first, reader, writer)
                return
            leg = call.tcp.adopt(writer) if call else None
            if call is None or leg is None:
                return
            proven()
            try:
                call.tcp.receive(first, leg.address)
                await read_frames(reader, leg, partial(call.tcp.receive, address=leg.address))
            finally:
                call.tcp.drop(leg)

    def _authenticate(self, data: bytes) -> "_Call | None":
        """The call whose password this check was signed with."""
        request = binding_request(data)
        if request is None:
            return None
        for call in self._calls.get(_username(request), ()):
            if request.check_message_integrity(call.password):
                return call
        return None

    def _detach(self, call: "_Call") -> None:
        calls = self._calls.get(call.username, [])
        if call in calls:
            calls.remove(call)
        if not calls:
            self._calls.pop(call.username, None)


def _username(request: stun.Message) -> str:
    """Ours, in a check of the caller's."""
    return str(request.attributes["USERNAME"]).partition(":")[0]


class _Call:
    """A call's share of the ports."""

    def __init__(
        self,
        connection: Connection,
        ports: Sequence["_UdpPort"],
        detach: Callable[["_Call"], None],
    ) -> None:
        self.username = connection.local_username
        self.password = connection.local_password.encode()
        # First, so that aioice closes it first: no later packet finds the call then.
        self.tcp = TcpPaths(connection, lambda: detach(self))
        self.udp = {port: UdpPaths(connection, port) for port in ports}


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((address, port))
    except OSError:
        bound.close()
        raise
    return bound


class _UdpPort(asyncio.DatagramProtocol):
    """One socket for all calls. What does not come from an authenticated address, or with a call's
    password, is dropped without an answer."""

    def __init__(self, authenticate: Callable[[bytes], _Call | None]) -> None:
        self.owners: dict[Address, UdpPaths] = {}
        self.transport: asyncio.DatagramTransport
        self.address: Address = ("", 0)
        self._authenticate = authenticate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.address = transport.get_extra_info("sockname")[:2]
        # Every call's packets wait here while the event loop is busy.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def datagram_received(self, data: bytes, address: tuple[str | int, ...]) -> None:
        source = cast(Address, address[:2])
        owner = self.owners.get(source)
        if data[:2] == b"\0\1":  # a binding request
            call = self._authenticate(data) if len(data) <= MAX_FIRST_FRAME else None
            owner = call.udp.get(self) if call else None
            if owner is None or not owner.learn(source):
                return
        if owner and len(data) <= MAX_FRAME:
            owner.receive(data, source)


def _candidates(tcp: Sequence[Address], udp: Sequence[Address]) -> list[Candidate]:
    """The first address is preferred. Host TCP goes after any UDP but a relay's."""
    found = []
    for kind, addresses in (("udp", udp), ("tcp", tcp)):
        for rank, (host, port) in enumerate(addresses):
            priority = candidate_priority(1, "host", 65_535 - rank)
            if kind == "tcp":  # RFC 6544, 4.2: direction 4 is the passive one's of host candidates
                priority = (90 << 24) | (((4 << 13) | (8191 - rank)) << 8) | 255
            found.append(
                Candidate(
                    foundation=candidate_foundation("host", kind, host),
                    component=1,
                    transport=kind,
                    priority=priority,
                    host=host,
                    port=port,
                    type="host",
                    tcptype="passive" if kind == "tcp" else None,
                )
            )
    return found


async def unsupported() -> str | None:
    """Why the installed aioice cannot be used this way; None if it can.

    Much of what is used here is private to aioice. This makes a call and lets it be called.
    """
    pc = RTCPeerConnection()
    mux = IceMux(tcp=[("127.0.0.1", 9)])
    mux.prefix = "0+"
    try:
        pc.addTransceiver("audio")
        connection = connections(pc)[0]
        connection.remote_username, connection.remote_password = "peer", "p" * 22
        mux.attach(pc)
        gathered = await connection.get_component_candidates(component=1, addresses=[])
        if [candidate.tcptype for candidate in gathered] != ["passive"]:
            return "its candidates are gathered differently"
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        told = connections(pc)[0].local_username
        gatherer = next(iter(pc.getTransceivers())).receiver.transport.transport.iceGatherer
        if not told.startswith("0+") or gatherer.getLocalParameters().usernameFragment != told:
            return "its user names are chosen differently"
        request.attributes["USERNAME"] = f"{told}:peer"
        request.attributes["PRIORITY"] = 1
        request.add_message_integrity(connection.local_password.encode())
        answers: list[bytes] = []
        call = mux._authenticate(bytes(request))
        if call is None:
            return "its requests are signed differently"
        call.tcp.sendto = lambda data, address: answers.append(data)  # type: ignore[method-assign]
        call.tcp.receive(bytes(request), ("127.0.0.1", 9))
        if not answers or stun.parse_message(answers[0]).transaction_id != request.transaction_id:
            return "it does not answer"
        call.tcp.receive(b"\x80", ("127.0.0.1", 9))
        if connection._nominated.get(1) or not connection._early_checks:
            return "its checks are kept differently"
        await pc.close()
        if mux.calls:
            return "it does not tell when a call ends"
    except (AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        return f"aioice {aioice.__version__}: {error!r}"
    finally:
        await pc.close()
    return None
