"""Reference numbers of n2p2 for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction, parse_function, sort_functions

Atoms = tuple[NDArray[np.float64] | None, NDArray[np.float64], list[str]]  # cell, positions, symbols


@dataclass(frozen=True)
class Case:
    """A folder of ../shared/reference: definitions, structures, and n2p2's raw values and derivatives.

    values : (structure, atom) -> (n_functions,)
    derivatives : (structure, atom i) -> rows (function from 1, atom j, dG_i/dr_j)
    """

    elements: tuple[str, ...]
    functions: dict[str, tuple[SymmetryFunction, ...]]
    cutoff: Cutoff
    structures: list[Atoms]
    values: dict[tuple[int, int], NDArray[np.float64]]
    derivatives: dict[tuple[int, int], NDArray[np.float64]]

    @property
    def radius(self) -> float:
        return max(function.r_c for group in self.functions.values() for function in group)


@pytest.fixture(scope="session")
def reference_case(shared: Path) -> Callable[[str], Case]:
    """Reads a case by the name of its folder."""
    return lambda name: read_case(shared / "reference" / name)


def read_case(folder: Path) -> Case:
    cutoff, parsed = Cutoff(), []
    for line in (folder / "input.nn").read_text().splitlines():
        match line.split("#")[0].split():
            case ["symfunction_short", *words]:
                parsed.append(parse_function(words))
            case ["cutoff_type", number, *alpha]:
                cutoff = Cutoff(int(number), float(alpha[0]) if alpha else 0.0)
    elements = tuple(sorted({f.element for f in parsed}, key=lambda element: atomic_numbers[element]))
    functions = {e: sort_functions(f for f in parsed if f.element == e) for e in elements}
    values = {}
    for line in (folder / "ref_G_unscaled.txt").read_text().splitlines()[1:]:
        structure, atom, _, _, _, *row = line.split()
        values[int(structure), int(atom)] = np.array(row, dtype=float)
    table = np.loadtxt(folder / "ref_dGdr.txt")
    derivatives = {
        (s, i): table[(table[:, 0] == s) & (table[:, 1] == i), 2:] for s, i in table[:, :2].astype(int)
    }
    return Case(elements, functions, cutoff, read_structures(folder / "input.data"), values, derivatives)


def read_structures(path: Path) -> list[Atoms]:
    structures = []
    for text in path.read_text().split("begin")[1:]:
        lines = [line.split() for line in text.splitlines()]
        cell = [line[1:4] for line in lines if line[:1] == ["lattice"]]
        atoms = [line for line in lines if line[:1] == ["atom"]]
        positions = np.array([atom[1:4] for atom in atoms], dtype=float)
        box = np.array(cell, dtype=float) if cell else None
        structures.append((box, positions, [atom[4] for atom in atoms]))
    return structures
