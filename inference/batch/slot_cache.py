"""Keys and values of every slot's tokens, in tensors whose shapes never change.

transformers' own static cache has one position for a whole batch. Here each slot is at its own:
before a forward pass the cache is aimed at the rows it is for, and the places its tokens go to. One
more place than a slot is long takes what idle rows write, and is never looked at.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(slots=True)
class Aim:
    """Where the next forward pass writes: its rows of the cache, and each token's place."""

    rows: slice
    places: Tensor  # (rows, tokens)


class SlotCache(Cache):  # type: ignore[misc]
    """For `slots` sequences of at most `length` tokens, in a model of so many `layers`."""

    def __init__(self, layers: int, slots: int, length: int) -> None:
        self.slots = slots
        self.length = length
        self._aim = Aim(slice(0, slots), torch.zeros(slots, 1, dtype=torch.long))
        super().__init__(layers=[_SlotLayer(self._aim, slots, length) for _ in range(layers)])

    def aim(self, rows: slice, places: Tensor) -> None:
        """The next pass is for these rows, and its tokens go to these places: (rows, tokens)."""
        self._aim.rows, self._aim.places = rows, places

    def mask(self, places: Tensor, window: int | None = None) -> Tensor:
        """What each token may look at, as (rows, 1, tokens, length + 1) of bool, for SDPA.

        A token looks at those before it and itself, at most `window` of them. At the idle place
        it looks at that alone: to look at nothing would make it no number.
        """
        columns = torch.arange(self.length + 1, device=places.device)
        own = places[:, None, :, None]
        seen = columns <= own
        if window:
            seen &= columns > own - window
        idle = own == self.length
        return (seen & ~idle) | (idle & (columns == self.length))


class _SlotLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's; the tensors are made when the first key shows what they are of."""

    is_compileable = True

    def __init__(self, aim: Aim, slots: int, length: int) -> None:
        super().__init__()
        self._aim = aim
        self._slots = slots
        self._length = length

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (self._empty(states) for states in (key_states, value_states))
        self.is_initialized = True

    def _empty(self, states: Tensor) -> Tensor:
        heads, size = states.shape[1], states.shape[3]
        return states.new_zeros(self._slots, heads, self._length + 1, size)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write the new, each (rows, heads, tokens, size); gives the rows' all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        keys, values = self.keys[self._aim.rows], self.values[self._aim.rows]
        at = self._aim.places[:, None, :, None]
        keys.scatter_(2, at.expand_as(key_states), key_states)
        values.scatter_(2, at.expand_as(value_states), value_states)
        return keys, values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._length + 1, 0

    def get_seq_length(self) -> int:
        return 0  # every slot has its own: positions and masks are always given

    def get_max_length(self) -> int:
        return self._length
