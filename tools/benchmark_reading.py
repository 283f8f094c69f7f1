"""Reading and writing of input.data, timed."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from benchmark_timing import COLUMNS, Results, measure, median, show_table

from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.structure import Structure


def time_reading(atoms: int, size: int, repeat: int, results: Results) -> None:
    """Write a file of `atoms` atom lines, read it in every way, and print one line for each."""
    with tempfile.TemporaryDirectory() as folder:
        path, elements = Path(folder) / "input.data", ("Ge", "Te")
        structures = list(random_structures(atoms // size, size))
        write_structures(path, structures)
        file, megabytes = StructureFile(path, elements), path.stat().st_size / 1e6
        calls: dict[str, Callable[[], object]] = {
            "write": lambda: write_structures(path, structures),
            "read, streaming": lambda: deque(read_structures(path, elements=elements), maxlen=0),
            "find the structures": lambda: StructureFile(path, elements),
            "read, one by one": lambda: deque(map(file.__getitem__, range(len(file))), maxlen=0),
            "checksum": lambda: StructureFile(path, elements).digest,
        }
        rows = []
        for name, found in measure(calls, repeat).items():
            row = results.add(found.per(len(structures) * size), "read", name)
            speed = megabytes / median(found.wall)
            rows.append((name, *row.cells(), f"{speed:.1f}"))
    show_table(("part", *COLUMNS, "MB/s"), rows)


def random_structures(number: int, size: int) -> Iterator[Structure]:
    """Structures of random numbers with all their digits."""
    rng = np.random.default_rng(1)
    for _ in range(number):
        yield Structure(
            numbers=rng.choice([32, 52], size),
            positions=rng.uniform(0.0, 20.0, (size, 3)),
            cell=20.0 * np.eye(3),
            energy=rng.normal(),
            forces=rng.normal(size=(size, 3)),
        )
