"""What the network lets through: ports, addresses, UDP."""

import asyncio
import errno
import http.client
import ipaddress
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from server.doctor.finding import Finding, Host, within
from signaling.ice_mux import unsupported
from signaling.public_address import Kind, browsers_refuse, listens_at, tcp_hosts

LIMIT = 2.0
"""Seconds that anybody asked over the network has to answer."""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False


# Ports


@dataclass(frozen=True, slots=True)
class Running:
    """A Vaani that listens already."""

    engine_ready: bool
    calls: int


def running_server(host: Host) -> Running | None:
    """The Vaani that answers on the HTTP port, if one does."""
    settings = host.config.server
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    try:
        health = within(LIMIT, lambda: _get_json(address, settings.port, "/health"))
        if health.get("status") != "ok":
            return None
        status = within(LIMIT, lambda: _get_json(address, settings.port, "/status"))
        return Running(bool(status["engine"]["ready"]), len(status["calls"]))
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return None  # nobody, or somebody else


def _get_json(host: str, port: int, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(host, port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        body = json.loads(connection.getresponse().read(1 << 20))
        return body if isinstance(body, dict) else {}
    finally:
        connection.close()


def bind_error(address: str, port: int, kind: socket.SocketKind) -> OSError | None:
    """Why this port cannot be bound; None if it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error
    return None


def check_http(host: Host) -> Finding:
    """Can the page's port be had, or is a Vaani there already?"""
    settings = host.config.server
    where = f"{settings.host} port {settings.port}"
    if not settings.port:
        return Finding("HTTP port", "ok", "server.port is 0: takes one that is free")
    error = bind_error(settings.host, settings.port, socket.SOCK_STREAM)
    if error is None:
        return Finding("HTTP port", "ok", f"{where} is free")
    running = running_server(host)
    if running:
        engine = "ready" if running.engine_ready else "not ready"
        text = f"{where}: Vaani listens already, its engine is {engine}, calls: {running.calls}"
        return Finding("HTTP port", "ok" if running.engine_ready else "note", text)
    advice = _port_advice(error, "server.port", "server.host")
    return Finding("HTTP port", "problem", f"{where}: {_reason(error)}", advice)


def _port_advice(error: OSError, port_key: str, host_key: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"End what listens there, or set {port_key} to another port."
        case errno.EACCES:
            return f"Set {port_key} to a port above 1023, or allow this one to the user."
        case _:
            return f"Set {host_key} to an address of this machine (0.0.0.0 for all)."


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    return reason[:1].lower() + reason[1:]


def check_tcp(host: Host) -> Finding:
    """Can the port of ICE-TCP and of programs' calls be had?"""
    return _check_plan(host, "tcp", socket.SOCK_STREAM)


def check_udp_port(host: Host) -> Finding:
    """Can the one UDP port of all calls be had, where one is asked for?"""
    if host.on_runpod and host.plans["udp"].listen is not None:
        text = "webrtc.udp_port is set, but RunPod passes no UDP to a pod"
        return Finding("UDP port", "problem", text, "Set webrtc.udp_port to null.")
    return _check_plan(host, "udp", socket.SOCK_DGRAM)


def _check_plan(host: Host, kind: Kind, socket_kind: socket.SocketKind) -> Finding:
    name, planned = f"{kind.upper()} port", host.plans[kind]
    if planned.listen is None:
        text = "no single one: calls take any" if kind == "udp" else "webrtc.tcp_port is off"
        advice = "Set webrtc.tcp_port for callers without UDP." if kind == "tcp" else ""
        return Finding(name, "ok" if kind == "udp" else "note", text, advice)
    if planned.listen == 0:
        return Finding(name, "ok", "any that is free")
    where = f"{planned.listen} (from {planned.listen_source})"
    addresses = (
        host.addresses
        if kind == "udp"
        else tcp_hosts(host.config.server.host, host.config.webrtc, host.addresses)
    )
    tried = {a: bind_error(a, planned.listen, socket_kind) for a in addresses}
    errors = {address: error for address, error in tried.items() if error}
    if len(errors) < len(tried):
        lacking = "".join(f"; {address}: {_reason(error)}" for address, error in errors.items())
        return Finding(name, "note" if errors else "ok", f"{where} is free{lacking}")
    error = next(iter(errors.values()))
    if error.errno == errno.EADDRINUSE and running_server(host):
        return Finding(name, "ok", f"{where}: the Vaani that runs has it")
    advice = _port_advice(error, planned.listen_source, "server.host")
    return Finding(name, "problem", f"{where}: {_reason(error)}", advice)


def check_ice_tcp(host: Host) -> Finding:
    """Can this aioice carry media on the one TCP port and the one UDP port?"""
    wrong = asyncio.run(unsupported())
    if wrong:
        text = f"no WebRTC over TCP and no single UDP port: in this aioice {wrong}"
        return Finding("ICE-TCP", "problem", text, "Run `make setup`: it installs one that can.")
    return Finding("ICE-TCP", "ok", "this aioice can carry it")


def offered(host: Host, kind: Kind) -> list[tuple[str, int]]:
    """The addresses to call that something listens at, as far as can be told from inside."""
    planned = host.plans[kind]
    addresses = planned.advertise(planned.listen or 0)
    own = planned.hosts_source in ("interfaces", "webrtc.host_addresses")
    if kind == "udp" or not own:
        return list(addresses)
    listened = tcp_hosts(host.config.server.host, host.config.webrtc, host.addresses)
    return [a for a in addresses if any(listens_at(host, a[0]) for host in listened)]


def check_page(host: Host) -> Finding:
    """Browsers give the microphone only to pages on https or localhost."""
    settings = host.config.server
    local = is_loopback(settings.host)
    if host.proxy and local:
        text = f"RunPod's proxy does not reach {settings.host}"
        return Finding("page", "problem", text, "Set server.host to 0.0.0.0.")
    if host.proxy:
        text = f"{host.proxy}/ (https; cut off after 100 s without traffic: Vaani pings more often)"
        advice = "Anybody who has the URL can call: put your own authentication in front."
        return Finding("page", "ok", text, advice)
    name = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host
    url = f"http://{joined(name, settings.port)}/"
    if local:
        return Finding("page", "ok", f"{url} (this machine, or a TLS proxy on it)")
    text = f"{url} (no https: browsers on other machines give it no microphone)"
    advice = (
        "Put a TLS proxy in front of the page, or forward its port to the caller's own machine: "
        f"`ssh -L {settings.port}:localhost:{settings.port} …` and http://localhost:{settings.port}/."
    )
    return Finding("page", "note", text, advice)


# Addresses and UDP


def check_advertised(host: Host) -> Finding:
    """Where browsers are told to come with their media, and how that is known."""
    texts: list[str] = []
    problems: list[str] = []
    for kind, planned in host.plans.items():
        if planned.listen is None or (kind == "udp" and host.on_runpod):
            continue
        addresses = ", ".join(joined(a, p) for a, p in offered(host, kind))
        sources = f"address from {planned.hosts_source}, port {planned.port_source}"
        texts.append(f"{kind.upper()} {addresses or 'nothing'} ({sources})")
        problems += planned.notes
    if problems:
        text = "; ".join([*problems, *texts])
        return Finding("advertised", "problem", text, _advertise_advice(host))
    return Finding("advertised", "ok", "; ".join(texts) or "the interfaces' addresses")


def _advertise_advice(host: Host) -> str:
    for kind, planned in host.plans.items():
        if browsers_refuse(planned.port or planned.listen or 0):
            return f"Set webrtc.{kind}_port, or webrtc.public_{kind}_port, to another port."
    if host.on_runpod:
        return "In the pod's settings expose the TCP port 70000, then start Vaani again."
    return "Correct webrtc.public_address, or expose the port on this platform."


def joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def check_addresses(host: Host) -> Finding:
    usual = [a for a in host.addresses if not is_loopback(a)]
    public = [a for a in usual if is_public(a)]
    if not usual:
        return Finding("addresses", "note", "loopback only: this machine can only call itself")
    shown = ", ".join(f"{a} ({'public' if a in public else 'private'})" for a in usual)
    return Finding("addresses", "ok", shown)


def check_udp(host: Host) -> Finding:
    """A datagram from each address to itself, and between those of one family."""
    failures, heard = [], []
    for address in host.addresses:
        try:
            _send_to_itself(address)
            heard.append(address)
        except OSError as error:
            failures.append(f"{address}: {_reason(error)}")
    for one, other in _pairs(heard):
        try:
            _send(one, other)
        except OSError as error:
            failures.append(f"{one} to {other}: {_reason(error)}")
    if not failures:
        return Finding("UDP", "ok", f"sent and received on {', '.join(heard)}")
    if heard:
        return Finding("UDP", "note", f"works on {', '.join(heard)}; not on {'; '.join(failures)}")
    advice = "Let a firewall pass UDP, or rely on webrtc.tcp_port."
    if host.config.webrtc.host_addresses:
        advice = "Set webrtc.host_addresses to addresses of this machine, or to [] for all."
    return Finding("UDP", "problem", "; ".join(failures) or "no address", advice)


def _pairs(addresses: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Neighbours of one family, loopback left out: it reaches nobody else."""
    for ipv6 in (False, True):
        family = [a for a in addresses if (":" in a) is ipv6 and not is_loopback(a)]
        yield from pairwise(family)


def _send_to_itself(address: str) -> None:
    _send(address, address)


def _send(one: str, other: str) -> None:
    family = socket.AF_INET6 if ":" in one else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
    ):
        sender.bind((one, 0))
        receiver.bind((other, 0))
        receiver.settimeout(LIMIT)
        sender.sendto(b"vaani", receiver.getsockname())
        receiver.recv(16)
