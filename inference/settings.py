"""Configuration section `engine`: who answers, and with what models."""

from dataclasses import dataclass, field
from typing import Literal

from inference.protocol import Voice


@dataclass(frozen=True)
class LlmSettings:
    """An OpenAI-compatible chat endpoint that answers what no skill understands."""

    base_url: str = ""  # empty: no endpoint, the engine stays offline
    model: str = "default"
    api_key: str = ""
    system_prompt: str = (
        "You are Vaani, a voice assistant on a call. Answer in one to three short spoken sentences."
    )


@dataclass(frozen=True)
class RecogniserSettings:
    """Who turns the caller's speech into words."""

    name: Literal["pocketsphinx", "whisper", "voxtral"] = "pocketsphinx"
    model: str = ""  # Whisper's: a folder, or a name on the hub


@dataclass(frozen=True)
class ResponderSettings:
    """Who finds an answer to them.

    `openai` is the endpoint of `engine.llm`; `voxtral` answers what recogniser `voxtral` heard.
    """

    name: Literal["skills", "causal_lm", "openai", "voxtral"] = "skills"
    model: str = ""  # the causal language model's
    max_tokens: int = 200  # of one answer
    context: int = 4096  # tokens that a call's history and its answer may have


@dataclass(frozen=True)
class SynthesizerSettings:
    """Who speaks it."""

    name: Literal["espeak", "vits"] = "espeak"
    model: str = ""  # VITS', such as facebook/mms-tts-tel


@dataclass(frozen=True)
class CascadeSettings:
    """The parts of engine `cascade`."""

    recogniser: RecogniserSettings = field(default_factory=RecogniserSettings)
    responder: ResponderSettings = field(default_factory=ResponderSettings)
    synthesizer: SynthesizerSettings = field(default_factory=SynthesizerSettings)


@dataclass(frozen=True)
class VoxtralSettings:
    """Voxtral, as engine `voxtral` or as a part of a cascade."""

    model: str = "mistralai/Voxtral-Mini-3B-2507"
    mode: Literal["understand", "transcribe"] = "understand"  # transcribe: the responder answers
    prompt: str = "Answer what you have just heard in one to three short spoken sentences."
    max_tokens: int = 200  # of one answer
    context: int = 4096  # tokens that a call's history, a turn and its answer may have


@dataclass(frozen=True)
class EngineSettings:
    """See `configs/default.yaml`."""

    name: Literal["embedded", "cascade", "voxtral", "echo", "loopback"] = "embedded"
    voice: Voice = field(default_factory=Voice)
    llm: LlmSettings = field(default_factory=LlmSettings)
    cascade: CascadeSettings = field(default_factory=CascadeSettings)
    voxtral: VoxtralSettings = field(default_factory=VoxtralSettings)
    device: str = "auto"  # of the models: cpu, cuda, cuda:1; auto is a GPU if there is one
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    slots: int = 16  # jobs in one batch of a model
    max_sessions: int = 64
    hints: tuple[str, ...] = ()  # words to listen for over an answer
