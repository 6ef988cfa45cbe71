"""`run.py doctor`: what this host can offer, what a caller will get, and what to change.

Nothing is sent to the internet, but for a sign of life to the STUN and TURN servers that are
configured.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from server.config import Config
from server.doctor import machine, network
from server.doctor.finding import Check, Finding, Host, look_at
from server.doctor.paths import CallPath, call_paths
from server.doctor.relays import check_ice_url

CHECKS: tuple[Check, ...] = (
    machine.check_python,
    machine.check_packages,
    machine.check_opus,
    machine.check_vad,
    machine.check_engine,
    machine.check_gpu,
    machine.check_cpu,
    machine.check_memory,
    machine.check_descriptors,
    network.check_http,
    network.check_tcp,
    network.check_udp_port,
    network.check_ice_tcp,
    network.check_addresses,
    network.check_udp,
    network.check_advertised,
    network.check_page,
)

_MARKS = {"ok": "✓", "note": "·", "problem": "✗"}


@dataclass(frozen=True)
class Report:
    """All that was found. `ok`: everything that is configured works."""

    findings: tuple[Finding, ...]
    paths: tuple[CallPath, ...]

    @property
    def ok(self) -> bool:
        return all(finding.status != "problem" for finding in self.findings)

    @property
    def advice(self) -> list[str]:
        """What to change, each thing once; what mends a problem comes first."""
        ordered = sorted(self.findings, key=lambda finding: finding.status != "problem")
        return list(dict.fromkeys(finding.advice for finding in ordered if finding.advice))

    def as_json(self) -> str:
        return json.dumps(
            {
                "ok": self.ok,
                "findings": [asdict(finding) for finding in self.findings],
                "paths": [asdict(path) for path in self.paths],
                "advice": self.advice,
            },
            indent=2,
            ensure_ascii=False,
        )

    def __str__(self) -> str:
        width = max(len(finding.name) for finding in self.findings)
        lines = [f"{_MARKS[f.status]} {f.name:<{width}}  {f.text}" for f in self.findings]
        lines += ["", "A caller will get:"]
        width = max(len(path.name) for path in self.paths)
        working = [path for path in self.paths if path.works]
        lines += [f"{n:>3}. {p.name:<{width}}  {p.text}" for n, p in enumerate(working, 1)]
        lines += [f"  ✗  {p.name:<{width}}  {p.text}" for p in self.paths if not p.works]
        if self.advice:
            lines += ["", "To change:"]
            lines += [f"{n:>3}. {advice}" for n, advice in enumerate(self.advice, 1)]
        return "\n".join(lines)


def examine(config: Config, environ: Mapping[str, str]) -> Report:
    """Look at this host as a server with this configuration would find it. Takes seconds."""
    host = look_at(config, environ)
    findings = [check(host) for check in CHECKS] + _check_ice_servers(host)
    return Report(tuple(findings), tuple(call_paths(host, findings)))


def _check_ice_servers(host: Host) -> list[Finding]:
    settings = host.config.webrtc
    findings = [
        check_ice_url(url, bool(server.secret or (server.username and server.credential)))
        for server in settings.ice_servers
        for url in server.urls
    ]
    if settings.ice_transport_policy == "relay" and "TURN server" not in [f.name for f in findings]:
        advice = "Add a TURN server to webrtc.ice_servers, or set webrtc.ice_transport_policy: all."
        text = "none, but webrtc.ice_transport_policy is relay"
        return [*findings, Finding("TURN server", "problem", text, advice)]
    none = Finding("STUN and TURN", "ok", "none configured, and none needed by most callers")
    return findings or [none]
