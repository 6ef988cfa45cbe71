"""Opus by libopus itself: mono at the rate we want, with concealment and error correction.

PyAV's wheel carries the library, so nothing has to be installed; PyAV's own codec objects offer
neither packet loss concealment nor in-band FEC. Functions and constants: opus_defines.h, 1.3+.
"""

import ctypes
from ctypes.util import find_library
from functools import cache
from pathlib import Path

import av
import numpy as np

from media.frames import Samples

MAX_FRAME_SECONDS = 0.12  # the longest packet RFC 6716 allows
MAX_PACKET_BYTES = 1276  # RFC 6716, 3.4: 1275 bytes of frame and the table of contents byte

_APPLICATION_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_SIGNAL = 4002, 4010, 4024
_SET_INBAND_FEC, _SET_PACKET_LOSS, _SET_DTX = 4012, 4014, 4016
_SIGNAL_VOICE = 3001


class OpusError(ValueError):
    """libopus refused: the text is its own reason."""


@cache
def _library() -> ctypes.CDLL:
    site = Path(av.__file__).parent
    shipped = [*site.parent.glob("av.libs/libopus*"), *site.glob(".dylibs/libopus*")]
    found = str(shipped[0]) if shipped else find_library("opus")
    if not found:
        raise OpusError("libopus is neither in PyAV's wheel nor on the system: install libopus0")
    opus = ctypes.CDLL(found)
    opus.opus_encoder_create.restype = ctypes.c_void_p
    opus.opus_decoder_create.restype = ctypes.c_void_p
    opus.opus_strerror.restype = ctypes.c_char_p
    for name in ("opus_encoder_destroy", "opus_decoder_destroy"):
        getattr(opus, name).argtypes = [ctypes.c_void_p]
        getattr(opus, name).restype = None
    opus.opus_encode.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_int32,
    ]
    opus.opus_decode.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
    # The value that follows is variadic, which some platforms pass differently.
    opus.opus_encoder_ctl.argtypes = [ctypes.c_void_p, ctypes.c_int]
    opus.opus_packet_get_nb_samples.argtypes = [ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32]
    return opus


def _checked(result: int) -> int:
    if result < 0:
        raise OpusError(_library().opus_strerror(result).decode())
    return result


def packet_samples(packet: bytes, rate: int) -> int:
    """How many samples at `rate` Hz the packet holds. Raises OpusError."""
    return _checked(_library().opus_packet_get_nb_samples(packet, len(packet), rate))


class OpusEncoder:
    """Mono voice at `rate` Hz (8, 12, 16, 24 or 48 kHz) to packets of `bitrate` bit/s.

    With `expected_loss` in percent, packets carry the one before them again (in-band FEC), worse
    the less loss is expected, in the same bitrate. With `dtx`, a packet of silence that goes on
    has one or two bytes and need not be sent.
    """

    def __init__(
        self, rate: int, bitrate: int = 32_000, expected_loss: int = 0, dtx: bool = False
    ) -> None:
        self._opus = _library()
        error = ctypes.c_int()
        self._state = self._opus.opus_encoder_create(
            rate, 1, _APPLICATION_VOIP, ctypes.byref(error)
        )
        _checked(error.value)
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        for request, value in (
            (_SET_BITRATE, bitrate),
            # 1 of 10: half the work of 5, which was most of what a call costs here, and a PESQ of
            # 4.14 in place of 4.34 (32 kbit/s, 24 kHz, seven recordings): not to be heard.
            (_SET_COMPLEXITY, 1),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_DTX, int(dtx)),
        ):
            self._set(request, value)
        self.expect_loss(expected_loss)

    def expect_loss(self, percent: int) -> None:
        """From now on, that so many of the packets are lost."""
        self._set(_SET_INBAND_FEC, int(percent > 0))
        self._set(_SET_PACKET_LOSS, percent)

    def _set(self, request: int, value: int) -> None:
        _checked(self._opus.opus_encoder_ctl(self._state, request, ctypes.c_int32(value)))

    def encode(self, samples: Samples) -> bytes:
        """One packet from one frame of 2.5, 5, 10, 20, 40 or 60 ms. Raises OpusError."""
        pcm = np.ascontiguousarray(samples)
        size = _checked(
            self._opus.opus_encode(
                self._state, pcm.ctypes.data, len(pcm), self._packet, MAX_PACKET_BYTES
            )
        )
        return self._packet.raw[:size]

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._opus.opus_encoder_destroy(self._state)


class OpusDecoder:
    """Packets to mono PCM at `rate` Hz (8, 12, 16, 24 or 48 kHz)."""

    def __init__(self, rate: int) -> None:
        self._opus = _library()
        error = ctypes.c_int()
        self._state = self._opus.opus_decoder_create(rate, 1, ctypes.byref(error))
        _checked(error.value)
        self._rate = rate
        self._pcm = np.zeros(round(rate * MAX_FRAME_SECONDS), dtype=np.int16)
        self._address = self._pcm.ctypes.data  # asking for it takes longer than copying a frame

    def decode(self, packet: bytes) -> Samples:
        """The samples of a packet. Raises OpusError; the decoder stays usable."""
        if not packet:
            raise OpusError("an empty packet")  # libopus would take it for a lost one
        return self._decode(packet, len(self._pcm), fec=False)

    def conceal(self, samples: int, following: bytes | None = None) -> Samples:
        """Stand in for a lost frame of so many samples.

        `following` is the packet after it: if it carries in-band FEC, the lost frame is in it.
        """
        return self._decode(following, samples, fec=following is not None)

    def _decode(self, packet: bytes | None, limit: int, *, fec: bool) -> Samples:
        count = _checked(
            self._opus.opus_decode(
                self._state,
                packet,
                len(packet) if packet is not None else 0,
                self._address,
                limit,
                int(fec),
            )
        )
        return self._pcm[:count].copy()

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._opus.opus_decoder_destroy(self._state)


def has_fec(packet: bytes) -> bool:
    """Does this packet, mono, carry the one before it too (RFC 6716, 4.2.4)?

    libopus 1.5 can say it, but that of many systems is older. Only packets of one frame are looked
    into: what senders make of 20 ms, and for a voice up to 60.
    """
    config, code = packet[0] >> 3, packet[0] & 3
    if config >= 16 or code or len(packet) == 1:
        return False  # CELT has none
    # The first bits are a flag of activity for each 20 ms of the frame, then that of FEC.
    flags = (1, 1, 2, 3)[config & 3] if config < 12 else 1
    return bool(packet[1] >> (7 - flags) & 1)
