"""Pictures of loop.out: errors, thresholds, the worth of sigma, labels and events by generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.tables import read_table
from plotting.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, figure, legend_above, save

Array = NDArray[np.float64]
Table = dict[str, Array]

FILE_NAME = "loop.out"
CAPTION = (
    "Active learning by generation. Held out: labels of all generations that are never trained on; new: "
    "labels before they are trained on. Share: frames whose sigma is beyond the level."
)


def draw(directory: Path, output: Path) -> list[Path]:
    """The picture of a campaign, as PNG and PDF; the files written.

    Raises
    ------
    InputError
        No loop.out, or a damaged one.
    """
    return save(loop_figure(read_loop(directory)), output)


def read_loop(directory: Path) -> Table:
    """Columns of loop.out by name, one number a generation."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise InputError(f"{path}: no such file; `bnnp --loop` writes it when a generation is judged")
    return read_table(path)[0]


def loop_figure(table: Table) -> Any:
    """Four panels over the generations."""
    drawn = figure(2, 2)
    errors, levels, worth, labels = np.ravel(drawn.subplots(2, 2))
    number = table["generation"]
    lines(errors, number, {"held out": (table["rmse_F"], BLUE), "new": (table["new_rmse_F"], VERMILLION)})
    errors.set_ylabel("force RMSE (meV/Å)")
    lines(levels, number, {"level of sigma": (table["lower"], BLACK)})
    levels.set_ylabel("level of sigma (meV/Å)")
    shares = levels.twinx()
    lines(shares, number, {"share beyond (right)": (100.0 * table["share"], GREEN)})
    shares.set_ylabel("frames beyond it (%)")
    shares.grid(visible=False)
    scores = {
        r"$\sqrt{\mathrm{ZMS}}$ of forces": (table["sqrt_zms_F"], BLUE),
        r"$\sqrt{\mathrm{ZMS}}$ of energies": (table["sqrt_zms_E"], SKY),
        "in the 90 % interval": (table["coverage_F"], PURPLE),
        "Spearman": (table["spearman"], ORANGE),
    }
    lines(worth, number, scores)
    worth.axhline(1.0, color=BLACK, linewidth=0.8, linestyle=":")
    worth.set_ylabel("sigma on new labels")
    total = {
        "labels": (np.cumsum(table["labels"]), BLACK),
        "failed": (np.cumsum(np.nan_to_num(table["failed"])), VERMILLION),
        "doubtful": (np.cumsum(np.nan_to_num(table["doubtful"])), ORANGE),
        "missed": (np.cumsum(np.nan_to_num(table["missed"])), PURPLE),
        "false alarms": (np.cumsum(np.nan_to_num(table["false_alarms"])), SKY),
    }
    lines(labels, number, total)
    labels.set_ylabel("in all")
    for axes in (errors, levels, worth, labels):
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes is not levels:
            legend_above(axes)
    return drawn


def lines(axes: Axes, number: Array, curves: dict[str, tuple[Array, str]]) -> None:
    """Curves with a point for each generation."""
    for label, (values, color) in curves.items():
        axes.plot(number, values, "o-", color=color, label=label, markersize=3.5)
