"""The calls of this server: who is let in, by which id they are known, and that all is freed."""

import asyncio
import logging
import secrets
from contextlib import suppress
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
        self._opening = 0  # admitted, and waiting for the engine
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
            session = await self._open_session()
        finally:
            self._opening -= 1
        return await self._take(session, sdp)

    async def add_candidate(
        self, pc_id: str, line: str, mid: str | None, index: int | None
    ) -> None:
        """Trickle ICE. Raises UnknownCall or OfferError."""
        await self._call(pc_id).transport.add_candidate(line, mid, index)

    async def hang_up(self, pc_id: str) -> None:
        """End a call and free everything it took. Raises UnknownCall."""
        await asyncio.shield(self._end(pc_id))

    async def close(self) -> None:
        """End all calls."""
        for pc_id in list(self._calls):
            self._end(pc_id)
        if self._closing:
            await asyncio.wait(self._closing)

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

    async def _open_session(self) -> Session:
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
        return session

    async def _take(self, session: Session, sdp: str) -> tuple[str, str]:
        pc_id = f"pc-{secrets.token_hex(8)}"

        def end() -> None:
            with suppress(UnknownCall):
                self._end(pc_id)

        # Known from here on, so that whatever ends it, even before it is answered, frees it.
        transport = WebRtcTransport(session, self._config.webrtc, end)
        self._calls[pc_id] = _Call(session, transport)
        session.on_hang_up = end
        try:
            answer = await transport.answer(sdp)
        except BaseException:
            # Whatever went wrong, also a client that broke off: nothing may stay behind.
            with suppress(UnknownCall):
                await asyncio.shield(self._end(pc_id))
            raise
        if pc_id not in self._calls:
            raise CallRefused("the call ended before it was answered")
        self.metrics.follow(session.events)
        logger.info("> call %s began, %d in all", pc_id, len(self._calls))
        return pc_id, answer

    def _end(self, pc_id: str) -> asyncio.Task[None]:
        """Hang up in a task of its own: callbacks cannot wait, and requests may be cancelled.

        From now on there is no such call. Raises UnknownCall.
        """
        call = self._call(pc_id)
        del self._calls[pc_id]
        task = asyncio.create_task(_close(pc_id, call))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


async def _close(pc_id: str, call: _Call) -> None:
    try:
        await call.transport.close()
    finally:
        await call.session.close()
    logger.info("< call %s ended after %d turns", pc_id, call.session.turn)
