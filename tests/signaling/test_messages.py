"""What goes out is what a page expects; what comes in is checked to the last field."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import events
from signaling.messages import (
    MAX_MESSAGE,
    PCM_RATES,
    ClientMessage,
    HangUp,
    Hello,
    Interrupt,
    MessageError,
    Ping,
    Played,
    Resume,
    Say,
    SetVoice,
    TransportMessage,
    decode_hello,
    decode_message,
    decode_resume,
    encode_error,
    encode_event,
    encode_flush,
    encode_pong,
)

VOICE = {"name": "priya", "emotion": "calm", "rate": 1.0, "language": "te"}
EVENTS: list[tuple[events.Event, dict[str, Any]]] = [
    (
        events.SessionStarted(
            "a1",
            "t1",
            30.0,
            "tcp",
            "echo",
            ({"name": "priya", "label": "Priya"},),
            ("calm",),
            ("te", "en"),
            VOICE,
        ),
        {
            "type": "session.started",
            "session_id": "a1",
            "resume_token": "t1",
            "resume_window": 30.0,
            "transport": "tcp",
            "engine": "echo",
            "voices": [{"name": "priya", "label": "Priya"}],
            "emotions": ["calm"],
            "languages": ["te", "en"],
            "voice": VOICE,
        },
    ),
    (
        events.SessionResumed("a1", "t2", 30.0, "websocket", "speaking", 3),
        {
            "type": "session.resumed",
            "session_id": "a1",
            "resume_token": "t2",
            "resume_window": 30.0,
            "transport": "websocket",
            "state": "speaking",
            "turn": 3,
        },
    ),
    (events.StateChanged("thinking"), {"type": "state", "state": "thinking"}),
    (events.UserStarted(3), {"type": "user.started", "turn": 3}),
    (events.UserStopped(3), {"type": "user.stopped", "turn": 3}),
    (
        events.UserTranscript(3, "వాణి", final=True),
        {"type": "user.transcript", "turn": 3, "text": "వాణి", "final": True},
    ),
    (events.ReplyStarted(3), {"type": "reply.started", "turn": 3}),
    (events.ReplyText(3, "yes "), {"type": "reply.text", "turn": 3, "text": "yes "}),
    (events.ReplyHeard(3, "yes "), {"type": "reply.heard", "turn": 3, "text": "yes "}),
    (events.ReplyPaused(3), {"type": "reply.paused", "turn": 3}),
    (events.ReplyResumed(3), {"type": "reply.resumed", "turn": 3}),
    (
        events.ReplyEnded(3, "yes and no", "yes ", 0.5, interrupted=True),
        {
            "type": "reply.ended",
            "turn": 3,
            "text": "yes and no",
            "heard": "yes ",
            "seconds": 0.5,
            "interrupted": True,
        },
    ),
    (events.VoiceChanged(VOICE), {"type": "voice.changed", "voice": VOICE}),
    (events.Failure("c", "m"), {"type": "error", "code": "c", "message": "m"}),
]


@pytest.mark.parametrize(
    ("event", "expected"), EVENTS, ids=lambda value: getattr(value, "type", "")
)
def test_an_event_on_the_wire(event: events.Event, expected: dict[str, Any]) -> None:
    assert json.loads(encode_event(event, 7)) == {**expected, "seq": 7}


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(events.Event))


def test_telugu_goes_out_as_it_is() -> None:
    assert "వాణి" in encode_event(events.ReplyText(1, "వాణి"), 1)


@given(st.integers(0), st.text(), st.integers(1))
def test_heard_words_come_back_from_the_wire_as_they_were(turn: int, text: str, seq: int) -> None:
    event = events.ReplyHeard(turn, text)
    fields = json.loads(encode_event(event, seq))
    assert fields.pop("seq") == seq
    assert fields.pop("type") == events.ReplyHeard.type == "reply.heard"
    assert events.ReplyHeard(**fields) == event


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "voice.set", "voice": {}}', SetVoice()),
        ('{"type": "voice.set", "voice": {"name": "ravi", "rate": 2}}', SetVoice("ravi", rate=2)),
        (
            '{"type": "voice.set", "voice": {"emotion": "calm", "rate": 0.5, "language": "te"}}',
            SetVoice(emotion="calm", rate=0.5, language="te"),
        ),
        ('{"type": "voice.set", "voice": {"name": null}}', SetVoice()),
        ('{"type": "interrupt"}', Interrupt()),
        ('{"type": "say", "text": "నమస్తే"}', Say("నమస్తే")),
        ('{"type": "say", "text": "Hi", "allow_interruptions": false}', Say("Hi", False)),
        ('{"type": "ping", "t": 12.5}', Ping(12.5)),
        ('{"type": "ping", "t": -3}', Ping(-3)),
        ('{"type": "hangup", "more": 1}', HangUp()),
        ('{"type": "played", "sequence": 0}', Played(sequence=0)),
        ('{"type": "played", "sequence": 4294967295}', Played(sequence=2**32 - 1)),
        ('{"type": "played", "timestamp": 99, "sequence": null}', Played(timestamp=99)),
    ],
)
def test_a_message(text: str, message: ClientMessage | TransportMessage) -> None:
    assert decode_message(text) == message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 10_000, "not JSON"),
        ("1" * 5000, "not JSON"),
        ("[]", "JSON object"),
        ("null", "JSON object"),
        ("{}", "unknown type None"),
        ('{"type": "voice"}', "known are voice.set, interrupt, say, hangup, ping, played"),
        ('{"type": []}', "unknown type []"),
        ('{"type": {"a": 1}}', "unknown type"),
        ('{"type": "voice.set"}', 'needs "voice"'),
        ('{"type": "voice.set", "voice": []}', 'needs "voice"'),
        ('{"type": "voice.set", "voice": {"pitch": 2, "age": 1}}', "no 'age', 'pitch'"),
        ('{"type": "voice.set", "voice": {"name": 1}}', "voice.name must be"),
        ('{"type": "voice.set", "voice": {"name": "\\ud800"}}', "voice.name must be"),
        ('{"type": "voice.set", "voice": {"language": "a\\nb"}}', "voice.language must be"),
        ('{"type": "voice.set", "voice": {"rate": 0.49}}', "from 0.5 to 2"),
        ('{"type": "voice.set", "voice": {"rate": 2.1}}', "from 0.5 to 2"),
        ('{"type": "voice.set", "voice": {"rate": true}}', "from 0.5 to 2"),
        ('{"type": "voice.set", "voice": {"rate": "1"}}', "from 0.5 to 2"),
        ('{"type": "say"}', 'needs "text"'),
        ('{"type": "say", "text": " "}', 'needs "text"'),
        ('{"type": "say", "text": "\\ud800"}', 'needs "text"'),
        ('{"type": "say", "text": "' + 2001 * "a" + '"}', "at most 2000 characters, this has 2001"),
        ('{"type": "say", "text": "a", "allow_interruptions": 0}', "must be true or false"),
        ('{"type": "ping"}', 'needs "t"'),
        ('{"type": "ping", "t": "1"}', 'needs "t"'),
        ('{"type": "ping", "t": 1e999}', 'needs "t"'),
        ('{"type": "ping", "t": NaN}', "NaN is not a value"),
        ('{"type": "ping", "t": -Infinity}', "-Infinity is not a value"),
        ('{"type": "played"}', '"sequence" or "timestamp"'),
        ('{"type": "played", "sequence": 1.0}', '"sequence" or "timestamp"'),
        ('{"type": "played", "sequence": true}', '"sequence" or "timestamp"'),
        ('{"type": "played", "sequence": -1}', '"sequence" or "timestamp"'),
        ('{"type": "played", "timestamp": 4294967296}', '"sequence" or "timestamp"'),
        ('{"type": "played", "sequence": 1, "timestamp": 1}', '"sequence" or "timestamp"'),
        ('{"type": "hello", "codec": "opus"}', "unknown type 'hello'"),
        ('"' + "a" * MAX_MESSAGE + '"', "at most 16384 characters"),
    ],
)
def test_what_is_no_message(text: str, complaint: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_message(text)
    assert complaint in str(caught.value)
    str(caught.value).encode()  # it is told to the client


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)
NEAR_MISSES = st.fixed_dictionaries(
    {"type": st.sampled_from(["voice.set", "interrupt", "say", "ping", "hangup", "played"]) | JSON},
    optional={
        "t": JSON,
        "sequence": st.integers() | JSON,
        "timestamp": st.integers() | JSON,
        "voice": JSON
        | st.dictionaries(st.sampled_from(["name", "emotion", "rate", "language", "\ud800"]), JSON),
    },
)


@given(st.text() | JSON.map(json.dumps) | NEAR_MISSES.map(json.dumps))
def test_nothing_but_a_message_or_a_message_error(text: str) -> None:
    try:
        message = decode_message(text)
    except MessageError as error:
        encode_event(events.Failure("bad_message", str(error)), 1).encode()
    else:
        assert isinstance(message, ClientMessage | TransportMessage)
        if isinstance(message, Ping):
            pong = json.loads(encode_pong(message), parse_constant=lambda c: pytest.fail(c))
            assert pong == {"type": "pong", "t": message.t}


# The first message


RESUME = {"session_id": "s", "resume_token": "t", "seq": 56, "played": {"sequence": 1240}}


@pytest.mark.parametrize("rate", [8000, 16_000, 24_000, 48_000])
def test_a_hello_with_pcm(rate: int) -> None:
    text = json.dumps({"type": "hello", "codec": "pcm16", "rate": rate})
    assert decode_hello(text) == Hello("pcm16", rate, None)


@pytest.mark.parametrize("rate", [{}, {"rate": None}, {"rate": 48_000}])
def test_a_hello_with_opus(rate: dict[str, Any]) -> None:
    text = json.dumps({"type": "hello", "codec": "opus", "resume": None, **rate})
    assert decode_hello(text) == Hello("opus", 48_000, None)


@pytest.mark.parametrize(
    ("played", "expected"),
    [
        ({"sequence": 1240}, Played(sequence=1240)),
        ({"timestamp": 99}, Played(timestamp=99)),
        (None, None),
    ],
)
def test_a_hello_that_resumes(played: Any, expected: Played | None) -> None:
    resume = {**RESUME, "played": played}
    hello = decode_hello(json.dumps({"type": "hello", "codec": "opus", "resume": resume}))
    assert hello.resume == Resume("s", "t", 56, expected)


def test_a_resume_may_have_no_event_yet() -> None:
    assert decode_resume({"session_id": "s", "resume_token": "t"}) == Resume("s", "t", 0, None)


@pytest.mark.parametrize(
    ("hello", "complaint"),
    [
        ({}, "the first message must be"),
        ({"type": "ping", "t": 1}, "the first message must be"),
        ({"type": "hello"}, "codec must be"),
        ({"type": "hello", "codec": "pcm16"}, "codec must be"),
        ({"type": "hello", "codec": "pcm16", "rate": 44_100}, "8000, 16000, 24000, 48000"),
        ({"type": "hello", "codec": "pcm16", "rate": 24_000.0}, "codec must be"),
        ({"type": "hello", "codec": "pcm16", "rate": "24000"}, "codec must be"),
        ({"type": "hello", "codec": "pcm16", "rate": [24_000]}, "codec must be"),
        ({"type": "hello", "codec": "opus", "rate": 24_000}, "codec must be"),
        ({"type": "hello", "codec": ["opus"]}, "codec must be"),
        ({"type": "hello", "codec": "opus", "resume": 1}, "resume must be an object"),
        ({"type": "hello", "codec": "opus", "resume": {}}, "resume needs"),
        (
            {"type": "hello", "codec": "opus", "resume": {**RESUME, "session_id": 1}},
            "resume needs",
        ),
        (
            {"type": "hello", "codec": "opus", "resume": {**RESUME, "seq": -1}},
            "resume.seq",
        ),
        (
            {"type": "hello", "codec": "opus", "resume": {**RESUME, "seq": True}},
            "resume.seq",
        ),
        (
            {"type": "hello", "codec": "opus", "resume": {**RESUME, "played": 7}},
            "resume.played",
        ),
        (
            {"type": "hello", "codec": "opus", "resume": {**RESUME, "played": {}}},
            "played needs",
        ),
    ],
)
def test_what_is_no_hello(hello: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_hello(json.dumps(hello))
    assert complaint in str(caught.value)


NEAR_HELLOS = st.fixed_dictionaries(
    {"type": st.just("hello")},
    optional={
        "codec": st.sampled_from(["opus", "pcm16"]) | JSON,
        "rate": st.sampled_from([8000, 24_000, 48_000]) | JSON,
        "resume": JSON
        | st.fixed_dictionaries(
            {"session_id": st.text(), "resume_token": st.text()},
            optional={
                "seq": st.integers() | JSON,
                "played": JSON | st.dictionaries(st.sampled_from(["sequence", "timestamp"]), JSON),
            },
        ),
    },
)


@given(st.text() | JSON.map(json.dumps) | NEAR_HELLOS.map(json.dumps))
def test_nothing_but_a_hello_or_a_message_error(text: str) -> None:
    try:
        hello = decode_hello(text)
    except MessageError as error:
        encode_error("bad_message", str(error)).encode()
    else:
        assert hello.rate in PCM_RATES
        if hello.resume:
            assert 0 <= hello.resume.seq < 2**32


# What a transport says by itself


def test_what_has_no_number() -> None:
    assert json.loads(encode_flush(1234)) == {"type": "flush", "sequence": 1234}
    assert json.loads(encode_pong(Ping(12.5))) == {"type": "pong", "t": 12.5}
    assert json.loads(encode_error("refused", "no")) == {
        "type": "error",
        "code": "refused",
        "message": "no",
    }
