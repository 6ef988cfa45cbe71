"""A reliable way for messages, in order: a WebSocket or a TCP connection, seen from either end."""

import asyncio
from contextlib import suppress
from typing import Protocol

from signaling.limits import Socket, unsent_bytes
from signaling.packets import MAX_MESSAGE
from signaling.tcp_port import leave

LENGTH_BYTES = 4  # before each message on TCP: its length in bytes, big-endian
CLOSE_SECONDS = 1.0  # for what is unsent when a connection is closed
UNSENT_BYTES = 16_384
"""What a connection may hold unsent: 0.3 s of PCM at 24 kHz. More would be heard late."""

POLL_SECONDS = 0.01


class ChannelClosed(Exception):
    """The other end is gone. `hung_up`: it said so."""

    def __init__(self, hung_up: bool = False, code: int = 0, reason: str = "") -> None:
        super().__init__(reason or "the connection was closed")
        self.hung_up = hung_up
        self.code = code


class Channel(Protocol):
    """Texts (str) and packets (bytes) both ways."""

    async def receive(self) -> str | bytes:
        """The next message. Raises ChannelClosed; and so it does for a message that is too long."""

    async def send(self, message: str | bytes) -> None:
        """Send it, and wait while the connection takes no more. Raises ChannelClosed."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End it, with a WebSocket close code. Harmless when already done."""


class TcpChannel:
    """Messages on a TCP connection; `head` has the bytes that were already read of it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes = b""
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head
        limit_unsent(writer.transport)

    async def receive(self) -> str | bytes:
        try:
            rest = await self._reader.readexactly(LENGTH_BYTES - len(self._head))
            length = int.from_bytes(self._head + rest, "big")
            self._head = b""
            if not 0 < length <= MAX_MESSAGE:
                raise ChannelClosed(reason=f"a message of {length} bytes: at most {MAX_MESSAGE}")
            message = await self._reader.readexactly(length)
        except (OSError, EOFError) as error:
            raise ChannelClosed(reason=str(error)) from None
        if message[:1] != b"{":
            return message
        try:
            return message.decode()
        except UnicodeDecodeError:
            raise ChannelClosed(reason="a text that is not UTF-8") from None

    async def send(self, message: str | bytes) -> None:
        if self._writer.is_closing():
            raise ChannelClosed(reason="the connection is closed")
        try:
            self._writer.write(on_tcp(message))
            await self._writer.drain()
            await sent(self._writer.get_extra_info("socket"))
        except OSError as error:
            raise ChannelClosed(reason=str(error)) from None

    async def leave(self) -> tuple[Socket, bytes]:
        """The connection, which goes on elsewhere, and what was read of it and not yet received."""
        return self._writer.get_extra_info("socket"), await leave(self._reader, self._writer)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._writer.close()
        # A task: one who gave up waiting himself would cancel what the next one waits for.
        closing = asyncio.create_task(self._writer.wait_closed())
        try:
            await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        finally:
            self._writer.transport.abort()
        with suppress(OSError):
            await closing


def on_tcp(message: str | bytes) -> bytes:
    """A message as it is sent on TCP."""
    data = message.encode() if isinstance(message, str) else message
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def limit_unsent(transport: asyncio.WriteTransport) -> None:
    """Have `drain` wait as soon as the kernel takes no more."""
    transport.set_write_buffer_limits(high=UNSENT_BYTES)


async def sent(connection: Socket | None) -> None:
    """Wait until the kernel holds little that it has not sent: there it cannot be thrown away."""
    while unsent_bytes(connection) > UNSENT_BYTES:
        await asyncio.sleep(POLL_SECONDS)
