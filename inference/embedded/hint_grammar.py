"""Short phrases by pocketsphinx: one phrase, or one other word, or any speech.

The acoustic model is of people, and hears people where the examples of `interjections`, which are
synthesized, are too far away. Neither hears much of what the other does.
"""

import math
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pocketsphinx

from inference.embedded.lexicon import MODEL, known_pronunciations
from inference.embedded.recogniser import FILLERS, LOOP, SCORE_SCALE, cepstral_mean, dithered
from media.frames import Samples

_MIN_SCORE = -4.5  # per frame
_TAIL = 7  # frames of 10 ms of any speech after a phrase: the breath that ends it
_MOST_WAYS = 6  # of saying one phrase
_STEP = 6400  # samples that are decoded at once: 0.4 s, 12 ms of work

_SOUNDS = {
    "uh-huh": "AH HH AH|AH HH AH N|AA HH AA|AH AH",
    "mm-hmm": "M HH M|M HH AH M|AH M HH AH M",
    "mhm": "M HH M|M AH HH AH M|M HH AH M",
    "mm": "M|AH M|M M",
    "hmm": "HH M|HH AH M|HH M M",
    "okay": "OW K EY|AH K EY",
    "haan": "HH AA|HH AA N|HH AH N",
    "ji": "JH IY",
    "achha": "AH CH AA|AH CH AH|AA CH AA",
    "theek": "TH IY K|T IY K",
    "hai": "HH EH|HH AE|HH EY",
    "bilkul": "B IH L K UH L|B IH L K UW L",
    "sahi": "S AH HH IY|S AH IY|S EH HH IY",
    "ruko": "R UH K OW|R UW K OW",
    "rukiye": "R UH K IY EY|R UH K IY Y EY",
    "ruk": "R UH K",
    "jao": "JH AA OW|JH AW",
    "ek": "EY K|EH K",
    "bas": "B AH S|B AA S",
    "karo": "K AH R OW",
    "chup": "CH UH P|CH AH P",
    "avunu": "AH V UH N UH|AA V UH N UH|AH W UH N UH|AW N UH",
    "sare": "S AH R EY|S AH R EH|S AA R EY",
    "alage": "AH L AA G EY|AH L AA G EH",
    "avuna": "AH V UH N AA|AA V UH N AH|AW N AA",
    "nijama": "N IH JH AH M AA",
    "aagandi": "AA G AH N D IY|AA G AH N D IH",
    "aagu": "AA G UH|AA G UW",
    "aapandi": "AA P AH N D IY|AA P AH N D IH",
    "aapu": "AA P UH",
    "okka": "OW K AH|AO K AA",
    "nimisham": "N IH M IH SH AH M",
    "chaalu": "CH AA L UH|CH AA L UW",
}
"""In the model's phones: what its dictionary lacks or has otherwise."""

_RIVALS = """
    no what who why how when where hello hi hey but and so the a i you it is that this not don't do
    can could would tell me give speak say count spell sing listen sorry excuse thank thanks please
    next more again louder slower faster change repeat help wrong actually also like about one two
    three ten five four want need think know because if or my your we they he she to for in on at of
    with was are am have has will shall just now then there here good bad time day name story poem
    new old other another look see talk play go come vaani telugu english
"""


@dataclass(slots=True)
class _Hearing:
    """What the decoder is at; `text` is None until it is known."""

    steps: Generator[None, None, str]
    text: str | None = None

    def step(self) -> None:
        """Go on with it, unless somebody else has finished it."""
        if self.text is None:
            try:
                next(self.steps)
            except StopIteration as found:
                self.text = found.value or ""


class HintGrammar:
    """One decoder for an engine, because it works only within a call: 2.9 ms for 0.1 s of speech.

    A phrase with a word of unknown pronunciation is left out.
    """

    def __init__(self, hints: Sequence[str]) -> None:
        self._latest: _Hearing | None = None
        self._hints = tuple(hints)
        rivals = sorted(set(_RIVALS.split()) - set(hints))
        ways = known_pronunciations({*rivals, *" ".join(hints).lower().split()})
        ways |= {word: sounds.split("|") for word, sounds in _SOUNDS.items()}
        spoken: dict[str, list[str]] = {}
        for number, hint in enumerate(hints):
            parts = [ways.get(word, []) for word in hint.lower().split()]
            if phrases := [" ".join(phones) for phones in product(*parts)][:_MOST_WAYS]:
                spoken[f"+{number}"] = phrases
        self._decoder = self._build(spoken, {word: ways[word] for word in rivals if word in ways})

    def hear(self, samples: Samples) -> Generator[None, None, str]:
        """The hint that these samples are, 16 kHz with a little silence around; "" for none.

        In steps, because pocketsphinx holds the interpreter's lock while it works; whoever comes
        before the last one is done has to finish that first.
        """
        while self._latest and self._latest.text is None:
            self._latest.step()
        hearing = self._latest = _Hearing(self._decode(dithered(samples, 0)))
        try:
            hearing.step()
            while hearing.text is None:
                yield
                hearing.step()
        finally:
            hearing.steps.close()
            if self._latest is hearing:
                self._latest = None
        return hearing.text

    def _decode(self, audio: Samples) -> Generator[None, None, str]:
        decoder = self._decoder
        # What is only measured is decoded all the same, and this search has little to look for.
        decoder.activate_search("nothing")
        mean = cepstral_mean(decoder, audio)
        decoder.activate_search("hints")
        decoder.set_cmn(mean)
        decoder.start_utt()
        try:
            for at in range(0, len(audio), _STEP):
                yield
                decoder.process_raw(audio[at : at + _STEP].tobytes())
        finally:
            decoder.end_utt()
        if decoder.hyp() is None:
            return ""
        pieces = [piece for piece in decoder.seg() if piece.word not in FILLERS]
        if not pieces or not pieces[0].word.startswith("+"):
            return ""
        frames = [piece.end_frame - piece.start_frame + 1 for piece in pieces]
        likelihood = sum(math.log(max(piece.ascore, 1e-300)) for piece in pieces) * SCORE_SCALE
        if sum(frames[1:]) > _TAIL or likelihood / sum(frames) < _MIN_SCORE:
            return ""
        return self._hints[int(pieces[0].word.partition("(")[0][1:])]

    @staticmethod
    def _build(hints: dict[str, list[str]], rivals: dict[str, list[str]]) -> pocketsphinx.Decoder:
        lines = [
            f"{word}({i}) {way}" if i > 1 else f"{word} {way}"
            for word, ways in (hints | rivals).items()
            for i, way in enumerate(ways, 1)
        ]
        lines += [f"_{phone} {phone}" for phone in LOOP]
        with tempfile.TemporaryDirectory(prefix="vaani-") as folder:
            dictionary = Path(folder) / "words.dict"
            dictionary.write_text("\n".join(lines))
            decoder = pocketsphinx.Decoder(
                hmm=str(MODEL / "en-us"),
                dict=str(dictionary),
                lm=None,
                loglevel="FATAL",
                cmn="live",
                wip=0.1,
                silprob=0.2,
                topn=2,  # two thirds of the time, the same words
                bestpath=False,
            )
        start, end, word, loop = range(4)
        arcs: list[tuple[int, int, float] | tuple[int, int, float, str]] = []
        arcs += [(start, word, 1.0, text) for text in (*hints, *rivals)]
        for source, probability in ((start, 0.02), (loop, 0.02), (word, 0.002)):
            arcs += [(source, loop, probability, f"_{phone}") for phone in LOOP]
        arcs += [(word, end, 1.0), (loop, end, 1.0)]
        decoder.add_fsg("hints", decoder.create_fsg("hints", start, end, arcs))
        silent = [(start, end, 1.0, f"_{LOOP[0]}")]
        decoder.add_fsg("nothing", decoder.create_fsg("nothing", start, end, silent))
        return decoder
