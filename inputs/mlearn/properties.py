"""Lattice, elastic constants, phonons and vacancy of the potentials of study.py: median, range of the seeds.

    python properties.py RESULTS [NAME ...]

Crystals of ASE (Ni and Cu fcc, Li and Mo bcc, Si and Ge diamond) are relaxed; elastic constants, with relaxed
atoms, and the largest frequency at each end of the path of the bands are those of `bnnp phonons` (extra
`phonons`), whose files stay in RESULTS/NAME_SEED. The vacancy is one atom less in a cubic cell at least 10
Angstrom wide, atoms relaxed at constant cell.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from pathlib import Path

import ase.io
import numpy as np
from ase.build import bulk
from ase.optimize import LBFGS

from bnnp.interfaces.ase import BNNP
from bnnp.potential.loading import load

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from study_tools import run_bnnp  # noqa: E402

NAMES = ("Ni", "Cu", "Li", "Mo", "Si", "Ge")
WIDTH = 10.0  # Angstrom, at least, of the cell with a vacancy
FORCE = 0.005  # eV/Angstrom, that are left after a relaxation


def constants(path: Path) -> dict[str, float]:
    """C11, C12 and C44 (GPa) of phonons_elastic.out."""
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value, *_ in rows if name in ("C11", "C12", "C44")}


def highest(path: Path) -> dict[str, float]:
    """The largest frequency (THz) at each labeled wave vector of phonons_bands.out."""
    header = path.read_text().partition("\n")[0]
    names = header.partition("|")[0].split()[1:]
    ends = re.findall(r"([A-Z_]\w*) ([\d.]+)", re.search(r"path: ([^;]*)", header)[1])  # type: ignore[index]
    table = np.loadtxt(path)
    branches = [k for k, name in enumerate(names) if re.fullmatch(r"f_\d+", name)]
    found = {}
    for label, distance in ends:
        row = int(np.abs(table[:, 0] - float(distance)).argmin())
        found.setdefault(f"nu({label})", float(table[row, branches].max()))
    return found


def vacancy(calculator: BNNP, name: str, edge: float) -> float:
    """Energy of formation of a vacancy, eV."""
    crystal = bulk(name, a=edge, cubic=True)
    crystal = crystal.repeat(int(np.ceil(WIDTH / edge)))
    crystal.calc = calculator
    whole = crystal.get_potential_energy()
    defect = crystal.copy()
    del defect[0]
    defect.calc = calculator
    LBFGS(defect, logfile=None).run(fmax=FORCE, steps=300)
    return float(defect.get_potential_energy() - whole * len(defect) / len(crystal))


def properties(folder: Path, name: str) -> dict[str, float]:
    """All of one potential, by name."""
    calculator = BNNP(load(folder / "potential", 0), warn=False)
    crystal = bulk(name)
    ase.io.write(folder / "crystal.cif", crystal)
    arguments = ("--relax", "--samples", "0", "--potential", "potential")
    run_bnnp(folder, "phonons.log", "phonons", "crystal.cif", *arguments)
    header = (folder / "phonons_elastic.out").read_text().partition("\n")[0]
    vectors = re.search(r"lattice vectors ([^;]*; [^;]*; [^;]*);", header)[1]  # type: ignore[index]
    volume = abs(np.linalg.det(np.array([row.split() for row in vectors.split(";")], dtype=float)))
    per_cube = len(bulk(name, cubic=True)) / len(crystal)
    edge = float((volume * per_cube) ** (1 / 3))
    found = {"a": edge} | constants(folder / "phonons_elastic.out")
    return found | {"E_v": vacancy(calculator, name, edge)} | highest(folder / "phonons_bands.out")


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    words = parser.parse_args()
    for name in words.names:
        folders = [path.parent for path in sorted(words.results.glob(f"{name}_*/potential"))]
        rows = [properties(folder, name) for folder in folders]
        cells = []
        for key in rows[0] if rows else ():
            values = [row[key] for row in rows]
            cells.append(f"{key} {statistics.median(values):.4g} ({min(values):.4g}-{max(values):.4g})")
        if cells:
            print(f"{name}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
