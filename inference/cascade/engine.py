"""Recogniser, responder, synthesizer: three models one after the other, all streaming.

The recogniser hears while the caller talks; the answer is spoken clause by clause while the
responder is still writing it. A call's history is what was heard of it.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from inference.cascade.clauses import clauses
from inference.cascade.parts import HEARING_RATE, Ear, Recogniser, Responder, Synthesizer
from inference.embedded.answers import text
from inference.memory import Exchange, Memory
from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineInfo,
    EngineOverloaded,
    Heard,
    OnTranscript,
    Speech,
    Transcript,
    TurnId,
    Voice,
)
from inference.settings import EngineSettings, RecogniserSettings, ResponderSettings
from media.frames import AudioFrame


class CascadeEngine:
    """See the top of the file; `make_cascade` builds it from the settings."""

    def __init__(
        self,
        settings: EngineSettings,
        recogniser: Recogniser,
        responder: Responder,
        synthesizer: Synthesizer,
    ) -> None:
        self.settings = settings
        self.recogniser = recogniser
        self.responder = responder
        self.synthesizer = synthesizer
        self._sessions = 0

    @property
    def info(self) -> EngineInfo:
        return EngineInfo(
            self.settings.name,
            "turn",
            HEARING_RATE,
            self.synthesizer.voices,
            self.synthesizer.emotions,
            self.synthesizer.languages,
            partials=self.recogniser.partials,
        )

    async def warm_up(self) -> None:
        """Load the models and run each once. Raises EngineFailed: what is missing."""
        await self.recogniser.warm_up()
        await self.responder.warm_up()
        await self.synthesizer.warm_up()

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator["CascadeSession"]:
        """A session for one call. Raises EngineOverloaded, and ValueError for an unknown voice."""
        limit = self.settings.max_sessions
        if self._sessions >= limit:
            raise EngineOverloaded(f"all {limit} sessions of the cascade are taken")
        if not voice.name:
            voice = replace(voice, name=self.settings.voice.name)
        session = CascadeSession(self, self.synthesizer.check(voice), on_transcript)
        self._sessions += 1
        try:
            yield session
        finally:
            self._sessions -= 1
            session.close()


class CascadeSession:
    """One call: a turn being heard, ten turns remembered, a voice."""

    def __init__(self, engine: CascadeEngine, voice: Voice, on_transcript: OnTranscript) -> None:
        self._engine = engine
        self._voice = voice
        self._on_transcript = on_transcript
        self._memory = Memory()
        self._turn: TurnId = -1
        self._ear: Ear | None = None

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        """Hear audio of `turn`. Raises ValueError for another rate than HEARING_RATE."""
        if frame.rate != HEARING_RATE:
            raise ValueError(f"the cascade hears {HEARING_RATE} Hz, not {frame.rate}")
        if turn != self._turn or self._ear is None:
            self.close()
            self._turn = turn
            self._ear = self._engine.recogniser.begin(lambda words: self._tell(turn, words))
        self._ear.listen(frame.samples)

    async def respond(self, turn: TurnId) -> AsyncGenerator[Chunk]:
        """Answer what was heard under `turn`."""
        ear, self._ear = (self._ear, None) if turn == self._turn else (None, self._ear)
        try:
            words = await ear.finish() if ear else ""
            yield Transcript(turn, words, final=True)
            exchange = self._memory.begin(turn, words)
            voice = self._voice
            answer = (
                self._engine.responder.respond(self._memory, voice, ear)
                if ear and words
                else _pieces(text("nothing_heard", voice.language))
            )
            async with aclosing(self._speak(answer, voice, exchange)) as speeches:
                async for speech in speeches:
                    yield speech
        finally:
            if ear:
                ear.close()

    async def say(self, turn: TurnId, text: str) -> AsyncGenerator[Chunk]:
        """Speak the text like an answer. There is no transcript: nobody asked."""
        exchange = self._memory.begin(turn, "")
        async with aclosing(self._speak(_pieces(text), self._voice, exchange)) as speeches:
            async for speech in speeches:
                yield speech

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """Remember of this answer only what was heard, and that it was cut."""
        self._memory.truncate(turn, heard.text)

    def set_voice(self, voice: Voice) -> None:
        """Sound like this from the next answer on. Raises ValueError naming what is on offer."""
        if not voice.name:
            voice = replace(voice, name=self._voice.name)
        self._voice = self._engine.synthesizer.check(voice)

    def close(self) -> None:
        """Give back what the session holds of the engine."""
        if self._ear:
            self._ear.close()
            self._ear = None

    def _tell(self, turn: TurnId, words: str) -> None:
        if words and turn == self._turn:
            self._on_transcript(Transcript(turn, words, final=False))

    async def _speak(
        self, pieces: AsyncGenerator[str], voice: Voice, exchange: Exchange
    ) -> AsyncGenerator[Speech]:
        """All of it, clause by clause."""
        async with aclosing(pieces), aclosing(clauses(pieces)) as spoken:
            async for clause in spoken:
                exchange.add(clause)
                async with aclosing(self._engine.synthesizer.speak(clause, voice)) as speeches:
                    async for speech in speeches:
                        yield speech


async def _pieces(text: str) -> AsyncGenerator[str]:
    yield text


def make_cascade(settings: EngineSettings) -> CascadeEngine:
    """The cascade that the settings name; only its parts' own libraries are imported."""
    if settings.name == "voxtral":
        parts = replace(settings.cascade, recogniser=RecogniserSettings("voxtral"))
        if settings.voxtral.mode == "understand":
            parts = replace(parts, responder=ResponderSettings("voxtral"))
        settings = replace(settings, cascade=parts)
    recogniser = _recogniser(settings)
    return CascadeEngine(
        settings, recogniser, _responder(settings, recogniser), _synthesizer(settings)
    )


def _recogniser(settings: EngineSettings) -> Recogniser:
    match settings.cascade.recogniser.name:
        case "pocketsphinx":
            from inference.cascade.recognisers.pocketsphinx import PocketSphinx

            return PocketSphinx()
        case "whisper":
            from inference.cascade.recognisers.whisper import Whisper

            return Whisper(settings)
        case "voxtral":
            from inference.cascade.recognisers.voxtral import VoxtralRecogniser
            from inference.voxtral.model import Voxtral

            return VoxtralRecogniser(Voxtral(settings))


def _responder(settings: EngineSettings, recogniser: Recogniser) -> Responder:
    match settings.cascade.responder.name:
        case "skills":
            from inference.cascade.responders.skills import Skills

            return Skills()
        case "causal_lm":
            from inference.cascade.responders.causal_lm import CausalLM

            return CausalLM(settings)
        case "openai":
            from inference.cascade.responders.endpoint import Endpoint

            return Endpoint(settings.llm)
        case "voxtral":
            from inference.cascade.recognisers.voxtral import VoxtralRecogniser
            from inference.cascade.responders.voxtral import VoxtralResponder

            if not isinstance(recogniser, VoxtralRecogniser):
                raise EngineFailed("responder voxtral answers only what recogniser voxtral heard")
            return VoxtralResponder(recogniser.model, settings.voxtral.prompt)


def _synthesizer(settings: EngineSettings) -> Synthesizer:
    match settings.cascade.synthesizer.name:
        case "espeak":
            from inference.cascade.synthesizers.espeak import Espeak

            return Espeak()
        case "vits":
            from inference.cascade.synthesizers.vits import Vits

            return Vits(settings)
