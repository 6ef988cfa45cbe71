"""The embedded engine's skills: commands and small talk, offline."""

from collections.abc import AsyncGenerator
from datetime import datetime

from inference.cascade.parts import Ear
from inference.embedded.answers import Request, text
from inference.embedded.skills import understand
from inference.memory import Memory
from inference.protocol import Voice


class Skills:
    """A `Responder`."""

    async def warm_up(self) -> None:
        understand(("hello",))

    async def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        words = memory.last_caller().lower().strip(".?! ").split()
        found = understand(tuple(word.strip(",.?!;:") for word in words))
        if found is None:
            yield text("not_understood", voice.language)
            return
        skill, slots = found
        yield skill.answer(Request(slots, voice, memory, datetime.now())).text
