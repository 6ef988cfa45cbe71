"""A server behind nginx with TLS, reached in one of the ways that a caller's network leaves."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.lab.network import Network
from bench.lab.parts import free_port
from bench.lab.server import server
from bench.lab.tls import Certificate, nginx
from bench.lab.turn import coturn

WAYS = {
    "udp": "WebRTC over UDP",
    "tcp": "WebRTC over TCP, UDP dropped",
    "relay": "WebRTC through TURN over TLS, UDP dropped",
    "websocket": "WebSocket, UDP dropped",
}


@contextlib.contextmanager
def site(way: str, net: Network, certificate: Certificate, directory: Path) -> Iterator[str]:
    """The https URL; the network lets no more through than the way needs."""
    directory.mkdir()
    settings: dict[str, object] = {"webrtc.host_addresses": [net.server]}
    environment = None
    with contextlib.ExitStack() as stack:
        if way == "tcp":
            settings["webrtc.tcp_port"] = free_port(net.server)
        if way == "relay":
            relay = stack.enter_context(coturn(net.server, certificate, directory))
            settings |= {"webrtc.ice_servers": [relay], "webrtc.ice_transport_policy": "relay"}
            environment = {"SSL_CERT_FILE": str(certificate.certificate)}
        address = net.server if way == "tcp" else "127.0.0.1"
        url = stack.enter_context(server(directory, settings, address, environment))
        if way == "udp":
            net.pass_udp()
        else:
            net.drop_udp()
        yield stack.enter_context(nginx(url, net.server, certificate, directory))
