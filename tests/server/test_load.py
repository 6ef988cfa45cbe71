"""The load is seen, one stall is forgiven, a burst is foreseen, and refusing does not flap."""

import asyncio
from typing import cast

import pytest

from server.load import (
    FIRST_COST,
    LOOKS,
    PERIOD,
    SETTLING,
    AdmissionSettings,
    Figures,
    Load,
    overloaded,
)
from tests.virtual_time import VirtualTimeLoop, until

LIMITS = AdmissionSettings(max_lag=0.01, max_cpu=0.8)
SECONDS = LOOKS * PERIOD  # that the figures speak of


class Server:
    """A load whose calls cost what the test says, from the moment they are let in."""

    def __init__(self, calls: int = 0, cost: float = 0.0) -> None:
        self.calls = calls
        self.cost = cost  # cores, of each call
        self.base = 0.0  # cores, without any
        self.loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        self._spent, self._at = 0.0, self.loop.time()
        self.load = Load(LIMITS, lambda: self.calls, self.loop.time, self._cpu_time)

    def _cpu_time(self) -> float:
        now = self.loop.time()
        self._spent += (now - self._at) * (self.base + self.calls * self.cost)
        self._at = now
        return self._spent

    def offer(self) -> str | None:
        refusal = self.load.admit()
        if refusal is None:
            self._cpu_time()  # from now on it costs more
            self.calls += 1
        return refusal

    def offer_many(self, count: int) -> int:
        """How many of them are let in."""
        return sum(self.offer() is None for _ in range(count))

    async def be_late(self, seconds: float, until: float) -> None:
        """All that is to run runs so much late, until this time."""
        while self.loop.time() < until:
            self.loop.stall(seconds)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        (Figures(calls=1), None),
        (Figures(calls=9, lag=0.01, cpu=0.7, call_cost=0.05), None),
        (
            Figures(calls=9, lag=0.0234),
            "the server is busy: its event loop is 23 ms late (limit 10 ms)",
        ),
        (
            Figures(calls=9, cpu=0.7, pending=4, call_cost=0.05),
            "the server is busy: with this call it would use 95% of its processor (limit 80%)",
        ),
        (Figures(calls=0, lag=1.0, cpu=2.0), None),
    ],
)
def test_the_decision(figures: Figures, reason: str | None) -> None:
    assert overloaded(figures, LIMITS) == reason


@pytest.mark.virtual_time
async def test_nothing_is_late_and_nobody_is_refused() -> None:
    server = Server(calls=3)
    await until(5.0)
    figures = server.load.figures
    assert (figures.calls, figures.lag, figures.max_lag, figures.cpu) == (3, 0.0, 0.0, 0.0)
    assert server.offer() is None
    server.load.close()


@pytest.mark.virtual_time
async def test_a_loop_that_is_late_for_long_refuses_until_it_is_punctual_again() -> None:
    server = Server(calls=3)
    await until(5.0)
    await server.be_late(0.03, until=6.0)
    assert 0.01 < server.load.figures.lag <= 0.03
    refusal = server.offer()
    assert refusal is not None
    assert "late" in refusal
    assert server.load.pressure > 1
    await until(6.0 + SECONDS + 1.0)
    assert server.load.figures.lag == 0.0
    assert server.offer() is None
    assert server.load.pressure < 1
    server.load.close()


@pytest.mark.virtual_time
@pytest.mark.parametrize("stall", [0.06, 0.7, 3.0])
async def test_one_stall_refuses_nobody_but_is_told(stall: float) -> None:
    server = Server(calls=3)
    await until(5.0)
    server.loop.call_at(5.0, server.loop.stall, stall)
    await until(5.1 + stall)
    assert stall - PERIOD <= server.load.figures.max_lag <= stall
    assert server.offer() is None
    buckets = dict(server.load.lag.buckets())
    assert buckets["+Inf"] - buckets["0.01"] == 1
    server.load.close()


@pytest.mark.virtual_time
async def test_the_processor_is_seen_whoever_uses_it() -> None:
    server = Server(calls=3)
    server.base = 0.5
    await until(5.0)
    assert server.load.figures.cpu == pytest.approx(0.5)
    assert server.offer() is None
    server.base = 0.95
    await until(5.0 + SECONDS + PERIOD)
    assert server.load.figures.cpu == pytest.approx(0.95)
    refusal = server.offer()
    assert refusal is not None
    assert "processor" in refusal
    server.load.close()


@pytest.mark.virtual_time
async def test_a_burst_is_let_in_no_further_than_it_can_be_carried() -> None:
    server = Server()
    await until(5.0)
    let_in = server.offer_many(50)
    assert let_in == int(LIMITS.max_cpu / FIRST_COST)
    # What they cost is known by and by: half as much, so there is room for others.
    server.cost = FIRST_COST / 2
    for second in range(6, 40):
        await until(float(second))
        server.offer_many(5)
        assert server.load.figures.cpu < LIMITS.max_cpu
    assert server.calls > 1.8 * let_in
    assert server.load.figures.call_cost == pytest.approx(FIRST_COST / 2, rel=0.05)
    server.load.close()


@pytest.mark.virtual_time
async def test_while_many_connect_nothing_is_learned_of_what_they_cost() -> None:
    server = Server(cost=FIRST_COST)
    await until(5.0)
    server.offer_many(20)
    await until(6.0)
    assert 0 < server.load.figures.cpu < 0.5  # two thirds of it are still to come
    assert server.load.figures.call_cost == FIRST_COST
    server.load.close()


@pytest.mark.virtual_time
async def test_calls_that_cost_much_are_known_by_their_cost() -> None:
    server = Server(cost=0.2)
    for second in range(5, 60, 4):
        await until(float(second))
        server.offer()
    assert server.calls == 4  # a fifth of a core each: with one more it would be full
    server.load.close()


@pytest.mark.virtual_time
async def test_a_call_is_counted_twice_only_until_it_shows() -> None:
    server = Server(calls=1)
    await until(5.0)
    server.offer_many(3)
    assert server.load.figures.pending == 3
    await until(5.0 + SETTLING + PERIOD)
    assert server.load.figures.pending == 0
    server.load.close()


@pytest.mark.virtual_time
async def test_calls_that_come_to_nothing_keep_no_place() -> None:
    server = Server(calls=1, cost=0.03)
    await until(5.0)
    for _ in range(200):  # offers that cannot be used
        assert server.offer() is None
        server.calls -= 1
    server.load.close()


@pytest.mark.virtual_time
async def test_after_a_refusal_it_must_become_better_than_it_was() -> None:
    server = Server(calls=20)
    server.base = 0.81
    await until(10.0)
    assert server.offer() is not None
    server.base = 0.74
    await until(20.0)
    assert server.load.figures.projected_cpu < LIMITS.max_cpu  # and yet
    assert server.offer() is not None
    server.base = 0.7
    await until(30.0)
    assert server.offer() is None
    server.base = 0.74
    await until(40.0)
    assert server.offer() is None  # as it was before the first refusal
    server.load.close()


@pytest.mark.virtual_time
async def test_after_a_refusal_it_must_become_more_punctual_than_it_was() -> None:
    server = Server(calls=20)
    await server.be_late(0.02, until=5.0)
    assert server.offer() is not None
    await server.be_late(0.008, until=10.0)
    assert 0 < server.load.figures.lag < LIMITS.max_lag
    assert server.offer() is not None
    await until(15.0)
    assert server.offer() is None
    await server.be_late(0.008, until=20.0)
    assert server.offer() is None
    server.load.close()


@pytest.mark.virtual_time
async def test_the_only_call_is_let_in_whatever_the_load() -> None:
    server = Server()
    server.base = 3.0
    await server.be_late(0.2, until=5.0)
    assert server.load.pressure > 1
    assert server.offer() is None
    assert server.offer() is not None
    server.load.close()


@pytest.mark.virtual_time
async def test_closed_it_looks_no_more() -> None:
    server = Server(calls=1)
    server.load.close()
    await until(5.0)
    assert server.load.lag.buckets()[-1] == ("+Inf", 0.0)
