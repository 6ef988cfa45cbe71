"""What the media server and the engine host say to each other: msgpack maps on a local socket.

    server -> host                                host -> server
    start    settings, path                       ready     info
    open     session, voice                       opened    session
                                                  refused   session, reason
    listen   session, turn, rate, pcm             (transcripts come back while it listens)
    respond  session, turn                        transcript, speech, voice   session, turn, ...
                                                  done      session, turn
                                                  failed    session, turn, reason
    say      session, turn, text                  (as to respond)
    cancel   session, turn
    truncate session, turn, seconds, text
    voice    session, voice
    close    session
    ping     n                                    pong      n

`op` names the message. `start` is said by the server that started the host, which serves others at
`path`, a Unix socket, if that is not null; a session's number is its connection's own. Audio is
little-endian 16-bit PCM. A peer that breaks this is ours, so a malformed message is a bug and ends
the connection.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np

from inference.protocol import Chunk, Speech, Transcript, Voice, VoiceChanged
from media.frames import Samples

Message = dict[str, Any]

READ_SIZE = 1 << 16


def pack(op: str, **fields: Any) -> bytes:
    """One message as bytes."""
    packed: bytes = msgpack.packb({"op": op, **fields})
    return packed


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[Message]:
    """The messages of a connection, until it ends."""
    unpacker = msgpack.Unpacker()
    while data := await reader.read(READ_SIZE):
        unpacker.feed(data)
        for message in unpacker:
            yield message


def pack_chunk(session: int, turn: int, chunk: Chunk) -> bytes:
    """A chunk of an answer as a message."""
    match chunk:
        case Transcript():
            return pack("transcript", session=session, **asdict(chunk))
        case Speech(samples, rate, text, allow_interruptions):
            return pack(
                "speech",
                session=session,
                turn=turn,
                pcm=pcm_bytes(samples),
                rate=rate,
                text=text,
                allow_interruptions=allow_interruptions,
            )
        case VoiceChanged(voice):
            return pack("voice", session=session, turn=turn, voice=asdict(voice))


def unpack_chunk(message: Message) -> Chunk:
    """The chunk in a `transcript`, `speech` or `voice` message."""
    match message["op"]:
        case "transcript":
            keys = ("turn", "text", "final", "complete")
            return Transcript(**{key: message[key] for key in keys})
        case "speech":
            return Speech(
                pcm_samples(message["pcm"]),
                message["rate"],
                message["text"],
                message["allow_interruptions"],
            )
        case op:
            assert op == "voice", op
            return VoiceChanged(Voice(**message["voice"]))


def pcm_bytes(samples: Samples) -> bytes:
    return samples.astype("<i2", copy=False).tobytes()


def pcm_samples(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
