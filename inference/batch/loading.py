"""Where a model runs and in what numbers, and how it is loaded: a folder, or what was fetched."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from inference.protocol import EngineFailed
from inference.settings import EngineSettings

disable_progress_bar()  # in a log it is noise


def pick_device(settings: EngineSettings) -> torch.device:
    if settings.device != "auto":
        return torch.device(settings.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(settings: EngineSettings) -> torch.dtype:
    """bfloat16 on a GPU; on a CPU most of its kernels are slower than float32's."""
    if settings.dtype != "auto":
        return {
            "float32": torch.float32,
            "bfloat16": torch.bfloat16,
            "float16": torch.float16,
        }[settings.dtype]
    return torch.bfloat16 if pick_device(settings).type == "cuda" else torch.float32


def load_model(cls: Any, name: str, settings: EngineSettings, attention: str = "sdpa") -> Any:
    """A model of transformers' for use, on the device. Raises EngineFailed: what is missing."""
    dtype = pick_dtype(settings)
    model = from_pretrained(cls, name, dtype=dtype, attn_implementation=attention)
    return model.to(pick_device(settings)).eval()


def from_pretrained(cls: Any, name: str, **options: Any) -> Any:
    """Never from the network: a call must not wait for gigabytes. Raises EngineFailed."""
    if not name:
        raise EngineFailed(f"{cls.__name__} needs a model: a folder, or a name on the hub")
    if (name.startswith((".", "/", "~"))) and not Path(name).expanduser().is_dir():
        raise EngineFailed(f"there is no folder {name}")
    try:
        return cls.from_pretrained(os.path.expanduser(name), local_files_only=True, **options)
    except OSError as error:
        raise EngineFailed(f"{name}: {error}") from error
