"""The configuration as a whole, and the file that documents it."""

from pathlib import Path

import pytest

from server.config import Config
from server.settings import MASK, SettingsError, load

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "configs" / "default.yaml"


def test_default_yaml_is_the_defaults_in_code_and_names_every_key() -> None:
    config, provenance = load(Config, DEFAULT, {}, ())
    assert config == Config()
    assert [key for key, setting in provenance.items() if setting.source == "default"] == []


def test_default_yaml_explains_every_key() -> None:
    lines = DEFAULT.read_text(encoding="utf-8").splitlines()
    _, provenance = load(Config, DEFAULT, {}, ())
    for key, setting in provenance.items():
        line = lines[int(setting.source.rpartition(":")[2]) - 1]
        assert line.strip().startswith(f"{key.rpartition('.')[2]}:")
        assert " # " in line or line.endswith(">-"), f"{key} has no comment"


PROFILES = sorted(set((ROOT / "configs").glob("*.yaml")) - {ROOT / "configs" / "words.yaml"})


@pytest.mark.parametrize("file", PROFILES, ids=lambda p: p.stem)
def test_every_profile_loads(file: Path) -> None:
    load(Config, file, {}, ())


def test_every_section_can_be_set() -> None:
    overrides = (
        "server.log_level=debug",
        "engine.llm.api_key=0123",
        "vad.detector=energy",
        "endpointing.min_delay=0.3",
        "interruption.enabled=no",
        "session.reply_timeout=5",
        "session.resume_window=7.5",
        "webrtc.ice_servers=[{urls: ['turn:h'], username: u, credential: hunter2}]",
        "webrtc.udp_port=0",
        "stream.lead=0.06",
    )
    config, provenance = load(Config, None, {"VAANI_ENGINE__VOICE__LANGUAGE": "no"}, overrides)
    assert config.server.log_level == "debug"
    assert config.engine.voice.language == "no"
    assert config.engine.llm.api_key == "0123"
    assert config.vad.detector == "energy"
    assert config.endpointing.min_delay == 0.3
    assert config.interruption.enabled is False
    assert config.session.reply_timeout == 5.0
    assert config.session.resume_window == 7.5
    assert config.webrtc.ice_servers[0].credential == "hunter2"
    assert config.webrtc.udp_port == 0
    assert config.stream.lead == 0.06
    assert provenance["webrtc.ice_servers"].value == [
        {"urls": ["turn:h"], "username": "u", "credential": MASK, "secret": None}
    ]


def test_a_shared_secret_is_masked() -> None:
    override = "webrtc.ice_servers=[{urls: ['turn:h'], secret: hunter2}]"
    config, provenance = load(Config, None, {}, (override,))
    assert config.webrtc.ice_servers[0].secret == "hunter2"
    assert "hunter2" not in str(provenance["webrtc.ice_servers"].value)


def test_the_tcp_port_can_be_switched_off() -> None:
    config, _ = load(Config, None, {}, ("webrtc.tcp_port=null",))
    assert config.webrtc.tcp_port is None


@pytest.mark.parametrize(
    "override",
    ["server.port=-1", "server.port=65536", "server.max_sessions=0", "server.workers=0"],
)
def test_values_out_of_range_are_refused(override: str) -> None:
    with pytest.raises(SettingsError, match=r"should be (greater|less) than or equal to"):
        load(Config, None, {}, (override,))


@pytest.mark.parametrize("key", ["tcp_port", "udp_port", "public_tcp_port", "public_udp_port"])
@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_cannot_be_is_refused(key: str, port: int) -> None:
    with pytest.raises(SettingsError, match=f"{key} must be from 0 to 65535, not {port}"):
        load(Config, None, {}, (f"webrtc.{key}={port}",))
