"""Two workers of one server in this process, each with ports of its own: so a test says whom a
connection reaches first."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from inference.host_link import HostProcess
from inference.hosted import HostedEngine
from inference.settings import EngineSettings
from server.app import CALLS, ENGINE, PORTS, bind, url
from server.config import Config, ServerSettings
from server.crew.board import Board
from server.crew.orders import board_path, engine_path
from server.crew.worker import at_work
from server.load import AdmissionSettings
from server.ports import bind_tcp
from signaling.channel import Channel, TcpChannel
from signaling.packets import MAX_MESSAGE
from signaling.stream_caller import dial_tcp
from signaling.webrtc import WebRtcSettings
from signaling.websocket import WebSocketChannel


@dataclass(frozen=True)
class Worker:
    """One of the two; `http` goes to it, with an empty pool of connections at first."""

    app: web.Application
    http: aiohttp.ClientSession

    @property
    def calls(self) -> int:
        return len(self.app[CALLS])

    async def websocket(self, query: str = "") -> Channel:
        return WebSocketChannel(
            await self.http.ws_connect(f"/ws/call{query}", max_msg_size=MAX_MESSAGE + 1)
        )

    async def tcp(self) -> TcpChannel:
        return await dial_tcp("127.0.0.1", self.app[PORTS].tcp or 0)


@asynccontextmanager
async def two_workers(directory: Path, max_sessions: int = 64) -> AsyncIterator[list[Worker]]:
    """They are ready, and at the end all their calls must be over."""
    config = Config(
        server=ServerSettings(max_sessions=max_sessions, workers=2, port=0),
        engine=EngineSettings(name="echo"),
        admission=AdmissionSettings(max_lag=60.0, max_cpu=60.0),
        webrtc=WebRtcSettings(host_addresses=("127.0.0.1",), tcp_port=0),
    )
    engine = HostedEngine(HostProcess(config.engine, engine_path(directory)))
    engine.start()
    try:
        async with AsyncExitStack() as stack:
            stack.enter_context(closing(Board.create(board_path(directory), 2)))
            workers = []
            for number in range(2):
                listener = bind("127.0.0.1", 0)
                tcp = bind_tcp(config, {})
                app = await stack.enter_async_context(
                    at_work(config, number, directory, listener, tcp)
                )
                http = aiohttp.ClientSession(url(listener))
                await stack.enter_async_context(http)
                workers.append(Worker(app, http))
                await app[ENGINE].warm_up()
            yield workers
        for worker in workers:
            assert worker.calls == 0
    finally:
        await engine.stop()


async def say_hello(channel: Channel, resume: dict[str, Any] | None = None) -> dict[str, Any]:
    """Begin a call, or resume one; the first event."""
    hello = {"type": "hello", "codec": "pcm16", "rate": 16_000}
    await channel.send(json.dumps({**hello, "resume": resume} if resume else hello))
    return await text(channel)


async def text(channel: Channel) -> dict[str, Any]:
    """The next text that comes."""
    async with asyncio.timeout(10):
        while not isinstance(message := await channel.receive(), str):
            pass
    event: dict[str, Any] = json.loads(message)
    return event


def resuming(started: dict[str, Any]) -> dict[str, Any]:
    """What a client says who has heard this event last."""
    return {
        "session_id": started["session_id"],
        "resume_token": started["resume_token"],
        "seq": started["seq"],
        "played": None,
    }
