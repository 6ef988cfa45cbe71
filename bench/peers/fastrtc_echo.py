"""Echo by FastRTC: an asynchronous handler that gives each frame back."""

import asyncio

from fastapi import FastAPI
from fastrtc import AsyncStreamHandler, Stream
from serving import serve


class Echo(AsyncStreamHandler):
    def __init__(self) -> None:
        super().__init__()
        self.frames = asyncio.Queue()

    async def receive(self, frame):
        self.frames.put_nowait(frame)

    async def emit(self):
        return await self.frames.get()

    def copy(self):
        return Echo()


app = FastAPI()
Stream(Echo(), modality="audio", mode="send-receive", concurrency_limit=1000).mount(app)
serve(app, "/webrtc/offer")
