"""Every chunk survives the socket, however the bytes are cut."""

import asyncio
from typing import Any

import msgpack
import numpy as np
import pytest

from inference.protocol import Chunk, Speech, Transcript, Voice, VoiceChanged
from inference.wire import messages, pack, pack_chunk, pcm_bytes, pcm_samples, unpack_chunk

CHUNKS: list[Chunk] = [
    Transcript(3, "ఒకటి", final=False, complete=None),
    Transcript(3, "count to three", final=True, complete=True),
    Speech(np.array([-32768, -1, 0, 1, 32767], dtype=np.int16), 22_050, "one "),
    Speech(np.zeros(0, dtype=np.int16), 24_000, "no sound"),
    Speech(np.zeros(1, dtype=np.int16), 24_000, "the law", allow_interruptions=False),
    VoiceChanged(Voice("priya", "calm", 1.5, "te")),
]


def same(one: Chunk, other: Chunk) -> bool:
    if isinstance(one, Speech) and isinstance(other, Speech):
        return (
            one.samples.dtype == other.samples.dtype
            and np.array_equal(one.samples, other.samples)
            and (one.rate, one.text) == (other.rate, other.text)
            and one.allow_interruptions == other.allow_interruptions
        )
    return one == other


@pytest.mark.parametrize("chunk", CHUNKS, ids=lambda chunk: type(chunk).__name__)
def test_a_chunk(chunk: Chunk) -> None:
    message: dict[str, Any] = msgpack.unpackb(pack_chunk(7, 3, chunk))
    assert message["session"] == 7
    assert message["turn"] == 3
    assert same(unpack_chunk(message), chunk)


def test_pcm_is_little_endian() -> None:
    assert pcm_bytes(np.array([1, -2], dtype=np.int16)) == b"\x01\x00\xfe\xff"
    assert pcm_bytes(np.array([1, -2], dtype=">i2")) == b"\x01\x00\xfe\xff"
    assert pcm_samples(b"\x01\x00\xfe\xff").tolist() == [1, -2]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_messages_are_whole_however_they_come(size: int) -> None:
    reader = asyncio.StreamReader()
    sent = b"".join(pack("speech", session=n, pcm=bytes(n)) for n in range(50))
    for start in range(0, len(sent), size):
        reader.feed_data(sent[start : start + size])
    reader.feed_eof()
    received = [message async for message in messages(reader)]
    assert received == [{"op": "speech", "session": n, "pcm": bytes(n)} for n in range(50)]
