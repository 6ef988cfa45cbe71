"""Quick words: "uh-huh", "okay", "wait", told apart while the caller still has his breath.

Each phrase is spoken by espeak-ng in several voices, and so are other short words, which are its
rivals. What the caller says is compared with all of them by dynamic time warping over cepstra, when
he pauses. Nothing is said of it unless a phrase is clearly nearer than every rival.

That works for any phrase, hums and all languages, and for voices that are not too far from
espeak-ng's. What it does not know is heard again by pocketsphinx (`hint_grammar`), which knows how
people sound.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import soxr
from numpy.typing import NDArray

from inference.embedded import espeak
from inference.embedded.hint_grammar import HintGrammar
from media.frames import Samples

RATE = 16000
LONGEST = 1.2
"""Seconds: longer speech is no interjection."""

_Floats = NDArray[np.float32]

_HOP = RATE // 50
_WINDOW, _FFT = 400, 512
_BANDS, _CEPSTRA = 26, 12
_DYNAMICS, _LOUDNESS = 1.4, 0.5  # weights of the cepstra's change and of loudness
_FLOOR = 10 ** (-35 / 10)  # of the strongest band of the utterance
_SOUND = 10 ** (-25 / 10)  # of the loudest frame: quieter is before or after it
_OVER_NOISE = 3.0  # in power
_SHORTEST = 3  # frames
_AT_ONCE = 160  # examples; more, and BLAS wakes its threads, who wait for a core in a busy host
_STRETCH = 1.4  # a phrase is said at most so much faster or slower than its example
_PAUSE = 4  # frames of silence after which what was said is looked at
_RESUMED = 2  # frames of sound after which it goes on

_MARGIN, _MARGIN_IN_NOISE = 1.15, 1.25  # a rival must be so much farther
_FARTHEST, _FARTHEST_IN_NOISE = 5.5, 4.3  # mean distance of frames: noise makes all sounds alike

_VOICES = ("", "+m3", "+f1", "+f3", "+klatt4")  # the last is of another synthesizer
_PACE = 165

_HUMS = {
    "mm": "m:",
    "mhm": "m@-h'm:",
    "mm-hmm": "m'hm:",
    "hmm": "hm:",
    "uh-huh": "VhV",
    "uh": "V:",
    "um": "Vm:",
}
"""In espeak-ng's phonemes, because it would spell them."""

_ROMANISED = {
    "hi": {
        "haan": "हाँ", "ji": "जी", "achha": "अच्छा", "accha": "अच्छा", "theek": "ठीक",
        "thik": "ठीक", "hai": "है", "sahi": "सही", "bilkul": "बिल्कुल", "ruko": "रुको",
        "rukiye": "रुकिए", "ruk": "रुक", "jao": "जाओ", "ek": "एक", "minute": "मिनट",
        "bas": "बस", "karo": "करो", "chup": "चुप",
    },
    "te": {
        "avunu": "అవును", "aunu": "ఔను", "sare": "సరే", "sarey": "సరే", "alage": "అలాగే",
        "avuna": "అవునా", "ohoo": "ఓహో", "nijama": "నిజమా", "aagandi": "ఆగండి",
        "aagu": "ఆగు", "aapandi": "ఆపండి", "aapu": "ఆపు", "okka": "ఒక్క",
        "nimisham": "నిమిషం", "chaalu": "చాలు",
    },
}  # fmt: skip
"""Words that espeak-ng's English would pronounce beyond recognition."""

_SCRIPTS = {"hi": ("\u0900", "\u097f"), "te": ("\u0c00", "\u0c7f")}

_VOWELS = ("V", "@", "I", "A:", "u:", "3:")
"""Rivals in espeak-ng's phonemes: a word that was cut off, or is half lost in noise."""

_RIVALS = {
    "en-us": """
        no|what|who|why|how|when|where|hello|hi|hey|but|and|so|the|it is|that is|this|not|don't
        |do you|can you|could you|would you|tell me|give me|speak|say|count|spell|sing|listen|sorry
        |excuse me|thank you|thanks|please|next|more|again|louder|slower|faster|change|repeat|help
        |wrong|actually|also|like|about|what is|who is|i want|i need|think|know|because|if|or|my
        |your|we|he|they|for|in|on|at|now|then|there|here|good|bad|time|what time|how much|tell me a
        |where is|is it|are you|never|i don't|let me|but what|no no|that's not
    """,
    "hi": "नहीं|क्या|कौन|समय|मुझे",
    "te": "కాదు|ఏమిటి|ఎవరు|సమయం",
}
"""How other things begin, and other short words."""


def _mel_bank() -> _Floats:
    """Power spectrum to mel bands, 100 Hz to 7 kHz: shape (257, bands)."""
    mel = 2595 * np.log10(1 + np.linspace(0, RATE / 2, _FFT // 2 + 1) / 700)
    low, high = 2595 * np.log10(1 + np.array([100.0, 7000.0]) / 700)
    edges = np.linspace(low, high, _BANDS + 2)
    up = (mel[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - mel[:, None]) / np.diff(edges)[1:]
    return np.asarray(np.clip(np.minimum(up, down), 0, None), np.float32)


_MEL = _mel_bank()
_HANN = np.hanning(_WINDOW).astype(np.float32)
_DCT = np.asarray(
    np.sqrt(2 / _BANDS)
    * np.cos(np.pi * np.outer(np.arange(_BANDS) + 0.5, np.arange(1, _CEPSTRA + 1)) / _BANDS),
    np.float32,
)


def _bands(samples: Samples) -> _Floats:
    """Power in mel bands, a row for 20 ms: shape (frames, bands)."""
    wave = samples.astype(np.float32)
    wave[1:] -= 0.95 * wave[:-1]
    count = (len(wave) - _WINDOW) // (_HOP // 2) + 1
    if count < 2:
        return np.zeros((0, _BANDS), np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(wave, _WINDOW)[:: _HOP // 2][:count]
    power = np.square(np.abs(np.fft.rfft(windows * _HANN, _FFT))).astype(np.float32)
    # the mean of two: half the frames, and the place of a frame matters less
    return np.asarray((power[: count // 2 * 2 : 2] + power[1::2][: count // 2]) / 2 @ _MEL)


def _utterance(samples: Samples) -> tuple[_Floats, _Floats] | None:
    """The bands of what stands out of the silence around it, the strongest being 1, and the noise.

    None where nothing does.
    """
    bands = _bands(samples)
    power = bands.sum(axis=1)
    if len(bands) < 2 * _SHORTEST or not power.any():
        return None
    quietest = np.argsort(power)[: max(2, len(power) // 6)]
    noise = bands[quietest].mean(axis=0)
    loud = np.flatnonzero(power > max(power.max() * _SOUND, _OVER_NOISE * noise.sum()))
    if not len(loud) or loud[-1] - loud[0] + 1 < _SHORTEST:
        return None
    spoken = bands[loud[0] : loud[-1] + 1]
    peak = spoken.max()
    return spoken / peak, noise / peak


def _features(bands: _Floats, lengths: NDArray[np.intp]) -> _Floats:
    """Cepstra without their mean, how they change, loudness; all 0 past the end of an utterance.

    Of many utterances at once: of shape (longest, count, bands), and (longest, count, 25).
    """
    longest, count, _ = bands.shape
    each = np.arange(count)
    inside = np.asarray(np.arange(longest)[:, None] < lengths, np.float32)[:, :, None]
    power = np.einsum("tnb->tn", bands)[:, :, None] * inside
    logs = np.log(np.maximum(bands, _FLOOR))
    out = np.empty((longest, count, 2 * _CEPSTRA + 1), np.float32)
    cepstra, change = out[:, :, :_CEPSTRA], out[:, :, _CEPSTRA:-1]
    np.multiply(logs @ _DCT, inside, out=cepstra)
    cepstra -= cepstra.sum(axis=0) / lengths[:, None].astype(np.float32)
    np.subtract(cepstra[2:], cepstra[:-2], out=change[1:-1])
    change[1:-1] *= 0.5
    change[0], change[-1] = cepstra[1] - cepstra[0], 0.0
    change[lengths - 1, each] = cepstra[lengths - 1, each] - cepstra[lengths - 2, each]
    change *= _DYNAMICS
    loudness = np.log(np.maximum(power / power.max(axis=0), 10 * _FLOOR))
    out[:, :, -1:] = _LOUDNESS * loudness
    out *= inside
    return out


@dataclass(frozen=True, slots=True)
class _Examples:
    """Phrases as voices say them, the shortest first; `hints` has -1 for a rival.

    Frames come first in the tables, so that what is done with one is done with all examples.
    """

    hints: NDArray[np.intp]
    lengths: NDArray[np.intp]  # frames
    bands: _Floats
    features: _Floats

    def as_long_as(self, frames: int) -> "Iterator[_Examples]":
        """Those that may be an utterance of this length, _AT_ONCE at a time."""
        longer, shorter = np.maximum(self.lengths, frames), np.minimum(self.lengths, frames)
        likely = np.flatnonzero(longer <= _STRETCH * shorter)
        for at in range(0, len(likely), _AT_ONCE):
            first, last = likely[at], likely[min(at + _AT_ONCE, len(likely)) - 1]
            some, longest = slice(first, last + 1), self.lengths[last]
            yield _Examples(
                self.hints[some],
                self.lengths[some],
                self.bands[:longest, some],
                self.features[:longest, some],
            )


def _examples(spoken: Sequence[tuple[int, _Floats]]) -> _Examples:
    """Of hints and their bands."""
    ordered = sorted(spoken, key=lambda one: len(one[1]))
    lengths = np.array([len(bands) for _, bands in ordered], np.intp)
    table = np.zeros((int(lengths.max(initial=_SHORTEST)), len(ordered), _BANDS), np.float32)
    for number, (_, bands) in enumerate(ordered):
        table[: len(bands), number] = bands
    hints = np.array([hint for hint, _ in ordered], np.intp)
    return _Examples(hints, lengths, table, _features(table, lengths))


class Interjections:
    """The examples, one set per engine: 800 for a hundred phrases, made in 1.5 s.

    `hints` are phrases in any spelling that espeak-ng can say: Devanagari and Telugu in their own
    voices, the rest as English, but for hums and the romanised words that are listed here.
    """

    def __init__(self, hints: Sequence[str]) -> None:
        self.hints = tuple(hints)
        self._examples = _examples([])
        self._grammar: HintGrammar | None = None
        if not self.hints:
            return
        self._grammar = HintGrammar(self.hints)
        spoken: list[tuple[int, _Floats]] = []
        for number, hint in enumerate(self.hints):
            spoken += [(number, bands) for bands in _said(*_spoken(hint))]
        for vowel in _VOWELS:
            spoken += [(-1, bands) for bands in _said(f"[[{vowel}]]", "en-us", phonemes=True)]
        for language, words in _RIVALS.items():
            for word in words.split("|"):
                spoken += [(-1, bands) for bands in _said(word.strip(), language)]
        self._examples = _examples(spoken)

    def recognise(self, samples: Samples) -> str:
        """The hint that these samples are, 16 kHz with a little silence around; "" for none."""
        hearing = self.hear(samples)
        while True:
            try:
                next(hearing)
            except StopIteration as heard:
                return str(heard.value)

    def hear(self, samples: Samples) -> Generator[None, None, str]:
        """The same in steps of 10 ms of work or so: others want to be heard meanwhile."""
        found = _utterance(samples)
        if found is None or self._grammar is None:
            return ""
        if nearest := self._nearest(*found):
            return nearest
        return (yield from self._grammar.hear(samples))

    def _nearest(self, spoken: _Floats, noise: _Floats) -> str:
        likely = list(self._examples.as_long_as(len(spoken)))
        if not likely:
            return ""
        noisy = noise.max() > _FLOOR  # then the examples are heard in that noise too
        query = _features(spoken[:, None], np.array([len(spoken)]))[:, 0]
        distances = np.concatenate(
            [
                _distances(
                    query,
                    _features(some.bands + noise, some.lengths) if noisy else some.features,
                    some.lengths,
                )
                for some in likely
            ]
        )
        hints = np.concatenate([some.hints for some in likely])
        best = int(np.argmin(distances))
        nearest = float(distances[best])
        margin = _MARGIN_IN_NOISE if noisy else _MARGIN
        farthest = _FARTHEST_IN_NOISE if noisy else _FARTHEST
        rival = float(distances[hints < 0].min(initial=np.inf))
        if hints[best] < 0 or nearest > farthest or rival < margin * nearest:
            return ""
        return self.hints[int(hints[best])]


def _said(text: str, language: str, phonemes: bool = False) -> Iterator[_Floats]:
    """The bands of this in each of the voices that can be heard to say it."""
    for variant in _VOICES:
        audio, _ = espeak.synthesize(text, language + variant, rate=_PACE, phonemes=phonemes)
        heard = soxr.resample(np.pad(audio, 1600).astype(np.float32), espeak.RATE, RATE)
        found = _utterance(heard.astype(np.int16))
        if found is not None:
            yield found[0]


def _spoken(hint: str) -> tuple[str, str, bool]:
    """What espeak-ng is to say for this phrase: text, voice, whether the text is phonemes."""
    words = hint.lower().split()
    if hums := _HUMS.get(hint.lower()):
        return f"[[{hums}]]", "en-us", True
    for language, (first, last) in _SCRIPTS.items():
        if any(first <= letter <= last for letter in hint):
            return hint, language, False
        if all(word in _ROMANISED[language] for word in words):
            return " ".join(_ROMANISED[language][word] for word in words), language, False
    return hint, "en-us", False


def _distances(query: _Floats, table: _Floats, lengths: NDArray[np.intp]) -> _Floats:
    """How far the query is from each of the table: the mean over the best warping path of both.

    Steps of Sakoe and Chiba's symmetric form (1978): a diagonal one counts twice.
    """
    frames, (longest, count, _) = len(query), table.shape
    squares = np.einsum("tnf,tnf->tn", table, table)[:, :, None] + np.square(query).sum(axis=1)
    local = np.sqrt(np.maximum(squares - 2 * (table @ query.T), 0))
    # Each row begins one column later than the one before: a whole column is known at once.
    width = frames + longest - 1
    flat = np.full((frames * (width + 1), count), np.inf, np.float32)
    flat.reshape(frames, width + 1, count)[:, :longest] = local.transpose(2, 0, 1)
    columns = flat[: frames * width].reshape(frames, width, count)
    cost = before = np.full((frames, count), np.inf, np.float32)
    ends = np.empty((width, count), np.float32)
    for column in range(width):
        here = columns[:, column]
        enter = cost + here
        if column == 0:
            enter[0] = 2 * here[0]
        enter[1:] = np.minimum(enter[1:], np.minimum(cost[:-1], before[:-1] + here[1:]) + here[1:])
        cost, before = enter, cost
        ends[column] = cost[-1]
    last = ends[frames - 1 + lengths - 1, np.arange(count)]
    return np.asarray(last / (frames + lengths), np.float32)


@dataclass(slots=True)
class ShortSpeech:
    """The first words of one turn, for as long as they may be an interjection."""

    interjections: Interjections
    text: str = ""
    """The interjection that the turn is so far."""
    over: bool = False
    """Whether there is more speech than an interjection has."""
    _audio: list[Samples] = field(default_factory=list)
    _powers: list[float] = field(default_factory=list)
    _judged: bool = False
    _hearing: Generator[None, None, str] | None = None

    def feed(self, samples: Samples) -> bool:
        """Hear 20 ms more; True when `text` changed, to "" too, because the caller went on."""
        if self.over or not self.interjections.hints:
            return False
        self._audio.append(samples)
        self._powers.append(
            float(np.square(samples, dtype=np.float32).mean()) if len(samples) else 0
        )
        loud = self._loud()
        if not len(loud):
            return False
        before, quiet = self.text, len(self._powers) - 1 - int(loud[-1])
        if (loud[-1] - loud[0]) * _HOP > LONGEST * RATE:
            self.over, self.text, self._hearing = True, "", None
            self._audio.clear()
        elif quiet >= _PAUSE and not self._judged:
            self._judged = True
            first = max(0, int(loud[0]) - 8)
            self._hearing = self.interjections.hear(np.concatenate(self._audio[first:]))
        elif self._judged and len(self._powers) - int(loud[-_RESUMED]) == _RESUMED:
            self._judged, self.text, self._hearing = False, "", None
        if self._hearing:
            try:
                next(self._hearing)
            except StopIteration as heard:
                self.text, self._hearing = heard.value, None
        return self.text != before

    def _loud(self) -> NDArray[np.intp]:
        powers = np.array(self._powers)
        noise = np.sort(powers)[: max(2, len(powers) // 6)].mean()
        loud = np.flatnonzero(powers > max(powers.max() * _SOUND, _OVER_NOISE * noise, 100.0))
        return loud if len(loud) >= _SHORTEST else loud[:0]
