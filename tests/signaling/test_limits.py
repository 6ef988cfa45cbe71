"""What a connection may do and hold."""

import socket

import pytest

from signaling.limits import Budget, unsent_bytes


def test_a_budget_fills_up_again_but_not_over_its_burst() -> None:
    budget = Budget(rate=10, burst=20, now=0)
    assert budget.take(20, now=0)
    assert not budget.take(1, now=0)
    assert budget.take(10, now=1)
    assert not budget.take(21, now=100)
    assert budget.take(20, now=100)


def test_debt_is_told_in_seconds() -> None:
    budget = Budget(rate=10, burst=20, now=0)
    assert budget.spend(20, now=0) == 0
    assert budget.spend(5, now=0) == pytest.approx(0.5)
    assert budget.spend(5, now=0) == pytest.approx(1.0)
    assert budget.spend(0, now=1) == 0


def test_what_a_peer_does_not_read_is_unsent() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    with listener, sender, receiver:
        assert unsent_bytes(sender) == 0
        sender.setblocking(False)
        sent = 0
        while True:
            try:
                sent += sender.send(bytes(1 << 16))
            except BlockingIOError:
                break
        assert 0 < unsent_bytes(sender) <= sent
    assert unsent_bytes(sender) == 0  # closed: nobody waits for it
    assert unsent_bytes(None) == 0
