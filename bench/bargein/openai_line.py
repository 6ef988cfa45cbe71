"""A call over OpenAI's Realtime protocol (GA), as the clients of it make one.

The server sends an answer faster than it is spoken, so the caller has a playout of its own. Who
interrupts is heard by the server first: on its word the caller falls silent at once and says how
much of the answer was played. Stop times therefore hold the way there and back, as real ones do.
"""

import asyncio
import json
import os
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import numpy as np

from bench.caller import RATE, Caller
from bench.dial import CONNECT_TIMEOUT, CallFailed
from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from signaling.channel import Channel, ChannelClosed
from signaling.websocket import WebSocketChannel

PATH = "/v1/realtime"
KEY = "OPENAI_API_KEY"  # in the environment; the name is that of OpenAI's own clients
CLOSE_SECONDS = 2.0  # for the server's goodbye
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # seconds of audio come in one piece
AUDIO_DELTAS = ("response.output_audio.delta", "response.audio.delta")  # the second: beta
AUDIO_DONE = ("response.output_audio.done", "response.audio.done", "response.done")
PCM = {"type": "audio/pcm", "rate": RATE}
SESSION = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": PCM,
            "turn_detection": {
                "type": "server_vad",
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": PCM},
    },
}


@asynccontextmanager
async def connect_openai(url: str) -> AsyncIterator[Caller]:
    """Call the Realtime endpoint at `url`, ws(s) or http(s), with its `model` in the query; hangs
    up at the end. Events are the server's own, without its audio.

    The path is that of OpenAI's unless the URL has one. Raises CallFailed, also when the server
    ends the call or sends an error meanwhile.
    """
    lines: list[RealtimeLine] = []

    def line(caller: Caller) -> RealtimeLine:
        lines.append(RealtimeLine(caller.mouth.pull, caller.hear, caller.receive_event))
        return lines[0]

    began = asyncio.get_running_loop().time()
    caller = Caller(url, make_peer=line)
    [peer] = lines
    async with aiohttp.ClientSession() as http:
        running = asyncio.create_task(peer.run(await _dial(http, url)))
        try:
            await _connected(peer, running)
            caller.setup_seconds = asyncio.get_running_loop().time() - began
            yield caller
        finally:
            await peer.close()
            await running  # which says why the server ended it, better than who waited for it


class RealtimeLine:
    """The caller's end: see `bench.dial.StreamPeer`.

    `pull` gives 20 ms of the caller's voice, `receive` takes 20 ms of what is played; both are
    called every 20 ms. Silence is played where there is no answer.
    """

    def __init__(
        self,
        pull: Callable[[], Samples],
        receive: Callable[[Samples], None],
        receive_event: Callable[[dict[str, Any]], None],
    ) -> None:
        self.connected = asyncio.Event()
        self.closed = asyncio.Event()
        self._pull, self._receive, self._receive_event = pull, receive, receive_event
        self._playout = Playout()
        self._truncations: set[str] = set()
        self._channel: Channel | None = None
        self._hung_up = False
        self._loop = asyncio.get_running_loop()

    async def run(self, channel: Channel) -> None:
        """Call over this channel; returns when the caller has hung up. Raises CallFailed."""
        self._channel = channel
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._speak())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        except ChannelClosed as closed:
            if not self._hung_up:
                said = f" ({closed.code})" if closed.code else ""
                raise CallFailed(f"the server ended the call: {closed}{said}") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.connected.clear()
            self.closed.set()
            await channel.close()

    async def close(self) -> None:
        """Hang up: the protocol has no word for it."""
        self._hung_up = True
        if self._channel and not self.closed.is_set():
            await self._channel.close()
            await self.closed.wait()

    async def _send(self, kind: str, **fields: object) -> None:
        assert self._channel is not None
        await self._channel.send(json.dumps({"type": kind, **fields}))

    async def _listen(self) -> None:
        assert self._channel is not None
        while True:
            try:
                event = json.loads(await self._channel.receive())
                await self._take(event["type"], event)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise CallFailed(f"the server sent what is no Realtime event: {error!r}") from None

    async def _take(self, kind: str, event: dict[str, Any]) -> None:
        if kind in AUDIO_DELTAS:
            item = (event.get("item_id", ""), event.get("content_index", 0))
            self._playout.add(item, b64decode(event["delta"], validate=True))
            return
        if kind in AUDIO_DONE:
            self._playout.end()
        elif kind == "session.created":
            await self._send("session.update", session=SESSION)
        elif kind == "session.updated":
            self.connected.set()
        elif kind == "input_audio_buffer.speech_started":
            await self._fall_silent()
        elif kind == "error" and event["error"].get("event_id") not in self._truncations:
            raise CallFailed(f"the server sent an error: {_reason(event['error'])}")
        self._receive_event(event)

    async def _fall_silent(self) -> None:
        cut = self._playout.cut()
        if cut is None:
            return
        (item_id, content_index), seconds = cut
        if not item_id:
            return  # a server that names no items keeps no account of them
        # Its answer may be an error, when the audio was shorter than the whole frames played.
        name = f"truncate_{len(self._truncations)}"
        self._truncations.add(name)
        await self._send(
            "conversation.item.truncate",
            event_id=name,
            item_id=item_id,
            content_index=content_index,
            audio_end_ms=round(1000 * seconds),
        )

    async def _speak(self) -> None:
        """Every 20 ms: a frame from the microphone, a frame to the loudspeaker."""
        await self.connected.wait()
        began = self._loop.time()
        tick = 0
        while True:
            await asyncio.sleep(began + tick * FRAME_SECONDS - self._loop.time())
            said = b64encode(self._pull().astype("<i2").tobytes()).decode()
            await self._send("input_audio_buffer.append", audio=said)
            self._receive(self._playout.next())
            tick += 1


Item = tuple[str, int]
"""An answer's id, and the place of its audio in the answer."""


class Playout:
    """What came of the answers and was not played yet, in frames of 20 ms.

    `add` what comes and `end` an answer; `next` is what is to be played now.
    """

    def __init__(self) -> None:
        self._frames: deque[tuple[Item, Samples]] = deque()
        self._coming: Item | None = None  # the answer that has not ended
        self._rest = b""  # of it, that is no whole frame yet
        self._playing: Item | None = None
        self._played = 0  # frames of it
        self._cut: set[Item] = set()

    def add(self, item: Item, pcm: bytes) -> None:
        """Some of an answer, of any length, PCM16 at RATE Hz."""
        if item in self._cut:
            return  # it was on its way when the answer was cut
        if item != self._coming:
            self.end()
            self._coming = item
        pcm = self._rest + pcm
        size = 2 * frame_length(RATE)
        whole = len(pcm) // size * size
        for at in range(0, whole, size):
            self._frames.append((item, np.frombuffer(pcm, "<i2", size // 2, at)))
        self._rest = pcm[whole:]

    def end(self) -> None:
        """No more will come of the answer: what is left of it is a frame, too."""
        if self._coming is not None and len(self._rest) > 1:
            frame = silence(frame_length(RATE))
            left = np.frombuffer(self._rest, "<i2", len(self._rest) // 2)
            frame[: len(left)] = left
            self._frames.append((self._coming, frame))
        self._coming = None
        self._rest = b""

    def next(self) -> Samples:
        """20 ms to play, silence where there is nothing."""
        if not self._frames:
            return silence(frame_length(RATE))
        item, samples = self._frames.popleft()
        if item != self._playing:
            self._playing, self._played = item, 0
        self._played += 1
        return samples

    def cut(self) -> tuple[Item, float] | None:
        """Forget what was not played. The answer that it was of, and the seconds of it that were
        played; None if every answer was played to its end.
        """
        left = [item for item, _ in self._frames]
        if self._coming is not None:
            left.append(self._coming)
        self._frames.clear()
        self._coming = None
        self._rest = b""
        if not left:
            return None
        self._cut.update(left)
        first = left[0]
        return first, self._played * FRAME_SECONDS if first == self._playing else 0.0


async def _dial(http: aiohttp.ClientSession, url: str) -> WebSocketChannel:
    key = os.environ.get(KEY)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    shown = url.partition("?")[0]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            ws = await http.ws_connect(
                _endpoint(url),
                headers=headers,
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
            )
    except aiohttp.WSServerHandshakeError as error:
        # Of this error only the status: it knows the request's headers, and so the key.
        raise CallFailed(f"{shown} refused the call with HTTP {error.status}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CallFailed(f"{shown}: {str(error) or 'no answer in time'}") from None
    return WebSocketChannel(ws)


def _endpoint(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts if parts.path.strip("/") else parts._replace(path=PATH))


async def _connected(peer: RealtimeLine, running: asyncio.Task[None]) -> None:
    waiting = asyncio.create_task(peer.connected.wait())
    try:
        await asyncio.wait(
            (waiting, running), timeout=CONNECT_TIMEOUT, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
    if not peer.connected.is_set() and not running.done():
        raise CallFailed(f"the server did not accept the session within {CONNECT_TIMEOUT:g} s")
    if running.done():
        running.result()


def _reason(error: Any) -> str:
    return str(error.get("message") or error.get("code") or error)
