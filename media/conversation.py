"""Who has the turn: the one state machine of a call, without I/O and without a clock.

The theory. Two parties share a line, and at any time the floor is the caller's, the bot's, or
nobody's. The caller takes it by speaking (`onset`), keeps it through pauses (`hangover`), and gives
it up by a silence long enough (`endpointing`). The bot takes it only when the caller has given it
up, and loses it at once when the caller speaks over it (`interruption`): barge-in. Each turn of the
caller has a number, the answer to it carries the same number, and everything that arrives for
another number is late and dies in `_is_current`. Nothing else is needed against races.

    state          input                          next             what is done
    ------------   ----------------------------   --------------   ---------------------------------
    LISTENING      speech >= vad.onset            USER_SPEAKING    next number; listen from pre-roll
    USER_SPEAKING  silence >= vad.hangover        ENDPOINTING
    ENDPOINTING    speech                         USER_SPEAKING
    ENDPOINTING    silence >= end-of-turn delay   THINKING         StartTurn
    THINKING       first sound of the answer      SPEAKING
    THINKING       answer ends without a sound    LISTENING
    SPEAKING       answer pulled to its end       LISTENING
    LISTENING      rewind into the last answer    SPEAKING
    THINKING       speech + attack >=             USER_SPEAKING    CancelTurn; next number, which
                     min_duration                                  listens to the old turn again
    SPEAKING       the same                       USER_SPEAKING    flush, CancelTurn with what was
                                                                   heard; next number; pre-roll
    either         the client interrupts          LISTENING        flush, CancelTurn
    either         the engine fails or is silent  SPEAKING         flush, CancelTurn, a spoken tone
    any            close                          CLOSED           CancelTurn if one is running

The caller's time is counted in frames: while none come, because a transport was lost, nothing of
the caller's is decided. (A caller who is there but sends no audio is silent: his transport says so
with frames of silence.) The answer's time is counted in pulls, and stands still while there are
none. So a call goes on after a gap as if there had been none, from what was heard: `rewind`.

How to drive it: call an input (`receive_*`, `interrupt`, `handle_timeout`, `pull`, `rewind`,
`close`), then carry out `actions()`, always and in order, before the next input. `now` is any
monotonic time in seconds. After each input `timeout` says when to call `handle_timeout`, if ever.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from media.endpointing import EndpointingSettings, end_of_turn_delay
from media.events import (
    Event,
    Failure,
    ReplyEnded,
    ReplyHeard,
    ReplyStarted,
    ReplyText,
    StateChanged,
    UserStarted,
    UserStopped,
    UserTranscript,
)
from media.frames import AudioFrame, Samples, frame_length, silence
from media.playout import PlayoutBuffer
from media.resample import Resampler
from media.tones import apology
from media.vad import (
    VAD_RATE,
    Activity,
    SpeechRun,
    VadSettings,
    VoiceDetector,
    level,
    make_detector,
)


class State(Enum):
    """Who has the turn."""

    LISTENING = "listening"
    USER_SPEAKING = "user_speaking"
    ENDPOINTING = "endpointing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    CLOSED = "closed"


_NEXT = {
    State.LISTENING: {State.USER_SPEAKING, State.SPEAKING, State.CLOSED},
    State.USER_SPEAKING: {State.ENDPOINTING, State.THINKING, State.CLOSED},
    State.ENDPOINTING: {State.USER_SPEAKING, State.THINKING, State.CLOSED},
    State.THINKING: {State.SPEAKING, State.USER_SPEAKING, State.LISTENING, State.CLOSED},
    State.SPEAKING: {State.LISTENING, State.USER_SPEAKING, State.CLOSED},
    State.CLOSED: set[State](),
}

PRE_ROLL_FRAMES = 100  # 2 s: more than any pre-roll and the run of speech that confirms it
UTTERANCE_FRAMES = 1500  # 30 s: what is listened again when a turn goes on


@dataclass(frozen=True)
class InterruptionSettings:
    """Configuration section `interruption`: what counts as the caller's barge-in."""

    enabled: bool = True
    min_duration: float = 0.1  # seconds of speech over the answer that stop it


@dataclass(frozen=True, slots=True)
class Listen:
    """Give this frame of the caller's turn to the engine."""

    turn: int
    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class StartTurn:
    """The caller has finished: ask the engine to answer."""

    turn: int


@dataclass(frozen=True, slots=True)
class CancelTurn:
    """Stop the engine's answer and let it know what was heard of it."""

    turn: int
    heard_seconds: float
    heard_text: str


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell everyone who listens."""

    event: Event


Action = Listen | StartTurn | CancelTurn | Notify


class Conversation:
    """The turns of one call, and the playout of the answers.

    Frames come in at `input_rate`, 20 ms each; `pull` gives 20 ms at `output_rate`. `detector`
    may be given for tests; otherwise it is the one the settings name.
    """

    live = False

    def __init__(
        self,
        vad: VadSettings,
        endpointing: EndpointingSettings,
        interruption: InterruptionSettings,
        *,
        input_rate: int,
        output_rate: int,
        reply_timeout: float,
        detector: VoiceDetector | None = None,
    ) -> None:
        self._vad = vad
        self._endpointing = endpointing
        self._interruption = interruption
        self._reply_timeout = reply_timeout
        self._detector = detector or make_detector(vad)
        self._detector_resampler = Resampler(input_rate, VAD_RATE, "LQ")
        self._detector_pending = silence(0)
        self._probability = 0.0
        self._run = SpeechRun(vad)
        self._playout = PlayoutBuffer(output_rate)
        self._state = State.LISTENING
        self._turn = 0
        self._complete: bool | None = None
        self._pre_roll: deque[AudioFrame] = deque(maxlen=PRE_ROLL_FRAMES)
        self._utterance: deque[AudioFrame] = deque(maxlen=UTTERANCE_FRAMES)
        self._engine_busy = False  # between StartTurn and the end of the engine's answer
        self._replying = False  # something of the answer has come
        self._deadline: float | None = None
        self._actions: list[Action] = []

    @property
    def state(self) -> State:
        return self._state

    @property
    def turn(self) -> int:
        """The number of the caller's latest turn; 0 before the first."""
        return self._turn

    @property
    def due(self) -> float | None:
        """From when on a frame is to be pulled every 20 ms: 0, at once, or None, not now."""
        busy = self._state is State.SPEAKING or not self._playout.settled
        return 0.0 if busy else None

    @property
    def underruns(self) -> int:
        """How often an answer ran dry because the engine was late."""
        return self._playout.underruns

    @property
    def unheard(self) -> int:
        """Of the frames before it, how many the caller's side has still to play."""
        return self._playout.unheard

    @property
    def sequence(self) -> int:
        """The number of the frame that `pull` gives next."""
        return self._playout.sequence

    @property
    def timeout(self) -> float | None:
        """When to call `handle_timeout`, on the clock of `now`."""
        return self._deadline

    def actions(self) -> list[Action]:
        """What to do now, in order. Each is returned once."""
        actions, self._actions = self._actions, []
        return actions

    # Inputs: the caller

    def receive_frame(self, frame: AudioFrame, now: float) -> None:
        """Hear the next 20 ms of the caller."""
        activity = self._hear(frame)
        match self._state:
            case State.LISTENING:
                self._pre_roll.append(frame)
                if activity.speech >= self._vad.onset:
                    self._playout.reset()
                    self._begin_turn(activity)
            case State.THINKING | State.SPEAKING:
                self._pre_roll.append(frame)
                policy = self._interruption
                speech = activity.speech + activity.attack
                if policy.enabled and speech >= policy.min_duration - 1e-9:
                    self._barge_in(activity)
            case State.USER_SPEAKING | State.ENDPOINTING:
                self._listen(frame)
                self._follow(activity, now)
            case State.CLOSED:
                pass

    def interrupt(self) -> None:
        """The client asks for silence, by a button and not by voice."""
        if self._state in (State.THINKING, State.SPEAKING):
            self._stop_reply(interrupted=True)
            self._enter(State.LISTENING)

    def close(self) -> None:
        """The call is over."""
        if self._state is not State.CLOSED:
            self._stop_reply(interrupted=True)
            self._enter(State.CLOSED)

    # Inputs: the engine

    def receive_transcript(
        self, turn: int, text: str, final: bool, complete: bool | None = None
    ) -> None:
        """What the engine understands of the caller, and whether it sounds finished."""
        if self._is_current(turn):
            self._complete = complete
            self._notify(UserTranscript(turn, text, final))

    def receive_speech(self, turn: int, samples: Samples, rate: int, text: str, now: float) -> None:
        """The next piece of the answer: mono PCM at `rate` Hz and the words it speaks."""
        if not (self._is_current(turn) and self._engine_busy):
            return
        self._replying = True
        if len(samples) and self._state is State.THINKING:
            self._enter(State.SPEAKING)
            self._notify(ReplyStarted(turn))
        self._playout.push(samples, rate, text)
        self._deadline = now + self._playout.buffered + self._reply_timeout
        if text:
            self._notify(ReplyText(turn, text))

    def receive_end(self, turn: int) -> None:
        """The engine has given all of its answer."""
        if not (self._is_current(turn) and self._engine_busy):
            return
        self._engine_busy = False
        self._deadline = None
        self._playout.finish()
        if self._state is State.THINKING:
            self._end_reply(interrupted=False)
            self._enter(State.LISTENING)

    def fail_reply(self, turn: int, message: str) -> None:
        """The engine cannot answer this turn: say sorry with a tone and listen again."""
        if not (self._is_current(turn) and self._engine_busy):
            return
        self._stop_reply(interrupted=True)
        self._notify(Failure("engine_failed", message))
        self._playout.push(apology(self._playout.rate), self._playout.rate)
        self._playout.finish()
        if self._state is State.THINKING:
            self._enter(State.SPEAKING)

    # Inputs: time

    def handle_timeout(self, now: float) -> None:
        """Call when `timeout` has come; early or needless calls do no harm."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        self.fail_reply(self._turn, f"no answer in {self._reply_timeout:g} s")

    def pull(self) -> Samples:
        """The next 20 ms for the caller to hear, silence included."""
        samples = self._playout.pull()
        if self._state is State.SPEAKING:
            if self._playout.drained:
                self._end_reply(interrupted=False)
                self._enter(State.LISTENING)
            else:
                self._tell_heard()
        return samples

    def receive_played(self, sequence: int) -> None:
        """The caller's side plays the frame of this number next."""
        self._playout.receive_played(sequence)

    def rewind(self, sequence: int) -> None:
        """The frames from this number on were lost on their way: pull them again."""
        self._playout.rewind(sequence)
        if self._state is State.LISTENING and self._playout.buffered:
            self._replying = bool(self._playout.text)
            self._enter(State.SPEAKING)

    # The caller's turn

    def _hear(self, frame: AudioFrame) -> Activity:
        fresh = self._detector_resampler.process(frame.samples)
        pending = np.concatenate((self._detector_pending, fresh))
        window = frame_length(VAD_RATE)
        while len(pending) >= window:
            self._probability = self._detector.probability(pending[:window])
            pending = pending[window:]
        self._detector_pending = pending
        return self._run.receive(self._probability, level(frame.samples), frame.seconds)

    def _begin_turn(self, activity: Activity, again: Sequence[AudioFrame] = ()) -> None:
        self._turn += 1
        self._complete = None
        wanted = activity.age + self._vad.pre_roll
        heard: list[AudioFrame] = []
        while self._pre_roll and wanted > 1e-6:
            heard.append(self._pre_roll.pop())
            wanted -= heard[-1].seconds
        self._pre_roll.clear()
        self._enter(State.USER_SPEAKING)
        self._notify(UserStarted(self._turn))
        self._utterance.clear()
        for frame in (*again, *reversed(heard)):
            self._listen(frame)

    def _listen(self, frame: AudioFrame) -> None:
        self._utterance.append(frame)
        self._actions.append(Listen(self._turn, frame))

    def _follow(self, activity: Activity, now: float) -> None:
        if activity.silence == 0.0:
            if self._state is State.ENDPOINTING:
                self._enter(State.USER_SPEAKING)
        elif activity.silence >= end_of_turn_delay(self._endpointing, self._complete):
            self._end_turn(now)
        elif activity.silence >= self._vad.hangover and self._state is State.USER_SPEAKING:
            self._enter(State.ENDPOINTING)

    def _end_turn(self, now: float) -> None:
        self._enter(State.THINKING)
        self._notify(UserStopped(self._turn))
        # What was said until here is answered; only speech from now on can be a barge-in.
        self._run = SpeechRun(self._vad)
        self._playout.reset()
        self._engine_busy = True
        self._deadline = now + self._reply_timeout
        self._actions.append(StartTurn(self._turn))

    def _barge_in(self, activity: Activity) -> None:
        # While nothing of an answer was heard, the caller only paused: it is one request.
        again = list(self._utterance) if self._state is State.THINKING else []
        self._stop_reply(interrupted=True)
        self._begin_turn(activity, again)

    # The answer

    def _is_current(self, turn: int) -> bool:
        """The one place where late output of an old turn dies."""
        return turn == self._turn and self._state is not State.CLOSED

    def _stop_reply(self, interrupted: bool) -> None:
        self._playout.flush()
        if self._engine_busy or self._replying:
            heard = self._playout.heard_text()
            self._actions.append(CancelTurn(self._turn, self._playout.heard, heard))
        self._engine_busy = False
        self._end_reply(interrupted)

    def _end_reply(self, interrupted: bool) -> None:
        self._deadline = None
        playout = self._playout
        if self._replying and interrupted:
            heard, seconds = playout.heard_text(), playout.heard
            self._notify(ReplyEnded(self._turn, playout.text, heard, seconds, interrupted))
        elif self._replying:
            self._tell_heard(over=True)
            text = playout.text
            self._notify(ReplyEnded(self._turn, text, text, playout.played, interrupted))
        self._replying = False
        if interrupted:
            playout.reset()  # else it stays for `rewind`

    def _tell_heard(self, over: bool = False) -> None:
        if words := self._playout.newly_heard(over):
            self._notify(ReplyHeard(self._turn, words))

    def _enter(self, state: State) -> None:
        assert state in _NEXT[self._state], f"{self._state} may not become {state}"
        self._state = state
        self._notify(StateChanged(state.value))

    def _notify(self, event: Event) -> None:
        self._actions.append(Notify(event))
