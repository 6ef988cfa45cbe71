"""media.conversation: every row of its table, to the frame, and then whole calls."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from media.actions import CancelTurn, Listen, Notify, Say, StartTurn
from media.conversation import Conversation, State
from media.endpointing import EndpointingSettings
from media.events import (
    ReplyEnded,
    ReplyHeard,
    ReplyStarted,
    StateChanged,
    UserStarted,
    UserStopped,
    UserTranscript,
)
from media.frames import AudioFrame, Samples, silence
from media.interruption import InterruptionSettings
from media.tones import apology
from media.vad import TAIL, VAD_RATE, EnergyDetector, VadSettings, level
from tests.media.script import (
    AT_ONCE,
    OUT,
    PHRASES,
    REPLY_TIMEOUT,
    Call,
    answering,
    asked,
    spell,
    words_heard,
)

# The table, row by row


def test_speech_begins_a_turn() -> None:
    call = Call()
    assert call.hear(30 * ".") == []
    assert call.hear("xxxx") == []
    assert call.conversation.timeout is None
    actions = call.hear("x")
    assert [spell(a) for a in actions[:2]] == ["= user_speaking", "user.started 1"]
    assert call.conversation.turn == 1
    # 100 ms of the run and 300 ms of pre-roll: no first syllable is lost, and nothing else comes.
    assert call.listened() == list(range(16, 36))
    assert len(actions) == 22
    assert [spell(a) for a in call.hear("x.x")] == [
        "listen 1 10036",
        "listen 1 -38",
        "listen 1 10038",
    ]


def test_pauses_and_the_end_of_the_turn() -> None:
    call = Call()
    call.hear(20 * "." + 5 * "x" + 9 * "." + "x" + 9 * ".")
    assert call.state == "user_speaking"
    call.hear(".")
    assert call.state == "endpointing"
    call.hear(9 * ".")
    assert call.state == "endpointing"
    call.hear("x")
    assert call.state == "user_speaking"
    call.hear(20 * ".")
    assert call.trace == [
        "500 = user_speaking",
        "500 user.started 1",
        "900 = endpointing",
        "1100 = user_speaking",
        "1300 = endpointing",
        "1500 = thinking",
        "1500 user.stopped 1",
        "1500 start 1",
    ]
    assert call.listened() == list(range(6, 76))  # each frame once, to the last


@pytest.mark.parametrize("said", [10 * "x", 10 * "x" + 12 * "."])
def test_while_no_frames_come_nothing_of_the_callers_is_decided(said: str) -> None:
    """A lost transport: however long it takes, the turn goes on where it was."""
    call, steady = Call(), Call()
    said = 5 * "." + said
    call.hear(said)
    before = call.state
    assert before in ("user_speaking", "endpointing")
    call.trace.clear()
    call.hear(5000 * " ")
    assert (call.state, call.trace) == (before, [])
    assert call.conversation.timeout is None
    call.hear(4 * "x" + 20 * ".")
    steady.hear(said + 4 * "x" + 20 * ".")
    assert (call.state, call.conversation.turn) == ("thinking", 1)
    assert len(call.listened()) == len(steady.listened())


def test_the_answer_is_spoken_and_then_it_listens() -> None:
    call = asked()
    call.hear(5 * ".")
    call.say("hello ", 0.1)
    assert call.state == "speaking"
    call.say("there", 0.09)
    call.end()
    call.hear(9 * ".")
    assert call.state == "speaking"
    call.hear(10 * ".")
    assert call.trace[3:] == [
        "800 = thinking",
        "800 user.stopped 1",
        "800 start 1",
        "900 = speaking",
        "900 reply.started 1",
        "900 ReplyText(turn=1, text='hello ')",
        "900 ReplyText(turn=1, text='there')",
        "1000 reply.heard 1: 'hello '",
        "1100 reply.heard 1: 'there'",
        "1100 reply.ended 1: 0.190 s 'hello there' of 'hello there', done",
        "1100 = listening",
    ]
    sound = np.concatenate(call.played)
    assert np.flatnonzero(sound)[[0, -1]].tolist() == [45 * 480, round(45 * 480 + 0.19 * OUT) - 1]
    assert call.conversation.timeout is None
    assert call.conversation.underruns == 0


def test_an_answer_without_a_sound() -> None:
    call = asked()
    call.say("(nods)", 0.0)
    assert call.state == "thinking"
    call.end()
    assert call.trace[-4:] == [
        "800 ReplyText(turn=1, text='(nods)')",
        "800 reply.heard 1: '(nods)'",
        "800 reply.ended 1: 0.000 s '(nods)' of '(nods)', done",
        "800 = listening",
    ]
    call = asked()
    call.end()
    assert call.trace[-2:] == ["800 start 1", "800 = listening"]
    assert call.conversation.timeout is None


def test_barge_in_while_thinking_is_the_same_request_going_on() -> None:
    call = asked()
    call.hear(30 * "." + 4 * "x")
    assert call.state == "thinking"
    call.actions.clear()
    actions = call.hear("x")
    assert [spell(a) for a in actions[:3]] == [  # told first, then listened
        "cancel 1: heard 0.000 s ''",
        "= user_speaking",
        "user.started 2",
    ]
    assert {a.turn for a in actions[3:] if isinstance(a, Listen)} == {2}
    # All of the old turn (from its pre-roll on), then 300 ms and the new run of 100 ms.
    assert call.listened() == [*range(1, 41), *range(56, 76)]
    call.hear(20 * ".")
    assert call.trace[-1] == "1900 start 2"
    # And once more: the third turn holds the first two.
    call.actions.clear()
    call.hear(5 * "x")
    assert call.listened() == [*range(1, 41), *range(56, 96), *range(96, 101)]


def test_barge_in_in_one_call() -> None:
    call = answering()
    call.hear(51 * "." + 4 * "x")
    assert call.trace == words_heard(11)
    call.step += 1
    frame = AudioFrame(np.full(320, 10_000 + call.step, dtype=np.int16), VAD_RATE)
    call.conversation.receive_frame(frame, call.now)
    actions = call.drain()
    text = "".join(f"w{n} " for n in range(40))
    heard = "".join(f"w{n} " for n in range(11))
    assert actions[-4:] == [
        CancelTurn(1, 1.1, heard),
        Notify(ReplyEnded(1, text, heard, 1.1, True)),
        Notify(StateChanged("user_speaking")),
        Notify(UserStarted(2)),
    ]
    assert all(isinstance(a, Listen) and a.turn == 2 for a in actions[:-4])
    assert call.listened() == list(range(77, 97))
    tail = call.conversation.pull(0.0)
    assert tail[0] > 100  # the answer had been lowered before
    assert not tail[192:].any()
    assert not call.conversation.pull(0.0).any()
    assert call.drain() == []


def test_barge_in_while_the_engine_still_speaks() -> None:
    call = asked()
    call.say("one two three four five", 1.0)
    call.hear(20 * "." + 5 * "x")
    assert "1300 cancel 1: heard 0.480 s 'one two '" in call.trace
    call.say("late", 1.0, turn=1)
    call.end()
    assert not np.concatenate([call.conversation.pull(0.0) for _ in range(60)])[192:].any()
    assert call.state == "user_speaking"


def test_a_barge_in_over_words_that_had_no_sound_yet() -> None:
    call = asked()
    call.say("not heard ", 0.0)
    call.hear(5 * "x")
    assert call.trace[-4:-2] == [
        "900 cancel 1: heard 0.000 s ''",
        "900 reply.ended 1: 0.000 s '' of 'not heard ', interrupted",
    ]


def test_the_client_interrupts() -> None:
    call = answering()
    call.hear(10 * ".")
    call.conversation.interrupt()
    call.drain()
    assert [t.split(" of ")[0] for t in call.trace] == [
        *words_heard(2),
        "1000 cancel 1: heard 0.200 s 'w0 w1 '",
        "1000 reply.ended 1: 0.200 s 'w0 w1 '",
        "1000 = listening",
    ]
    assert call.conversation.timeout is None
    call.say("late", 1.0)
    call.conversation.interrupt()  # nothing to stop: nothing happens
    assert call.drain() == []
    assert not np.concatenate([call.conversation.pull(0.0) for _ in range(9)])[192:].any()

    call = asked()
    call.conversation.interrupt()
    assert [spell(a) for a in call.drain()] == ["cancel 1: heard 0.000 s ''", "= listening"]


def test_the_client_cannot_interrupt_the_caller() -> None:
    call = Call()
    call.hear(10 * "x")
    call.conversation.interrupt()
    assert call.drain() == []
    assert call.state == "user_speaking"


@pytest.mark.parametrize(("how", "ms"), [("fails", 5780), ("is silent", 5800)])
def test_an_engine_that_gives_nothing(how: str, ms: int) -> None:
    call = asked()
    call.hear(249 * ".")
    assert call.state == "thinking"
    call.played.clear()
    if how == "fails":
        call.conversation.fail_reply(1, "no answer in 5 s")
        call.drain()
    else:
        call.hear(".")
    assert call.trace[-3:] == [
        f"{ms} cancel 1: heard 0.000 s ''",
        f"{ms} Failure(code='engine_failed', message='no answer in 5 s')",
        f"{ms} = speaking",
    ]
    assert call.conversation.timeout is None
    call.hear((29 - len(call.played)) * ".")
    assert call.state == "speaking"
    call.hear(".")
    assert call.state == "listening"
    assert np.array_equal(np.concatenate(call.played), apology(OUT))
    assert not any(action for action in call.trace if "reply" in action)
    call.hear(10 * "x" + 20 * ".")  # and the next turn works
    assert call.trace[-1].endswith("start 2")


def test_an_engine_that_stalls_after_its_first_words() -> None:
    call = asked()
    call.hear(".....")
    call.say("one two", 1.0)
    assert call.conversation.timeout == pytest.approx(0.9 + 1.0 + REPLY_TIMEOUT)
    call.hear(299 * ".")
    assert call.state == "speaking"
    assert call.conversation.underruns == 1
    call.hear(".")
    assert call.trace[-3:] == [
        "6900 cancel 1: heard 1.000 s 'one two'",
        "6900 reply.ended 1: 1.000 s 'one two' of 'one two', interrupted",
        "6900 Failure(code='engine_failed', message='no answer in 5 s')",
    ]
    call.hear(30 * ".")
    assert call.trace[-1] == "7480 = listening"


def test_a_failure_amid_the_answer_fades_into_the_tone() -> None:
    call = asked()
    call.say("one two", 2.0, value=10_000)
    call.hear(10 * ".")
    call.conversation.fail_reply(1, "gone")
    call.drain()
    assert call.state == "speaking"
    call.played.clear()
    call.hear(40 * ".")
    sound = np.concatenate(call.played)
    assert sound[0] == 10_000
    assert np.abs(np.diff(sound.astype(int))).max() < 800
    assert not sound[192:480].any()
    assert np.array_equal(sound[480 : 480 + 14_400], apology(OUT))
    assert call.state == "listening"


def test_the_tone_can_be_interrupted_too() -> None:
    call = asked()
    call.conversation.fail_reply(1, "gone")
    call.drain()
    call.trace.clear()
    call.hear(5 * "x")
    assert call.trace == ["900 = user_speaking", "900 user.started 2"]


@pytest.mark.parametrize("state", [s for s in State if s is not State.CLOSED])
def test_close(state: State) -> None:
    begin: dict[State, Callable[[], Call]] = {
        State.THINKING: asked,
        State.SPEAKING: answering,
        State.HELD: lambda: answering(interruption=InterruptionSettings(echo_gate=False)),
    }
    call = begin.get(state, Call)()
    if state in (State.USER_SPEAKING, State.ENDPOINTING):
        call.hear(10 * "x" + (12 * "." if state is State.ENDPOINTING else ""))
    if state is State.SPEAKING:
        call.hear(10 * ".")
    if state is State.HELD:
        call.hear(5 * "." + 5 * "x")
    assert call.state == state.value
    call.trace.clear()
    call.conversation.close()
    call.drain()
    ms = call.step * 20
    text = "".join(f"w{n} " for n in range(40))
    cancelled = {
        State.THINKING: [f"{ms} cancel 1: heard 0.000 s ''"],
        State.SPEAKING: [
            f"{ms} cancel 1: heard 0.200 s 'w0 w1 '",
            f"{ms} reply.ended 1: 0.200 s 'w0 w1 ' of {text!r}, interrupted",
        ],
    }
    cancelled[State.HELD] = [
        f"{ms} cancel 1: heard 0.180 s 'w0 '",
        f"{ms} reply.ended 1: 0.180 s 'w0 ' of {text!r}, interrupted",
    ]
    assert call.trace == [*cancelled.get(state, []), f"{ms} = closed"]

    turn = call.conversation.turn
    assert call.conversation.timeout is None
    call.conversation.close()
    call.conversation.interrupt()
    call.conversation.handle_timeout(1e9)
    call.conversation.receive_transcript(turn, "late", True)
    call.conversation.fail_reply(turn, "late")
    call.say("late", 1.0)
    call.end()
    assert call.hear(20 * "x") == []
    assert call.drain() == []
    assert not np.concatenate(call.played[-20:])[192:].any()


# The caller's turn


@pytest.mark.parametrize("click", ["x", "xxxx", "x.x.x.x", "x........x"])
def test_a_click_begins_no_turn(click: str) -> None:
    call = Call()
    assert call.hear(20 * "." + click + 10 * "." + click + 50 * ".") == []
    assert call.state == "listening"


@pytest.mark.parametrize(
    ("run", "first"),
    [("xxxxx", 16), ("x.x.x.x.x", 16), ("x........xxxx", 16), ("xx....xxx", 16)],
)
def test_pre_roll_reaches_before_the_whole_run(run: str, first: int) -> None:
    call = Call()
    call.hear(30 * "." + run)
    assert call.listened() == list(range(first, 31 + len(run)))


def test_pre_roll_is_what_the_settings_say_and_no_more_than_there_is() -> None:
    call = Call(vad=VadSettings(pre_roll=0.0))
    call.hear(30 * "." + 5 * "x")
    assert call.listened() == list(range(31, 36))
    call = Call(vad=VadSettings(pre_roll=1.0, onset=0.2))
    call.hear(80 * "." + 10 * "x")
    assert call.listened() == list(range(31, 91))
    call = Call()
    call.hear("..." + 5 * "x")
    assert call.listened() == list(range(1, 9))


def test_no_frame_is_listened_to_in_two_turns() -> None:
    call = answering()
    call.hear(6 * "x" + 20 * ".")  # turn 2, and straight on
    call.end()
    call.hear(5 * "x")
    assert call.conversation.turn == 3
    turns: dict[int, set[int]] = {2: set(), 3: set()}
    for action in call.actions:
        if isinstance(action, Listen):
            turns[action.turn].add(int(action.frame.samples[0]))
    assert len(turns[3]) == 5
    assert not turns[2] & turns[3]


@pytest.mark.parametrize(("complete", "steps"), [(None, 20), (True, 20), (False, 60)])
def test_the_engine_may_ask_for_patience(complete: bool | None, steps: int) -> None:
    call = Call()
    call.hear(10 * "x")
    call.conversation.receive_transcript(1, "count", False, complete)
    assert call.drain() == [Notify(UserTranscript(1, "count", False))]
    call.hear((steps - 1) * ".")
    assert call.state == "endpointing"
    call.hear(".")
    assert call.state == "thinking"


def test_a_late_change_of_opinion() -> None:
    call = Call()
    call.hear(10 * "x")
    call.conversation.receive_transcript(1, "count to", False, False)
    call.hear(40 * ".")
    assert call.state == "endpointing"
    call.conversation.receive_transcript(1, "count to ten", False, True)
    assert call.state == "endpointing"
    call.hear(".")  # 820 ms of silence are enough now
    assert call.state == "thinking"

    call = Call()
    call.hear(10 * "x" + 19 * ".")
    call.conversation.receive_transcript(1, "and then", False, False)
    call.hear(40 * ".")
    assert call.state == "endpointing"
    call.hear(".")
    assert call.state == "thinking"


def test_an_opinion_is_of_one_turn() -> None:
    call = Call()
    call.hear(10 * "x")
    call.conversation.receive_transcript(1, "count to", False, False)
    call.hear(60 * ".")
    call.end()
    call.hear(10 * "x" + 20 * ".")
    assert call.trace[-1].endswith("start 2")


def test_an_end_of_turn_sooner_than_the_hangover() -> None:
    """The old run of speech must not count as a barge-in on its own answer."""
    call = Call(endpointing=EndpointingSettings(min_delay=0.1))
    call.hear(10 * "x" + 5 * ".")
    assert call.state == "thinking"
    call.hear(20 * ".")
    assert call.state == "thinking"
    assert call.trace[-1] == "300 start 1"
    call.hear(5 * "x")
    assert call.trace[-1] == "800 user.started 2"


def test_a_needless_timeout_does_no_harm() -> None:
    call = Call()
    call.conversation.handle_timeout(1e9)
    assert call.drain() == []
    call = asked()
    timeout = call.conversation.timeout
    assert timeout is not None
    call.conversation.handle_timeout(timeout - 0.001)
    assert call.drain() == []
    assert (call.conversation.timeout, call.state) == (timeout, "thinking")
    call.conversation.handle_timeout(timeout)
    assert call.state == "speaking"  # it says sorry


# Interruption


def test_barge_in_needs_min_duration() -> None:
    call = answering(interruption=replace(AT_ONCE, min_duration=0.3))
    call.hear(14 * "x" + 10 * ".")
    assert call.trace == words_heard(4)
    call.hear(14 * "x")
    assert call.trace == words_heard(7)
    call.hear("x")
    assert call.state == "user_speaking"


def test_interruption_switched_off() -> None:
    call = answering(interruption=InterruptionSettings(enabled=False))
    call.hear(100 * "x" + 20 * ".")
    assert call.trace == words_heard(24)
    call.hear(80 * ".")
    assert call.trace[:-2] == words_heard(40)
    assert [t.split(":")[0] for t in call.trace[-2:]] == ["4800 reply.ended 1", "4800 = listening"]
    call = asked(interruption=InterruptionSettings(enabled=False))
    call.trace.clear()
    call.hear(30 * "x")
    assert call.trace == []
    call.conversation.interrupt()  # the button still works
    assert call.state == "listening"


def test_speech_that_begins_under_the_end_of_the_answer() -> None:
    """Too short for a barge-in when the answer ends; it is the next turn, whole."""
    call = answering()
    call.hear(197 * "." + 3 * "x")
    assert call.state == "listening"
    call.hear("xx")
    assert call.state == "user_speaking"
    assert call.listened() == list(range(40 + 183, 40 + 203))


# The attack: sound right before the speech, which the detector was too slow to call so


@pytest.mark.parametrize("begin", [asked, answering])
@pytest.mark.parametrize(
    ("before", "frames"),
    [(".", 0), ("o", 1), ("oo", 2), ("ooo", 3), (30 * "o", 4), ("oo.", 0), ("o.o", 1)],
)
def test_an_attack_brings_a_barge_in_forward(
    begin: Callable[[], Call], before: str, frames: int
) -> None:
    call = begin()
    call.hear(40 * "." + before)
    state, first = call.state, call.step + 1
    call.actions.clear()
    call.hear((4 - frames) * "x")
    assert (call.state, call.conversation.turn) == (state, 1)
    call.hear("x")
    ms = 20 * (first + 4 - frames)
    assert call.trace[-1] == f"{ms} user.started 2"
    [cancelled] = [a for a in call.actions if isinstance(a, CancelTurn)]
    # Up to the frame before this one, and nothing of an answer that had not begun.
    assert cancelled.heard_seconds == (0.0 if begin is asked else (ms - 820) / 1000)
    # The pre-roll is counted from the run, and holds the attack.
    assert call.listened()[-15 - (5 - frames) :] == list(range(first - 15, ms // 20 + 1))


@pytest.mark.parametrize("begin", [asked, answering])
def test_sound_without_speech_is_no_barge_in(begin: Callable[[], Call]) -> None:
    call = begin()
    call.hear(30 * "o")
    call.hear(10 * ".")
    call.hear("ooxx" + 10 * ".")  # 80 ms with the attack, and it is gone with the run
    call.hear("xxxx")
    assert call.conversation.turn == 1
    call.hear("x")
    assert call.conversation.turn == 2


@pytest.mark.parametrize("before", ["", "o", "oo", 30 * "o"])
def test_an_attack_begins_no_turn(before: str) -> None:
    """Nobody is interrupted: the detector's own speech alone makes the onset."""
    call = Call()
    call.hear(30 * "." + before)
    assert call.hear("xxxx") == []
    call.hear("x")
    ms = 20 * (35 + len(before))
    assert call.trace == [f"{ms} = user_speaking", f"{ms} user.started 1"]


def test_an_attack_under_the_end_of_the_answer_begins_no_turn() -> None:
    call = answering()
    call.hear(196 * "." + "ooxx")
    assert call.state == "listening"
    told = len(call.trace)
    call.hear("xx")
    assert call.trace[told:] == []
    call.hear("x")
    assert call.trace[told:] == ["4860 = user_speaking", "4860 user.started 2"]


def test_sound_before_the_end_of_the_turn_is_no_attack_on_its_answer() -> None:
    call = Call()
    call.hear(5 * "." + 10 * "x" + 20 * "o")
    assert call.state == "thinking"
    call.hear("xxxx")
    assert call.state == "thinking"
    call.hear("x")
    assert call.trace[-1] == "800 user.started 2"


@pytest.mark.parametrize("frames", range(3, 40))
def test_speech_and_attack_add_up_to_the_frame(frames: int) -> None:
    """Whatever binary fractions make of the sum."""
    call = asked(interruption=replace(AT_ONCE, min_duration=frames * 20 / 1000))
    call.hear("oo" + (frames - 3) * "x")
    assert call.conversation.turn == 1
    call.hear("x")
    assert call.conversation.turn == 2


# Late and early


def test_what_belongs_to_an_old_turn_is_ignored() -> None:
    call = answering()
    call.hear(6 * "x" + 20 * ".")
    assert (call.conversation.turn, call.state) == (2, "thinking")
    timeout = call.conversation.timeout
    call.conversation.receive_speech(1, silence(480), OUT, "old", 2.0)
    call.conversation.receive_transcript(1, "old", True, False)
    call.conversation.receive_end(1)
    call.conversation.fail_reply(1, "old")
    for turn in (0, 3):
        call.conversation.receive_speech(turn, silence(480), OUT, "never", 2.0)
        call.conversation.receive_end(turn)
    assert call.drain() == []
    assert call.conversation.timeout == timeout
    call.say("new", 0.1)
    call.end()
    call.hear(5 * ".")
    assert call.trace[-2].endswith("0.100 s 'new' of 'new', done")


def test_nothing_is_said_while_the_caller_speaks() -> None:
    """Not even under the right number: an answer needs a StartTurn."""
    call = Call()
    call.hear(10 * "x")
    call.say("eager", 1.0)
    call.end()
    call.conversation.fail_reply(1, "eager")
    assert call.drain() == []
    call.hear(20 * ".")
    assert call.trace[-1].endswith("start 1")
    assert not np.concatenate(call.played).any()


def test_after_its_end_an_answer_takes_nothing_more() -> None:
    call = asked()
    call.say("all", 1.0)
    call.end()
    assert call.conversation.timeout is None
    call.say(" and more", 1.0)
    call.end()
    call.conversation.fail_reply(1, "late")
    call.hear(50 * ".")
    assert call.trace[-2:] == [
        "1800 reply.ended 1: 1.000 s 'all' of 'all', done",
        "1800 = listening",
    ]


def test_the_end_comes_after_everything_was_pulled() -> None:
    call = asked()
    call.say("short", 0.1)
    call.hear(20 * ".")
    assert call.state == "speaking"
    call.end()
    assert call.state == "speaking"
    call.hear(".")
    assert call.trace[-2:] == [
        "1220 reply.ended 1: 0.100 s 'short' of 'short', done",
        "1220 = listening",
    ]


# What was heard, while it is heard


def test_the_words_of_a_whole_answer_are_told_as_they_are_heard() -> None:
    call = asked()
    call.trace.clear()
    call.say("one ", 0.1)
    call.say("two ", 0.05)
    call.say("three ", 0.01)
    call.hear(7 * ".")
    call.say("four", 0.13)
    call.end()
    call.hear(10 * ".")
    assert call.trace[5:] == [
        "900 reply.heard 1: 'one '",
        "940 ReplyText(turn=1, text='four')",
        "960 reply.heard 1: 'two three '",
        "1100 reply.heard 1: 'four'",
        "1100 reply.ended 1: 0.290 s 'one two three four' of 'one two three four', done",
        "1100 = listening",
    ]
    assert call.told_heard() == "one two three four"


def test_an_interrupted_answer_ends_with_what_was_told_and_the_words_of_half_a_piece() -> None:
    call = asked()
    call.trace.clear()
    call.say("one two ", 0.2)
    call.say("three four ", 0.2)
    call.say("five", 0.2)
    call.hear(11 * "." + 5 * "x" + 9 * ".")
    assert call.trace[5:] == [
        "1000 reply.heard 1: 'one two '",
        "1120 cancel 1: heard 0.300 s 'one two three '",
        "1120 reply.ended 1: 0.300 s 'one two three ' of 'one two three four five', interrupted",
        "1120 = user_speaking",
        "1120 user.started 2",
    ]
    assert call.told_heard() == "one two "


def test_words_without_a_sound_are_told_with_what_follows_or_at_the_end() -> None:
    def nodding() -> Call:
        call = asked()
        call.trace.clear()
        call.say("yes ", 0.1)
        call.say("(nods) ", 0.0)
        call.hear(8 * ".")
        assert call.trace[4:] == ["900 reply.heard 1: 'yes '"]
        return call

    call = nodding()
    call.conversation.interrupt()
    call.drain()
    assert call.trace[5:] == [
        "960 cancel 1: heard 0.100 s 'yes '",
        "960 reply.ended 1: 0.100 s 'yes ' of 'yes (nods) ', interrupted",
        "960 = listening",
    ]
    call = nodding()
    call.end()
    call.hear(".")
    assert call.trace[5:] == [
        "980 reply.heard 1: '(nods) '",
        "980 reply.ended 1: 0.100 s 'yes (nods) ' of 'yes (nods) ', done",
        "980 = listening",
    ]
    call = nodding()
    call.say("indeed", 0.1)
    call.end()
    call.hear(6 * ".")
    assert call.trace[5:] == [
        "960 ReplyText(turn=1, text='indeed')",
        "980 reply.heard 1: '(nods) '",
        "1060 reply.heard 1: 'indeed'",
        "1060 reply.ended 1: 0.200 s 'yes (nods) indeed' of 'yes (nods) indeed', done",
        "1060 = listening",
    ]


def test_a_transcript_may_come_while_the_answer_is_made() -> None:
    call = asked()
    call.conversation.receive_transcript(1, "what time is it", True)
    assert call.drain() == [Notify(UserTranscript(1, "what time is it", True))]


# Other rates


@pytest.mark.parametrize(
    ("rate", "onset", "end"), [(8000, 500, 1400), (24_000, 520, 1400), (48_000, 520, 1400)]
)
def test_other_input_rates(rate: int, onset: int, end: int) -> None:
    """The detector hears 16 kHz, a resampler later; the engine gets the frames as they came."""

    def run() -> list[str]:
        conversation = Conversation(
            VadSettings(),
            EndpointingSettings(),
            AT_ONCE,
            PHRASES,
            input_rate=rate,
            output_rate=48_000,
            reply_timeout=REPLY_TIMEOUT,
            detector=EnergyDetector(-45.0),
        )
        random = np.random.default_rng(5)
        trace: list[str] = []
        for step in range(1, 81):
            height = 5000 if 20 < step <= 50 else 3
            samples = random.integers(-height, height, rate // 50).astype(np.int16)
            conversation.receive_frame(AudioFrame(samples, rate), step * 0.02)
            assert len(conversation.pull(step * 0.02)) == 960
            for action in conversation.actions():
                if isinstance(action, Listen):
                    assert len(action.frame.samples) == rate // 50
                    assert action.frame.rate == rate
                trace.append(f"{step * 20} {spell(action)}")
        return trace

    trace = run()
    assert [line for line in trace if "listen " not in line] == [
        f"{onset} = user_speaking",
        f"{onset} user.started 1",
        f"{end - 200} = endpointing",
        f"{end} = thinking",
        f"{end} user.stopped 1",
        f"{end} start 1",
    ]
    assert run() == trace


# Whole calls


def test_the_golden_trace_of_a_call() -> None:
    call = Call()
    call.hear(25 * "." + 40 * "x" + 15 * "." + 30 * "x" + 19 * ".")
    call.conversation.receive_transcript(1, "tell me a story", True, True)
    call.drain()
    call.hear(10 * ".")
    call.say("Once upon ", 0.5)
    call.say("a time ", 0.4)
    call.hear(20 * "." + "xx" + 10 * ".")
    call.say("there was ", 0.5)
    call.hear(2 * "." + 40 * "x" + 20 * ".")
    call.say("All right.", 0.6)
    call.end()
    call.hear(40 * ".")
    call.conversation.close()
    call.drain()
    assert call.trace == [
        "600 = user_speaking",
        "600 user.started 1",
        "1500 = endpointing",
        "1620 = user_speaking",
        "2400 = endpointing",
        "2580 UserTranscript(turn=1, text='tell me a story', final=True)",
        "2600 = thinking",
        "2600 user.stopped 1",
        "2600 start 1",
        "2780 = speaking",
        "2780 reply.started 1",
        "2780 ReplyText(turn=1, text='Once upon ')",
        "2780 ReplyText(turn=1, text='a time ')",
        "3280 reply.heard 1: 'Once upon '",
        "3420 ReplyText(turn=1, text='there was ')",
        "3560 cancel 1: heard 0.760 s 'Once upon a '",
        "3560 reply.ended 1: 0.760 s 'Once upon a ' of 'Once upon a time there was ', interrupted",
        "3560 = user_speaking",
        "3560 user.started 2",
        "4460 = endpointing",
        "4660 = thinking",
        "4660 user.stopped 2",
        "4660 start 2",
        "4660 = speaking",
        "4660 reply.started 2",
        "4660 ReplyText(turn=2, text='All right.')",
        "5260 reply.heard 2: 'All right.'",
        "5260 reply.ended 2: 0.600 s 'All right.' of 'All right.', done",
        "5260 = listening",
        "5460 = closed",
    ]


INPUT = st.one_of(
    st.tuples(
        st.just("hear"),
        st.lists(
            st.sampled_from(["x", 7 * "x", 12 * ".", 25 * ".", 70 * " ", "."]),
            min_size=1,
            max_size=4,
        ).map("".join),
    ),
    st.tuples(
        st.just("say"),
        st.tuples(st.sampled_from(["", "one ", "two three "]), st.integers(0, 8000)),
    ),
    st.tuples(st.sampled_from(["end", "fail", "interrupt", "close", "late"]), st.none()),
    st.tuples(st.just("transcript"), st.sampled_from([None, True, False])),
    st.tuples(st.just("words"), st.sampled_from(["okay", "stop", "what time", "", "?"])),
    st.tuples(st.just("notice"), st.booleans()),
)

TABLE = {
    ("listening", "user_speaking"),
    ("user_speaking", "endpointing"),
    ("user_speaking", "thinking"),
    ("endpointing", "user_speaking"),
    ("endpointing", "thinking"),
    ("thinking", "speaking"),
    ("thinking", "listening"),
    ("thinking", "user_speaking"),
    ("speaking", "listening"),
    ("speaking", "user_speaking"),
    ("speaking", "held"),
    ("held", "speaking"),
    ("held", "listening"),
    ("held", "user_speaking"),
    ("listening", "thinking"),
}


@settings(max_examples=200, deadline=None)
@given(st.lists(INPUT, max_size=25), st.booleans())
@example([("notice", True), ("say", ("", 1)), ("hear", "x"), ("words", "stop")], False)
def test_whatever_happens(inputs: list[tuple[str, Any]], at_once: bool) -> None:
    call = Call(interruption=replace(AT_ONCE, resume_false_interruption=not at_once))
    for name, value in inputs:
        match name:
            case "hear":
                call.hear(value)
            case "say":
                call.say(value[0], value[1] / OUT)
            case "end":
                call.end()
            case "fail":
                call.conversation.fail_reply(call.conversation.turn, "broken")
            case "late":
                call.say("late", 1.0, turn=call.conversation.turn - 1)
            case "transcript":
                turn = call.conversation.turn
                call.conversation.receive_transcript(turn, "words", False, value)
            case "words":
                overlap = max((a.turn for a in call.actions if isinstance(a, Listen)), default=0)
                call.conversation.receive_transcript(overlap, value, False)
            case "notice":
                call.conversation.say("a notice", value)
            case "interrupt":
                call.conversation.interrupt()
            case "close":
                call.conversation.close()
        call.drain()
        if call.state == "thinking":
            assert call.conversation.timeout is not None
        elif call.state not in ("speaking", "held"):
            assert call.conversation.timeout is None

    state, turn, latest = "listening", 0, 0
    started, cancelled, ended = set[int](), set[int](), set[int]()
    told = dict[int, str]()
    for action in call.actions:
        match action:
            case Notify(StateChanged(new)):
                assert (state, new) in TABLE or (new == "closed" != state)
                state = new
            case Notify(UserStarted(number)):
                assert number > turn
                turn = number
            case Listen(number, _):
                # Over an answer, under a number that comes later.
                over = state in ("speaking", "held")
                in_turn = state in ("user_speaking", "endpointing") and number == turn
                assert number > turn if over else in_turn
                assert number >= latest
                latest = number
            case Say(number, _):
                assert number > max(turn, latest)
                turn = number
                started.add(number)
            case StartTurn(number):
                assert number == turn
                assert number not in started
                started.add(number)
            case CancelTurn(number, seconds, _):
                assert number == turn
                assert number in started
                assert number not in cancelled
                assert seconds >= 0
                cancelled.add(number)
            case Notify(ReplyHeard(number, text)):
                assert number == turn
                assert number not in ended
                assert text
                told[number] = told.get(number, "") + text
            case Notify(ReplyEnded() as reply):
                assert reply.turn == turn
                assert reply.turn not in ended
                assert reply.interrupted == (reply.turn in cancelled)
                assert reply.text.startswith(reply.heard)
                assert reply.heard.startswith(told.get(turn, ""))
                assert reply.interrupted or reply.heard == told.get(turn, "") == reply.text
                assert "late" not in reply.text
                ended.add(reply.turn)
    assert state == call.state
    assert all(len(frame) == 480 for frame in call.played)


def recorded(random: np.random.Generator, said: Sequence[Samples]) -> list[tuple[str, Any]]:
    """The inputs of a call of 40 s with everything in it, as one would record them."""
    sound = np.concatenate([np.concatenate((silence(12_000), s, silence(24_000))) for s in said])
    sound = np.concatenate([sound] * 4)
    sound = (sound + random.normal(0, 20, len(sound))).clip(-32768, 32767).astype(np.int16)
    inputs: list[tuple[str, Any]] = []
    for step in range(min(2000, len(sound) // 480)):
        inputs.append(("frame", (sound[480 * step :][:480], step * 0.02)))
        if random.random() < 0.3:
            samples = random.integers(-5000, 5000, random.integers(0, 4000)).astype(np.int16)
            inputs.append(("speech", (samples, 22_050, f"{step} ", step * 0.02)))
        if random.random() < 0.04:
            inputs.append((str(random.choice(["end", "fail", "interrupt"])), ()))
        inputs.append(("timeout", (step * 0.02,)))
        inputs.append(("pull", ()))
    return inputs


def replay(inputs: list[tuple[str, Any]], conversations: int = 1) -> list[list[bytes | str]]:
    """What came of the inputs, action by action and frame by frame, in calls side by side."""
    calls = [
        Conversation(
            VadSettings(),
            EndpointingSettings(),
            AT_ONCE,
            PHRASES,
            input_rate=24_000,
            output_rate=48_000,
            reply_timeout=0.5,
        )
        for _ in range(conversations)
    ]
    out: list[list[bytes | str]] = [[] for _ in calls]
    for name, arguments in inputs:
        for call, log in zip(calls, out, strict=True):
            turn = call.turn
            match name:
                case "frame":
                    samples, now = arguments
                    call.receive_frame(AudioFrame(samples, 24_000), now)
                case "speech":
                    call.receive_speech(turn, *arguments)
                case "end":
                    call.receive_end(turn)
                case "fail":
                    call.fail_reply(turn, "broken")
                case "interrupt":
                    call.interrupt()
                case "timeout":
                    call.handle_timeout(*arguments)
                case "pull":
                    log.append(call.pull(0.0).tobytes())
            log += [spell(action) for action in call.actions()]
    return out


def test_a_recorded_call_replays_bit_for_bit(
    utterances: Callable[[int], list[Samples]],
) -> None:
    inputs = recorded(np.random.default_rng(11), utterances(24_000))
    [first] = replay(inputs)
    again, beside = replay(inputs, 2)
    assert again == first
    assert beside == first
    told = [line for line in first if isinstance(line, str) and not line.startswith("listen")]
    for kind in ("user.started", "user.stopped", "reply.heard", "reply.ended", "cancel", "Failure"):
        assert sum(line.startswith(kind) for line in told) > 0  # the call was worth recording


GOLDEN = {
    "human": {"started": [2580, 10_220, 16_160], "stopped": [4220, 12_020, 17_980]},
    "espeak": {"started": [2120, 10_180, 16_100], "stopped": [3900, 11_560, 18_140]},
}
"""ms of user.started and user.stopped of three turns, the second answer cut by the third."""


def test_thirty_seconds_with_silero(voice: str, utterances: Callable[[int], list[Samples]]) -> None:
    """To the millisecond: when turns end, when answers begin, and when barge-in is silent."""
    rate, steps = 24_000, 1500
    line = np.random.default_rng(7).normal(0, 15, steps * 480)  # -67 dBFS: a quiet room
    sound_ends: list[int] = []  # ms; by level alone
    for begin, said in zip((2.0, 10.0, 16.0), utterances(rate), strict=True):
        place = slice(round(begin * rate), round(begin * rate) + len(said))
        line[place] += said
        levels = [level(line[i : i + 480].astype(np.int16)) for i in range(0, len(line), 480)]
        first, last = place.start // 480, place.stop // 480 + 1
        loud = max(levels[first:last]) - TAIL
        sound_ends.append(max(i + 1 for i in range(first, last) if levels[i] >= loud) * 20)
    conversation = Conversation(
        VadSettings(),
        EndpointingSettings(),
        replace(AT_ONCE, echo_gate=True),
        PHRASES,
        input_rate=rate,
        output_rate=OUT,
        reply_timeout=REPLY_TIMEOUT,
    )
    told: dict[str, list[int]] = {}
    cancelled: list[CancelTurn] = []
    heard_at: list[tuple[int, ReplyHeard]] = []
    ended: list[ReplyEnded] = []
    played = []
    answer_at: int | None = None
    for step in range(1, steps + 1):
        samples = line[480 * (step - 1) : 480 * step].astype(np.int16)
        conversation.receive_frame(AudioFrame(samples, rate), step * 0.02)
        if step == answer_at:  # 200 ms after it was asked: eight seconds, ten words in each
            turn = conversation.turn
            for word in range(80 if turn == 2 else 30):
                piece = np.full(2400, 8000, dtype=np.int16)
                conversation.receive_speech(turn, piece, OUT, f"w{word} ", step * 0.02)
            conversation.receive_end(turn)
        played.append(conversation.pull(step * 0.02))
        for action in conversation.actions():
            match action:
                case StartTurn():
                    answer_at = step + 10
                case CancelTurn():
                    cancelled.append(action)
                case Notify(ReplyHeard() as event):
                    heard_at.append((step * 20, event))
                case Notify(ReplyEnded() as event):
                    ended.append(event)
                case Notify(UserStarted() | UserStopped() | ReplyStarted() as event):
                    told.setdefault(event.type, []).append(step * 20)

    assert told["user.started"] == GOLDEN[voice]["started"]
    assert told["user.stopped"] == GOLDEN[voice]["stopped"]
    # To the frame, but for a last one that does not stand out from the background.
    late = [end + 400 - at for end, at in zip(sound_ends, told["user.stopped"], strict=True)]
    assert set(late) <= {0, 20}
    assert told["reply.started"] == [stopped + 200 for stopped in told["user.stopped"]]

    # The frame pulled at step n is played from n * 20 ms on.
    sound = np.flatnonzero(np.concatenate(played)) + 480
    edges = np.flatnonzero(np.diff(sound) > 1)
    begins = sound[[0, *(edges + 1)]] / 24
    ends = (sound[[*edges, -1]] + 1) / 24
    barge_in = told["user.started"][2]
    assert begins.tolist() == told["reply.started"]
    assert ends[0] == begins[0] + 3000
    assert barge_in + 7.9 < ends[1] <= barge_in + 8
    assert ends[2] == begins[2] + 3000

    heard = barge_in - told["reply.started"][1]
    words = "".join(f"w{word} " for word in range(heard // 100))
    assert cancelled == [CancelTurn(2, heard / 1000, words)]
    # A word is heard when its 100 ms are pulled, the first frame of them at reply.started.
    assert heard_at == [
        (begin + 80 + 100 * word, ReplyHeard(turn, f"w{word} "))
        for turn, begin in enumerate(told["reply.started"], 1)
        for word in range(heard // 100 if turn == 2 else 30)
    ]
    assert [(reply.interrupted, reply.heard == reply.text) for reply in ended] == [
        (False, True),
        (True, False),
        (False, True),
    ]
    assert conversation.state is State.LISTENING
    assert conversation.underruns == 0
