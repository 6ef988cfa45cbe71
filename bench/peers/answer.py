"""The speech that peers answer with, and how soon they have it: as a model and a synthesizer would.

FastRTC is sensitive to that (0.0.34, fastrtc/reply_on_pause.py). `receive` sets the event by which
another thread begins the answer, and empties the queue after that: pieces that are there at once
may be lost with it. And when the making of an answer ends, `reset` forgets what the caller has been
saying until then, who may be interrupting. So a peer thinks first, and has made all of its forty
seconds 0.4 s later, before a caller of ours interrupts.

It was tried slower, with six interruptions each, two calls at once on two busy cores. By the bench
all were missed at every speed, because FastRTC looks for a pause and not for speech: it stopped, if
at all, 0.5 to 1.2 s after the caller's end. At this speed it did in three of the six; at 0.02 s a
piece in three; at pieces of 0.02 s made in as much, as fast as they are heard, in five.
"""

import wave

THINKING_SECONDS = 0.6
"""From the end of the caller's turn to the first piece; long enough to hear that the last answer
has stopped."""

PIECE_SECONDS = 0.2
MAKING_SECONDS = 0.002  # of one piece


def read_pieces(path: str) -> tuple[int, list[bytes]]:
    """The rate in Hz of a mono 16-bit WAV file, and what is in it, piece by piece."""
    with wave.open(path) as file:
        rate = file.getframerate()
        samples = file.readframes(file.getnframes())
    length = 2 * round(PIECE_SECONDS * rate)
    return rate, [samples[at : at + length] for at in range(0, len(samples), length)]
