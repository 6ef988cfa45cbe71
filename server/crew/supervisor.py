"""Several server processes on one port, and the engine host that they share.

The supervisor binds the ports and carries no call. All workers accept on the same sockets: when one
dies no connection that waits to be accepted dies with it, as it would with SO_REUSEPORT. Whom a
call goes to is not left to chance anyway: see `server.crew.neighbours`.
"""

import asyncio
import errno
import json
import logging
import pickle
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from inference.host_link import HostProcess
from inference.hosted import HostedEngine
from inference.local import local_engine
from server.app import Listening, bind, interrupted, url
from server.config import Config, engine_settings
from server.crew.board import Board
from server.crew.orders import Orders, board_path, engine_path
from server.ports import bind_tcp
from signaling.public_address import environment

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0  # seconds for a worker to end its calls
HANG_TIMEOUT = 10.0  # seconds without a beat
CHECK_INTERVAL = 1.0
MIN_BACKOFF, MAX_BACKOFF = 0.1, 10.0


async def serve(config: Config, announce: Callable[[Listening], None]) -> None:
    """Serve with `server.workers` processes until SIGINT or SIGTERM. Raises OSError if an address
    cannot be had."""
    stop = interrupted()
    with ExitStack() as stack:
        listener = stack.enter_context(bind(config.server.host, config.server.port))
        tcp_listeners = bind_tcp(config, environment())
        for one in tcp_listeners:
            stack.enter_context(one)
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="vaani-server-", ignore_cleanup_errors=True)
            )
        )
        board = stack.enter_context(
            closing(Board.create(board_path(directory), config.server.workers))
        )
        async with _crew(config, directory, board, listener, tcp_listeners) as workers:
            ready = asyncio.gather(*(worker.listening for worker in workers))
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait((ready, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                first = (await ready)[0]
                announce(
                    Listening(
                        event="listening",
                        url=url(listener),
                        engine=config.engine.name,
                        transports=tuple(first["transports"]),
                        tcp_port=first["tcp_port"],
                        udp_port=first["udp_port"],
                        workers=config.server.workers,
                    )
                )
            await stopped
            for one in (listener, *tcp_listeners):
                one.close()  # whoever calls now is refused at once


@asynccontextmanager
async def _crew(
    config: Config,
    directory: Path,
    board: Board,
    listener: socket.socket,
    tcp_listeners: Sequence[socket.socket],
) -> AsyncIterator[list["WorkerProcess"]]:
    """The workers and their engine host, until the end of the block."""
    engine = local_engine(config.engine) or HostedEngine(
        HostProcess(engine_settings(config), engine_path(directory))
    )
    descriptors = tuple(one.fileno() for one in tcp_listeners)
    workers = [
        WorkerProcess(Orders(config, n, directory, listener.fileno(), descriptors), board)
        for n in range(config.server.workers)
    ]
    engine.start()
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield workers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.stop()


class WorkerProcess:
    """A worker, started again whenever it ends. `listening` is what it said when it first did."""

    def __init__(self, orders: Orders, board: Board) -> None:
        self.listening: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._orders = orders
        self._board = board

    async def run(self) -> None:
        """Until cancelled: then the worker is ended, in order if it can be."""
        loop = asyncio.get_running_loop()
        number, backoff = self._orders.number, MIN_BACKOFF
        while True:
            started = loop.time()
            try:
                reason = await self._run_once()
            except OSError as error:  # no process to be had now
                reason = str(error)
            self._board.clear(number)
            if not self.listening.done():
                reason = f"worker {number} did not start: {reason}"
                self.listening.set_exception(OSError(errno.ECHILD, reason))
            if loop.time() - started > 30:
                backoff = MIN_BACKOFF
            logger.error("worker %d ended (%s); again in %.1f s", number, reason, backoff)
            await asyncio.sleep(backoff)
            backoff = min(MAX_BACKOFF, backoff * 2)

    async def _run_once(self) -> str:
        """One process to its end; returns why it ended."""
        ours, theirs = socket.socketpair()
        orders = self._orders
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "server.crew.worker",
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(), orders.listener, *orders.tcp_listeners),
                    stdin=asyncio.subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us, who then end it
                )
            except BaseException:
                writer.close()
                raise
        watchdog = asyncio.create_task(self._watch(process))
        try:
            data = pickle.dumps(orders)
            writer.write(len(data).to_bytes(4, "big") + data)
            with suppress(ConnectionError):
                async for line in reader:
                    self._receive(json.loads(line))
            await process.wait()
        finally:
            watchdog.cancel()
            writer.close()
            await _end(process)
        return f"exit code {process.returncode}"

    def _receive(self, message: dict[str, Any]) -> None:
        if self.listening.done():
            return
        if message["event"] == "listening":
            self.listening.set_result(message)
        else:
            self.listening.set_exception(OSError(message["errno"], message["reason"]))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL)
            last = self._board.last_beat(self._orders.number)
            if last and time.monotonic() - last > HANG_TIMEOUT:
                logger.error("worker %d does not answer; killing it", self._orders.number)
                process.kill()
                return


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that knows it is to end, but not for ever."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
