"""A real server for callers over streams, and such a caller, who knows what he should hear."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import ClientSession, web

from inference.settings import EngineSettings
from media.frames import Samples, frame_length, silence
from media.vad import VadSettings
from server.app import CALLS, ENGINE, PORTS, make_app
from server.calls import Calls
from server.config import Config
from server.session import SessionSettings
from signaling.channel import Channel
from signaling.codec import Codec
from signaling.packets import Kind, decode_packet
from signaling.stream import StreamSettings
from signaling.stream_caller import StreamCaller, dial_tcp
from signaling.webrtc import WebRtcSettings
from signaling.websocket import WebSocketChannel
from tests.any_load import ANY_LOAD
from tests.signaling.speech import frames, speech

RATE = 16_000  # the echo engine's own


class Live:
    """Where a server is, and its calls. `engine.name` is echo: it says what it was told."""

    def __init__(self, url: str, tcp_port: int, calls: Calls, http: ClientSession) -> None:
        self.url = url
        self.tcp_port = tcp_port
        self.calls = calls
        self.http = http

    async def dial(self, transport: str) -> Channel:
        if transport == "tcp":
            return await dial_tcp("127.0.0.1", self.tcp_port)
        return WebSocketChannel(await self.http.ws_connect(f"{self.url}/ws/call"))

    async def no_call_left(self) -> None:
        while len(self.calls) or self.calls._lines:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def live(resume_window: float = 30.0, **stream: Any) -> AsyncIterator[Live]:
    config = Config(
        admission=ANY_LOAD,
        engine=EngineSettings(name="echo"),
        vad=VadSettings(detector="energy"),
        session=SessionSettings(resume_window=resume_window),
        webrtc=WebRtcSettings(host_addresses=("127.0.0.1",), tcp_port=0),
        stream=StreamSettings(**stream),
    )
    app = make_app(config, {})
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await app[ENGINE].warm_up()
        port = app[PORTS].tcp
        assert port is not None
        async with ClientSession() as http:
            yield Live(f"http://127.0.0.1:{runner.addresses[0][1]}", port, app[CALLS], http)
    finally:
        await runner.cleanup()


class Noting:
    """A channel that notes which frames came over it."""

    def __init__(self, channel: Channel, person: "Person") -> None:
        self.channel = channel
        self._person = person

    async def receive(self) -> str | bytes:
        message = await self.channel.receive()
        if isinstance(message, bytes):
            packet = decode_packet(message)
            self._person.silent = packet.kind is Kind.SILENCE
            if not self._person.silent:
                self._person.audio.append(packet.sequence)
        return message

    async def send(self, message: str | bytes) -> None:
        await self.channel.send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.channel.close(code, reason)


class Person:
    """A caller who says things and notes what he hears: `said` and `heard` are frames, `audio` the
    numbers of those that came.
    """

    def __init__(self, server: Live, rate: int = RATE, codec: Codec = "pcm16") -> None:
        self.server = server
        self.rate = rate
        self.codec = codec
        self.events: list[dict[str, Any]] = []
        self.heard: list[Samples] = []
        self.audio: list[int] = []
        self.silent = True  # the latest packet said so
        self.channel: Noting | None = None
        self.changed = asyncio.Event()
        self._to_say: list[Samples] = []
        self.peer = StreamCaller(
            rate=rate,
            pull=self._pull,
            receive=self._receive,
            receive_event=self._receive_event,
            codec=codec,
        )

    def say(self, samples: Samples) -> None:
        self._to_say += frames(samples, self.rate)

    async def call(self, transport: str) -> "asyncio.Task[None]":
        """Call, or come back, over this; the task ends with the call."""
        self.channel = Noting(await self.server.dial(transport), self)
        running = asyncio.create_task(self.peer.run(self.channel))
        await self.peer.connected.wait()
        return running

    async def until(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next event of this type and these fields, also one that has come already."""
        while True:
            for index, found in enumerate(self.events):
                if found["type"] == event and fields.items() <= found.items():
                    del self.events[: index + 1]
                    return found
            self.changed.clear()
            await self.changed.wait()

    async def has_heard(self, count: int) -> None:
        """So many more audible frames."""
        target = self.audible + count
        while self.audible < target:
            self.changed.clear()
            await self.changed.wait()

    @property
    def audible(self) -> int:
        return sum(bool(frame.any()) for frame in self.heard)

    def sound(self) -> Samples:
        """All that was heard, without the silence."""
        return np.concatenate([silence(0), *(frame for frame in self.heard if frame.any())])

    def _pull(self) -> Samples:
        return self._to_say.pop(0) if self._to_say else silence(frame_length(self.rate))

    def _receive(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.changed.set()

    def _receive_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.changed.set()


async def converse(person: Person, seconds: float = 1.0) -> None:
    """One turn and its echo: it comes whole, every frame of it once and in order."""
    person.audio.clear()
    person.say(speech(seconds, person.rate))
    await person.until("reply.started")
    ended = await person.until("reply.ended")
    assert not ended["interrupted"], ended
    while not (person.audio and person.silent):
        person.changed.clear()
        await person.changed.wait()
    # What is cut out of the middle would be missing here, what is sent twice would be too much.
    assert person.audio == list(range(person.audio[0], person.audio[0] + len(person.audio)))
    extra = 8 if person.codec == "pcm16" else 80  # Opus makes no silence that is all zero
    assert seconds * 50 <= len(person.audio) <= seconds * 50 + extra
