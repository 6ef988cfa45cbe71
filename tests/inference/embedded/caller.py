"""A caller for the embedded engine's tests: synthesized, in a voice that is not one of its own."""

import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import numpy as np
import soxr

from inference.embedded.engine import EmbeddedSession
from inference.embedded.espeak import RATE
from inference.protocol import Chunk, Speech, Transcript
from media.frames import AudioFrame, Samples

_SPEAKER = """
import os, sys
from inference.embedded import espeak

for line in sys.stdin:
    words, voice = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        espeak._library().dll.espeak_ng_SetRandSeed(1)  # it was seeded with the time of day
        sound = espeak.synthesize(words, voice)[0].tobytes()
        sys.stdout.buffer.write(len(sound).to_bytes(4, "little") + sound)
        sys.stdout.buffer.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


@cache
def _speaker() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _SPEAKER]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _spoken(words: str, voice: str) -> bytes:
    speaker = _speaker()
    assert speaker.stdin is not None
    assert speaker.stdout is not None
    speaker.stdin.write(f"{words}\t{voice}\n".encode())
    speaker.stdin.flush()
    return speaker.stdout.read(int.from_bytes(speaker.stdout.read(4), "little"))


@cache
def caller_says(words: str, voice: str = "en-us+f5") -> Samples:
    """16 kHz speech between a quarter and half a second of soft noise.

    A process of its own speaks: espeak-ng's sound depends on all that it has said before. They are
    forks of one that has said nothing yet, which take a tenth of the time.
    """
    audio = np.frombuffer(_spoken(words, voice), dtype=np.int16)
    speech = soxr.resample(audio.astype(np.float32), RATE, 16000) * 0.7
    padded = np.concatenate([np.zeros(4000), speech, np.zeros(6400)])
    noise = np.random.default_rng(7).normal(0, 10, len(padded))
    return np.asarray(np.clip(padded + noise, -32768, 32767), dtype=np.int16)


def frames(audio: Samples) -> Iterator[AudioFrame]:
    for at in range(0, len(audio) - 319, 320):
        yield AudioFrame(audio[at : at + 320], 16000)


async def ask(session: EmbeddedSession, turn: int, audio: Samples) -> list[Chunk]:
    for frame in frames(audio):
        session.listen(turn, frame)
    return [chunk async for chunk in session.respond(turn)]


def caller_words(chunks: list[Chunk]) -> str:
    """What the engine understood: the answer's first piece."""
    assert isinstance(chunks[0], Transcript)
    return chunks[0].text


def answer_words(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, Speech))
