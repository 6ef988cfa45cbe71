"""A caller from outside: a mouth that plays recordings, an ear that notes when it hears what.

Times are those of a real caller. A sample leaves the mouth before the packet that holds it is
complete, so packetisation counts; a frame is heard from the moment it arrives, or after the one
before it, whichever is later.
"""

import asyncio
import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from bench.audio import AUDIBLE, WINDOW_SECONDS, loudness
from bench.dial import CallFailed as CallFailed
from bench.dial import StreamPeer, addresses, offer_line, stream_line
from bench.relay import Relay
from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from signaling.caller import WebRtcCaller
from signaling.stream_caller import StreamCaller

RATE = 24_000
MAX_EAR_LAG = 0.06  # seconds an ear may lie behind arrivals before it skips


class Mouth:
    """Says what it is given, 20 ms at a time, and silence in between."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._frames: deque[Samples] = deque()
        self._queued = 0
        self._began: float | None = None
        self.quiet = asyncio.Event()
        self.quiet.set()
        self.mix: Callable[[Samples], Samples] = lambda spoken: spoken
        """What the microphone hears when this is spoken, 20 ms: also what else is in the room."""

    def say(self, samples: Samples) -> None:
        """Begin to say this now."""
        length = frame_length(RATE)
        padded = np.concatenate((samples, silence(-len(samples) % length)))
        self._frames.extend(padded.reshape(-1, length))
        self._began = None
        self.quiet.clear()

    @property
    def began(self) -> float:
        """When the first sample of what is said left the mouth, in loop time."""
        assert self._began is not None, "nothing was said yet"
        return self._began

    def pull(self) -> Samples:
        return self.mix(self._next())

    def _next(self) -> Samples:
        if not self._frames:
            self.quiet.set()
            return silence(frame_length(RATE))
        if self._began is None:
            self._began = self._clock() - FRAME_SECONDS
        return self._frames.popleft()


class Ear:
    """Hears frames as they arrive and remembers when each was heard."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self.began = self._clock()
        self._end = self.began
        self._frames: list[tuple[float, Samples]] = []
        self._audible: list[float] = []  # when each audible window began, in order

    def receive(self, samples: Samples) -> None:
        now = self._clock()
        start = now if self._end < now or self._end > now + MAX_EAR_LAG else self._end
        self._end = start + len(samples) / RATE
        self._frames.append((start, samples))
        for index in np.flatnonzero(loudness(samples, RATE) >= AUDIBLE):
            at = start + float(index) * WINDOW_SECONDS
            # An ear that skipped hears some of it again; its memory stays in order.
            self._audible.append(max(at, self._audible[-1]) if self._audible else at)

    def first_audible(self, since: float) -> float | None:
        """When the first sound after `since` began, in loop time."""
        index = bisect_left(self._audible, since)
        return self._audible[index] if index < len(self._audible) else None

    def last_audible(self, since: float, until: float = math.inf) -> float | None:
        """When the last sound between the two ended; None if there was none."""
        index = bisect_right(self._audible, until - WINDOW_SECONDS)
        end = self._audible[index - 1] + WINDOW_SECONDS if index else since
        return end if end > since else None

    def between(self, begin: float, end: float) -> Samples:
        """What was heard from `begin` to `end`, in loop time."""
        out = silence(round((end - begin) * RATE))
        for start, samples in reversed(self._frames):
            at = round((start - begin) * RATE)
            if at + len(samples) <= 0:
                break
            if at < len(out):
                out[max(0, at) : at + len(samples)] = samples[max(0, -at) : len(out) - at]
        return out

    def recording(self) -> Samples:
        """All that was heard, as a recording that begins with the call."""
        length = round((self._end - self.began) * RATE) + 1
        out = silence(max(0, length))
        for start, samples in self._frames:
            at = round((start - self.began) * RATE)
            out[at : at + len(samples)] = samples[: max(0, len(out) - at)]
        return out


class Caller:
    """A call that is up: `mouth`, `ear`, and the `events` so far, with the time each came."""

    def __init__(
        self,
        url: str,
        transport: str = "webrtc",
        make_peer: "Callable[[Caller], StreamPeer] | None" = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.mouth = Mouth()
        self.ear = Ear()
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.setup_seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.peer: WebRtcCaller | StreamPeer = (
            make_peer(self)
            if make_peer
            else WebRtcCaller(
                rate=RATE,
                pull=self.mouth.pull,
                receive=self.hear,
                receive_event=self.receive_event,
                addresses=addresses(self.url),
            )
            if transport == "webrtc"
            else StreamCaller(
                rate=RATE,
                pull=self.mouth.pull,
                receive=self.hear,
                receive_event=self.receive_event,
            )
        )

    def events_since(self, since: float) -> list[tuple[float, dict[str, Any]]]:
        """The events that came at or after `since`, and when."""
        return self.events[bisect_left(self.events, since, key=lambda event: event[0]) :]

    async def until(self, condition: Any, timeout: float, what: str) -> Any:  # noqa: ASYNC109
        """Wait until `condition()` is true, looked at with every frame and event.

        Raises CallFailed, saying `what` did not come, when it is not so in time.
        """
        deadline = self._loop.time() + timeout
        while not (result := condition()):
            if self.peer.closed.is_set():
                raise CallFailed("the server ended the call")
            left = deadline - self._loop.time()
            if left <= 0:
                raise CallFailed(f"{what} within {timeout:g} s")
            self._changed.clear()
            try:
                async with asyncio.timeout(min(left, 0.1)):
                    await self._changed.wait()
            except TimeoutError:
                pass
        return result

    def hear(self, samples: Samples) -> None:
        """The peer's: 20 ms of the answer came."""
        self.ear.receive(samples)
        self._changed.set()

    def receive_event(self, event: dict[str, Any]) -> None:
        """The peer's: the server said this."""
        self.events.append((self._loop.time(), event))
        self._changed.set()


@asynccontextmanager
async def connect(
    url: str, transport: str = "webrtc", relay: Relay | None = None
) -> AsyncIterator[Caller]:
    """Call the server at `url` over one of TRANSPORTS; hangs up at the end. Raises CallFailed.

    A relay impairs a call over WebRTC.
    """
    caller = Caller(url, transport)
    began = asyncio.get_running_loop().time()
    async with (
        offer_line(caller.url, caller.peer, relay)
        if isinstance(caller.peer, WebRtcCaller)
        else stream_line(caller.url, transport, caller.peer)
    ):
        caller.setup_seconds = asyncio.get_running_loop().time() - began
        yield caller
