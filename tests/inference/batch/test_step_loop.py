"""inference.batch.step_loop: who has which slot, who gets what was made, and what ends it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from inference.batch.one_shot import OneShot
from inference.batch.step_loop import Job, StepLoop, Stepped
from inference.protocol import EngineFailed, EngineOverloaded


class Counting:
    """Each job counts what it was fed, a step each; it is done at its request's number."""

    def __init__(self, slots: int, *, gated: bool = False) -> None:
        self.slots = slots
        self.steps = threading.Semaphore(0 if gated else 10**6)
        self.log: list[str] = []
        self._wanted: dict[int, int] = {}
        self._fed: dict[int, list[str]] = {}
        self._given: dict[int, int] = {}

    def enter(self, slot: int, request: int) -> None:
        if request < 0:
            raise ValueError("a negative number")
        self.log.append(f"enter {slot}")
        self._wanted[slot], self._fed[slot], self._given[slot] = request, [], 0

    def feed(self, slot: int, item: str) -> None:
        if item == "bad":
            raise ValueError("bad food")
        self._fed[slot].append(item)

    def leave(self, slot: int) -> None:
        self.log.append(f"leave {slot}")
        self._wanted.pop(slot, None)

    def step(self) -> Sequence[Stepped[str]] | None:
        todo = [slot for slot in self._wanted if self._fed[slot]]
        if not todo:
            return None
        self.steps.acquire()
        if any("poison" in self._fed[slot] for slot in todo):
            raise RuntimeError("the step broke")
        made = []
        for slot in todo:
            self._given[slot] += 1
            output = f"{self._fed[slot].pop(0)}@{slot}"
            made.append(Stepped(slot, (output,), self._given[slot] == self._wanted[slot]))
        return made


@asynccontextmanager
async def loop_of(
    model: Counting, patience: float = 10.0
) -> AsyncIterator[StepLoop[int, str, str]]:
    loop = StepLoop(model, "the counter", patience)
    try:
        yield loop
    finally:
        model.steps.release(1000)
        loop.close()


async def outputs(job: Job[str, str]) -> list[str]:
    return [output async for output in job]


async def test_jobs_get_their_own_and_the_next_waits_for_a_slot() -> None:
    async with loop_of(Counting(2)) as loop:
        jobs = [loop.enter(2) for _ in range(3)]
        for number, job in enumerate(jobs):
            job.feed(f"a{number}")
        for number, job in enumerate(jobs):
            job.feed(f"b{number}")
        found = await asyncio.gather(*map(outputs, jobs))
    assert [[text.split("@")[0] for text in job] for job in found] == [
        ["a0", "b0"],
        ["a1", "b1"],
        ["a2", "b2"],
    ]


async def test_a_cancelled_job_has_left_when_the_next_step_begins() -> None:
    model = Counting(1, gated=True)
    async with loop_of(model) as loop:
        first, second = loop.enter(5), loop.enter(1)
        second.feed("mine")
        for item in "abcde":
            first.feed(item)
        model.steps.release()
        iterator = first.__aiter__()
        assert await anext(iterator) == "a@0"
        await iterator.aclose()
        model.steps.release()  # the one that may have begun, whose output is nobody's
        model.steps.release()
        assert await outputs(second) == ["mine@0"]
    assert model.log == ["enter 0", "leave 0", "enter 0", "leave 0"]


async def test_a_job_that_is_cancelled_while_it_waits_never_enters() -> None:
    model = Counting(1, gated=True)
    async with loop_of(model) as loop:
        first, second = loop.enter(1), loop.enter(1)
        first.feed("a")
        second.feed("b")
        second.cancel()
        model.steps.release()
        assert await outputs(first) == ["a@0"]
    assert model.log == ["enter 0", "leave 0"]


async def test_what_a_request_or_its_food_breaks_is_its_own_job() -> None:
    async with loop_of(Counting(3)) as loop:
        good, bad, ill = loop.enter(1), loop.enter(-1), loop.enter(2)
        ill.feed("bad")
        with pytest.raises(EngineFailed, match="negative"):
            await outputs(bad)
        with pytest.raises(EngineFailed, match="bad food"):
            await outputs(ill)
        good.feed("a")
        assert len(await outputs(good)) == 1


async def test_a_broken_step_fails_who_was_in_it_and_the_loop_goes_on() -> None:
    async with loop_of(Counting(2)) as loop:
        one, other = loop.enter(1), loop.enter(1)
        one.feed("poison")
        for job in (one, other):
            with pytest.raises(EngineFailed, match="the step broke"):
                await outputs(job)
        after = loop.enter(1)
        after.feed("a")
        assert len(await outputs(after)) == 1


async def test_who_waits_too_long_is_told() -> None:
    async with loop_of(Counting(1), patience=0.0) as loop:
        first, second = loop.enter(1), loop.enter(1)
        with pytest.raises(EngineFailed, match="no slot of the counter was free within 0 s"):
            await outputs(second)
        first.feed("a")
        assert len(await outputs(first)) == 1


async def test_closing_fails_what_is_not_done() -> None:
    model = Counting(1)
    async with loop_of(model) as loop:
        inside, outside = loop.enter(1), loop.enter(1)
    for job in (inside, outside):
        with pytest.raises(EngineFailed, match="stopping"):
            await outputs(job)


async def test_room_is_refused_in_words() -> None:
    async with loop_of(Counting(1)) as loop:
        loop.check_room()
        for end in (0.0, 8.0):  # a job every eight seconds
            loop.figures.enter(end, waited=0.0)
            loop.figures.leave(end)
        job = loop.enter(1)
        while loop.figures.taken < 1:
            await asyncio.sleep(0)
        loop.check_room()  # the next has it in eight
        loop.enter(1)
        while not loop.waiting:
            await asyncio.sleep(0)
        with pytest.raises(EngineOverloaded, match=r"all 1 slots .* taken and 1 wait.*about 16 s"):
            loop.check_room()
        job.feed("a")
        assert len(await outputs(job)) == 1
    assert loop.figures.summary().steps == 1


async def test_one_shots_are_answered_together() -> None:
    batches: list[int] = []

    def answer(requests: Sequence[int]) -> list[int]:
        batches.append(len(requests))
        return [2 * request for request in requests]

    loop: StepLoop[int, None, int] = StepLoop(OneShot(answer, slots=8, most=3), "the doubler")
    found = await asyncio.gather(*(_only(loop.enter(n)) for n in range(8)))
    loop.close()
    assert found == [2 * n for n in range(8)]
    assert sum(batches) == 8
    assert max(batches) <= 3


async def _only(job: Job[None, int]) -> int:
    (output,) = [output async for output in job]
    return output
