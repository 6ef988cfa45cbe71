"""Models without steps of their own: each request is answered whole, several of them in one go."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from inference.batch.step_loop import Stepped

Request = TypeVar("Request")
Output = TypeVar("Output")


class OneShot(Generic[Request, Output]):
    """A `StepModel`: a step answers up to `most` requests, those that came first.

    `answer` gives one output for each of the requests.
    """

    def __init__(
        self, answer: Callable[[Sequence[Request]], Sequence[Output]], *, slots: int, most: int
    ) -> None:
        self.slots = slots
        self._answer = answer
        self._most = most
        self._requests: dict[int, Request] = {}

    def enter(self, slot: int, request: Request) -> None:
        self._requests[slot] = request

    def feed(self, slot: int, item: None) -> None:
        raise ValueError("there is nothing to add to a request")

    def leave(self, slot: int) -> None:
        self._requests.pop(slot, None)

    def step(self) -> Sequence[Stepped[Output]] | None:
        if not self._requests:
            return None
        slots = list(self._requests)[: self._most]
        outputs = self._answer([self._requests.pop(slot) for slot in slots])
        return [
            Stepped(slot, (output,), done=True) for slot, output in zip(slots, outputs, strict=True)
        ]
