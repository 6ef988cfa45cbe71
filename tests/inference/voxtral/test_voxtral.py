"""inference.voxtral: many calls in one batch write what transformers' generate() does of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VoxtralForConditionalGeneration, VoxtralProcessor

from inference.protocol import EngineFailed
from inference.settings import EngineSettings, VoxtralSettings
from inference.voxtral.model import MOST_TRANSCRIBED, Voxtral
from media.frames import Samples
from tests.inference.voxtral.tiny import voxtral


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return voxtral(tmp_path_factory.mktemp("models") / "voxtral")


@asynccontextmanager
async def loaded(folder: Path, slots: int) -> AsyncIterator[Voxtral]:
    settings = VoxtralSettings(str(folder), max_tokens=24, context=900)
    model = Voxtral(replace(EngineSettings("voxtral"), voxtral=settings, slots=slots))
    await model.warm_up()
    try:
        yield model
    finally:
        model.close()


def turns() -> list[Samples]:
    generator = np.random.default_rng(3)
    return [
        generator.normal(0, 3000 * (n + 1), 16_000 + 4000 * n).clip(-32768, 32767).astype(np.int16)
        for n in range(4)
    ]


async def transcribe(model: Voxtral, turn: Samples) -> str:
    ear = model.ear()
    for at in range(0, len(turn), 320):
        ear.feed(turn[at : at + 320])
        await asyncio.sleep(0)
    return "".join([piece async for piece in model.transcribe(ear.finish())])


def offline(folder: Path, inputs: Any, limit: int) -> str:
    model = VoxtralForConditionalGeneration.from_pretrained(folder).eval()
    processor = VoxtralProcessor.from_pretrained(folder)
    written = model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    tokens = written[0, inputs["input_ids"].shape[1] :]
    decoded: str = processor.tokenizer.decode(tokens.tolist(), skip_special_tokens=True)
    return decoded


async def test_calls_at_once_are_transcribed_as_offline(folder: Path) -> None:
    processor = VoxtralProcessor.from_pretrained(folder)
    expected = []
    for turn in turns():
        inputs = processor.apply_transcription_request(
            audio=[turn.astype(np.float32) / 32768],
            model_id=str(folder),
            sampling_rate=16_000,
            format=["wav"],
        )
        expected.append(offline(folder, inputs, MOST_TRANSCRIBED))
    async with loaded(folder, slots=3) as model:
        found = await asyncio.gather(*(transcribe(model, turn) for turn in turns()))
    assert found == expected
    assert len(set(found)) == len(found)


async def test_an_answer_follows_the_history_and_the_prompt(folder: Path) -> None:
    turn = turns()[0]
    history = [
        {"role": "user", "content": "How are you?"},
        {"role": "assistant", "content": "Well."},
    ]
    async with loaded(folder, slots=2) as model:
        ear = model.ear()
        ear.feed(turn)
        mel = ear.finish()
        told = ["".join([p async for p in model.answer(mel, history, "Answer.")])]
        told.append("".join([p async for p in model.answer(mel, [], "Answer.")]))
        told.append("".join([p async for p in model.answer(mel, [], "Repeat it.")]))
        processor = VoxtralProcessor.from_pretrained(folder)
        tokens = processor.apply_chat_template(
            [*history, model.asked("Answer.")],
        )["input_ids"]
    inputs = {"input_ids": tokens, "input_features": torch.from_numpy(mel)}
    assert told[0] == offline(folder, inputs, 24)
    assert len(set(told)) == 3


async def test_a_history_that_is_too_long_loses_its_oldest(folder: Path) -> None:
    history = [
        message
        for n in range(20)
        for message in (
            {"role": "user", "content": f"Question {n}, and it is a long one."},
            {"role": "assistant", "content": f"Answer {n}, which is as long."},
        )
    ]
    async with loaded(folder, slots=1) as model:
        ear = model.ear()
        ear.feed(turns()[0])
        mel = ear.finish()
        told = "".join([piece async for piece in model.answer(mel, history, "Answer.")])
        fitting = [
            "".join([piece async for piece in model.answer(mel, history[first:], "Answer.")])
            for first in (22, 24, 26, 28, 38)
        ]
    assert told in fitting[:4]
    assert told != fitting[4]


async def test_a_request_that_is_too_long_is_its_own_trouble(folder: Path) -> None:
    async with loaded(folder, slots=2) as model:
        ear, long = model.ear(), model.ear()
        ear.feed(turns()[0])
        for _ in range(3):
            long.feed(np.tile(turns()[0], 30))
        good = asyncio.create_task(_join(model.transcribe(ear.finish())))
        with pytest.raises(EngineFailed, match="more than the 900 that a slot holds"):
            await _join(model.transcribe(long.finish()))
        assert await good


async def _join(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])
