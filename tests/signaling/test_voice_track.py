"""The track that a caller hears, on virtual time: what is measured is exact."""

import asyncio
from itertools import cycle
from typing import cast

import pytest
from aiortc.mediastreams import MediaStreamError

from media.frames import Samples
from signaling.opus import OpusDecoder
from signaling.webrtc import VoiceTrack
from tests.signaling.speech import frames, speech
from tests.virtual_time import VirtualTimeLoop

RATE = 24_000


class TestVoiceTrack:
    """On virtual time: what is measured is exact."""

    @staticmethod
    def track() -> tuple[VoiceTrack, list[float]]:
        """A track, and the times of its pulls."""
        pulls: list[float] = []
        voice = cycle(frames(speech(1.0, RATE), RATE))

        def pull() -> Samples:
            pulls.append(asyncio.get_running_loop().time())
            return next(voice)

        return VoiceTrack(pull, RATE, 32_000), pulls

    @pytest.mark.virtual_time
    async def test_a_packet_every_20_ms(self) -> None:
        track, pulls = self.track()
        packets = [await track.recv() for _ in range(500)]
        assert pulls == pytest.approx([0.02 * n for n in range(500)], abs=1e-6)
        assert [packet.pts for packet in packets] == [960 * n for n in range(500)]
        decoder = OpusDecoder(RATE)
        assert {len(decoder.decode(bytes(packet))) for packet in packets} == {480}
        assert track.skipped == 0

    @pytest.mark.virtual_time
    async def test_late_ticks_do_not_add_up(self) -> None:
        track, pulls = self.track()
        loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        for _ in range(50):
            await track.recv()
            loop.stall(0.013)  # what the sender does with a packet
        assert pulls == pytest.approx([0.02 * n for n in range(50)], abs=1e-6)
        assert track.skipped == 0

    @pytest.mark.virtual_time
    async def test_one_late_tick_is_followed_by_one_on_time(self) -> None:
        track, pulls = self.track()
        loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        for tick in range(10):
            await track.recv()
            if tick == 4:
                loop.stall(0.035)  # the next is late by 15 ms: less than a tick
        assert track.skipped == 0
        assert pulls[5] == pytest.approx(0.115)
        assert pulls[6:] == pytest.approx([0.02 * n for n in range(6, 10)])

    @pytest.mark.virtual_time
    async def test_a_stall_is_skipped_and_not_caught_up(self) -> None:
        track, pulls = self.track()
        loop = cast(VirtualTimeLoop, asyncio.get_running_loop())
        packets = []
        for tick in range(10):
            packets.append(await track.recv())
            if tick == 4:
                loop.stall(0.21)  # at 0.29 s; the ticks from 0.1 to 0.26 s will never be sent
        assert track.skipped == 9
        assert [packet.pts for packet in packets[5:]] == [960 * n for n in range(14, 19)]
        assert pulls[5] == pytest.approx(0.29)
        assert pulls[6:] == pytest.approx([0.02 * n for n in range(15, 19)])

    @pytest.mark.virtual_time
    async def test_a_stopped_track_ends(self) -> None:
        track, _ = self.track()
        await track.recv()
        track.stop()
        with pytest.raises(MediaStreamError):
            await track.recv()
