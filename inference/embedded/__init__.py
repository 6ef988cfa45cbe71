"""The embedded engine: offline, on the CPU, in English and Telugu."""

from inference.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
