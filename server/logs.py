"""What a process of the server says on standard error."""

import logging


def start_logging(level: str, process: str = "") -> None:
    """Log from this level on; with several processes each says which it is."""
    named = f" [{process}]" if process else ""
    logging.basicConfig(
        level=level.upper(), format=f"%(asctime)s %(levelname)-7s{named} %(name)s: %(message)s"
    )
    if level != "debug":  # at "info" they tell of every candidate pair
        for name in ("aioice", "aiortc"):
            logging.getLogger(name).setLevel(logging.WARNING)
