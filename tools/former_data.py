"""The input.data to which structures are added: which are there already, and how they were calculated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.input_data import read_structures
from bnnp.messages import count, ranges
from bnnp.structure import Structure

Array = NDArray[np.float64]

TOLERANCE = 1e-8  # of a number, relative to it beyond 1: copies may have been rounded or converted


def demand_inputs(paths: Iterable[Path]) -> None:
    """Refuse names of nothing, before anything is said about the output."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise InputError(f"{', '.join(missing)}: no such file or directory")


class FormerData:
    """An input.data that is added to; without a file there is nothing in it.

    Attributes
    ----------
    methods : dict of str to set of str
        For each ``method=`` of the file its name, as :func:`bnnp.io.method.disagreements` takes it.

    Raises
    ------
    InputError
        The file has something else than structures.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.methods: dict[str, set[str]] = {}
        self._prints: dict[bytes, Array] = {}  # of structures of the same elements, by energy
        self._repeated: dict[str, list[int]] = {}  # numbers of steps by source
        if path is not None and path.is_file():
            found: dict[bytes, list[Array]] = {}
            for structure in read_structures(path, require_labels=False):
                self.methods.setdefault(structure.info.get("method", ""), set()).add(str(path))
                found.setdefault(_kind(structure), []).append(_print(structure)[0])
            self._prints = {kind: np.array(sorted(prints, key=list)) for kind, prints in found.items()}

    def without(self, structures: Iterable[Structure]) -> Iterator[Structure]:
        """The structures that are not in the file, with the same labels; the others are remembered."""
        for structure in structures:
            if self._has(structure):
                source, _, number = structure.info.get("source", "").rpartition(":")
                steps = self._repeated.setdefault(source or number or "structures without a source", [])
                steps.append(int(number) if number.isdecimal() else len(steps) + 1)
                continue
            yield structure

    def _has(self, structure: Structure) -> bool:
        """Whether a structure is in the file, all numbers but those of the comment to `TOLERANCE`."""
        known = self._prints.get(_kind(structure))
        if known is None:
            return False
        sums, tolerance = _print(structure)
        begin, end = np.searchsorted(known[:, 0], [sums[0] - tolerance[0], sums[0] + tolerance[0]])
        return bool(np.any(np.all(np.abs(known[begin:end] - sums) <= tolerance, axis=1)))

    def notes(self) -> Iterator[str]:
        """Which structures were left out, because they are there already."""
        for source, numbers in self._repeated.items():
            yield (
                f"left out, as {self.path} has them already: {count(len(numbers), 'structure')} of {source} "
                f"({ranges(numbers)})"
            )


def _kind(structure: Structure) -> bytes:
    """What must be equal: elements, periodicity, and which labels there are."""
    has = [getattr(structure, name) is not None for name in ("cell", "energy", "forces", "charges")]
    return structure.numbers.tobytes() + bytes([*structure.pbc, *has])


def _print(structure: Structure) -> tuple[Array, Array]:
    """Energy, charge, and weighted sums of all components of what else a structure has; their tolerances."""
    parts = [structure.energy, structure.charge, structure.positions, structure.cell, structure.forces]
    sums, sizes = [], []
    for part in (*parts, structure.charges):
        numbers = np.ravel(0.0 if part is None else part)
        weights = 1.0 + np.arange(1, len(numbers) + 1) * np.sqrt(2.0) % 1.0  # so that no two are alike
        sums.append(weights @ numbers)
        sizes.append(np.linalg.norm(weights * np.maximum(np.abs(numbers), 1.0)))
    return np.array(sums), TOLERANCE * np.array(sizes)
