"""Pictures of bnnp analyze --transport: the correlation of a flux and its integral, with bands of 95 %.

With a driving force: the conductivity as a running mean.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.tables import read_table
from plotting.distributions import WIDTH
from plotting.style import BLACK, BLUE, VERMILLION, figure, save

Array = NDArray[np.float64]


def draw(files: Sequence[Path], output: Path) -> list[Path]:
    """One row of two panels for each file; the files written.

    Raises
    ------
    InputError
        A file is missing, or no table of ``bnnp analyze --transport``.
    """
    tables = [read_table(path) for path in files]
    for path, (table, _) in zip(files, tables, strict=True):
        if not {"integral", "running_mean"} & set(table):
            raise InputError(f"{path}: has no column integral, as a file of `bnnp analyze --transport` has")
    return save(transport_figure(tables), output)


def transport_figure(tables: Sequence[tuple[dict[str, Array], str]]) -> Any:
    """Correlation on the left; on the right its integral, with the first value and its error."""
    drawn = figure(2, len(tables))
    panels = drawn.subplots(len(tables), 2, squeeze=False)
    for (left, right), (table, text) in zip(panels, tables, strict=True):
        time, driven = table["time"], "running_mean" in table
        _, *units = (part.strip() for part in text.partition(";")[0].split(","))
        words, shown = (
            text.partition("; ")[2],
            ("running_mean",) if driven else ("correlation", "integral"),
        )
        for axes, name, unit, color in zip(
            (left, right)[-len(units) :], shown, units, (BLUE, VERMILLION), strict=False
        ):
            axes.plot(time, table[name], color=color)
            if not driven:
                y, error = table[name], WIDTH * table[f"{name}_err"]
                axes.fill_between(time, y - error, y + error, color=color, alpha=0.25, lw=0)
            axes.axhline(0.0, color=BLACK, linewidth=0.6, linestyle=":")
            axes.set(xlabel="time (ps)", ylabel=f"{name.replace('_', ' ')} ({unit})", xlim=(0.0, time[-1]))
        left.set_visible(not driven)
        if found := re.match(r"(.*?) (\S+) \+- (\S+) ", words):
            value, width = float(found[2]), WIDTH * float(found[3])
            right.axhspan(value - width, value + width, color=BLACK, alpha=0.12, lw=0)
            right.axhline(value, color=BLACK, linewidth=0.8, label=f"{found[1]} {found[2]} ± {found[3]}")
            right.legend(loc="lower right", fontsize=7.5)
    return drawn
