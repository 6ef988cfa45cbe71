"""Where callers reach the one TCP port and the one UDP port, and how that is known.

Configuration goes first, then what RunPod and Vast tell their machines in the environment, then
the addresses of the interfaces.
"""

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from signaling.webrtc import WebRtcSettings

Kind = Literal["tcp", "udp"]

SYMMETRICAL = 70_000
"""RunPod and Vast: who asks for a port from here on (there are none) gets one whose number is the
same inside and outside. Its number is the value of the variable."""

_PLATFORMS = (
    ("RUNPOD_PUBLIC_IP", "RUNPOD_{kind}_PORT_"),
    ("PUBLIC_IPADDR", "VAST_{kind}_PORT_"),
)
_OURS = ("RUNPOD_", "VAST_", "PUBLIC_IPADDR")

_UNSAFE = {
    *(1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668),
    *(6669, 6679, 6697, 10080),
}  # the bad ports of the Fetch standard, from 1024 up


@dataclass(frozen=True)
class PortPlan:
    """Where to listen and what to advertise. A source is a setting's or a variable's name,
    "interfaces", or "as inside" for a port that is the same outside."""

    listen: int | None  # None: this port is off; 0: any free one
    listen_source: str
    hosts: tuple[str, ...] = ()  # IP literals
    hosts_source: str = ""
    port: int | None = None  # as seen from outside; None: the one that is listened on
    port_source: str = "as inside"
    notes: tuple[str, ...] = ()  # what is wrong with that, for people

    def advertise(self, bound: int) -> tuple[tuple[str, int], ...]:
        """The addresses to offer, now that the port is bound."""
        return tuple((host, self.port or bound) for host in self.hosts)


def lookup(name: str) -> list[str]:
    """The IP addresses of a host name. Blocks; raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def environment(init: Path = Path("/proc/1/environ")) -> dict[str, str]:
    """This process's environment, and what the platform told only the machine's first process."""
    try:
        pairs = (item.partition("=") for item in init.read_text("utf-8", "replace").split("\0"))
        told = {name: value for name, _, value in pairs if name.startswith(_OURS)}
    except OSError:
        told = {}
    return {**told, **os.environ}


def plan(
    kind: Kind,
    settings: WebRtcSettings,
    environ: Mapping[str, str],
    interfaces: Sequence[str],
    resolve: Callable[[str], Sequence[str]] = lookup,
) -> PortPlan:
    """Where the port of this kind listens, and the addresses to advertise for it."""
    name = f"webrtc.{kind}_port"
    inside, outside = (
        (settings.tcp_port, settings.public_tcp_port)
        if kind == "tcp"
        else (settings.udp_port, settings.public_udp_port)
    )
    if inside is None:
        return PortPlan(None, name)
    notes: list[str] = []
    listen, listen_source, port, port_source = inside, name, outside, "as inside"
    if outside is not None:
        port_source = f"webrtc.public_{kind}_port"
    hosts = _configured(settings.public_address, resolve, notes)
    hosts_source = "webrtc.public_address"
    for variable, pattern in _PLATFORMS:
        if hosts and port:
            break
        address = environ.get(variable, "")
        if not _is_address(address):
            if address:
                notes.append(f"{variable} is no IP address: {address}")
            continue
        mapping = _mapping(environ, pattern.format(kind=kind.upper()), inside)
        if mapping is None and port is None:
            notes.append(
                f"{variable} is set but no {kind.upper()} port is mapped: expose {inside}, or "
                f"{SYMMETRICAL} to have one that is the same inside and outside"
            )
            continue
        if mapping and port is None:
            port_source, listen_here, port = mapping
            if listen_here:
                listen, listen_source = port, port_source
        if not hosts:
            hosts, hosts_source = (address,), variable
    if not hosts:
        hosts = tuple(settings.host_addresses) or tuple(interfaces)
        hosts_source = "webrtc.host_addresses" if settings.host_addresses else "interfaces"
    if browsers_refuse(port or listen):
        notes.append(f"browsers refuse port {port or listen}: choose another")
    return PortPlan(listen, listen_source, hosts, hosts_source, port, port_source, tuple(notes))


def browsers_refuse(port: int) -> bool:
    """Whether Chrome would not call this TCP port (0 is any free one)."""
    return (0 < port < 1024 and port not in (80, 443)) or port in _UNSAFE


def tcp_hosts(
    server_host: str, settings: WebRtcSettings, interfaces: Sequence[str]
) -> tuple[str, ...]:
    """Where the TCP port is listened on.

    Media need a call's password, and HTTP may stand behind a proxy on this machine: so media over
    TCP are taken on every address on which UDP is.
    """
    if server_host in ("0.0.0.0", "::") and not settings.host_addresses:
        return (server_host,)
    return tuple(settings.host_addresses) or tuple(interfaces)


def listens_at(bound: str, address: str) -> bool:
    """Whether who listens on the address `bound`, 0.0.0.0 and :: included, can be called there."""
    if bound in ("0.0.0.0", "::"):
        return (":" in bound) == (":" in address)
    loopback = all(ipaddress.ip_address(a).is_loopback for a in (bound, address) if _is_address(a))
    return bound == address or ((bound == "localhost" or _is_address(bound)) and loopback)


def _configured(
    name: str, resolve: Callable[[str], Sequence[str]], notes: list[str]
) -> tuple[str, ...]:
    if not name or _is_address(name):
        return (name,) if name else ()
    try:
        return tuple(resolve(name))
    except OSError as error:
        notes.append(f"webrtc.public_address: {name} cannot be looked up: {error.strerror}")
        return ()


def _mapping(environ: Mapping[str, str], prefix: str, inside: int) -> tuple[str, bool, int] | None:
    """The variable that says how the port is seen from outside, whether to listen there, and it."""
    variable = f"{prefix}{inside}"
    if port := _port(environ.get(variable, "")):
        return variable, False, port
    for number in sorted(
        int(name.removeprefix(prefix))
        for name in environ
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
    ):
        variable = f"{prefix}{number}"
        if number >= SYMMETRICAL and (port := _port(environ[variable])):
            return variable, True, port
    return None


def _port(text: str) -> int:
    return int(text) if text.isdecimal() and 0 < int(text) < 65_536 else 0


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
