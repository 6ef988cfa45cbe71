"""Parts of a real network, kept for all tests here or for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TypeVar

import pytest

from bench.lab.network import Network, network
from bench.lab.parts import PartMissing
from bench.lab.server import server
from bench.lab.tls import Certificate, nginx, self_signed

T = TypeVar("T")


class Enter(Protocol):
    """Enters a part, which ends with the test. Where it is missing the test is skipped."""

    def __call__(self, part: AbstractContextManager[T]) -> T: ...


@contextmanager
def _entering() -> Iterator[Enter]:
    with ExitStack() as stack:

        def enter(part: AbstractContextManager[T]) -> T:
            try:
                return stack.enter_context(part)
            except PartMissing as missing:
                # Where a skipped test would go unseen it fails.
                if os.environ.get("CI") == "true":
                    pytest.fail(str(missing))
                pytest.skip(str(missing))

        yield enter


@pytest.fixture
def enter() -> Iterator[Enter]:
    with _entering() as enter:
        yield enter


@pytest.fixture(scope="package")
def enter_for_all() -> Iterator[Enter]:
    with _entering() as enter:
        yield enter


@pytest.fixture(scope="package")
def net_for_all(enter_for_all: Enter) -> Network:
    return enter_for_all(network())


@pytest.fixture
def net(net_for_all: Network) -> Network:
    """A caller's network; UDP passes until the test drops it."""
    net_for_all.pass_udp()
    return net_for_all


@pytest.fixture(scope="package")
def certificate(net_for_all: Network, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(net_for_all.server, tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="package")
def server_url(enter_for_all: Enter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server on this machine alone."""
    settings = {"webrtc.host_addresses": ["127.0.0.1"]}
    return enter_for_all(server(tmp_path_factory.mktemp("server"), settings))


@pytest.fixture(scope="package")
def site(
    enter_for_all: Enter,
    net_for_all: Network,
    certificate: Certificate,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The https URL of a server behind nginx. Its media goes over UDP or the WebSocket."""
    directory = tmp_path_factory.mktemp("site")
    url = enter_for_all(server(directory, {"webrtc.host_addresses": [net_for_all.server]}))
    return enter_for_all(nginx(url, net_for_all.server, certificate, directory))
