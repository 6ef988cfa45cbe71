"""A call with a full-duplex engine: it hears every frame and decides itself when to speak.

Driven exactly like `Conversation`, but there are no turns to take: all is turn 0. And its sound is
live: a frame is due the moment it came. Of a piece longer than a frame the later ones follow a
little faster than they are spoken, so that a piece that came late is made up for, and no delay
stays.
"""

from collections import deque

from media.actions import Action, CancelTurn, Listen, Notify, StartTurn
from media.events import Failure, ReplyText, UserTranscript
from media.frames import AudioFrame, Samples, frame_length
from media.playout import PlayoutBuffer

BACKLOG_SECONDS = 0.2
"""Audio that waits longer than this is late; a live stream drops it."""

PACE = 0.9
"""Of the time that it takes to speak a piece, so much is taken to send it."""

RESTART_SECONDS = 1.0
"""Of the caller's frames, before an engine that stopped is asked again: it may be starting too."""


class Duplex:
    """One full-duplex call; `pull` gives 20 ms at `output_rate`."""

    timeout: float | None = None
    turn = 0
    live = True

    def __init__(self, *, output_rate: int) -> None:
        self._playout = PlayoutBuffer(output_rate, kept_seconds=0)  # live: nothing is heard again
        self._pieces: deque[tuple[float, int, int]] = deque()  # when each came, its start and end
        self._closed = False
        self._stopped: float | None = None  # seconds of frames since the engine's stream stopped
        self._actions: list[Action] = [StartTurn(0)]

    @property
    def due(self) -> float | None:
        """From when on a frame can be pulled, on the clock of `now`; None while there is none."""
        playout, length = self._playout, frame_length(self._playout.rate)
        if playout.fading:
            return 0.0
        while self._pieces and self._pieces[0][2] < playout.position + length:
            self._pieces.popleft()
        if not self._pieces:
            return None
        came, start, _ = self._pieces[0]
        return came + PACE * max(0, playout.position - start) / playout.rate

    @property
    def underruns(self) -> int:
        return self._playout.underruns

    @property
    def unheard(self) -> int:
        """Of the frames before it, how many the caller's side has still to play."""
        return self._playout.unheard

    @property
    def sequence(self) -> int:
        """The number of the frame that `pull` gives next."""
        return self._playout.sequence

    def actions(self) -> list[Action]:
        """What to do now, in order. Each is returned once."""
        actions, self._actions = self._actions, []
        return actions

    def receive_frame(self, frame: AudioFrame, now: float) -> None:
        if self._closed:
            return
        self._actions.append(Listen(0, frame))
        if self._stopped is not None:
            self._stopped += frame.seconds
            if self._stopped >= RESTART_SECONDS - 1e-6:
                self._stopped = None
                self._actions.append(StartTurn(0))

    def receive_transcript(
        self, turn: int, text: str, final: bool, complete: bool | None = None
    ) -> None:
        if not self._closed:
            self._actions.append(Notify(UserTranscript(turn, text, final)))

    def receive_speech(
        self,
        turn: int,
        samples: Samples,
        rate: int,
        text: str,
        now: float,
        allow_interruptions: bool = True,
    ) -> None:
        if self._closed:
            return
        start = self._playout.pushed
        self._playout.push(samples, rate)
        self._pieces.append((now, start, self._playout.pushed))
        self._playout.trim(BACKLOG_SECONDS)
        if text:
            self._actions.append(Notify(ReplyText(turn, text)))

    def receive_end(self, turn: int) -> None:
        """The engine left its stream: begin another, but not in a loop that never waits."""
        self._stopped = 0.0

    def fail_reply(self, turn: int, message: str) -> None:
        if not self._closed:
            self._actions.append(Notify(Failure("engine_failed", message)))
            self._stopped = 0.0

    def interrupt(self) -> None:
        self._playout.flush()
        self._playout.reset()
        self._pieces.clear()

    def say(self, text: str, allow_interruptions: bool) -> None:
        message = "a full-duplex engine says what it will, and not a given text"
        self._actions.append(Notify(Failure("cannot_say", message)))

    def handle_timeout(self, now: float) -> None:
        """There are no timeouts."""

    def pull(self, now: float) -> Samples:
        return self._playout.pull()

    def receive_played(self, sequence: int, now: float) -> None:
        self._playout.receive_played(sequence)

    def rewind(self, sequence: int) -> None:
        """A live stream is not heard again: what was lost on its way is gone."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._playout.flush()
            self._actions.append(CancelTurn(0, self._playout.played, ""))
