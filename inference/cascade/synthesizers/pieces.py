"""Where in a clause's sound each of its words is, for synthesizers that do not say."""

import re
from itertools import accumulate, pairwise

from inference.protocol import Speech
from media.frames import Samples


def by_letters(text: str, samples: Samples, rate: int) -> list[Speech]:
    """A piece per word, each as long as its share of the letters; the texts joined are `text`."""
    words = re.findall(r"\s*\S+\s*", text) or [text]
    ends = accumulate(len(word) for word in words)
    edges = [0, *(len(samples) * end // max(1, len(text)) for end in ends)]
    return [
        Speech(samples[begin:end], rate, word)
        for word, (begin, end) in zip(words, pairwise(edges), strict=True)
    ]
