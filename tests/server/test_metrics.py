"""Counts and latencies, from events and a clock that the test moves."""

import pytest
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
    StateChanged,
    UserStarted,
    UserStopped,
)
from server.metrics import WINDOW, Metrics, process_figures
from signaling.transport import EVENT


class Room:
    """Sessions that are counted."""

    def __init__(self, sessions: int = 1) -> None:
        self.now = 100.0
        self.metrics = Metrics(lambda: self.now)
        self.emitters = [EventEmitter() for _ in range(sessions)]
        for emitter in self.emitters:
            self.metrics.follow(emitter)

    def emit(self, event: Event, session: int = 0) -> None:
        self.emitters[session].emit(EVENT, event, 1)

    def turn(self, number: int, latency: float, session: int = 0) -> None:
        self.emit(UserStarted(number), session)
        self.emit(UserStopped(number), session)
        self.now += latency
        self.emit(ReplyStarted(number), session)
        self.now += 1.0
        self.emit(ReplyEnded(number, "", "", 1.0, interrupted=False), session)


def test_nothing_yet() -> None:
    metrics = Metrics(lambda: 0.0)
    assert metrics.snapshot() == {
        "sessions": 0,
        "resumed": 0,
        "refused": {},
        "turns": 0,
        "interruptions": 0,
        "pauses": 0,
        "false_interruptions": 0,
        "failures": 0,
        "first_audio_ms": {"median": None, "p95": None},
    }


def test_turns_and_their_latency() -> None:
    room = Room(2)
    for number, latency in enumerate([0.1, 0.2, 0.3, 0.4, 5.0]):
        room.turn(number, latency, session=number % 2)
    snapshot = room.metrics.snapshot()
    assert snapshot["turns"] == 5
    assert snapshot["first_audio_ms"] == {"median": 300.0, "p95": 5000.0}
    assert dict(room.metrics.first_audio.buckets())["1.0"] == 4
    assert room.metrics.first_audio.sum == pytest.approx(6.0)


def test_calls_that_overlap_are_kept_apart() -> None:
    room = Room(2)
    room.emit(UserStopped(1), 0)
    room.now += 0.1
    room.emit(UserStopped(1), 1)
    room.now += 0.1
    room.emit(ReplyStarted(1), 0)
    room.now += 0.1
    room.emit(ReplyStarted(1), 1)
    assert room.metrics.snapshot()["first_audio_ms"] == {"median": 200.0, "p95": 200.0}


def test_an_answer_that_never_sounded_has_no_latency() -> None:
    room = Room()
    room.emit(UserStopped(1))
    room.now += 9
    room.turn(2, 0.5)
    room.emit(ReplyStarted(1))
    assert room.metrics.snapshot()["first_audio_ms"] == {"median": 500.0, "p95": 500.0}
    assert room.metrics.turns == 2


def test_false_interruptions() -> None:
    room = Room()
    room.emit(ReplyPaused(1))
    room.emit(ReplyResumed(1))
    room.emit(ReplyPaused(1))
    room.emit(ReplyEnded(1, "", "", 1.0, interrupted=True))
    counted = room.metrics
    assert (counted.pauses, counted.false_interruptions, counted.interruptions) == (2, 1, 1)


def test_interruptions_and_failures() -> None:
    room = Room()
    room.emit(ReplyEnded(1, "", "", 1.0, interrupted=True))
    room.emit(ReplyEnded(2, "", "", 1.0, interrupted=False))
    room.emit(Failure("engine_failed", ""))
    room.emit(StateChanged("listening"))
    assert (room.metrics.interruptions, room.metrics.failures) == (1, 1)


def test_sessions_are_counted_once_they_are_carried() -> None:
    room = Room(3)
    assert room.metrics.sessions == 0
    started = SessionStarted("id", "token", 30.0, "tcp", "echo", (), (), (), {})
    room.emit(started, 0)
    room.emit(started, 1)
    assert room.metrics.sessions == 2
    for session in (0, 1, 1):
        room.emit(SessionResumed("id", "token", 30.0, "tcp", "listening", 0), session)
    assert (room.metrics.sessions, room.metrics.resumed) == (2, 3)


def test_old_latencies_are_forgotten() -> None:
    room = Room()
    for number in range(WINDOW):
        room.turn(number, 9.0)
    for number in range(WINDOW):
        room.turn(number, 0.1)
    assert room.metrics.snapshot()["first_audio_ms"] == {"median": 100.0, "p95": 100.0}


async def test_the_process_is_described() -> None:
    figures = process_figures()
    assert figures["rss_mb"] > 1
    assert figures["threads"] >= 1
    assert figures["descriptors"] >= 3
    assert figures["tasks"] >= 1
