"""Whisper, or any model of its kind in transformers: the whole turn, when it is over."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from inference.batch.loading import from_pretrained, load_model
from inference.batch.one_shot import OneShot
from inference.batch.step_loop import StepLoop
from inference.cascade.parts import HEARING_RATE
from inference.cascade.recognisers.recording import Recording
from inference.settings import EngineSettings
from media.frames import Samples

BATCH = 8  # turns that are transcribed at once


class Whisper:
    """A `Recogniser`."""

    partials = False

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._processor: Any = None
        self._model: Any = None

    async def warm_up(self) -> None:
        """Raises EngineFailed: what is missing."""
        name = self._settings.cascade.recogniser.model
        load = asyncio.to_thread
        self._processor = await load(from_pretrained, WhisperProcessor, name)
        self._model = await load(load_model, WhisperForConditionalGeneration, name, self._settings)
        self._model.generation_config.max_length = None  # it is told how much is new
        shots = OneShot(self._transcribe_all, slots=self._settings.slots, most=BATCH)
        self._loop: StepLoop[Samples, None, str] = StepLoop(shots, "the recogniser")
        await self._transcribe(np.zeros(HEARING_RATE, np.int16))

    def begin(self, on_partial: Callable[[str], None]) -> Recording:
        return Recording(self._transcribe)

    async def _transcribe(self, samples: Samples) -> str:
        return "".join([words async for words in self._loop.enter(samples)])

    @torch.inference_mode()
    def _transcribe_all(self, turns: Sequence[Samples]) -> list[str]:
        waves = [samples.astype(np.float32) / 32768 for samples in turns]
        features = self._processor.feature_extractor(
            waves, sampling_rate=HEARING_RATE, return_tensors="pt"
        ).input_features.to(self._model.device, self._model.dtype)
        most = self._model.config.max_target_positions // 2 - 4  # Whisper's own: 220
        tokens = self._model.generate(features, max_new_tokens=most, do_sample=False)
        decoded = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [words.strip() for words in decoded]
