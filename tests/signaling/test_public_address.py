"""Where callers are told to come to: settings, then the platform, then the interfaces."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from signaling.public_address import PortPlan, browsers_refuse, environment, lookup, plan
from signaling.webrtc import WebRtcSettings

INTERFACES = ["10.0.0.5", "127.0.0.1"]
RUNPOD = {"RUNPOD_PUBLIC_IP": "203.0.113.9"}
VAST = {"PUBLIC_IPADDR": "203.0.113.8"}


def tcp(environ: dict[str, str], **settings: Any) -> PortPlan:
    return plan("tcp", WebRtcSettings(**settings), environ, INTERFACES, names)


def names(name: str) -> Sequence[str]:
    if name == "vaani.example":
        return ["198.51.100.1", "2001:db8::1"]
    raise OSError(-2, "Name or service not known")


def test_without_anything_it_is_the_interfaces() -> None:
    found = tcp({})
    assert (found.listen, found.listen_source) == (8001, "webrtc.tcp_port")
    assert (found.hosts, found.hosts_source) == (tuple(INTERFACES), "interfaces")
    assert (found.port, found.port_source) == (None, "as inside")
    assert found.notes == ()
    assert found.advertise(8001) == (("10.0.0.5", 8001), ("127.0.0.1", 8001))


def test_any_free_port_is_advertised_as_bound() -> None:
    assert tcp({}, tcp_port=0).advertise(40_123)[0] == ("10.0.0.5", 40_123)


def test_host_addresses_stand_for_the_interfaces() -> None:
    found = tcp({}, host_addresses=("10.0.0.7",))
    assert (found.hosts, found.hosts_source) == (("10.0.0.7",), "webrtc.host_addresses")


def test_off_is_off() -> None:
    assert tcp(RUNPOD | {"RUNPOD_TCP_PORT_8001": "1"}, tcp_port=None).listen is None
    found = plan("udp", WebRtcSettings(), {}, INTERFACES)
    assert (found.listen, found.advertise(1)) == (None, ())


def test_settings_go_before_the_platform() -> None:
    environ = RUNPOD | {"RUNPOD_TCP_PORT_8001": "10341"}
    found = tcp(environ, public_address="198.51.100.7", public_tcp_port=443)
    assert found.advertise(8001) == (("198.51.100.7", 443),)
    assert (found.hosts_source, found.port_source) == (
        "webrtc.public_address",
        "webrtc.public_tcp_port",
    )
    assert found.listen == 8001


def test_what_one_setting_leaves_open_the_platform_says() -> None:
    environ = RUNPOD | {"RUNPOD_TCP_PORT_8001": "10341"}
    assert tcp(environ, public_tcp_port=443).advertise(8001) == (("203.0.113.9", 443),)
    assert tcp(environ, public_address="198.51.100.7").advertise(8001) == (("198.51.100.7", 10341),)


def test_a_name_is_looked_up() -> None:
    found = tcp({}, public_address="vaani.example")
    assert found.hosts == ("198.51.100.1", "2001:db8::1")


def test_a_name_that_is_none_is_noted_and_the_next_source_is_used() -> None:
    found = tcp({}, public_address="nowhere.example")
    assert found.hosts_source == "interfaces"
    assert found.notes == (
        "webrtc.public_address: nowhere.example cannot be looked up: Name or service not known",
    )


def test_names_are_looked_up_for_real() -> None:
    assert "127.0.0.1" in lookup("localhost")


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        (RUNPOD | {"RUNPOD_TCP_PORT_8001": "10341"}, "RUNPOD_TCP_PORT_8001"),
        (VAST | {"VAST_TCP_PORT_8001": "10341"}, "VAST_TCP_PORT_8001"),
    ],
)
def test_a_mapped_port(environ: dict[str, str], variable: str) -> None:
    found = tcp(environ)
    assert found.listen == 8001
    assert found.advertise(8001) == ((next(iter(environ.values())), 10341),)
    assert found.port_source == variable
    assert found.hosts_source == next(iter(environ))


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        (RUNPOD | {"RUNPOD_TCP_PORT_70000": "15001"}, "RUNPOD_TCP_PORT_70000"),
        (
            RUNPOD | {"RUNPOD_TCP_PORT_70001": "15002", "RUNPOD_TCP_PORT_70000": "15001"},
            "RUNPOD_TCP_PORT_70000",
        ),
        (RUNPOD | {"RUNPOD_TCP_PORT_22": "9", "RUNPOD_TCP_PORT_70100": "15001"}, None),
        (VAST | {"VAST_TCP_PORT_70000": "15001"}, "VAST_TCP_PORT_70000"),
    ],
)
def test_a_symmetrical_port_is_listened_on(environ: dict[str, str], variable: str | None) -> None:
    found = tcp(environ)
    assert found.listen == 15001
    assert found.listen_source == found.port_source == (variable or "RUNPOD_TCP_PORT_70100")
    assert [port for _, port in found.advertise(15001)] == [15001]


def test_a_platform_that_maps_no_port_is_noted() -> None:
    found = tcp(RUNPOD | {"RUNPOD_TCP_PORT_22": "10022"})
    assert found.hosts_source == "interfaces"
    assert found.listen == 8001
    (note,) = found.notes
    assert "RUNPOD_PUBLIC_IP is set but no TCP port is mapped: expose 8001, or 70000" in note


@pytest.mark.parametrize("value", ["0", "65536", "-1", "tcp://10.0.0.1:80", "", "²"])
def test_values_that_are_no_port(value: str) -> None:
    assert tcp(RUNPOD | {"RUNPOD_TCP_PORT_8001": value}).hosts_source == "interfaces"


def test_names_that_are_no_port() -> None:
    environ = {"RUNPOD_TCP_PORT_": "1", "RUNPOD_TCP_PORT_x": "2", "RUNPOD_TCP_PORT_²": "3"}
    assert tcp(RUNPOD | environ).hosts_source == "interfaces"


def test_a_public_ip_that_is_none_is_noted() -> None:
    found = tcp({"RUNPOD_PUBLIC_IP": "pod.example", "RUNPOD_TCP_PORT_8001": "10341"})
    assert found.hosts_source == "interfaces"
    assert found.notes == ("RUNPOD_PUBLIC_IP is no IP address: pod.example",)


def test_udp_has_its_own_variables() -> None:
    environ = VAST | {"VAST_TCP_PORT_8002": "1", "VAST_UDP_PORT_8002": "20002"}
    settings = WebRtcSettings(udp_port=8002)
    assert plan("udp", settings, environ, INTERFACES).advertise(8002) == (("203.0.113.8", 20002),)
    settings = replace(settings, public_address="198.51.100.7", public_udp_port=5)
    found = plan("udp", settings, {}, INTERFACES)
    assert found.advertise(8002) == (("198.51.100.7", 5),)


@pytest.mark.parametrize(
    ("port", "refused"),
    [(0, False), (80, False), (443, False), (8001, False), (22, True), (1023, True), (10080, True)],
)
def test_ports_that_browsers_refuse_are_noted(port: int, refused: bool) -> None:
    assert browsers_refuse(port) is refused
    assert bool(tcp({}, public_tcp_port=port or None, tcp_port=port).notes) is refused


def test_the_first_process_may_know_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = tmp_path / "environ"
    init.write_bytes(
        b"HOME=/root\0RUNPOD_PUBLIC_IP=203.0.113.9\0RUNPOD_TCP_PORT_70000=1=2\0"
        b"PUBLIC_IPADDR=203.0.113.8\0SECRET=\xff\0"
    )
    monkeypatch.setenv("RUNPOD_PUBLIC_IP", "203.0.113.1")
    monkeypatch.delenv("SECRET", raising=False)
    found = environment(init)
    assert found["RUNPOD_PUBLIC_IP"] == "203.0.113.1"  # what we were told ourselves goes first
    assert found["RUNPOD_TCP_PORT_70000"] == "1=2"
    assert found["PUBLIC_IPADDR"] == "203.0.113.8"
    assert "SECRET" not in found


def test_the_first_process_may_be_out_of_sight(tmp_path: Path) -> None:
    assert "PATH" in environment(tmp_path / "none")
