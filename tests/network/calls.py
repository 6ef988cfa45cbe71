"""A whole call at the page, and what an answer sounds like."""

import numpy as np

from bench.audio import loudness
from bench.lab.alignment import Heard, compare
from bench.lab.browsers import Tab, wait_for
from bench.lab.parts import wait_until
from bench.lab.room import RATE, Ear, Room
from bench.lab.visitor import TURN, ask, interrupt, last_turn
from inference.embedded.espeak import RATE as ESPEAK_RATE
from inference.embedded.espeak import speak
from inference.protocol import Voice
from media.frames import Samples
from media.resample import Resampler

WORD = 0.25  # seconds of sound; the shortest of a count has more


def converse(tab: Tab, caller: Room) -> None:
    """A call that is up carries both voices, and lets one interrupt the other."""
    with caller.ear() as ear:
        ask(tab, caller, "count from one to ten")
        heard = heard_of(tab, ear, caller)
    assert heard.missing < WORD
    assert heard.repeated < WORD

    story = ask(tab, caller, "tell me a story")
    interrupt(tab, caller, story)


def reply_of(turn: int) -> str:
    """JavaScript: the reply in that turn."""
    return f"vaani.transcript.find(({{turn}}) => turn === {turn}).reply"


def heard_of(tab: Tab, ear: Ear, caller: Room) -> Heard:
    """Waits for the end of the answer and compares what came to the ear with what was said."""
    wait_for(tab, f"{TURN}.reply.ended")
    reply = last_turn(tab)["reply"]
    assert reply["heard"] == reply["text"]
    # The page's buffer and the sound card still hold some of it.
    wait_until(lambda: _quiet(ear.recording()[-RATE // 2 :]))
    return compare(ear.recording(caller.silent_since), sound_of(reply["text"], tab), RATE)


def sound_of(text: str, tab: Tab) -> Samples:
    """An answer's undisturbed sound, at the room's rate, in the voice that the page shows."""
    pieces = speak(text, Voice(**tab.evaluate("vaani.voice")))
    sound = np.concatenate([piece.samples for piece in pieces])
    return Resampler(ESPEAK_RATE, RATE).process(sound, last=True)


def _quiet(samples: Samples) -> bool:
    return bool(loudness(samples, RATE).max() < -50)
