"""pocketsphinx with its n-gram model: poor words in English, from nothing but the package."""

from collections.abc import Callable

import numpy as np

from inference.cascade.recognisers.recording import Recording
from inference.embedded.dictation import Dictation


class PocketSphinx:
    """A `Recogniser`."""

    partials = False

    def __init__(self) -> None:
        self._dictation = Dictation()

    async def warm_up(self) -> None:
        await self._dictation.transcribe(np.zeros(1600, np.int16))

    def begin(self, on_partial: Callable[[str], None]) -> Recording:
        return Recording(self._dictation.transcribe)
