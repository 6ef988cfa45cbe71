"""The figures that workers share: who is given the next call, and how many there are."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from server.crew import board as module
from server.crew.board import Board


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[list[Board]]:
    """Three workers, all there."""
    with ExitStack() as stack:
        stack.enter_context(closing(Board.create(tmp_path / "board", 3)))
        found = [
            stack.enter_context(closing(Board(tmp_path / "board", 3, number)))
            for number in range(3)
        ]
        for one in found:
            one.beat(0.0)
        yield found


def test_the_tally_is_of_the_whole_server(boards: list[Board]) -> None:
    assert boards[0].tally(2) == 2
    assert boards[1].tally(3) == 5
    assert boards[0].tally(1) == 4


def test_the_worker_with_the_fewest_calls_is_chosen_and_rather_oneself(
    boards: list[Board],
) -> None:
    assert [one.choose() for one in boards] == [0, 1, 2]
    boards[0].tally(1)
    assert [one.choose() for one in boards] == [1, 1, 2]
    boards[1].tally(2)
    boards[2].tally(2)
    assert [one.choose() for one in boards] == [0, 0, 0]


def test_a_burst_is_shared_out_before_any_of_it_has_arrived(boards: list[Board]) -> None:
    chosen = []
    for _ in range(9):
        chosen.append(boards[0].choose())
        boards[0].send(chosen[-1])
    assert sorted(chosen) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for worker in range(3):
        for made in (1, 2, 3):
            assert boards[worker].calls(worker) == 3
            boards[worker].arrive(0)
            boards[worker].tally(made)
    assert [boards[0].calls(worker) for worker in range(3)] == [3, 3, 3]


def test_what_never_got_there_is_not_counted(boards: list[Board]) -> None:
    boards[0].send(1)
    assert boards[2].calls(1) == 1
    boards[0].fail_to_send(1)
    assert boards[2].calls(1) == 0


def test_a_busy_worker_is_chosen_last(boards: list[Board]) -> None:
    boards[0].beat(1.2)
    boards[1].tally(5)
    assert boards[0].choose() == 2
    boards[2].beat(1.1)
    assert boards[0].choose() == 1


def test_a_silent_worker_gets_nothing(boards: list[Board], monkeypatch: pytest.MonkeyPatch) -> None:
    boards[0].tally(9)
    boards[1].clear(1)  # as its supervisor does
    boards[2].tally(1)
    assert boards[0].choose() == 2
    monkeypatch.setattr(module, "SILENT", -1.0)
    assert boards[0].choose() == 0


def test_what_was_on_its_way_to_a_worker_that_died_is_forgotten(
    boards: list[Board], tmp_path: Path
) -> None:
    boards[1].tally(4)
    boards[0].send(1)
    boards[1].send(2)
    boards[0].clear(1)
    with closing(Board(tmp_path / "board", 3, 1)) as again:
        assert [again.calls(worker) for worker in range(3)] == [0, 0, 0]
        assert boards[0].tally(0) == 0
