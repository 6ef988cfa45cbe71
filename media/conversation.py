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
    LISTENING      something is to be said        THINKING         next number; Say
    USER_SPEAKING  silence >= vad.hangover        ENDPOINTING
    ENDPOINTING    speech                         USER_SPEAKING
    ENDPOINTING    silence >= end-of-turn delay   THINKING         StartTurn
    THINKING       first sound of the answer      SPEAKING
    THINKING       answer ends without a sound    LISTENING
    THINKING       speech >= min_duration         USER_SPEAKING    CancelTurn; next number, which
                                                                   listens to the old turn again
    SPEAKING       answer pulled to its end       LISTENING
    LISTENING      rewind into the last answer    SPEAKING
    SPEAKING       a sound of the caller's        SPEAKING         the answer is lowered
    SPEAKING       it seems to be meant: HOLD     HELD             playout stands still
    HELD           it was not: IGNORE             SPEAKING         playout goes on at the cut word
    SPEAKING,HELD  it is an interruption: TAKE    USER_SPEAKING    flush, CancelTurn with what was
                                                                   heard; the caller's next turn
    any of these   the client interrupts          LISTENING        flush, CancelTurn
    any of these   the engine fails or is silent  SPEAKING         flush, CancelTurn, a spoken tone
    any            close                          CLOSED           CancelTurn if one is running

What is said over an answer is judged frame by frame (`media/interruption.py`). From `min_duration`
on the engine listens to it under the number of a next turn, for its words, while it goes on with
the answer; when it comes to nothing that number is never used again, and nothing else is to be
done.

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

from media.actions import Action, CancelTurn, Listen, Notify, Say, StartTurn
from media.endpointing import Endpointing, EndpointingSettings
from media.events import (
    Event,
    Failure,
    ReplyEnded,
    ReplyHeard,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    ReplyText,
    StateChanged,
    UserStarted,
    UserStopped,
    UserTranscript,
)
from media.frames import AudioFrame, Samples
from media.hearing import Heard, Hearing
from media.interruption import EPSILON, InterruptionSettings, Overlap, Verdict, judge
from media.levels import CallerLevel
from media.phrases import Phrases
from media.playout import PlayoutBuffer
from media.smart_turn import TurnModel
from media.tones import apology
from media.vad import Activity, VadSettings, VoiceDetector


class State(Enum):
    """Who has the turn."""

    LISTENING = "listening"
    USER_SPEAKING = "user_speaking"
    ENDPOINTING = "endpointing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    HELD = "held"
    CLOSED = "closed"


_NEXT = {
    State.LISTENING: {State.USER_SPEAKING, State.THINKING, State.SPEAKING, State.CLOSED},
    State.USER_SPEAKING: {State.ENDPOINTING, State.THINKING, State.CLOSED},
    State.ENDPOINTING: {State.USER_SPEAKING, State.THINKING, State.CLOSED},
    State.THINKING: {State.SPEAKING, State.USER_SPEAKING, State.LISTENING, State.CLOSED},
    State.SPEAKING: {State.HELD, State.LISTENING, State.USER_SPEAKING, State.CLOSED},
    State.HELD: {State.SPEAKING, State.LISTENING, State.USER_SPEAKING, State.CLOSED},
    State.CLOSED: set[State](),
}

_ANSWERING = (State.THINKING, State.SPEAKING, State.HELD)

PRE_ROLL_FRAMES = 100  # 2 s: more than any pre-roll and the run of speech that confirms it
UTTERANCE_FRAMES = 1500  # 30 s: what is listened again when a turn goes on


DUCK_AFTER = 0.04
"""Seconds of speech after which the answer is lowered: a click is shorter."""


@dataclass(frozen=True, slots=True)
class _Notice:
    """Something that is to be said when nobody speaks."""

    text: str
    allow_interruptions: bool


class Conversation:
    """The turns of one call, and the playout of the answers.

    Frames come in at `input_rate`, 20 ms each; `pull` gives 20 ms at `output_rate`. `phrases` are
    the words that do not interrupt, and those that do at once, `partials` whether the engine gives
    words while it listens; `turn_model` judges by its sound
    whether a turn is over. `detector` may be given for tests; otherwise it is the one the settings
    name.
    """

    live = False

    def __init__(
        self,
        vad: VadSettings,
        endpointing: EndpointingSettings,
        interruption: InterruptionSettings,
        phrases: Phrases,
        *,
        input_rate: int,
        output_rate: int,
        reply_timeout: float,
        partials: bool = False,
        turn_model: TurnModel | None = None,
        detector: VoiceDetector | None = None,
    ) -> None:
        self._vad = vad
        self._endpointing = Endpointing(endpointing, turn_model)
        self._interruption = interruption
        self._phrases = phrases
        self._reply_timeout = reply_timeout
        self._hearing = Hearing(
            vad,
            input_rate=input_rate,
            output_rate=output_rate,
            echo_gate=interruption.echo_gate,
            detector=detector,
        )
        self._caller_level = CallerLevel()
        self._playout = PlayoutBuffer(output_rate)
        self._state = State.LISTENING
        self._now = 0.0  # when the latest frame came or went
        self._turn = 0
        self._latest = 0  # number given to a turn, or to what might have become one
        self._text = ""  # of the caller's turn, as understood so far
        self._complete: bool | None = None
        self._worded = partials
        self._silence = 0.0  # seconds since the last sound of the caller's turn
        self._pre_roll: deque[Heard] = deque(maxlen=PRE_ROLL_FRAMES)
        self._utterance: deque[Heard] = deque(maxlen=UTTERANCE_FRAMES)
        self._overlap: Overlap | None = None  # what is being said over the answer
        self._notices: deque[_Notice] = deque()
        self._protected = False  # the answer is a notice that must be heard
        self._engine_busy = False  # between StartTurn and the end of the engine's answer
        self._replying = False  # something of the answer has come
        self._deadline: float | None = None
        self._actions: list[Action] = []

    @property
    def state(self) -> State:
        return self._state

    @property
    def turn(self) -> int:
        """The number of the latest turn; 0 before the first."""
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
        self._now = now
        parts = self._hearing.receive(frame, now)
        if self._overlap and self._hearing.mistaken:
            self._go_on()
        for part in parts:
            self._hear(part, now)

    def _hear(self, frame: AudioFrame, now: float) -> None:
        in_turn = self._state in (State.USER_SPEAKING, State.ENDPOINTING)
        heard = self._hearing.hear(frame, in_turn)
        activity = heard.activity
        if not in_turn:
            self._pre_roll.append(heard)
        match self._state:
            case State.LISTENING:
                if activity.speech >= self._vad.onset:
                    self._playout.reset()
                    self._begin_turn(self._recall(activity))
            case State.THINKING:
                self._silence += frame.seconds
                speech = activity.speech + activity.attack
                if self._interruptible and speech >= self._interruption.min_duration - EPSILON:
                    self._go_on_with_turn(activity)
            case State.SPEAKING | State.HELD:
                self._overhear(heard)
            case State.USER_SPEAKING | State.ENDPOINTING:
                self._listen(self._turn, heard)
                self._follow(heard, now)
            case State.CLOSED:
                pass

    def interrupt(self) -> None:
        """The client asks for silence, by a button and not by voice."""
        if self._state not in _ANSWERING:
            return
        if not self._allows_interruptions:
            message = "what is being said must be heard to its end"
            self._notify(Failure("interruption_not_allowed", message))
            return
        self._stop_reply(interrupted=True)
        self._listen_again()

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
        if self._state is State.CLOSED:
            return
        if self._overlap and self._overlap.turn and turn == self._overlap.turn:
            self._overlap.understand(text, complete)
            self._judge()
        elif turn == self._turn:
            self._text, self._complete = text, complete
            self._notify(UserTranscript(turn, text, final))

    def receive_speech(
        self,
        turn: int,
        samples: Samples,
        rate: int,
        text: str,
        now: float,
        allow_interruptions: bool = True,
    ) -> None:
        """The next piece of the answer: mono PCM at `rate` Hz and the words it speaks."""
        if not (self._is_current(turn) and self._engine_busy):
            return
        self._replying = True
        if len(samples) and self._state is State.THINKING:
            self._enter(State.SPEAKING)
            self._notify(ReplyStarted(turn))
        self._playout.push(samples, rate, text, allow_interruptions)
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
            self._listen_again()

    def fail_reply(self, turn: int, message: str) -> None:
        """The engine cannot answer this turn: say sorry with a tone and listen again."""
        if not (self._is_current(turn) and self._engine_busy):
            return
        self._stop_reply(interrupted=True)
        self._notify(Failure("engine_failed", message))
        self._playout.push(apology(self._playout.rate), self._playout.rate)
        self._playout.finish()
        if self._state is not State.SPEAKING:
            self._enter(State.SPEAKING)

    # Inputs: whoever runs the call

    def say(self, text: str, allow_interruptions: bool) -> None:
        """Say this as soon as nobody speaks and nothing is being answered."""
        self._notices.append(_Notice(text, allow_interruptions))
        if self._state is State.LISTENING:
            self._begin_notice()

    # Inputs: time

    def handle_timeout(self, now: float) -> None:
        """Call when `timeout` has come; early or needless calls do no harm."""
        if self._deadline is None or now < self._deadline:
            return
        self._deadline = None
        self.fail_reply(self._turn, f"no answer in {self._reply_timeout:g} s")

    def pull(self, now: float) -> Samples:
        """The next 20 ms for the caller to hear, silence included."""
        self._now = now
        sequence = self._playout.sequence
        samples = self._playout.pull()
        self._hearing.play(samples, sequence, now)
        if self._state is State.SPEAKING:
            if self._playout.drained:
                said = self._overlap
                self._end_reply(interrupted=False)
                if said and said.turn and not said.over:  # it was just in time to its end
                    self._enter(State.LISTENING)
                    self._give_floor(said)
                else:
                    self._listen_again()
            else:
                self._tell_heard()
        return samples

    def receive_played(self, sequence: int, now: float) -> None:
        """The caller's side plays the frame of this number next."""
        self._playout.receive_played(sequence)
        self._hearing.receive_played(sequence, now)

    def rewind(self, sequence: int) -> None:
        """The frames from this number on were lost on their way: pull them again."""
        self._playout.rewind(sequence)
        if self._state is State.LISTENING and self._playout.buffered:
            self._replying = bool(self._playout.text)
            self._enter(State.SPEAKING)

    # The caller's turn

    def _begin_turn(self, heard: Sequence[Heard]) -> None:
        """A new turn, of which so much was heard already."""
        self._turn = self._next_number()
        self._text, self._complete = "", None
        self._endpointing.begin_turn()
        self._enter(State.USER_SPEAKING)
        self._notify(UserStarted(self._turn))
        self._utterance.clear()
        for frame in heard:
            self._endpointing.hear(frame.samples)
            self._listen(self._turn, frame)

    def _next_number(self) -> int:
        self._latest += 1
        return self._latest

    def _recall(self, activity: Activity) -> list[Heard]:
        """The frames of the current run of speech, with the pre-roll."""
        wanted = activity.age + self._vad.pre_roll
        heard: list[Heard] = []
        while self._pre_roll and wanted > 1e-6:
            heard.append(self._pre_roll.pop())
            wanted -= heard[-1].frame.seconds
        self._pre_roll.clear()
        return heard[::-1]

    def _listen(self, turn: int, heard: Heard) -> None:
        self._utterance.append(heard)
        self._actions.append(Listen(turn, heard.frame))

    def _follow(self, heard: Heard, now: float) -> None:
        activity = heard.activity
        self._endpointing.hear(heard.samples)
        if activity.silence == 0.0:
            self._caller_level.receive(heard.decibels)
            if self._state is State.ENDPOINTING:
                self._endpointing.went_on(self._silence)
                self._enter(State.USER_SPEAKING)
        elif activity.silence >= self._endpointing.delay(self._text, self._complete) - EPSILON:
            self._end_turn(now)
        elif activity.silence >= self._vad.hangover and self._state is State.USER_SPEAKING:
            self._enter(State.ENDPOINTING)
        self._silence = activity.silence

    def _end_turn(self, now: float) -> None:
        self._enter(State.THINKING)
        self._notify(UserStopped(self._turn))
        self._caller_level.end_turn()
        self._await_answer(StartTurn(self._turn), now)

    def _await_answer(self, action: StartTurn | Say, now: float) -> None:
        # What was said until here is dealt with; only speech from now on can be a barge-in.
        self._hearing.begin_anew()
        self._playout.reset()
        self._engine_busy = True
        self._deadline = now + self._reply_timeout
        self._actions.append(action)

    def _go_on_with_turn(self, activity: Activity) -> None:
        """Nothing of an answer was heard yet, so the caller only paused: it is one request."""
        self._endpointing.went_on(self._silence)
        before = list(self._utterance)
        self._stop_reply(interrupted=True)
        self._begin_turn([*before, *self._recall(activity)])

    # What is said over an answer

    @property
    def _allows_interruptions(self) -> bool:
        return not self._protected and self._playout.allows_interruptions

    @property
    def _interruptible(self) -> bool:
        return self._interruption.enabled and self._allows_interruptions

    def _overhear(self, heard: Heard) -> None:
        activity = heard.activity
        if self._state is State.SPEAKING and not self._interruptible:
            if self._overlap:
                self._go_on()
            return
        if self._overlap is None:
            if not activity.speech:
                return
            self._overlap = Overlap()
        said = self._overlap
        said.follow(activity, heard.decibels)
        if said.turn:
            self._listen(said.turn, heard)
        elif said.speech >= self._interruption.min_duration - EPSILON:
            said.turn = self._next_number()
            self._utterance.clear()
            for frame in self._recall(activity):
                self._listen(said.turn, frame)
        if said.speech >= DUCK_AFTER - EPSILON:
            self._playout.duck(self._interruption.duck)
        self._judge()

    def _judge(self) -> None:
        said = self._overlap
        assert said is not None
        usual, echoes = self._caller_level.usual, self._hearing.echoes
        match judge(said, self._interruption, self._phrases, usual, self._worded, echoes):
            case Verdict.HOLD if self._state is State.SPEAKING:
                self._playout.hold()
                self._enter(State.HELD)
                self._notify(ReplyPaused(self._turn))
            case Verdict.TAKE:
                self._stop_reply(interrupted=True)
                self._give_floor(said)
            case Verdict.IGNORE:
                self._go_on()

    def _give_floor(self, said: Overlap) -> None:
        """What was said over the answer, which is over now, is the caller's turn."""
        self._turn, self._text, self._complete = said.turn, said.text, said.complete
        self._silence = said.silence
        self._endpointing.begin_turn()
        for heard in self._utterance:
            self._endpointing.hear(heard.samples)
        self._enter(State.USER_SPEAKING)
        self._notify(UserStarted(self._turn))
        if said.text:
            self._notify(UserTranscript(self._turn, said.text, final=False))

    def _go_on(self) -> None:
        """It was no interruption: the answer is as loud as before, and goes on where it was cut."""
        self._overlap = None
        self._hearing.begin_anew()
        self._playout.duck(0)
        if self._state is State.HELD:
            self._playout.resume()
            self._enter(State.SPEAKING)
            self._notify(ReplyResumed(self._turn))

    # The answer

    def _is_current(self, turn: int) -> bool:
        """The one place where late output of an old turn dies."""
        return turn == self._turn and self._state is not State.CLOSED

    def _listen_again(self) -> None:
        self._enter(State.LISTENING)
        if self._notices:
            self._begin_notice()

    def _begin_notice(self) -> None:
        notice = self._notices.popleft()
        self._turn = self._next_number()
        self._text, self._complete = "", None
        self._protected = not notice.allow_interruptions
        self._utterance.clear()
        self._enter(State.THINKING)
        self._await_answer(Say(self._turn, notice.text), self._now)

    def _stop_reply(self, interrupted: bool) -> None:
        self._playout.flush()
        if self._engine_busy or self._replying:
            heard = self._playout.heard_text()
            self._actions.append(CancelTurn(self._turn, self._playout.heard, heard))
        self._engine_busy = False
        self._end_reply(interrupted)

    def _end_reply(self, interrupted: bool) -> None:
        self._deadline = None
        self._overlap = None
        self._protected = False
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
