"""Does a call stay up, on the path it took, and go on answering?

    python run.py bench hold --way tcp --minutes 10

A real Chromium calls as in `bench paths`, asks for the time once a minute, and the call must never
leave its path. Needs what `bench paths` needs.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.lab.browsers import chromium, wait_for
from bench.lab.network import network
from bench.lab.parts import PartFailed, PartMissing
from bench.lab.room import room
from bench.lab.sites import WAYS, site
from bench.lab.tls import self_signed
from bench.lab.visitor import TURN, ask, hang_up, press_call

QUESTION = "what time is it"
WATCH = """
    globalThis.kinds = [];
    setInterval(() => {
        const kind = vaani.path?.kind ?? "none";
        if (kinds.at(-1) !== kind) kinds.push(kind);
    }, 100);
"""


@dataclass(frozen=True, slots=True)
class Held:
    """`paths`: those the badge has named, in order; the first may be "none". `session` is whether
    it stayed the same. Loss in per cent and times in ms are the page's own at the end.
    """

    seconds: float
    answers: int
    paths: list[str]
    session: bool
    rtt_ms: float
    loss: float
    jitter_ms: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--way", choices=WAYS, default="tcp")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N")
    parser.add_argument("--json", action="store_true", help="report in JSON on standard output")


def run(args: argparse.Namespace) -> int:
    try:
        held = _hold(args.way, 60 * args.minutes)
    except (PartMissing, PartFailed) as error:
        print(f"vaani: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(asdict(held)))
    else:
        print(
            f"{held.seconds:.0f} s, {held.answers} answers, over {', then '.join(held.paths)}; "
            f"{'the same' if held.session else 'ANOTHER'} session; at the end round trip "
            f"{held.rtt_ms:.1f} ms, loss {held.loss:.1f} %, jitter {held.jitter_ms:.1f} ms"
        )
    moved = [path for path in held.paths if path != "none"]
    return 0 if held.session and len(moved) == 1 else 1


def _hold(way: str, seconds: float) -> Held:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        net = stack.enter_context(network())
        certificate = self_signed(net.server, directory)
        caller = stack.enter_context(room(directory / "room"))
        tab = stack.enter_context(chromium(caller.environment, directory, net))
        url = stack.enter_context(site(way, net, certificate, directory / "site"))
        began = press_call(tab, url)
        tab.evaluate(f"(() => {{ {WATCH} }})()")
        session = tab.evaluate("vaani.sessionId")
        answers = 0
        while time.monotonic() - began < seconds:
            ask(tab, caller, QUESTION)
            wait_for(tab, f"{TURN}.reply?.ended && vaani.state === 'listening'")
            answers += 1
            pause = min(began + 60 * answers, began + seconds) - time.monotonic()
            time.sleep(max(0.0, pause))
        path, same = tab.evaluate("vaani.path"), tab.evaluate("vaani.sessionId") == session
        kinds = tab.evaluate("kinds")
        hang_up(tab)
        elapsed = time.monotonic() - began
        return Held(elapsed, answers, kinds, same, path["rtt"], path["loss"], path["jitter"])
