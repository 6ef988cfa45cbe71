"""The ports besides HTTP's: free ones, taken ones, none; and that callers are told of them."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from server.config import Config
from server.ports import Ports, open_ports
from signaling import rtp
from signaling.channel import Channel
from signaling.webrtc import WebRtcSettings
from tests.conftest import NothingLeft

LOOPBACK = ("127.0.0.1",)


def config(tcp_port: int | None = None, udp_port: int | None = None, address: str = "") -> Config:
    return Config(
        webrtc=WebRtcSettings(
            host_addresses=LOOPBACK, tcp_port=tcp_port, udp_port=udp_port, public_address=address
        )
    )


async def nobody(channel: Channel, kind: str, proven: Callable[[], None]) -> None:
    raise AssertionError("nobody calls here")


async def test_without_ports_nothing_is_opened(nothing_left: NothingLeft) -> None:
    async with nothing_left(), open_ports(config(), {}, nobody) as ports:
        assert (ports.tcp, ports.udp, ports.media_over_tcp) == (None, None, False)
        assert (tuple(ports.mux.tcp), tuple(ports.mux.udp)) == ((), ())


async def test_port_0_is_a_free_one(nothing_left: NothingLeft) -> None:
    async with nothing_left():
        opened = (open_ports(config(0, 0), {}, nobody) for _ in range(2))
        async with next(opened) as one, next(opened) as other:
            assert one.tcp != other.tcp
            assert one.udp != other.udp
            for ports in (one, other):
                assert tuple(ports.mux.tcp) == (("127.0.0.1", ports.tcp),)
                assert tuple(ports.mux.udp) == (("127.0.0.1", ports.udp),)
                assert ports.media_over_tcp
        with socket.create_server(("127.0.0.1", one.tcp or 0)):
            pass  # it is free again


async def test_who_calls_by_tcp_is_answered(nothing_left: NothingLeft) -> None:
    answered: list[tuple[str, str | bytes]] = []

    async def answer(channel: Channel, kind: str, proven: Callable[[], None]) -> None:
        proven()
        answered.append((kind, await channel.receive()))
        await channel.close()

    async with nothing_left(), open_ports(config(0), {}, answer) as ports:
        assert ports.tcp is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", ports.tcp)
        writer.write(b"\0\0\0\2{}")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert answered == [("tcp", "{}")]


async def test_a_public_address_is_advertised_with_the_port_that_was_bound() -> None:
    async with open_ports(config(0, 0, "192.0.2.7"), {}, nobody) as ports:
        assert tuple(ports.mux.tcp) == (("192.0.2.7", ports.tcp),)
        assert tuple(ports.mux.udp) == (("192.0.2.7", ports.udp),)


async def test_a_platform_that_maps_no_port_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_ports(config(0), {"RUNPOD_PUBLIC_IP": "192.0.2.7"}, nobody):
            pass
    assert "no TCP port is mapped" in caplog.text


@pytest.mark.parametrize("kind", ["tcp", "udp"])
async def test_a_taken_port_is_named(kind: str, nothing_left: NothingLeft) -> None:
    sort = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    async with nothing_left():
        with closing(socket.socket(socket.AF_INET, sort)) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == "tcp":
                taken.listen()
            port = taken.getsockname()[1]
            wanted = config(port) if kind == "tcp" else config(0, port)
            with pytest.raises(OSError, match=str(port)) as caught:
                async with open_ports(wanted, {}, nobody):
                    pass
        told = caught.value.strerror or str(caught.value)
        assert f"{kind.upper()} port {port}" in told
        assert "in use" in told
        assert f"webrtc.{kind}_port" in told


async def test_without_a_fit_aioice_programs_can_still_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def unfit() -> str:
        return "has changed"

    monkeypatch.setattr("server.ports.unsupported", unfit)
    async with open_ports(config(0, 0), {}, nobody) as ports:
        assert ports.tcp
        assert (ports.udp, ports.media_over_tcp, tuple(ports.mux.tcp)) == (None, False, ())
    assert "has changed" in caplog.text


def test_nothing_is_open_before() -> None:
    ports = Ports()
    assert json.dumps([ports.tcp, ports.udp, ports.media_over_tcp]) == "[null, null, false]"


async def test_another_aiortc_is_told_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rtp.INSIDE, "sender", ("_moved",))
    with pytest.raises(OSError, match="its sender has no _moved; `make setup`"):
        async with open_ports(config(), {}, nobody):
            pass
