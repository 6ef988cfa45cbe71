"""What a person does at the page, and what can be asked of the page about it."""

import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any

from bench.lab.browsers import Tab, wait_for
from bench.lab.parts import PartFailed
from bench.lab.room import Room
from bench.voices import speak
from media.frames import Samples

VOICE = "en-us+adam"  # after a browser's noise suppression the best understood of them
CHIME_SECONDS = 2.0  # the page's 1.1, and what it may take to the ear
TRIES = 4
NOTICED_SECONDS = 8.0
TURN = "vaani.transcript.findLast(turn => turn.user)"
"""JavaScript: the latest turn that the caller began."""


def words(text: str) -> Samples:
    """A caller's words, mono at the room's rate."""
    return speak(text, VOICE, rate=150)


def press_call(tab: Tab, url: str) -> float:
    """Opens the page, presses Call and waits until the line is open and its chime is over; gives
    when it was pressed.
    """
    tab.goto(url)
    wait_for(tab, "globalThis.vaani")
    pressed = time.monotonic()
    tab.click("#call")
    wait_for(tab, "vaani.sessionId")
    time.sleep(CHIME_SECONDS)
    return pressed


def hang_up(tab: Tab) -> None:
    tab.click("#call")
    wait_for(tab, "vaani.call === null")


def ask(tab: Tab, room: Room, question: str) -> int:
    """Says something until it is understood, and waits for the answer to begin; gives its turn.

    Like a person: a machine that is busy with other things makes microphones stutter.
    """
    for _ in range(TRIES):
        before = tab.evaluate(f"{TURN}?.turn ?? 0")
        room.say(words(question))
        answered = f"{TURN}?.turn > {before} && {TURN}.user.final && {TURN}.reply?.text"
        try:
            wait_for(tab, answered, NOTICED_SECONDS)
        except PartFailed:
            continue
        turn = last_turn(tab)
        if turn["user"]["text"] == question:
            return int(turn["turn"])
        tab.evaluate("document.querySelector('#interrupt').click()")
        wait_for(tab, f"{TURN}.reply.ended && vaani.state === 'listening'")
    raise PartFailed(f"{question!r} was not understood: {tab.evaluate('vaani.transcript')}")


def interrupt(tab: Tab, room: Room, turn: int) -> None:
    """Speaks over the answer of that turn until it stops; as people do, more than once."""
    stopped = f"vaani.transcript.find(({{turn}}) => turn === {turn}).reply.interrupted"
    for _ in range(TRIES):
        room.say(words("wait a moment"))
        with contextlib.suppress(PartFailed):
            wait_for(tab, stopped, NOTICED_SECONDS)
            return
    raise PartFailed(f"the answer goes on: {tab.evaluate('vaani.transcript')}")


def last_turn(tab: Tab) -> dict[str, Any]:
    turn: dict[str, Any] = tab.evaluate(TURN)
    return turn


@dataclass(frozen=True)
class Path:
    """How the media of a WebRTC call travels, by the browser's own account."""

    protocol: str  # udp or tcp
    local: str  # type of the local candidate: host, prflx, relay
    relay: str | None  # how the relay is reached: udp, tcp, tls
    remote: str  # type of the remote candidate


def media_path(tab: Tab) -> Path:
    """Of the latest peer connection; for Chromium."""
    found = tab.evaluate(_PATH)
    return Path(**found)


_PATH = """(async () => {
    const stats = await peers.at(-1).getStats();
    const pair = stats.get([...stats.values()].find(s => s.type === "transport")
        .selectedCandidatePairId);
    const local = stats.get(pair.localCandidateId), remote = stats.get(pair.remoteCandidateId);
    return {protocol: local.protocol, local: local.candidateType,
            relay: local.relayProtocol ?? null, remote: remote.candidateType};
})()"""


def start_level_meter(tab: Tab) -> None:
    """From now on the level of the microphone is summed up, as it goes to the server."""
    tab.evaluate(_METER)


def microphone_level(tab: Tab) -> float:
    """dBFS (RMS) since the meter started or was last read."""
    power = tab.evaluate("meter.read()")
    return 10 * math.log10(power + 1e-12)


_METER = """(() => {
    const context = new AudioContext(), analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(microphones.at(-1)).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let sum = 0, count = 0;
    setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        for (const sample of samples) sum += sample * sample;
        count += samples.length;
    }, 1000 * analyser.fftSize / context.sampleRate);
    globalThis.meter = {read() { const power = sum / count; sum = count = 0; return power; }};
})()"""
