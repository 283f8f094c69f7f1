"""Tables as text: one header line ``# names | text``, then numbers in columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.io.text import read_lines
from bnnp.messages import count

Array = NDArray[np.float64]


def read_table(path: Path) -> tuple[dict[str, Array], str]:
    """Columns by their names, (n_rows,) float64 each, and the text behind the names.

    Raises
    ------
    InputError
        No such file, not such a table, or a line that has not one number for each column.
    """
    lines = read_lines(path, "a table of numbers")
    names, bar, text = lines[0].lstrip("# ").partition("|") if lines else ("", "", "")
    if not bar or not lines[0].startswith("#"):
        raise InputError(f"{path}: is no table of bnnp: its first line should be `# names of columns | text`")
    columns = names.split()
    rows = [line for line in lines[1:] if line.strip()]
    table = np.empty((len(rows), len(columns)))
    for number, line in enumerate(rows):
        try:
            table[number] = [float(word) for word in line.split()]
        except ValueError as error:
            raise InputError(
                f"{path} line {number + 2}: is cut short or damaged ({error}), expected one number for each "
                f"of {count(len(columns), 'column')}; remove the line, or make the file anew"
            ) from error
    return dict(zip(columns, table.T, strict=True)), text.strip()


def write_table(path: Path, names: Sequence[str], columns: Sequence[NDArray[np.floating]], text: str) -> None:
    """Write columns of numbers, (n_rows,) each, under one header line; OutputError if that fails."""
    with replace_file(path) as file:
        file.write(f"# {' '.join(names)} | {text}\n")
        for row in np.column_stack(columns).tolist():
            file.write(" ".join(f"{value:16.8e}" for value in row) + "\n")
