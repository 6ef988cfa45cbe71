"""A network of its own for a caller, behind a router that can drop all UDP.

    caller's namespace ── router's namespace ── here
      .6            .5           .2          .1

The router drops in silence, as a firewall does: in the caller's own namespace the sockets would
return errors, which no caller in the field ever sees.
"""

import contextlib
import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from bench.lab.parts import PartMissing, command, require

TRIES = 20


@dataclass(frozen=True)
class Network:
    """`server` is this machine's address as the caller sees it; `caller` is a namespace."""

    caller: str
    router: str
    server: str

    def drop_udp(self) -> None:
        """From now on no UDP passes, in either direction."""
        command("ip", "netns", "exec", self.router, "nft", "-f", "-", stdin=_DROP_UDP)

    def pass_udp(self) -> None:
        """Undoes `drop_udp`."""
        command("ip", "netns", "exec", self.router, "nft", "flush", "ruleset")

    @property
    def within(self) -> tuple[str, ...]:
        """What to put before a command that is to run at the caller's."""
        return ("ip", "netns", "exec", self.caller)


_DROP_UDP = """\
table inet lab {
    chain passing {
        type filter hook forward priority 0;
        meta l4proto udp drop
    }
}
"""


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Makes one and takes it down. Raises PartMissing where that takes more than we may."""
    require("ip", "nft")
    if os.geteuid() != 0:
        raise PartMissing("only root can make network namespaces")
    prefix = _free_prefix()
    name = f"lab{os.getpid()}n{prefix.split('.')[2]}"
    net = Network(caller=f"{name}c", router=f"{name}r", server=f"{prefix}.1")
    # Interface names have at most 15 characters.
    tag = f"{os.getpid() % 100_000}x{prefix.split('.')[2]}"
    outer, inner, near, far = (f"{letter}{tag}" for letter in "oirc")
    try:
        for namespace in (net.caller, net.router):
            command("ip", "netns", "add", namespace)
            command("ip", "-n", namespace, "link", "set", "lo", "up")
        command("ip", "link", "add", outer, "type", "veth", "peer", inner, "netns", net.router)
        command("ip", "-n", net.router, "link", "add", near, "type", "veth",
                "peer", far, "netns", net.caller)  # fmt: skip
        command("ip", "addr", "add", f"{prefix}.1/30", "dev", outer)
        command("ip", "link", "set", outer, "up")
        for namespace, host, interface in (
            (net.router, 2, inner),
            (net.router, 5, near),
            (net.caller, 6, far),
        ):
            command("ip", "-n", namespace, "addr", "add", f"{prefix}.{host}/30", "dev", interface)
            command("ip", "-n", namespace, "link", "set", interface, "up")
        command("ip", "-n", net.caller, "route", "add", "default", "via", f"{prefix}.5")
        command("ip", "route", "add", f"{prefix}.4/30", "via", f"{prefix}.2")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        command("ip", "netns", "exec", net.router, "sh", "-c", forward)
        yield net
    finally:
        for namespace in (net.caller, net.router):
            _delete(namespace)


def _free_prefix() -> str:
    taken = command("ip", "-4", "route")
    for _ in range(TRIES):
        prefix = f"10.77.{random.randrange(256)}"
        if f"{prefix}." not in taken:
            return prefix
    raise PartMissing("no network of 10.77.0.0/16 is free")


def _delete(namespace: str) -> None:
    if namespace not in command("ip", "netns", "list").split():
        return
    for pid in command("ip", "netns", "pids", namespace).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    command("ip", "netns", "delete", namespace)  # and with it its ends of the links
