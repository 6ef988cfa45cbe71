"""What the two ends of a call tell each other about Opus in their SDP (RFC 7587)."""

import re
from dataclasses import dataclass

MIN_BITRATE, MAX_BITRATE = 6_000, 128_000  # bit/s; of what may be asked, what is sense for a voice
MAX_PACKET_FRAMES = 3  # of 20 ms: Opus codes up to 60 ms at once

ANSWER = "minptime=10;useinbandfec=1;stereo=0;usedtx=0"
"""Ours: send us error correction, one channel, and sound also where nobody speaks: it costs the
caller little, and what the detector of speech hears in a pause is then what there is.
"""


@dataclass(frozen=True, slots=True)
class OpusWishes:
    """How the caller would have our voice. It is mono whatever they say: it is a voice."""

    max_bitrate: int | None = None  # bit/s
    fec: bool = False  # whether error correction in the packets would be used
    dtx: bool = True  # False where silence is to be sent too
    packet_frames: int = 1  # frames of 20 ms in a packet


def opus_wishes(offer: str) -> OpusWishes:
    """Of the first audio in an SDP offer; what makes no sense is not a wish."""
    audio = re.search(r"^m=audio .*?(?=^m=|\Z)", offer, re.MULTILINE | re.DOTALL)
    lines = audio[0].splitlines() if audio else []
    attributes = [line.removeprefix("a=").partition(":")[::2] for line in lines]
    opus = next((v.split()[0] for k, v in attributes if k == "rtpmap" and " opus/" in v), None)
    formats = (value.partition(" ")[::2] for key, value in attributes if key == "fmtp")
    words = ";".join(parameters for number, parameters in formats if number == opus)
    asked = dict(word.strip().lower().partition("=")[::2] for word in words.split(";"))
    lengths = {key: _number(value) for key, value in attributes if key in ("ptime", "maxptime")}
    length = min(lengths.get("ptime") or 20, lengths.get("maxptime") or MAX_PACKET_FRAMES * 20)
    bitrate = _number(asked.get("maxaveragebitrate"))
    return OpusWishes(
        max_bitrate=min(max(bitrate, MIN_BITRATE), MAX_BITRATE) if bitrate else None,
        fec=asked.get("useinbandfec") == "1",
        dtx=asked.get("usedtx") != "0",
        packet_frames=min(max(length // 20, 1), MAX_PACKET_FRAMES),
    )


def with_opus_parameters(sdp: str) -> str:
    """Our answer with our parameters; aiortc answers without any."""
    return re.sub(
        r"(a=rtpmap:(\d+) opus/48000/2\r\n)(?!a=fmtp:\2)", rf"\1a=fmtp:\2 {ANSWER}\r\n", sdp
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None
