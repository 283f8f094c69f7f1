"""vaspout.h5 of VASP 6, by its documented names (those that py4vasp reads).

::

    intermediate/ion_dynamics/   energies (n_steps, n_tags), energies_tags, forces (n_steps, n_atoms, 3),
                                 position_ions (fractional), lattice_vectors (n_steps, 3, 3), stress (kB),
                                 electronic_step_converged (0 is converged), oszicar (iterations, 7)
    results/positions/           ion_types, number_ion_types, scale
    input/incar/                 what INCAR sets: NELM, ISIF, ML_LMLFF, ...
    input/potcar/content         POTCAR, of which the titles are read
    input/kpoints/               nkpx, nkpy, nkpz of a regular mesh

The file does not say which steps of a machine-learned run are from DFT, so such a run is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from bnnp.errors import InputError
from vasp.method import Species, excluded, method_word, valences_of
from vasp.species import agreed, from_symbol, from_title
from vasp.step import (
    CUT_OFF,
    UNCONVERGED,
    Array,
    Draft,
    Step,
    UnreadableStep,
    flawed,
    stress_from_kilobar,
)

DYNAMICS, IONS, INCAR = "intermediate/ion_dynamics", "results/positions", "input/incar"
POTCAR, KPOINTS, POSCAR = "input/potcar/content", "input/kpoints", "input/poscar/ion_types"
FREE_TAGS = ("free energy TOTEN", "ion-electron TOTEN")
SIGMA0_TAG = "energy(sigma->0)"
NELM_DEFAULT = 60
DEFAULTS = {  # of VASP, where INCAR sets nothing
    "PREC": "normal",
    "ISPIN": "1",
    "ISMEAR": "1",
    "NUPDOWN": "-1",
    "LASPH": "F",
    "IDIPOL": "0",
}


def read_vaspout(file: BinaryIO, elements: list[str] | None = None) -> Iterator[Draft]:
    """Go through the ionic steps of a vaspout.h5.

    Parameters
    ----------
    file : BinaryIO
        Open for reading bytes, unpacked, seekable.
    elements : list of str, optional
        One a species, instead of those of the file.

    Raises
    ------
    InputError
        The file is damaged, has no steps, or a machine-learned force field took part.
    """
    try:
        h5 = h5py.File(file, "r")
    except OSError as error:
        raise InputError(f"HDF5 cannot open the file, it was not closed or is damaged ({error})") from None
    with h5:
        if _logical(_setting(h5, "ML_LMLFF")):
            raise InputError(
                "ML_LMLFF is set, and vaspout.h5 does not say which steps are from DFT; convert OUTCAR, "
                "vasprun.xml or ML_ABN of this run"
            )
        if _setting(h5, "PSTRESS"):
            raise InputError(
                "PSTRESS is set, and vaspout.h5 does not say whether its energies contain P V; convert "
                "OUTCAR or vasprun.xml of this run"
            )
        steps = _Steps(h5, elements)
        flaw = excluded(partial(_tag, h5))
        for index in range(steps.whole):
            if flaw:
                yield flawed(flaw)
            else:
                yield Draft(None if steps.converged[index] else UNCONVERGED, partial(steps.read, index))
        for _ in range(steps.whole, steps.begun):
            yield flawed(CUT_OFF)


class _Steps:
    """The datasets of the trajectory, read a step at a time."""

    def __init__(self, h5: h5py.File, elements: list[str] | None) -> None:
        if DYNAMICS not in h5:
            raise InputError(f"there is no {DYNAMICS}: the file is not a vaspout.h5, or no step was finished")
        group = h5[DYNAMICS]
        needed = ("energies", "energies_tags", "forces", "position_ions", "lattice_vectors")
        if missing := [name for name in needed if name not in group]:
            raise InputError(f"{DYNAMICS} has no {', '.join(missing)}")
        self.group = group
        names, counts = _species(h5, elements)
        self.symbols = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
        self.tags = [" ".join(tag.decode().split()) for tag in group["energies_tags"][()]]
        free = [tag for tag in FREE_TAGS if tag in self.tags]
        if not free:
            raise InputError(f"energies has no TOTEN, only {', '.join(self.tags)}")
        self.free = self.tags.index(free[0])
        self.scale = float(h5[f"{IONS}/scale"][()]) if f"{IONS}/scale" in h5 else 1.0
        lengths = [len(group[name]) for name in needed if name != "energies_tags"]
        self.whole, self.begun = min(lengths), max(lengths)
        valences = valences_of(bytes(h5[POTCAR][()])) if POTCAR in h5 else []
        species = Species(names, _titles(h5), counts, valences)
        self.valences = species.electrons
        self.method = _method(h5, species, self.scale * group["lattice_vectors"][0] if self.whole else None)
        self.isif = _setting(h5, "ISIF")
        self.converged = _converged(group, self.whole, int(_setting(h5, "NELM") or NELM_DEFAULT))

    def read(self, index: int) -> Step:
        """The numbers of one step."""
        scale = self.scale if abs(self.scale) > 1e-8 else 1.0
        if scale < 0.0:
            raise UnreadableStep("a negative scale (a volume) is not known to appear here")
        cell = scale * self.group["lattice_vectors"][index]
        energies = self.group["energies"][index]
        return Step(
            symbols=self.symbols,
            cell=cell,
            positions=self.group["position_ions"][index] @ cell,
            free_energy=float(energies[self.free]),
            sigma0_energy=float(energies[self.tags.index(SIGMA0_TAG)]) if SIGMA0_TAG in self.tags else None,
            forces=self.group["forces"][index],
            stress=self._stress(index),
            method=self.method,
            valences=self.valences,
        )

    def _stress(self, index: int) -> Array | None:
        """ASE's stress; None if it was not computed: by ISIF, or all zero where INCAR does not set it."""
        computed = self.isif is None or int(self.isif) > 1
        if not computed or "stress" not in self.group or index >= len(self.group["stress"]):
            return None
        (xx, xy, xz), (_, yy, yz), (_, _, zz) = tensor = self.group["stress"][index]
        if self.isif is None and not tensor.any():
            return None
        return stress_from_kilobar(xx, yy, zz, yz, xz, xy)


def _species(h5: h5py.File, elements: list[str] | None) -> tuple[list[str], list[int]]:
    """Symbol and number of atoms of each species."""
    if f"{IONS}/ion_types" not in h5:
        raise InputError(f"there is no {IONS}/ion_types")
    names = [name.decode() for name in h5[f"{IONS}/ion_types"][()]]
    counts = [int(count) for count in h5[f"{IONS}/number_ion_types"][()]]
    if elements is not None and len(elements) != len(counts):
        raise InputError(f"--elements names {len(elements)}, but the file has {len(counts)} species")
    if elements is None:
        agreed(
            {
                IONS: [from_symbol(name) for name in names],
                POTCAR: [from_title(title) for title in _titles(h5)],
                POSCAR: [from_symbol(name.decode()) for name in h5[POSCAR][()]] if POSCAR in h5 else [],
            },
            len(counts),
        )
    symbols = elements or [from_symbol(name) or "" for name in names]
    if "" in symbols:
        raise InputError(f"the elements {names} are no chemical symbols; name them with --elements")
    return symbols, counts


def _method(h5: h5py.File, species: Species, cell: Array | None) -> str:
    """The word of :mod:`bnnp.io.method`; a cell is neutral unless INCAR says something else."""

    def tag(name: str) -> str | None:
        return str(species.neutral) if name == "NELECT" and not _setting(h5, name) else _tag(h5, name)

    mesh = [int(h5[f"{KPOINTS}/nkp{axis}"][()]) for axis in "xyz" if f"{KPOINTS}/nkp{axis}" in h5]
    whole = cell is not None and len(mesh) == 3 and min(mesh) > 0
    return method_word(tag, species, mesh if whole else None, cell)


def _titles(h5: h5py.File) -> list[str]:
    """The titles of POTCAR."""
    found = re.findall(rb"TITEL *= *([^\n]*)", bytes(h5[POTCAR][()])) if POTCAR in h5 else []
    return [" ".join(title.decode("latin-1").split()) for title in found]


def _tag(h5: h5py.File, name: str) -> str | None:
    """What INCAR sets, as text, or VASP's default."""
    value = _setting(h5, name)
    if value is None:
        return DEFAULTS.get(name)
    return (
        value.decode("latin-1").strip() if isinstance(value, bytes) else " ".join(map(str, np.ravel(value)))
    )


def _converged(group: h5py.Group, n_steps: int, nelm: int) -> NDArray[np.bool_]:
    """Which steps are: from VASP 6.5's flag, else from the number of electronic iterations.

    A file that has neither is taken as converged, as there is nothing to tell.
    """
    converged = np.zeros(n_steps, dtype=bool)
    if "electronic_step_converged" in group:
        flags = np.ravel(group["electronic_step_converged"][()])[:n_steps] == 0
    elif "oszicar" in group:
        first = np.flatnonzero(group["oszicar"][:, 0] == 1)
        iterations = np.diff(np.append(first, len(group["oszicar"])))
        flags = iterations[:n_steps] < nelm
    else:
        return np.ones(n_steps, dtype=bool)
    converged[: len(flags)] = flags
    return converged


def _setting(h5: h5py.File, name: str) -> Any:
    """What INCAR says, None if nothing."""
    return h5[f"{INCAR}/{name}"][()] if f"{INCAR}/{name}" in h5 else None


def _logical(value: Any) -> bool:
    """A Fortran logical, whether stored as a number or as text."""
    if isinstance(value, bytes):
        return value.strip(b" .").upper().startswith(b"T")
    return bool(value)
