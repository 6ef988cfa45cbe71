"""A call from the first frame to the last, on virtual time: every millisecond is exact.

tests/server/scripted.py has the transport and the engine.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from inference.protocol import (
    Chunk,
    EngineFailed,
    EngineOverloaded,
    Heard,
    Speech,
    Transcript,
    TurnId,
    Voice,
)
from inference.protocol import VoiceChanged as EngineChangedVoice
from media.events import (
    Event,
    Failure,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionStarted,
    StateChanged,
    UserStarted,
    UserStopped,
    UserTranscript,
    VoiceChanged,
)
from media.tones import apology
from server.session import OUTPUT_RATE, Session, SessionSettings
from signaling.messages import HangUp, Interrupt, Say, SetVoice
from signaling.transport import EVENT
from tests.server.scripted import (
    INFO,
    TICK,
    TURNS,
    Line,
    ScriptedEngine,
    ScriptedSession,
    fails,
    is_silent,
    says,
    tone,
)
from tests.virtual_time import settle, until

pytestmark = pytest.mark.virtual_time


async def test_one_turn() -> None:
    async with Line(says(1.0, text="five thousand", wait=0.25)) as line:
        line.speaks(1.0, 2.0)
        await until(5.0)
        # 0.1 s of speech is an onset; 0.4 s of silence ends the turn; the engine thinks 0.25 s.
        assert line.at(UserStarted) == [1.1]
        assert line.at(UserStopped) == [2.4]
        assert line.at(UserTranscript) == [2.4]
        assert line.at(ReplyStarted) == [2.65]
        assert line.sounding() == [round(2.66 + 0.02 * n, 2) for n in range(50)]
        assert line.at(ReplyEnded) == [3.64]
        assert line.of(ReplyEnded) == [
            ReplyEnded(1, "five thousand", "five thousand", 1.0, interrupted=False)
        ]
        assert line.states() == [
            "user_speaking",
            "endpointing",
            "thinking",
            "speaking",
            "listening",
        ]
        # The turn is given with 0.3 s of pre-roll, up to the end that was decided.
        assert {turn for turn, _ in line.host.frames} == {1}
        assert len(line.host.frames) == round((2.4 - 0.7) / TICK)
        assert line.host.truncated == []


async def test_the_session_says_who_answers() -> None:
    async with Line() as line:
        await settle()
        [(at, event)] = line.events
        assert at == 0
        assert isinstance(event, SessionStarted)
        assert event.engine == "scripted"
        assert event.session_id == line.session.id
        assert [voice["name"] for voice in event.voices] == ["priya", "ravi"]
        assert event.emotions == ("neutral", "calm")
        assert event.voice["name"] == "priya"


async def test_two_sessions_have_their_own_ids() -> None:
    async with Line() as one, Line() as other:
        assert one.session.id != other.session.id
        for line in (one, other):  # Line counts all tasks at its end
            await line.ear.stop()


async def test_barge_in_stops_the_answer_in_the_tick_that_confirms_it() -> None:
    words = "one two three four five six seven eight nine ten"
    async with Line(says(10.0, text=words), says(1.0, level=7000)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(3.12, 4.0)
        await until(6.0)
        # The answer plays from 2.4 s; 0.12 s of speech since 3.12 s is confirmed at 3.24 s.
        assert line.sounding(5000)[0] == 2.4
        assert line.at(UserStarted) == [1.1, 3.24]
        # Last full frame at 3.22 s; the pull of the same tick is an 8 ms fade, then silence.
        assert line.sounding(5000)[-1] == pytest.approx(3.22)
        [fade] = [samples for at, samples in line.heard if round(at, 6) == 3.24]
        length = round(0.008 * OUTPUT_RATE)
        assert fade[0] > 4900
        assert (np.diff(fade[:length].astype(int)) <= 0).all()
        assert not fade[length:].any()
        assert not any(
            samples.any() for at, samples in line.heard if 3.25 < at < line.at(ReplyStarted)[1]
        )
        # 0.84 s were heard of ten words in ten seconds: not even one.
        assert line.host.truncated == [(1, Heard(0.84, ""))]
        assert line.of(ReplyEnded)[0] == ReplyEnded(1, words, "", 0.84, interrupted=True)
        # The second turn is answered, 0.4 s after it ended.
        assert line.at(UserStopped) == [2.4, 4.4]
        assert line.sounding(7000)[0] == 4.4
        assert (2, True) in [(turn, bool(s.any())) for turn, s in line.host.frames]


async def test_what_was_heard_is_told_in_words() -> None:
    async with Line(says(4.0, text="one two three four"), says(0.1)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(4.5, 5.0)
        await until(6.0)
        # 2.4 s to 4.62 s: 2.22 s of the 4 s, two words of four.
        assert line.host.truncated == [(1, Heard(2.22, "one two "))]


async def test_the_engine_is_cancelled_at_once() -> None:
    async def endless(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        while True:
            yield Speech(tone(0.1, 5000), OUTPUT_RATE)
            await asyncio.sleep(0.05)

    async with Line(endless, says(0.1)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(3.0, 3.5)
        await until(5.0)
        assert line.host.ended[0] == (1, 3.12)
        assert line.host.running == set()


async def test_late_chunks_of_a_cancelled_turn_are_never_played() -> None:
    async def stubborn(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Speech(tone(0.5, 5000), OUTPUT_RATE)
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(1.5)  # a step that cannot be stopped
        yield Transcript(turn, "stale", final=True)
        yield Speech(tone(2.0, 9000), OUTPUT_RATE, "stale")

    async with Line(stubborn, says(3.0, level=7000)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(2.6, 3.5)
        await until(9.0)
        assert line.sounding(7000)[0] == pytest.approx(3.9)  # plays while the stale ones come
        assert dict(line.host.ended)[1] == pytest.approx(2.72 + 1.5)
        assert line.sounding(9000) == []
        assert "stale" not in [event.text for event in line.of(UserTranscript)]
        assert line.of(ReplyText) == []


async def test_speech_while_the_engine_thinks_goes_on_with_the_same_request() -> None:
    async with Line(says(1.0, wait=2.0), says(1.0, level=7000)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(3.0, 3.5)
        await until(6.0)
        assert line.sounding(5000) == []
        assert line.sounding(7000)[0] == pytest.approx(3.9)
        # What was said before is listened to again, under the new number.
        second = [samples for turn, samples in line.host.frames if turn == 2]
        spoken = sum(TICK for samples in second if samples.any())
        assert spoken == pytest.approx(1.5)


async def test_a_failing_engine_costs_one_answer() -> None:
    async with Line(fails(), says(1.0, level=7000)) as line:
        line.speaks(1.0, 2.0)
        line.speaks(4.0, 5.0)
        await until(7.0)
        assert line.of(Failure) == [Failure("engine_failed", "it broke")]
        assert line.at(Failure) == [2.4]
        tone_length = round(len(apology(OUTPUT_RATE)) / OUTPUT_RATE, 3)
        sorry = [at for at in line.sounding() if at < 4]
        assert sorry[0] == 2.4
        assert sorry[-1] == pytest.approx(2.4 + tone_length - TICK)
        assert line.sounding(7000)[0] == 5.4
        assert line.states()[-1] == "listening"


async def test_a_failure_in_the_middle_of_an_answer() -> None:
    async def breaks(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Speech(tone(2.0, 5000), OUTPUT_RATE, "one two ")
        await asyncio.sleep(1.0)
        raise EngineFailed("it broke")

    async with Line(breaks, says(0.1)) as line:
        line.speaks(1.0, 2.0)
        await until(5.0)
        assert line.at(Failure) == [3.4]
        assert line.sounding(5000)[-1] == pytest.approx(3.38)
        assert line.host.truncated == [(1, Heard(1.0, "one "))]
        [ended] = line.of(ReplyEnded)
        assert ended.interrupted


async def test_a_bug_costs_one_answer_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an engine raises or gives: without this the caller would wait for the timeout."""

    async def nonsense(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Speech(tone(1.0, 5000), 0)

    async with Line(fails(error=KeyError("oops")), nonsense, says(1.0, level=7000)) as line:
        for begin in (1.0, 4.0, 7.0):
            line.speaks(begin, begin + 1.0)
        await until(10.0)
        assert line.at(Failure) == [2.4, 5.4]
        assert [event.code for event in line.of(Failure)] == ["engine_failed"] * 2
        assert line.sounding(7000)[0] == 8.4
    assert "KeyError" in caplog.text


async def test_a_listener_that_fails_breaks_no_call(caplog: pytest.LogCaptureFixture) -> None:
    def listener(event: Event, seq: int) -> None:
        raise RuntimeError(f"cannot bear {event.type}")

    async with Line(says(1.0)) as line:
        line.session.events.on(EVENT, listener)
        line.speaks(1.0, 2.0)
        await until(4.0)
        assert line.sounding(5000)[0] == 2.4
    assert "cannot bear user.started" in caplog.text


async def test_a_silent_engine_times_out() -> None:
    async with Line(is_silent(), says(1.0, level=7000), reply_timeout=3.0) as line:
        line.speaks(1.0, 2.0)
        line.speaks(7.0, 8.0)
        await until(10.0)
        assert line.of(Failure) == [Failure("engine_failed", "no answer in 3 s")]
        assert line.at(Failure) == [5.4]
        assert line.host.ended[0] == (1, 5.4)
        assert line.sounding(7000)[0] == 8.4


async def test_an_engine_that_stops_in_the_middle_times_out_after_what_it_gave() -> None:
    async def stops(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Speech(tone(1.0, 5000), OUTPUT_RATE)
        await asyncio.sleep(3600)

    async with Line(stops, reply_timeout=3.0) as line:
        line.speaks(1.0, 2.0)
        await until(8.0)
        assert line.at(Failure) == [pytest.approx(2.4 + 1.0 + 3.0)]
        assert line.session.underruns == 1


async def test_words_that_want_more_are_waited_for() -> None:
    async with Line(says(1.0)) as line:
        line.speaks(1.0, 2.0)
        await until(2.1)
        line.host.on_transcript(Transcript(1, "count from one to", final=False, complete=False))
        line.host.on_transcript(Transcript(9, "of no turn", final=False))
        await until(4.0)
        assert line.at(UserStopped) == [3.2]
        assert line.of(UserTranscript)[0] == UserTranscript(1, "count from one to", final=False)
        assert line.at(UserTranscript) == [2.1, 3.2]


async def test_interrupt() -> None:
    async with Line(says(5.0, text="one two three four five")) as line:
        line.speaks(1.0, 2.0)
        await until(3.41)
        line.session.receive_message(Interrupt())
        await until(5.0)
        assert line.sounding(5000)[-1] == pytest.approx(3.4)
        assert line.sounding()[-1] == pytest.approx(3.42)  # the fade
        assert line.states()[-1] == "listening"
        [ended] = line.of(ReplyEnded)
        assert ended.interrupted
        assert ended.heard == "one "
        line.session.receive_message(Interrupt())  # there is nothing to interrupt
        assert len(line.of(ReplyEnded)) == 1


async def test_a_voice_is_chosen() -> None:
    async with Line() as line:
        line.session.receive_message(SetVoice(name="ravi", rate=1.5))
        line.session.receive_message(SetVoice(emotion="calm"))
        assert line.host.voices == [
            Voice("ravi", rate=1.5),
            Voice("ravi", emotion="calm", rate=1.5),
        ]
        assert [event.voice for event in line.of(VoiceChanged)] == [
            {"name": "ravi", "emotion": "neutral", "rate": 1.5, "language": "en"},
            {"name": "ravi", "emotion": "calm", "rate": 1.5, "language": "en"},
        ]


async def test_a_voice_that_is_not_on_offer() -> None:
    async with Line() as line:
        line.session.receive_message(SetVoice(name="nobody"))
        assert line.of(Failure) == [
            Failure("bad_voice", "no voice 'nobody': on offer are priya, ravi")
        ]
        line.session.receive_message(SetVoice(rate=2.0))
        assert line.host.voices == [Voice("priya", rate=2.0)]


async def test_a_voice_asked_for_in_words() -> None:
    async def changes(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        yield Transcript(turn, "speak slower", final=True)
        yield EngineChangedVoice(Voice("priya", rate=0.5))

    async with Line(changes) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        assert [event.voice["rate"] for event in line.of(VoiceChanged)] == [0.5]
        assert line.states()[-1] == "listening"  # an answer without a sound
        line.session.receive_message(SetVoice(name="ravi"))
        assert line.host.voices == [Voice("ravi", rate=0.5)]


async def test_bad_message_and_hangup() -> None:
    async with Line() as line:
        line.session.reject_message("not JSON")
        assert line.of(Failure) == [Failure("bad_message", "not JSON")]
        await until(1.0)
        line.session.receive_message(HangUp())
        assert line.over == [1.0]


async def test_a_notice_is_said_and_cannot_be_spoken_over() -> None:
    async with Line() as line:
        await until(1.0)
        line.session.receive_message(Say("This call is recorded.", allow_interruptions=False))
        line.speaks(1.2, 1.7)
        await until(3.0)
        assert line.sounding(3000) == pytest.approx([1.0 + 0.02 * n for n in range(50)])
        ended = ReplyEnded(1, *2 * ("This call is recorded.",), 1.0, interrupted=False)
        assert line.of(ReplyEnded) == [ended]
        line.session.receive_message(Say("Goodbye."))
        line.speaks(3.5, 5.0)
        await until(4.5)
        assert line.of(ReplyEnded)[1].interrupted


async def test_closing_in_mid_answer_frees_everything() -> None:
    """Line checks at its end that no task and no place at the engine is left."""
    async with Line(is_silent()) as line:
        line.speaks(1.0, 2.0)
        await until(3.0)
        assert line.host.running == {1}
    assert line.host.running == set()
    assert line.states()[-1] == "closed"
    await line.session.close()  # harmless


async def test_closing_while_it_speaks_tells_what_was_heard() -> None:
    async with Line(says(2.0, text="one two ")) as line:
        line.speaks(1.0, 2.0)
        await until(3.41)
    assert line.host.truncated == [(1, Heard(1.02, "one "))]
    before = len(line.events)
    line.session.receive_frame(np.full(320, 8000, dtype=np.int16))
    line.session.pull()  # what is left of the fade
    assert not line.session.pull().any()
    await asyncio.sleep(60)
    assert len(line.events) == before


async def test_no_room_at_the_engine() -> None:
    engine = ScriptedEngine([], room=False)
    session = Session(engine, Voice(), TURNS, SessionSettings())
    with pytest.raises(EngineOverloaded, match="taken"):
        await session.open()


async def test_stream_mode_hears_and_answers_all_the_time() -> None:
    async def stream(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        assert turn == 0
        given = 0
        while True:
            for _, samples in session.frames[given:]:
                given += 1
                yield Speech(np.repeat(samples, 3)[::2], OUTPUT_RATE)
            await asyncio.sleep(0.005)

    async with Line(stream, info=replace(INFO, mode="stream")) as line:
        line.speaks(1.0, 2.0)
        await until(2.99)
        assert {turn for turn, _ in line.host.frames} == {0}
        assert len(line.host.frames) == 150
        # A frame that was complete at 1.02 s comes back within the next tick.
        assert line.sounding(8000) == pytest.approx([1.04 + 0.02 * n for n in range(50)])
        assert line.of(StateChanged) == []


async def test_a_stream_that_breaks_begins_again() -> None:
    async def stream(session: ScriptedSession, turn: TurnId) -> AsyncIterator[Chunk]:
        while True:
            await asyncio.sleep(0.02)
            yield Speech(tone(0.02, 5000), OUTPUT_RATE)

    async with Line(fails(after=1.0), stream, info=replace(INFO, mode="stream")) as line:
        await until(4.0)
        assert line.at(Failure) == [1.0]
        assert 2.0 <= line.sounding(5000)[0] < 2.2  # a second later: it may have to start, too
