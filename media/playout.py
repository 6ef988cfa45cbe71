"""The answer's way out: unplayed audio waits here, where it can still be thrown away.

Chunks of any length and rate are pushed in; the transport pulls 20 ms at a time on its own clock.
The cursor counts what was pulled, corrected by what the far end says it has played, so everyone
agrees on what the caller heard. What was pulled lately is kept: when the transport is lost, what
had not been heard of it is pulled again.
"""

import re
from collections import deque
from dataclasses import dataclass

import numpy as np

from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from media.resample import Resampler

FADE_SECONDS = 0.008
"""Long enough that a cut does not click, short enough that nobody hears a word end."""

WORDLESS_SECONDS = 0.3
"""What is said again of an answer whose words are not known."""

REBUFFER_SECONDS = 0.06
"""After an underrun so much must be there before it plays on: one gap, not a stutter."""

KEPT_SECONDS = 20.0
"""Of pulled audio, to be pulled again: more than a transport can be dead before it is missed."""

TRAILING_FRAMES = 15
"""Of silence, pulled after the last sound: an encoder gives what it holds, and knows of silence."""

KEPT_FRAMES = round(KEPT_SECONDS / FRAME_SECONDS)


@dataclass(frozen=True, slots=True)
class _Mark:
    """The words of one piece, spoken from sample `start` to `end` of the answer."""

    start: int
    end: int
    text: str
    allow_interruptions: bool

    def words(self) -> list[str]:
        """The words, each with the space around it: spoken in equal shares of the piece."""
        return re.findall(r"\s*\S+\s*", self.text)

    def word_at(self, position: int) -> int:
        """Where the word begins that is spoken at this sample."""
        words = max(1, len(self.words()))
        length = max(1, self.end - self.start)
        word = max(0, min(position - self.start, length - 1)) * words // length
        return self.start + -(-word * length // words)


class PlayoutBuffer:
    """The unplayed part of one answer, mono at `rate` Hz, and how much of it was played.

    `push` until `finish`; `pull` all the while, also when there is nothing: it returns silence.
    `flush` throws away what is not yet played, `reset` makes ready for the next answer. While it is
    held, nothing is played and all is kept; `duck` lowers what is played.
    `sequence` numbers the pulled frames through all answers; the next one has this number.
    """

    def __init__(self, rate: int, kept_seconds: float = KEPT_SECONDS) -> None:
        self.rate = rate
        self._kept_limit = round(kept_seconds * rate)
        self.sequence = 0
        self._silent = TRAILING_FRAMES  # frames of silence pulled in a row
        self.underruns = 0
        self.unheard = 0  # frames that were pulled and, when last told, not yet played
        self._answer = 0
        # Where in which answer each pulled frame began.
        self._pulls: deque[tuple[int, int]] = deque(maxlen=KEPT_FRAMES)
        self._fade = round(FADE_SECONDS * rate)
        self._tail = silence(0)
        self._last = 0  # the latest sample pulled, from where a sound that stops has to fall
        self._gain = 1.0  # of what was pulled last
        self.reset()

    def reset(self) -> None:
        """Forget the answer; a fade-out that is still to be pulled survives."""
        self._answer += 1
        self._chunks: deque[Samples] = deque()
        self._kept: deque[Samples] = deque()
        self._kept_samples = 0
        self._buffered = 0
        self._played = 0
        self._dropped = 0
        self._pushed = 0
        self._marks: list[_Mark] = []
        self._told = 0  # of the marks, by `newly_heard`
        self._text: list[str] = []
        self._resampler: Resampler | None = None
        self._source_rate = 0
        self._source_samples = 0
        self._origin = 0
        self._finished = False
        self._starved = False
        self._held = False
        self._wanted_gain = 1.0

    @property
    def buffered(self) -> float:
        """Seconds of unplayed audio."""
        return self._buffered / self.rate

    @property
    def settled(self) -> bool:
        """Nothing more will come of what was pulled, not even an echo of it in an encoder."""
        return not len(self._tail) and self._silent >= TRAILING_FRAMES

    @property
    def fading(self) -> bool:
        """The next pull is the fade-out of what was flushed."""
        return len(self._tail) > 0

    @property
    def position(self) -> int:
        """Of the next sample to be pulled in this answer; what was dropped counts."""
        return self._played

    @property
    def pushed(self) -> int:
        """Samples of this answer so far."""
        return self._pushed

    @property
    def played(self) -> float:
        """Seconds of this answer that were pulled."""
        return (self._played - self._dropped) / self.rate

    @property
    def heard(self) -> float:
        """Seconds of this answer that the far end has played."""
        return max(0, self._cursor() - self._dropped) / self.rate

    @property
    def drained(self) -> bool:
        """Everything was pushed and everything pushed was pulled."""
        return self._finished and self._buffered == 0

    @property
    def allows_interruptions(self) -> bool:
        """Whether what is pulled next may be spoken over."""
        return all(
            mark.allow_interruptions
            for mark in self._marks[self._told :]
            if mark.start <= self._played < mark.end
        )

    @property
    def text(self) -> str:
        """All the words of the answer so far, heard or not."""
        return "".join(self._text)

    def heard_text(self) -> str:
        """The words whose sound was heard: a prefix of `text`.

        A piece that was cut gives the share of its words that its played share covers; half
        a word was not heard. Words without a sound are heard when what follows them begins.
        """
        heard = ""
        cursor = self._cursor()
        for mark in self._marks:
            length = max(1, mark.end - mark.start)
            played = max(0, cursor - mark.start)
            if played < length:
                words = mark.words()
                return heard + "".join(words[: played * len(words) // length])
            heard += mark.text
        return heard

    def newly_heard(self, over: bool = False) -> str:
        """The words of the pieces that were heard to their end since this was last asked.

        They never get ahead of `heard_text`. Of an answer that is `over`, all that are left.
        """
        first = self._told
        cursor = self._cursor()
        while self._told < len(self._marks):
            mark = self._marks[self._told]
            if not over and cursor < max(mark.end, mark.start + 1):
                break
            self._told += 1
        return "".join(mark.text for mark in self._marks[first : self._told])

    def push(
        self, samples: Samples, rate: int, text: str = "", allow_interruptions: bool = True
    ) -> None:
        """Append a piece of the answer. Empty samples with text are words without a sound."""
        if self._resampler is None or rate != self._source_rate:
            self._drain_resampler()
            self._resampler = Resampler(rate, self.rate)
            self._source_rate, self._source_samples = rate, 0
            self._origin = self._pushed
        start = self._position()
        self._source_samples += len(samples)
        self._append(self._resampler.process(samples))
        if text or not allow_interruptions:
            self._text.append(text)
            self._marks.append(_Mark(start, self._position(), text, allow_interruptions))

    def finish(self) -> None:
        """The answer is complete: nothing more will be pushed."""
        self._drain_resampler()
        self._finished = True

    def pull(self) -> Samples:
        """The next 20 ms to play: always a full frame, silence where there is nothing."""
        wanted = self._gain if self.fading else self._wanted_gain
        out = self._next_frame()
        if (self._gain, wanted) != (1.0, 1.0):
            self._amplify(out, wanted)
        self._silent = 0 if out.any() else self._silent + 1
        return out

    def _next_frame(self) -> Samples:
        self._pulls.append((self._answer, self._played))
        self.sequence += 1
        length = frame_length(self.rate)
        out = silence(length)
        if len(self._tail):
            out[: len(self._tail)] = self._tail
            self._tail = silence(0)
            return out
        if self._held:
            return out
        if self._starved and not self._finished and self.buffered < REBUFFER_SECONDS:
            return out
        taken = self._take(length)
        out[: len(taken)] = taken
        if self._starved and len(taken):
            _ramp(out[: self._fade], rising=True)
            self._starved = False
        if len(taken) < length and not self._finished and self._played and not self._starved:
            # The engine is late. Whether its sound stops on a loud sample is chance: soften it.
            self.underruns += 1
            self._starved = True
            self._fade_out(out, len(taken))
        self._last = int(out[-1])
        return out

    def duck(self, decibels: float) -> None:
        """Lower what is played by so much; by 0 raises it again."""
        self._wanted_gain = 10 ** (-decibels / 20)

    def hold(self) -> None:
        """Fall silent within a fade, and keep what is not played: the far end throws it away."""
        behind = self._played - self._cursor()
        self._give_back(self._stop_softly() + behind)
        self.unheard = 0
        self._held = True

    def resume(self) -> None:
        """Go on after `hold`, from the beginning of the word that was cut."""
        self._held = False
        self.duck(0)
        at = self._played
        cut = [
            mark.word_at(at) for mark in self._marks if mark.text and mark.start <= at < mark.end
        ]
        farthest = round(WORDLESS_SECONDS * self.rate)
        self._give_back(min(at - cut[0], self.rate) if cut else min(at, farthest))

    def _stop_softly(self) -> int:
        """Let the next pull fade out what was sounding; how many samples that takes."""
        if not (self._played and self._last):
            return 0
        taken = self._take(self._fade)
        self._tail = silence(self._fade)
        self._tail[: len(taken)] = taken
        self._fade_out(self._tail, len(taken))
        self._last = 0
        return len(taken)

    def flush(self) -> None:
        """Throw away what is not played, but let the next pull fade out what was sounding."""
        fading = self._stop_softly()
        self._played -= fading  # a fade is not heard as words
        self._chunks.clear()
        self._buffered = 0
        self._finished = True
        self._kept.clear()
        self._kept_samples = 0

    def receive_played(self, sequence: int) -> None:
        """The far end plays the frame of this number next; until it says more, it stays behind."""
        self.unheard = min(max(0, self.sequence - sequence), KEPT_FRAMES)

    def rewind(self, sequence: int) -> None:
        """Pull again what was pulled of this answer from the frame of this number on."""
        behind = min(self.sequence - sequence, len(self._pulls))
        self.unheard = 0
        if behind <= 0:
            return
        answer, played = self._pulls[-behind]
        self._give_back(self._played - (played if answer == self._answer else 0))

    def trim(self, seconds: float) -> None:
        """Drop the oldest unplayed audio over `seconds`: a live stream is never played late."""
        excess = self._buffered - round(seconds * self.rate)
        if excess <= 0:
            return
        # What was about to sound fades into what sounds instead.
        dropped = self._take(min(excess + self._fade, self._buffered))
        mixed = dropped[excess:].copy()
        before = dropped[: len(mixed)].copy()
        _ramp(mixed, rising=True)
        _ramp(before, rising=False)
        self._chunks.appendleft(mixed + before)
        self._buffered += len(mixed)
        self._played -= len(mixed)
        self._dropped += excess

    def _cursor(self) -> int:
        """How many samples of this answer the far end has played."""
        if not 0 < self.unheard <= len(self._pulls):
            return self._played
        answer, played = self._pulls[-self.unheard]
        return min(played, self._played) if answer == self._answer else 0

    def _position(self) -> int:
        """Where in the answer the next piece begins, the resampler's delay set aside."""
        return self._origin + self._source_samples * self.rate // self._source_rate

    def _drain_resampler(self) -> None:
        if self._resampler is not None and not self._finished:
            self._append(self._resampler.process(silence(0), last=True))
            self._resampler = None

    def _fade_out(self, out: Samples, sounding: int) -> None:
        """End the first `sounding` samples softly; too few for a fade go on at the last one."""
        end = max(sounding, self._fade)
        out[sounding:end] = out[sounding - 1] if sounding else self._last
        _ramp(out[end - self._fade : end], rising=False)

    def _amplify(self, out: Samples, wanted: float) -> None:
        """Apply the gain in place, and let it become the wanted one within the frame."""
        out[:] = (out * np.linspace(self._gain, wanted, len(out), dtype=np.float32)).astype(
            np.int16
        )
        self._gain = wanted

    def _append(self, samples: Samples) -> None:
        if len(samples):
            self._chunks.append(samples)
            self._buffered += len(samples)
            self._pushed += len(samples)

    def _take(self, length: int) -> Samples:
        taken: list[Samples] = []
        wanted = min(length, self._buffered)
        self._buffered -= wanted
        self._played += wanted
        while wanted:
            chunk = self._chunks.popleft()
            if len(chunk) > wanted:
                self._chunks.appendleft(chunk[wanted:])
                chunk = chunk[:wanted]
            taken.append(chunk)
            wanted -= len(chunk)
            self._keep(chunk)
        return np.concatenate(taken) if taken else silence(0)

    def _keep(self, chunk: Samples) -> None:
        self._kept.append(chunk)
        self._kept_samples += len(chunk)
        while self._kept and self._kept_samples - len(self._kept[0]) >= self._kept_limit:
            self._kept_samples -= len(self._kept.popleft())

    def _give_back(self, samples: int) -> None:
        left = min(samples, self._kept_samples)
        if left <= 0:
            return
        self._kept_samples -= left
        self._buffered += left
        self._played -= left
        while left:
            chunk = self._kept.pop()
            if len(chunk) > left:
                self._kept.append(chunk[:-left])
                chunk = chunk[-left:]
            self._chunks.appendleft(chunk)
            left -= len(chunk)
        self._starved = True  # it begins in the middle of a sound: softly


def _ramp(samples: Samples, rising: bool) -> None:
    """Fade in place, linearly."""
    gain = np.linspace(0.0, 1.0, len(samples), dtype=np.float32)
    samples[:] = (samples * (gain if rising else gain[::-1])).astype(np.int16)
