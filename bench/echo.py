"""Does Vaani interrupt itself, where the microphone hears the loudspeaker?

    python run.py bench echo --input person.wav

A real Chromium with its echo cancellation on, in a room where the loudspeaker comes back into the
microphone as on a laptop. It asks for a story, listens to a minute of it, and then a person speaks
over it. Needs Debian's chromium, pulseaudio and pulseaudio-utils.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.audio import AudioFileError, read_audio
from bench.lab.browsers import chromium, wait_for
from bench.lab.parts import PartFailed, PartMissing
from bench.lab.room import RATE, room
from bench.lab.server import server
from bench.lab.visitor import (
    ask,
    microphone_level,
    press_call,
    start_level_meter,
    words,
)
from bench.target import median_p95
from media.frames import Samples

WAYS = ("webrtc", "websocket")
EARLY_SECONDS = 2  # in which an echo canceller gets to know a room
SAID_OVER = "wait a moment, I have another question"


@dataclass(frozen=True, slots=True)
class Story:
    """`seconds` were heard without an interruption. Echo levels are RMS in dBFS of what goes to the
    server, in each second: the loudest of the first two, the median and the loudest of the rest.
    """

    seconds: float
    early: float
    median: float
    loudest: float
    interrupted_by_person: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=60, metavar="N", help="of the story")
    parser.add_argument("--input", type=Path, metavar="PERSON.WAV", help="to speak over it with")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this")
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    try:
        person = read_audio(args.input, RATE) if args.input else words(SAID_OVER)
        results = {way: _listen(way, args.seconds, person) for way in args.way or WAYS}
    except (AudioFileError, PartMissing, PartFailed) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({way: asdict(story) for way, story in results.items()}))
    else:
        for way, story in results.items():
            print(
                f"{way}: {story.seconds:.0f} s heard; echo {story.early:.0f} dBFS at first, then "
                f"median {story.median:.0f}, loudest {story.loudest:.0f}; a person "
                f"{'interrupts' if story.interrupted_by_person else 'DOES NOT INTERRUPT'}"
            )
    whole = all(s.seconds >= args.seconds and s.interrupted_by_person for s in results.values())
    return 0 if whole else 1


def _listen(way: str, seconds: int, person: Samples) -> Story:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        settings = {"webrtc.host_addresses": ["127.0.0.1"]}
        url = stack.enter_context(server(directory, settings))
        caller = stack.enter_context(room(directory / "room", echo=True))
        tab = stack.enter_context(chromium(caller.environment, directory))
        press_call(tab, f"{url}?transport={way}")
        start_level_meter(tab)
        story = (
            f"vaani.transcript.find(t => t.turn === {ask(tab, caller, 'tell me a story')}).reply"
        )
        wait_for(tab, "vaani.state === 'speaking'")
        began = time.monotonic()
        microphone_level(tab)
        levels = []
        while time.monotonic() - began < seconds and not tab.evaluate(f"{story}.ended"):
            time.sleep(1)
            levels.append(microphone_level(tab))
        heard = time.monotonic() - began
        if tab.evaluate(f"{story}.ended"):
            return Story(heard, levels[0], median_p95(levels)[0], max(levels), False)
        caller.say(person)
        try:
            wait_for(tab, f"{story}.ended", 5)
            interrupted = bool(tab.evaluate(f"{story}.interrupted"))
        except PartFailed:
            interrupted = False
        settled = levels[EARLY_SECONDS:]
        return Story(
            heard, max(levels[:EARLY_SECONDS]), median_p95(settled)[0], max(settled), interrupted
        )
