"""A call over a WebSocket or TCP: packets of audio and texts in one ordered stream.

Such a stream is never lossy but may be late. So the server keeps only a small lead over what the
client plays, and when the connection takes no more it stops pulling: the answer waits in the
playout buffer, where it can still be thrown away, and goes on where it stopped.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from media.events import Event, ReplyEnded, ReplyPaused
from media.frames import FRAME_SECONDS
from signaling.channel import Channel, ChannelClosed
from signaling.codec import PacketDecoder, make_encoder
from signaling.limits import Budget
from signaling.messages import (
    Hello,
    MessageError,
    Ping,
    Played,
    decode_message,
    encode_error,
    encode_event,
    encode_flush,
    encode_pong,
)
from signaling.opus import OpusError
from signaling.packets import Kind, Packet, PacketError, decode_packet, encode_packet
from signaling.presence import Presence
from signaling.transport import EVENT, Call, MediaReport

MAX_UNSENT_TEXTS = 1024
MAX_AHEAD = 100  # frames between what was sent and what the client says it plays
TRAILING_FRAMES = 2  # of silence after a sound, for what is still in an encoder or a resampler
_SAID_SO = TRAILING_FRAMES + 2
LAST_WORDS_SECONDS = 1.0  # for the events that are unsent at the end
LIVE_GAP = 0.1  # seconds without a frame after which a live stream is said to be silent
AUDIO_BURST = 10.0  # seconds of audio that a client may send faster than it can be spoken
MESSAGE_RATE = 250.0  # messages a second, audio included; one who sends more is let go
MESSAGE_BURST = 1500.0  # as after a stall of the connection

NORMAL, REPLACED, NOT_UNDERSTOOD, REFUSED = 1000, 4000, 4001, 4003
TOO_MUCH, LOST, BUSY = 4008, 4010, 4013
"""Close codes, see docs/protocol.md."""


@dataclass(frozen=True)
class StreamSettings:
    """Configuration section `stream`: calls over WebSocket and TCP. Times in seconds."""

    lead: float = 0.08  # how far the audio sent is ahead of what is played
    bitrate: int = 32_000  # bit/s of the voice sent as Opus
    hello_timeout: float = 5.0  # for a client's first message
    silence_timeout: float = 5.0  # without a message the caller is gone


class StreamTransport:
    """Carries one call over a channel on which a hello was received: `run` does it all."""

    def __init__(
        self, call: Call, channel: Channel, hello: Hello, settings: StreamSettings
    ) -> None:
        self._call = call
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._encoder = make_encoder(hello.codec, call.output_rate, hello.rate, settings.bitrate)
        self._decoder = PacketDecoder(hello.codec, hello.rate, call.input_rate)
        self._audio_budget = Budget(1.0, AUDIO_BURST, self._started)
        self._message_budget = Budget(MESSAGE_RATE, MESSAGE_BURST, self._started)
        self._presence = Presence(call, settings.silence_timeout, self._lose)
        self._texts: deque[str] = deque()
        self._wake = asyncio.Event()
        self._lead = round(settings.lead / FRAME_SECONDS)
        self._ahead = 0  # frames pulled before their time, at most the lead
        self._quiet = _SAID_SO  # frames of silence in a row, up to the one that says so
        self._silent_since = 0  # the sequence from which on there is nothing to play
        self._flushed = False
        self._reports = False  # whether the client says what it has played
        self._played = 0  # by its latest report, the frame that it plays next
        self._sounding_since = 0  # the first frame after a silence
        self._slot = 0.0  # when the next frame follows the one before it
        self._lost: asyncio.Future[bool] = self._loop.create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._skipped = 0
        self._code = NORMAL
        call.events.on(EVENT, self._send_event)
        call.on_due = self._wake.set

    def report(self) -> MediaReport:
        """Skipped are frames for which the connection or the client had no room in time."""
        return MediaReport(skipped=self._skipped)

    async def run(self) -> bool:
        """Carry the call until either end closes it: True if the caller was lost, and may be back.

        False if the caller hung up or `close` was called.
        """
        self._call.start()
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        try:
            ends: list[asyncio.Future[Any]] = [self._lost, *self._tasks]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self._lost.done():
                for task in self._tasks:
                    if task.done():
                        task.result()  # a bug: it must be heard of, and the caller may come back
            return self._lost.result()
        finally:
            await self.close()

    async def close(self, replaced: bool = False) -> None:
        """End and free everything. Harmless when already done."""
        if replaced:
            self._code = REPLACED  # `run` closes too, and may be the first
        self._end(lost=False)
        self._presence.close()
        self._call.on_due = lambda: None
        self._call.events.remove_all_listeners(EVENT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(ChannelClosed, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                while self._texts:
                    await self._channel.send(self._texts.popleft())
        await self._channel.close(self._code)

    def _end(self, lost: bool) -> None:
        if not self._lost.done():
            self._lost.set_result(lost)

    def _lose(self) -> None:
        if self._code == NORMAL:
            self._code = LOST
        self._end(lost=True)

    # In

    async def _receive(self) -> None:
        try:
            while True:
                message = await self._channel.receive()
                self._presence.see()
                if not self._message_budget.take(1, self._loop.time()):
                    raise ChannelClosed(reason="too many messages")
                try:
                    if isinstance(message, str):
                        self._receive_text(message)
                    else:
                        self._receive_packet(message)
                except (MessageError, PacketError, OpusError) as error:
                    self._call.reject_message(str(error))
        except ChannelClosed as error:
            self._end(lost=not error.hung_up)

    def _receive_text(self, text: str) -> None:
        match decode_message(text):
            case Ping() as ping:
                self._say(encode_pong(ping))
            case Played(sequence=int(sequence)):
                self._receive_played(sequence)
            case Played():
                raise MessageError('here played needs "sequence": there are no RTP timestamps')
            case message:
                self._call.receive_message(message)

    def _receive_packet(self, data: bytes) -> None:
        frames = self._decoder.decode(decode_packet(data))
        self._presence.hear()
        # One who sends faster than time goes by, and goes on so, is not listened to.
        if self._audio_budget.take(len(frames) * FRAME_SECONDS, self._loop.time()):
            for samples in frames:
                self._call.receive_frame(samples)

    def _receive_played(self, sequence: int) -> None:
        self._reports = True
        self._played = sequence
        if self._quiet == _SAID_SO and sequence >= self._silent_since:
            sequence = self._call.sequence  # silence need not be waited for
        self._call.receive_played(sequence)

    # Out

    async def _send(self) -> None:
        try:
            self._slot = self._loop.time()
            while True:
                while self._texts:
                    await self._channel.send(self._texts.popleft())
                at = self._next()
                if at is not None and at <= self._loop.time():
                    await self._tick()
                else:
                    await self._wait(at)
        except ChannelClosed as error:
            self._end(lost=not error.hung_up)

    def _next(self) -> float | None:
        """When there is something to be done; None: not before something comes."""
        due = self._call.due
        if self._call.live and due is not None:
            return due
        silent = due is None and not self._ahead and self._quiet == _SAID_SO
        return None if silent else self._slot

    async def _wait(self, until: float | None) -> None:
        timer = None if until is None else self._loop.call_at(until, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        if timer:
            timer.cancel()
        else:  # what comes after silence need not wait for a tick
            self._slot = max(self._slot, self._loop.time())

    async def _tick(self) -> None:
        now, due = self._loop.time(), self._call.due
        if self._call.live:
            self._slot = now + (LIVE_GAP if due is not None else 0)
        else:
            late = int((now - self._slot) / FRAME_SECONDS)
            if late > 0:  # the connection took no more: what was to be played has been played
                self._skipped += late
                self._ahead = max(0, self._ahead - late)
            self._slot += (late + 1) * FRAME_SECONDS
        if due is not None and self._quiet < _SAID_SO and self._is_behind():
            self._skipped += 1
            if self._call.live:
                self._call.pull()  # it does not wait
        elif self._ahead and self._quiet == _SAID_SO:
            self._ahead -= 1  # in silence there is nothing to be ahead of
        elif due is None:
            await self._say_silence()
        else:
            await self._send_frame()
            while self._ahead < self._lead and self._quiet == 0 and self._can_lead():
                self._ahead += 1
                await self._send_frame()

    def _can_lead(self) -> bool:
        return not self._call.live and self._call.due is not None

    def _is_behind(self) -> bool:
        """Whether a client that reports has played too little of what sounds now.

        No report is a report too: behind a proxy the connection takes everything, and where it
        waits then nobody could throw it away.
        """
        played = max(self._played, self._sounding_since)
        return self._reports and self._call.sequence - played > MAX_AHEAD

    async def _send_frame(self) -> None:
        sequence, samples = self._call.sequence, self._call.pull()
        if not self._reports:
            self._call.receive_played(self._call.sequence - self._ahead)
        if self._flushed:
            self._flushed = False
            if not samples[len(samples) // 2 :].any():
                return  # the fade-out of what was flushed: the client has faded it out itself
        if self._quiet == _SAID_SO:
            self._sounding_since = sequence
        self._quiet = 0 if samples.any() else min(self._quiet + 1, _SAID_SO)
        if self._quiet <= TRAILING_FRAMES:
            await self._send_packet(self._encoder.kind, sequence, self._encoder.encode(samples))
        elif self._quiet < _SAID_SO:
            await self._say_silence(sequence)

    async def _say_silence(self, since: int | None = None) -> None:
        self._quiet = _SAID_SO
        self._silent_since = self._call.sequence if since is None else since
        await self._send_packet(Kind.SILENCE, self._silent_since, b"")

    async def _send_packet(self, kind: Kind, sequence: int, payload: bytes) -> None:
        timestamp = round(1000 * (self._loop.time() - self._started))
        await self._channel.send(encode_packet(Packet(kind, sequence, timestamp, payload)))

    def _send_event(self, event: Event, seq: int) -> None:
        if isinstance(event, ReplyPaused) or (isinstance(event, ReplyEnded) and event.interrupted):
            self._flush()
        self._say(encode_event(event, seq))

    def _flush(self) -> None:
        self._flushed = self._quiet == 0
        self._quiet = _SAID_SO
        self._silent_since = self._call.sequence
        self._ahead = 0
        self._say(encode_flush(self._call.sequence))

    def _say(self, text: str) -> None:
        self._texts.append(text)
        self._wake.set()
        if len(self._texts) > MAX_UNSENT_TEXTS:
            self._lose()


async def refuse(
    channel: Channel, code: int, error: str, message: str, retry_after: int | None = None
) -> None:
    """Say why there is no call over this channel, and close it."""
    with suppress(ChannelClosed, TimeoutError):
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await channel.send(encode_error(error, message, retry_after))
    await channel.close(code, error)
