"""The voice of a call, sent: when each frame goes out, and with which RTP timestamp.

An answer waits in the playout buffer and is paced here: deadlines are absolute, 20 ms apart, so a
tick that comes late is followed by one that is on time. After a stall of more than a tick the
missed ones are skipped, in RTP time too; none is caught up. A live stream paces itself, and each of
its frames goes out the moment it is due.

When there is nothing to say nothing is sent, but for a packet now and then by which the caller
knows that we are there. Speech that comes then does not wait for the next tick of an old clock: it
goes out at once, and its timestamp has moved on by as much as time has.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from media.frames import FRAME_SECONDS, Samples, frame_length, silence
from signaling.opus import OpusEncoder
from signaling.opus_sdp import OpusWishes
from signaling.rtp_sender import RemoteReport
from signaling.transport import MediaReport

CLOCK_RATE = 48_000  # of Opus RTP timestamps (RFC 7587)
REST_SECONDS = 0.2
"""Between two packets of silence. The page gives up a path that brings nothing for 0.8 s."""
LIVE_GAP = 0.1  # seconds without a frame after which a live stream was not late, but silent
REPORT_SECONDS = 1.0  # between two looks at what the far end reports, about as often
LOSS_DECAY = 0.8  # from one look to the next
MAX_EXPECTED_LOSS = 30  # percent: for more the encoder would leave no bits to the voice itself
EARLY = 0.0005  # seconds
DTX_BYTES = 2  # so long is a packet that says no more than that there is silence

_FRAME_TICKS = round(FRAME_SECONDS * CLOCK_RATE)


class Speaker(Protocol):
    """What a call has to say: a part of `signaling.transport.Call`."""

    output_rate: int
    on_due: Callable[[], object]

    @property
    def live(self) -> bool: ...
    @property
    def due(self) -> float | None: ...
    def pull(self) -> Samples: ...


Send = Callable[[bytes, int, bool], object]
"""Takes an Opus packet, its timestamp, counted from 0, and whether speech begins with it."""


class VoiceSender:
    """Pulls the frames of `call` from `start` to `close` and sends each as a packet.

    `wishes` are the caller's: without `dtx`, silence is sent too. `remote_report` gives what the
    far end last said of the packets it got: while it misses some, they carry error correction.
    """

    def __init__(
        self,
        call: Speaker,
        encoder: OpusEncoder,
        send: Send,
        remote_report: Callable[[], RemoteReport | None] = lambda: None,
        wishes: OpusWishes = OpusWishes(),  # noqa: B008 - frozen
    ) -> None:
        self._call = call
        self._encoder = encoder
        self._send = send
        self._remote_report = remote_report
        self._wishes = wishes
        self._loop = asyncio.get_running_loop()
        self._frames: list[Samples] = []  # of the packet that is being filled
        self._timestamp = 0  # of the next frame
        self._slot = 0.0  # when the next frame follows the one before it without a gap
        self._resting = True  # nothing was due when it was last looked at
        self._rested = False  # a packet of silence was sent in the meantime
        self._silent = False  # the packets before were of silence
        self._looking = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._expected_loss = 0.0
        self._next_report = 0.0
        self._sent = 0
        self._skipped = 0

    def start(self) -> None:
        self._slot = self._loop.time()
        self._next_report = self._slot + REPORT_SECONDS
        self._call.on_due = self.look
        self.look()

    def close(self) -> None:
        """Send no more. Harmless when already done."""
        self._closed = True
        self._call.on_due = lambda: None
        self._disarm()

    def report(self, heard: MediaReport) -> MediaReport:
        """With what became of the voice sent."""
        remote = self._remote_report()
        return replace(
            heard,
            sent=self._sent,
            skipped=self._skipped,
            remote_loss=remote.fraction_lost if remote else None,
            round_trip=remote.round_trip if remote else None,
        )

    def look(self) -> None:
        """Send what is due, and see to it that this is called again when something will be."""
        if self._looking or self._closed:
            return
        if self._timer and self._resting and self._call.due is None:
            return  # as it is with every frame that comes in while nothing is said
        self._looking = True
        try:
            now = self._loop.time()
            # Half a millisecond early is on time: uvloop's timers know no less.
            while (at := self._next()) is not None and at <= now + EARLY:
                self._say(now)
            if at is None:
                at = self._rest(now)
            if not self._closed:
                self._disarm()
                self._timer = self._loop.call_at(at, self._wake)
        finally:
            self._looking = False

    def _wake(self) -> None:
        self._timer = None
        self.look()

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> float | None:
        """When the next frame is to be sent."""
        due = self._call.due
        if due is None or (self._call.live and not self._rested):
            return due
        return max(due, self._slot)

    def _say(self, now: float) -> None:
        late = now - self._slot
        if self._call.live:
            # Jitter is the far end's to even out: its clock, and not ours, is that of the stream.
            if late > (0 if self._rested else LIVE_GAP):
                self._move_on(late)
            self._slot = now
        elif self._resting and late > 0:
            self._move_on(late)
            self._slot = now
        elif late > FRAME_SECONDS:
            missed = int(late / FRAME_SECONDS)
            self._skipped += missed
            self._move_on(missed * FRAME_SECONDS)
            self._slot += missed * FRAME_SECONDS
        self._resting = self._rested = False
        self._slot += FRAME_SECONDS
        self._timestamp += _FRAME_TICKS
        self._frames.append(self._call.pull())
        if len(self._frames) == self._wishes.packet_frames:
            self._flush()

    def _rest(self, now: float) -> float:
        """Nothing is due: send silence when it is time for that. When to look again."""
        self._resting = True
        if self._frames:
            self._flush()
        if now < (at := self._slot + self._pause()):
            return at
        late = now - self._slot
        if late > (0 if self._wishes.dtx else FRAME_SECONDS):
            self._move_on(late)
            self._slot = now
        self._slot += FRAME_SECONDS
        self._timestamp += _FRAME_TICKS
        self._frames.append(silence(frame_length(self._call.output_rate)))
        self._flush(resting=True)
        self._rested = True
        return self._slot + self._pause()

    def _pause(self) -> float:
        """How long nothing is sent; not before the far end knows that there is silence."""
        if self._silent and self._wishes.dtx:
            return REST_SECONDS - FRAME_SECONDS
        return LIVE_GAP if self._call.live and not self._rested else 0.0

    def _move_on(self, seconds: float) -> None:
        if self._frames:
            self._flush()
        self._timestamp += round(seconds * CLOCK_RATE)

    def _flush(self, resting: bool = False) -> None:
        frames, self._frames = self._frames, []
        begin = self._timestamp - len(frames) * _FRAME_TICKS
        payload = self._encoder.encode(np.concatenate(frames) if len(frames) > 1 else frames[0])
        silent = len(payload) <= DTX_BYTES
        # The first packet of silence tells the far end that no more are lost, but not sent.
        if resting or not (self._wishes.dtx and silent and self._silent):
            self._sent += 1
            self._send(payload, begin, self._silent and not silent and not resting)
            if self._wishes.fec and self._loop.time() >= self._next_report:
                self._next_report += REPORT_SECONDS
                self._follow_loss()
        self._silent = silent or (resting and self._silent)  # now and then a long one says so too

    def _follow_loss(self) -> None:
        if remote := self._remote_report():
            before = _percent(self._expected_loss)
            kept = LOSS_DECAY * self._expected_loss  # what was lost may be lost again
            self._expected_loss = max(remote.fraction_lost, kept)
            if (percent := _percent(self._expected_loss)) != before:
                self._encoder.expect_loss(percent)


def _percent(loss: float) -> int:
    """For the encoder; a loss so rare that it is not worth the bits is none."""
    return min(MAX_EXPECTED_LOSS, round(100 * loss))
