"""The other end of a call over TCP or a WebSocket, for programs and devices.

    async def main() -> None:
        caller = StreamCaller(rate=24_000, pull=record, receive=play, receive_event=print)
        await caller.run(await dial_tcp("127.0.0.1", 8001))    # until either end hangs up

`pull` gives 20 ms of the caller's voice each time it is called, silence included; `receive` takes
20 ms of the answer when they are to be played; both are called every 20 ms, on the event loop.
"""

import asyncio
import json
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from signaling.bookmark import Bookmark
from signaling.channel import Channel, ChannelClosed, TcpChannel
from signaling.codec import Codec, PacketDecoder, make_encoder
from signaling.messages import OPUS_RATE
from signaling.packets import Kind, Packet, decode_packet, encode_packet

REPORT_FRAMES = 12  # between two reports of what was played
PING_FRAMES = 50
GOODBYE_SECONDS = 2.0


class CallRefused(Exception):
    """The server said no; the text is its reason."""


async def dial_tcp(host: str, port: int) -> TcpChannel:
    """Connect to a server's TCP port. Raises OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TcpChannel(reader, writer)


class StreamCaller:
    """One session, over one channel after the other: `run` again resumes it.

    `connected` is set while the server carries the call, `closed` when a `run` has ended.
    """

    def __init__(
        self,
        *,
        rate: int,
        pull: Callable[[], Samples],
        receive: Callable[[Samples], None],
        receive_event: Callable[[dict[str, Any]], None],
        codec: Codec = "pcm16",
        bitrate: int = 32_000,
    ) -> None:
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self.bookmark = Bookmark()
        self.lost_packets = 0
        self._rate, self._codec, self._bitrate = rate, codec, bitrate
        self._pull, self._receive, self._receive_event = pull, receive, receive_event
        self._frames: deque[tuple[int, Samples]] = deque()  # with the number of the next one
        self._played: int | None = None
        self._to_send: deque[str] = deque()
        self._channel: Channel | None = None
        self._loop = asyncio.get_running_loop()

    async def run(self, channel: Channel) -> None:
        """Call, or resume the call, over this channel; returns when the call or the channel ends.

        Raises CallRefused.
        """
        self._channel = channel
        self.closed.clear()
        self._frames.clear()  # what was not played comes again
        played = None if self._played is None else {"sequence": self._played}
        hello = {
            "type": "hello",
            "codec": self._codec,
            "rate": OPUS_RATE if self._codec == "opus" else self._rate,
            "resume": self.bookmark.resume(played),
        }
        tasks: list[asyncio.Task[None]] = []
        try:
            await channel.send(json.dumps(hello))
            tasks.append(asyncio.create_task(self._listen(channel)))
            tasks.append(asyncio.create_task(self._speak(channel)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done() and not isinstance(task.exception(), ChannelClosed):
                    task.result()
        except ChannelClosed:
            pass  # before the hello was out
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.connected.clear()
            self.closed.set()
            await channel.close()

    def send(self, message: dict[str, Any]) -> None:
        """Send a client message: see docs/protocol.md."""
        self._to_send.append(json.dumps(message))

    async def close(self) -> None:
        """Hang up."""
        if self._channel and not self.closed.is_set():
            self.send({"type": "hangup"})
            try:
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self.closed.wait()
            except TimeoutError:
                await self._channel.close()

    async def _listen(self, channel: Channel) -> None:
        decoder = PacketDecoder(
            self._codec, OPUS_RATE if self._codec == "opus" else self._rate, self._rate
        )
        while True:
            message = await channel.receive()
            if isinstance(message, bytes):
                packet = decode_packet(message)
                if packet.kind is not Kind.SILENCE:
                    for samples in decoder.decode(packet):
                        self._frames.append((packet.sequence + 1, samples))
            else:
                self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "error" and "seq" not in message:
            raise CallRefused(message["message"])
        if message["type"] == "flush":
            self._frames = deque(f for f in self._frames if f[0] > message["sequence"])
            self._played = max(self._played or 0, message["sequence"])  # none will come any more
        self.bookmark.note(message)
        self.connected.set()
        self._receive_event(message)

    async def _speak(self, channel: Channel) -> None:
        """Every 20 ms: a frame from the microphone, a frame to the loudspeaker."""
        encoder = make_encoder(self._codec, self._rate, self._rate, self._bitrate)
        began = self._loop.time()
        tick = 0
        while True:
            await asyncio.sleep(began + tick * FRAME_SECONDS - self._loop.time())
            payload = encoder.encode(self._pull())
            milliseconds = round(1000 * (self._loop.time() - began))
            await channel.send(encode_packet(Packet(encoder.kind, tick, milliseconds, payload)))
            self._play()
            if tick % REPORT_FRAMES == 0 and self._played is not None:
                self.send({"type": "played", "sequence": self._played})
            if tick % PING_FRAMES == 0:
                self.send({"type": "ping", "t": 1000 * self._loop.time()})
            while self._to_send:
                await channel.send(self._to_send.popleft())
            tick += 1

    def _play(self) -> None:
        if self._frames:
            self._played, samples = self._frames.popleft()
        else:
            samples = silence(frame_length(self._rate))
        self._receive(samples)
