"""What the machine itself offers: Python, packages, the engine's files, CPU, GPU, memory."""

import os
import resource
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from media.vad import VAD_RATE, make_detector
from server.doctor.finding import Finding, Host
from signaling.opus import OpusDecoder, OpusEncoder, OpusError

ROOT = Path(__file__).parents[2]
NEEDED_MEMORY = 600
"""MB of server and embedded engine with a few calls; each further one takes about 16 more."""

_ENGINE_LIMIT, _GPU_LIMIT, _TORCH_LIMIT = 30.0, 5.0, 30.0
_WARM_UP = """
import asyncio, sys
from inference.host import make_engine
from inference.settings import EngineSettings
asyncio.run(make_engine(EngineSettings(name=sys.argv[1])).warm_up())
"""
_TORCH = """
import torch
print(torch.__version__, "with CUDA" if torch.cuda.is_available() else "without CUDA")
"""


def check_python(host: Host) -> Finding:
    here = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", "ok", f"{here}, {sys.executable}")


def check_packages(host: Host) -> Finding:
    """Are all packages there that Vaani says it needs?"""
    try:
        needed = [line for line in requires("vaani") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return Finding(
            "packages", "note", "Vaani is not installed: unknown", "Run `make setup` once."
        )
    names = [_name(line) for line in needed]
    missing = [name for name in names if not _version(name)]
    if missing:
        text = f"missing: {', '.join(missing)}"
        return Finding("packages", "problem", text, "Run `make setup`.")
    media = ", ".join(f"{name} {_version(name)}" for name in ("aiortc", "aiohttp", "av"))
    return Finding("packages", "ok", f"all {len(names)} installed: {media} …")


def _name(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def check_opus(host: Host) -> Finding:
    """A frame through libopus and back."""
    try:
        packet = OpusEncoder(VAD_RATE).encode(np.zeros(VAD_RATE // 50, np.int16))
        OpusDecoder(VAD_RATE).decode(packet)
    except (OpusError, OSError) as error:
        return Finding("libopus", "problem", str(error), "Run `make setup`, or install libopus0.")
    return Finding("libopus", "ok", "encodes and decodes")


def check_vad(host: Host) -> Finding:
    """A frame through the voice detector that is configured."""
    settings = host.config.vad
    try:
        make_detector(settings).probability(np.zeros(VAD_RATE // 50, np.int16))
    except Exception as error:  # whatever a library says that cannot load its model
        text = f"{settings.detector} does not load: {error}"
        return Finding("voice detector", "problem", text, "Run `make setup`.")
    return Finding("voice detector", "ok", f"{settings.detector} loads")


def check_engine(host: Host) -> Finding:
    """Start the engine, its libraries and models, in a process of its own."""
    name = host.config.engine.name
    if name != "embedded":
        return Finding("engine", "ok", f"{name} needs no files")
    said = _run([sys.executable, "-c", _WARM_UP, name], _ENGINE_LIMIT)
    if isinstance(said, Failed):
        text = f"{name} does not start: {said}"
        return Finding("engine", "problem", text, "Run `make setup`; is the disk full?")
    return Finding("engine", "ok", f"{name}: espeak-ng and pocketsphinx load; it needs no GPU")


def check_gpu(host: Host) -> Finding:
    """GPUs by nvidia-smi, and whether PyTorch, if it is installed, can use them."""
    engine = host.config.engine.name
    torch = _torch()
    if not shutil.which("nvidia-smi"):
        return Finding("GPU", "note", f"none; {torch}; the engine {engine} needs none")
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    said = _run(query, _GPU_LIMIT)
    if isinstance(said, Failed):
        return Finding("GPU", "note", f"nvidia-smi fails: {said}; the engine {engine} needs none")
    found = "; ".join(said.splitlines())
    return Finding("GPU", "ok", f"{found}; {torch}; the engine {engine} needs none")


def _torch() -> str:
    if find_spec("torch") is None:
        return "PyTorch is not installed"
    said = _run([sys.executable, "-c", _TORCH], _TORCH_LIMIT)
    return f"PyTorch fails: {said}" if isinstance(said, Failed) else f"PyTorch {said}"


class Failed(str):
    """Why a program gave no answer."""


def _run(command: list[str], seconds: float) -> str | Failed:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Failed(str(error).replace("\n", " ")[-200:])
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Failed(lines[-1][:200])
    return done.stdout.strip()


def check_cpu(host: Host) -> Finding:
    """Cores this process may use; a container's quota counts."""
    cores = float(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)
    quota = _cgroup("cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        cores = min(cores, int(quota[0]) / int(quota[1]))
    text = f"{cores:g} core{'s' if cores > 1 else ''}"
    workers = host.config.server.workers
    if workers > max(1, cores):
        advice = f"Set server.workers to {max(1, int(cores))}: more only take turns."
        return Finding("CPU", "note", f"{text} for {workers} workers", advice)
    if cores < 2:
        return Finding(
            "CPU", "note", text, "Two cores are better: the engine has a process of its own."
        )
    return Finding("CPU", "ok", text)


def check_memory(host: Host) -> Finding:
    """Memory that is free, within a container's limit."""
    available = _available_memory(Path("/proc/meminfo"))
    if available is None:
        return Finding("memory", "note", "unknown on this system")
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    if limit.isdigit() and used.isdigit():
        cache = next(
            (line for line in _cgroup("memory.stat").splitlines() if "inactive_file " in line), ""
        )
        taken = int(used) - int(cache.split()[1] if cache else 0)  # the cache makes room when asked
        available = min(available, (int(limit) - taken) >> 20)
    text = f"{available} MB available"
    if available < NEEDED_MEMORY:
        advice = f"Give it {NEEDED_MEMORY} MB or more, or set server.max_sessions low."
        return Finding("memory", "note", text, advice)
    return Finding("memory", "ok", text)


def _available_memory(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) >> 10 for line in lines if "MemAvailable" in line), None)


def _cgroup(name: str) -> str:
    """A limit of the container that this process is in (cgroup 2); empty if there is none."""
    try:
        return (Path("/sys/fs/cgroup") / name).read_text().strip()
    except OSError:
        return ""


def check_descriptors(host: Host) -> Finding:
    """Each call holds a socket for every address, and some more while it is set up."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    sessions = host.config.server.max_sessions
    needed = 64 + sessions * (2 * len(host.addresses) + 2)
    text = f"{limit} file descriptors; {sessions} calls may need {needed}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        advice = f"Raise the limit (`ulimit -n {needed}`), or lower server.max_sessions."
        return Finding("descriptors", "problem", text, advice)
    return Finding("descriptors", "ok", text)
