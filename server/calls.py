"""The calls of this server: who is let in, by which id they are known, and that all is freed."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from inference.hosted import HostedEngine
from inference.protocol import EngineFailed, EngineOverloaded
from server.config import Config
from server.metrics import Metrics
from server.session import Session, TurnTaking
from signaling.webrtc import WebRtcTransport

logger = logging.getLogger(__name__)


class CallRefused(Exception):
    """No call can be taken now; the text says why and is meant for the caller."""


class UnknownCall(KeyError):
    """There is no call by this id."""


class CallExists(Exception):
    """A second offer for a call that is up."""


@dataclass(frozen=True, slots=True)
class _Call:
    session: Session
    transport: WebRtcTransport


class Calls:
    """All calls in progress, by the id their client knows (`pc_id`)."""

    def __init__(self, config: Config, engine: HostedEngine) -> None:
        self._config = config
        self._engine = engine
        self._calls: dict[str, _Call] = {}
        self._opening = 0  # admitted, but not in `_calls` yet
        self._closing: set[asyncio.Task[None]] = set()
        self.metrics = Metrics(asyncio.get_running_loop().time)

    def __len__(self) -> int:
        return len(self._calls) + self._opening

    async def offer(self, sdp: str, pc_id: str | None, restart: bool) -> tuple[str, str]:
        """Take a call: its id and the SDP answer.

        Raises CallRefused, CallExists, UnknownCall or signaling.webrtc.OfferError, and then
        holds nothing.
        """
        if pc_id is not None:
            if pc_id not in self._calls:
                raise UnknownCall(pc_id)
            if not restart:
                raise CallExists(pc_id)
            await self.hang_up(pc_id)
        limit = self._config.server.max_sessions
        if len(self) >= limit:
            self.metrics.refused += 1
            raise CallRefused(f"all {limit} calls that this server takes at once are in use")
        self._opening += 1
        try:
            return await self._take(sdp)
        finally:
            self._opening -= 1

    async def add_candidate(
        self, pc_id: str, line: str, mid: str | None, index: int | None
    ) -> None:
        """Trickle ICE. Raises UnknownCall or OfferError."""
        await self._call(pc_id).transport.add_candidate(line, mid, index)

    async def hang_up(self, pc_id: str) -> None:
        """End a call and free everything it took. Raises UnknownCall."""
        call = self._call(pc_id)
        del self._calls[pc_id]
        await _close(call.session, call.transport)
        logger.info("< call %s ended after %d turns", pc_id, call.session.turn)

    async def close(self) -> None:
        """End all calls."""
        await asyncio.gather(*(self.hang_up(pc_id) for pc_id in list(self._calls)))
        await asyncio.gather(*self._closing)

    def status(self) -> list[dict[str, object]]:
        """One row per call."""
        return [
            {
                "pc_id": pc_id,
                "session_id": call.session.id,
                "turns": call.session.turn,
                "underruns": call.session.underruns,
                "lost_packets": call.transport.lost_packets,
                "skipped_ticks": call.transport.skipped_ticks,
            }
            for pc_id, call in self._calls.items()
        ]

    def _call(self, pc_id: str) -> _Call:
        try:
            return self._calls[pc_id]
        except KeyError:
            raise UnknownCall(pc_id) from None

    async def _take(self, sdp: str) -> tuple[str, str]:
        config = self._config
        try:
            session = Session(
                self._engine,
                config.engine.voice,
                TurnTaking(config.vad, config.endpointing, config.interruption),
                config.session,
            )
            await session.open()
        except (EngineOverloaded, EngineFailed) as error:
            self.metrics.refused += 1
            raise CallRefused(str(error)) from error
        pc_id = f"pc-{secrets.token_hex(8)}"
        end = self._ender(pc_id)
        session.on_hang_up = end
        transport = WebRtcTransport(session, config.webrtc, end)
        self.metrics.follow(session.events)
        try:
            answer = await transport.answer(sdp)
        except BaseException:
            # Whatever went wrong, also a client that broke off: nothing may stay behind.
            await _close(session, transport)
            raise
        self._calls[pc_id] = _Call(session, transport)
        logger.info("> call %s began, %d in all", pc_id, len(self._calls))
        return pc_id, answer

    def _ender(self, pc_id: str) -> Callable[[], None]:
        """Hangs up from a callback, which cannot wait, once."""

        def end() -> None:
            if pc_id in self._calls:
                task = asyncio.create_task(self.hang_up(pc_id))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

        return end


async def _close(session: Session, transport: WebRtcTransport) -> None:
    await transport.close()
    await session.close()
