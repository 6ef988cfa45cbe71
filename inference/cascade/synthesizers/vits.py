"""VITS, and MMS-TTS, which is VITS in a thousand languages: a clause at a time."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, VitsModel

from inference.batch.loading import from_pretrained, load_model
from inference.batch.one_shot import OneShot
from inference.batch.step_loop import StepLoop
from inference.cascade.synthesizers.pieces import by_letters
from inference.protocol import Speech, Voice, VoiceInfo
from inference.settings import EngineSettings
from media.frames import Samples

SEED = 1  # of a clause's noise: the same words always sound the same
PEAK = 0.9


@dataclass(frozen=True, slots=True)
class _Clause:
    text: str
    speaker: int | None
    rate: float


class Vits:
    """A `Synthesizer`; its speakers' numbers are its voices."""

    emotions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._tokenizer: Any = None
        self._model: Any = None
        self._speakers = 1

    @property
    def voices(self) -> tuple[VoiceInfo, ...]:
        if self._speakers == 1:
            return ()
        return tuple(VoiceInfo(f"{n}", f"Speaker {n}") for n in range(self._speakers))

    async def warm_up(self) -> None:
        """Raises EngineFailed: what is missing."""
        name = self._settings.cascade.synthesizer.model
        load = asyncio.to_thread
        self._tokenizer = await load(from_pretrained, AutoTokenizer, name)
        self._model = await load(load_model, VitsModel, name, self._settings, "eager")
        self._speakers = max(1, self._model.config.num_speakers)
        # One at a time: a clause beside a longer one would sound other than alone.
        shots = OneShot(self._speak_all, slots=self._settings.slots, most=1)
        self._loop: StepLoop[_Clause, None, Samples] = StepLoop(shots, "the synthesizer")
        async for _ in self.speak("hello", Voice(name=self.check(Voice()).name)):
            pass

    def check(self, voice: Voice) -> Voice:
        names = [offer.name for offer in self.voices]
        if not voice.name and names:
            return replace(voice, name=names[0])
        if voice.name not in names and voice.name:
            known = ", ".join(names) or "none but the model's own"
            raise ValueError(f"no voice {voice.name!r}; on offer: {known}")
        return voice

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Speech]:
        speaker = int(voice.name) if voice.name else None
        async for samples in self._loop.enter(_Clause(text, speaker, voice.rate)):
            for piece in by_letters(text, samples, self._model.config.sampling_rate):
                yield piece

    @torch.inference_mode()
    def _speak_all(self, clauses: Sequence[_Clause]) -> list[Samples]:
        return [self._speak_one(clause) for clause in clauses]

    def _speak_one(self, clause: _Clause) -> Samples:
        inputs = self._tokenizer(clause.text, return_tensors="pt").to(self._model.device)
        if not inputs.input_ids.numel():
            return np.zeros(0, np.int16)  # nothing in it that this language has letters for
        torch.manual_seed(SEED)
        self._model.speaking_rate = clause.rate
        wave = self._model(**inputs, speaker_id=clause.speaker).waveform[0].float().cpu().numpy()
        loudest = max(PEAK, float(np.abs(wave).max(initial=0.0)))
        return np.asarray(np.round(wave / loudest * PEAK * 32767), dtype=np.int16)
