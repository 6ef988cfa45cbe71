"""Calls that measure how late they are answered."""

import asyncio
from collections import deque
from collections.abc import Sequence

import numpy as np

from bench.audio import AUDIBLE, WINDOW_SECONDS, loudness
from bench.caller import RATE
from bench.loops import Loop
from bench.markers import find
from bench.packet_call import PacketCall
from media.frames import FRAME_SECONDS, Samples
from signaling.receiver import OpusReceiver

PATIENCE = 3.5  # seconds until a mark is taken for lost: before its like is said again

Frames = Sequence[tuple[float, Samples]]
"""When each frame was heard, and the frame."""


class Probe(PacketCall):
    """Decodes what it hears. A sample is heard when its packet has come, at its place in it."""

    def __init__(self, loop: Loop, transport: str) -> None:
        super().__init__(loop.packets(transport))
        self._marks: dict[int, list[tuple[int, float]]] = {}
        for number, mark in enumerate(loop.marks):
            frame = int(mark / FRAME_SECONDS)
            self._marks.setdefault(frame, []).append((number, mark - frame * FRAME_SECONDS))
        self._said: deque[tuple[int, float]] = deque()  # numbers of marks, and when
        self._frames: deque[tuple[float, Samples]] = deque()
        self.first_audible: float | None = None  # when it was heard
        self._receiver = OpusReceiver(RATE, self._listen) if transport == "webrtc" else None

    def said(self, index: int, at: float) -> None:
        for number, offset in self._marks.get(index, ()):
            self._said.append((number, at + offset))

    def heard(self, sequence: int, timestamp: int, payload: bytes) -> None:
        if self._receiver:
            self._receiver.receive(sequence, timestamp, payload)
        else:
            self._listen(np.frombuffer(payload, "<i2").astype(np.int16))

    def _listen(self, samples: Samples) -> None:
        now = self.clock()
        self._frames.append((now, samples))
        if self.first_audible is None:
            audible = np.flatnonzero(loudness(samples, RATE) >= AUDIBLE)
            if len(audible):
                self.first_audible = now + float(audible[0]) * WINDOW_SECONDS

    async def take(self) -> list[tuple[float, float | None]]:
        """When each mark was said whose time is up, and how many ms later it was heard, if ever."""
        due = []
        while self._said and self._said[0][1] + PATIENCE < self.clock():
            number, at = self._said.popleft()
            while len(self._frames) > 1 and self._frames[1][0] < at:
                self._frames.popleft()
            due.append((number, at, [frame for frame in self._frames if frame[0] <= at + PATIENCE]))
        # The search takes milliseconds, in which the packets of other calls would seem late.
        return await asyncio.to_thread(lambda: [self._found(*mark) for mark in due])

    def _found(self, number: int, at: float, frames: Frames) -> tuple[float, float | None]:
        heard = self.search(number, at, frames)
        return at, None if heard is None else round(1000 * (heard - at), 2)

    def search(self, number: int, at: float, frames: Frames) -> float | None:
        """When the mark of this number, said then, was heard in these frames."""
        raise NotImplementedError


class MarkerProbe(Probe):
    """Says markers and hears them come back."""

    def search(self, number: int, at: float, frames: Frames) -> float | None:
        if not frames:
            return None
        place = find(np.concatenate([samples for _, samples in frames]), number)
        if place is None:
            return None
        ends = np.cumsum([len(samples) for _, samples in frames])
        index = int(np.searchsorted(ends, place, side="right"))
        heard, samples = frames[index]
        return heard + (place - (int(ends[index]) - len(samples))) / RATE


class TalkProbe(Probe):
    """Says utterances; each is over at its mark, and the answer begins with the next sound."""

    def search(self, number: int, at: float, frames: Frames) -> float | None:
        for heard, samples in frames:
            for window in np.flatnonzero(loudness(samples, RATE) >= AUDIBLE):
                sounded = heard + float(window) * WINDOW_SECONDS
                if sounded > at:
                    return sounded
        return None
