"""A call for the tests of media.conversation: a caller by script, an engine by hand.

Time is counted in steps of 20 ms: in each step the caller's frame is heard, then a frame is pulled.
Frames are constants, so that each can be told apart: 10 000 + step while the caller speaks (the
scripted detector goes by the sign), -1 - step while not, and -10 000 - step for a sound as loud as
speech that the detector does not take for it.
"""

from typing import Any

import numpy as np

from media.actions import Action, CancelTurn, Listen, Notify, Say, StartTurn
from media.conversation import Conversation
from media.endpointing import EndpointingSettings
from media.events import (
    ReplyEnded,
    ReplyHeard,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    StateChanged,
    UserStarted,
    UserStopped,
)
from media.frames import AudioFrame, Samples
from media.interruption import InterruptionSettings
from media.phrases import make_phrases
from media.vad import VAD_RATE, VadSettings

OUT = 24_000
REPLY_TIMEOUT = 5.0
AT_ONCE = InterruptionSettings(echo_gate=False, resume_false_interruption=False)
"""What silences an answer ends it; tests/media/test_overlap.py has the steps in between. Without
the echo gate, for these frames are no sound that could have an echo."""

PHRASES = make_phrases(("okay", "uh-huh"), ("stop", "wait"))


class SignDetector:
    """Positive is speech."""

    def probability(self, samples: Samples) -> float:
        return 1.0 if samples[0] > 0 else 0.0


def spell(action: Action) -> str:
    """An action in a few words, for traces."""
    match action:
        case Listen(turn, frame):
            return f"listen {turn} {frame.samples[0]}"
        case StartTurn(turn):
            return f"start {turn}"
        case Say(turn, text):
            return f"say {turn} {text!r}"
        case CancelTurn(turn, seconds, text):
            return f"cancel {turn}: heard {seconds:.3f} s {text!r}"
        case Notify(StateChanged(state)):
            return f"= {state}"
        case Notify(UserStarted(turn) | UserStopped(turn) | ReplyStarted(turn) as event):
            return f"{event.type} {turn}"
        case Notify(ReplyPaused(turn) | ReplyResumed(turn) as event):
            return f"{event.type} {turn}"
        case Notify(ReplyEnded() as ended):
            end = "interrupted" if ended.interrupted else "done"
            said = f"{ended.seconds:.3f} s {ended.heard!r} of {ended.text!r}"
            return f"reply.ended {ended.turn}: {said}, {end}"
        case Notify(ReplyHeard(turn, text)):
            return f"reply.heard {turn}: {text!r}"
        case Notify(event):
            return repr(event)


class Call:
    """A caller by script and an engine by hand; what is done is traced with its time in ms."""

    def __init__(
        self,
        vad: VadSettings | None = None,
        endpointing: EndpointingSettings | None = None,
        interruption: InterruptionSettings | None = None,
        partials: bool = False,
    ) -> None:
        self.conversation = Conversation(
            vad or VadSettings(),
            endpointing or EndpointingSettings(),
            interruption or AT_ONCE,
            PHRASES,
            input_rate=VAD_RATE,
            output_rate=OUT,
            reply_timeout=REPLY_TIMEOUT,
            partials=partials,
            detector=SignDetector(),
        )
        self.step = 0
        self.trace: list[str] = []
        self.actions: list[Action] = []
        self.played: list[Samples] = []

    @property
    def now(self) -> float:
        return self.step * 0.02

    @property
    def state(self) -> str:
        return self.conversation.state.value

    def drain(self) -> list[Action]:
        actions = self.conversation.actions()
        assert self.conversation.actions() == []
        self.actions += actions
        self.trace += [f"{self.step * 20} {spell(a)}" for a in actions if not isinstance(a, Listen)]
        return actions

    def hear(self, script: str) -> list[Action]:
        """A frame for each character: "x" speech, "o" as loud but none, "." quiet, " " nothing."""
        out: list[Action] = []
        for kind in script:
            self.step += 1
            timeout = self.conversation.timeout
            if timeout is not None and self.now >= timeout - 1e-9:
                self.conversation.handle_timeout(max(self.now, timeout))
                out += self.drain()
            if kind != " ":
                loud = 10_000 + self.step
                value = {"x": loud, "o": -loud, ".": -1 - self.step}[kind]
                out += self.receive(np.full(320, value, dtype=np.int16))
            else:
                out += self.pull()
        return out

    def receive(self, samples: Samples) -> list[Action]:
        """The caller's frame of this step, and then a pull."""
        self.conversation.receive_frame(AudioFrame(samples, VAD_RATE), self.now)
        return self.drain() + self.pull()

    def pull(self) -> list[Action]:
        self.played.append(self.conversation.pull(self.now))
        return self.drain()

    def say(self, text: str, seconds: float, turn: int | None = None, value: int = 500) -> None:
        """The engine's next piece."""
        samples = np.full(round(seconds * OUT), value, dtype=np.int16)
        turn = self.conversation.turn if turn is None else turn
        self.conversation.receive_speech(turn, samples, OUT, text, self.now)
        self.drain()

    def end(self) -> None:
        self.conversation.receive_end(self.conversation.turn)
        self.drain()

    def told_heard(self) -> str:
        """The words of the answers that the listeners know to be heard."""
        notified = [a.event for a in self.actions if isinstance(a, Notify)]
        return "".join(event.text for event in notified if isinstance(event, ReplyHeard))

    def listened(self) -> list[int]:
        """The steps of the frames that went to the engine."""
        values = [int(a.frame.samples[0]) for a in self.actions if isinstance(a, Listen)]
        return [abs(v) - 10_000 if abs(v) > 10_000 else -1 - v for v in values]


ASK = 10 * "." + 10 * "x" + 20 * "."
"""0.2 s of quiet, 0.2 s of speech, and the silence that ends the turn: 40 steps."""


def asked(**options: Any) -> Call:
    """A call in THINKING, the caller's turn 1 just over, at 800 ms."""
    call = Call(**options)
    call.hear(ASK)
    assert call.state == "thinking"
    return call


def answering(**options: Any) -> Call:
    """A call in SPEAKING: a word a tenth of a second, four seconds of them, at 800 ms."""
    call = asked(**options)
    for number in range(40):
        call.say(f"w{number} ", 0.1)
    call.end()
    assert call.state == "speaking"
    call.trace.clear()
    call.actions.clear()
    call.played.clear()
    return call


def words_heard(number: int) -> list[str]:
    """The trace of the first words of `answering`: each is heard when its tenth is over."""
    return [f"{900 + 100 * n} reply.heard 1: 'w{n} '" for n in range(number)]
