"""What was played, on the time axis of the microphone's samples.

A loudspeaker and a microphone of one device share a clock: within an answer the echo of a sample is
always as many samples behind it. So the axis counts the microphone's samples, an answer is laid on
it where the clock says, and from there on its frames follow each other without a gap.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from media.frames import Samples, frame_length
from media.resample import FrameResampler

KEPT_SECONDS = 4.0
TOLERANCE = 0.03
"""Seconds by which a frame may be late and still follow the one before it: the far end's buffer
bridges that. After more than a tick the sender skips what it missed."""
MAX_LEAD = 1.0  # seconds that a sender may be ahead of the clock
CREEP = 5e-6  # seconds a frame: 250 ppm, more than clocks drift apart
PEAKS = 64  # frames of which the loudness is remembered
REGAUGE_FRAMES = 50  # after so many that all came late, the microphone's stream has a gap
REGAUGE_SECONDS = 0.05

Wave = NDArray[np.float32]
"""Mono sound, full scale is 1."""


class EchoReference:
    """The last seconds of what was played, at the microphone's rate."""

    def __init__(self, input_rate: int, output_rate: int) -> None:
        self.rate = input_rate
        self.count = 0  # samples of the microphone so far
        self.end = 0  # the sample after the last one played
        self.sounded = -(10**9)  # the end of the last frame that was not silent
        self.placed = 0  # where the frame began that did not follow the one before it
        self._peaks: deque[tuple[int, float]] = deque(maxlen=PEAKS)  # where a frame ended, its peak
        self._resampler = FrameResampler(output_rate, input_rate)
        self._size = round(KEPT_SECONDS * input_rate)
        self._ring: Wave = np.zeros(self._size, dtype=np.float32)
        self._origin: float | None = None  # when the axis' sample 0 was
        self._now = 0.0
        self._late = math.inf
        self._late_frames = 0

    def receive(self, samples: int, now: float) -> None:
        """So many samples came from the microphone. A stream's earliest frames tell its clock."""
        now = self._plausible(now)
        self.count += samples
        origin = now - self.count / self.rate
        if self._origin is None or origin < self._origin:
            self._origin = origin
        self._late = min(self._late, origin)
        self._late_frames += 1
        if self._late_frames == REGAUGE_FRAMES:
            if self._late > self._origin + REGAUGE_SECONDS:
                self._origin = self._late
            self._late, self._late_frames = math.inf, 0
        self._origin += CREEP

    def play(self, samples: Samples, now: float) -> None:
        now = self._plausible(now)
        if self._origin is None:
            self._origin = now - self.count / self.rate
        at = round((now - self._origin) * self.rate)
        sound = self._resampler.process(samples).astype(np.float32) / np.float32(32768)
        lead = (self.end - at) / self.rate
        start = self.end
        if not -TOLERANCE <= lead <= MAX_LEAD:
            # The frame before it was longer ago: a new place.
            start = self.placed = at
            self._clear(self.end, at)
        self._write(start, sound[-self._size :])
        peak = float(np.abs(sound).max(initial=0.0))
        self._peaks.append((self.end, peak))
        if peak > 0:
            self.sounded = self.end

    def peak(self, start: int, end: int) -> float:
        """The loudest of the frames that end after `start` and not after `end`."""
        return max((peak for at, peak in self._peaks if start < at <= end), default=0.0)

    def peaks(self, start: int, count: int) -> Wave:
        """The peaks of `count` frames' time from `start`."""
        length = frame_length(self.rate)
        peaks: Wave = np.zeros(count, dtype=np.float32)
        for at, peak in self._peaks:
            if start < at <= start + count * length:
                peaks[(at - start - 1) // length] = peak
        return peaks

    def window(self, start: int, length: int) -> Wave:
        """The samples from `start`; zeros where nothing was played, or too long ago."""
        out: Wave = np.zeros(length, dtype=np.float32)
        first = max(start, self.end - self._size)
        last = min(start + length, self.end)
        if first < last:
            begin = first % self._size
            count = last - first
            head = min(count, self._size - begin)
            out[first - start : first - start + head] = self._ring[begin : begin + head]
            out[first - start + head : last - start] = self._ring[: count - head]
        return out

    def _plausible(self, now: float) -> float:
        """The clock as given, if it is a time and does not run backwards."""
        if math.isfinite(now) and (self._origin is None or self._now <= now < self._now + 1e6):
            self._now = now
        return self._now

    def _clear(self, start: int, end: int) -> None:
        if end - start >= self._size or end < start:
            self._ring[:] = 0
        else:
            self._write(start, np.zeros(end - start, dtype=np.float32))

    def _write(self, start: int, sound: Wave) -> None:
        begin = start % self._size
        head = min(len(sound), self._size - begin)
        self._ring[begin : begin + head] = sound[:head]
        self._ring[: len(sound) - head] = sound[head:]
        self.end = start + len(sound)
