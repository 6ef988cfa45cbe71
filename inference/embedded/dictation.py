"""Open-vocabulary speech to words: what no skill's grammar fits.

Its words are poor, and it costs 95 MB and 0.1 s of work per second of speech: there is one for
the whole engine, and it yields to the event loop every 100 ms of audio, because pocketsphinx
holds the interpreter's lock while it works.
"""

import asyncio

import pocketsphinx

from media.frames import Samples

_BLOCK = 1600  # samples at 16 kHz


class Dictation:
    """pocketsphinx with its n-gram model, one turn at a time."""

    def __init__(self) -> None:
        # narrow beams: a third of the time of the defaults for much the same words
        self._decoder = pocketsphinx.Decoder(
            loglevel="FATAL", ds=2, topn=2, maxwpf=5, maxhmmpf=3000, fwdflat=False, bestpath=False
        )
        self._turn = asyncio.Lock()

    async def transcribe(self, audio: Samples) -> str:
        """The words of `audio`, shape (n,) at 16 kHz; "" where there are none."""
        if not len(audio):
            return ""
        async with self._turn:
            self._prepare(audio)
            self._decoder.start_utt()
            try:
                for at in range(0, len(audio), _BLOCK):
                    self._decoder.process_raw(audio[at : at + _BLOCK].tobytes())
                    await asyncio.sleep(0)
            finally:
                self._decoder.end_utt()
            found = self._decoder.hyp()
            return str(found.hypstr) if found is not None else ""

    def phones(self, transcript: str) -> list[str]:
        """How a transcript of this model sounds."""
        found = [self._decoder.lookup_word(word) or "" for word in transcript.split()]
        return [phone for word in found for phone in word.split()]

    def _prepare(self, audio: Samples) -> None:
        """Forget the turn before, and take the cepstral mean from this one."""
        self._decoder.reinit_feat()
        self._decoder.start_utt()
        self._decoder.process_raw(audio.tobytes(), no_search=True, full_utt=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(self._decoder.get_cmn(False))
