"""The doctor: what it finds on hosts that are made so, with real sockets."""

import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from server.config import Config, ServerSettings
from server.doctor import CHECKS, Report, examine, machine, network
from server.doctor.finding import Check, Finding, Host, look_at, within
from server.doctor.paths import call_paths
from server.doctor.relays import check_ice_url, parse_ice_url
from server.settings import load
from signaling.public_address import plan

ROOT = Path(__file__).parents[2]
POD = {
    "RUNPOD_POD_ID": "abc123",
    "RUNPOD_PUBLIC_IP": "203.0.113.9",
    "RUNPOD_TCP_PORT_70000": "41234",
}


def make_host(environ: Mapping[str, str] | None = None, *overrides: str) -> Host:
    loopback = "webrtc.host_addresses=['127.0.0.1']"
    config, _ = load(Config, None, {}, (loopback, "webrtc.tcp_port=0", *overrides))
    return look_at(config, environ or {})


def paths_of(host: Host, *findings: Finding) -> dict[str, tuple[bool, str]]:
    return {path.name: (path.works, path.text) for path in call_paths(host, findings)}


@contextmanager
def listening(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.settimeout(10)  # a test that is not asked fails, and does not hang
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        yield taken


@contextmanager
def serving(answers: Mapping[str, object]) -> Iterator[int]:
    """An HTTP server that answers these paths with JSON and all else with 404; its port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in answers
            self.send_response(200 if known else 404)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path)).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


# The whole


def test_a_host_where_all_works() -> None:
    config, _ = load(Config, None, {}, ("server.port=0", "webrtc.tcp_port=0", "engine.name=echo"))
    report = examine(config, {})
    assert report.ok, [f for f in report.findings if f.status == "problem"]
    names = [finding.name for finding in report.findings]
    assert len(names) == len(set(names)) == len(CHECKS) + 1
    assert [path.name for path in report.paths if path.works] == [
        "WebRTC over UDP",
        "WebRTC over TCP (ICE-TCP)",
        "WebSocket",
        "TCP for programs",
    ]


def test_json_has_all_and_its_shape_stays() -> None:
    findings = (
        Finding("a", "note", "fine so far", "Do this later."),
        Finding("b", "problem", "వాణి is taken", "Do this first."),
        Finding("c", "note", "the same", "Do this later."),
    )
    report = Report(findings, tuple(call_paths(make_host(), findings)))
    shown = json.loads(report.as_json())
    assert set(shown) == {"ok", "findings", "paths", "advice"}
    assert shown["ok"] is False
    assert shown["findings"][1] == {
        "name": "b",
        "status": "problem",
        "text": "వాణి is taken",
        "advice": "Do this first.",
    }
    assert set(shown["paths"][0]) == {"name", "works", "text"}
    assert shown["advice"] == ["Do this first.", "Do this later."]


def test_the_report_is_a_table_then_paths_then_advice() -> None:
    findings = (
        Finding("short", "ok", "well"),
        Finding("much longer", "problem", "taken", "Free it."),
        Finding("HTTP port", "problem", "taken", "Free it."),
    )
    lines = str(Report(findings, tuple(call_paths(make_host(), findings)))).splitlines()
    assert lines[:3] == [
        "✓ short        well",
        "✗ much longer  taken",
        "✗ HTTP port    taken",
    ]
    caller = lines.index("A caller will get:")
    assert lines[caller + 1].startswith("  1. WebRTC over UDP  ")
    assert [line for line in lines[caller:] if line.startswith("  ✗  WebSocket ")]
    assert lines[-2:] == ["To change:", "  1. Free it."]


def test_what_takes_too_long_is_left_alone() -> None:
    for_ever = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            within(0.01, for_ever.wait)
    finally:
        for_ever.set()
    assert within(60, lambda: 3) == 3
    with pytest.raises(ValueError, match="invalid literal"):
        within(60, lambda: int("many"))


# Ports


@pytest.mark.parametrize("health", [["hello"], {"status": "fine"}])
def test_a_port_that_somebody_else_has_is_a_problem(health: object) -> None:
    status = {"engine": {"ready": True}, "calls": []}
    with serving({"/health": health, "/status": status}) as port:
        host = make_host(None, f"server.port={port}")
        finding = network.check_http(host)
        assert finding.status == "problem"
        assert "address already in use" in finding.text
        assert "server.port" in finding.advice
        assert paths_of(host, finding)["WebSocket"][0] is False
    assert network.check_http(host).status == "ok"


def test_a_port_whose_owner_says_nothing_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LIMIT", 0.05)
    with listening() as taken:
        host = make_host(None, f"server.port={taken.getsockname()[1]}")
        assert network.check_http(host).status == "problem"


@pytest.mark.parametrize(("ready", "status"), [(True, "ok"), (False, "note")])
def test_a_vaani_that_runs_is_asked_how_it_is(ready: bool, status: str) -> None:
    answers = {
        "/health": {"status": "ok"},
        "/status": {"engine": {"ready": ready}, "calls": [{}, {}]},
    }
    with serving(answers) as port, listening() as media:
        media_port = media.getsockname()[1]
        host = make_host(None, f"server.port={port}", f"webrtc.tcp_port={media_port}")
        http = network.check_http(host)
        assert http.status == status
        assert "Vaani listens already" in http.text
        assert "calls: 2" in http.text
        assert network.check_tcp(host).status == "ok"  # it is the running one that has it


def test_a_taken_tcp_port_is_a_problem() -> None:
    with listening() as taken, listening() as free:
        free_port = free.getsockname()[1]
        free.close()
        port = taken.getsockname()[1]
        host = make_host(None, f"server.port={free_port}", f"webrtc.tcp_port={port}")
        finding = network.check_tcp(host)
    assert finding.status == "problem"
    assert f"{port} (from webrtc.tcp_port)" in finding.text
    assert "webrtc.tcp_port" in finding.advice
    paths = paths_of(host, finding)
    assert paths["WebRTC over TCP (ICE-TCP)"] == (False, "the TCP port cannot be had")
    assert paths["TCP for programs"] == (False, "the TCP port cannot be had")
    assert paths["WebRTC over UDP"][0]


def test_a_taken_udp_port_is_a_problem() -> None:
    with listening(socket.SOCK_DGRAM) as taken:
        port = taken.getsockname()[1]
        host = make_host(None, "server.port=0", f"webrtc.udp_port={port}")
        finding = network.check_udp_port(host)
    assert finding.status == "problem"
    assert paths_of(host, finding)["WebRTC over UDP"][0] is False
    assert network.check_udp_port(host).status == "ok"
    assert f"127.0.0.1:{port}" in paths_of(host)["WebRTC over UDP"][1]


def test_a_udp_port_that_some_address_has_free_is_worth_a_note() -> None:
    with listening(socket.SOCK_DGRAM) as taken:
        port = taken.getsockname()[1]
        both = 'webrtc.host_addresses=["127.0.0.1", "127.0.0.2"]'
        finding = network.check_udp_port(make_host(None, both, f"webrtc.udp_port={port}"))
    assert finding.status == "note"
    assert "127.0.0.1: address already in use" in finding.text


def test_a_tcp_port_that_is_off_is_no_problem() -> None:
    host = make_host(None, "webrtc.tcp_port=null")
    finding = network.check_tcp(host)
    assert finding.status == "note"
    assert paths_of(host, finding)["TCP for programs"] == (False, "webrtc.tcp_port is off")


@pytest.mark.parametrize("address", ["192.0.2.77", "no.such.name.invalid"])
def test_an_address_of_another_machine_cannot_be_listened_on(address: str) -> None:
    finding = network.check_http(make_host(None, f"server.host={address}"))
    assert finding.status == "problem"
    assert "server.host" in finding.advice


def test_what_is_wrong_with_a_port_is_told_by_its_kind() -> None:
    advice = network._port_advice(PermissionError(errno.EACCES, ""), "server.port", "server.host")
    assert "above 1023" in advice


@pytest.mark.parametrize("port", [10080, 700])
def test_a_port_that_browsers_refuse_is_a_problem(port: int) -> None:
    host = make_host(None, f"webrtc.public_tcp_port={port}")
    finding = network.check_advertised(host)
    assert finding.status == "problem"
    assert f"browsers refuse port {port}" in finding.text
    assert "webrtc.public_tcp_port" in finding.advice
    assert paths_of(host, finding)["WebRTC over TCP (ICE-TCP)"][0] is False
    assert paths_of(host, finding)["TCP for programs"][0]


# Addresses, UDP, the page


def test_udp_is_sent_and_received() -> None:
    finding = network.check_udp(make_host())
    assert finding == Finding("UDP", "ok", "sent and received on 127.0.0.1")


def test_udp_on_addresses_of_another_machine() -> None:
    host = replace(make_host(), addresses=("192.0.2.77", "127.0.0.1"))
    assert network.check_udp(host).status == "note"
    assert "not on 192.0.2.77" in network.check_udp(host).text
    host = replace(host, addresses=("192.0.2.77",))
    finding = network.check_udp(host)
    assert finding.status == "problem"
    assert "webrtc.host_addresses" in finding.advice
    assert paths_of(host, finding)["WebRTC over UDP"] == (False, "UDP does not work here")


def test_udp_that_is_swallowed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swallowing(socket.socket):
        def sendto(self, *_: object) -> int:
            return 5

    monkeypatch.setattr("socket.socket", Swallowing)
    monkeypatch.setattr(network, "LIMIT", 0.01)
    finding = network.check_udp(replace(make_host(), config=Config()))
    assert finding.status == "problem"
    assert "firewall" in finding.advice


def test_addresses_are_private_or_public() -> None:
    host = replace(make_host(), addresses=("10.1.2.3", "8.8.8.8", "127.0.0.1"))
    assert network.check_addresses(host).text == "10.1.2.3 (private), 8.8.8.8 (public)"
    assert paths_of(host)["WebRTC over UDP"][1].endswith("from anywhere that no firewall shuts out")
    host = replace(host, addresses=("10.1.2.3", "127.0.0.1"))
    assert paths_of(host)["WebRTC over UDP"][1].endswith("from the same network")
    host = replace(host, addresses=("127.0.0.1",))
    assert "only call itself" in network.check_addresses(host).text
    assert paths_of(host)["WebRTC over UDP"][1].endswith("from this machine only")


def test_a_page_on_a_bare_address_needs_tls() -> None:
    assert network.check_page(make_host()).status == "ok"
    finding = network.check_page(make_host(None, "server.host=0.0.0.0"))
    assert finding.status == "note"
    assert "no microphone" in finding.text
    assert "TLS proxy" in finding.advice


def test_only_addresses_that_are_listened_on_count() -> None:
    own = ("10.1.2.3", "fd00::2", "127.0.0.1")
    for bound, expected in (
        ("127.0.0.1", own),
        ("0.0.0.0", ("10.1.2.3", "127.0.0.1")),
        ("::", ("fd00::2",)),
        ("10.1.2.3", own),
    ):
        overrides = (f"server.host={bound}", "webrtc.host_addresses=[]", "webrtc.tcp_port=8001")
        host = make_host(None, *overrides)
        plans = {**host.plans, "tcp": plan("tcp", host.config.webrtc, {}, own)}
        host = replace(host, addresses=own, plans=plans)
        assert network.offered(host, "tcp") == [(address, 8001) for address in expected]
        host = make_host(None, f"webrtc.host_addresses={json.dumps(own)}", "webrtc.udp_port=8002")
        assert network.offered(host, "udp") == [(address, 8002) for address in own]


def test_programs_call_where_http_does() -> None:
    settings = ('webrtc.host_addresses=["10.1.2.3", "127.0.0.1"]', "webrtc.tcp_port=8001")
    host = make_host(None, "server.host=127.0.0.1", *settings)
    assert "10.1.2.3:8001" in paths_of(host)["WebRTC over TCP (ICE-TCP)"][1]
    assert "10.1.2.3" not in paths_of(host)["TCP for programs"][1]
    assert "127.0.0.1:8001" in paths_of(host)["TCP for programs"][1]
    host = make_host(None, "server.host=192.0.2.1", *settings)
    assert paths_of(host)["TCP for programs"][0] is False


# Where it is rented


def test_a_pod_has_the_proxy_and_its_mapped_port() -> None:
    host = make_host(POD, "server.host=0.0.0.0", "webrtc.tcp_port=8001")
    page, advertised = network.check_page(host), network.check_advertised(host)
    assert page.status == "ok"
    assert "https://abc123-8000.proxy.runpod.net/" in page.text
    assert "100 s" in page.text
    assert "authentication" in page.advice
    assert advertised.status == "ok"
    assert "203.0.113.9:41234" in advertised.text
    assert "RUNPOD_TCP_PORT_70000" in advertised.text
    paths = paths_of(host, page, advertised)
    assert paths["WebRTC over UDP"] == (False, "RunPod passes no UDP to a pod")
    assert paths["WebRTC over TCP (ICE-TCP)"][1].startswith("203.0.113.9:41234; from anywhere")
    socket_url = "wss://abc123-8000.proxy.runpod.net/ws/call"
    assert paths["WebSocket"][1].startswith(f"{socket_url}; from anywhere")


def test_a_pod_without_a_tcp_port_is_told_to_expose_one() -> None:
    environ = {name: value for name, value in POD.items() if "TCP_PORT" not in name}
    finding = network.check_advertised(make_host(environ, "webrtc.tcp_port=8001"))
    assert finding.status == "problem"
    assert "expose the TCP port 70000" in finding.advice


def test_a_pod_has_no_use_for_a_udp_port() -> None:
    host = make_host(POD, "webrtc.tcp_port=8001", "webrtc.udp_port=8002", "server.host=0.0.0.0")
    finding = network.check_udp_port(host)
    assert finding.status == "problem"
    assert finding.advice == "Set webrtc.udp_port to null."
    assert network.check_advertised(host).status == "ok"


def test_a_pod_whose_server_hides_from_the_proxy() -> None:
    host = make_host(POD)
    finding = network.check_page(host)
    assert finding == Finding(
        "page",
        "problem",
        "RunPod's proxy does not reach 127.0.0.1",
        "Set server.host to 0.0.0.0.",
    )
    assert paths_of(host, finding)["WebSocket"][0] is False


def test_vast_tells_its_address_too() -> None:
    environ = {"PUBLIC_IPADDR": "203.0.113.5", "VAST_TCP_PORT_8001": "33445"}
    host = make_host(environ, "webrtc.tcp_port=8001", "server.host=0.0.0.0")
    assert network.offered(host, "tcp") == [("203.0.113.5", 33445)]
    assert "from anywhere" in paths_of(host)["WebRTC over TCP (ICE-TCP)"][1]


def test_the_profile_for_runpod_fits_a_pod() -> None:
    config, provenance = load(Config, ROOT / "configs" / "runpod.yaml", {}, ())
    host = look_at(config, POD)
    assert network.check_page(host).status == "ok"
    assert network.offered(host, "tcp") == [("203.0.113.9", 41234)]
    lines = (ROOT / "configs" / "runpod.yaml").read_text(encoding="utf-8").splitlines()
    for key, setting in provenance.items():
        if setting.source != "default":
            line = lines[int(setting.source.rpartition(":")[2]) - 1]
            assert " # " in line, f"{key} has no comment"


# STUN and TURN


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:a.example", ("stun", "a.example", 3478, "udp")),
        ("turn:a.example:80?transport=tcp", ("turn", "a.example", 80, "tcp")),
        ("TURNS:a.example", ("turns", "a.example", 5349, "tcp")),
        ("turn:[2001:db8::1]:5000", ("turn", "2001:db8::1", 5000, "udp")),
    ],
)
def test_ice_urls(url: str, expected: tuple[str, str, int, str]) -> None:
    server = parse_ice_url(url)
    assert (server.scheme, server.host, server.port, server.transport) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "http://a.example",
        "stun://a.example",
        "turn:user@a.example",
        "turn:",
        "turn:a.example:port",
        "turn:a.example:70000",
        "turn:a.example?transport=quic",
        "turn:a.example?tcp",
        "turns:a.example?transport=udp",
    ],
)
def test_what_is_no_ice_url(url: str) -> None:
    finding = check_ice_url(url, True)
    assert finding.status == "problem"
    assert finding.advice == "Correct webrtc.ice_servers."


def test_a_stun_server_answers() -> None:
    def answer(server: socket.socket) -> None:
        server.recv(100)  # the first question is lost
        question, asker = server.recvfrom(100)
        server.sendto(b"\x01\x01\x00\x00" + question[4:20], asker)

    with listening(socket.SOCK_DGRAM) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        finding = check_ice_url(f"stun:127.0.0.1:{server.getsockname()[1]}", False)
        thread.join()
    assert finding.status == "ok"


def test_what_answers_is_no_stun_server() -> None:
    def answer(server: socket.socket) -> None:
        server.sendto(b"who is there?", server.recvfrom(100)[1])

    with listening(socket.SOCK_DGRAM) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        finding = check_ice_url(f"stun:127.0.0.1:{server.getsockname()[1]}", False)
        thread.join()
    assert finding.status == "problem"
    assert "no STUN server" in finding.text


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_turn_server_that_is_not_there(transport: str) -> None:
    with listening() as free:
        port = free.getsockname()[1]
    finding = check_ice_url(f"turn:127.0.0.1:{port}?transport={transport}", True)
    assert finding.status == "problem"
    assert "refused" in finding.text
    assert f"{transport} port {port}" in finding.advice


def test_a_turn_server_needs_credentials() -> None:
    with listening() as server:
        url = f"turn:127.0.0.1:{server.getsockname()[1]}?transport=tcp"
        assert check_ice_url(url, False).status == "problem"
        finding = check_ice_url(url, True)
    assert finding.status == "ok"
    paths = paths_of(make_host(None, "webrtc.ice_transport_policy=relay"), finding)
    assert paths["WebRTC through a relay"] == (True, f"by {url}")
    assert paths["WebRTC over UDP"][0] is False
    assert paths["WebRTC over TCP (ICE-TCP)"][0] is False


def test_a_certificate_that_nobody_trusts_is_told(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)),
        ),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            context.wrap_socket(connection, server_side=True)

    with listening() as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        url = f"turns:localhost:{server.getsockname()[1]}"
        finding = check_ice_url(url, True)
        thread.join()
    assert finding.status == "problem"
    assert "certificate is not trusted" in finding.text


def test_relay_alone_needs_a_turn_server() -> None:
    overrides = ("webrtc.ice_transport_policy=relay", "engine.name=echo", "server.port=0")
    config, _ = load(Config, None, {}, (*overrides, "webrtc.tcp_port=0"))
    report = examine(config, {})
    assert [f.name for f in report.findings if f.status == "problem"] == ["TURN server"]


# The machine


@pytest.mark.parametrize(
    "check", [machine.check_python, machine.check_packages, machine.check_opus, machine.check_vad]
)
def test_what_is_installed_works(check: Check) -> None:
    assert check(make_host()).status == "ok"


def test_the_embedded_engine_starts() -> None:
    finding = machine.check_engine(make_host())
    assert finding.status == "ok"
    assert "pocketsphinx" in finding.text


def test_an_engine_that_does_not_start_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_WARM_UP", "raise OSError('libespeak-ng.so: no such file')")
    finding = machine.check_engine(make_host())
    assert finding.status == "problem"
    assert finding.text.endswith("OSError: libespeak-ng.so: no such file")


def test_a_program_that_hangs_or_is_missing_has_failed() -> None:
    hanging = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert "timed out" in machine._run(hanging, 0.05)
    assert isinstance(machine._run(["no-such-program"], 1), machine.Failed)
    assert isinstance(machine._run(["false"], 5), machine.Failed)


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = machine.check_gpu(make_host())
    assert finding.status == "note"
    assert finding.text.startswith("none; ")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034 MiB'\n")
    tool.chmod(0o755)
    assert machine.check_gpu(make_host()).text.startswith("NVIDIA L4, 23034 MiB; ")
    tool.write_text("#!/bin/sh\necho 'driver mismatch' >&2\nexit 9\n")
    finding = machine.check_gpu(make_host())
    assert finding.status == "note"
    assert "driver mismatch" in finding.text


def test_pytorch_is_asked_only_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    monkeypatch.setattr(machine, "_run", lambda *_: pytest.fail("asked"))
    assert machine._torch() == "PyTorch is not installed"
    monkeypatch.setattr(machine, "find_spec", lambda name: object())
    monkeypatch.setattr(machine, "_run", lambda *_: "2.13.0 with CUDA")
    assert machine._torch() == "PyTorch 2.13.0 with CUDA"


def test_calls_need_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (256, 256))
    few = make_host(None, "server.max_sessions=4")
    assert machine.check_descriptors(few).status == "ok"
    many = make_host(None, "server.max_sessions=100")
    finding = machine.check_descriptors(many)
    assert finding.status == "problem"
    assert "ulimit -n" in finding.advice


def test_a_container_counts_with_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {
        "cpu.max": "150000 100000",
        "memory.max": str(512 << 20),
        "memory.current": str(300 << 20),
        "memory.stat": f"anon 1\ninactive_file {100 << 20}\n",
    }
    monkeypatch.setattr(machine, "_cgroup", lambda name: limits[name])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(machine, "_available_memory", lambda _: 64_000)
    assert machine.check_cpu(make_host()).text == "1.5 cores"
    assert machine.check_memory(make_host()) == Finding(
        "memory",
        "note",
        "312 MB available",
        "Give it 600 MB or more, or set server.max_sessions low.",
    )
    limits.update({"cpu.max": "max 100000", "memory.max": "max"})
    assert machine.check_cpu(make_host()).text == "8 cores"
    many = make_host(None, "server.workers=9")
    assert machine.check_cpu(many).text == "8 cores for 9 workers"
    assert "server.workers to 8" in machine.check_cpu(many).advice
    assert machine.check_memory(make_host()).text == "64000 MB available"


def test_the_start_script_is_valid() -> None:
    script = ROOT / "deploy" / "runpod" / "start.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_the_image_has_all_that_is_imported() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:]}
    needed = {"bench", "configs", "inference", "media", "run.py", "server", "signaling", "static"}
    assert needed <= copied
    ports = next(line for line in lines if line.startswith("EXPOSE")).split()[1:]
    assert ports == [str(ServerSettings().port), str(Config().webrtc.tcp_port)]
