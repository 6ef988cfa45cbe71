"""What a supervisor tells its workers, and where they find each other."""

from dataclasses import dataclass
from pathlib import Path

from server.config import Config


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is to do. `listener` and `tcp_listeners` are descriptors that it inherits."""

    config: Config
    number: int
    directory: Path  # for this server's processes alone
    listener: int
    tcp_listeners: tuple[int, ...]


def board_path(directory: Path) -> Path:
    return directory / "board"


def engine_path(directory: Path) -> Path:
    """The engine host's Unix socket."""
    return directory / "engine"
