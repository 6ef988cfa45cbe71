"""Any OpenAI-compatible chat endpoint."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from inference.cascade.parts import Ear
from inference.embedded import llm
from inference.memory import Memory
from inference.protocol import EngineFailed, Voice
from inference.settings import LlmSettings


class Endpoint:
    """A `Responder`."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings

    async def warm_up(self) -> None:
        """Raises EngineFailed where there is nothing to ask."""
        if not self._settings.base_url:
            raise EngineFailed("responder openai needs engine.llm.base_url, the endpoint's address")

    async def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        messages = memory.messages(self._settings.system_prompt)
        try:
            async with aclosing(llm.chat(self._settings, messages)) as pieces:
                async for piece in pieces:
                    yield piece
        except llm.EndpointFailed as error:
            raise EngineFailed(str(error)) from error
