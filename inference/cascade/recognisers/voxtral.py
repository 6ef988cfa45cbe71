"""Voxtral as a recogniser: the spectrogram is made while the caller talks, the words at the end."""

from collections.abc import Callable
from contextlib import aclosing

from inference.voxtral.log_mel import Mel
from inference.voxtral.model import Voxtral
from media.frames import Samples

SHORTEST = 0.1  # seconds; of less no words are made


class VoxtralEar:
    """An `Ear`."""

    def __init__(self, model: Voxtral) -> None:
        self.mel: Mel | None = None  # all of it, once the turn is over
        self._model = model
        self._hearing = model.ear()

    def listen(self, samples: Samples) -> None:
        self._hearing.feed(samples)

    async def finish(self) -> str:
        if self._hearing.seconds < SHORTEST:
            return ""
        self.mel = self._hearing.finish()
        async with aclosing(self._model.transcribe(self.mel)) as pieces:
            return "".join([piece async for piece in pieces]).strip()

    def close(self) -> None:
        """It holds nothing of the model's."""


class VoxtralRecogniser:
    """A `Recogniser`."""

    partials = False

    def __init__(self, model: Voxtral) -> None:
        self.model = model

    async def warm_up(self) -> None:
        await self.model.warm_up()

    def begin(self, on_partial: Callable[[str], None]) -> VoxtralEar:
        return VoxtralEar(self.model)
