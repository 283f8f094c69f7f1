"""Reading and writing of input.data, timed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.structure import Structure


def time_reading(atoms: int, size: int) -> None:
    """Write a file of `atoms` atom lines, read it in every way, and print one line for each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.data"
        seconds = time.perf_counter()
        write_structures(path, random_structures(atoms // size, size))
        report("write", atoms, seconds, path)
        seconds = time.perf_counter()
        for _ in read_structures(path, elements=("Ge", "Te")):
            pass
        report("read, streaming", atoms, seconds, path)
        seconds = time.perf_counter()
        file = StructureFile(path, elements=("Ge", "Te"))
        report("find the structures", atoms, seconds, path)
        seconds = time.perf_counter()
        for index in range(len(file)):
            file[index]
        report("read, one by one", atoms, seconds, path)
        seconds = time.perf_counter()
        assert len(file.digest) == 64
        report("checksum", atoms, seconds, path)


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


def report(what: str, atoms: int, start: float, path: Path) -> None:
    """One line: seconds since `start`, and per million atoms."""
    seconds = time.perf_counter() - start
    speed = path.stat().st_size / 1e6 / seconds
    per_million = seconds * 1e6 / atoms
    click.echo(f"{what:20} {seconds:7.2f} s {per_million:7.2f} s per 10^6 atoms {speed:8.1f} MB/s")
