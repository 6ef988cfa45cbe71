"""Who decides whose turn it is: the conversation, or a full-duplex engine itself."""

from dataclasses import dataclass
from typing import Protocol

from inference.protocol import EngineInfo
from media.actions import Action
from media.conversation import Conversation
from media.duplex import Duplex
from media.endpointing import EndpointingSettings
from media.frames import AudioFrame, Samples
from media.interruption import InterruptionSettings
from media.phrases import Phrases
from media.smart_turn import TurnModel
from media.vad import VadSettings


@dataclass(frozen=True, slots=True)
class TurnTaking:
    """What decides who has the turn; see `Conversation`."""

    vad: VadSettings
    endpointing: EndpointingSettings
    interruption: InterruptionSettings
    phrases: Phrases
    turn_model: TurnModel | None = None


class Dialogue(Protocol):
    """What `Conversation` (turns) and `Duplex` (a full-duplex engine) have in common."""

    @property
    def turn(self) -> int: ...
    @property
    def live(self) -> bool: ...
    @property
    def due(self) -> float | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def underruns(self) -> int: ...

    def actions(self) -> list[Action]: ...
    def receive_frame(self, frame: AudioFrame, now: float) -> None: ...
    def receive_transcript(
        self, turn: int, text: str, final: bool, complete: bool | None = None
    ) -> None: ...
    def receive_speech(
        self,
        turn: int,
        samples: Samples,
        rate: int,
        text: str,
        now: float,
        allow_interruptions: bool = True,
    ) -> None: ...
    def receive_end(self, turn: int) -> None: ...
    def fail_reply(self, turn: int, message: str) -> None: ...
    def interrupt(self) -> None: ...
    def say(self, text: str, allow_interruptions: bool) -> None: ...
    def handle_timeout(self, now: float) -> None: ...
    def pull(self, now: float) -> Samples: ...
    @property
    def sequence(self) -> int: ...
    @property
    def unheard(self) -> int: ...
    def receive_played(self, sequence: int, now: float) -> None: ...
    def rewind(self, sequence: int) -> None: ...
    def close(self) -> None: ...


def begin_dialogue(
    engine: EngineInfo, turns: TurnTaking, *, output_rate: int, reply_timeout: float
) -> Dialogue:
    """A dialogue with an engine that answers turns, or with one that streams."""
    if engine.mode == "stream":
        return Duplex(output_rate=output_rate)
    return Conversation(
        turns.vad,
        turns.endpointing,
        turns.interruption,
        turns.phrases,
        input_rate=engine.input_rate,
        output_rate=output_rate,
        reply_timeout=reply_timeout,
        partials=engine.partials,
        turn_model=turns.turn_model,
    )
