"""Tests may be coroutines. Whatever they leave unheard in the event loop fails them too."""

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import uvloop

from tests.virtual_time import VirtualTimeLoop

LIMIT = 60.0  # seconds that any coroutine test may take, or it hangs


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: runs on a loop whose clock jumps")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    virtual = pyfuncitem.get_closest_marker("virtual_time") is not None
    unheard: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # aiortc's own: the task that connects has nobody to tell that the call was closed.
        if "RTCIceTransport is closed" not in str(error):
            unheard.append(f"{context['message']}: {error!r}")

    async def limited() -> None:
        asyncio.get_running_loop().set_exception_handler(note)
        async with asyncio.timeout(None if virtual else LIMIT):
            await test
        gc.collect(1)  # a task is heard of only when nobody holds it any more

    with asyncio.Runner(
        loop_factory=VirtualTimeLoop if virtual else uvloop.new_event_loop
    ) as runner:
        runner.run(limited())
    assert not unheard, "\n".join(unheard)
    return True


NothingLeft = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def nothing_left() -> NothingLeft:
    """`async with nothing_left():` fails if a task, thread or descriptor outlives the block."""
    return _nothing_left


@asynccontextmanager
async def _nothing_left() -> AsyncIterator[None]:
    before = _held()
    yield
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    # What has been told to end may need a moment: aiortc looks only every 20 ms.
    while (left := _held() - before) and loop.time() < deadline:
        await asyncio.sleep(0.01)
    assert not left, "\n".join(map(str, left))


def _held() -> set[object]:
    threads = [
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith("uvloop_")  # the loop's own pool, as old as the loop
    ]
    return {*asyncio.all_tasks(), *threads, *_descriptors()}


def _descriptors() -> set[tuple[str, str]]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            what = os.readlink(f"/proc/self/fd/{number}")
            if what != "/dev/null":  # libuv has one in reserve
                found.add((number, what))
        except FileNotFoundError:
            continue  # the one that listed the directory
    return found
