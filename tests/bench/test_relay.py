"""A call through a bad network comes up, and what is lost is counted."""

import json

import pytest

from bench.impairment import Conditions
from bench.relay import Relay
from run import main

OFFER = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n"
    "a=candidate:1 1 udp 100 192.0.2.7 5000 typ host\r\n"
    "a=candidate:2 1 udp 99 127.0.0.1 5001 typ host\r\n"
    "a=candidate:3 1 tcp 98 127.0.0.1 5002 typ host tcptype passive\r\n"
    "a=candidate:4 1 udp 200 2001:db8::1 5003 typ host\r\n"
    "a=end-of-candidates\r\n"
)


async def test_both_ends_are_shown_the_relay_alone() -> None:
    relay = Relay(Conditions(loss=0.5))
    await relay.open()
    try:
        offer, answer = relay.offer(OFFER), relay.answer(OFFER)
    finally:
        relay.close()
    for sdp in (offer, answer):
        assert sdp.count("a=candidate:") == 1
        assert " udp 2130706431 127.0.0.1 " in sdp
        assert sdp.endswith("a=end-of-candidates\r\n")
    assert offer != answer  # each its own port


async def test_an_sdp_without_a_usable_candidate() -> None:
    relay = Relay(Conditions())
    await relay.open()
    try:
        with pytest.raises(ValueError, match="no UDP candidate"):
            relay.answer("m=audio 9 UDP/TLS/RTP/SAVPF 96\r\n")
    finally:
        relay.close()


def test_a_call_through_it(capsys: pytest.CaptureFixture[str]) -> None:
    network = ["--loss", "10", "--jitter", "20", "--delay", "10"]
    here = ["--set", 'webrtc.host_addresses=["127.0.0.1"]']
    assert main(["bench", "latency", "--seconds", "2", "--json", *network, *here]) == 0
    result = json.loads(capsys.readouterr().out)
    [passed] = result["network"]
    assert passed["up"] > 100
    assert 0 < passed["up_lost"] < 0.3 * passed["up"]
    assert 0 < passed["down_lost"] < 0.3 * passed["down"]
    heard, said = result["markers"]
    assert 0 < heard <= said
    assert result["latency_ms"][0] > 20 + 2 * 10
    assert len(result["quarters_ms"]) == 4
    [report] = result["server"]
    assert report["heard"] > 2


def test_a_plot_is_refused_before_the_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "latency", "--plot", "x.pdf"]) == 1
    assert "svg or a .png" in capsys.readouterr().err
