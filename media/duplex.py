"""A call with a full-duplex engine: it hears every frame and decides itself when to speak.

Driven exactly like `Conversation`, but there are no turns to take: all is turn 0.
"""

from media.conversation import Action, CancelTurn, Listen, Notify, StartTurn
from media.events import Failure, ReplyText, UserTranscript
from media.frames import AudioFrame, Samples
from media.playout import PlayoutBuffer

BACKLOG_SECONDS = 0.2
"""Audio that waits longer than this is late; a live stream drops it."""

RESTART_SECONDS = 1.0
"""Of the caller's frames, before an engine that stopped is asked again: it may be starting too."""


class Duplex:
    """One full-duplex call; `pull` gives 20 ms at `output_rate`."""

    timeout: float | None = None
    turn = 0

    def __init__(self, *, output_rate: int) -> None:
        self._playout = PlayoutBuffer(output_rate)
        self._closed = False
        self._stopped: float | None = None  # seconds of frames since the engine's stream stopped
        self._actions: list[Action] = [StartTurn(0)]

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

    def receive_speech(self, turn: int, samples: Samples, rate: int, text: str, now: float) -> None:
        if self._closed:
            return
        self._playout.push(samples, rate)
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

    def handle_timeout(self, now: float) -> None:
        """There are no timeouts."""

    def pull(self) -> Samples:
        return self._playout.pull()

    def receive_played(self, sequence: int) -> None:
        self._playout.receive_played(sequence)

    def rewind(self, sequence: int) -> None:
        """A live stream is not heard again: what was lost on its way is gone."""

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._playout.flush()
            self._actions.append(CancelTurn(0, self._playout.played, ""))
