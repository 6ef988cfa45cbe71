"""By which ways a caller reaches this host, and from where, as far as can be told from inside."""

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from server.doctor.finding import Finding, Host
from server.doctor.network import is_loopback, joined, offered
from signaling.public_address import Kind, listens_at

PLATFORM_ADDRESSES = ("RUNPOD_PUBLIC_IP", "PUBLIC_IPADDR")
"""Variables with which RunPod and Vast tell a machine its public address."""

_ANYWHERE = "from anywhere that no firewall shuts out"
_RELAYED = "webrtc.ice_transport_policy is relay"


@dataclass(frozen=True, slots=True)
class CallPath:
    """One way to call. `text` says where to and from where, or why it does not work."""

    name: str
    works: bool
    text: str


def call_paths(host: Host, findings: Sequence[Finding]) -> list[CallPath]:
    """All ways, in the order in which a browser prefers them; the last is for programs."""
    broken = {finding.name for finding in findings if finding.status == "problem"}
    relays = [f.text for f in findings if f.name == "TURN server" and f.status == "ok"]
    paths = [_over_udp(host, broken), _over_tcp(host, broken)]
    if relays:
        text = f"by {', '.join(relay.removesuffix(' answers') for relay in relays)}"
        paths.append(CallPath("WebRTC through a relay", True, text))
    return [*paths, _web_socket(host, broken), _programs(host, broken)]


def _over_udp(host: Host, broken: set[str]) -> CallPath:
    name = "WebRTC over UDP"
    if host.on_runpod:
        return CallPath(name, False, "RunPod passes no UDP to a pod")
    if _relayed(host):
        return CallPath(name, False, _RELAYED)
    if "UDP" in broken or "UDP port" in broken:
        return CallPath(name, False, "UDP does not work here")
    planned = host.plans["udp"]
    if planned.listen is None:
        where = f"{', '.join(host.addresses)}, any UDP port"
        return CallPath(name, True, f"{where}; {_reach(host.addresses)}")
    return CallPath(name, True, _offered(host, "udp"))


def _over_tcp(host: Host, broken: set[str]) -> CallPath:
    name = "WebRTC over TCP (ICE-TCP)"
    problem = _tcp_problem(host, broken)
    if problem:
        return CallPath(name, False, problem)
    if _relayed(host):
        return CallPath(name, False, _RELAYED)
    if "ICE-TCP" in broken:
        return CallPath(name, False, "this aioice cannot carry it")
    if "advertised" in broken:
        return CallPath(name, False, "the address or port that is advertised does not work")
    return CallPath(name, True, _offered(host, "tcp"))


def _relayed(host: Host) -> bool:
    return host.config.webrtc.ice_transport_policy == "relay"


def _tcp_problem(host: Host, broken: set[str]) -> str:
    if host.plans["tcp"].listen is None:
        return "webrtc.tcp_port is off"
    if "TCP port" in broken:
        return "the TCP port cannot be had"
    return "" if offered(host, "tcp") else "nothing listens at its addresses"


def _web_socket(host: Host, broken: set[str]) -> CallPath:
    name = "WebSocket"
    if "HTTP port" in broken or "page" in broken:
        return CallPath(name, False, "the page's port does not work")
    if host.proxy:
        url = host.proxy.replace("https:", "wss:", 1)
        return CallPath(name, True, f"{url}/ws/call; from anywhere, through RunPod's proxy")
    settings = host.config.server
    shown = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host
    hosts = host.addresses if shown != settings.host else (settings.host,)
    text = f"ws://{joined(shown, settings.port)}/ws/call; {_reach(hosts)}"
    return CallPath(name, True, f"{text}, or through a proxy in front of it")


def _programs(host: Host, broken: set[str]) -> CallPath:
    name = "TCP for programs"
    problem = _tcp_problem(host, broken)
    if problem:
        return CallPath(name, False, problem)
    if host.plans["tcp"].hosts_source in PLATFORM_ADDRESSES or host.config.webrtc.public_address:
        return CallPath(name, True, _offered(host, "tcp"))
    bound = host.config.server.host  # nothing guards these but what guards HTTP
    addresses = [address for address in offered(host, "tcp") if listens_at(bound, address[0])]
    if not addresses:
        return CallPath(name, False, "none of its addresses is one of server.host's")
    where = ", ".join(joined(*address) for address in addresses)
    return CallPath(name, True, f"{where}; {_reach(name for name, _ in addresses)}")


def _offered(host: Host, kind: Kind) -> str:
    """Where to call this port, and from where that can be reached."""
    addresses = offered(host, kind)
    where = ", ".join(joined(*address) for address in addresses)
    told = host.plans[kind].hosts_source in PLATFORM_ADDRESSES
    return f"{where}; {_ANYWHERE if told else _reach(name for name, _ in addresses)}"


def _reach(addresses: Iterable[str]) -> str:
    """From where these can be reached, if no firewall is in between."""
    found = list(addresses)
    if all(is_loopback(address) for address in found):
        return "from this machine only"
    literals = [ipaddress.ip_address(a) for a in found if not is_loopback(a)]
    if any(address.is_global for address in literals):
        return _ANYWHERE
    return "from the same network"
