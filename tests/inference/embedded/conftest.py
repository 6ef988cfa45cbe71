import asyncio
from datetime import datetime

import pytest

from inference.embedded import EmbeddedEngine
from inference.settings import EngineSettings


@pytest.fixture(scope="package")
def engine() -> EmbeddedEngine:
    engine = EmbeddedEngine(EngineSettings(), now=lambda: datetime(2026, 11, 20, 10, 43))
    asyncio.run(engine.warm_up())
    return engine
