"""Any causal language model of transformers' with a chat template, for all calls in one batch."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference.batch.decoder import Decoder, Prompt, Writing
from inference.batch.loading import from_pretrained, load_model
from inference.batch.step_loop import StepLoop
from inference.batch.text_stream import TextStream
from inference.cascade.parts import Ear
from inference.memory import Memory
from inference.protocol import Voice
from inference.settings import EngineSettings


class CausalLM:
    """A `Responder`."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._tokenizer: Any = None
        self._stop: frozenset[int] = frozenset()

    async def warm_up(self) -> None:
        """Load it, and answer once. Raises EngineFailed: what is missing."""
        wanted = self._settings.cascade.responder
        load = asyncio.to_thread
        self._tokenizer = await load(from_pretrained, AutoTokenizer, wanted.model)
        model = await load(load_model, AutoModelForCausalLM, wanted.model, self._settings)
        self._stop = _stop_tokens(model, self._tokenizer)
        decoder = Decoder(model, slots=self._settings.slots, length=wanted.context)
        self._loop: StepLoop[Writing, Prompt, int] = StepLoop(decoder, "the responder")
        greeting = Memory()
        greeting.begin(0, "Hello.")
        async with aclosing(self._write(greeting)) as pieces:
            async for _ in pieces:
                break

    async def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        async with aclosing(self._write(memory)) as pieces:
            async for piece in pieces:
                yield piece

    async def _write(self, memory: Memory) -> AsyncGenerator[str]:
        limit = self._settings.cascade.responder.max_tokens
        job = self._loop.enter(Writing(limit, self._stop))
        job.feed(Prompt(self._prompt(memory)))
        stream = TextStream(self._decode)
        async with aclosing(job.__aiter__()) as tokens:
            async for token in tokens:
                if piece := stream.put(token):
                    yield piece
        if piece := stream.end():
            yield piece

    def _prompt(self, memory: Memory) -> torch.Tensor:
        """The history as the model's template has it; where it is too long, without its oldest."""
        wanted = self._settings.cascade.responder
        messages = memory.messages(self._settings.llm.system_prompt)
        while True:
            tokens = self._tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=True,
                enable_thinking=False,  # nobody waits for that on the telephone
                return_dict=False,
            )
            if len(tokens) + wanted.max_tokens <= wanted.context or len(messages) <= 2:
                return torch.tensor(tokens)
            del messages[1:3]  # a question and its answer

    def _decode(self, tokens: Any) -> str:
        decoded: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return decoded


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer."""
    given = model.generation_config.eos_token_id
    ends = [tokenizer.eos_token_id, *(given if isinstance(given, list) else [given])]
    return frozenset(end for end in ends if end is not None)
