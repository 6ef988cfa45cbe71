"""Voxtral, loaded: what it makes of what was heard, its words or an answer to them."""

import asyncio
import base64
import io
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor
from transformers import AutoProcessor, VoxtralForConditionalGeneration

from inference.batch.decoder import Writing
from inference.batch.loading import from_pretrained, load_model
from inference.batch.step_loop import StepLoop
from inference.batch.text_stream import TextStream
from inference.settings import EngineSettings
from inference.voxtral.log_mel import LogMel, Mel
from inference.voxtral.steps import Heard, VoxtralSteps, tokens_of_a_piece

MOST_TRANSCRIBED = 220  # tokens of a turn's words

Messages = Sequence[dict[str, Any]]


class Voxtral:
    """One for all calls; `warm_up` before use."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._processor: Any = None

    async def warm_up(self) -> None:
        """Load it, and hear a second of silence. Raises EngineFailed: what is missing."""
        name, load = self._settings.voxtral.model, asyncio.to_thread
        self._processor = await load(from_pretrained, AutoProcessor, name)
        model = await load(load_model, VoxtralForConditionalGeneration, name, self._settings)
        self._stop = frozenset({int(self._processor.tokenizer.eos_token_id)})
        self._piece = tokens_of_a_piece(model)
        self._audio = int(model.config.audio_token_id)
        self._transcribing = self._around(await load(self._transcription))
        steps = VoxtralSteps(
            model, slots=self._settings.slots, length=self._settings.voxtral.context
        )
        self._loop: StepLoop[Heard, None, int] = StepLoop(steps, "Voxtral")
        ear = self.ear()
        ear.feed(np.zeros(16_000, np.int16))
        async with aclosing(self.transcribe(ear.finish())) as pieces:
            async for _ in pieces:
                break

    def ear(self) -> LogMel:
        """For a turn, to be fed while the caller talks."""
        return LogMel(self._processor.feature_extractor.mel_filters)

    async def transcribe(self, mel: Mel) -> AsyncGenerator[str]:
        """The words, in pieces."""
        async with aclosing(self._write(mel, self._transcribing, MOST_TRANSCRIBED)) as pieces:
            async for piece in pieces:
                yield piece

    async def answer(self, mel: Mel, history: Messages, prompt: str) -> AsyncGenerator[str]:
        """What it says to that, after this history and with this instruction, in pieces.

        Where the history is too long it forgets its oldest questions and answers.
        """
        limit = self._settings.voxtral.max_tokens
        room = self._settings.voxtral.context - limit - self._piece * len(mel)
        while True:
            messages = [*history, self.asked(prompt)]
            around = self._around(self._processor.apply_chat_template(messages)["input_ids"][0])
            if sum(map(len, around)) <= room or not history:
                break
            history = history[2:]
        async with aclosing(self._write(mel, around, limit)) as pieces:
            async for piece in pieces:
                yield piece

    def asked(self, prompt: str) -> dict[str, Any]:
        """The message of a turn that is heard; its sound has its place."""
        spoken = {"type": "audio", "base64": _SILENCE}
        return {"role": "user", "content": [spoken, {"type": "text", "text": prompt}]}

    def close(self) -> None:
        """End its thread."""
        self._loop.close()

    async def _write(
        self, mel: Mel, around: tuple[Tensor, Tensor], limit: int
    ) -> AsyncGenerator[str]:
        before, after = around
        stream = TextStream(self._decode)
        job = self._loop.enter(Heard(mel, before, after, Writing(limit, self._stop)))
        async with aclosing(job.__aiter__()) as tokens:
            async for token in tokens:
                if piece := stream.put(token):
                    yield piece
        if piece := stream.end():
            yield piece

    def _transcription(self) -> Tensor:
        """The tokens of a request to transcribe."""
        request = self._processor.apply_transcription_request(
            audio=[np.zeros(1600, np.float32)],
            model_id=self._settings.voxtral.model,
            sampling_rate=16_000,
            format=["wav"],
        )
        tokens: Tensor = request["input_ids"][0]
        return tokens

    def _around(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What of them is before the audio's, and what is after."""
        (places,) = torch.nonzero(tokens == self._audio, as_tuple=True)
        return tokens[: int(places[0])], tokens[int(places[-1]) + 1 :]

    def _decode(self, tokens: Sequence[int]) -> str:
        decoded: str = self._processor.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return decoded


def _silence() -> str:
    """What stands for the audio where only its place is wanted: a tenth of a second."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600, np.int16), 16_000, format="WAV")
    return base64.b64encode(file.getvalue()).decode()


_SILENCE = _silence()
