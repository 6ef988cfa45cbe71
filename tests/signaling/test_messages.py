"""What goes out is what a page expects; what comes in is checked to the last field."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import events
from signaling.messages import (
    MAX_MESSAGE,
    ClientMessage,
    HangUp,
    Interrupt,
    MessageError,
    Ping,
    SetVoice,
    decode_message,
    encode_event,
)

VOICE = {"name": "priya", "emotion": "calm", "rate": 1.0, "language": "te"}
EVENTS: list[tuple[events.Event, dict[str, Any]]] = [
    (
        events.SessionStarted(
            "a1", "echo", ({"name": "priya", "label": "Priya"},), ("calm",), ("te", "en"), VOICE
        ),
        {
            "type": "session.started",
            "session_id": "a1",
            "engine": "echo",
            "voices": [{"name": "priya", "label": "Priya"}],
            "emotions": ["calm"],
            "languages": ["te", "en"],
            "voice": VOICE,
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
    (events.Pong(1.5), {"type": "pong", "t": 1.5}),
]


@pytest.mark.parametrize(
    ("event", "expected"), EVENTS, ids=lambda value: getattr(value, "type", "")
)
def test_an_event_on_the_wire(event: events.Event, expected: dict[str, Any]) -> None:
    assert json.loads(encode_event(event)) == expected


def test_no_event_is_forgotten_here() -> None:
    assert {type(event) for event, _ in EVENTS} == set(get_args(events.Event))


def test_telugu_goes_out_as_it_is() -> None:
    assert "వాణి" in encode_event(events.ReplyText(1, "వాణి"))


@given(st.integers(0), st.text())
def test_heard_words_come_back_from_the_wire_as_they_were(turn: int, text: str) -> None:
    event = events.ReplyHeard(turn, text)
    fields = json.loads(encode_event(event))
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
        ('{"type": "ping", "t": 12.5}', Ping(12.5)),
        ('{"type": "ping", "t": -3}', Ping(-3)),
        ('{"type": "hangup", "more": 1}', HangUp()),
    ],
)
def test_a_message(text: str, message: ClientMessage) -> None:
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
        ('{"type": "voice"}', "known are voice.set, interrupt, ping, hangup"),
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
        ('{"type": "ping"}', 'needs "t"'),
        ('{"type": "ping", "t": "1"}', 'needs "t"'),
        ('{"type": "ping", "t": 1e999}', 'needs "t"'),
        ('{"type": "ping", "t": NaN}', "NaN is not a value"),
        ('{"type": "ping", "t": -Infinity}', "-Infinity is not a value"),
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
    {"type": st.sampled_from(["voice.set", "interrupt", "ping", "hangup"]) | JSON},
    optional={
        "t": JSON,
        "voice": JSON
        | st.dictionaries(st.sampled_from(["name", "emotion", "rate", "language", "\ud800"]), JSON),
    },
)


@given(st.text() | JSON.map(json.dumps) | NEAR_MISSES.map(json.dumps))
def test_nothing_but_a_message_or_a_message_error(text: str) -> None:
    try:
        message = decode_message(text)
    except MessageError as error:
        encode_event(events.Failure("bad_message", str(error))).encode()
    else:
        assert isinstance(message, ClientMessage)
        if isinstance(message, Ping):
            pong = encode_event(events.Pong(message.t))
            assert json.loads(pong, parse_constant=lambda _: pytest.fail(pong))["t"] == message.t
