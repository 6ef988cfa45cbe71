"""Does the caller want the floor? What is said over an answer, and what is to be made of it.

Who speaks over an answer may want it to stop, or may only say "uh-huh"; or a door fell shut. In the
first tenth of a second nobody can tell, and whoever waits until he can stops too late. So it is
decided in steps, each of which can be taken back until the last:

    WAIT    a sound: the answer is lowered, and goes on
    HOLD    full-voiced speech of `min_duration`: the answer falls silent, but is kept
    TAKE    the words ask for it, or it is too long for a "yes": the answer is over
    IGNORE  a backchannel, or next to nothing: the answer goes on, from the word that was cut

What speaks for a backchannel is its words, its length, and that it is said more softly than the
caller usually speaks: a soft one lowers the answer and never holds it, so that there is no gap.
"""

import math
from dataclasses import dataclass
from enum import Enum

from media.phrases import Phrases, count_words, has_stop, is_backchannel, normalize
from media.vad import Activity

SOFT = 8.0
"""dB under the caller's usual level at which speech is soft."""

IN_ECHO = 0.2
"""Seconds of speech that silence the answer at least where it has an echo: some slips through."""

UNWORDED = 0.3
"""Seconds of full voice that interrupt where the engine gives no words; a cough is shorter."""

UNKNOWN = 0.5
"""The same where it gives words but found none: it would have known most backchannels."""

STOPPED = 15.0
"""dB under its loudest at which a sound has stopped, and has not only become background."""

UNDERSTOOD_AFTER = 0.3
"""Seconds of silence after a word in which an engine that knows it has said so."""

PAUSE = 0.1
"""Seconds of silence that are a pause: a backchannel that was understood as one is over."""


EPSILON = 1e-9
"""Seconds, by which five times 0.02 may be under 0.1."""


@dataclass(frozen=True)
class InterruptionSettings:
    """Configuration section `interruption`: what counts as the caller's barge-in. Seconds."""

    enabled: bool = True
    echo_gate: bool = True  # take the answer's own echo out of what the microphone hears
    duck: float = 12.0  # dB by which the answer is lowered at the first sound of the caller's
    min_duration: float = 0.1  # of speech over the answer that silence it
    min_words: int = 0  # that it takes to end it, where the engine gives words; 0: length counts
    backchannel_duration: float = 0.7  # longer speech is no backchannel
    resume_false_interruption: bool = True  # False: what silences the answer ends it
    false_interruption_timeout: float = 0.6  # of silence after which what was said was nothing
    words: str = "configs/words.yaml"  # file of the words that do not interrupt, and that do


class Verdict(Enum):
    """What to do about it; see the top of the file."""

    WAIT = "wait"
    HOLD = "hold"
    TAKE = "take"
    IGNORE = "ignore"


@dataclass(slots=True)
class Overlap:
    """What the caller has said over the answer so far, and the turn that it may become."""

    turn: int = 0  # its number, once the engine listens to it
    text: str = ""  # what the engine makes of it
    words: tuple[str, ...] = ()  # the same, as `media.phrases` has words
    complete: bool | None = None
    silence: float = 0.0  # seconds since its last sound
    over: bool = False  # its latest run of speech has ended
    loudest: float = -math.inf  # dBFS
    _faded: float = 0.0  # seconds from its last sound to the last that was near its loudest
    _before: float = 0.0  # seconds of speech, of the runs that are over
    _run: float = 0.0  # and of the latest
    _lasted_before: float = 0.0  # the same with the gaps in the runs
    _lasted: float = 0.0

    @property
    def speech(self) -> float:
        """Seconds of it."""
        return self._before + self._run

    @property
    def length(self) -> float:
        """Seconds of it, with the gaps, of which noise makes many: as much again at most."""
        return min(max(self.speech, self._lasted_before + self._lasted), 2 * self.speech)

    @property
    def stopped(self) -> bool:
        """Whether whoever spoke has paused: talk in the background only ceases to stand out."""
        return self.over and self.silence - self._faded >= PAUSE - EPSILON

    def follow(self, activity: Activity, decibels: float) -> None:
        """Hear the caller's next frame, of this level in dBFS."""
        run = activity.speech + activity.attack
        if run < self._run:
            self._before += self._run
            self._lasted_before += self._lasted
            self._lasted = 0.0
        self._run = run
        if not activity.silence:
            self._lasted = activity.age
        self.silence = activity.silence
        self.over = not activity.speech
        if not activity.silence:
            self.loudest = max(self.loudest, decibels)
            self._faded = 0.0
        elif decibels >= self.loudest - STOPPED:
            self._faded = activity.silence

    def understand(self, text: str, complete: bool | None) -> None:
        """These are its words so far, says the engine."""
        self.text, self.words, self.complete = text, normalize(text), complete


def judge(
    said: Overlap,
    settings: InterruptionSettings,
    phrases: Phrases,
    usual: float | None,
    worded: bool,
    echoes: bool = False,
) -> Verdict:
    """What is to be made of what was said over the answer so far.

    `usual` is how loud the caller is in his turns, in dBFS, None before the first; `worded`
    whether this engine gives words while it listens; `echoes` whether this line has an echo.
    """
    enough = settings.min_duration
    if echoes:
        # What is left of the caller tells not how loud he is, and may not be understood.
        usual, worded, enough = None, False, max(enough, IN_ECHO)
    if has_stop(said.words, phrases):
        return Verdict.TAKE
    soft = usual is not None and said.loudest < usual - SOFT
    # Of soft talk that may be somebody else's only a whole request counts.
    understood = said.complete is True if soft else True
    if understood and count_words(said.words, phrases) >= max(1, settings.min_words):
        return Verdict.TAKE
    if said.speech < enough - EPSILON:
        return Verdict.IGNORE if said.over else Verdict.WAIT
    if not settings.resume_false_interruption:
        return Verdict.TAKE
    backchannel = is_backchannel(said.words, phrases)
    by_length = not (settings.min_words and worded)
    # Assent may go on for a while, and what is soft and does not stop may be the background.
    patience = 3 if soft and not said.stopped else 2 if backchannel else 1
    if by_length and said.length >= patience * settings.backchannel_duration - EPSILON:
        return Verdict.TAKE
    if backchannel and said.silence >= PAUSE - EPSILON:
        return Verdict.IGNORE
    if said.silence >= settings.false_interruption_timeout - EPSILON:
        return Verdict.IGNORE
    if soft:
        return Verdict.WAIT
    if by_length and _was_meant(said, worded):
        return Verdict.TAKE
    return Verdict.HOLD


def _was_meant(said: Overlap, worded: bool) -> bool:
    """Of full-voiced speech that is over: whether it was too long for nothing."""
    if worded:
        return said.silence >= UNDERSTOOD_AFTER - EPSILON and said.length >= UNKNOWN - EPSILON
    return said.over and said.length >= UNWORDED - EPSILON
