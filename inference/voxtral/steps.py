"""Voxtral in steps: what was heard is encoded, then a token a step is written, all in one batch.

Source: mistralai/Voxtral-Mini-3B-2507 as transformers has it: a Whisper encoder that hears thirty
seconds at once, four of its frames to an embedding, and a Llama that reads those among its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import VoxtralForConditionalGeneration

from inference.batch.decoder import Decoder, Prompt, Writing
from inference.batch.step_loop import Stepped
from inference.voxtral.log_mel import Mel

ENCODED_AT_ONCE = 4  # pieces of 30 s in a step: others wait for their next token meanwhile


@dataclass(frozen=True, slots=True)
class Heard:
    """A request: what was heard (pieces, bands, frames), and the tokens around it."""

    mel: Mel
    before: Tensor
    after: Tensor
    writing: Writing


def tokens_of_a_piece(model: VoxtralForConditionalGeneration) -> int:
    """How many tokens thirty seconds take."""
    audio = model.config.audio_config
    return int(audio.max_source_positions * audio.hidden_size // audio.intermediate_size)


class VoxtralSteps:
    """A `StepModel` of `Heard` that gives token numbers."""

    def __init__(self, model: VoxtralForConditionalGeneration, *, slots: int, length: int) -> None:
        self.slots = slots
        self._model = model
        self._decoder = Decoder(model, slots=slots, length=length)
        self._tokens = tokens_of_a_piece(model)
        self._unheard: dict[int, Heard] = {}

    def enter(self, slot: int, request: Heard) -> None:
        """Raises ValueError when a slot does not hold all of it."""
        self._decoder.enter(slot, request.writing)
        around = len(request.before) + len(request.after)
        self._decoder.check(around + self._tokens * len(request.mel), request.writing.limit)
        self._decoder.feed(slot, Prompt(request.before, last=False))
        self._unheard[slot] = request

    def feed(self, slot: int, item: None) -> None:
        raise ValueError("there is nothing to add to what was heard")

    def leave(self, slot: int) -> None:
        self._unheard.pop(slot, None)
        self._decoder.leave(slot)

    def step(self) -> Sequence[Stepped[int]] | None:
        encoded = self._encode()
        stepped = self._decoder.step()
        return stepped if stepped is not None or not encoded else ()

    @torch.inference_mode()
    def _encode(self) -> bool:
        """Of those that came first, as many as fit; whether there were any."""
        chosen: dict[int, Heard] = {}
        for slot, request in self._unheard.items():
            if chosen and sum(len(r.mel) for r in chosen.values()) + len(request.mel) > (
                ENCODED_AT_ONCE
            ):
                break
            chosen[slot] = request
        if not chosen:
            return False
        pieces = torch.cat([torch.from_numpy(request.mel) for request in chosen.values()])
        device, dtype = self._model.device, self._model.dtype
        embedded = self._model.get_audio_features(pieces.to(device, dtype)).pooler_output
        shares = embedded.split([self._tokens * len(request.mel) for request in chosen.values()])
        for (slot, request), share in zip(chosen.items(), shares, strict=True):
            del self._unheard[slot]
            self._decoder.feed(slot, Prompt(share, last=False))
            self._decoder.feed(slot, Prompt(request.after))
        return True
