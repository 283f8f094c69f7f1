"""Silicon of Stillinger and Weber and a potential trained on it: elastic constants, phonons, conductivity.

    python study.py RESULTS [--seeds 1 2] [--arms hot near] [--mesh 24] [--frames 6]

Two training sets of equal size: hot (dynamics from 60 to 1260 K) and near (half of it small displacements,
`bnnp phonons --structures`). For each arm and seed: modes 1 and 2, then test errors and `bnnp phonons
--lifetimes`. The reference is the exact potential by the same code. Needs the extra phonons. Rows are added
to RESULTS/results.csv; the same command goes on where the last one stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from numpy.typing import NDArray

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import write_structures
from bnnp.io.prediction import read_columns
from bnnp.io.tables import read_table
from bnnp.prediction import SamplePredictions
from bnnp.structure import Structure
from bnnp.units import METAL

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from crystal import Lattice, primitive_cell  # noqa: E402
from lifetimes import find_lifetimes  # noqa: E402
from phonons import Spread, write_elastic  # noqa: E402
from stillinger_weber import CUTOFF, ELEMENTS, StillingerWeber, evaluate, snapshots  # noqa: E402
from study_tools import append_rows, read_rows, rms, run_bnnp, with_keyword  # noqa: E402

SILICON = ELEMENTS["Si"]
SPECIAL = {"Gamma": (0.0, 0.0, 0.0), "X": (0.5, 0.0, 0.5), "L": (0.5, 0.5, 0.5)}
ELASTIC = ("C11", "C12", "C44", "B")
KELVIN = (300.0, 600.0)
SUPERCELL, THIRD = (5, 5, 5), (3, 3, 3)
SAMPLES, TEST = "8", 10
DISTANCES = 0.01, 0.03  # Angstrom, displacements of second and third order
COLUMNS = ("arm", "seed", "quantity", "value", "std", "exact")


class Exact:
    """The exact potential with what the tools ask of a :class:`bnnp.potential.potential.Potential`."""

    units, samples, sizes, deviation_factor = METAL, 1, (1,), 1.0
    descriptor = SimpleNamespace(radius=CUTOFF * SILICON.sigma)

    def by_sample(self, structure: Structure) -> SamplePredictions:
        """One sample."""
        energy, forces, virial = evaluate(structure.positions, structure.cell, SILICON)
        assert structure.volume is not None
        stress = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / structure.volume
        return SamplePredictions(np.array([energy]), forces[..., None], stress[:, None])


def training_sets(results: Path, frames: int) -> dict[str, list[Structure]]:
    """The two sets, of 13 `frames` structures each."""
    hot = list(snapshots("Si", np.linspace(60.0, 1260.0, 13), frames, 1))
    ase.io.write(results / "silicon.vasp", crystal())
    run_bnnp(results, "structures.log", "phonons", "silicon.vasp", "--structures", str(len(hot) // 2))
    near = []
    for atoms in ase.io.read(results / "phonons_structures.extxyz", ":"):
        atoms.calc = StillingerWeber(SILICON)
        atoms.get_stress()
        near.append(from_atoms(atoms, METAL))
    return {"hot": hot, "near": hot[::2] + near}


def crystal() -> Atoms:
    """Its primitive cell is at rest at this lattice constant."""
    return bulk("Si", a=SILICON.lattice)


def train(folder: Path, seed: int, structures: list[Structure]) -> None:
    """Modes 1 and 2."""
    folder.mkdir(parents=True, exist_ok=True)
    text = with_keyword((HERE / "input.nn").read_text(), "random_seed", str(seed))
    (folder / "input.nn").write_text(text)
    write_structures(folder / "input.data", structures)
    for mode in "12":
        run_bnnp(folder, f"mode{mode}.log", "--mode", mode)


def errors(folder: Path, test: list[Structure]) -> dict[str, float]:
    """Test errors, meV/atom and meV/Angstrom."""
    write_structures(folder / "test.data", test)
    run_bnnp(folder, "mode3.log", "--mode", "3", "--data", "test.data")
    energy = 1e3 * rms(read_columns(folder / "energy.out")[0]["Ediff"])
    table = read_columns(folder / "nnforces.out")[0]
    force = 1e3 * rms(np.concatenate([table[f"f{x}"] - table[f"f{x}Ref"] for x in "xyz"]))
    return {"energy RMSE (meV/atom)": energy, "force RMSE (meV/Angstrom)": force}


def exact(results: Path, mesh: float) -> dict[str, float]:
    """All quantities of the exact potential."""
    potential = Exact()
    cell, _ = primitive_cell(crystal(), 1e-3)
    lattice = Lattice(cell, SUPERCELL)
    springs = lattice.force_constants(potential, DISTANCES[0])  # type: ignore[arg-type]
    spread = Spread((1,), "std: none, the exact potential")
    found = write_elastic(results / "exact_elastic.out", potential, cell, springs, spread)  # type: ignore[arg-type]
    values = {f"{name} (GPa)": float(found[name][-1]) for name in ELASTIC}
    bands = springs.frequencies(np.array(list(SPECIAL.values())))[..., -1]
    values |= named_bands(bands)
    given = lattice, THIRD, mesh, DISTANCES[1], KELVIN, False
    kappa = find_lifetimes(potential, *given).conductivity[:, 0, -1]  # type: ignore[arg-type]
    return values | {f"kappa({t:g} K) (W/(m K))": float(k) for t, k in zip(KELVIN, kappa, strict=True)}


def named_bands(bands: NDArray[np.float64]) -> dict[str, float]:
    """Lowest frequency of X and L, highest of Gamma, from (3, 6) THz."""
    return {
        "Gamma optical (THz)": float(bands[0, -1]),
        "X lowest (THz)": float(bands[1, 0]),
        "L lowest (THz)": float(bands[2, 0]),
    }


def properties(folder: Path, mesh: float) -> dict[str, tuple[float, float]]:
    """The same of a trained potential, with standard deviations, by bnnp phonons."""
    words = ["--relax", "--supercell", "5 5 5", "--third-supercell", "3 3 3", "--third-mesh", f"{mesh:g}"]
    words += [
        "--samples",
        SAMPLES,
        "--lifetimes",
        "rta",
        "--at",
        " ".join(f"{t:g}" for t in KELVIN),
        "--mesh",
        "20",
    ]
    run_bnnp(folder, "phonons.log", "phonons", str(folder.parent / "silicon.vasp"), *words)
    found = {}
    for line in (folder / "phonons_elastic.out").read_text().splitlines()[1:]:
        name, value, std = line.split()
        if name in ELASTIC:
            found[f"{name} (GPa)"] = float(value), float(std)
    bands, _ = read_table(folder / "phonons_bands.out")
    q = np.stack([bands[f"q_{x}"] for x in "abc"], axis=1)
    rows = [int(np.argmin(np.abs(q - point).sum(axis=1))) for point in SPECIAL.values()]
    values, stds = (
        named_bands(np.stack([bands[f"f_{k}{end}"][rows] for k in range(1, 7)], axis=1))
        for end in ("", "_std")
    )
    found |= {name: (values[name], stds[name]) for name in values}
    kappa, _ = read_table(folder / "phonons_kappa.out")
    for row, t in enumerate(KELVIN):
        pair = float(kappa["kappa_xx"][row]), float(kappa["kappa_xx_std"][row])
        found[f"kappa({t:g} K) (W/(m K))"] = pair
    return found


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--arms", nargs="+", default=["hot", "near"])
    parser.add_argument("--mesh", type=float, default=24.0, help="of the lifetimes")
    parser.add_argument("--frames", type=int, default=6, help="at each of 13 temperatures")
    words = parser.parse_args()
    results = words.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    sets = training_sets(results, words.frames)
    test = list(snapshots("Si", np.array([300.0]), TEST, 99))
    reference = exact(results, words.mesh)
    for seed in words.seeds:
        for arm in words.arms:
            if any((row["arm"], row["seed"]) == (arm, str(seed)) for row in read_rows(results)):
                continue
            folder = results / f"{arm}_{seed}"
            train(folder, seed, sets[arm])
            rows = [[arm, seed, name, value, "", 0] for name, value in errors(folder, test).items()]
            for name, (value, std) in properties(folder, words.mesh).items():
                rows.append([arm, seed, name, value, std, reference[name]])
            append_rows(results, COLUMNS, rows)


if __name__ == "__main__":
    main()
