"""media.conversation over a gap: nothing is decided in it, and it goes on from what was heard."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.actions import CancelTurn, Notify
from media.events import ReplyEnded, ReplyHeard, StateChanged
from media.tones import apology
from tests.media.script import ASK, OUT, Call, answering, asked, spell


def rewind(call: Call, frames: int) -> list[str]:
    """Pull the latest frames again; what is done about it."""
    call.conversation.rewind(call.conversation.sequence - frames)
    return [spell(action) for action in call.drain()]


def told(call: Call, kind: type[Any]) -> list[Any]:
    """The events of this kind."""
    events = [action.event for action in call.actions if isinstance(action, Notify)]
    return [event for event in events if isinstance(event, kind)]


def test_a_rewind_in_mid_answer() -> None:
    call = answering()
    call.hear(50 * ".")
    assert rewind(call, 10) == []
    assert call.state == "speaking"
    # 40 frames were heard of 200, so 160 are still to come.
    call.hear(159 * ".")
    assert call.state == "speaking"
    call.hear(".")
    assert call.state == "listening"
    assert call.told_heard() == "".join(f"w{n} " for n in range(40))
    [ended] = [line for line in call.trace if "reply.ended" in line]
    assert ended.endswith("done")
    assert "4.000 s" in ended


def test_a_rewind_after_the_natural_end_speaks_again_and_ends_again() -> None:
    call = answering()
    call.hear(205 * ".")
    assert call.state == "listening"
    call.trace.clear()
    assert rewind(call, 15) == ["= speaking"]  # five frames of silence, ten of the answer
    call.hear(9 * ".")
    assert call.state == "speaking"
    call.hear(".")
    assert call.state == "listening"
    assert [line.partition(" ")[2].partition(":")[0] for line in call.trace] == [
        "= speaking",
        "reply.ended 1",
        "= listening",
    ]
    call.hear(20 * ".")
    assert call.state == "listening"


def test_a_rewind_into_the_silence_after_the_end_changes_nothing() -> None:
    call = answering()
    call.hear(220 * ".")
    assert rewind(call, 20) == []
    assert call.state == "listening"


def test_the_end_that_is_spoken_again_can_be_interrupted() -> None:
    """And then only that was heard which was heard."""
    call = answering()
    call.hear(200 * ".")
    rewind(call, 50)
    call.actions.clear()
    call.hear(20 * ".")
    call.hear(5 * "x")
    assert call.state == "user_speaking"
    [cancel] = [a for a in call.actions if isinstance(a, CancelTurn)]
    assert cancel.heard_seconds == pytest.approx(3.0 + 24 * 0.02)
    assert cancel.heard_text == "".join(f"w{n} " for n in range(34))
    [ended] = told(call, ReplyEnded)
    assert ended.interrupted
    assert ended.heard == cancel.heard_text


def test_the_tone_of_a_failure_is_said_again_and_is_no_reply() -> None:
    call = asked()
    call.conversation.fail_reply(1, "broken")
    call.drain()
    frames = -(-len(apology(OUT)) // 480)
    call.hear(frames * ".")
    assert call.state == "listening"
    call.trace.clear()
    rewind(call, 10)
    call.hear(20 * ".")
    assert [line.partition(" ")[2] for line in call.trace] == ["= speaking", "= listening"]


def silent_since_the_start(call: Call) -> None:
    call.hear(30 * ".")


def in_the_callers_turn(call: Call) -> None:
    call.hear(ASK)
    call.say("one ", 1.0)
    call.hear(10 * "." + 10 * "x")


def at_a_pause_of_the_callers(call: Call) -> None:
    in_the_callers_turn(call)
    call.hear(12 * ".")


def thinking_after_an_answer(call: Call) -> None:
    call.hear(ASK)
    call.say("one ", 0.4)
    call.end()
    call.hear(25 * "." + ASK)


def after_an_interruption(call: Call) -> None:
    call.hear(ASK)
    call.say("one ", 2.0)
    call.hear(20 * ".")
    call.conversation.interrupt()
    call.drain()


def closed(call: Call) -> None:
    call.hear(ASK)
    call.say("one ", 2.0)
    call.hear(20 * ".")
    call.conversation.close()
    call.drain()


@pytest.mark.parametrize(
    ("state", "bring"),
    [
        ("listening", silent_since_the_start),
        ("listening", after_an_interruption),
        ("user_speaking", in_the_callers_turn),
        ("endpointing", at_a_pause_of_the_callers),
        ("thinking", thinking_after_an_answer),
        ("closed", closed),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_rewind_where_there_is_nothing_to_say_again(state: str, bring: Any) -> None:
    call = Call()
    bring(call)
    assert call.state == state
    assert rewind(call, 60) == []
    assert call.state == state
    for _ in range(20):
        sound = call.conversation.pull(0.0)
        assert not sound[192:].any()  # but for the fade of what was interrupted
    assert call.drain() == []


def test_an_answer_that_comes_in_the_gap_waits() -> None:
    call = asked()
    call.step += 500  # nobody hears and nobody pulls
    call.say("late ", 1.0)
    call.end()
    assert call.state == "speaking"
    call.played.clear()
    call.hear(50 * ".")
    assert call.state == "listening"
    assert sum(frame.all() for frame in call.played) == 50


def test_only_what_the_far_end_played_was_heard_at_a_barge_in() -> None:
    call = answering()
    call.hear(40 * ".")
    call.conversation.receive_played(call.conversation.sequence - 20, call.now)
    call.actions.clear()
    call.hear(5 * "x")
    [cancel] = [a for a in call.actions if isinstance(a, CancelTurn)]
    assert cancel.heard_seconds == pytest.approx((40 + 4 - 20) * 0.02)
    assert cancel.heard_text == "w0 w1 w2 w3 "
    [ended] = told(call, ReplyEnded)
    assert (ended.heard, ended.seconds) == (cancel.heard_text, cancel.heard_seconds)


def test_words_are_told_when_the_far_end_plays_them() -> None:
    call = answering()
    call.conversation.receive_played(call.conversation.sequence - 10, call.now)
    call.hear(9 * ".")
    assert call.told_heard() == ""
    call.hear(6 * ".")
    assert call.told_heard() == "w0 "
    call.conversation.receive_played(call.conversation.sequence, call.now)
    call.hear(".")
    assert call.told_heard() == "w0 w1 w2 "


INPUT = st.one_of(
    st.tuples(st.just("hear"), st.sampled_from(["x", 7 * "x", 12 * ".", 25 * ".", ASK, "."])),
    st.tuples(st.just("say"), st.integers(0, 8000)),
    st.tuples(st.sampled_from(["end", "fail", "interrupt"]), st.just(0)),
    st.tuples(st.just("played"), st.integers(-2, 60)),
    st.tuples(st.just("rewind"), st.integers(-2, 60)),
    st.tuples(st.just("gap"), st.integers(1, 1000)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(INPUT, max_size=30))
def test_whatever_happens_and_is_rewound(inputs: list[tuple[str, Any]]) -> None:
    """Answers only end with words they have, an interrupted one never ends again, and at the end
    of a turn nothing is left that could be spoken in the next."""
    call = Call()
    for name, value in inputs:
        sequence = call.conversation.sequence - value if isinstance(value, int) else 0
        match name:
            case "hear":
                call.hear(value)
            case "say":
                call.say("one two ", value / OUT)
            case "end":
                call.end()
            case "fail":
                call.conversation.fail_reply(call.conversation.turn, "broken")
            case "interrupt":
                call.conversation.interrupt()
            case "played":
                call.conversation.receive_played(max(0, sequence), call.now)
            case "rewind":
                before = call.state
                call.conversation.rewind(max(0, sequence))
                assert call.state == before or (before, call.state) == ("listening", "speaking")
            case "gap":
                before = call.state
                call.step += value
                if before in ("listening", "user_speaking", "endpointing"):
                    assert call.conversation.timeout is None
                assert call.state == before
        call.drain()
    ends: dict[int, list[bool]] = {}
    heard: dict[int, str] = {}
    for action in call.actions:
        match action:
            case Notify(ReplyHeard(turn, text)):
                heard[turn] = heard.get(turn, "") + text
            case Notify(ReplyEnded() as ended):
                ends.setdefault(ended.turn, []).append(ended.interrupted)
                assert ended.text.startswith(ended.heard)
                assert ended.text.startswith(heard.get(ended.turn, ""))
    for interrupted in ends.values():
        assert not any(interrupted[:-1])
    states = [event.state for event in told(call, StateChanged)]
    assert all(one != other for one, other in pairwise(states))
