"""A network that loses and delays packets, in the same way each time for the same seed."""

import argparse
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of one direction. `loss` is a share, `burst` the mean number of packets lost in a row, times
    are in seconds: each packet takes `delay` and, evenly spread, up to `jitter` more.

    Without `burst` every packet is lost or not whatever became of the one before.
    """

    loss: float = 0.0
    burst: float | None = None
    jitter: float = 0.0
    delay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.loss < 1:
            raise ValueError(f"the loss must be from 0 to under 100 %, not {100 * self.loss:g}")
        if self.burst is not None and self.burst < 1:
            raise ValueError(f"bursts have at least one packet, not {self.burst:g}")
        if self.jitter < 0 or self.delay < 0:
            raise ValueError("delay and jitter cannot be negative")

    @property
    def clean(self) -> bool:
        return not (self.loss or self.jitter or self.delay)


class Impairment:
    """One direction of one call: what becomes of each packet in turn.

    Losses are Gilbert's model: a state in which all is lost, one in which nothing is. The mean stay
    in the first is `burst`; how often it is entered makes the share that is lost.
    """

    def __init__(self, conditions: Conditions, name: str) -> None:
        self._random = random.Random(f"{conditions.seed} {name}")
        self._jitter, self._delay = conditions.jitter, conditions.delay
        loss = conditions.loss
        burst = conditions.burst or 1 / (1 - loss)  # by chance alone they are as long as that
        self._leave = 1 / burst
        self._enter = min(1.0, loss / (burst * (1 - loss)))
        self._losing = self._random.random() < loss
        self.packets = 0
        self.lost = 0

    def pass_on(self) -> float | None:
        """After how many seconds the next packet arrives; None if it is lost."""
        change, extra = self._random.random(), self._random.random()
        self._losing = change >= self._leave if self._losing else change < self._enter
        self.packets += 1
        self.lost += self._losing
        return None if self._losing else self._delay + self._jitter * extra


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """The network between caller and server; WebRTC alone can be impaired."""
    group = parser.add_argument_group("network (impairs RTP and RTCP, each way)")
    group.add_argument("--loss", type=float, default=0, metavar="PERCENT")
    group.add_argument("--burst", type=float, metavar="N", help="packets lost in a row, mean")
    group.add_argument("--jitter", type=float, default=0, metavar="MS", help="0 to MS more delay")
    group.add_argument("--delay", type=float, default=0, metavar="MS", help="one way")
    group.add_argument("--seed", type=int, default=0, help="the same losses for the same seed")


def conditions(args: argparse.Namespace) -> Conditions:
    """What the arguments say. Raises ValueError."""
    result = Conditions(
        args.loss / 100, args.burst, args.jitter / 1000, args.delay / 1000, args.seed
    )
    if args.transport != "webrtc" and not result.clean:
        raise ValueError("only WebRTC can be impaired: the others' streams lose nothing")
    return result
