"""One of several server processes: `python -m server.crew.worker DESCRIPTOR`, started by the
supervisor.

The descriptor is one end of a socket pair. On it come the orders, and when it closes the worker
ends: its supervisor wants that, or is dead.
"""

import asyncio
import json
import pickle
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path

import uvloop
from aiohttp import web

from inference.host_link import HostSocket
from server.app import CALLS, PORTS, interrupted, make_app, running, transports
from server.calls import Calls
from server.config import Config
from server.crew.board import BEAT_INTERVAL, Board
from server.crew.neighbours import Neighbours, http_path
from server.crew.orders import Orders, board_path, engine_path
from server.logs import start_logging
from signaling.public_address import environment


async def work(control: socket.socket) -> None:
    """Obey until the other end is closed, or SIGTERM comes."""
    stop = interrupted()
    reader, writer = await asyncio.open_connection(sock=control)
    # From our own parent: to unpickle it is to trust the command line.
    length = int.from_bytes(await reader.readexactly(4), "big")
    orders: Orders = pickle.loads(await reader.readexactly(length))
    start_logging(orders.config.server.log_level, f"worker {orders.number}")
    told = asyncio.create_task(_wait_for_end(reader, stop))
    try:
        await _serve(orders, writer, stop)
    except OSError as error:
        _say(writer, {"event": "failed", "errno": error.errno, "reason": error.strerror})
    finally:
        if told.done():  # nobody needs it any more, and a supervisor that died could not remove it
            shutil.rmtree(orders.directory, ignore_errors=True)
        told.cancel()
        with suppress(OSError):
            await writer.drain()
        writer.close()


async def _serve(orders: Orders, writer: asyncio.StreamWriter, stop: asyncio.Event) -> None:
    tcp_listeners = [socket.socket(fileno=descriptor) for descriptor in orders.tcp_listeners]
    listener = socket.socket(fileno=orders.listener)
    async with at_work(
        orders.config, orders.number, orders.directory, listener, tcp_listeners
    ) as app:
        ports = app[PORTS]
        told = {"transports": transports(ports), "tcp_port": ports.tcp, "udp_port": ports.udp}
        _say(writer, {"event": "listening", **told})
        await stop.wait()


@asynccontextmanager
async def at_work(
    config: Config,
    number: int,
    directory: Path,
    listener: socket.socket,
    tcp_listeners: Sequence[socket.socket],
) -> AsyncIterator[web.Application]:
    """Worker `number` serves; in the directory are the others, the board and the engine host."""
    with closing(Board(board_path(directory), config.server.workers, number)) as board:
        neighbours = Neighbours(board, directory)
        host = HostSocket(engine_path(directory))
        config = with_own_port(config, number)
        app = make_app(config, environment(), host, neighbours, tcp_listeners)
        async with running(app) as runner:
            assert runner.server is not None
            neighbours.start(runner.server, app[PORTS])
            beating = asyncio.create_task(_beat(board, app[CALLS]))
            try:
                await web.UnixSite(runner, http_path(directory, number)).start()
                await web.SockSite(runner, listener).start()
                yield app
            finally:
                beating.cancel()
                board.clear(number)
                await neighbours.close()


def with_own_port(config: Config, number: int) -> Config:
    """The configuration of a worker: a flow of UDP finds its worker by the port alone."""
    inside, outside = config.webrtc.udp_port, config.webrtc.public_udp_port
    own = replace(
        config.webrtc,
        udp_port=inside + number if inside else inside,
        public_udp_port=outside + number if outside else outside,
    )
    return replace(config, webrtc=own)


async def _beat(board: Board, calls: Calls) -> None:
    while True:
        board.beat(calls.load.pressure)
        await asyncio.sleep(BEAT_INTERVAL)


async def _wait_for_end(reader: asyncio.StreamReader, stop: asyncio.Event) -> None:
    with suppress(OSError):
        await reader.read()
    stop.set()


def _say(writer: asyncio.StreamWriter, message: dict[str, object]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    uvloop.run(work(socket.socket(fileno=int(sys.argv[1]))))
