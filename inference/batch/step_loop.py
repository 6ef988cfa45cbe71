"""The step loop: one thread that owns a model, and takes every caller's next step in one batch.

    loop = StepLoop(model, "voxtral")
    job = loop.enter(request)        # waits its turn for a slot
    job.feed(item)                   # as often as there is more to be worked on
    async for output in job: ...     # ends when the model says so; leaving it cancels the job
    loop.close()

A model has a fixed number of slots, so that nothing about a batch ever changes its shape. Between
two steps jobs come and go; a cancelled one has left when the next step begins. Outputs go to the
job that had the slot when the step began, and never to a slot: none can reach its next owner.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from inference.batch.figures import StepFigures
from inference.protocol import EngineFailed, EngineOverloaded

logger = logging.getLogger("vaani.steps")

Request = TypeVar("Request")
Item = TypeVar("Item")
Output = TypeVar("Output")
RequestIn = TypeVar("RequestIn", contravariant=True)
ItemIn = TypeVar("ItemIn", contravariant=True)
OutputOut = TypeVar("OutputOut", covariant=True)

PATIENCE = 10.0  # seconds a job may wait for a slot


@dataclass(frozen=True, slots=True)
class Stepped(Generic[OutputOut]):
    """What a step made for the job in a slot: any number of outputs, and whether it is done."""

    slot: int
    outputs: Sequence[OutputOut] = ()
    done: bool = False


class StepModel(Protocol[RequestIn, ItemIn, OutputOut]):
    """A model that works in steps, for a job in each of its `slots`. One thread calls it."""

    @property
    def slots(self) -> int: ...

    def enter(self, slot: int, request: RequestIn) -> None:
        """A job takes this slot. What it raises fails that job."""

    def feed(self, slot: int, item: ItemIn) -> None:
        """More for the job in this slot to work on. What it raises fails that job."""

    def leave(self, slot: int) -> None:
        """The job is done, or cancelled: nothing of it may be seen by the next."""

    def step(self) -> Sequence[Stepped[OutputOut]] | None:
        """One step for all slots that have something to do; None, and no work, where none has.

        What it raises fails all jobs: nobody can tell whose fault it was.
        """


class Job(Generic[Item, Output]):
    """One caller's piece of work, as the event loop has it."""

    def __init__(self, loop: "StepLoop[Request, Item, Output]") -> None:
        self._loop = loop
        self._outputs: asyncio.Queue[Output | EngineFailed | None] = asyncio.Queue()
        self.entered = time.monotonic()
        # The thread's own.
        self.slot: int | None = None
        self.early: list[Item] = []  # what it was fed before it had a slot
        self.over = False

    def feed(self, item: Item) -> None:
        """More to work on. What comes too late is not missed."""
        self._loop.feed(self, item)

    def cancel(self) -> None:
        """Nothing more is wanted: its slot is free when the next step begins."""
        self._loop.cancel(self)

    def put(self, output: Output | EngineFailed | None) -> None:
        """On the event loop: what the iterator gives, fails with, or ends at."""
        self._outputs.put_nowait(output)

    async def __aiter__(self) -> AsyncGenerator[Output]:
        """The outputs as they come. Raises EngineFailed."""
        try:
            while (output := await self._outputs.get()) is not None:
                if isinstance(output, EngineFailed):
                    raise output
                yield output
        finally:
            self.cancel()


class StepLoop(Generic[Request, Item, Output]):
    """See the top of the file. `name` is the model's, for figures and messages."""

    def __init__(
        self, model: StepModel[Request, Item, Output], name: str, patience: float = PATIENCE
    ) -> None:
        self.figures = StepFigures(model.slots)
        self._model = model
        self._name = name
        self._patience = patience
        self._events = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._inbox: list[Callable[[], None]] = []  # for the thread, before its next step
        self._closed = False
        # The thread's own.
        self._waiting: deque[tuple[Job[Item, Output], Request]] = deque()
        self._jobs: dict[int, Job[Item, Output]] = {}
        self._free = list(reversed(range(model.slots)))
        self._thread = threading.Thread(target=self._work, name=f"steps of {name}", daemon=True)
        self._thread.start()

    # On the event loop

    def enter(self, request: Request) -> Job[Item, Output]:
        """Begin a job as soon as there is a slot for it; where that takes too long it fails."""
        job: Job[Item, Output] = Job(self)
        self._post(partial(self._queue, job, request))
        return job

    @property
    def waiting(self) -> int:
        """Jobs that have no slot yet."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Raises EngineOverloaded where a job that came now would wait in vain."""
        waiting = self.waiting
        wait = self.figures.expected_wait(waiting)
        if wait > self._patience:
            raise EngineOverloaded(
                f"all {self._model.slots} slots of {self._name} are taken and {waiting} wait for "
                f"one: about {wait:.0f} s"
            )

    def feed(self, job: Job[Item, Output], item: Item) -> None:
        """See `Job.feed`."""
        self._post(partial(self._feed, job, item))

    def cancel(self, job: Job[Item, Output]) -> None:
        """See `Job.cancel`."""
        self._post(partial(self._end, job))

    def close(self) -> None:
        """Fail what is not done, and end the thread after the step it is in."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _post(self, command: Callable[[], None]) -> None:
        with self._changed:
            self._inbox.append(command)
            self._changed.notify()

    # In the thread

    def _work(self) -> None:
        idle = True
        while not self._closed:
            with self._changed:
                if idle and not (self._inbox or self._closed):
                    self._changed.wait(self._until_deadline())
                inbox, self._inbox = self._inbox, []
            for command in inbox:
                command()
            self._admit()
            idle = not self._step()
        for job, _ in self._waiting:
            self._tell(job, [EngineFailed("the engine is stopping")])
        self._fail_all("the engine is stopping")

    def _until_deadline(self) -> float | None:
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0][0].entered + self._patience - time.monotonic())

    def _queue(self, job: Job[Item, Output], request: Request) -> None:
        self._waiting.append((job, request))

    def _feed(self, job: Job[Item, Output], item: Item) -> None:
        if job.over:
            return
        if job.slot is None:
            job.early.append(item)
            return
        try:
            self._model.feed(job.slot, item)
        except Exception as error:
            self._fail(job, error)

    def _end(self, job: Job[Item, Output]) -> None:
        if job.over:
            return
        job.over = True
        if job.slot is None:
            self._waiting = deque(entry for entry in self._waiting if entry[0] is not job)
            return
        slot, job.slot = job.slot, None
        del self._jobs[slot]
        self._free.append(slot)
        self._model.leave(slot)
        self.figures.leave(time.monotonic())

    def _admit(self) -> None:
        now = time.monotonic()
        while self._waiting and self._free:
            job, request = self._waiting.popleft()
            job.slot = self._free.pop()
            self._jobs[job.slot] = job
            self.figures.enter(now, waited=now - job.entered)
            try:
                self._model.enter(job.slot, request)
            except Exception as error:
                self._fail(job, error)
                continue
            early, job.early = job.early, []
            for item in early:
                self._feed(job, item)
        while self._waiting and self._waiting[0][0].entered + self._patience <= now:
            job, _ = self._waiting.popleft()
            job.over = True
            reason = f"no slot of {self._name} was free within {self._patience:g} s"
            self._tell(job, [EngineFailed(reason)])

    def _step(self) -> bool:
        """Whether there was anything to do."""
        began = time.perf_counter()
        try:
            results = self._model.step()
        except Exception as error:
            logger.exception("step of %s", self._name)
            self._fail_all(f"{type(error).__name__}: {error}")
            return True
        if results is None:
            return False
        self.figures.step(time.perf_counter() - began, len(results))
        for result in results:
            job = self._jobs[result.slot]
            outputs: list[Output | EngineFailed | None] = list(result.outputs)
            if result.done:
                outputs.append(None)
                self._end(job)
            if outputs:
                self._tell(job, outputs)
        return True

    def _fail(self, job: Job[Item, Output], error: Exception) -> None:
        logger.warning("a job of %s: %r", self._name, error)
        self._end(job)
        self._tell(job, [EngineFailed(f"{type(error).__name__}: {error}")])

    def _fail_all(self, reason: str) -> None:
        for job in list(self._jobs.values()):
            self._end(job)
            self._tell(job, [EngineFailed(reason)])

    def _tell(
        self, job: Job[Item, Output], outputs: Sequence[Output | EngineFailed | None]
    ) -> None:
        def put() -> None:
            for output in outputs:
                job.put(output)

        try:
            self._events.call_soon_threadsafe(put)
        except RuntimeError:
            assert self._events.is_closed()  # nobody listens any more
