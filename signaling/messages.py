"""The messages beside the audio: the session's events out, the client's wishes in, as JSON.

docs/protocol.md says what there is and when it is sent.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from media.events import Event

MAX_MESSAGE = 16_384  # characters; nothing a client has to say is longer


MAX_SAID = 2000
"""Characters of a text to say: two minutes of speech."""


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
class Say:
    """Say this as soon as nobody speaks."""

    text: str
    allow_interruptions: bool = True


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with the same `t`: the transport does."""

    t: float


@dataclass(frozen=True, slots=True)
class Played:
    """How far the client has played, by the frame's number or by its packet's RTP timestamp."""

    sequence: int | None = None  # of the frame that is played next
    timestamp: int | None = None  # of the latest packet played


ClientMessage = SetVoice | Interrupt | Say | HangUp
"""What concerns the session."""

TransportMessage = Ping | Played
"""What concerns the transport that it came by."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The wish to go on with a session."""

    session_id: str
    token: str
    seq: int  # of the last event the client has
    played: Played | None  # on the transport it lost; None: the old transport still works


@dataclass(frozen=True, slots=True)
class Hello:
    """A client's first message over a WebSocket or TCP."""

    codec: Literal["pcm16", "opus"]
    rate: int  # Hz
    resume: Resume | None


PCM_RATES = (8000, 16000, 24000, 48000)
OPUS_RATE = 48000


class MessageError(ValueError):
    """The client sent something that is no message; the text says what is wrong with it."""


def encode_event(event: Event, seq: int) -> str:
    """The JSON text of a session's event with its number."""
    return json.dumps({"type": event.type, "seq": seq, **asdict(event)}, ensure_ascii=False)


def encode_pong(ping: Ping) -> str:
    """The JSON text that answers a ping."""
    return json.dumps({"type": "pong", "t": ping.t})


def encode_error(code: str, message: str, retry_after: int | None = None) -> str:
    """The JSON text that refuses a call: an error that is no session's event.

    `retry_after`, where trying again makes sense, is when, in seconds.
    """
    error: dict[str, str | int] = {"type": "error", "code": code, "message": message}
    if retry_after is not None:
        error["retry_after"] = retry_after
    return json.dumps(error)


def encode_flush(sequence: int) -> str:
    """The JSON text that has a client play nothing more of the frames before this one."""
    return json.dumps({"type": "flush", "sequence": sequence})


def decode_message(text: str) -> ClientMessage | TransportMessage:
    """The message in a JSON text from a client. Raises MessageError."""
    message = _object(text)
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _DECODERS:
        raise MessageError(f"unknown type {kind!r}: known are {', '.join(_DECODERS)}")
    return _DECODERS[kind](message)


def decode_hello(text: str) -> Hello:
    """The first message of a client over a WebSocket or TCP. Raises MessageError."""
    message = _object(text)
    if message.get("type") != "hello":
        raise MessageError('the first message must be {"type": "hello", "codec", "rate"}')
    codec, rate = message.get("codec"), message.get("rate")
    resume = decode_resume(message.get("resume"))
    if codec == "opus" and rate in (None, OPUS_RATE):
        return Hello("opus", OPUS_RATE, resume)
    if codec == "pcm16" and type(rate) is int and rate in PCM_RATES:
        return Hello("pcm16", rate, resume)
    rates = ", ".join(map(str, PCM_RATES))
    raise MessageError(f'codec must be "opus", or "pcm16" with a rate of {rates}')


def decode_resume(resume: object) -> Resume | None:
    """The "resume" of an offer or a hello; None stands for itself. Raises MessageError."""
    if resume is None:
        return None
    if not isinstance(resume, dict):
        raise MessageError("resume must be an object")
    session_id, token = resume.get("session_id"), resume.get("resume_token")
    if not (isinstance(session_id, str) and isinstance(token, str)):
        raise MessageError("resume needs session_id and resume_token: strings")
    seq, played = resume.get("seq", 0), resume.get("played")
    if not _is_count(seq):
        raise MessageError("resume.seq must be a whole number")
    if played is not None and not isinstance(played, dict):
        raise MessageError("resume.played must be an object or null")
    return Resume(session_id, token, seq, None if played is None else _played(played))


def _object(text: str) -> dict[str, Any]:
    if len(text) > MAX_MESSAGE:
        raise MessageError(f"a message has at most {MAX_MESSAGE} characters, this has {len(text)}")
    try:
        message = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from None
    if not isinstance(message, dict):
        raise MessageError('a message is a JSON object with a "type"')
    return cast(dict[str, Any], message)


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


def decode_say(message: dict[str, Any]) -> Say:
    """The text to say, and whether it may be spoken over. Raises MessageError."""
    text = message.get("text")
    if not (isinstance(text, str) and text.strip()) or any(map(_is_surrogate, text)):
        raise MessageError('say needs "text": words to be said')
    if len(text) > MAX_SAID:
        raise MessageError(f"a text to say has at most {MAX_SAID} characters, this has {len(text)}")
    allowed = message.get("allow_interruptions", True)
    if not isinstance(allowed, bool):
        raise MessageError("say.allow_interruptions must be true or false")
    return Say(text, allowed)


def _is_surrogate(character: str) -> bool:
    """Half a pair is a character to JSON, but nothing that can be sent on as UTF-8."""
    return "\ud800" <= character <= "\udfff"


def _ping(message: dict[str, Any]) -> Ping:
    if not _is_number(message.get("t")):
        raise MessageError('ping needs "t": a number')
    return Ping(message["t"])


def _played(message: dict[str, Any]) -> Played:
    sequence, timestamp = message.get("sequence"), message.get("timestamp")
    if _is_count(sequence) and timestamp is None:
        return Played(sequence=sequence)
    if _is_count(timestamp) and sequence is None:
        return Played(timestamp=timestamp)
    raise MessageError('played needs "sequence" or "timestamp": a whole number')


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_number(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a value")


_DECODERS: dict[str, Callable[[dict[str, Any]], ClientMessage | TransportMessage]] = {
    "voice.set": _set_voice,
    "interrupt": lambda message: Interrupt(),
    "say": decode_say,
    "hangup": lambda message: HangUp(),
    "ping": _ping,
    "played": _played,
}
