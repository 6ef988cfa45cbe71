"""media.duplex: frames in, frames out, and an engine that is started again when it stops."""

import numpy as np
import pytest

from media.actions import Action, CancelTurn, Listen, Notify, StartTurn
from media.duplex import BACKLOG_SECONDS, PACE, RESTART_SECONDS, Duplex
from media.events import Failure, ReplyText, UserTranscript
from media.frames import AudioFrame, Samples, silence

RATE = 24_000
FRAME = AudioFrame(silence(480), RATE)


def opened() -> Duplex:
    duplex = Duplex(output_rate=RATE)
    assert duplex.actions() == [StartTurn(0)]
    assert duplex.actions() == []
    return duplex


def sound(value: int, seconds: float = 0.02) -> Samples:
    return np.full(round(seconds * RATE), value, dtype=np.int16)


def hear(duplex: Duplex, frames: int) -> list[Action]:
    """What is to be done in so many frames, besides listening."""
    out: list[Action] = []
    for _ in range(frames):
        duplex.receive_frame(FRAME, 0.0)
        out += duplex.actions()
    return [action for action in out if not isinstance(action, Listen)]


def test_every_frame_is_listened_to() -> None:
    duplex = opened()
    duplex.receive_frame(FRAME, 1.0)
    [action] = duplex.actions()
    assert isinstance(action, Listen)
    assert action.turn == duplex.turn == 0
    assert action.frame is FRAME
    assert duplex.timeout is None


def test_what_the_engine_says_is_heard_and_its_words_told() -> None:
    duplex = opened()
    assert not duplex.pull(0.0).any()
    duplex.receive_speech(0, sound(5), RATE, "hello ", 0.0)
    duplex.receive_transcript(0, "hi", True)
    assert duplex.actions() == [
        Notify(ReplyText(0, "hello ")),
        Notify(UserTranscript(0, "hi", True)),
    ]
    assert (duplex.pull(0.0) == 5).all()
    assert not duplex.pull(0.0)[192:].any()
    assert duplex.underruns == 1


def test_a_backlog_is_dropped_and_not_played_late() -> None:
    duplex = opened()
    for value in range(1, 31):
        duplex.receive_speech(0, sound(value), RATE, "", 0.0)
    frames = round(BACKLOG_SECONDS / 0.02)
    assert [int(duplex.pull(0.0)[-1]) for _ in range(frames)] == list(range(31 - frames, 31))
    assert not duplex.pull(0.0)[192:].any()


def test_a_frame_is_due_when_it_came() -> None:
    duplex = opened()
    assert duplex.live
    assert duplex.due is None
    for n, came in enumerate((1.0, 1.02, 1.055, 1.056)):
        duplex.receive_speech(0, sound(n + 1), RATE, "", came)
        assert duplex.due == came
        assert (duplex.pull(0.0) == n + 1).all()
        assert duplex.due is None
    assert duplex.underruns == 0


def test_half_a_frame_is_not_due() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1, 0.01), RATE, "", 1.0)
    assert duplex.due is None
    duplex.receive_speech(0, sound(1, 0.01), RATE, "", 1.5)
    assert duplex.due == 1.5
    assert (duplex.pull(0.0) == 1).all()


def test_a_long_piece_is_paced_a_little_faster_than_it_is_spoken() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1, 0.08), RATE, "", 1.0)
    due = []
    while (at := duplex.due) is not None:
        due.append(at)
        duplex.pull(0.0)
    assert due == [pytest.approx(1.0 + n * 0.02 * PACE) for n in range(4)]


def test_a_piece_that_came_late_is_made_up_for() -> None:
    """Pieces of 80 ms, one of them 50 ms late: the next one goes out as if it had not been."""
    duplex, now = opened(), 0.0
    delays = []
    for came in (0.0, 0.08, 0.21, 0.24, 0.32, 0.4, 0.48):
        duplex.receive_speech(0, sound(1, 0.08), RATE, "", came)
        while (at := duplex.due) is not None:
            now = max(now, at)
            duplex.pull(0.0)
        delays.append(now - came)
    assert delays[2:] == pytest.approx([delays[0]] * 5, abs=0.025)
    assert delays[-1] == pytest.approx(delays[0])


def test_what_is_thrown_away_is_not_due_but_its_fade_is() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1000, 0.2), RATE, "", 1.0)
    duplex.pull(0.0)
    duplex.interrupt()
    assert duplex.due == 0.0
    duplex.pull(0.0)
    assert duplex.due is None


def test_the_client_may_throw_away_what_waits() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1000, 0.2), RATE, "", 0.0)
    duplex.pull(0.0)
    duplex.interrupt()
    tail = duplex.pull(0.0)
    assert tail[0] > 0
    assert not tail[192:].any()
    assert not duplex.pull(0.0).any()
    duplex.receive_speech(0, sound(7), RATE, "", 0.0)
    assert (duplex.pull(0.0) == 7).all()
    assert duplex.actions() == []


def test_an_engine_that_ends_or_fails_is_started_again_a_second_later() -> None:
    """Not at once: one that cannot start would be asked without end."""
    duplex = opened()
    duplex.receive_end(0)
    assert duplex.actions() == []
    assert hear(duplex, round(RESTART_SECONDS / 0.02) - 1) == []
    assert hear(duplex, 1) == [StartTurn(0)]
    duplex.fail_reply(0, "it broke")
    assert duplex.actions() == [Notify(Failure("engine_failed", "it broke"))]
    assert hear(duplex, 49) == []
    assert hear(duplex, 100) == [StartTurn(0)]


def test_close_says_what_was_heard_and_then_nothing_more() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1000, 0.5), RATE, "", 0.0)  # 0.3 s of it are too much
    before = [duplex.pull(0.0) for _ in range(5)]
    duplex.close()
    assert duplex.actions() == [CancelTurn(0, 0.1, "")]
    duplex.close()
    duplex.receive_frame(FRAME, 0.0)
    duplex.receive_end(0)
    duplex.fail_reply(0, "late")
    duplex.receive_transcript(0, "late", True)
    duplex.receive_speech(0, sound(9), RATE, "late", 0.0)
    duplex.handle_timeout(0.0)
    assert duplex.actions() == []
    after = np.concatenate([duplex.pull(0.0) for _ in range(3)])
    assert not after[192:].any()
    steps = np.diff(np.concatenate([*before, after]).astype(int))
    assert np.abs(steps).max() < 10
