"""A session over one transport after the other, on virtual time: nothing is said twice or lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.protocol import Chunk, Heard, Speech, TurnId
from media.events import (
    ReplyEnded,
    ReplyHeard,
    ReplyStarted,
    SessionResumed,
    SessionStarted,
    UserStarted,
    UserStopped,
)
from media.frames import Samples
from server.session import OUTPUT_RATE, STALE_FRAMES, ResumeRefused
from signaling.messages import HangUp, Interrupt, Played, Resume
from tests import virtual_time
from tests.server.scripted import (
    INFO,
    RATE,
    TICK,
    Answer,
    Line,
    ScriptedSession,
    says,
    tone,
)
from tests.virtual_time import settle, until

pytestmark = pytest.mark.virtual_time

FADE = round(0.008 * OUTPUT_RATE)
ANSWERS = 2.4  # s, when the answer to a question from 1.0 to 2.0 begins to play


def places(seconds: float) -> Samples:
    """A sound of which each sample says where it is: none of them is 0."""
    return (np.arange(round(seconds * OUTPUT_RATE)) % 30_000 + 1).astype(np.int16)


def counts(seconds: float = 4.0, text: str = "", wait: float = 0.0) -> Answer:
    async def answer(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        await asyncio.sleep(wait)
        yield Speech(places(seconds), OUTPUT_RATE, text)

    return answer


def assert_once(heard: Samples, seconds: float = 4.0, fades: int = 1) -> None:
    """This is the answer from its beginning to its end, but for so many fade-ins."""
    sounding = np.flatnonzero(heard)
    assert len(sounding), "nothing was heard"
    heard = heard[sounding[0] : sounding[-1] + 1]
    answer = places(seconds)
    assert len(heard) == len(answer)
    assert np.count_nonzero(heard != answer) <= fades * FADE


def lose(line: Line) -> None:
    """The server has noticed that the latest transport is dead."""
    line.session.lose(line.ears[-1].leg)


@pytest.mark.parametrize("behind", [0, 1, 4, 30])
@pytest.mark.parametrize("noticed", [True, False])
async def test_a_lost_transport_in_mid_answer(behind: int, noticed: bool) -> None:
    """Whether the server has noticed before the caller is back or not."""
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(4.005)
        await line.ear.stop()
        place = line.session.sequence - behind
        if noticed:
            lose(line)
            assert line.session.transport is None
        await until(7.0)
        ear = line.ear_over("websocket", line.resume(Played(sequence=place))).start()
        assert line.session.transport == "websocket"
        await until(12.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())), fades=behind > 0)
        assert ear.heard[0][2].any()  # at once
        assert len(line.of(ReplyStarted)) == len(line.of(ReplyEnded)) == 1
        assert line.states()[-1] == "listening"


async def test_where_it_goes_on_may_be_told_by_a_time_stamp() -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(4.0)
        await line.ear.stop()
        place = line.session.sequence - 12
        line.ear.leg.locate = {960_000: place}.get
        ear = line.ear_over("tcp", line.resume(Played(timestamp=960_000))).start()
        await until(10.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())))


async def test_a_move_to_a_better_transport_has_no_gap_and_no_repeat() -> None:
    """The old one works until then; what it was given, it plays."""
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        line.ear.leg.receive_played(line.session.sequence - 4)
        await until(4.005)
        ear = line.ear_over("webrtc", line.resume(None))
        await until(5.005)  # it connects; meanwhile the old one carries the call
        place = line.session.sequence
        ear.start()
        assert line.ear.replaced == [5.005]
        await until(10.0)
        # The four frames that the old one has still to play are silence in the new one.
        held, new = np.split(ear.sound(), [4 * 480])
        assert not held.any()
        assert new[0] != 0
        assert_once(np.concatenate((line.ear.sound(place), new)), fades=0)
        assert not any(samples.any() for at, _, samples in line.ear.heard if at > 5.01)


async def test_lost_and_no_word_of_what_was_played() -> None:
    """Then what was unheard when last something came from the caller is said again."""
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        line.ear.leg.receive_played(line.session.sequence - 5)
        await until(4.005)
        place = line.session.sequence - 1 - 5  # a frame came, and then one was pulled
        line.ear.deaf = True  # the network is gone: the server goes on sending for a while
        await until(5.0)
        await line.ear.stop()
        lose(line)
        ear = line.ear_over("websocket", line.resume(None)).start()
        await until(12.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())))


async def test_a_transport_that_is_dead_and_not_yet_missed_is_no_old_one_to_wait_for() -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(4.005)
        place = line.session.sequence - 1
        line.ear.deaf = True
        await until(4.005 + (STALE_FRAMES + 1) * TICK)
        ear = line.ear_over("websocket", line.resume(None)).start()
        await until(12.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())))
        assert ear.heard[0][2].any()


async def test_a_time_stamp_that_nobody_knows_is_no_word() -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(4.005)
        place = line.session.sequence - 1
        line.ear.deaf = True
        await until(4.5)
        await line.ear.stop()
        ear = line.ear_over("websocket", line.resume(Played(timestamp=1))).start()
        await until(12.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())))


async def test_the_end_that_was_not_heard_is_said_again() -> None:
    async with Line(counts(1.0, "one two three four")) as line:
        line.speaks(1.0, 2.0)
        await until(3.6)
        assert line.states()[-1] == "listening"
        place = round(3.0 / TICK)
        ear = line.ear_over("websocket", line.resume(Played(sequence=place))).start()
        [resumed] = ear.of(SessionResumed)
        assert resumed.state in ("listening", "speaking")
        assert line.states()[-1] == "speaking"
        await until(6.0)
        assert_once(np.concatenate((line.ear.sound(place), ear.sound())), 1.0)
        assert line.states()[-1] == "listening"
        assert "".join(event.text for event in line.of(ReplyHeard)) == "one two three four"


async def test_barge_in_after_a_resume_remembers_what_both_transports_played() -> None:
    async with Line(says(8.0, text="one two three four five six seven eight"), says(0.1)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(8.5, 9.0)
        await until(ANSWERS + 2.005)
        await line.ear.stop()
        await until(7.0)
        ear = line.ear_over("tcp", line.resume(Played(sequence=round((ANSWERS + 1.5) / TICK))))
        ear.start()
        await until(9.0)
        # 1.5 s over the first; over the second from 7.0 to the frame before 8.62 s.
        assert line.host.truncated == [(1, Heard(1.5 + 1.62, "one two three "))]


# Events


async def test_missed_events_are_sent_once_and_in_order() -> None:
    async with Line(counts(2.0, "one two ", wait=1.0)) as line:
        line.speaks(1.0, 2.0)
        await until(2.6)
        await line.ear.stop()
        lose(line)
        last = line.ear.events[-1][0]
        await until(6.0)  # the answer has come meanwhile
        ear = line.ear_over("websocket", line.resume(Played(sequence=0))).start()
        at_once = [(seq, event.type) for seq, event in ear.events]
        assert at_once == [
            (last + 1, "state"),
            (last + 2, "reply.started"),
            (last + 3, "reply.text"),
            (last + 4, "session.resumed"),
        ]
        await until(10.0)
        every = [*line.ear.events, *ear.events]
        assert [seq for seq, _ in every] == list(range(1, len(every) + 1))
        # Whoever listens to the session hears each of them once.
        assert [event for _, event in line.events] == [event for _, event in every]


async def test_only_what_was_missed_is_sent_again() -> None:
    async with Line(counts(1.0)) as line:
        line.speaks(1.0, 2.0)
        await until(5.0)
        every = list(line.ear.events)
        for have in (0, 3, len(every)):
            resume = line.resume(None)
            ear = line.ear_over("webrtc", replace(resume, seq=have)).start()
            *missed, (_, resumed) = ear.events
            assert isinstance(resumed, SessionResumed)
            if have < len(every):
                assert missed[: len(every) - have] == every[have:]
            await settle()


async def test_a_resume_says_where_the_session_is() -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        [started] = line.of(SessionStarted)
        ear = line.ear_over("websocket", line.resume(None)).start()
        [resumed] = ear.of(SessionResumed)
        assert (resumed.session_id, resumed.transport) == (line.session.id, "websocket")
        assert (resumed.state, resumed.turn, resumed.resume_window) == ("speaking", 1, 30.0)
        assert resumed.resume_token != started.resume_token
        assert started.transport == "webrtc"


# Tokens


async def test_a_token_that_is_not_this_sessions_latest_is_refused() -> None:
    async with Line() as line, Line() as other:
        await settle()
        good = line.resume(None)
        line.ear_over("webrtc", good).start()
        foreign = other.resume(None).token
        for token in (good.token, foreign, "", "\ud800", "é", good.token[:-1]):
            with pytest.raises(ResumeRefused):
                line.session.leg("tcp", replace(good, token=token))
        assert line.session.transport == "webrtc"  # whoever tries, the call goes on
        for ear in (*line.ears, *other.ears):  # Line counts all tasks at its end
            await ear.stop()


async def test_who_has_no_token_cannot_stop_the_call() -> None:
    """Not even by saying that the transport was lost."""
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        with pytest.raises(ResumeRefused):
            line.session.leg("tcp", Resume(line.session.id, "guess", 0, Played(sequence=0)))
        await until(8.0)
        assert_once(line.ear.sound(), fades=0)


async def test_of_two_with_the_same_token_the_first_to_connect_wins() -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(4.0)
        await line.ear.stop()
        place = line.session.sequence - 3
        resume = line.resume(Played(sequence=place))
        slow = line.ear_over("webrtc", resume)
        fast = line.ear_over("websocket", resume)
        await until(4.5)
        fast.start()
        await until(5.0)
        slow.start()
        assert (slow.replaced, fast.replaced) == ([5.0], [])
        await until(10.0)
        assert line.session.transport == "websocket"
        assert_once(np.concatenate((line.ear.sound(place), fast.sound())))
        assert slow.events == []
        assert not slow.sound().any()


async def test_each_token_is_good_for_one_move() -> None:
    async with Line(counts(6.0)) as line:
        line.speaks(1.0, 2.0)
        parts = []
        for number in range(8):
            await until(3.0 + number / 2)
            parts.append((line.ears[-1], line.session.sequence))
            line.ear_over("webrtc", line.resume(None)).start()
            await parts[-1][0].stop()
        await until(10.0)
        heard = [ear.sound(place) for ear, place in parts]
        assert_once(np.concatenate((*heard, line.ears[-1].sound())), 6.0, fades=0)
        assert [len(ear.replaced) for ear in line.ears] == [1] * 8 + [0]


# Waiting


async def test_a_session_that_nobody_comes_back_to_is_over() -> None:
    async with Line(resume_window=3.0) as line:
        await until(4.0)
        lose(line)
        await until(6.99)
        assert line.over == []
        await until(20.0)
        assert line.over == [7.0]


async def test_the_window_is_of_each_loss() -> None:
    async with Line(resume_window=3.0) as line:
        for at in (4.0, 6.5, 9.0):
            await until(at)
            lose(line)
            await line.ears[-1].stop()
            await until(at + 2.0)
            line.ear_over("tcp", line.resume(None)).start()
        await until(100.0)
        assert line.over == []


async def test_one_who_wants_to_come_back_and_never_connects_is_waited_for_no_longer() -> None:
    async with Line(resume_window=3.0) as line:
        await until(4.0)
        line.ear_over("webrtc", line.resume(Played(sequence=1)))  # so the old one is lost
        await until(20.0)
        assert line.over == [7.0]


async def test_losing_what_does_not_carry_the_call_is_nothing() -> None:
    async with Line(resume_window=3.0) as line:
        await until(1.0)
        line.ear_over("websocket", line.resume(None)).start()
        line.session.lose(line.ear.leg)
        candidate = line.ear_over("tcp", line.resume(None))
        line.session.lose(candidate.leg)
        await until(20.0)
        assert line.over == []
        assert line.session.transport == "websocket"


async def test_a_session_that_is_closed_while_it_waits_frees_everything() -> None:
    """Line checks at its end that no task and no place at the engine is left."""
    async with Line(counts(), resume_window=3.0) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        await line.ear.stop()
        lose(line)
        await line.session.close()
        await asyncio.sleep(60)
        assert line.over == []


# What the engine sees of it


async def test_the_engine_sees_nothing_of_it() -> None:
    async with Line(counts(1.0), says(1.0, level=7000)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(6.0, 7.0)
        await until(2.9)
        await line.ear.stop()
        place = line.session.sequence
        await until(5.0)
        ear = line.ear_over("websocket", line.resume(Played(sequence=place))).start()
        await until(10.0)
        assert (len(line.engine.sessions), line.engine.open_now) == (1, 1)
        assert line.host.truncated == []
        assert [turn for turn, _ in line.host.ended] == [1, 2]
        assert [event.turn for event in line.of(ReplyEnded)] == [1, 2]
        assert (ear.sound() == 7000).any()


@pytest.mark.parametrize("gap", [0.1, 3.0, 25.0])
@pytest.mark.parametrize("noticed", [True, False])
async def test_a_gap_in_the_callers_sentence_is_no_end_of_turn(gap: float, noticed: bool) -> None:
    async with Line(says(0.5)) as line:
        back = round(1.5 + gap, 6)
        line.speaks(1.0, 1.5)
        line.speaks(back, back + 0.5)
        await until(1.5)
        await line.ear.stop()
        if noticed:
            lose(line)
        await until(back)
        line.ear_over("websocket", line.resume(Played(sequence=0))).start()
        await until(back + 3)
        assert len(line.at(UserStarted)) == 1
        assert line.at(UserStopped) == [pytest.approx(back + 0.5 + 0.4, abs=TICK)]
        assert {turn for turn, _ in line.host.frames} == {1}
        spoken = sum(TICK for _, samples in line.host.frames if samples.any())
        assert spoken == pytest.approx(1.0, abs=2 * TICK)


async def test_an_answer_that_comes_while_nobody_is_there_waits() -> None:
    async with Line(counts(wait=1.0)) as line:
        line.speaks(1.0, 2.0)
        await until(2.6)
        await line.ear.stop()
        lose(line)
        await until(15.0)
        assert line.states()[-1] == "speaking"
        ear = line.ear_over("tcp", line.resume(Played(sequence=line.session.sequence))).start()
        await until(20.0)
        assert_once(ear.sound(), fades=0)
        assert ear.heard[0][2].any()


async def test_a_full_duplex_call_goes_on_with_what_is_now() -> None:
    async def stream(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        while True:
            await asyncio.sleep(0.02)
            yield Speech(tone(0.02, 5000), OUTPUT_RATE)

    async with Line(stream, info=replace(INFO, mode="stream")) as line:
        await until(2.005)
        await line.ear.stop()
        lose(line)
        await until(4.0)
        ear = line.ear_over("websocket", line.resume(Played(sequence=50))).start()
        await until(6.0)
        assert (ear.sound() == 5000).sum() / OUTPUT_RATE == pytest.approx(2.0, abs=0.1)
        assert line.host.running == {0}


# Legs that do not carry the session


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_leg_that_does_not_carry_the_session_has_no_part_in_it(when: str) -> None:
    async with Line(counts()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        other = line.ear_over("websocket", line.resume(None))
        idle = other.leg
        if when == "after":
            other.start()
            idle = line.ear.leg
        await settle()
        events, place = len(line.events), line.session.sequence
        idle.receive_message(HangUp())
        idle.receive_message(Interrupt())
        idle.reject_message("nonsense")
        idle.receive_played(3)
        for _ in range(50):
            idle.receive_frame(np.full(RATE // 50, 8000, dtype=np.int16))
            assert not idle.pull().any()
        assert len(line.events) == events
        assert line.over == []
        assert line.states()[-1] == "speaking"
        await until(8.0)
        after = other.sound() if when == "after" else line.ear.sound()[place * 480 :]
        assert_once(np.concatenate((line.ear.sound(place), after)), fades=0)


async def test_the_transport_that_its_caller_gave_up_is_told_when_another_has_taken_over() -> None:
    """Its connection may work for all that: it must not stay open for ever."""
    async with Line() as line:
        await until(1.0)
        ear = line.ear_over("websocket", line.resume(Played(sequence=0)))
        assert line.session.transport is None
        await until(2.0)
        assert line.ear.replaced == []
        ear.start()
        assert line.ear.replaced == [2.0]


# Whatever transports come and go

STEP = st.tuples(
    st.integers(1, 60),  # frames that a transport carries
    st.integers(0, 12),  # of them, at the end, not heard
    st.integers(0, 200),  # frames until the next
    st.sampled_from(["lost", "noticed", "moved"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=6))
def test_whatever_comes_and_goes_the_answer_is_heard_once(
    steps: list[tuple[int, int, int, str]],
) -> None:
    async def call() -> None:
        async with Line(counts(3.0)) as line:
            line.speaks(1.0, 2.0)
            tick = round(ANSWERS / TICK)
            heard: list[Samples] = []
            for frames, behind, gap, how in steps:
                tick += frames
                await until(tick * TICK + 0.005)
                ear = line.ears[-1]
                place = line.session.sequence
                if how == "moved":
                    played = None
                else:
                    await ear.stop()
                    place -= min(behind, frames - 1)
                    played = Played(sequence=place)
                    if how == "noticed":
                        lose(line)
                    tick += gap
                    await until(tick * TICK + 0.005)
                heard.append(ear.sound(place))
                line.ear_over("websocket", line.resume(played)).start()
                await ear.stop()
            await until(tick * TICK + 5)
            heard.append(line.ears[-1].sound())
            assert_once(np.concatenate(heard), 3.0, fades=len(steps))
            seqs = [seq for ear in line.ears for seq, _ in ear.events]
            assert seqs == list(range(1, len(seqs) + 1))

    virtual_time.run(call())
