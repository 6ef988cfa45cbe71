"""espeak-ng in the embedded engine's four voices: at once, and to the word."""

import asyncio
from collections.abc import AsyncGenerator

from inference.embedded.espeak import speak
from inference.embedded.voices import EMOTIONS, LANGUAGES, check_voice, voice_infos
from inference.protocol import Speech, Voice


class Espeak:
    """A `Synthesizer`."""

    voices = voice_infos()
    emotions = tuple(EMOTIONS)
    languages = tuple(LANGUAGES)

    async def warm_up(self) -> None:
        speak("Hello.", check_voice(Voice()))

    def check(self, voice: Voice) -> Voice:
        return check_voice(voice)

    async def speak(self, text: str, voice: Voice) -> AsyncGenerator[Speech]:
        for piece in speak(text, voice):
            yield piece
        await asyncio.sleep(0)  # whole answers come at once: others have their turn in between
