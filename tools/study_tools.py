"""What the studies below inputs/ and tools/compare_arms.py share: runs of bnnp, keywords, results.csv."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def with_keyword(text: str, name: str, value: str) -> str:
    """input.nn with one keyword set to another value."""
    line = f"{name} {value}"
    changed, count = re.subn(rf"^{name}\b[^#\n]*", f"{line}  ", text, flags=re.MULTILINE)
    return changed if count else f"{text}{line}\n"


def run_bnnp(directory: Path, log: str, *arguments: str) -> None:
    """Run the program in a directory, its output to a log file; a failure ends the study."""
    command = [sys.executable, "-m", "bnnp", *arguments]
    with open(directory / log, "w") as file:
        if subprocess.run(command, cwd=directory, stdout=file, stderr=subprocess.STDOUT).returncode:
            sys.exit(f"{' '.join(arguments)} failed in {directory}; see {log} there")


def append_rows(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Lines of results.csv, the header before the first, in one write."""
    with open(folder / "results.csv", "a", newline="") as file:
        shown = [[f"{x:.5g}" if isinstance(x, float) else x for x in row] for row in rows]
        csv.writer(file).writerows([columns, *shown] if file.tell() == 0 else shown)


def read_rows(folder: Path) -> list[dict[str, str]]:
    """What results.csv has so far."""
    path = folder / "results.csv"
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def rms(values: NDArray[np.float64]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.square(values).mean()))
