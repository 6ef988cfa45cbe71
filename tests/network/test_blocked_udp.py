"""Chromium calls from a network that lets no UDP through, or no longer does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.lab.browsers import chromium, wait_for
from bench.lab.network import Network
from bench.lab.parts import free_port
from bench.lab.room import room
from bench.lab.server import server
from bench.lab.tls import Certificate, nginx
from bench.lab.turn import coturn
from bench.lab.visitor import TURN, ask, hang_up, last_turn, media_path, press_call
from tests.network.calls import WORD, converse, heard_of

if TYPE_CHECKING:
    from tests.network.conftest import Enter


def test_websocket_where_nothing_else_goes(
    enter: Enter, net: Network, site: str, tmp_path: Path
) -> None:
    caller = enter(room(tmp_path / "room"))
    tab = enter(chromium(caller.environment, tmp_path, net))
    net.drop_udp()
    press_call(tab, site)
    converse(tab, caller)
    assert tab.evaluate("vaani.path.kind") == "WebSocket"
    hang_up(tab)


def test_ice_tcp(enter: Enter, net: Network, certificate: Certificate, tmp_path: Path) -> None:
    settings = {
        "webrtc.host_addresses": [net.server],
        "webrtc.tcp_port": free_port(net.server),
    }
    url = enter(server(tmp_path, settings, net.server))
    site = enter(nginx(url, net.server, certificate, tmp_path))
    caller = enter(room(tmp_path / "room"))
    tab = enter(chromium(caller.environment, tmp_path, net))
    net.drop_udp()
    press_call(tab, site)
    converse(tab, caller)
    assert media_path(tab).protocol == "tcp"
    assert tab.evaluate("vaani.path.kind") == "TCP"
    hang_up(tab)


def test_answer_goes_on_over_the_websocket(
    enter: Enter, net: Network, site: str, tmp_path: Path
) -> None:
    caller = enter(room(tmp_path / "room"))
    tab = enter(chromium(caller.environment, tmp_path, net))
    press_call(tab, site)
    session = tab.evaluate("vaani.sessionId")
    assert media_path(tab).protocol == "udp"
    with caller.ear() as ear:
        ask(tab, caller, "count from one to twenty")
        wait_for(tab, f"{TURN}.reply.heard.includes('five')")
        net.drop_udp()
        heard = heard_of(tab, ear, caller)
    assert tab.evaluate("vaani.sessionId") == session
    assert tab.evaluate("vaani.path.kind") == "WebSocket"
    assert last_turn(tab)["reply"]["text"].count(",") == 19
    assert heard.missing < WORD
    assert heard.repeated < WORD
    converse(tab, caller)


def test_turn_over_tls(
    enter: Enter, net: Network, certificate: Certificate, tmp_path: Path
) -> None:
    relay = enter(coturn(net.server, certificate, tmp_path))
    settings = {
        "webrtc.host_addresses": [net.server],
        "webrtc.ice_servers": [relay],
        "webrtc.ice_transport_policy": "relay",
    }
    trust = {"SSL_CERT_FILE": str(certificate.certificate)}
    url = enter(server(tmp_path, settings, environment=trust))
    site = enter(nginx(url, net.server, certificate, tmp_path))
    caller = enter(room(tmp_path / "room"))
    tab = enter(chromium(caller.environment, tmp_path, net))
    net.drop_udp()
    press_call(tab, site)
    converse(tab, caller)
    path = media_path(tab)
    assert (path.local, path.relay) == ("relay", "tls")
    hang_up(tab)
