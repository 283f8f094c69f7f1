"""Pictures of rdf.out and adf.out: total and partial distributions of one file or several, with their bands.

Read are tables of bnnp analyze. A band is what 95 % of a normal distribution lies in: 1.96
standard errors of the mean (columns ``_err``, blocks of one run) or 1.96 standard deviations (``_std``, the
members of several) to both sides; or it reaches from a column ``_low`` to a column ``_high``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.tables import read_table
from bnnp.messages import count
from plotting.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, figure, save

Array = NDArray[np.float64]

COLORS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
WIDTH = 1.96  # of a band of 95 %
ERRORS = ("err", "std", "low", "high")
KINDS = {
    "rdf": ("g_", r"$r$ ($\mathrm{\AA}$)", "g(r)"),
    "adf": ("p_", "angle (degrees)", "probability (1/degree)"),
}


@dataclass(frozen=True, eq=False)
class Curve:
    """One distribution and its band.

    Parameters
    ----------
    x, y : (n,) float64
    low, high : (n,) float64 or None
    """

    x: Array
    y: Array
    low: Array | None
    high: Array | None


def draw(kind: str, files: Sequence[Path], labels: Sequence[str], output: Path) -> list[Path]:
    """The picture of all files, one panel a distribution; the files written.

    Parameters
    ----------
    kind : str
        ``rdf`` or ``adf``.
    labels : sequence of str
        One a file; the names of the files if there are none.
    output : Path
        Without the ending.

    Raises
    ------
    InputError
        A file is missing or no such table, or there are not as many labels as files.
    """
    if labels and len(labels) != len(files):
        raise InputError(
            f"{count(len(labels), 'label')} for {count(len(files), 'file')}: give one --label a file, or none"
        )
    curves = [read_curves(kind, path) for path in files]
    drawn = distributions_figure(kind, curves, labels or _names(files))
    return save(drawn, output)


def read_curves(kind: str, path: Path) -> dict[str, Curve]:
    """The distributions of a file by what they are of, ``total`` or ``Ge-Te``."""
    table, _ = read_table(path)
    prefix = KINDS[kind][0]
    x = next(iter(table.values()))
    names = [name for name in table if name.startswith(prefix) and name.rpartition("_")[2] not in ERRORS]
    if not names:
        raise InputError(f"{path}: has no columns {prefix}..., as a file of `bnnp analyze --{kind}` has")
    return {name.removeprefix(prefix): _curve(table, name, x) for name in names}


def _curve(table: dict[str, Array], name: str, x: Array) -> Curve:
    y = table[name]
    if f"{name}_low" in table and f"{name}_high" in table:
        return Curve(x, y, table[f"{name}_low"], table[f"{name}_high"])
    for ending in ("std", "err"):  # the model's, where a file has both
        width = table.get(f"{name}_{ending}")
        if width is not None and width.any():
            return Curve(x, y, y - WIDTH * width, y + WIDTH * width)
    return Curve(x, y, None, None)


def distributions_figure(kind: str, files: Sequence[dict[str, Curve]], labels: Sequence[str]) -> Any:
    """Total first, then the parts; each file in a color and a dash of its own."""
    parts = list(dict.fromkeys(name for curves in files for name in curves))
    n_columns = min(len(parts), 2 if len(parts) < 5 else 3)
    n_rows = -(-len(parts) // n_columns)
    drawn = figure(n_columns, n_rows, height=2.6)
    _, x_label, y_label = KINDS[kind]
    for number, part in enumerate(parts):
        axes = drawn.add_subplot(n_rows, n_columns, number + 1)
        for k, (curves, label) in enumerate(zip(files, labels, strict=True)):
            if part in curves:
                _plot(axes, curves[part], label, COLORS[k % len(COLORS)], DASHES[k % len(DASHES)])
        if kind == "rdf":
            axes.axhline(1.0, color=BLACK, linewidth=0.6, linestyle=":", label="without structure")
        axes.set_title(part, fontsize=9)
        axes.set(ylim=(0.0, None), xlim=(0.0, max(curve[part].x[-1] for curve in files if part in curve)))
        axes.set(xlabel=x_label if number >= len(parts) - n_columns else "")
        axes.set(ylabel=y_label if number % n_columns == 0 else "")
    drawn.legend(*drawn.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawn


def _plot(axes: Any, curve: Curve, label: str, color: str, dashes: Any) -> None:
    banded = curve.low is not None and curve.high is not None
    text = f"{label}, 95 % band" if banded else label
    axes.plot(curve.x, curve.y, linestyle=dashes, color=color, label=text)
    if curve.low is not None and curve.high is not None:
        axes.fill_between(curve.x, np.maximum(curve.low, 0.0), curve.high, color=color, alpha=0.25, lw=0)


def _names(files: Sequence[Path]) -> list[str]:
    """As much of the paths as tells them apart."""
    if len({path.name for path in files}) == len(files):
        return [path.name for path in files]
    return [str(path) for path in files]
