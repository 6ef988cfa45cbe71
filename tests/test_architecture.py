"""Who may import whom: reads every import in the tree and fails on a wrong arrow.

run.py -> server -> { signaling, inference } -> media
bench  -> { signaling, media }
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

DIRECTORIES = {
    ".ci",
    "bench",
    "configs",
    "deploy",
    "docs",
    "inference",
    "media",
    "server",
    "signaling",
    "static",
    "tests",
}

PARTS = {
    "run": {"bench", "server", "signaling", "inference", "media"},
    "server": {"signaling", "inference", "media"},
    "signaling": {"media"},
    "inference": {"media"},
    "media": set[str](),
    "bench": {"signaling", "media"},
    "tests": {"run", "bench", "server", "signaling", "inference", "media"},
}
"""What each part may import besides itself. Python anywhere else may import none of them."""

BORROWED = {
    "bench.voices": ("inference.embedded.espeak",),  # the callers of the benches need a voice
    "bench.engine": ("inference", "server.config", "server.settings"),  # what it measures
}
"""The modules across a border, and what they may have from there."""

ONLY_IN = {
    "aiortc": ("signaling", "bench.peers"),
    "aioice": ("signaling", "bench.peers"),
    "av": ("signaling",),
    "torch": ("inference",),
    "transformers": ("inference",),
    "ray": ("inference",),
    "aiohttp": ("server", "signaling.websocket", "bench"),
}
"""Libraries and the modules that may know them. Tests may know all: they drive the real ones."""

MEDIA_LIBRARIES = {"numpy", "soxr", "onnxruntime", "webrtcvad"}

IMPURE = {
    "_thread",
    "asyncio",
    "concurrent",
    "datetime",
    "ftplib",
    "http",
    "multiprocessing",
    "queue",
    "sched",
    "select",
    "selectors",
    "signal",
    "smtplib",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib",
}
"""Of the standard library, what does I/O, waits, or reads a clock: not for media."""


def violations(root: Path) -> list[str]:
    """Every wrong import in the Python files under `root`, as "path:line: what is wrong"."""
    found = []
    for path in python_files(root):
        relative = path.relative_to(root)
        module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
        package = ".".join(relative.with_suffix("").parts[:-1])
        for line, imported in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            wrong = objection(module, imported)
            if wrong and (message := f"{relative}:{line}: {wrong}") not in found:
                found.append(message)
    return found


def python_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") for part in parts) and parts[0] not in {"build", "out"}:
            yield path


def imports(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of all that is imported, wherever in the module.

    `from a import b` gives a and a.b, because b may be a module.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for name in names:
                    yield node.lineno, name.name
            case ast.ImportFrom(module=source, names=names, level=level):
                if level:
                    parents = package.split(".")[: len(package.split(".")) - level + 1]
                    source = ".".join([*parents, *([source] if source else [])])
                assert source is not None
                yield node.lineno, source
                for name in names:
                    yield node.lineno, f"{source}.{name.name}"
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module" | "__import__"),
                args=[ast.Constant(value=str(text)), *_],
            ):
                yield node.lineno, text


def objection(module: str, imported: str) -> str | None:
    """Why `module` must not import this; None if it may."""
    part, library = module.partition(".")[0], imported.partition(".")[0]
    if library in PARTS:
        if any(is_in(imported, lent) for lent in BORROWED.get(module, ())):
            return None
        if library != part and library not in PARTS.get(part, set()):
            return f"{part} must not import {library}"
        if is_in(imported, "inference.training") and not (
            part == "tests" or is_in(module, "inference.training")
        ):
            return "inference.training is for itself alone"
        return None
    if part == "tests":
        return None
    if library in ONLY_IN and not any(is_in(module, owner) for owner in ONLY_IN[library]):
        return f"{library} belongs in {', '.join(ONLY_IN[library])}"
    if part == "media":
        if library in IMPURE:
            return f"media does no I/O, waits for nothing and reads no clock: {library}"
        if library not in sys.stdlib_module_names | MEDIA_LIBRARIES:
            return f"media makes do without {library}"
    return None


def is_in(module: str, owner: str) -> bool:
    return module == owner or module.startswith(owner + ".")


def test_imports_point_one_way() -> None:
    assert violations(ROOT) == []


def test_the_checker_sees_the_whole_tree() -> None:
    seen = {str(path.relative_to(ROOT)) for path in python_files(ROOT)}
    assert {"run.py", "media/frames.py", "inference/protocol.py", "server/settings.py"} <= seen
    lines = imports(ast.parse((ROOT / "media/vad.py").read_text(encoding="utf-8")), "media")
    assert {"onnxruntime", "media.frames"} <= {name for _, name in lines}


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("server/a.py", "import bench.call", "server must not import bench"),
        ("server/a.py", "import run", "server must not import run"),
        ("signaling/a.py", "from inference.protocol import Engine", "signaling must not import"),
        ("signaling/a.py", "from server import session", "signaling must not import server"),
        ("signaling/a.py", "from ..server import session", "signaling must not import server"),
        ("signaling/deep/a.py", "from ...server import a", "signaling must not import server"),
        ("inference/a.py", "import signaling", "inference must not import signaling"),
        ("inference/a.py", "def f():\n    import server.app", "inference must not import server"),
        ("media/a.py", "from signaling.opus import x", "media must not import signaling"),
        ("bench/a.py", "import server.app", "bench must not import server"),
        ("bench/a.py", "from inference import protocol", "bench must not import inference"),
        ("bench/a.py", "import inference.embedded.espeak", "bench must not import inference"),
        ("bench/voices.py", "import inference.hosted", "bench must not import inference"),
        ("bench/a.py", "import_module('server.app')", "bench must not import server"),
        ("docs/a.py", "import media.vad", "docs must not import media"),
        ("media/a.py", "import tests.x", "media must not import tests"),
        ("server/a.py", "from inference import training", "inference.training is for itself"),
        ("inference/a.py", "import inference.training.x", "inference.training is for itself"),
        ("inference/a.py", "from .training import x", "inference.training is for itself"),
        ("run.py", "import inference.training", "inference.training is for itself"),
        ("server/a.py", "from aiortc import RTCPeerConnection", "aiortc belongs in signaling"),
        ("bench/a.py", "import aioice.ice", "aioice belongs in signaling"),
        ("media/a.py", "import av", "av belongs in signaling"),
        ("server/a.py", "import torch", "torch belongs in inference"),
        ("bench/a.py", "import transformers", "transformers belongs in inference"),
        ("run.py", "from ray import serve", "ray belongs in inference"),
        ("signaling/tcp.py", "import aiohttp", "aiohttp belongs in server, signaling.websocket"),
        ("signaling/websockets.py", "import aiohttp.web", "aiohttp belongs in server"),
        ("inference/a.py", "import aiohttp", "aiohttp belongs in server"),
        ("media/a.py", "import asyncio", "media does no I/O"),
        ("media/a.py", "from time import monotonic", "media does no I/O"),
        ("media/deep/a.py", "if True:\n    import threading", "media does no I/O"),
        ("media/a.py", "from concurrent.futures import Future", "media does no I/O"),
        ("media/a.py", "import scipy.signal", "media makes do without scipy"),
        ("media/a.py", "from pydantic import BaseModel", "media makes do without pydantic"),
    ],
)
def test_the_checker_catches(file: str, source: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'"""A module."""\n\n{source}\n', encoding="utf-8")
    found = violations(tmp_path)
    assert len(found) == 1, found
    where, _, what = found[0].partition(": ")
    assert where == f"{file}:{4 if source[:3] in ('def', 'if ') else 3}"
    assert what.startswith(expected)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("run.py", "import server.app, bench.call"),
        ("server/a.py", "import aiohttp, yaml, signaling.webrtc, inference.host, media.vad"),
        ("server/a.py", "from . import b\nfrom .b import c"),
        ("signaling/websocket.py", "from aiohttp import web"),
        ("signaling/rtp.py", "import asyncio, aiortc, aioice, av\nfrom media.frames import x"),
        ("inference/model.py", "import torch, transformers, ray"),
        ("inference/training/a.py", "from inference.training import b\nfrom ..model import c"),
        ("bench/a.py", "import aiohttp, signaling.messages, media.frames"),
        ("media/a.py", "import math, numpy, soxr, onnxruntime, webrtcvad\nfrom media import b"),
        ("tests/a.py", "import aiohttp, aiortc, run, bench.call, inference.training"),
        (".venv/lib/a.py", "import server"),
    ],
)
def test_the_checker_lets_pass(file: str, source: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []


@pytest.mark.parametrize("part", ["media", "server", "signaling", "inference"])
def test_every_module_says_what_it_is(part: str) -> None:
    documented = {
        str(path.relative_to(ROOT)): bool(ast.get_docstring(ast.parse(path.read_text("utf-8"))))
        for path in python_files(ROOT / part)
    }
    assert documented
    assert [path for path, has_one in documented.items() if not has_one] == []


def test_there_are_no_other_directories() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no telling which files belong to it")
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    files = [Path(name) for name in listing.stdout.split("\0") if name]
    assert Path("pyproject.toml") in files
    assert {file.parts[0] for file in files if len(file.parts) > 1} <= DIRECTORIES
