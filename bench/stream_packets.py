"""The caller's end of a call over a WebSocket or TCP, for benches: packets, no sound between."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress

from bench.arrivals import FRAME_TICKS
from bench.caller import RATE
from media.frames import FRAME_SECONDS
from signaling.channel import Channel, ChannelClosed
from signaling.packets import Kind, Packet, decode_packet, encode_packet
from signaling.stream_caller import PING_FRAMES, REPORT_FRAMES, CallRefused


class StreamPacketCaller:
    """One call in PCM. `pull` gives the payload of 20 ms, at RATE Hz, each time it is called;
    `receive` takes each packet that sounds the moment it arrives, numbered as RTP would.
    """

    def __init__(
        self, *, pull: Callable[[], bytes], receive: Callable[[int, int, bytes], None]
    ) -> None:
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._pull, self._receive = pull, receive
        self._played: int | None = None
        self._loop = asyncio.get_running_loop()
        self._hung_up = asyncio.Event()

    async def run(self, channel: Channel) -> None:
        """Call over this channel until either end hangs up. Raises CallRefused."""
        hello = {"type": "hello", "codec": "pcm16", "rate": RATE, "resume": None}
        await channel.send(json.dumps(hello))
        tasks = [
            asyncio.create_task(work)
            for work in (self._listen(channel), self._speak(channel), self._wait_to_hang_up())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            with suppress(ChannelClosed):
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(ChannelClosed):
                await channel.send(json.dumps({"type": "hangup"}))
            self.closed.set()
            await channel.close()

    async def close(self) -> None:
        """Hang up."""
        self._hung_up.set()

    async def _wait_to_hang_up(self) -> None:
        await self._hung_up.wait()

    async def _listen(self, channel: Channel) -> None:
        received = 0
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                event = json.loads(message)
                if event["type"] == "error" and "seq" not in event:
                    raise CallRefused(event["message"])
                self.connected.set()
                continue
            packet = decode_packet(message)
            self._played = packet.sequence + 1
            if packet.kind is Kind.PCM:
                timestamp = packet.sequence * FRAME_TICKS & 0xFFFFFFFF
                self._receive(received & 0xFFFF, timestamp, packet.payload)
                received += 1

    async def _speak(self, channel: Channel) -> None:
        began = self._loop.time()
        tick = 0
        while True:
            await asyncio.sleep(began + tick * FRAME_SECONDS - self._loop.time())
            packet = Packet(Kind.PCM, tick, round(1000 * tick * FRAME_SECONDS), self._pull())
            await channel.send(encode_packet(packet))
            if tick % REPORT_FRAMES == 0 and self._played is not None:
                await channel.send(json.dumps({"type": "played", "sequence": self._played}))
            if tick % PING_FRAMES == 0:
                await channel.send(json.dumps({"type": "ping", "t": 1000 * self._loop.time()}))
            tick += 1
