"""The messages beside the audio: the session's events out, the client's wishes in, as JSON.

An event goes out as {"type": ..., and its fields}; `media.events` lists them. A client sends:

    {"type": "voice.set", "voice": {"name", "emotion", "rate", "language"}}   any of the four
    {"type": "interrupt"}                  stop the answer
    {"type": "ping", "t": 12.5}            answered by a pong with the same t
    {"type": "hangup"}                     end the call
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from media.events import Event

MAX_MESSAGE = 16_384  # characters; nothing a client has to say is longer


@dataclass(frozen=True, slots=True)
class SetVoice:
    """Sound like this from the next answer on; None leaves as it is."""

    name: str | None = None
    emotion: str | None = None
    rate: float | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the answer."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with a Pong that carries the same `t`."""

    t: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


ClientMessage = SetVoice | Interrupt | Ping | HangUp


class MessageError(ValueError):
    """The client sent something that is no message; the text says what is wrong with it."""


def encode_event(event: Event) -> str:
    """The JSON text of an event."""
    return json.dumps({"type": event.type, **asdict(event)}, ensure_ascii=False)


def decode_message(text: str) -> ClientMessage:
    """The message in a JSON text from a client. Raises MessageError."""
    if len(text) > MAX_MESSAGE:
        raise MessageError(f"a message has at most {MAX_MESSAGE} characters, this has {len(text)}")
    try:
        message = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise MessageError('a message is a JSON object with a "type"')
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _DECODERS:
        raise MessageError(f"unknown type {kind!r}: known are {', '.join(_DECODERS)}")
    return _DECODERS[kind](message)


def _set_voice(message: dict[str, Any]) -> SetVoice:
    voice = message.get("voice")
    if not isinstance(voice, dict):
        raise MessageError('voice.set needs "voice": an object')
    unknown = set(voice) - {"name", "emotion", "rate", "language"}
    if unknown:
        raise MessageError(f"voice has no {', '.join(map(repr, sorted(unknown)))}")
    for key in ("name", "emotion", "language"):
        value = voice.get(key)
        # Half a surrogate pair is a string to JSON, but nothing that can be sent on as UTF-8.
        if value is not None and not (isinstance(value, str) and value.isprintable()):
            raise MessageError(f"voice.{key} must be a printable string")
    rate = voice.get("rate")
    if rate is not None and not (_is_number(rate) and 0.5 <= rate <= 2):
        raise MessageError("voice.rate must be a number from 0.5 to 2")
    return SetVoice(voice.get("name"), voice.get("emotion"), rate, voice.get("language"))


def _ping(message: dict[str, Any]) -> Ping:
    if not _is_number(message.get("t")):
        raise MessageError('ping needs "t": a number')
    return Ping(message["t"])


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a value")


_DECODERS: dict[str, Callable[[dict[str, Any]], ClientMessage]] = {
    "voice.set": _set_voice,
    "interrupt": lambda message: Interrupt(),
    "ping": _ping,
    "hangup": lambda message: HangUp(),
}
