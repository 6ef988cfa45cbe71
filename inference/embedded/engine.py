"""The default engine: hears commands in English, answers in English or Telugu, offline, on the CPU.

A turn's words come from the skills' grammar while the caller still talks. Only what does not fit
it is transcribed in full, afterwards, and goes to the chat endpoint where one is configured.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime

import numpy as np

from inference.embedded import llm
from inference.embedded.agreement import MIN_SURE, agree, certainty, plausible
from inference.embedded.answers import Answer, Request, text
from inference.embedded.dictation import Dictation
from inference.embedded.espeak import speak
from inference.embedded.interjections import Interjections, ShortSpeech
from inference.embedded.phrases import OPEN
from inference.embedded.recogniser import RATE, Grammar, Hypothesis, Listening
from inference.embedded.skills import Skill, skill_grammar, understand
from inference.embedded.voices import EMOTIONS, LANGUAGES, check_voice, voice_infos
from inference.memory import Exchange, Memory
from inference.protocol import (
    Chunk,
    EngineInfo,
    EngineOverloaded,
    Heard,
    OnTranscript,
    Speech,
    Transcript,
    TurnId,
    Voice,
    VoiceChanged,
)
from inference.settings import EngineSettings
from media.frames import AudioFrame, Samples

log = logging.getLogger(__name__)

_SENTENCE = re.compile(r".+?(?:[.!?।]+[\"')\]]*(?=\s)|$)\s*", re.DOTALL)
_WARM_DECODERS = 4
_MIN_OPINION = MIN_SURE - 1.0
"""Certainty of a partial transcript from which it says whether the caller has finished."""

_AHEAD_SILENCE = 0.12
"""Seconds of silence after which a turn in doubt is heard again."""


class EmbeddedEngine:
    """Skills by grammar; what fits none goes to the chat endpoint, or is not understood."""

    info = EngineInfo(
        "embedded",
        "turn",
        RATE,
        voice_infos(),
        tuple(EMOTIONS),
        tuple(LANGUAGES),
        partials=True,
    )

    def __init__(
        self, settings: EngineSettings, now: Callable[[], datetime] = datetime.now
    ) -> None:
        self.settings = settings
        self.now = now
        self.sessions = 0
        self._grammar: Grammar | None = None
        self._dictation: Dictation | None = None
        self._interjections: Interjections | None = None

    @property
    def grammar(self) -> Grammar:
        if self._grammar is None:
            self._grammar = Grammar(skill_grammar())
        return self._grammar

    @property
    def dictation(self) -> Dictation:
        if self._dictation is None:
            self._dictation = Dictation()
        return self._dictation

    @property
    def interjections(self) -> Interjections:
        if self._interjections is None:
            self._interjections = Interjections(self.settings.hints)
        return self._interjections

    async def warm_up(self) -> None:
        """Load both models, build decoders, synthesize and recognise once: about 1.5 s.

        With hints another 1.5 s, for the examples of a hundred.
        """
        self.interjections.recognise(np.zeros(RATE, np.int16))
        speak("Hello.", check_voice(self.settings.voice))
        turns = [Listening(self.grammar) for _ in range(_WARM_DECODERS)]
        for turn in turns:
            turn.feed(np.zeros(RATE, np.int16))
        for turn in turns:
            understand(turn.finish().words)
        await self.dictation.transcribe(np.zeros(RATE, np.int16))

    @asynccontextmanager
    async def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AsyncIterator["EmbeddedSession"]:
        """A session for one call. Raises EngineOverloaded, and ValueError for an unknown voice."""
        limit = self.settings.max_sessions
        if self.sessions >= limit:
            raise EngineOverloaded(f"all {limit} sessions of the embedded engine are taken")
        voice = check_voice(voice if voice.name else _named(voice, self.settings.voice.name))
        session = EmbeddedSession(self, voice, on_transcript)
        self.sessions += 1
        try:
            yield session
        finally:
            self.sessions -= 1
            session.close()


def _named(voice: Voice, name: str) -> Voice:
    return Voice(name, voice.emotion, voice.rate, voice.language)


class EmbeddedSession:
    """One call: a turn being heard, ten turns remembered, a voice."""

    def __init__(self, engine: EmbeddedEngine, voice: Voice, on_transcript: OnTranscript) -> None:
        self._engine = engine
        self._voice = voice
        self._on_transcript = on_transcript
        self._memory = Memory()
        self._turn: TurnId = -1
        # what a second hearing makes of what was said until now
        self._ahead: asyncio.Task[tuple[Hypothesis, str]] | None = None
        self._listening = Listening(engine.grammar)
        self._short = ShortSpeech(engine.interjections)
        self._partial = ""  # what was last told of this turn

    def listen(self, turn: TurnId, frame: AudioFrame) -> None:
        """Hear 16 kHz audio of `turn`. Raises ValueError for another rate."""
        if frame.rate != RATE:
            raise ValueError(f"the embedded engine hears {RATE} Hz, not {frame.rate}")
        if turn != self._turn:
            self.close()
            self._turn = turn
            self._listening = Listening(self._engine.grammar)
            self._short = ShortSpeech(self._engine.interjections)
            self._partial = ""
        interjected = self._short.feed(frame.samples)
        changed = self._listening.feed(frame.samples)
        if interjected:
            # "okay" that goes on is an "okay" no more, before it is known what it is instead
            self._tell(Transcript(turn, self._short.text or "…", final=False))
        if self._short.text:
            return
        self._reconsider_ahead()
        if changed:
            words = self._listening.latest.words
            # In other speech the grammar hears the beginnings of commands all the time.
            sure = certainty(self._listening.latest) >= _MIN_OPINION
            complete = self._engine.grammar.complete(words) if sure else None
            if self._may_tell(words, sure):
                self._tell(Transcript(turn, _display(words), False, complete))

    async def respond(self, turn: TurnId) -> AsyncGenerator[Chunk]:
        """Answer what was heard under `turn`, a piece per word; the sentences come one by one."""
        listening = self._listening if turn == self._turn else Listening(self._engine.grammar)
        interjection = self._short.text if turn == self._turn else ""
        self._listening = Listening(self._engine.grammar)
        self._turn = -1
        ahead, self._ahead = self._ahead, None
        hypothesis = listening.finish()
        try:
            caller, answer = await self._understand(hypothesis, listening, ahead, interjection)
        finally:
            if ahead:
                ahead.cancel()
        yield Transcript(turn, caller, final=True)
        if answer is not None and answer.voice is not None:
            self._voice = answer.voice
            yield VoiceChanged(answer.voice)
        exchange = self._memory.begin(turn, caller)
        if answer is not None:
            async with aclosing(self._speak_all(answer.text, exchange)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        messages = self._memory.messages(self._engine.settings.llm.system_prompt)
        try:
            async with aclosing(llm.reply(self._engine.settings.llm, messages)) as sentences:
                async for sentence in sentences:
                    for piece in self._speak(sentence, exchange):
                        yield piece
        except llm.EndpointFailed as error:
            log.warning("chat endpoint failed: %s", error)
            for piece in self._speak(text("endpoint_failed", self._voice.language), exchange):
                yield piece

    async def say(self, turn: TurnId, text: str) -> AsyncGenerator[Chunk]:
        """Speak the text like an answer, a piece per word. There is no transcript: nobody asked."""
        async with aclosing(self._speak_all(text, self._memory.begin(turn, ""))) as pieces:
            async for piece in pieces:
                yield piece

    def truncate(self, turn: TurnId, heard: Heard) -> None:
        """Remember of this answer only what was heard, and that it was cut."""
        self._memory.truncate(turn, heard.text)

    def set_voice(self, voice: Voice) -> None:
        """Sound like this from the next answer on. Raises ValueError naming what is on offer."""
        self._voice = check_voice(voice if voice.name else _named(voice, self._voice.name))

    def close(self) -> None:
        """Give back what the session holds of the engine."""
        self._listening.close()
        if self._ahead:
            self._ahead.cancel()
            self._ahead = None

    def _tell(self, transcript: Transcript) -> None:
        if transcript.text and transcript.text != self._partial:
            self._partial = transcript.text
            self._on_transcript(transcript)

    def _may_tell(self, words: tuple[str, ...], sure: bool) -> bool:
        """Whether the grammar's words can do no harm where hints decide what is done.

        Of short speech it is told what is sure, and of none that it is a hint: the grammar begins
        with words like "okay", and hears them in everything.
        """
        hints = self._engine.interjections.hints
        return not hints or (" ".join(words) not in hints and (sure or self._short.over))

    def _reconsider_ahead(self) -> None:
        """The silence that will end the turn is time enough for what would delay the answer."""
        listening = self._listening
        if self._ahead and listening.quiet < _AHEAD_SILENCE:
            self._ahead.cancel()  # the caller goes on
            self._ahead = None
        elif (
            self._ahead is None
            and listening.quiet >= _AHEAD_SILENCE
            and certainty(listening.latest) < MIN_SURE
            and listening.has_speech
        ):
            self._ahead = asyncio.create_task(self._reconsider(listening.audio))

    async def _reconsider(self, audio: Samples) -> tuple[Hypothesis, str]:
        """A second hearing, with the cepstral mean of all of it; if still in doubt, transcribed."""
        again = Listening(self._engine.grammar)
        again.feed(audio)
        hypothesis = again.finish()
        if certainty(hypothesis) >= MIN_SURE and hypothesis.open_at is None:
            return hypothesis, ""
        return hypothesis, await self._engine.dictation.transcribe(audio)

    async def _understand(
        self,
        hypothesis: Hypothesis,
        listening: Listening,
        ahead: asyncio.Task[tuple[Hypothesis, str]] | None,
        interjection: str,
    ) -> tuple[str, Answer | None]:
        """The caller's words and the answer to them; no answer when the endpoint is to give it."""
        if not listening.has_speech:
            return "", Answer(text("nothing_heard", self._voice.language))
        if interjection and (
            certainty(hypothesis) < MIN_SURE or understand(hypothesis.words) is None
        ):
            return interjection, self._answer_interjection(interjection)
        transcript = ""
        if certainty(hypothesis) < MIN_SURE or hypothesis.open_at is not None:
            second, transcript = await (ahead or self._reconsider(listening.audio))
            hypothesis = max(hypothesis, second, key=certainty)
        words, score = hypothesis.words, certainty(hypothesis)
        found = understand(words) if plausible(score) else None
        if found is not None and (score >= MIN_SURE or self._confirm(hypothesis, transcript)):
            if hypothesis.open_at is None:
                return _display(words), self._answer(*found)
            opened = listening.audio[hypothesis.open_at :]
            rest = await self._engine.dictation.transcribe(opened)
            skill, slots = found
            answer = self._answer(skill, slots | {"anything": rest})
            return _display(words).replace("…", rest), answer
        if (found := understand(tuple(transcript.split()))) is not None:
            return transcript, self._answer(*found)
        if self._engine.settings.llm.base_url and transcript:
            return transcript, None
        return transcript, Answer(text("not_understood", self._voice.language))

    def _answer_interjection(self, words: str) -> Answer | None:
        if (found := understand(tuple(words.split()))) is not None:
            return self._answer(*found)
        if self._engine.settings.llm.base_url:
            return None
        return Answer(text("stop", self._voice.language))

    def _confirm(self, hypothesis: Hypothesis, transcript: str) -> bool:
        command = self._engine.grammar.phones(hypothesis.words)
        heard = self._engine.dictation.phones(transcript)
        if hypothesis.open_at is not None:
            heard = heard[: len(command)]
        return agree(certainty(hypothesis), command, heard)

    def _answer(self, skill: Skill, slots: dict[str, str]) -> Answer:
        return skill.answer(Request(slots, self._voice, self._memory, self._engine.now()))

    async def _speak_all(self, words: str, exchange: Exchange) -> AsyncGenerator[Speech]:
        for sentence in _SENTENCE.findall(words):
            for piece in self._speak(sentence, exchange):
                yield piece
            await asyncio.sleep(0)

    def _speak(self, sentence: str, exchange: Exchange) -> list[Speech]:
        pieces = speak(sentence, self._voice)
        exchange.add(sentence)
        return pieces


def _display(words: tuple[str, ...]) -> str:
    return " ".join("…" if word == OPEN else word for word in words)
