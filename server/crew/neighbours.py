"""The other worker processes of this server: a call is shared out once, and stays where it is.

Whichever worker a connection reaches, what it wants may be with another. Ids begin with their
worker's number, and new calls go to the worker with the fewest. What belongs elsewhere gets there
in one of three ways: a request is forwarded over the other's Unix socket; a connection that is to
carry a call is handed over (`server.crew.handover`), so that no packet passes through two
processes; and a WebSocket that turns out to resume a session of another's is relayed, since its
first bytes are in aiohttp's hands. A client that names the session in the URL is spared that.
"""

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from contextvars import ContextVar
from os import dup
from pathlib import Path
from typing import cast

import aiohttp
from aiohttp import web

from server.calls import Calls, Elsewhere
from server.crew.board import Board
from server.crew.handover import HTTP, TCP, Handovers, hand_over
from server.ports import Ports
from server.requests import Handler, read_object
from signaling.channel import Channel, ChannelClosed, TcpChannel, on_tcp
from signaling.limits import Socket
from signaling.messages import Hello
from signaling.packets import MAX_MESSAGE
from signaling.tcp_port import leave
from signaling.websocket import WebSocketChannel

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 2.0  # seconds
FORWARD_TIMEOUT = aiohttp.ClientTimeout(total=15.0, connect=CONNECT_TIMEOUT)
ASK_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
ABNORMAL = 1011  # a WebSocket's close code, for an end that is no hanging up
ELSEWHERE: web.RequestKey[Elsewhere] = web.RequestKey("elsewhere")
"""In a request for a WebSocket: see `Calls.answer_stream`."""

_SENDER = "X-Vaani-Worker"  # who forwards this; believed on a Unix socket alone
_SHARED_OUT = "X-Vaani-Shared-Out"  # it is a new call, and expected
_ID = re.compile(r"(?:pc-)?(\d{1,4})-[0-9a-f]{16}")
_USERNAME = re.compile(r"(\d{1,4})\+")

_handed_over_by: ContextVar[int | None] = ContextVar("handed_over_by", default=None)
"""For all that serves a connection that was handed over: who did it."""


def id_prefix(worker: int) -> str:
    """What the ids of a worker's sessions begin with."""
    return f"{worker}-"


def username_prefix(worker: int) -> str:
    """What a worker's ICE user names begin with."""
    return f"{worker}+"


def http_path(directory: Path, worker: int) -> Path:
    """The Unix socket on which it answers its neighbours."""
    return directory / f"{worker}.http"


def handover_path(directory: Path, worker: int) -> Path:
    """The Unix socket on which it is handed connections."""
    return directory / f"{worker}.connections"


def is_forwarded(request: web.Request) -> bool:
    """Whether a neighbour asks, and not a client."""
    connection = request.get_extra_info("socket")
    return connection is not None and connection.family == socket.AF_UNIX


def worker_of(name: object, count: int) -> int | None:
    """The worker of this id or user name, of so many; None if it is not of that kind."""
    if not isinstance(name, str):
        return None
    found = _ID.fullmatch(name) or _USERNAME.match(name)
    worker = int(found[1]) if found else count
    return worker if worker < count else None


class Neighbours:
    """The other workers, for the one whose board this is; `start` before use, `close` after."""

    def __init__(self, board: Board, directory: Path) -> None:
        self.board = board
        self.number = cast(int, board.number)
        self._directory = directory
        self._http: list[aiohttp.ClientSession] = []
        self._handovers = Handovers({HTTP: self.take_http, TCP: self.take_tcp})

    def start(self, server: web.Server, ports: Ports) -> None:
        """Take what the others hand over: requests for the server, connections of the TCP port."""
        self.server, self.tcp_port = server, ports.tcp_port
        ports.mux.prefix, ports.mux.stray = username_prefix(self.number), self.take_stray
        self._handovers.start(handover_path(self._directory, self.number))
        self._http = [
            aiohttp.ClientSession(
                "http://worker",
                # A kept connection may be closed, for being idle, just when it is used again.
                connector=aiohttp.UnixConnector(
                    str(http_path(self._directory, worker)), force_close=True
                ),
                headers={_SENDER: str(self.number)},
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
            )
            for worker in range(self.board.count)
        ]

    async def close(self) -> None:
        await self._handovers.close()
        for session in self._http:
            await session.close()

    async def ask(self, path: str) -> dict[int, str]:
        """What the others answer at this path; those that do not are left out."""
        others = [worker for worker in range(self.board.count) if worker != self.number]
        answers = await asyncio.gather(*(self._ask(worker, path) for worker in others))
        return {worker: answer for worker, answer in zip(others, answers, strict=True) if answer}

    async def _ask(self, worker: int, path: str) -> str | None:
        try:
            async with self._http[worker].get(path, timeout=ASK_TIMEOUT) as response:
                return await response.text() if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    # Requests

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answers a request here, or has the worker answer it that should."""
        if is_forwarded(request):
            if _SHARED_OUT in request.headers:
                await request.read()  # nothing is waited for between here and the call's admission
                self.board.arrive(int(request.headers[_SENDER]))
            return await handler(request)
        if request.path == "/ws/call" and request.method == "GET":
            return await self._share_websocket(request, handler)
        if request.path.startswith(("/api/offer", "/api/sessions/")):
            return await self._share_request(request, handler)
        return await handler(request)

    async def _share_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await read_object(request) if request.method in ("POST", "PATCH") else {}
        resume = body.get("resume")
        named = [*request.match_info.values(), body.get("pc_id")]
        if isinstance(resume, dict):
            named.append(resume.get("session_id"))
        is_new = request.method == "POST" and not any(named)
        worker = self.board.choose() if is_new else self._owner(*named)
        if worker in (None, self.number):
            return await handler(request)
        assert worker is not None
        if is_new:
            self.board.send(worker)
        response = await self._forward(request, worker, is_new)
        # A worker that is gone had nothing, or has lost it: here that is said, or done.
        return response or await handler(request)

    def _owner(self, *names: object) -> int | None:
        """The other worker whose these are."""
        workers = [worker_of(name, self.board.count) for name in names]
        return next((w for w in workers if w not in (None, self.number)), None)

    async def _forward(
        self, request: web.Request, worker: int, is_new: bool
    ) -> web.Response | None:
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        if is_new:
            headers[_SHARED_OUT] = "1"
        try:
            async with self._http[worker].request(
                request.method,
                request.path,
                data=await request.read(),
                headers=headers,
                timeout=FORWARD_TIMEOUT,
            ) as answer:
                kept = ("Content-Type", "Retry-After")
                return web.Response(
                    status=answer.status,
                    body=await answer.read(),
                    headers={name: answer.headers[name] for name in kept if name in answer.headers},
                )
        except aiohttp.ClientConnectorError:
            if is_new:
                self.board.fail_to_send(worker)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("worker %d did not answer: %r", worker, error)
        return None

    # Connections that are to carry a call

    async def _share_websocket(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        named = request.query.get("session_id")
        sender = _handed_over_by.get()
        if sender is None:
            worker = self._owner(named) if named else self.board.choose()
            if worker is not None and worker != self.number:
                if not named:
                    self.board.send(worker)
                if await self._hand_request_over(request, worker):
                    return web.Response()  # nobody gets it: the connection is not ours any more
                if not named:
                    self.board.fail_to_send(worker)
            sender = self.number
            if not named:
                self.board.send(sender)
        awaited = [] if named else [sender]

        def arrive() -> None:
            while awaited:
                self.board.arrive(awaited.pop())

        async def elsewhere(channel: Channel, first: str, hello: Hello) -> bool:
            arrive()
            worker = self._owner(hello.resume.session_id) if hello.resume else None
            return worker is not None and await self._relay(channel, worker, first)

        request[ELSEWHERE] = elsewhere
        try:
            return await handler(request)
        finally:
            arrive()

    async def _hand_request_over(self, request: web.Request, worker: int) -> bool:
        transport = request.transport
        if transport is None:
            return False  # closed meanwhile
        transport.pause_reading()  # a client waits for the answer before it says more
        lines = [f"{request.method} {request.raw_path} HTTP/1.1".encode()]
        lines += [name + b": " + value for name, value in request.raw_headers]
        data = b"\r\n".join([*lines, b"", b""])
        connection = transport.get_extra_info("socket")
        if not await self._hand_over(worker, HTTP, connection, data):
            transport.resume_reading()
            return False
        request.protocol.force_close()
        return True

    async def _relay(self, channel: Channel, worker: int, first: str) -> bool:
        try:
            ws = await self._http[worker].ws_connect(
                "/ws/call", max_msg_size=MAX_MESSAGE + 1, autoclose=False
            )
        except (aiohttp.ClientError, TimeoutError):
            return False
        other = WebSocketChannel(ws)
        ways = [
            asyncio.create_task(_pass_on(channel, other)),
            asyncio.create_task(_pass_on(other, channel)),
        ]
        try:
            await other.send(first)
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except ChannelClosed:
            await channel.close(ABNORMAL)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await ws.close()
        return True

    async def answer_program(
        self, calls: Calls, channel: Channel, kind: str, proven: Callable[[], None]
    ) -> None:
        """See `Calls.answer_stream`: for a call over TCP, here or elsewhere."""
        await calls.answer_stream(channel, kind, proven, self._take_program_elsewhere)

    async def _take_program_elsewhere(self, channel: Channel, first: str, hello: Hello) -> bool:
        sender = _handed_over_by.get()
        if sender is not None:
            if hello.resume is None:
                self.board.arrive(sender)
            return False
        if hello.resume is None:
            worker = self.board.choose()
        else:
            owner = self._owner(hello.resume.session_id)
            worker = self.number if owner is None else owner
        if worker == self.number:
            return False
        assert isinstance(channel, TcpChannel)
        connection, rest = await channel.leave()
        data = on_tcp(first) + rest
        if hello.resume is None:
            self.board.send(worker)
        if not await self._hand_over(worker, TCP, connection, data):
            if hello.resume is None:
                self.board.fail_to_send(worker)
                self.board.send(self.number)
            await self.take_tcp(self.number, socket.socket(fileno=dup(connection.fileno())), data)
        return True

    async def take_stray(
        self,
        username: str,
        data: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """See `signaling.ice_mux.Stray`: media of a call that another worker has."""
        worker = self._owner(username)
        if worker is not None:
            data += await leave(reader, writer)
            await self._hand_over(worker, TCP, writer.get_extra_info("socket"), data)

    async def _hand_over(self, worker: int, kind: bytes, connection: Socket, data: bytes) -> bool:
        try:
            path = handover_path(self._directory, worker)
            await hand_over(path, kind, self.number, connection, data)
        except OSError as error:
            logger.warning("worker %d does not take a connection: %s", worker, error)
            return False
        return True

    # What the others hand over

    async def take_http(self, sender: int, connection: socket.socket, data: bytes) -> None:
        """Answer this request, and what else comes, as if it had been accepted here."""
        _handed_over_by.set(sender)
        protocol = self.server()
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: protocol, connection)
        protocol.data_received(data)

    async def take_tcp(self, sender: int, connection: socket.socket, data: bytes) -> None:
        """Serve this connection of the TCP port."""
        _handed_over_by.set(sender)
        await self.tcp_port.adopt(connection, data)


async def _pass_on(source: Channel, target: Channel) -> None:
    """Until either end is gone, which the other one is told."""
    try:
        while True:
            await target.send(await source.receive())
    except ChannelClosed as closed:
        code = closed.code if 1000 <= closed.code < 5000 else ABNORMAL
        await target.close(ABNORMAL if code in (1005, 1006) else code, str(closed))
