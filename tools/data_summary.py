"""What a tool has written: counts by composition and ranges of the labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from data_units import looks_like

from bnnp._core import within
from bnnp.errors import InputError
from bnnp.io.ase_labels import PREDICTED
from bnnp.io.input_data import write_structures
from bnnp.io.output import replace_file
from bnnp.messages import count
from bnnp.structure import Structure
from bnnp.units import Units

PIECE = 2**20  # characters copied at a time


class Summary:
    """Counts by composition, and the ranges of the labels, of all structures that pass through."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self.formulas: dict[str, int] = {}
        self.atoms = self.with_stress = self.periodic = self.predicted = 0
        self.energies = (np.inf, -np.inf)  # eV an atom
        self.largest_force = 0.0  # length of the vector, eV/Angstrom

    def __len__(self) -> int:
        return sum(self.formulas.values())

    def watch(self, structures: Iterable[Structure]) -> Iterator[Structure]:
        """Pass the structures on and count them."""
        for structure in structures:
            self.count(structure)
            yield structure

    def count(self, structure: Structure) -> None:
        """Count one structure."""
        formula = _formula(structure.numbers.tobytes())
        self.formulas[formula] = self.formulas.get(formula, 0) + 1
        self.atoms += len(structure)
        self.periodic += structure.periodic
        self.with_stress += structure.stress is not None
        if structure.energy is not None:
            marked = PREDICTED.items() <= structure.info.items()
            self.predicted += marked or "energy_std" in structure.info
            energy = structure.energy * self.units.ev / len(structure)
            self.energies = min(self.energies[0], energy), max(self.energies[1], energy)
        if structure.forces is not None:
            unit = self.units.ev / self.units.angstrom
            if not within(structure.forces, self.largest_force / unit / 2.0):  # else no vector is longer
                largest = float(np.nanmax(np.einsum("ij,ij->i", structure.forces, structure.forces))) ** 0.5
                self.largest_force = max(self.largest_force, largest * unit)

    def warnings(self) -> Iterator[str]:
        """What the user should look at."""
        if self.predicted:
            yield (
                f"the energies and forces of {self.predicted} of {count(len(self), 'structure')} are "
                "PREDICTIONS of a potential (labels=predicted, or standard deviations beside them), not "
                "references: training on them teaches the potential itself. --no-labels leaves them out, "
                "for a quantum calculation"
            )

    def lines(self) -> Iterator[str]:
        """The summary as text."""
        width = max((len(formula) for formula in self.formulas), default=0)
        for formula, number in sorted(self.formulas.items()):
            yield f"  {formula:{width}}  {number:7d}"
        kinds = f"{self.periodic} periodic, {self.with_stress} with stress"
        yield f"{count(len(self), 'structure')} ({kinds}), {count(self.atoms, 'atom')}"
        if np.isfinite(self.energies[0]):
            low, high = self.energies
            yield f"energies from {low:.4f} to {high:.4f} eV/atom"
            yield f"largest force (vector) {self.largest_force:.3f} eV/Angstrom"


@lru_cache(maxsize=64)  # the frames of a run are alike
def _formula(numbers: bytes) -> str:
    """Formula of atomic numbers, int64."""
    elements, counts = np.unique(np.frombuffer(numbers, dtype=np.int64), return_counts=True)
    symbols = [chemical_symbols[number] for number in elements]
    return str(Formula.from_dict(dict(zip(symbols, counts.tolist(), strict=True))).format("metal"))


def check_units(output: Path, units: Units) -> None:
    """Refuse to add to a file whose shortest distances are those of the other unit."""
    if (other := looks_like(output, units)) is not units:
        raise InputError(
            f"{output} looks like {other.length}, but {units.length} was to be added (--units {units.name}); "
            f"add --units {other.name}, or choose another output"
        )


def written_to(output: Path, append: bool, n_structures: int) -> str:
    """What became of the file."""
    return f"{('Added to' if n_structures else 'Nothing added to') if append else 'Written'}: {output}"


def write_data(
    target: Path, structures: Iterable[Structure], append: bool = False, decimals: int | None = None
) -> None:
    """Write input.data, or add to it; the file changes only when all structures are written.

    `decimals` of positions and forces are written, all that float64 has without.
    """
    with replace_file(target) as file:
        if append and target.exists():
            last = "\n"
            with open(target, encoding="utf-8") as former:
                while piece := former.read(PIECE):
                    file.write(piece)
                    last = piece[-1]
            file.write("" if last == "\n" else "\n")
        write_structures(file, structures, decimals)
