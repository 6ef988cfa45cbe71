"""The speech that peers answer with, and how soon they have it: as a model and a synthesizer would.

An answer that is all there at once shows what no real one does: FastRTC loses the beginning of it,
or all, as it empties its queue a moment after it has asked for the answer.
"""

import wave

THINKING_SECONDS = 0.6
"""From the end of the caller's turn to the first piece; long enough to hear that the last answer
has stopped."""

PIECE_SECONDS = 0.2
MAKING_SECONDS = 0.002
"""Of one piece: all is made soon after it is begun, before a caller of ours interrupts it. FastRTC
forgets what the caller is saying when the making of an answer ends meanwhile."""


def read_pieces(path: str) -> tuple[int, list[bytes]]:
    """The rate in Hz of a mono 16-bit WAV file, and what is in it, piece by piece."""
    with wave.open(path) as file:
        rate = file.getframerate()
        samples = file.readframes(file.getnframes())
    length = 2 * round(PIECE_SECONDS * rate)
    return rate, [samples[at : at + length] for at in range(0, len(samples), length)]
