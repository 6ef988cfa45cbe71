"""Pipecat over its SmallWebRTC transport: every turn of the user's is answered with a WAV file.

Voice activity by Silero, the end of a turn by its smart-turn model, interruptions: all as they are
by default, but that no transcript is waited for, as with models that hear for themselves.
"""

import asyncio
import sys

from answer import MAKING_SECONDS, THINKING_SECONDS, read_pieces
from fastapi import FastAPI
from loguru import logger
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    LLMRunFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.request_handler import (
    SmallWebRTCRequest,
    SmallWebRTCRequestHandler,
)
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from serving import serve

RATE, PIECES = read_pieces(sys.argv[1])
app = FastAPI()
handler = SmallWebRTCRequestHandler()
running = set()


class Answer(FrameProcessor):
    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMRunFrame):
            await self.push_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame):
            # From the queue of what an interruption ends, as language models are told.
            await self.queue_frame(LLMRunFrame())
        elif isinstance(frame, LLMRunFrame):
            await self.speak()

    async def speak(self):
        await asyncio.sleep(THINKING_SECONDS)
        await self.push_frame(TTSStartedFrame())
        for piece in PIECES:
            await asyncio.sleep(MAKING_SECONDS)
            await self.push_frame(TTSAudioRawFrame(piece, RATE, 1))
        await self.push_frame(TTSStoppedFrame())


async def converse(connection):
    transport = SmallWebRTCTransport(
        connection, TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    )
    stop = TurnAnalyzerUserTurnStopStrategy(
        turn_analyzer=LocalSmartTurnAnalyzerV3(), wait_for_transcript=False
    )
    pipeline = Pipeline(
        [
            transport.input(),
            VADProcessor(vad_analyzer=SileroVADAnalyzer()),
            UserTurnProcessor(user_turn_strategies=UserTurnStrategies(stop=[stop])),
            Answer(),
            transport.output(),
        ]
    )
    worker = PipelineWorker(pipeline, idle_timeout_secs=None)

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
