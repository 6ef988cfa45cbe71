"""FastRTC's ReplyOnPause, as it is by default: every pause is answered with a WAV file.

Its voice activity detector is its own, and so is the generation of Silero's model (4). The file
of that comes with faster-whisper: FastRTC would fetch it from a hub when it starts.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from time import sleep

import numpy as np
from answer import MAKING_SECONDS, THINKING_SECONDS, read_pieces
from fastapi import FastAPI
from fastrtc import ReplyOnPause, Stream
from fastrtc.pause_detection.silero import SileroVADModel
from serving import serve

RATE, PIECES = read_pieces(sys.argv[1])


class PackagedSilero(SileroVADModel):
    @staticmethod
    def download_model():
        # Found and not imported: the package's own code needs more than is installed.
        folder = Path(find_spec("faster_whisper").origin).parent
        return str(folder / "assets" / "silero_vad.onnx")


def answer(audio):
    sleep(THINKING_SECONDS)
    for piece in PIECES:
        sleep(MAKING_SECONDS)
        yield RATE, np.frombuffer(piece, dtype=np.int16)[np.newaxis]


model = PackagedSilero()
model.warmup()
app = FastAPI()
handler = ReplyOnPause(answer, can_interrupt=True, output_sample_rate=RATE, model=model)
Stream(handler, modality="audio", mode="send-receive", concurrency_limit=1000).mount(app)
serve(app, "/webrtc/offer")
