"""Speed and memory of bnnp vasp on large files: with the steps of SOURCE, or of made-up runs without it.

\b
python tools/benchmark_vasp.py
python tools/benchmark_vasp.py OUTCAR.gz --megabytes 1000

Made-up runs have random numbers and no more than what bnnp vasp looks for, so that nothing is skipped.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import click
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from make_vasp_example import kilobars, outcar, vasprun
from vasp.compressed import open_stream

ITERATION = re.compile(rb"Iteration +(\d+)\(")
FRAMES = 50
WATCHED = """import runpy, sys
del sys.argv[0]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(open("/proc/self/status").read())
"""


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--atoms", multiple=True, default=(3, 24, 125), show_default=True, help="Of made-up runs.")
@click.option("--megabytes", default=200, show_default=True, help="Size of the file to convert.")
@click.option("--every", default=1, show_default=True, help="Take every N-th step.")
@click.option("--repeat", default=3, show_default=True, help="The fastest of so many runs counts.")
def main(source: Path | None, atoms: tuple[int, ...], megabytes: int, every: int, repeat: int) -> None:
    """Build the files, convert them, tell the speed."""
    tool = Path(__file__).with_name("vasp2data.py")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, data = folder / "large", folder / "input.data"
        command = [sys.executable, "-c", WATCHED, str(tool), "--every", str(every), "--overwrite"]
        command += [str(large), str(data)]
        click.echo("file                     MB  input.data  wall MB/s   CPU MB/s  MiB at most")
        for path in [source] if source else made_up(folder, atoms):
            repeat_steps(path, large, megabytes * 10**6)
            runs = [spent(command) for _ in range(repeat)]
            wall, cpu, memory = (min(values) for values in zip(*runs, strict=True))
            size, written = large.stat().st_size / 1e6, data.stat().st_size / 1e6
            speeds = f"{size / wall:9.1f}  {size / cpu:9.1f}"
            click.echo(f"{path.name:20} {size:6.0f}  {written:10.0f}  {speeds}  {memory:11.0f}")


def made_up(folder: Path, sizes: Iterable[int]) -> Iterator[Path]:
    """A short file of each kind and size, written into `folder`."""
    for kind, text_of in {"vasprun.xml": vasprun, "OUTCAR": outcar, "ML_AB": ml_ab}.items():
        for size in sizes:
            path = folder / f"{kind}, {size} atoms"
            path.write_text(text_of(random_frames(size), sys.maxsize))  # so that every step is converged
            yield path


def random_frames(n_atoms: int) -> Iterator[Atoms]:
    """Frames of random numbers of the usual size: Angstrom, eV."""
    rng = np.random.default_rng(n_atoms)
    cell = (20.0 * n_atoms) ** (1.0 / 3.0) * np.eye(3)
    for _ in range(FRAMES):
        atoms = Atoms(f"Si{n_atoms}", rng.uniform(0.0, cell[0, 0], (n_atoms, 3)), cell=cell, pbc=True)
        forces, stress = rng.normal(size=(n_atoms, 3)), 0.01 * rng.normal(size=6)
        energy = -5.0 * n_atoms + rng.normal()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        yield atoms


def ml_ab(run: Iterator[Atoms], frames: int) -> str:
    """The text of ML_AB."""
    star, double, single = "*" * 50, "=" * 50, "-" * 50
    lines = [" 1.0 Version", star, "     The number of configurations", single, f"     {frames}"]
    for number, atoms in enumerate(run, 1):
        xx, yy, zz, xy, yz, zx = kilobars(atoms)
        lines += [star, f"     Configuration num. {number:6d}"]
        for title, rows in {
            "Atom types and atom numbers": [f"     Si {len(atoms):6d}"],
            "Primitive lattice vectors (ang.)": _rows(atoms.cell.array),
            "Atomic positions (ang.)": _rows(atoms.positions),
            "Total energy (eV)": _rows([[atoms.get_potential_energy()]]),
            "Forces (eV ang.^-1)": _rows(atoms.get_forces()),
        }.items():
            lines += [double, f"     {title}", single, *rows]
        lines += [double, "     Stress (kbar)", single, "     XX YY ZZ", single, *_rows([[xx, yy, zz]])]
        lines += [single, "     XY YZ ZX", single, *_rows([[xy, yz, zx]])]
    return "\n".join([*lines, star, ""])


def _rows(rows: Iterable[Iterable[float]]) -> list[str]:
    return ["   " + " ".join(f"{x:.16E}" for x in row) for row in rows]


def repeat_steps(source: Path, target: Path, size: int) -> None:
    """Write the head of a VASP file, and all steps but the first (all of ML_AB) again and again."""
    with open_stream(source) as stream:
        text = b""
        while piece := stream.read(2**20):
            text += piece
    if b"The number of configurations" in text:
        begin, stop = text.index(b"Configuration num."), len(text)
    else:
        end = b"</calculation>" if b"<modeling" in text else b"LOOP+"
        if text.count(end) < 2:
            raise click.ClickException(f"{source} has fewer than two whole steps; take a longer run")
        begin, stop = text.index(end) + len(end), text.rindex(end) + len(end)
    numbers = [int(number) for number in ITERATION.findall(text[begin:stop])]
    period = max(numbers, default=0) - min(numbers, default=1) + 1
    with open(target, "wb") as file:
        file.write(text[:begin])
        for repetition in count():
            file.write(ITERATION.sub(partial(_later, repetition * period), text[begin:stop]))
            if file.tell() >= size:
                break
        file.write(text[stop:])


def _later(shift: int, match: re.Match[bytes]) -> bytes:
    """The number of a step, so many steps later."""
    return b"Iteration %6d(" % (int(match[1]) + shift)


def spent(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a command, and its memory in MiB."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if "left out" in done.stdout:
        raise click.ClickException(f"not all steps were read, so that this is no speed:\n{done.stdout}")
    memory = int(done.stdout.split("VmHWM:")[1].split()[0]) / 1024
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, memory


if __name__ == "__main__":
    main()
