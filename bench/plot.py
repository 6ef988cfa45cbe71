"""Plots of what was measured, with matplotlib, which only who wants plots has to have."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

Points = Sequence[tuple[float, float]]


def add_plot_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plot", type=Path, metavar="FILE.svg|png", help="also draw the figures")


def require_plot(path: Path | None) -> None:
    """Find out before the measurement whether there can be a plot. Raises ValueError."""
    if path is None:
        return
    if path.suffix not in (".svg", ".png"):
        raise ValueError(f"a plot is an .svg or a .png file, not {path}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise ValueError("--plot needs matplotlib: pip install 'vaani[bench]'") from None


def draw(path: Path, panels: Mapping[str, Mapping[str, Points]], x: str) -> None:
    """One panel above the other, each a name of its y axis and lines with theirs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.6 * len(panels)), layout="constrained")
    for axes, (name, lines) in zip(
        figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for label, points in lines.items():
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
        axes.set_ylabel(name)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if len(lines) > 1:
            axes.legend()
    axes.set_xlabel(x)
    figure.savefig(path)
