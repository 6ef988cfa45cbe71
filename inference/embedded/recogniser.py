"""Speech to words: pocketsphinx with the skills' grammar, decoded while the caller talks.

A grammar decoder understands nothing but the grammar and hears the grammar in everything, so
each hypothesis carries its acoustic score per frame of speech, which tells the two apart.

Everything depends on the cepstral mean: with the model's default, "what time is it" is "what are
you then". It is measured on the first 0.4 s of speech of each turn, held back until then.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pocketsphinx
from numpy.typing import NDArray

from inference.embedded.automaton import Automaton
from inference.embedded.lexicon import MODEL, pronunciations
from inference.embedded.phrases import OPEN
from media.frames import Samples

RATE = 16000

_BLOCK = RATE // 50
_HOLD_LOUD = 25  # blocks: 0.5 s of speech to measure the mean on
_HOLD_MOST = 75  # blocks: 1.5 s of anything
_HOLD_SINCE = 40  # blocks: 0.8 s from the first loud one, of a word as short as "stop"
_LEAD = 10  # blocks: 0.2 s before the first loud block; what came before is not decoded
_STEP = 5 * RATE // 50  # decoded per call at most while catching up: 0.1 s, 5 ms of work
_PARTIAL_EVERY = RATE // 10
_LOUD = 0.1  # of the loudest block's power
_AUDIBLE = 0.01  # the same; quieter than that is a pause
_MIN_LOUD = 8  # blocks: 160 ms, the length of the shortest word
_FLOOR = 32768.0**2 * 10 ** (-55 / 10)  # power of -55 dBFS
_USUAL_MEAN = (
    *(41.0, -5.29, -0.12, 5.09, 2.48, -4.07, -1.37),
    *(-1.78, -5.08, -2.05, -6.45, -1.42, 1.17),
)
"""The cepstral mean the acoustic model starts from."""

_PRIOR_WEIGHT = 0.6  # 0.4 s is a poor sample: its mean alone gets 63 of 76 human turns, mixed 67
SCORE_SCALE = 1024  # pocketsphinx shifts the scores of a search right by ten bits
FILLERS = frozenset({"<sil>", "(NULL)", "[NOISE]", "[SPEECH]", "<s>", "</s>"})
LOOP = ("AH", "EH", "IY", "AO", "N", "S", "T", "K", "L", "R")
"""Phones that stand for any speech: all forty cost ten times the decoding time."""

_DITHER = np.random.default_rng(1).integers(-8, 9, RATE).astype(np.int16)
"""Digital silence has no spectrum and spoils the cepstral mean."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Words heard, `OPEN` among them; `open_at` is the sample where open speech began."""

    words: tuple[str, ...]
    score: float
    open_at: int | None = None


NOTHING = Hypothesis((), -math.inf)


class Grammar:
    """The grammar's decoders, lent to turns for as long as a caller talks: 12 MB and 25 ms each."""

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        self._next: Mapping[tuple[int, str], int] = {(s, w): t for s, w, t in automaton.arcs}
        self._folder = tempfile.TemporaryDirectory(prefix="vaani-")
        self._dictionary = Path(self._folder.name) / "words.dict"
        self._ways = pronunciations({word for _, word, _ in automaton.arcs} - {OPEN})
        lines = [
            f"{word}({i}) {way}" if i > 1 else f"{word} {way}"
            for word, ways in sorted(self._ways.items())
            for i, way in enumerate(ways, 1)
        ]
        lines += [f"_{phone} {phone}" for phone in LOOP]
        self._dictionary.write_text("\n".join(lines))
        self._idle: list[pocketsphinx.Decoder] = []

    @property
    def idle(self) -> int:
        """Decoders built and not lent."""
        return len(self._idle)

    def borrow(self) -> pocketsphinx.Decoder:
        return self._idle.pop() if self._idle else self._build()

    def give_back(self, decoder: pocketsphinx.Decoder) -> None:
        self._idle.append(decoder)

    def phones(self, words: tuple[str, ...]) -> list[str]:
        """How the words, `OPEN` aside, sound."""
        return [phone for word in words if word != OPEN for phone in self._ways[word][0].split()]

    def complete(self, words: tuple[str, ...]) -> bool | None:
        """True for a whole phrase, False for the beginning of one, None for anything else."""
        state: int | None = 0
        for word in words:
            state = self._next.get((state, word)) if state is not None else None
        if state is None or OPEN in words:
            return None
        return state in self.automaton.finals

    def _build(self) -> pocketsphinx.Decoder:
        decoder = pocketsphinx.Decoder(
            hmm=str(MODEL / "en-us"),
            dict=str(self._dictionary),
            lm=None,
            loglevel="FATAL",
            cmn="live",
            wip=0.1,
            silprob=0.2,
            bestpath=False,  # its lattice takes 30 ms and may end in the middle of a phrase
        )
        end, loop = self.automaton.states, self.automaton.states + 1
        arcs: list[tuple[int, int, float] | tuple[int, int, float, str]] = []
        for source, word, target in self.automaton.arcs:
            if word == OPEN:
                arcs += [(source, loop, 0.05, f"_{phone}") for phone in LOOP]
            else:
                # a filler costs: each is one more way to hear the grammar in noise
                arcs.append((source, target, 0.05 if target == 0 else 1.0, word))
        arcs += [(loop, loop, 0.05, f"_{phone}") for phone in LOOP]
        arcs += [(state, end, 1.0) for state in (*sorted(self.automaton.finals), loop)]
        decoder.add_fsg("skills", decoder.create_fsg("skills", 0, end, arcs))
        decoder.activate_search("skills")
        return decoder


@dataclass(slots=True)
class Listening:
    """One turn being heard."""

    grammar: Grammar
    latest: Hypothesis = NOTHING
    quiet: float = 0.0
    """Seconds since the caller's last sound."""
    _decoder: pocketsphinx.Decoder | None = None
    _audio: list[Samples] = field(default_factory=list)
    _samples: int = 0
    _decoded: int = 0
    _asked: int = 0
    _start: int = 0
    _running: bool = False
    _loudest: float = 0.0

    @property
    def audio(self) -> Samples:
        """All that was heard, dithered: shape (n,), 16 kHz."""
        if len(self._audio) > 1:
            self._audio = [np.concatenate(self._audio)]
        return self._audio[0] if self._audio else np.zeros(0, np.int16)

    @property
    def has_speech(self) -> bool:
        """Whether anything in the turn stands out of its background."""
        power = np.sort(self._powers())
        if len(power) < _MIN_LOUD:
            return False
        return bool(power[-_MIN_LOUD] > max(_FLOOR, 8 * power[len(power) // 10]))

    def feed(self, samples: Samples) -> bool:
        """Hear more; True when the words of `latest` changed. About 2 ms for 20 ms."""
        self._audio.append(dithered(samples, self._samples))
        self._samples += len(samples)
        self._follow_level(samples)
        if self._decoder is None and not self._measurable():
            return False
        self._decode(self._decoded + max(_STEP, len(samples)))
        if self._decoded - self._asked < _PARTIAL_EVERY:
            return False
        self._asked = self._decoded
        before, self.latest = self.latest, self._hypothesis()
        return self.latest.words != before.words

    def finish(self) -> Hypothesis:
        """The final words; gives the decoder back. Call it once."""
        if self._samples == 0:
            return NOTHING
        try:
            self._decode(self._samples)
            self._end()
            return self._hypothesis()
        finally:
            self.close()

    def close(self) -> None:
        """Give the decoder back: whoever drops a turn closes it."""
        self._end()
        if self._decoder is not None:
            self.grammar.give_back(self._decoder)
            self._decoder = None

    def _decode(self, until: int) -> None:
        """Decode up to sample `until`, or to the end of what was heard."""
        if self._decoder is None:
            power = self._powers()
            onset = int(np.argmax(power > _LOUD * power.max())) if len(power) else 0
            self._start = self._decoded = max(0, onset - _LEAD) * _BLOCK
            self._decoder = self.grammar.borrow()
            mean = cepstral_mean(self._decoder, self.audio[self._start :])
            self._decoder.set_cmn(mean)
            self._decoder.start_utt()
            self._running = True
        piece = self.audio[self._decoded : until]
        if len(piece):
            self._decoder.process_raw(piece.tobytes())
            self._decoded += len(piece)

    def _follow_level(self, samples: Samples) -> None:
        power = float(np.square(samples, dtype=np.float32).mean()) if len(samples) else 0.0
        self._loudest = max(self._loudest, power)
        loud = power > _AUDIBLE * self._loudest
        self.quiet = 0.0 if loud else self.quiet + len(samples) / RATE

    def _measurable(self) -> bool:
        power = self._powers()
        if len(power) >= _HOLD_MOST:
            return True
        loud = np.flatnonzero(power > _LOUD * power.max(initial=0.0))
        return len(loud) > 0 and (
            len(loud) >= _HOLD_LOUD or len(power) - int(loud[0]) >= _HOLD_SINCE
        )

    def _powers(self) -> NDArray[np.float32]:
        """Mean square of each whole 20 ms block so far."""
        audio = self.audio
        blocks = audio[: len(audio) // _BLOCK * _BLOCK].astype(np.float32).reshape(-1, _BLOCK)
        power: NDArray[np.float32] = np.square(blocks).mean(axis=1)
        return power

    def _end(self) -> None:
        if self._running and self._decoder is not None:
            self._decoder.end_utt()
        self._running = False

    def _hypothesis(self) -> Hypothesis:
        assert self._decoder is not None
        if self._decoder.hyp() is None:
            return NOTHING
        words: list[str] = []
        log_likelihood, frames = 0.0, 0
        open_at = None
        for segment in self._decoder.seg():
            if segment.word in FILLERS:
                continue
            if segment.word.startswith("_"):
                if open_at is None:
                    open_at = self._start + segment.start_frame * RATE // 100
                    words.append(OPEN)
                continue
            words.append(segment.word.partition("(")[0])
            log_likelihood += math.log(max(segment.ascore, 1e-300)) * SCORE_SCALE
            frames += segment.end_frame - segment.start_frame + 1
        if not frames:
            return NOTHING
        return Hypothesis(tuple(words), log_likelihood / frames, open_at)


def cepstral_mean(decoder: pocketsphinx.Decoder, audio: Samples) -> str:
    """The mean to decode with. The decoder learns this turn's noise on the way."""
    decoder.reinit_feat()  # forgets the noise of whoever had the decoder before
    decoder.start_utt()
    decoder.process_raw(audio.tobytes(), no_search=True, full_utt=True)
    decoder.end_utt()
    measured = [float(value) for value in decoder.get_cmn(False).split(",")]
    mixed = [
        _PRIOR_WEIGHT * usual + (1 - _PRIOR_WEIGHT) * here
        for usual, here in zip(_USUAL_MEAN, measured, strict=True)
    ]
    # the first is loudness, of which the usual says nothing
    return ",".join(f"{value:.3f}" for value in (measured[0], *mixed[1:]))


def dithered(samples: Samples, at: int) -> Samples:
    noise = np.take(_DITHER, range(at, at + len(samples)), mode="wrap")
    mixed: Samples = np.clip(samples.astype(np.int32) + noise, -32768, 32767).astype(np.int16)
    return mixed
