"""media.duplex: frames in, frames out, and an engine that is started again when it stops."""

import numpy as np

from media.conversation import Action, CancelTurn, Listen, Notify, StartTurn
from media.duplex import BACKLOG_SECONDS, RESTART_SECONDS, Duplex
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
    assert not duplex.pull().any()
    duplex.receive_speech(0, sound(5), RATE, "hello ", 0.0)
    duplex.receive_transcript(0, "hi", True)
    assert duplex.actions() == [
        Notify(ReplyText(0, "hello ")),
        Notify(UserTranscript(0, "hi", True)),
    ]
    assert (duplex.pull() == 5).all()
    assert not duplex.pull()[192:].any()
    assert duplex.underruns == 1


def test_a_backlog_is_dropped_and_not_played_late() -> None:
    duplex = opened()
    for value in range(1, 31):
        duplex.receive_speech(0, sound(value), RATE, "", 0.0)
    frames = round(BACKLOG_SECONDS / 0.02)
    assert [int(duplex.pull()[-1]) for _ in range(frames)] == list(range(31 - frames, 31))
    assert not duplex.pull()[192:].any()


def test_the_client_may_throw_away_what_waits() -> None:
    duplex = opened()
    duplex.receive_speech(0, sound(1000, 0.2), RATE, "", 0.0)
    duplex.pull()
    duplex.interrupt()
    tail = duplex.pull()
    assert tail[0] > 0
    assert not tail[192:].any()
    assert not duplex.pull().any()
    duplex.receive_speech(0, sound(7), RATE, "", 0.0)
    assert (duplex.pull() == 7).all()
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
    before = [duplex.pull() for _ in range(5)]
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
    after = np.concatenate([duplex.pull() for _ in range(3)])
    assert not after[192:].any()
    steps = np.diff(np.concatenate([*before, after]).astype(int))
    assert np.abs(steps).max() < 10
