"""A stream that carries a scripted call, and what its client sees of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from media.events import ReplyEnded
from media.frames import Samples
from signaling.messages import Hello
from signaling.packets import Kind
from signaling.stream import StreamSettings, StreamTransport
from tests.signaling.call import ScriptedCall
from tests.signaling.memory_channel import MemoryChannel
from tests.virtual_time import settle

RATE = 24_000
LEAD = 4  # frames: 80 ms
TRAIL = 2
PCM = Hello("pcm16", RATE, None)
INTERRUPTED = ReplyEnded(1, "one two", "one", 0.5, interrupted=True)


def sound(count: int, level: int = 1000) -> list[Samples]:
    """Frames of which each has its own level."""
    return [np.full(480, level + n, dtype=np.int16) for n in range(count)]


class Line:
    """A transport that runs, its call and the client's end of its channel."""

    def __init__(self, call: ScriptedCall, settings: StreamSettings, hello: Hello) -> None:
        self.call = call
        self.channel = MemoryChannel()
        self.transport = StreamTransport(call, self.channel, hello, settings)
        self.running = asyncio.create_task(self.transport.run())

    async def client(self, seconds: float, *, pings: bool = True, lag: int | None = None) -> None:
        """So many seconds of a client who pings, and who says that it plays what it was sent but
        for `lag` frames.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end - 1e-6:
            if pings:
                self.channel.put({"type": "ping", "t": 0})
            if lag is not None and self.channel.audio:
                played = max(0, self.channel.audio[-1][1] + 1 - lag)
                self.channel.put({"type": "played", "sequence": played})
            await asyncio.sleep(min(0.25, end - loop.time()))


@asynccontextmanager
async def line(
    hello: Hello = PCM, sequence: int = 0, call: ScriptedCall | None = None, **settings: Any
) -> AsyncIterator[Line]:
    running = Line(call or ScriptedCall(sequence=sequence), StreamSettings(**settings), hello)
    try:
        await settle()
        yield running
    finally:
        running.channel.open.set()
        await running.transport.close()
        await running.running


def levels(channel: MemoryChannel) -> list[int]:
    """Which frames arrived, by their level."""
    return [
        int(np.frombuffer(packet.payload, "<i2")[240])
        for _, packet in channel.packets
        if packet.kind is Kind.PCM
    ]
