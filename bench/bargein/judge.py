"""What a recording at the caller's ear says of a trial: pure functions, from a `Take` to a `Trial`.

Definitions are Full-Duplex-Bench's (arXiv:2503.04721) where it has them: the takeover rate is the
share of trials in which the bot takes the turn while the caller only pauses, or goes on to another
when the caller only encourages it; stop latency is from the caller's first sound over the answer to
the bot's last; response latency is from the caller's last sound to the first of what the bot says
next. All are taken from the sound. What only a server can know, whose events are used where there
are any: which answer it is that goes on after a silence, and which words it believes were heard.
Where there are no events, the sound itself is looked for in another call's answer: that finds what
is a recording, and takes a voice that never says a thing twice alike for another answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.audio import AUDIBLE, WINDOW_SECONDS
from bench.bargein.results import ENVELOPE_SECONDS, Expected, Outcome, Trial
from bench.caller import RATE
from media.frames import Samples

STOPPED_SECONDS = 0.5
"""So long a silence ends an answer: the embedded engine's longest pause, between two sentences, is
0.24 s, and the next answer comes no sooner than the caller's end of turn is decided."""

STOP_GRACE = 0.5  # after the caller's end: who falls silent later has not been stopped by it
STOP_WAIT = 1.5  # after the caller's onset: nobody goes on for longer against a bot that talks
CUT_SECONDS = 1.0  # of silence; a server without events whose answer pauses longer has lost it
CUT_WATCH = 3.0  # after the caller's end, in which it may
GAP_WATCH = 1.0  # after the caller's end: a silence that begins later has another cause
SHORT_SECONDS = 1.5  # by which an answer is shorter than its whole when it was cut
EVENT_SLACK = 0.15  # seconds between an event and the sound that belongs to it
FLOOR = -90.0  # dBFS, in a track
MATCH_SECONDS = 0.6
MATCH = 0.5
"""Correlation over which two sounds are the same one: one recording played twice, each time through
Opus, has over 0.8, different sentences of the same voice have under 0.35."""
AGAIN_SECONDS = 0.3
"""Who goes on with an answer from so near its beginning, though more of it was heard, does not go
on: the same is said again from its start, as a bot does whose answers are all one recording."""
_MATCH_STEP = 3  # 24 kHz to 8 kHz

Levels = NDArray[np.float64]
"""In dBFS, of each WINDOW_SECONDS."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To a question: its first sound, the turn it has in the events, where there are any, and when
    the question began."""

    start: float
    turn: int | None
    asked: float = 0.0


@dataclass(frozen=True, slots=True)
class Take:
    """What was recorded of a trial. Times are in seconds from where the recordings begin.

    `said`: from where to where the caller spoke, `pause`: and paused in that.
    """

    bot: Levels
    caller: Levels  # at the microphone, with all that it hears
    recording: Samples  # of the bot
    said: tuple[float, float] | None
    pause: tuple[float, float] | None
    answers: tuple[Answer, ...]
    events: tuple[tuple[float, Mapping[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """An answer that nobody spoke over. `words`: when each was heard, after its first sound, and
    which; `seconds`: its length, None where it was not heard to its end."""

    sound: Samples
    words: tuple[tuple[float, str], ...]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Silence:
    begin: float
    end: float
    over: bool  # something was heard after it

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def judge(
    scenario: str,
    number: int,
    expected: Expected,
    words: str,
    take: Take,
    reference: Reference | None = None,
) -> Trial:
    """What became of this trial."""
    if expected == "wait":
        result = _waiting(take)
    elif take.said is None:
        result = _listening(take, reference)
    elif expected == "stop":
        result = _stopping(take, take.said, reference)
    else:
        result = _going_on(take, take.said, reference)
    onset, end = take.said or (None, None)
    stop_ms = response_ms = None
    if result.outcome == "stopped" and onset is not None and result.stop is not None:
        stop_ms = _milliseconds(max(0.0, result.stop - onset))
    if result.response is not None and end is not None:
        response_ms = _milliseconds(result.response - end)
    return Trial(
        scenario=scenario,
        number=number,
        expected=expected,
        outcome=result.outcome,
        said=words,
        onset=_rounded(onset),
        speech_end=_rounded(end),
        stop=_rounded(result.stop),
        resume=_rounded(result.resume),
        response=_rounded(result.response),
        stop_ms=stop_ms,
        response_ms=response_ms,
        gap_ms=None if result.gap is None else _milliseconds(result.gap),
        history_error=result.history_error,
        bot_seconds=round(result.bot_seconds, 2),
        false_interruptions=result.false_interruptions,
        caller_track=track(take.caller),
        bot_track=track(take.bot),
    )


def failed(scenario: str, number: int, expected: Expected, words: str, error: str) -> Trial:
    """Of a call that came to nothing."""
    nothing: tuple[float, ...] = ()
    return Trial(
        scenario=scenario,
        number=number,
        expected=expected,
        outcome=None,
        said=words,
        onset=None,
        speech_end=None,
        stop=None,
        resume=None,
        response=None,
        stop_ms=None,
        response_ms=None,
        gap_ms=None,
        history_error=None,
        bot_seconds=0.0,
        false_interruptions=0,
        caller_track=nothing,
        bot_track=nothing,
        error=error,
    )


@dataclass(frozen=True, slots=True)
class _Result:
    outcome: Outcome
    stop: float | None = None
    resume: float | None = None
    response: float | None = None
    gap: float | None = None
    history_error: int | None = None
    bot_seconds: float = 0.0
    false_interruptions: int = 0


def _stopping(take: Take, said: tuple[float, float], reference: Reference | None) -> _Result:
    """The bot is to fall silent, soon, and not to go on with the same afterwards."""
    onset, end = said
    answer = take.answers[-1]
    silence = first_silence(take.bot, onset, STOPPED_SECONDS)
    before = sum(_was_cut(take, one) for one in take.answers[:-1])
    if silence is None:
        heard = _last_audible(take.bot, answer.start, len(take.bot) * WINDOW_SECONDS)
        return _Result("missed", bot_seconds=heard - answer.start, false_interruptions=before)
    stop = max(silence.begin, answer.start)
    old = silence.over and same_answer(take, answer, silence.begin, silence.end, reference)
    soon = stop <= min(end + STOP_GRACE, onset + STOP_WAIT)
    stopped = soon and not old
    return _Result(
        "stopped" if stopped else "missed",
        stop=stop,
        resume=silence.end if old else None,
        response=silence.end if silence.over and not old else None,
        history_error=history_error(take, answer, stop, reference) if stopped else None,
        bot_seconds=stop - answer.start,
        false_interruptions=before,
    )


def _going_on(take: Take, said: tuple[float, float], reference: Reference | None) -> _Result:
    """The bot is to go on, at best without a gap."""
    onset, end = said
    answer = take.answers[-1]
    gaps = [one for one in silences(take.bot) if onset <= one.begin <= end + GAP_WATCH]
    gap = max(gaps, key=lambda one: one.seconds, default=None)
    pause = first_silence(take.bot, onset, STOPPED_SECONDS)
    if pause and pause.begin > end + CUT_WATCH:
        pause = None
    if answer.turn is not None:
        cut = _was_cut(take, answer)
    else:
        cut = pause is not None and not _went_on(take, answer, pause, reference)
    stop = resume = response = None
    if pause:
        stop = max(pause.begin, answer.start)
        if pause.over and not cut:
            resume = pause.end
        elif pause.over:
            response = pause.end
    paused = [at for at, event in take.events if event["type"] == "reply.paused" and at >= onset]
    if gap and stop is None and paused and gap.begin >= paused[0] - EVENT_SLACK and gap.over:
        stop, resume = gap.begin, gap.end
    last = stop if cut and stop else _last_audible(take.bot, answer.start, _length(take))
    return _Result(
        "false_interruption" if cut else "continued",
        stop=stop,
        resume=resume,
        response=response,
        gap=gap.seconds if gap else 0.0,
        history_error=history_error(take, answer, stop, reference) if cut and stop else None,
        bot_seconds=last - answer.start,
        false_interruptions=int(cut) + sum(_was_cut(take, one) for one in take.answers[:-1]),
    )


def _listening(take: Take, reference: Reference | None) -> _Result:
    """Nobody speaks: whatever is cut was cut for nothing."""
    spoken = 0.0
    cuts = 0
    stop = gap = None
    starts = [answer.start for answer in take.answers]
    for answer, until in zip(take.answers, [*starts[1:], _length(take)], strict=True):
        last, cut = _span(take, answer, until, reference)
        cuts += cut
        stop = last if cut and stop is None else stop
        spoken += last - answer.start
        inside = [one.seconds for one in silences(take.bot) if answer.start < one.begin < last]
        gap = max([gap or 0.0, *inside])
    # What the bot says to an echo or a noise is cut for nothing as well, but not by a question.
    interrupted = [
        at
        for at, event in take.events
        if event["type"] == "reply.ended"
        and event["interrupted"]
        and not any(answer.asked <= at <= answer.start for answer in take.answers)
    ]
    cuts = max(cuts, len(interrupted))
    return _Result(
        "false_interruption" if cuts else "continued",
        stop=stop,
        gap=gap,
        bot_seconds=spoken,
        false_interruptions=cuts,
    )


def _span(
    take: Take, answer: Answer, until: float, reference: Reference | None
) -> tuple[float, bool]:
    """Where the last sound of an answer was that nobody spoke over, and whether it was cut."""
    if answer.turn is not None:
        over = [
            at
            for at, event in take.events
            if event["type"] == "reply.ended" and event["turn"] == answer.turn
        ]
        until = min([until, *(at + EVENT_SLACK for at in over)])
        return _last_audible(take.bot, answer.start, until), _was_cut(take, answer)
    pause = first_silence(take.bot, answer.start, CUT_SECONDS)
    last = min(pause.begin if pause else until, until)
    whole = reference.seconds if reference else None
    return last, bool(pause and whole and last - answer.start < whole - SHORT_SECONDS)


def _waiting(take: Take) -> _Result:
    """The caller pauses and goes on: the turn is the caller's until the end of that."""
    assert take.said is not None
    assert take.pause is not None
    onset, end = take.said
    begins = [at for at in _beginnings(take.bot) if at >= onset]
    taken = [at for at in begins if take.pause[0] <= at < end]
    if taken:
        return _Result("took_over", response=taken[0])
    return _Result("waited", response=next((at for at in begins if at >= end), None))


# Sound


def silences(bot: Levels, least: float = 2 * WINDOW_SECONDS) -> list[_Silence]:
    """Those of at least so many seconds, in order; the recording may end in the last."""
    quiet = np.concatenate(([False], bot < AUDIBLE, [False]))
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8))) * WINDOW_SECONDS
    end = len(bot) * WINDOW_SECONDS
    return [
        _Silence(float(a), float(b), bool(b < end - WINDOW_SECONDS / 2))
        for a, b in edges.reshape(-1, 2)
        if b - a >= least - WINDOW_SECONDS / 2
    ]


def first_silence(bot: Levels, since: float, least: float) -> _Silence | None:
    """The first of so many seconds that ends after `since`, where it may have begun before."""
    return next((one for one in silences(bot, least) if one.end > since + least), None)


def track(levels: Levels) -> tuple[float, ...]:
    """The loudest window of each ENVELOPE_SECONDS, in dBFS."""
    each = round(ENVELOPE_SECONDS / WINDOW_SECONDS)
    whole = levels[: len(levels) // each * each].reshape(-1, each)
    return tuple(round(float(max(FLOOR, level)), 1) for level in whole.max(axis=1, initial=FLOOR))


def best_match(piece: Samples, whole: Samples) -> tuple[float, float]:
    """How alike `piece`, at RATE Hz, is to the part of `whole` that is most like it, 0 to 1, and
    the second at which that begins."""
    short, long = _thinned(piece), _thinned(whole)
    energy = float(short @ short)
    if len(short) == 0 or len(long) < len(short) or energy == 0.0:
        return 0.0, 0.0
    size = 1 << (len(long) + len(short)).bit_length()
    spectrum = np.fft.rfft(long, size) * np.conj(np.fft.rfft(short, size))
    product = np.fft.irfft(spectrum, size)[: len(long) - len(short) + 1]
    sums = np.concatenate(([0.0], np.cumsum(np.square(long))))
    energies = sums[len(short) :] - sums[: -len(short)]
    # Where it is nearly silent nothing is alike, whatever the division says.
    floor = max(1e-3 * energies.max(initial=0.0), 1.0)
    alike = np.abs(product) / np.sqrt(np.maximum(energies, floor) * energy)
    best = int(np.argmax(alike))
    return float(alike[best]), best * _MATCH_STEP / RATE


def _thinned(samples: Samples) -> NDArray[np.float64]:
    whole = samples[: len(samples) // _MATCH_STEP * _MATCH_STEP].astype(np.float64)
    return np.asarray(whole.reshape(-1, _MATCH_STEP).mean(axis=1))


def _beginnings(bot: Levels) -> list[float]:
    """Where something begins to be heard after a silence longer than a word's own."""
    return [one.end for one in silences(bot, STOPPED_SECONDS) if one.over] + (
        [0.0] if len(bot) and bot[0] >= AUDIBLE else []
    )


def _last_audible(bot: Levels, since: float, until: float) -> float:
    first, last = round(since / WINDOW_SECONDS), round(until / WINDOW_SECONDS)
    audible = np.flatnonzero(bot[first:last] >= AUDIBLE)
    return since + (float(audible[-1]) + 1) * WINDOW_SECONDS if len(audible) else since


def _length(take: Take) -> float:
    return len(take.bot) * WINDOW_SECONDS


# Answers


def same_answer(
    take: Take, answer: Answer, stop: float, sound: float, reference: Reference | None
) -> bool:
    """Whether what sounds at `sound`, after a silence since `stop`, is the old answer still."""
    if answer.turn is not None:
        others = (
            event["turn"] != answer.turn
            for at, event in take.events
            if event["type"] == "reply.started" and stop - EVENT_SLACK < at < sound + EVENT_SLACK
        )
        return not any(others) and not any(
            at < sound + EVENT_SLACK and event["turn"] == answer.turn and event["interrupted"]
            for at, event in take.events
            if event["type"] == "reply.ended"
        )
    if reference is None:
        return False
    return _matches(take, answer, stop, sound, reference)


def history_error(
    take: Take, answer: Answer, stop: float, reference: Reference | None
) -> int | None:
    """Words by which the server's account of what was heard is off; None where it gives none.

    That a word was heard is known from when it was in an answer that nobody spoke over, in which
    the words are the same.
    """
    said = [
        str(event["heard"])
        for _, event in take.events
        if event["type"] == "reply.ended" and event["turn"] == answer.turn
    ]
    if answer.turn is None or not said or reference is None:
        return None
    words, known = said[0].split(), [word for _, word in reference.words]
    if not known or words[: len(known)] != known[: len(words)]:
        return None  # another answer, to a question that was misheard
    heard = sum(at <= stop - answer.start for at, _ in reference.words)
    return abs(len(words) - heard)


def _was_cut(take: Take, answer: Answer) -> bool:
    return answer.turn is not None and any(
        event["type"] == "reply.ended" and event["turn"] == answer.turn and event["interrupted"]
        for _, event in take.events
    )


def _went_on(take: Take, answer: Answer, silence: _Silence, reference: Reference | None) -> bool:
    """By the sound alone: whether it was the old answer that was heard after this silence."""
    if reference is None or not silence.over:
        return silence.seconds < CUT_SECONDS
    return silence.seconds < STOPPED_SECONDS or _matches(
        take, answer, silence.begin, silence.end, reference
    )


def _matches(take: Take, answer: Answer, stop: float, sound: float, reference: Reference) -> bool:
    """Whether what is heard at `sound` is of the same answer, but not its beginning once more."""
    begin = round(sound * RATE)
    piece = take.recording[begin : begin + round(MATCH_SECONDS * RATE)]
    alike, at = best_match(piece, reference.sound)
    return alike >= MATCH and at > min(AGAIN_SECONDS, (stop - answer.start) / 2)


def words_of(
    events: Sequence[tuple[float, Mapping[str, Any]]], answer: Answer
) -> tuple[tuple[float, str], ...]:
    """When each word of an answer was heard, after its first sound, and the word."""
    return tuple(
        (at - answer.start, word)
        for at, event in events
        if event["type"] == "reply.heard" and event["turn"] == answer.turn
        for word in event["text"].split()
    )


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
