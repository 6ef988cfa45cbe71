"""Voxtral answers what it heard itself: how it was said counts too, and what it was not sure of."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from inference.cascade.parts import Ear
from inference.cascade.recognisers.voxtral import VoxtralEar
from inference.memory import Memory
from inference.protocol import Voice
from inference.voxtral.model import Voxtral


class VoxtralResponder:
    """A `Responder`, for turns that `VoxtralRecogniser` of the same model has heard."""

    def __init__(self, model: Voxtral, prompt: str) -> None:
        self._model = model
        self._prompt = prompt

    async def warm_up(self) -> None:
        """The recogniser has."""

    async def respond(self, memory: Memory, voice: Voice, ear: Ear) -> AsyncGenerator[str]:
        assert isinstance(ear, VoxtralEar)
        assert ear.mel is not None
        # Without the words of the turn itself, which it hears, and a system's part, which it lacks.
        history = memory.messages("")[1:-1]
        async with aclosing(self._model.answer(ear.mel, history, self._prompt)) as pieces:
            async for piece in pieces:
                yield piece
