"""Measure the speed of the parts of bnnp on this machine.

\b
python tools/benchmark.py read
python tools/benchmark.py read --atoms 100000 --size 50
python tools/benchmark.py predict potential/ structures.data
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import click
import numpy as np

from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.potential import Potential
from bnnp.settings import load_settings
from bnnp.structure import Structure


@click.group(help=__doc__)
def main() -> None:
    """Collect the verbs below."""


@main.command()
@click.option("--atoms", default=1_000_000, show_default=True, help="Atom lines in the file.")
@click.option("--size", default=200, show_default=True, help="Atoms in each structure.")
def read(atoms: int, size: int) -> None:
    """Read input.data: periodic structures with forces, all digits."""
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


@main.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--threads", default=1, show_default=True)
@click.option("--repeat", default=15, show_default=True, help="Runs of each part.")
def predict(directory: Path, data: Path, threads: int, repeat: int) -> None:
    """Time the parts of one prediction: the potential in DIRECTORY, the first structure of DATA."""
    potential = Potential.from_directory(directory, load_settings(directory / "input.nn", 3), threads)
    plain = Potential(potential.settings, potential.networks, potential.scalings, None, threads)
    structure = StructureFile(data, potential.elements, require_labels=False)[0]
    types, pairs = potential.types(structure), potential.neighbors(structure)
    descriptor = potential.descriptor
    values = descriptor.values(types, pairs)
    samples = 1 if potential.masks is None else potential.masks.samples
    neighbors = len(pairs.vectors) / len(structure)
    click.echo(
        f"{len(structure)} atoms, {neighbors:.0f} neighbours, {max(descriptor.n_functions)} functions, "
        f"{samples} samples, {threads} threads, {potential.kernel}"
    )
    click.echo("microseconds per atom                 best  median")
    parts: dict[str, Callable[[], object]] = {
        "neighbour list": lambda: potential.neighbors(structure),
        "symmetry functions": lambda: descriptor.values(types, pairs),
        "reverse sweep": lambda: descriptor.vjp(types, pairs, values),
        "full derivatives": lambda: descriptor.jacobian(types, pairs),
        "all, plain network": lambda: plain.predict(structure),
        "all, mean over samples": lambda: potential.predict(structure, sigma=False),
        "all, with sigma of every force": lambda: potential.predict(structure),
    }
    for name, call in parts.items():
        times = [timed(call) * 1e6 / len(structure) for _ in range(repeat)]
        click.echo(f"{name:34}{min(times):8.1f}{median(times):8.1f}")


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


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


if __name__ == "__main__":
    main()
