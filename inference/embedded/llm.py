"""An OpenAI-compatible chat endpoint, streamed and cut into sentences as they come."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from inference.settings import LlmSettings

_TIMEOUT_SECONDS = 20.0
_SENTENCE = re.compile(r".+?[.!?…।]+[\"')\]]*\s+", re.DOTALL)


class EndpointFailed(Exception):
    """The chat endpoint could not be reached, refused, or broke off."""


async def chat(settings: LlmSettings, messages: list[dict[str, str]]) -> AsyncGenerator[str]:
    """The reply's text, piece by piece. Raises EndpointFailed."""
    import openai  # 0.5 s that an engine without an endpoint need not spend

    typed: Any = messages
    try:
        async with openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=settings.api_key or "none",
            timeout=_TIMEOUT_SECONDS,
            max_retries=0,
        ) as client:
            stream = await client.chat.completions.create(
                model=settings.model, messages=typed, stream=True
            )
            async with stream:
                async for event in stream:
                    if event.choices and (text := event.choices[0].delta.content):
                        yield text
    except openai.OpenAIError as error:
        raise EndpointFailed(f"{settings.base_url}: {error}") from error


async def sentences(pieces: AsyncIterator[str]) -> AsyncGenerator[str]:
    """Join pieces and cut them into sentences, each with the space that follows it."""
    pending = ""
    async for piece in pieces:
        pending += piece
        while found := _SENTENCE.match(pending):
            yield found.group()
            pending = pending[found.end() :]
    if pending.strip():
        yield pending


async def reply(settings: LlmSettings, messages: list[dict[str, str]]) -> AsyncGenerator[str]:
    """The endpoint's reply, sentence by sentence. Raises EndpointFailed."""
    async with aclosing(chat(settings, messages)) as pieces, aclosing(sentences(pieces)) as parts:
        async for sentence in parts:
            yield sentence
