import numpy as np
import pytest

from inference.embedded import EmbeddedEngine
from inference.protocol import EngineOverloaded, Heard, Transcript, Voice, VoiceChanged
from inference.settings import EngineSettings, LlmSettings
from tests.inference.embedded.caller import answer_words, ask, caller_says, caller_words, frames


def ignore(transcript: Transcript) -> None:
    """A call that does not show partial transcripts."""


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("what time is it", "It is ten forty-three in the morning."),
        ("what is the date", "Today is Friday, the twentieth of November, twenty twenty-six."),
        ("count from one to twenty", "One, two, three,"),
        ("what is two plus two", "Two plus two is four."),
        ("tell me a story", "Once, in a town at the edge of the hills"),
        ("spell computer", "Computer: C, O, M, P, U, T, E, R."),
        ("thank you very much", "You are welcome."),
    ],
)
async def test_a_command_is_understood_and_answered(
    engine: EmbeddedEngine, said: str, answer: str
) -> None:
    async with engine.open(Voice(), ignore) as session:
        chunks = await ask(session, 1, caller_says(said))
    assert answer_words(chunks).startswith(answer)


async def test_other_speech_is_not_taken_for_a_command(engine: EmbeddedEngine) -> None:
    said = "the meeting was moved to next thursday"
    async with engine.open(Voice(), ignore) as session:
        chunks = await ask(session, 1, caller_says(said))
    assert answer_words(chunks).startswith("Sorry, I did not understand")


@pytest.mark.parametrize("level", [0, 100])
async def test_where_nobody_speaks_nothing_is_understood(
    engine: EmbeddedEngine, level: int
) -> None:
    noise = np.random.default_rng(3).normal(0, level, 16000).astype(np.int16)
    async with engine.open(Voice(), ignore) as session:
        chunks = await ask(session, 1, noise)
    assert caller_words(chunks) == ""
    assert answer_words(chunks) == "Sorry, I did not catch that."


async def test_a_turn_nobody_heard_is_answered_too(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        chunks = [chunk async for chunk in session.respond(5)]
    assert chunks[0] == Transcript(5, "", final=True)
    assert answer_words(chunks) == "Sorry, I did not catch that."


async def test_partial_transcripts_tell_a_beginning_from_a_whole_request(
    engine: EmbeddedEngine,
) -> None:
    partials: list[Transcript] = []
    async with engine.open(Voice(), partials.append) as session:
        for frame in frames(caller_says("count from one to twenty")):
            session.listen(4, frame)
    seen = {partial.text: partial.complete for partial in partials}
    assert seen["count from one to"] is False
    assert seen["count from one to twenty"] is True
    assert all(partial.turn == 4 and not partial.final for partial in partials)


async def test_a_new_turn_drops_the_old_ones_audio(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        for frame in frames(caller_says("tell me a story")):
            session.listen(1, frame)
        chunks = await ask(session, 2, caller_says("what is two plus two"))
    assert answer_words(chunks) == "Two plus two is four."


async def test_calls_at_the_same_time_do_not_disturb_each_other(engine: EmbeddedEngine) -> None:
    said = ("what is two plus two", "what time is it", "count from one to twenty")
    async with (
        engine.open(Voice(), ignore) as a,
        engine.open(Voice(), ignore) as b,
        engine.open(Voice(), ignore) as c,
    ):
        sessions = (a, b, c)
        audio = [caller_says(words) for words in said]
        alone = [
            caller_words(await ask(session, 1, spoken))
            for session, spoken in zip(sessions, audio, strict=True)
        ]
        each = [list(frames(spoken)) for spoken in audio]
        for i in range(max(map(len, each))):
            for session, of_session in zip(sessions, each, strict=True):
                if i < len(of_session):
                    session.listen(2, of_session[i])
        together = [
            caller_words([chunk async for chunk in session.respond(2)]) for session in sessions
        ]
    assert together == alone


async def test_the_voice_changes_when_asked(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice("priya"), ignore) as session:
        chunks = await ask(session, 1, caller_says("change your voice to ravi"))
    assert VoiceChanged(Voice("ravi")) in chunks


async def test_only_what_was_heard_is_remembered(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        await ask(session, 1, caller_says("count from one to twenty"))
        session.truncate(1, Heard(1.0, "One, two, "))
        chunks = await ask(session, 2, caller_says("what did you say"))
    assert answer_words(chunks) == "I said: One, two,"


async def test_what_the_caller_said_is_remembered(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        await ask(session, 1, caller_says("count from one to twenty"))
        chunks = await ask(session, 2, caller_says("what did i say"))
    assert answer_words(chunks) == "You said: count from one to twenty."


async def test_closing_an_answer_keeps_what_was_spoken_of_it(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        for frame in frames(caller_says("tell me a story")):
            session.listen(1, frame)
        answer = session.respond(1)
        for _ in range(3):
            await anext(answer)
        await answer.aclose()
        chunks = await ask(session, 2, caller_says("what is two plus two"))
    assert answer_words(chunks) == "Two plus two is four."


async def test_a_call_that_ends_while_its_caller_talks_gives_its_decoder_back(
    engine: EmbeddedEngine,
) -> None:
    idle = engine.grammar.idle
    async with engine.open(Voice(), ignore) as session:
        for frame in frames(caller_says("tell me a story")):
            session.listen(1, frame)
        assert engine.grammar.idle == idle - 1
    assert engine.grammar.idle == idle


async def test_more_sessions_than_there_is_room_for_are_refused() -> None:
    engine = EmbeddedEngine(EngineSettings(max_sessions=1))
    async with engine.open(Voice(), ignore):
        with pytest.raises(EngineOverloaded, match="all 1 sessions"):
            async with engine.open(Voice(), ignore):
                pytest.fail("entered")
    async with engine.open(Voice(), ignore):
        pass


async def test_an_unknown_voice_is_refused_with_the_nearest(engine: EmbeddedEngine) -> None:
    async with engine.open(Voice(), ignore) as session:
        with pytest.raises(ValueError, match=r"on offer: arjun, ravi, .*did you mean 'priya'"):
            session.set_voice(Voice("pria"))


async def test_an_endpoint_that_is_not_there_is_apologised_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    nowhere = LlmSettings(base_url="http://127.0.0.1:9/v1")
    engine = EmbeddedEngine(EngineSettings(llm=nowhere))
    said = "the meeting was moved to next thursday"
    async with engine.open(Voice(), ignore) as session:
        chunks = await ask(session, 1, caller_says(said))
    assert answer_words(chunks).startswith("Sorry, I cannot reach my language model")
    assert "chat endpoint failed" in caplog.text
