"""How large the symmetry functions of each type are, and what their sizes do to training.

    python study.py input.data             structures of GeTe, for example those of ../gete/prepare.sh
    python study.py                        four atoms of copper at 733 K (EMT, made here in seconds)

First table: size and spread of the functions by type. Second: a linear network of one layer is trained by
gradient descent with the largest stable step, on targets that depend on all functions alike (random weights
on the functions in units of their standard deviations), with the inputs as they are or scaled. The error that
is left after T steps follows from the singular values s of the inputs (a column of ones among them) and the
singular vectors u: sum over i of (1 - s_i^2 / s_max^2)^(2T) (u_i . y)^2.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import ase.units
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from numpy.typing import NDArray

from bnnp.descriptors.environments import sample_environments
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.scaling import Scaling
from bnnp.descriptors.statistics import Comoments
from bnnp.io.ase_atoms import from_atoms
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.settings import load_settings
from bnnp.training.normalization import whitening_matrix
from bnnp.units import METAL

Array = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
NAMES = {1: "G1", 2: "G2", 4: "G3", 3: "G4", 9: "G5"}
STEPS = (10, 100, 1000, 10000)
ATOMS = 4000
TARGETS = 50


def main() -> None:
    """Both tables for each element."""
    settings = load_settings(HERE / "input.nn", 1)
    functions: Mapping[str, tuple[SymmetryFunction, ...]] = settings.model.functions
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            data = Path(sys.argv[1])
        else:
            data = copper(Path(folder) / "input.data")
            own = [f for f in functions["Ge"] if set(f.neighbors) == {"Ge"}]
            functions = {
                "Cu": tuple(replace(f, element="Cu", neighbors=("Cu",) * len(f.neighbors)) for f in own)
            }
        structures = StructureFile(data, tuple(functions), require_labels=False)
        samples = sample_environments(structures, functions, settings.model.cutoff, ATOMS, seed=1)
    for element, (first, second) in samples.items():
        values = np.concatenate([first, second])
        print(f"\n{element}: {values.shape[1]} functions, {len(values)} atoms\n")
        print_magnitudes(values, [function.type for function in functions[element]])
        print_convergence(values)


def copper(path: Path) -> Path:
    """200 snapshots of a cubic fcc cell of four atoms at 733 K, 0.1 ps apart."""
    rng = np.random.default_rng(1)
    atoms = bulk("Cu", "fcc", a=3.64, cubic=True)
    atoms.calc = EMT()
    thermalize_momenta(atoms, temperature_K=733.0, rng=rng)
    step, friction = 4.0 * ase.units.fs, 0.02 / ase.units.fs
    dynamics = Langevin(atoms, step, temperature_K=733.0, friction=friction, fixcm=False, rng=rng)
    frames = []
    for _ in range(200):
        dynamics.run(25)
        frames.append(from_atoms(atoms, METAL))
    write_structures(path, frames)
    return path


def print_magnitudes(values: Array, types: list[int]) -> None:
    """Size and spread by type; the share is that of the variance of all functions together."""
    scaling = Scaling.of(values)
    variance = scaling.sigma**2
    print("| | type | functions | mean of abs(G) | smallest | largest | sigma | share of the variance |")
    print("|---|---|---|---|---|---|---|---|")
    for number, name in NAMES.items():
        columns = [k for k, type_ in enumerate(types) if type_ == number]
        size = np.abs(values[:, columns]).mean()
        sigma = scaling.sigma[columns]
        least, most = scaling.minimum[columns].min(), scaling.maximum[columns].max()
        share = 100.0 * variance[columns].sum() / variance.sum()
        print(
            f"| {name} | {number} | {len(columns)} | {size:.3g} | {least:.2g} | {most:.3g} "
            f"| {sigma.min():.2g} - {sigma.max():.2g} | {share:.2g} % |"
        )


def print_convergence(values: Array) -> None:
    """Error that gradient descent leaves, relative to the targets, for each way to present the functions."""
    scaling = Scaling.of(values)
    centered = values - scaling.mean
    covariance = Comoments.of(values).products / len(values)
    inputs = {
        "as they are": values,
        "centred": centered,
        "scaled to 0 ... 1": (values - scaling.minimum) / scaling.spread,
        "centred, scaled by the range": centered / scaling.spread,
        "centred, scaled by sigma": centered / scaling.sigma,
        "whitened, as mode 2 trains": centered @ whitening_matrix(covariance, scaling),
    }
    weights = np.random.default_rng(1).normal(size=(values.shape[1], TARGETS))
    targets = centered / scaling.sigma @ weights
    print("\n| inputs | condition number | " + " | ".join(f"{steps} steps" for steps in STEPS) + " |")
    print("|---|---|" + "---|" * len(STEPS))
    for name, presented in inputs.items():
        matrix = np.column_stack([np.ones(len(values)), presented])
        s, errors = errors_left(matrix, targets)
        shown = " | ".join(f"{100.0 * error:.3g} %" for error in errors)
        print(f"| {name} | {(s[0] / s[-1]) ** 2:.1g} | {shown} |")


def errors_left(matrix: Array, targets: Array) -> tuple[Array, list[float]]:
    """Singular values of the inputs, and the relative errors after `STEPS`; (n, inputs) and (n, targets)."""
    u, s, _ = np.linalg.svd(matrix, full_matrices=False)
    overlap = np.square(u.T @ targets)  # (singular vectors, targets)
    speed = 1.0 - (s / s[0]) ** 2
    left = [speed ** (2 * steps) @ overlap / np.square(targets).sum(axis=0) for steps in STEPS]
    return s, [float(np.sqrt(np.mean(each))) for each in left]


if __name__ == "__main__":
    main()
