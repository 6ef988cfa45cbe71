"""How an engine has its host: as a process of its own, or at the socket of another's."""

import asyncio
import socket
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from inference.settings import EngineSettings
from inference.wire import pack

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

REDIAL_INTERVAL = 0.1  # seconds
END_TIMEOUT = 2.0  # seconds that a host may take to end


class HostLink(Protocol):
    """`pid` is the host's process while there is one, `ended` why the last connection is over."""

    @property
    def pid(self) -> int | None: ...

    @property
    def ended(self) -> str: ...

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """A connection to a host, which says `ready` when it is. Whoever leaves has done with it:
        also when it does not answer any more."""

    async def wait_closed(self) -> None:
        """Wait for what was left while it was ending."""


class HostProcess:
    """Starts a host for every connection, and ends it with that.

    With a `path` the host also serves others there, on a Unix socket, from when it is ready.
    """

    def __init__(self, settings: EngineSettings, path: Path | None = None) -> None:
        self.ended = ""
        self._settings = settings
        self._path = path
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                self._process = process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "inference.host",
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for the server, which then ends the host
                )
            except BaseException:
                writer.close()
                raise
        path = str(self._path) if self._path else None
        writer.write(pack("start", settings=asdict(self._settings), path=path))
        try:
            yield reader, writer
        except asyncio.CancelledError:  # stopped, and not hanging: it may clean up behind itself
            writer.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(END_TIMEOUT):
                    await process.wait()
            raise
        finally:
            writer.close()
            if process.returncode is None:
                process.kill()
            await process.wait()
            self.ended = f"exit code {process.returncode}"
            self._process = None

    async def wait_closed(self) -> None:
        if self._process:
            await self._process.wait()
            self._process = None


class HostSocket:
    """The host that another process has started, and starts again when it ends."""

    ended = "it closed the connection"

    def __init__(self, path: Path) -> None:
        self.pid: int | None = None
        self._path = path

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._path)
                break
            except OSError:  # it is starting
                await asyncio.sleep(REDIAL_INTERVAL)
        self.pid = _peer(writer.get_extra_info("socket"))
        try:
            yield reader, writer
        finally:
            self.pid = None
            writer.close()

    async def wait_closed(self) -> None:
        """There is no process to wait for."""


def _peer(connection: socket.socket) -> int | None:
    """The process at the other end, where the system tells it."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, _, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    return int(pid)
