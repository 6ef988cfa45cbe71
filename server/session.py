"""One call: carries audio between its transport and its engine, as the conversation decides.

The thin shell around `media.conversation`: it has the clock, the timer and the one task that reads
the engine's answer. Whatever it is told it passes to the conversation, and then carries out what
that decides, in order, without an `await` in between: that is why barge-in takes one tick.

A session outlives its transport. When that is lost, the conversation stands still and waits for the
caller to come back with the resume token, over whatever transport; it goes on from what was heard.
"""

import asyncio
import hmac
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace

from pyee import EventEmitter

from inference.protocol import (
    Chunk,
    Engine,
    EngineFailed,
    EngineInfo,
    EngineSession,
    Heard,
    Speech,
    Transcript,
    Voice,
)
from inference.protocol import VoiceChanged as EngineChangedVoice
from media.actions import Action, CancelTurn, Listen, Notify, Say, StartTurn
from media.conversation import State
from media.events import (
    Event,
    Failure,
    SessionResumed,
    SessionStarted,
    StateChanged,
    VoiceChanged,
)
from media.frames import AudioFrame, Samples
from server.dialogue import TurnTaking, begin_dialogue
from server.leg import Leg
from signaling.messages import ClientMessage, HangUp, Interrupt, Resume, SetVoice
from signaling.messages import Say as SayMessage
from signaling.transport import EVENT

logger = logging.getLogger(__name__)

OUTPUT_RATE = 24_000
"""Hz: above 8 kHz a voice holds nothing that Opus at 32 kbit/s would keep."""

KEPT_EVENTS = 1024
"""Sent again to a caller who missed them: many more than a minute of talk has."""

STALE_FRAMES = 50
"""Frames given since anything last came from the caller: after so many the transport is dead."""


@dataclass(frozen=True)
class SessionSettings:
    """Configuration section `session`. Times in seconds."""

    reply_timeout: float = 15.0  # an engine silent for so long has failed this turn
    resume_window: float = 30.0  # a caller whose transport was lost is waited for so long


def _named(voice: Voice, info: EngineInfo) -> Voice:
    """The voice with its name filled in: the engine's first, where none was chosen."""
    return voice if voice.name or not info.voices else replace(voice, name=info.voices[0].name)


class ResumeRefused(Exception):
    """The token is not, or no longer, the session's."""


class Session:
    """A conversation with an engine, over any transport: each has a `leg` of it.

    `open` before anything else, `close` at the end. `events` emits every `media.events.Event`
    and its number under the name `signaling.transport.EVENT`. `on_over` is called when the caller
    hangs up, or was lost and did not come back.
    """

    output_rate = OUTPUT_RATE

    def __init__(
        self, engine: Engine, voice: Voice, turns: TurnTaking, settings: SessionSettings
    ) -> None:
        self.id = secrets.token_hex(8)
        self.events = EventEmitter()
        self.input_rate = engine.info.input_rate
        self.on_over: Callable[[], object] = lambda: None
        self._settings = settings
        self._token = secrets.token_urlsafe(16)
        self._seq = 0  # of the latest event
        self._log: deque[tuple[int, Event]] = deque(maxlen=KEPT_EVENTS)
        self._state = State.LISTENING.value
        self._leg: Leg | None = None  # the one that carries the call
        self._last_leg: Leg | None = None  # the same, also after it was lost
        self._expiry: asyncio.TimerHandle | None = None
        self._engine = engine
        self._voice = _named(voice, engine.info)
        self._loop = asyncio.get_running_loop()
        self._dialogue = begin_dialogue(
            engine.info, turns, output_rate=OUTPUT_RATE, reply_timeout=settings.reply_timeout
        )
        self._stack = AsyncExitStack()
        self._engine_session: EngineSession | None = None
        self._answer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._driving = False
        self._closed = False

    async def open(self) -> None:
        """Take a place at the engine. Raises EngineOverloaded or EngineFailed."""
        opened = self._engine.open(self._voice, self._receive_transcript)
        self._engine_session = await self._stack.enter_async_context(opened)

    async def close(self) -> None:
        """Free everything. Harmless when already done."""
        if self._closed:
            return
        self._closed = True
        self._dialogue.close()
        self._drive()
        for timer in (self._timer, self._expiry):
            if timer:
                timer.cancel()
        if self._answer:
            await asyncio.gather(self._answer, return_exceptions=True)
        await self._stack.aclose()
        self.events.remove_all_listeners()

    @property
    def turn(self) -> int:
        """The number of the caller's latest turn."""
        return self._dialogue.turn

    @property
    def underruns(self) -> int:
        """How often an answer ran dry."""
        return self._dialogue.underruns

    @property
    def started(self) -> bool:
        """Whether any transport has carried it yet."""
        return self._last_leg is not None

    @property
    def transport(self) -> str | None:
        """The kind of transport that carries the call now; None while it is lost."""
        return self._leg.transport if self._leg else None

    # How transports come and go

    def leg(self, transport: str, resume: Resume | None = None) -> Leg:
        """For a transport that is to carry the session. Raises ResumeRefused."""
        if resume is not None:
            self._check(resume.token)
            if resume.played is not None and self._leg:
                self.lose(self._leg)  # the caller says so, who knows best
        return Leg(self, transport, resume)

    def carry(self, leg: Leg) -> None:
        """From now on the session is carried by this leg."""
        try:
            if leg.resume:
                self._check(leg.resume.token)
        except ResumeRefused:
            leg.on_replaced()
            return
        last, lost = self._last_leg, self._leg is None
        self._leg = leg
        leg.carrying, leg.seen = True, self.sequence
        if self._expiry:
            self._expiry.cancel()
            self._expiry = None
        self._token = secrets.token_urlsafe(16)  # the old one is used
        if leg.resume is None:
            self._start(leg.transport)
        else:
            assert last is not None
            self._go_on(leg, leg.resume, last, lost)
        self._last_leg = leg
        if last:  # one that was given up by its caller may be open still
            last.carrying = False
            last.on_replaced()
        self._drive()

    def lose(self, leg: Leg) -> None:
        """This leg's transport is gone; if it carried the call, the caller may come back."""
        if self._leg is leg and not self._closed:
            self._leg = None
            leg.carrying = False
            wait = self._settings.resume_window
            self._expiry = self._loop.call_later(wait, lambda: self.on_over())

    def _check(self, token: str) -> None:
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            raise ResumeRefused("the resume token is not the latest one of this session")

    def _start(self, transport: str) -> None:
        info = self._engine.info
        self._emit(
            SessionStarted(
                session_id=self.id,
                resume_token=self._token,
                resume_window=self._settings.resume_window,
                transport=transport,
                engine=info.name,
                voices=tuple(asdict(voice) for voice in info.voices),
                emotions=info.emotions,
                languages=info.languages,
                voice=asdict(self._voice),
            )
        )

    def _go_on(self, leg: Leg, resume: Resume, last: Leg, lost: bool) -> None:
        self._leg = None  # what is missed comes first, and to this leg alone
        place = None
        if resume.played is not None:
            place = resume.played.sequence
            if resume.played.timestamp is not None:
                place = last.locate(resume.played.timestamp)
        if place is not None:
            self._dialogue.rewind(place)
        elif lost or self.sequence - last.seen > STALE_FRAMES:
            self._dialogue.rewind(last.seen - self._dialogue.unheard)
        else:
            leg.hold = self._dialogue.unheard
        missed = [(seq, event) for seq, event in self._log if seq > resume.seq]
        self._leg = leg
        for seq, event in missed:
            leg.send(event, seq)
        self._emit(
            SessionResumed(
                session_id=self.id,
                resume_token=self._token,
                resume_window=self._settings.resume_window,
                transport=leg.transport,
                state=self._state,
                turn=self.turn,
            )
        )

    # What the transport does, through its leg

    @property
    def sequence(self) -> int:
        """The number of the frame that is pulled next."""
        return self._dialogue.sequence

    @property
    def live(self) -> bool:
        return self._dialogue.live

    @property
    def due(self) -> float | None:
        return self._dialogue.due

    def receive_frame(self, samples: Samples) -> None:
        self._dialogue.receive_frame(AudioFrame(samples, self.input_rate), self._loop.time())
        self._drive()

    def pull(self) -> Samples:
        samples = self._dialogue.pull(self._loop.time())
        self._drive()
        return samples

    def receive_played(self, sequence: int) -> None:
        self._dialogue.receive_played(sequence, self._loop.time())

    def receive_message(self, message: ClientMessage) -> None:
        match message:
            case Interrupt():
                self._dialogue.interrupt()
                self._drive()
            case SetVoice():
                self._set_voice(message)
            case SayMessage(text, allow_interruptions):
                self.say(text, allow_interruptions)
            case HangUp():
                self.on_over()

    def say(self, text: str, allow_interruptions: bool = True) -> None:
        """Have the engine say this as soon as nobody speaks; the caller may not talk over it where
        that is not allowed."""
        self._dialogue.say(text, allow_interruptions)
        self._drive()

    def reject_message(self, reason: str) -> None:
        self._emit(Failure("bad_message", reason))

    # What the engine does

    def _receive_transcript(self, transcript: Transcript) -> None:
        self._dialogue.receive_transcript(
            transcript.turn, transcript.text, transcript.final, transcript.complete
        )
        self._drive()

    async def _read_answer(self, turn: int, answer: AsyncIterator[Chunk]) -> None:
        try:
            async for chunk in answer:
                match chunk:
                    case Transcript():
                        self._receive_transcript(chunk)
                    case Speech(samples, rate, text, allow_interruptions):
                        now = self._loop.time()
                        self._dialogue.receive_speech(
                            turn, samples, rate, text, now, allow_interruptions
                        )
                    case EngineChangedVoice(voice):
                        self._voice = voice
                        self._emit(VoiceChanged(asdict(voice)))
                self._drive()
            self._dialogue.receive_end(turn)
        except EngineFailed as error:
            logger.warning("session %s turn %d: %s", self.id, turn, error)
            self._dialogue.fail_reply(turn, str(error))
        except Exception:
            # A bug, in us or in what the engine sent: it costs this answer, and is not lost.
            logger.exception("session %s turn %d", self.id, turn)
            self._dialogue.fail_reply(turn, "the answer could not be handled")
        self._drive()

    # What the conversation decides

    def _drive(self) -> None:
        """Carry out actions until there are none; what they cause is carried out in turn."""
        if self._driving:
            return
        self._driving = True
        try:
            while actions := self._dialogue.actions():
                for action in actions:
                    self._perform(action)
        finally:
            self._driving = False
        self._arm()
        if self._leg:
            self._leg.on_due()

    def _perform(self, action: Action) -> None:
        session = self._engine_session
        assert session is not None, "open the session before its transport starts"
        match action:
            case Listen(turn, frame):
                session.listen(turn, frame)
            case StartTurn(turn):
                answer = self._read_answer(turn, session.respond(turn))
                self._answer = asyncio.create_task(answer)
            case Say(turn, text):
                self._answer = asyncio.create_task(self._read_answer(turn, session.say(turn, text)))
            case CancelTurn(turn, seconds, text):
                if self._answer and self._answer is not asyncio.current_task():
                    self._answer.cancel()
                session.truncate(turn, Heard(seconds, text))
            case Notify(event):
                self._emit(event)

    def _arm(self) -> None:
        """One timer, moved only when it would come too late: deadlines move with every frame."""
        deadline = self._dialogue.timeout
        if self._closed or deadline is None:
            return
        if self._timer:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._handle_timeout)

    def _handle_timeout(self) -> None:
        self._timer = None
        self._dialogue.handle_timeout(self._loop.time())
        self._drive()

    def _set_voice(self, wish: SetVoice) -> None:
        assert self._engine_session is not None
        wished = {key: value for key, value in asdict(wish).items() if value is not None}
        voice = replace(self._voice, **wished)
        try:
            self._engine_session.set_voice(voice)
        except ValueError as error:
            self._emit(Failure("bad_voice", str(error)))
        else:
            self._voice = voice
            self._emit(VoiceChanged(asdict(voice)))

    def _emit(self, event: Event) -> None:
        self._seq += 1
        self._log.append((self._seq, event))
        if isinstance(event, StateChanged):
            self._state = event.state
        try:
            self.events.emit(EVENT, event, self._seq)
            if self._leg:
                self._leg.send(event, self._seq)
        except Exception:
            # A listener's bug; what the conversation decided besides is still to be done.
            logger.exception("session %s: a listener failed at %s", self.id, event.type)
