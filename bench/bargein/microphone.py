"""The caller's microphone: the caller, the loudspeaker's echo, and the noise of the room."""

import asyncio
from dataclasses import replace

import numpy as np

from bench.bargein.acoustics import EchoRoom
from bench.bargein.plan import Plan
from bench.bargein.sounds import active_level
from bench.caller import RATE, Ear
from media.frames import FRAME_SECONDS, Samples, frame_length

MAX_SLIP = 0.06  # seconds between two clocks of 20 ms before one of them has skipped
SILENT = -100.0  # dBFS, of an echo that was not heard yet


class Microphone:
    """Is the `mix` of a mouth. While `noisy` is set the noise sounds; `muted`, it hears nothing.

    The echo is that of what the ear hears at the time, as it hears it: what came early and waits is
    not played yet. What sounds within a frame is known at its end, so an echo is a frame late; the
    room's delay is shorter by as much.
    """

    def __init__(self, ear: Ear, plan: Plan) -> None:
        self.noisy = self.muted = False
        self._clock = asyncio.get_running_loop().time
        self._ear = ear
        self._room = (
            EchoRoom(
                replace(plan.echo, delay=max(0.0, plan.echo.delay - FRAME_SECONDS)), RATE, plan.seed
            )
            if plan.echo
            else None
        )
        self._noise, self._noise_at = plan.noise, plan.noise_at
        self._noise_gain = np.float32(32768 * 10 ** (plan.noise_level / 20))
        self._cursor = self._clock() - 2 * FRAME_SECONDS
        self._echoes: list[Samples] = []
        self._heard: list[tuple[float, Samples]] = []

    def mix(self, spoken: Samples) -> Samples:
        now = self._clock()
        mixed = spoken.astype(np.float32)
        if self._room:
            echo = self._room.process(self._played(now))
            if echo.any():
                self._echoes.append(echo)
            mixed += echo
        if self._noise is not None and self.noisy:
            index = self._noise_at + np.arange(len(spoken))
            mixed += self._noise_gain * self._noise[index % len(self._noise)]
            self._noise_at += len(spoken)
        heard = np.clip(np.round(mixed * (not self.muted)), -32768, 32767).astype(np.int16)
        self._heard.append((now - FRAME_SECONDS, heard))
        return heard

    @property
    def echo_level(self) -> float:
        """RMS in dBFS of the echo so far, where there was one."""
        return active_level(np.concatenate(self._echoes)) if self._echoes else SILENT

    def recording(self, began: float) -> Samples:
        """All that it heard, as a recording that begins at this time of the loop."""
        if not self._heard:
            return np.zeros(0, dtype=np.int16)
        length = round((self._heard[-1][0] - began) * RATE) + frame_length(RATE)
        out = np.zeros(max(0, length), dtype=np.int16)
        for start, samples in self._heard:
            at = round((start - began) * RATE)
            if at >= 0:
                out[at : at + len(samples)] = samples[: len(out) - at]
        return out

    def _played(self, now: float) -> Samples:
        """The next 20 ms of the ear's: pulls come a little early or late, sound does not."""
        due = now - 2 * FRAME_SECONDS
        if abs(self._cursor - due) > MAX_SLIP:
            self._cursor = due
        begin, self._cursor = self._cursor, self._cursor + FRAME_SECONDS
        return self._ear.between(begin, self._cursor)
