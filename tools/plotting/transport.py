"""Pictures of bnnp analyze --transport: the correlation of a flux and its integral, with bands of 95 %."""

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
        if "integral" not in table:
            raise InputError(f"{path}: has no column integral, as a file of `bnnp analyze --transport` has")
    return save(transport_figure(tables), output)


def transport_figure(tables: Sequence[tuple[dict[str, Array], str]]) -> Any:
    """Correlation on the left; on the right its integral, with the value of stacie and its error."""
    drawn = figure(2, len(tables))
    panels = drawn.subplots(len(tables), 2, squeeze=False)
    for (left, right), (table, text) in zip(panels, tables, strict=True):
        time = table["time"]
        for axes, name, color in ((left, "correlation", BLUE), (right, "integral", VERMILLION)):
            y, error = table[name], WIDTH * table[f"{name}_err"]
            axes.plot(time, y, color=color)
            axes.fill_between(time, y - error, y + error, color=color, alpha=0.25, lw=0)
            axes.axhline(0.0, color=BLACK, linewidth=0.6, linestyle=":")
            axes.set(xlabel="time (ps)", xlim=(0.0, time[-1]))
        _, unit_c, unit = (part.strip() for part in text.partition(";")[0].split(","))
        words = text.partition("; ")[2]
        left.set(ylabel=f"correlation ({unit_c})")
        right.set(ylabel=f"integral ({unit})")
        if found := re.match(r"(.*?) (\S+) \+- (\S+) ", words):
            value, width = float(found[2]), WIDTH * float(found[3])
            right.axhspan(value - width, value + width, color=BLACK, alpha=0.12, lw=0)
            right.axhline(value, color=BLACK, linewidth=0.8, label=f"{found[1]} {found[2]} ± {found[3]}")
            right.legend(loc="lower right", fontsize=7.5)
    return drawn
