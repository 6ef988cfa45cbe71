"""The calls of this server: who is let in, which transports carry them, and that all is freed.

A session is kept from the first transport that asks for it until the caller hangs up, or was lost
and did not come back in time. Its transports come and go: a *line* is one of them and its leg.
"""

import asyncio
import functools
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from inference.protocol import EngineFailed, EngineOverloaded, ServedEngine
from media.endpointing import make_turn_model
from server.admission import Admission, CallRefused
from server.config import Config
from server.dialogue import TurnTaking
from server.leg import Leg
from server.load import Load
from server.metrics import Metrics, media_figures
from server.session import ResumeRefused, Session
from server.words import phrases, read_words
from signaling.channel import Channel, ChannelClosed
from signaling.ice_mux import IceMux
from signaling.messages import Hello, MessageError, Resume, decode_hello
from signaling.stream import (
    BUSY,
    NOT_UNDERSTOOD,
    REFUSED,
    TOO_MUCH,
    StreamTransport,
    refuse,
)
from signaling.transport import MediaReport, Transport, add
from signaling.webrtc import WebRtcTransport

logger = logging.getLogger(__name__)

MAX_LINES = 4
"""Transports of one session at a time: the one that carries it, and some that are to."""


class UnknownCall(KeyError):
    """There is no call by this id."""


class CallExists(Exception):
    """A second offer for a call that is up."""


Elsewhere = Callable[[Channel, str, Hello], Awaitable[bool]]
"""Carries a call whose hello, as it was read, is this; or False: it is to be carried here."""


async def nowhere_else(channel: Channel, first: str, hello: Hello) -> bool:
    """All calls are carried here."""
    return False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client needs of the call that its offer began."""

    pc_id: str
    session_id: str
    sdp: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One transport, and the session's leg that it has."""

    session: Session
    leg: Leg
    transport: Transport


class Calls:
    """All sessions by their id, and all lines by theirs: a WebRTC line's is the `pc_id`."""

    mux: IceMux | None = None
    """The ports that all calls share, once they are open."""

    def __init__(
        self,
        config: Config,
        engine: ServedEngine,
        tally: Callable[[int], int] = lambda calls: calls,
        prefix: str = "",
    ) -> None:
        """`tally` is told how many calls are here, and tells how many are in the whole server;
        with `prefix` begin the ids of sessions and lines."""
        self._config = config
        self._tally = tally
        self._prefix = prefix
        self._engine = engine
        self._sessions: dict[str, Session] = {}
        self._lines: dict[str, _Line] = {}
        self._opening = 0  # admitted, and waiting for the engine
        self._stopping = False
        self._closing: set[asyncio.Task[None]] = set()
        self._ended_media = MediaReport()  # of the lines there were
        clock = asyncio.get_running_loop().time
        self.load = Load(config.admission, self.__len__)
        self._turns = TurnTaking(
            config.vad,
            config.endpointing,
            config.interruption,
            phrases(read_words(config.interruption.words)),
            make_turn_model(config.endpointing),
        )
        self._admission = Admission(config.server.max_sessions, self.load, clock)
        self.metrics = Metrics(clock)

    def __len__(self) -> int:
        return len(self._sessions) + self._opening

    async def offer(
        self, sdp: str, pc_id: str | None, restart: bool, resume: Resume | None = None
    ) -> Answer:
        """Take a call over WebRTC, or a session's wish to go on over it.

        Raises CallRefused, CallExists, UnknownCall, ResumeRefused or signaling.webrtc.OfferError,
        and then holds nothing new.
        """
        if pc_id is not None:
            if pc_id not in self._lines:
                raise UnknownCall(pc_id)
            if not restart:
                raise CallExists(pc_id)
            await self.hang_up(pc_id)
        session, leg = await self._admit("webrtc", resume, instead=pc_id is not None)
        pc_id = f"pc-{self._prefix}{secrets.token_hex(8)}"

        def on_closed(lost: bool) -> None:
            self._drop(pc_id, hung_up=not lost)

        # Known from here on, so that whatever ends it, even before it is answered, frees it.
        transport = WebRtcTransport(leg, self._config.webrtc, on_closed, self.mux)
        self._add(pc_id, _Line(session, leg, transport))
        try:
            answer = await transport.answer(sdp)
        except BaseException:
            # Whatever went wrong, also a client that broke off: nothing may stay behind.
            if task := self._drop(pc_id, hung_up=False):
                await asyncio.shield(task)
            raise
        if pc_id not in self._lines:
            raise CallRefused("the call ended before it was answered", "connecting")
        return Answer(pc_id, session.id, answer)

    async def add_candidate(
        self, pc_id: str, line: str, mid: str | None, index: int | None
    ) -> None:
        """Trickle ICE. Raises UnknownCall or OfferError."""
        transport = self._line(pc_id).transport
        if not isinstance(transport, WebRtcTransport):
            raise UnknownCall(pc_id)
        await transport.add_candidate(line, mid, index)

    async def hang_up(self, pc_id: str) -> None:
        """End a transport, and with it the session if it carries it. Raises UnknownCall."""
        self._line(pc_id)
        if task := self._drop(pc_id, hung_up=True):
            await asyncio.shield(task)

    def say(self, session_id: str, text: str, allow_interruptions: bool) -> None:
        """Have this said in a call as soon as nobody speaks there. Raises UnknownCall."""
        if session_id not in self._sessions:
            raise UnknownCall(session_id)
        self._sessions[session_id].say(text, allow_interruptions)

    async def answer_stream(
        self,
        channel: Channel,
        kind: str,
        proven: Callable[[], None] = lambda: None,
        elsewhere: Elsewhere = nowhere_else,
    ) -> None:
        """Carry a call over a WebSocket or a TCP connection, from its hello until it ends.

        `proven` is called when there was one; then `elsewhere` may take it in our place.
        """
        try:
            first = await self._first_text(channel)
            hello = decode_hello(first)
            proven()
            if await elsewhere(channel, first, hello):
                return
            session, leg = await self._admit(kind, hello.resume)
        except ChannelClosed:
            return
        except TimeoutError:
            await refuse(channel, TOO_MUCH, "no_hello", "the first message did not come in time")
        except MessageError as error:
            await refuse(channel, NOT_UNDERSTOOD, "bad_message", str(error))
        except ResumeRefused as error:
            await refuse(channel, REFUSED, "resume_refused", str(error))
        except CallRefused as error:
            await refuse(channel, BUSY, "refused", str(error), error.retry_after)
        else:
            transport = StreamTransport(leg, channel, hello, self._config.stream)
            line_id = f"{kind}-{secrets.token_hex(8)}"
            self._add(line_id, _Line(session, leg, transport))
            lost = True
            try:
                lost = await transport.run()
            finally:
                self._drop(line_id, hung_up=not lost)

    async def close(self) -> None:
        """End all calls, and take no more: connections of before may still ask."""
        self._stopping = True
        self.load.close()
        for session in list(self._sessions.values()):
            self._end(session)
        if self._closing:
            await asyncio.wait(self._closing)

    def status(self) -> list[dict[str, object]]:
        """One row per session."""
        return [
            {
                "session_id": session.id,
                "transport": session.transport,
                "turns": session.turn,
                "underruns": session.underruns,
                "media": [
                    media_figures(line.transport.report())
                    for line in self._lines.values()
                    if line.session is session
                ],
            }
            for session in self._sessions.values()
        ]

    def reports(self) -> list[MediaReport]:
        """The audio of each line there is."""
        return [line.transport.report() for line in self._lines.values()]

    def total_media(self) -> MediaReport:
        """The counts of all lines there are and were: they never fall."""
        return functools.reduce(add, self.reports(), self._ended_media)

    def _line(self, line_id: str) -> _Line:
        try:
            return self._lines[line_id]
        except KeyError:
            raise UnknownCall(line_id) from None

    # In

    async def _first_text(self, channel: Channel) -> str:
        async with asyncio.timeout(self._config.stream.hello_timeout):
            first = await channel.receive()
        if isinstance(first, bytes):
            raise MessageError("the first message must be a text: hello")
        return first

    async def _admit(
        self, kind: str, resume: Resume | None, instead: bool = False
    ) -> tuple[Session, Leg]:
        """The session that is wanted, a new one or one to go on with, and a leg of it.

        One that comes `instead` of another, which was ended for it, has its place.
        """
        if resume is not None:
            known = self._sessions.get(resume.session_id)
            if known is None:
                raise ResumeRefused("there is no such session any more")
            leg = known.leg(kind, resume)
            if sum(line.session is known for line in self._lines.values()) >= MAX_LINES:
                message = "too many transports are being connected for this session"
                raise CallRefused(message, "connecting")
            return known, leg
        try:
            session = await self._begin(instead)
        except CallRefused as refused:
            self.metrics.refused[refused.cause] += 1
            raise
        return session, session.leg(kind)

    async def _begin(self, instead: bool) -> Session:
        if self._stopping:
            raise CallRefused("the server is stopping", "stopping")
        try:
            before = self._tally(len(self) + 1) - 1
            if not instead:
                self._admission.admit(before)
            self._opening += 1
            try:
                session = await self._open_session()
            finally:
                self._opening -= 1
        finally:
            self._tally(len(self))
        if self._stopping:
            await session.close()
            raise CallRefused("the server is stopping", "stopping")
        self._sessions[session.id] = session
        self._tally(len(self))
        session.on_over = lambda: self._end(session)
        self.metrics.follow(session.events)
        logger.info("> session %s began, %d in all", session.id, len(self._sessions))
        return session

    async def _open_session(self) -> Session:
        config = self._config
        try:
            session = Session(
                self._engine,
                config.engine.voice,
                self._turns,
                config.session,
            )
            session.id = self._prefix + session.id
            await session.open()
        except (EngineOverloaded, EngineFailed) as error:
            raise CallRefused(str(error), "engine") from error
        return session

    def _add(self, line_id: str, line: _Line) -> None:
        self._lines[line_id] = line
        line.leg.on_replaced = lambda: self._drop(line_id, hung_up=False)

    # Out

    def _drop(self, line_id: str, hung_up: bool) -> asyncio.Task[None] | None:
        """This line has ended, or is to. None if it was known before."""
        line = self._lines.get(line_id)
        if line is None:
            return None
        session, leg = line.session, line.leg
        alone = all(other is line or other.session is not session for other in self._lines.values())
        if (hung_up and leg.carrying) or (alone and not session.started):
            return self._end(session)
        self._take_away(line_id)
        replaced = session.started and not leg.carrying
        session.lose(leg)
        return self._spawn(line.transport.close(replaced))

    def _end(self, session: Session) -> asyncio.Task[None]:
        """End a session in a task of its own: callbacks cannot wait, requests may be cancelled.

        From now on there is no such session.
        """
        if self._sessions.pop(session.id, None):
            self._admission.note_departure()
            self._tally(len(self))
        ids = [key for key, line in self._lines.items() if line.session is session]
        return self._spawn(_close(session, [self._take_away(key) for key in ids]))

    def _take_away(self, line_id: str) -> Transport:
        """This line is no more; what it carried is remembered."""
        transport = self._lines.pop(line_id).transport
        self._ended_media = add(self._ended_media, transport.report())
        return transport

    def _spawn(self, closing: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


async def _close(session: Session, transports: list[Transport]) -> None:
    for transport in transports:
        try:
            await transport.close()
        except Exception:
            logger.exception("session %s: its transport did not end well", session.id)
    await session.close()
    logger.info("< session %s ended after %d turns", session.id, session.turn)
