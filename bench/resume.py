"""A call loses UDP in the middle of an answer: how long is the gap, and is a word lost or repeated?

    python run.py bench resume --calls 5

A real Chromium asks Vaani to count to ten, over WebRTC; the router then drops all UDP, and the
page goes on over the WebSocket. What the caller's loudspeaker played is laid along the same answer
heard without a disturbance. Needs what `bench paths` needs, but for coturn.
"""

import argparse
import json
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.audio import loudness
from bench.lab.alignment import compare
from bench.lab.browsers import Tab, chromium, wait_for
from bench.lab.network import Network, network
from bench.lab.parts import PartFailed, PartMissing, wait_until
from bench.lab.room import RATE, Ear, Room, room
from bench.lab.sites import site
from bench.lab.tls import self_signed
from bench.lab.visitor import TURN, ask, hang_up, press_call
from bench.target import median_p95
from media.frames import Samples

QUESTION = "count from one to ten"
NUMBERS = ("two", "three", "four", "five", "six")


@dataclass(frozen=True, slots=True)
class Resumed:
    """Of one answer: the longest silence that the undisturbed one has not, and its sound in it
    that was not heard, or heard twice. `same`: the session went on and was told as heard in full.
    """

    gap_ms: float
    missing_ms: float
    repeated_ms: float
    same: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calls", type=int, default=5, metavar="N")
    parser.add_argument("--seed", type=int, default=1, help="of when UDP is dropped")
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    try:
        results = _measure(args.calls, random.Random(args.seed))
    except (PartMissing, PartFailed, TimeoutError) as error:
        print(f"vaani: {error or 'nothing was heard'}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps([asdict(result) for result in results]))
    else:
        for name in ("gap_ms", "missing_ms", "repeated_ms"):
            values = [getattr(result, name) for result in results]
            print("{:<12} median {:.0f}, p95 {:.0f}".format(name, *median_p95(values)), values)
    return 0 if all(result.same for result in results) else 1


def _measure(calls: int, chance: random.Random) -> list[Resumed]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        net = stack.enter_context(network())
        certificate = self_signed(net.server, directory)
        caller = stack.enter_context(room(directory / "room"))
        tab = stack.enter_context(chromium(caller.environment, directory, net))
        url = stack.enter_context(site("udp", net, certificate, directory / "site"))
        reference, _ = _answer(tab, caller, url, net, None)
        results = []
        for _ in range(calls):
            net.pass_udp()
            heard, same = _answer(tab, caller, url, net, chance.choice(NUMBERS))
            found = compare(heard, reference, RATE)
            gap, missing, repeated = (1000 * s for s in (found.gap, found.missing, found.repeated))
            results.append(Resumed(round(gap), round(missing), round(repeated), same))
        return results


def _answer(
    tab: Tab, caller: Room, url: str, net: Network, drop_at: str | None
) -> tuple[Samples, bool]:
    """What was heard of one answer, and whether it was one session and the answer whole."""
    press_call(tab, url)
    session = tab.evaluate("vaani.sessionId")
    with caller.ear() as ear:
        ask(tab, caller, QUESTION)
        if drop_at:
            wait_for(tab, f"{TURN}.reply.heard.includes('{drop_at}')")
            net.drop_udp()
        wait_for(tab, f"{TURN}.reply.ended", 60)
        wait_until(lambda: _quiet(ear))
        heard = ear.recording(caller.silent_since)
    reply = tab.evaluate(f"{TURN}.reply")
    same = tab.evaluate("vaani.sessionId") == session and reply["heard"] == reply["text"]
    if drop_at:
        same = same and tab.evaluate("vaani.path.kind") == "WebSocket"
    hang_up(tab)
    return heard, bool(same)


def _quiet(ear: Ear) -> bool:
    """For a second, so that no gap is taken for the end."""
    since = time.monotonic() - 1.0
    return bool(loudness(ear.recording(since), RATE).max(initial=-90) < -50)
