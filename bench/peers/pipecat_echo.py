"""Echo by Pipecat over its SmallWebRTC transport: a pipeline that gives each frame back."""

import asyncio
import sys

from fastapi import FastAPI
from loguru import logger
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.workers.runner import WorkerRunner
from serving import serve

RATE = 24_000
app = FastAPI()
handler = SmallWebRTCRequestHandler()
running = set()


class Echo(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate, frame.num_channels)
        await self.push_frame(frame, direction)


async def converse(connection):
    transport = SmallWebRTCTransport(
        connection,
        TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=2),
    )
    params = PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE)
    pipeline = Pipeline([transport.input(), Echo(), transport.output()])
    worker = PipelineWorker(pipeline, params=params, idle_timeout_secs=None)

    @transport.event_handler("on_client_disconnected")
    async def hang_up(transport, client):
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()


@app.post("/api/offer")
async def offer(body: dict):
    fields = {key: body.get(key) for key in ("sdp", "type", "pc_id")}

    async def begin(connection):
        call = asyncio.create_task(converse(connection))
        running.add(call)
        call.add_done_callback(running.discard)

    return await handler.handle_web_request(SmallWebRTCRequest(**fields), begin)


logger.remove()
logger.add(sys.stderr, level="ERROR")
serve(app, "/api/offer")
