"""media.events: the names and fields that clients rely on."""

import dataclasses
import json
from typing import get_args

import pytest

from media import events
from media.events import Event, ReplyEnded, StateChanged

WIRE = {
    "session.started": "session_id resume_token resume_window transport "
    "engine voices emotions languages voice",
    "session.resumed": "session_id resume_token resume_window transport state turn",
    "state": "state",
    "user.started": "turn",
    "user.stopped": "turn",
    "user.transcript": "turn text final",
    "reply.started": "turn",
    "reply.text": "turn text",
    "reply.heard": "turn text",
    "reply.paused": "turn",
    "reply.resumed": "turn",
    "reply.ended": "turn text heard seconds interrupted",
    "voice.changed": "voice",
    "error": "code message",
}


def test_names_and_fields() -> None:
    fields = {e.type: " ".join(f.name for f in dataclasses.fields(e)) for e in get_args(Event)}
    assert fields == WIRE


def test_every_event_is_in_the_union() -> None:
    defined = {e for e in vars(events).values() if dataclasses.is_dataclass(e)}
    assert defined == set(get_args(Event))


def test_events_are_values() -> None:
    ended = ReplyEnded(3, "one two", "one ", 0.5, True)
    assert ended == ReplyEnded(3, "one two", "one ", 0.5, True)
    assert json.loads(json.dumps(dataclasses.asdict(ended)))["heard"] == "one "
    with pytest.raises(dataclasses.FrozenInstanceError):
        StateChanged("listening").state = "closed"  # type: ignore[misc]
