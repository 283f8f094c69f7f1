"""Tables of bnnp analyze: one header line ``# names | text``, then numbers in columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.text import read_lines
from bnnp.messages import count

Array = NDArray[np.float64]


def read_table(path: Path) -> tuple[dict[str, Array], str]:
    """Columns by their names, and the text behind them.

    Raises
    ------
    InputError
        No such file, or not such a table.
    """
    try:
        lines = read_lines(path, "a table of bnnp analyze")
    except FileNotFoundError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    names, bar, text = lines[0].lstrip("# ").partition("|") if lines else ("", "", "")
    if not bar or not lines[0].startswith("#"):
        raise InputError(
            f"{path}: is no table of bnnp analyze: its first line should be `# r g_total ... | ...`"
        )
    try:
        rows = np.array([line.split() for line in lines[1:] if line.strip()], dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: is cut short or damaged: {error}") from error
    columns = names.split()
    if rows.ndim != 2 or rows.shape[1] != len(columns):
        raise InputError(
            f"{path}: has not one number in each line for each of {count(len(columns), 'column')}"
        )
    return dict(zip(columns, rows.T, strict=True)), text.strip()
