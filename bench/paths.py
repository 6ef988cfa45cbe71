"""How long does a call take to come about over each path, and how soon is it answered there?

    python run.py bench paths --calls 5

A real Chromium behind a router that drops UDP calls through a real nginx with TLS, and asks for the
time. All is taken from the audio in the caller's room: the end of the question at the microphone,
the first sound of the answer at the loudspeaker, jitter buffers and sound card included. Needs root
and Debian's chromium, nginx, coturn, nftables, iproute2, pulseaudio and pulseaudio-utils.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.audio import AUDIBLE, WINDOW_SECONDS, loudness
from bench.lab.browsers import Tab, chromium, wait_for
from bench.lab.network import network
from bench.lab.parts import PartFailed, PartMissing, wait_until
from bench.lab.room import RATE, Ear, Room, room
from bench.lab.sites import WAYS, site
from bench.lab.tls import self_signed
from bench.lab.visitor import hang_up, words
from bench.target import median_p95

QUESTION = "what time is it"
ANSWER_SECONDS = 0.3  # after the question no server has answered yet
QUIET_SECONDS = 0.5
PRESS = """(async () => {
    const pressed = performance.now();
    document.querySelector("#call").click();
    while (!vaani.sessionId) await new Promise(resolve => setTimeout(resolve, 5));
    return performance.now() - pressed;
})()"""


@dataclass(frozen=True, slots=True)
class Call:
    """In ms: from the press to the open line; from there, with the question in it, to the first
    sound of the answer; and from the end of the question to the same.
    """

    connected_ms: float
    pressed_to_answer_ms: float
    question_to_answer_ms: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=5, metavar="N", help="over each path")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this; may be repeated")
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    try:
        results = _measure(args.way or list(WAYS), args.calls)
    except (PartMissing, PartFailed, TimeoutError) as error:
        print(f"vaani: {error or 'nothing was heard'}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({way: [asdict(call) for call in calls] for way, calls in results.items()}))
        return 0
    print("ms, median / p95             press to line   to first answer   question's end to answer")
    for way, calls in results.items():
        columns = zip(*(asdict(call).values() for call in calls), strict=True)
        figures = ["{:.0f} / {:.0f}".format(*median_p95(column)) for column in columns]
        print(f"{way:<28} {figures[0]:>13} {figures[1]:>17} {figures[2]:>26}")
    return 0


def _measure(ways: list[str], calls: int) -> dict[str, list[Call]]:
    results = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        net = stack.enter_context(network())
        certificate = self_signed(net.server, directory)
        caller = stack.enter_context(room(directory / "room"))
        tab = stack.enter_context(chromium(caller.environment, directory, net))
        for way in ways:
            with site(way, net, certificate, directory / way) as url:
                results[way] = [_call(tab, caller, url) for _ in range(calls)]
                tab.goto("about:blank")
    return results


def _call(tab: Tab, caller: Room, url: str) -> Call:
    tab.goto(url)
    wait_for(tab, "globalThis.vaani")
    with caller.ear() as ear, caller.ear("room") as microphone:
        pressed = time.monotonic()
        connected_ms = tab.evaluate(PRESS)
        caller.say(words(QUESTION))
        # The open line's chime sounds while the question is asked, and ends before the answer.
        wait_until(lambda: _answer(microphone, ear))
        asked, answered = _answer(microphone, ear)
        wait_until(lambda: time.monotonic() - _audible(ear)[-1] > QUIET_SECONDS)
    hang_up(tab)
    return Call(connected_ms, 1000 * (answered - pressed), 1000 * (answered - asked))


def _answer(microphone: Ear, ear: Ear) -> tuple[float, ...]:
    """When the question ended and the answer began; nothing before that."""
    asked = _audible(microphone)
    if not asked or time.monotonic() - asked[-1] < ANSWER_SECONDS:
        return ()
    heard = [at for at in _audible(ear) if at > asked[-1] + ANSWER_SECONDS]
    return (asked[-1], heard[0]) if heard else ()


def _audible(ear: Ear) -> list[float]:
    """When there was something to hear, on the monotonic clock."""
    windows = np.flatnonzero(loudness(ear.recording(), RATE) >= AUDIBLE)
    return [ear.origin + float(window) * WINDOW_SECONDS for window in windows]
