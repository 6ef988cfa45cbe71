"""The whole configuration: the sections that the parts of the server define for themselves.

`configs/default.yaml` is the same in YAML, with every key explained.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field

from inference.settings import EngineSettings
from media.endpointing import EndpointingSettings
from media.interruption import InterruptionSettings
from media.vad import VadSettings
from server.load import AdmissionSettings
from server.session import SessionSettings
from server.words import hints, read_words
from signaling.stream import StreamSettings
from signaling.webrtc import WebRtcSettings


@dataclass(frozen=True)
class ServerSettings:
    """Configuration section `server`."""

    host: str = "127.0.0.1"  # an address of this machine; 0.0.0.0 for all of them
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # TCP; 0 takes one that is free
    max_sessions: Annotated[int, Field(ge=1)] = 32  # calls at once; the next is told to wait
    workers: Annotated[int, Field(ge=1)] = 1  # processes that share the calls
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def engine_settings(config: "Config") -> EngineSettings:
    """The engine's, with the words that callers say over an answer."""
    said = hints(read_words(config.interruption.words))
    return replace(config.engine, hints=(*config.engine.hints, *said))


@dataclass(frozen=True)
class Config:
    """Everything that can be set, in sections."""

    server: ServerSettings = field(default_factory=ServerSettings)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    vad: VadSettings = field(default_factory=VadSettings)
    endpointing: EndpointingSettings = field(default_factory=EndpointingSettings)
    interruption: InterruptionSettings = field(default_factory=InterruptionSettings)
    session: SessionSettings = field(default_factory=SessionSettings)
    webrtc: WebRtcSettings = field(default_factory=WebRtcSettings)
    stream: StreamSettings = field(default_factory=StreamSettings)
