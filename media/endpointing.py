"""Has the caller finished, or only paused?"""

from dataclasses import dataclass


@dataclass(frozen=True)
class EndpointingSettings:
    """Configuration section `endpointing`. Seconds of silence after the caller's last sound."""

    min_delay: float = 0.4  # ends a turn that may be finished
    max_delay: float = 1.2  # ends a turn whose words, says the engine, want more


def end_of_turn_delay(settings: EndpointingSettings, complete: bool | None) -> float:
    """The silence that ends the turn, given the engine's opinion of the words so far."""
    return settings.max_delay if complete is False else settings.min_delay
