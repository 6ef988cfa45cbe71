"""A causal language model that writes for many at once: chunked prefill, then a token a step.

Each step takes the next token of every job that is writing, all in one pass of a fixed shape, and
before it at most one chunk of one job's prompt: so a long prompt delays the others' tokens by a
chunk, never by itself. Those whose prompt is not read yet take turns.

A job's prompt may come in pieces, as the caller speaks: what has come is read meanwhile.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from inference.batch.slot_cache import SlotCache
from inference.batch.step_loop import Stepped

CHUNK = 256  # tokens of a prompt in a step


@dataclass(frozen=True, slots=True)
class Writing:
    """A request to write: at most `limit` tokens, or until one of `stop`, which is not given."""

    limit: int
    stop: frozenset[int]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A piece of a prompt: embeddings (tokens, width), or token numbers (tokens,)."""

    tokens: Tensor
    last: bool = True


@dataclass(slots=True)
class _Writer:
    """One slot's job."""

    request: Writing
    unread: deque[Tensor] = field(default_factory=deque)  # embeddings
    complete: bool = False  # no more of the prompt will come
    place: int = 0  # of the next token
    next: int | None = None  # what follows all that was read
    token: int | None = None  # the latest of the answer, which is to be read next
    written: int = 0


class Decoder:
    """A `StepModel` of `Writing`, fed with `Prompt`, that gives token numbers, greedily.

    `model` is one of transformers' causal language models, or one that has such a model inside and
    takes its inputs; `length` is how many tokens a slot holds.
    """

    def __init__(
        self, model: PreTrainedModel, *, slots: int, length: int, chunk: int = CHUNK
    ) -> None:
        self.slots = slots
        self._model = model
        self._embed = model.get_input_embeddings()
        self._device = self._embed.weight.device
        self._config = model.config.get_text_config()
        self._cache = SlotCache(self._config.num_hidden_layers, slots, length)
        self._chunk = chunk
        self._writers: dict[int, _Writer] = {}
        self._reading: deque[int] = deque()  # slots with a prompt to be read, the next one first
        self._tokens = torch.zeros(slots, 1, dtype=torch.long, device=self._device)
        self._places = torch.full((slots, 1), length, dtype=torch.long, device=self._device)

    def enter(self, slot: int, request: Writing) -> None:
        self._writers[slot] = _Writer(request)

    @torch.inference_mode()
    def feed(self, slot: int, item: Prompt) -> None:
        """Raises ValueError when the prompt leaves no room to write as much as was asked for."""
        writer = self._writers[slot]
        assert not writer.complete, "the prompt was complete"
        tokens = item.tokens.to(self._device)
        embedded = self._embed(tokens) if tokens.dim() == 1 else tokens.to(self._embed.weight.dtype)
        if len(embedded):
            writer.unread.append(embedded)
        writer.complete = item.last
        length = writer.place + sum(map(len, writer.unread))
        if not length and item.last:
            raise ValueError("the prompt is empty")
        self.check(length, writer.request.limit)
        if slot not in self._reading:
            self._reading.append(slot)

    def check(self, prompt: int, limit: int) -> None:
        """Raises ValueError where a slot does not hold a prompt and an answer of so many tokens."""
        if prompt + limit > self._cache.length:
            raise ValueError(
                f"a prompt of {prompt} tokens and an answer of {limit} are more than the "
                f"{self._cache.length} that a slot holds"
            )

    def leave(self, slot: int) -> None:
        del self._writers[slot]
        if slot in self._reading:
            self._reading.remove(slot)

    @torch.inference_mode()
    def step(self) -> Sequence[Stepped[int]] | None:
        writing = {slot: w for slot, w in self._writers.items() if w.token is not None}
        if not writing and not self._reading:
            return None
        fresh = self._read() if self._reading else {}
        if writing:
            fresh |= self._write(writing)
        return [self._put(slot, token) for slot, token in fresh.items()]

    def _read(self) -> dict[int, int]:
        """A chunk of the next prompt: the first token of its answer, if that was all of it."""
        slot = self._reading.popleft()
        writer = self._writers[slot]
        if writer.unread:
            chunk = self._take(writer.unread)
            places = torch.arange(writer.place, writer.place + len(chunk), device=self._device)
            scores = self._forward(slice(slot, slot + 1), places[None], inputs_embeds=chunk[None])
            writer.place += len(chunk)
            writer.next = int(scores[0].argmax())
        if writer.unread:
            self._reading.append(slot)
            return {}
        if not writer.complete:
            return {}
        assert writer.next is not None
        return {slot: writer.next}

    def _take(self, unread: deque[Tensor]) -> Tensor:
        """Up to a chunk of it."""
        taken, room = [], self._chunk
        while unread and room:
            piece = unread.popleft()
            if len(piece) > room:
                unread.appendleft(piece[room:])
                piece = piece[:room]
            taken.append(piece)
            room -= len(piece)
        return torch.cat(taken)

    def _write(self, writing: dict[int, _Writer]) -> dict[int, int]:
        """The next token of each, in one pass over all slots: the others' rows are idle."""
        rows = list(writing)
        tokens, places = zip(*((w.token, w.place) for w in writing.values()), strict=True)
        self._places.fill_(self._cache.length)
        self._places[rows, 0] = torch.tensor(places, device=self._device)
        self._tokens[rows, 0] = torch.tensor(tokens, device=self._device)
        scores = self._forward(slice(0, self.slots), self._places, input_ids=self._tokens)
        best = scores.argmax(dim=-1).tolist()
        for writer in writing.values():
            writer.place += 1
        return {row: best[row] for row in rows}

    def _forward(self, rows: slice, places: Tensor, **inputs: Tensor) -> Tensor:
        """The scores of what follows the last token of each row: (rows, vocabulary)."""
        self._cache.aim(rows, places)
        far = self._cache.mask(places)
        mask: Tensor | dict[str, Tensor] = far
        if "sliding_attention" in (getattr(self._config, "layer_types", None) or ()):
            near = self._cache.mask(places, self._config.sliding_window)
            mask = {"full_attention": far, "sliding_attention": near}
        scores: Tensor = self._model(
            **inputs,
            attention_mask=mask,
            position_ids=places,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return scores

    def _put(self, slot: int, token: int) -> Stepped[int]:
        writer = self._writers[slot]
        if token in writer.request.stop:
            return Stepped(slot, done=True)
        writer.token = token
        writer.written += 1
        return Stepped(slot, (token,), done=writer.written >= writer.request.limit)
