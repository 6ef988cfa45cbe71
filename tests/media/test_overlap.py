"""What the caller says over an answer, step by step: lowered, held, and ended or gone on with."""

from dataclasses import replace

import numpy as np
import pytest

from media.actions import Listen, Notify
from media.events import Failure, ReplyPaused, ReplyResumed, UserTranscript
from media.interruption import InterruptionSettings
from tests.media.script import OUT, REPLY_TIMEOUT, Call, answering, words_heard

POLICY = InterruptionSettings(echo_gate=False)
LOWERED = 0.25  # 12 dB


def spoken_over(call: Call, script: str) -> list[str]:
    """What happens then, but for the words that are heard."""
    call.trace.clear()
    call.hear(script)
    return [line for line in call.trace if "reply.heard" not in line]


def understand(call: Call, turn: int, text: str) -> list[str]:
    """The engine's opinion of what is being said; what happens at once."""
    call.trace.clear()
    call.conversation.receive_transcript(turn, text, False)
    call.drain()
    return call.trace


def worded() -> Call:
    """An answer of an engine that gives words while it listens."""
    return answering(interruption=POLICY, partials=True)


def events(call: Call, kind: type) -> int:
    return sum(isinstance(a, Notify) and isinstance(a.event, kind) for a in call.actions)


def levels(call: Call) -> list[float]:
    """Of the frames pulled, as a share of the answer's own."""
    return [round(float(np.abs(frame.astype(float)).mean()) / 500, 2) for frame in call.played]


def test_a_click_does_nothing_and_a_sound_lowers_the_answer() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + "x" + 30 * ".")
    assert set(levels(call)) == {1.0}
    call.played.clear()
    call.hear("xx" + 10 * "." + 5 * ".")
    # From the second frame of speech until 200 ms after it; each way within a frame.
    steps = levels(call)
    assert steps[0] == 1.0
    assert LOWERED < steps[1] < 1.0
    assert steps[2:11] == 9 * [LOWERED]
    assert LOWERED < steps[11] < 1.0
    assert set(steps[12:]) == {1.0}
    assert call.state == "speaking"
    assert call.conversation.turn == 1


def test_it_is_not_lowered_where_that_is_not_wanted() -> None:
    call = answering(interruption=replace(POLICY, duck=0.0))
    call.hear(20 * "." + "xxxx")
    assert set(levels(call)) == {1.0}


def test_a_tenth_of_a_second_silences_it_and_after_nothing_more_it_goes_on_from_the_cut_word() -> (
    None
):
    call = answering(interruption=POLICY)
    call.hear(20 * ".")
    # 480 ms were heard, the fifth word cut in its middle.
    assert spoken_over(call, 5 * "x") == ["1300 = held", "1300 reply.paused 1"]
    assert call.state == "held"
    call.played.clear()
    assert spoken_over(call, 29 * ".") == []
    assert not np.concatenate(call.played)[192:].any()  # all but the fade is silence
    assert call.conversation.due is None
    # 600 ms after the last sound.
    assert spoken_over(call, ".") == ["1900 = speaking", "1900 reply.resumed 1"]
    call.played.clear()
    call.hear(200 * ".")
    assert call.state == "listening"
    assert call.told_heard() == "".join(f"w{n} " for n in range(40))
    # Of four seconds 480 ms had been heard; it goes on at 400 ms.
    sound = np.concatenate(call.played)
    assert np.count_nonzero(sound) >= OUT * 3.55
    assert np.count_nonzero(sound) <= OUT * 3.6


def test_the_engine_listens_meanwhile_from_before_the_onset() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 8 * "x")
    turns = {action.turn for action in call.actions if isinstance(action, Listen)}
    assert turns == {2}
    assert call.listened() == list(range(46, 69))  # 300 ms of pre-roll, and then all
    assert call.conversation.turn == 1
    call.hear(70 * ".")  # it came to nothing, and its number is never used again
    assert call.state == "speaking"
    call.actions.clear()
    call.hear(5 * "x")
    assert {action.turn for action in call.actions if isinstance(action, Listen)} == {3}


def test_a_backchannel_lets_it_go_on_at_once() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 12 * "x")
    assert understand(call, 2, "Okay.") == []
    assert spoken_over(call, "....") == []
    assert spoken_over(call, ".") == ["1540 = speaking", "1540 reply.resumed 1"]
    # And what is left of its run of speech is not taken for another.
    call.hear(30 * ".")
    assert call.state == "speaking"
    assert events(call, ReplyPaused) == events(call, ReplyResumed) == 1


def test_words_end_it_at_once() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 6 * "x")
    trace = understand(call, 2, "what time")
    assert trace[0].startswith("1320 cancel 1: heard 0.480 s 'w0 w1 w2 w3 '")
    assert trace[-2:] == ["1320 user.started 2", f"1320 {UserTranscript(2, 'what time', False)!r}"]
    assert call.state == "user_speaking"
    call.hear("xx" + 20 * ".")
    assert call.trace[-1] == "1760 start 2"
    # All of it is in that turn, each frame once.
    assert call.listened() == list(range(46, 89))


def test_long_speech_ends_it_whatever_it_says() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 34 * "x")
    assert call.state == "held"
    call.hear("x")  # 0.7 s
    assert (call.state, call.conversation.turn) == ("user_speaking", 2)


def test_a_pause_in_it_does_not_begin_anew() -> None:
    call = worded()
    call.hear(20 * "." + 20 * "x" + 29 * "." + 14 * "x")
    assert call.state == "held"
    call.hear("x")  # 0.4 and 0.3 s
    assert call.state == "user_speaking"


def test_soft_speech_lowers_it_and_leaves_no_gap() -> None:
    call = answering(interruption=POLICY)

    def softly(steps: int) -> None:
        """The scripted caller at a tenth of his voice, 20 dB down."""
        for _ in range(steps):
            call.step += 1
            call.receive(np.full(320, 1000, dtype=np.int16))

    call.hear(20 * ".")
    call.played.clear()
    softly(20)
    assert call.state == "speaking"
    assert set(levels(call)[2:]) == {LOWERED}
    call.hear(40 * ".")
    assert set(levels(call)[51:]) == {1.0}
    softly(20)
    assert understand(call, call.conversation.turn + 2, "stop")  # its words are heard
    assert call.state == "user_speaking"


def test_a_stop_that_comes_late_still_stops() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 8 * "x" + 25 * ".")
    assert call.state == "held"
    assert understand(call, 2, "stop")[-3:-1] == ["1860 = user_speaking", "1860 user.started 2"]
    call.hear(".")  # more silence than ends a turn has gone by
    assert call.state == "thinking"


@pytest.mark.parametrize("before", [190, 195, 196, 197, 199, 200])
def test_speech_that_begins_just_before_the_end_of_the_answer_is_no_less_a_turn(
    before: int,
) -> None:
    """Whether it is held in its last frames or has been said to its end when it is spoken over."""
    call = worded()
    call.hear(before * "." + 40 * "x" + 20 * ".")
    assert call.state == "thinking"
    assert call.conversation.turn == 2
    first = 40 + before - 15 + 1
    assert call.listened() == list(range(first, 40 + before + 61))


def test_the_engine_fails_while_the_answer_is_held() -> None:
    call = answering(interruption=POLICY)
    call.conversation.receive_end(1)
    call = Call(interruption=POLICY)
    call.hear(10 * "." + 10 * "x" + 20 * ".")
    call.say("one two three", 2.0)
    call.hear(10 * "." + 6 * "x")
    assert call.state == "held"
    call.conversation.fail_reply(1, "gone")
    call.drain()
    assert events(call, Failure) == 1
    assert call.state == "speaking"  # sorry, it says, until the caller has spoken on
    call.hear(40 * "x")
    assert (call.state, call.conversation.turn) == ("user_speaking", 3)


def test_the_engine_goes_on_while_it_is_held_and_none_of_it_is_lost() -> None:
    call = Call(interruption=POLICY)
    call.hear(10 * "." + 10 * "x" + 20 * ".")
    call.say("one ", 0.5)
    call.hear(10 * "." + 6 * "x")
    assert call.state == "held"
    call.say("two ", 0.5)
    call.end()
    call.hear(55 * ".")
    assert call.state == "speaking"
    call.hear(60 * ".")
    assert call.state == "listening"
    assert call.told_heard() == "one two "


def test_a_held_answer_waits_for_no_deadline() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 6 * "x" + round(1.2 * REPLY_TIMEOUT / 0.02) * " ")
    assert call.state == "held"
    assert events(call, Failure) == 0


def test_the_button_ends_a_held_answer() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 6 * "x")
    call.trace.clear()
    call.conversation.interrupt()
    call.drain()
    assert call.trace[0].startswith("1320 cancel 1: heard 0.480 s")
    assert call.state == "listening"


def test_what_must_be_heard_is_not_stopped_by_voice_or_button() -> None:
    call = Call(interruption=POLICY)
    call.hear(10 * "." + 10 * "x" + 20 * ".")
    call.conversation.receive_speech(
        1, np.full(OUT, 500, dtype=np.int16), OUT, "This call is recorded. ", call.now, False
    )
    call.say("now then ", 3.0)
    call.end()
    call.played.clear()
    call.hear(10 * "." + 30 * "x")
    assert call.state == "speaking"
    assert set(levels(call)) == {1.0}  # not even lowered
    call.conversation.interrupt()
    call.drain()
    assert events(call, Failure) == 1
    assert call.state == "speaking"
    call.hear(12 * "x")  # the sentence is over, and the caller was speaking all the time
    assert call.state == "user_speaking"


class TestSay:
    def test_when_nobody_speaks_it_is_said_at_once(self) -> None:
        call = Call(interruption=POLICY)
        call.hear(5 * ".")
        call.conversation.say("Goodbye.", allow_interruptions=True)
        call.drain()
        assert call.trace == ["100 = thinking", "100 say 1 'Goodbye.'"]
        call.say("Goodbye.", 0.5)
        call.end()
        call.hear(30 * ".")
        assert call.state == "listening"
        assert call.told_heard() == "Goodbye."

    def test_it_waits_for_the_caller_and_for_the_answer(self) -> None:
        call = Call(interruption=POLICY)
        call.hear(10 * "x")
        call.conversation.say("One.", allow_interruptions=True)
        call.conversation.say("Two.", allow_interruptions=True)
        call.hear(20 * ".")
        call.say("yes", 0.1)
        call.end()
        call.hear(8 * ".")
        assert [line for line in call.trace if " say " in line] == ["700 say 2 'One.'"]
        call.end()  # an engine that has nothing to say it with
        assert call.trace[-1] == "760 say 3 'Two.'"

    def test_it_can_be_spoken_over_or_not(self) -> None:
        for allowed in (True, False):
            call = Call(interruption=POLICY)
            call.hear(5 * ".")
            call.conversation.say("This call is recorded.", allow_interruptions=allowed)
            call.drain()
            call.hear(5 * "x")  # not even before its first sound
            assert call.state == ("user_speaking" if allowed else "thinking")
            if allowed:
                continue
            call.say("This call is recorded.", 1.0)
            call.end()
            call.hear(40 * "x")
            assert call.state == "speaking"
            call.hear(20 * "x")
            assert (call.state, call.conversation.turn) == ("user_speaking", 2)

    def test_an_engine_that_hangs_over_it_fails(self) -> None:
        call = Call(interruption=POLICY)
        call.hear(".")
        call.conversation.say("Hello.", allow_interruptions=False)
        call.hear(round(REPLY_TIMEOUT / 0.02) * "." + ".")
        assert events(call, Failure) == 1


def test_words_heard_go_on_being_told_in_order() -> None:
    call = answering(interruption=POLICY)
    call.hear(20 * "." + 5 * "x" + 60 * "." + 200 * ".")
    told = [line for line in call.trace if "reply.heard" in line]
    assert told[:4] == words_heard(4)
    assert len(told) == 40
