"""The common look: colors that color-blind readers can tell apart, and files in two formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from bnnp.io.output import make_folder, replacement

# M. Okabe, K. Ito, Color universal design (2008)
BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK = (
    *("#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#000000"),
)
FORMATS = ("png", "pdf")
_LOOK: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "legend.facecolor": "white",
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "figure.dpi": 100.0,
    "savefig.dpi": 200.0,
    "pdf.fonttype": 42,
}


def figure(n_columns: int, n_rows: int = 1, width: float = 3.6, height: float = 3.2) -> Figure:
    """An empty figure for so many panels; no window is opened."""
    mpl.rcParams.update(_LOOK)
    return Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")


class PlainNumbers(LogFormatter):
    """Labels where :class:`LogFormatter` puts them, as 0.2 or 60 instead of powers of ten; between these only
    2, 3 and 6, so that labels do not touch."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) and f"{x:e}"[0] in "1236" else ""


def plain_numbers(axis: Axis) -> None:
    """Tick labels of a logarithmic axis as 0.2, 50, 200 instead of powers of ten."""
    axis.set_major_formatter(PlainNumbers())
    axis.set_minor_formatter(PlainNumbers(minor_thresholds=(1.5, 0.6)))


def legend_above(axes: Axes, title: str = "", n_columns: int = 2, **options: Any) -> None:
    """A legend above the panel, where there are no data; none without labels."""
    if axes.get_legend_handles_labels()[1]:
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": n_columns}
        sizes = {"fontsize": 7.5, "title": title or None, "title_fontsize": 9, "columnspacing": 1.0}
        axes.legend(**(place | sizes | options))


def short(value: float) -> str:
    """Three digits, 1090 and not 1.09e+03; a dash for what is not known."""
    if not np.isfinite(value):
        return "-"
    return f"{float(f'{value:.3g}'):g}"


def save(drawn: Figure, stem: Path) -> list[Path]:
    """Write the figure as PNG and PDF, in a folder that is made if it is not there; the paths.

    Raises
    ------
    OutputError
        The folder or a file cannot be written.
    """
    make_folder(stem.parent)
    paths = [stem.with_suffix(f".{name}") for name in FORMATS]
    for path, name in zip(paths, FORMATS, strict=True):
        metadata = {"CreationDate": None} if name == "pdf" else {}
        with replacement(path) as temporary:
            drawn.savefig(temporary, format=name, metadata=metadata)
    return paths
