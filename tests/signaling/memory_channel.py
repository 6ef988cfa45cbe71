"""A channel that is a test's: it puts in what the client sends and sees what was sent to it."""

import asyncio
import json
from typing import Any

from signaling.channel import ChannelClosed
from signaling.packets import Kind, Packet, decode_packet


class MemoryChannel:
    """See `signaling.channel.Channel`. While `open` is not set, sending waits."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[tuple[float, str | bytes]] = []  # with the time of each
        self.closed: list[tuple[int, str]] = []
        self._inbox: asyncio.Queue[str | bytes | ChannelClosed] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def put(self, message: dict[str, Any] | str | bytes | ChannelClosed) -> None:
        self._inbox.put_nowait(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self) -> str | bytes:
        message = await self._inbox.get()
        if isinstance(message, ChannelClosed):
            raise message
        return message

    async def send(self, message: str | bytes) -> None:
        await self.open.wait()
        if self.closed:
            raise ChannelClosed(reason="closed")
        self.sent.append((self._loop.time(), message))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed.append((code, reason))

    @property
    def packets(self) -> list[tuple[float, Packet]]:
        return [(at, decode_packet(m)) for at, m in self.sent if isinstance(m, bytes)]

    @property
    def audio(self) -> list[tuple[float, int]]:
        """When which frame was sent."""
        return [(at, p.sequence) for at, p in self.packets if p.kind is not Kind.SILENCE]

    @property
    def silences(self) -> list[int]:
        return [p.sequence for _, p in self.packets if p.kind is Kind.SILENCE]

    @property
    def texts(self) -> list[dict[str, Any]]:
        return [json.loads(m) for _, m in self.sent if isinstance(m, str)]
