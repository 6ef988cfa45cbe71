"""The one TCP port: browsers' media (ICE-TCP) and programs' calls, told apart by their first bytes.

A program's message begins with its length as four bytes, and its first one is short: two zero
bytes. ICE-TCP begins with a length of two bytes (RFC 4571) that is never zero.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import cast

logger = logging.getLogger(__name__)

HEAD = 4  # bytes that tell what a connection is
PROOF_TIMEOUT = 5.0  # seconds to show that one is no stranger
MAX_STRANGERS = 256  # connections that have not; the oldest makes room for the next
BACKLOG = 128
FREE_PORT_TRIES = 5
BUFFER = 1 << 16  # bytes that the kernel and the reader each hold of one connection

TakeConnection = Callable[
    [bytes, asyncio.StreamReader, asyncio.StreamWriter, Callable[[], None]], Awaitable[None]
]
"""Serves a connection until it ends: `await take(head, reader, writer, proven)`.

`head` are the bytes already read. It calls `proven()` when the other end is known to be welcome,
and is cancelled if it does not within PROOF_TIMEOUT. The connection is closed when it returns.
"""


class TcpPort:
    """Listens between `start` and `close`. A kind that is None is not served: closed at once."""

    def __init__(
        self,
        take_media: TakeConnection | None,
        take_call: TakeConnection | None,
        *,
        proof_timeout: float = PROOF_TIMEOUT,
        max_strangers: int = MAX_STRANGERS,
    ) -> None:
        self._take_media = take_media
        self._take_call = take_call
        self._proof_timeout = proof_timeout
        self._max_strangers = max_strangers
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._strangers: dict[asyncio.Task[None], None] = {}  # in the order of their coming

    @property
    def connections(self) -> tuple[int, int]:
        """How many there are, and how many of them have not proven themselves."""
        return len(self._tasks), len(self._strangers)

    async def start(self, hosts: Sequence[str], port: int) -> int:
        """Listen as `bind` has it; the port."""
        return await self.serve(bind(hosts, port))

    async def serve(self, listeners: Sequence[socket.socket]) -> int:
        """Take the connections of these, which are closed at the end; their port."""
        for listener in listeners:
            self._servers.append(await asyncio.start_server(self.take, sock=listener, limit=BUFFER))
        return int(listeners[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and close every connection. Harmless when already done."""
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection that was just accepted."""
        if len(self._strangers) >= self._max_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        self._strangers[task] = None
        # A task that is cancelled before it began never gets to close its connection.
        task.add_done_callback(lambda task: self._forget(task, writer))

    async def adopt(self, connection: socket.socket, data: bytes) -> None:
        """Serve a connection that was accepted elsewhere, where this was read of it."""
        reader = asyncio.StreamReader(limit=BUFFER)
        reader.feed_data(data)
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader, self.take), connection
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        try:
            async with asyncio.timeout(self._proof_timeout) as limit:

                def prove() -> None:
                    limit.reschedule(None)
                    self._strangers.pop(this, None)

                head = await reader.readexactly(HEAD)
                take = self._take_call if head[:2] == b"\0\0" else self._take_media
                if take:
                    await take(head, reader, writer, prove)
        except (EOFError, OSError):  # which TimeoutError is, too
            pass
        except Exception:
            logger.exception("a TCP connection failed")

    def _forget(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        self._strangers.pop(task, None)
        close(writer)


def bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Listen on this port, one and the same if the system is to choose it (0), of each of these
    addresses. Those that this machine lacks are left out; without any, OSError.
    """
    for _ in range(0 if port else FREE_PORT_TRIES):  # one address's free port may be another's
        try:
            return _bind(hosts, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return _bind(hosts, port)


def _bind(hosts: Sequence[str], port: int) -> list[socket.socket]:
    refusal: OSError | None = None
    listeners: list[socket.socket] = []
    for host in hosts:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found:
                listeners.append(_listen(family, (*address[:1], port, *address[2:])))
                port = int(listeners[0].getsockname()[1])
        except OSError as error:
            refusal = error
            if error.errno == errno.EADDRINUSE:
                break
    if refusal and (not listeners or refusal.errno == errno.EADDRINUSE):
        for listener in listeners:
            listener.close()
        raise refusal
    if not listeners:
        raise OSError("no address to listen on")
    return listeners


def _listen(family: int, address: tuple[str | int, ...]) -> socket.socket:
    # Named as TCP, or asyncio leaves Nagle's algorithm on for its connections.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # connections inherit it
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Read no more of a connection that goes on elsewhere; what was read and not yet taken."""
    transport = cast(asyncio.ReadTransport, writer.transport)  # uvloop's does not say that it is
    transport.pause_reading()
    reader.feed_eof()
    rest = await reader.read()  # does not wait, but may let the transport read on
    transport.pause_reading()
    return rest


def close(writer: asyncio.StreamWriter) -> None:
    """Close without waiting for an end that may never take what is still to be sent."""
    with suppress(OSError):
        if writer.transport.get_write_buffer_size():
            writer.transport.abort()
        else:
            writer.close()
