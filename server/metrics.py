"""What the server has done so far, counted from the sessions' events."""

import asyncio
import os
import resource
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pyee import EventEmitter

from media.events import (
    Event,
    Failure,
    ReplyEnded,
    ReplyStarted,
    SessionResumed,
    SessionStarted,
    UserStopped,
)
from signaling.transport import EVENT

WINDOW = 500  # turns that the latency figures speak of


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


@dataclass
class Metrics:
    """Counts since the start; `snapshot` is what `/status` shows."""

    clock: Callable[[], float]  # monotonic seconds
    sessions: int = 0
    resumed: int = 0
    refused: int = 0
    turns: int = 0
    interruptions: int = 0
    failures: int = 0
    _first_audio: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

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
                    self._first_audio.append(self.clock() - stopped.pop(turn))
                case ReplyEnded(interrupted=True):
                    self.interruptions += 1
                case SessionStarted():
                    self.sessions += 1
                case SessionResumed():
                    self.resumed += 1
                case Failure():
                    self.failures += 1

        events.on(EVENT, count)

    def snapshot(self) -> dict[str, object]:
        """Counts, and end of turn to first audio (on the server, in ms) over the last turns."""
        times = sorted(self._first_audio)
        return {
            "sessions": self.sessions,
            "resumed": self.resumed,
            "refused": self.refused,
            "turns": self.turns,
            "interruptions": self.interruptions,
            "failures": self.failures,
            "first_audio_ms": {
                "median": round(1000 * times[len(times) // 2], 1) if times else None,
                "p95": round(1000 * times[int(len(times) * 0.95)], 1) if times else None,
            },
        }
