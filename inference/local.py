"""An engine in the media server's own process: one that has no model, and never waits.

A way to another process and back is most of what such an engine would cost, and nothing of it can
crash or hold the event loop.
"""

from contextlib import AbstractAsyncContextManager

from inference.echo import LoopbackEngine
from inference.protocol import Engine, EngineInfo, EngineSession, OnTranscript, Voice
from inference.settings import EngineSettings


class LocalEngine:
    """See `inference.protocol.ServedEngine`."""

    ready = True
    pid = None
    generation = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """Nor to stop."""

    async def warm_up(self) -> None:
        await self._engine.warm_up()

    def open(
        self, voice: Voice, on_transcript: OnTranscript
    ) -> AbstractAsyncContextManager[EngineSession]:
        return self._engine.open(voice, on_transcript)


def local_engine(settings: EngineSettings) -> LocalEngine | None:
    """The engine that the settings name, if it needs no host."""
    return LocalEngine(LoopbackEngine()) if settings.name == "loopback" else None
