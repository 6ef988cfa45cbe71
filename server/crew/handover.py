"""A connection that one worker has accepted and another is to have: its descriptor is handed over,
with what was read of it, and nothing of it passes through the first one any more.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

from signaling.limits import Socket

logger = logging.getLogger(__name__)

TIMEOUT = 2.0  # seconds; a neighbour that does not take it in time is not there
READ_SIZE = 1 << 16

_HEAD = struct.Struct("!cHI")  # kind, sender, length of what was read

HTTP, TCP = b"h", b"t"
"""The kinds: a request to be answered; a connection of the TCP port."""

Take = Callable[[int, socket.socket, bytes], Awaitable[None]]
"""Serves a connection: `await take(sender, connection, data)`. It has it from when it returns."""


async def hand_over(path: Path, kind: bytes, sender: int, connection: Socket, data: bytes) -> None:
    """Give this connection to who receives at `path`; then close it here. Raises OSError."""
    # In a thread: to call a Unix socket without waiting fails when many do.
    await asyncio.to_thread(_send, path, _HEAD.pack(kind, sender, len(data)), connection, data)


def _send(path: Path, head: bytes, connection: Socket, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as carrier:
        carrier.settimeout(TIMEOUT)
        carrier.connect(str(path))
        socket.send_fds(carrier, [head], [connection.fileno()])
        carrier.sendall(data)


class Handovers:
    """Receives connections at a path, between `start` and `close`; `takers` by their kind."""

    def __init__(self, takers: dict[bytes, Take]) -> None:
        self._takers = takers
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def start(self, path: Path) -> None:
        """Receive from now on. Raises OSError."""
        path.unlink(missing_ok=True)  # of a worker that died
        self._listener.setblocking(False)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._spawn(self._accept())

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._listener.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            carrier, _ = await loop.sock_accept(self._listener)
            self._spawn(self._receive(carrier))

    async def _receive(self, carrier: socket.socket) -> None:
        try:
            with carrier:
                kind, sender, connection, data = await asyncio.to_thread(_receive, carrier)
            try:
                await self._takers[kind](sender, connection, data)
            except BaseException:
                connection.close()
                raise
        except Exception:
            logger.exception("a connection that was handed over is lost")


def _receive(carrier: socket.socket) -> tuple[bytes, int, socket.socket, bytes]:
    carrier.settimeout(TIMEOUT)
    head, descriptors, _, _ = socket.recv_fds(carrier, _HEAD.size, 1)
    connection = socket.socket(fileno=descriptors[0])
    try:
        kind, sender, length = _HEAD.unpack(head)
        data = b""
        while len(data) < length and (more := carrier.recv(READ_SIZE)):
            data += more
        if len(data) < length:
            raise EOFError("it was sent in part")
    except BaseException:
        connection.close()
        raise
    return kind, sender, connection, data
