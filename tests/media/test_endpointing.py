"""media.endpointing: the engine's opinion only ever buys the caller time."""

import pytest

from media.endpointing import EndpointingSettings, end_of_turn_delay


@pytest.mark.parametrize(("complete", "delay"), [(None, 0.3), (True, 0.3), (False, 2.0)])
def test_delay_by_opinion(complete: bool | None, delay: float) -> None:
    settings = EndpointingSettings(min_delay=0.3, max_delay=2.0)
    assert end_of_turn_delay(settings, complete) == delay


def test_defaults() -> None:
    assert EndpointingSettings() == EndpointingSettings(min_delay=0.4, max_delay=1.2)
