"""Which of these was said? A second opinion on what reaches the caller's ear, by pocketsphinx."""

import re
from collections.abc import Sequence
from functools import cache

from pocketsphinx import Decoder

from bench.caller import RATE
from media.frames import Samples
from media.resample import Resampler

RECOGNISER_RATE = 16_000


def which(samples: Samples, alternatives: Sequence[str]) -> str | None:
    """The alternative that the recording, mono at RATE Hz, sounds most like; None if like none.

    Words that the recogniser's dictionary lacks (names) are left out of the comparison.
    """
    decoder = _decoder()
    rules = [" ".join(_known(decoder, text)) for text in alternatives]
    spoken = " | ".join(rule for rule in rules if rule)
    decoder.add_jsgf_string("which", f"#JSGF V1.0; grammar which; public <said> = {spoken};")
    decoder.activate_search("which")
    pcm = Resampler(RATE, RECOGNISER_RATE).process(samples, last=True)
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    said = hypothesis.hypstr if hypothesis else None
    return next((a for a, rule in zip(alternatives, rules, strict=True) if rule == said), None)


@cache
def _decoder() -> Decoder:
    return Decoder(samprate=RECOGNISER_RATE, loglevel="FATAL", lm=None)


def _known(decoder: Decoder, text: str) -> list[str]:
    words = re.findall(r"[a-z']+", text.lower().replace("’", "'"))
    return [word for word in words if decoder.lookup_word(word)]
