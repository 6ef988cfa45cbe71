"""TURN credentials that expire, and the servers that aiortc can use."""

from typing import cast

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

from signaling.ice import connections
from signaling.transport import Call
from signaling.turn import IceServer, usable_servers, with_credentials
from signaling.webrtc import WebRtcSettings, WebRtcTransport
from tests.signaling.ice_tcp import open_ports
from tests.signaling.test_ice_mux import Ends

TURN = IceServer(("turn:turn.example:3478",), secret="north")
NOW = 1_700_000_000.4


def test_a_credential_is_what_coturn_computes() -> None:
    # echo -n 1700086400 | openssl dgst -binary -sha1 -hmac north | openssl base64
    (server,) = with_credentials([TURN], NOW)
    assert server == IceServer(TURN.urls, "1700086400", "K+RlgFj3QLvB7WAVHfjfgMgyBeA=")


def test_a_name_follows_the_time() -> None:
    # echo -n 1700003600:vaani | openssl dgst -binary -sha1 -hmac north | openssl base64
    named = IceServer(TURN.urls, "vaani", secret="north")
    (server,) = with_credentials([named], NOW, lifetime=3600)
    assert server == IceServer(TURN.urls, "1700003600:vaani", "02TZwEY6RfZlsnumL/O+LlotgNg=")


def test_without_a_secret_nothing_changes() -> None:
    servers = (IceServer(("stun:a",)), IceServer(("turn:b",), "u", "c"))
    assert with_credentials(servers, NOW) == servers


def test_an_empty_secret_is_none_and_is_not_shown() -> None:
    assert with_credentials([IceServer(("stun:a",), secret="")], NOW) == (IceServer(("stun:a",)),)


def test_a_secret_beside_a_credential_is_an_error() -> None:
    with pytest.raises(ValueError, match="not both"):
        IceServer(("turn:a",), "u", "c", secret="s")


def test_the_first_usable_of_each_kind_is_chosen() -> None:
    unusable = (
        "stuns:a",
        "turns:b?transport=udp",
        "turn:c?transport=sctp",
        "turn:[2001:db8::1]",
        "stun:d?transport=udp",
        "https://e",
        "",
    )
    servers = (
        IceServer((*unusable, "stun:f", "turn:no-credential")),
        IceServer((*unusable, "turns:g:443?transport=tcp", "stun:h", "turn:i"), "u", "c"),
    )
    assert usable_servers(servers) == (
        IceServer(("stun:f",)),
        IceServer(("turns:g:443?transport=tcp",), "u", "c"),
    )
    assert usable_servers([IceServer(unusable, "u", "c")]) == ()


@pytest.mark.parametrize(
    "url", ["turn:h", "turn:h?transport=tcp", "turns:h", "turns:h:443?transport=tcp"]
)
async def test_aiortc_takes_what_is_chosen(url: str) -> None:
    (chosen,) = usable_servers([IceServer((url,), "u", "c")])
    pc = RTCPeerConnection(
        RTCConfiguration([RTCIceServer(list(chosen.urls), chosen.username, chosen.credential)])
    )
    pc.addTransceiver("audio")
    (connection,) = connections(pc)
    assert connection.turn_server in (("h", 3478), ("h", 5349), ("h", 443))
    await pc.close()


async def test_a_call_has_credentials_of_its_own_and_bad_servers_do_no_harm() -> None:
    async with open_ports() as ports:
        ends = Ends(ports, tcp=True)
        servers = (IceServer(("nonsense",)), TURN)
        settings = WebRtcSettings(ice_servers=servers)
        transport = WebRtcTransport(cast(Call, ends), settings, lambda lost: None)
        transport._pc.addTransceiver("audio")
        (connection,) = connections(transport._pc)
        assert connection.turn_server == ("turn.example", 3478)
        assert int(str(connection.turn_username)) > 1_700_000_000
        assert len(str(connection.turn_password)) == 28
        await transport.close()
        await ends.close()
