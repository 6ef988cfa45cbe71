"""What the server has done so far, counted from the sessions' events."""

import asyncio
import os
import resource
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from pyee import EventEmitter

from media.events import (
    Event,
    Failure,
    ReplyEnded,
    ReplyPaused,
    ReplyResumed,
    ReplyStarted,
    SessionResumed,
    SessionStarted,
    UserStopped,
)
from server.histogram import Histogram
from signaling.transport import EVENT, MediaReport

WINDOW = 500  # turns that the latency figures of `/status` speak of
FIRST_AUDIO_BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)  # seconds


def process_figures() -> dict[str, int | float]:
    """What this process holds: a series of these shows a leak. Memory in MB."""
    return {
        "pid": os.getpid(),
        "rss_mb": round(_resident_bytes() / 1e6, 1),
        "threads": threading.active_count(),
        "descriptors": len(os.listdir("/dev/fd")),
        "tasks": len(asyncio.all_tasks()),
    }


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        # Without /proc only the peak is known; macOS gives it in bytes, others in KB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def media_figures(report: MediaReport) -> dict[str, object]:
    """What `/status` says of the audio of a transport: `concealment` is the share made up."""
    concealment = report.concealed / report.heard if report.heard else 0.0
    return {**asdict(report), "concealment": round(concealment, 4)}


@dataclass
class Metrics:
    """Counts since the start; `snapshot` is what `/status` shows."""

    clock: Callable[[], float]  # monotonic seconds
    sessions: int = 0
    resumed: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by `server.admission.Cause`
    turns: int = 0
    interruptions: int = 0
    pauses: int = 0  # of answers that were spoken over
    false_interruptions: int = 0  # after which they went on
    failures: int = 0
    first_audio: Histogram = field(default_factory=lambda: Histogram(FIRST_AUDIO_BOUNDS))
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def follow(self, events: EventEmitter) -> None:
        """Count what happens in a session."""
        stopped: dict[int, float] = {}

        def count(event: Event, seq: int) -> None:
            match event:
                case UserStopped(turn):
                    self.turns += 1
                    stopped.clear()
                    stopped[turn] = self.clock()
                case ReplyStarted(turn) if turn in stopped:
                    seconds = self.clock() - stopped.pop(turn)
                    self.first_audio.add(seconds)
                    self._latest.append(seconds)
                case ReplyEnded(interrupted=True):
                    self.interruptions += 1
                case ReplyPaused():
                    self.pauses += 1
                case ReplyResumed():
                    self.false_interruptions += 1
                case SessionStarted():
                    self.sessions += 1
                case SessionResumed():
                    self.resumed += 1
                case Failure():
                    self.failures += 1

        events.on(EVENT, count)

    def snapshot(self) -> dict[str, object]:
        """Counts, and end of turn to first audio (on the server, in ms) over the last turns."""
        times = sorted(self._latest)
        return {
            "sessions": self.sessions,
            "resumed": self.resumed,
            "refused": dict(self.refused),
            "turns": self.turns,
            "interruptions": self.interruptions,
            "pauses": self.pauses,
            "false_interruptions": self.false_interruptions,
            "failures": self.failures,
            "first_audio_ms": {
                "median": round(1000 * times[len(times) // 2], 1) if times else None,
                "p95": round(1000 * times[int(len(times) * 0.95)], 1) if times else None,
            },
        }
