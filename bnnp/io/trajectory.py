"""trajectory.extxyz and candidates.data: frames of molecular dynamics.

An extxyz frame (Angstrom, eV) has unwrapped positions, momenta, energy, forces, stress, atomic energies, and
the standard deviations of :mod:`bnnp.interfaces.ase`: ``energy_std`` and ``stress_std`` in the second line,
``forces_std`` and ``energies_std`` in the columns, with their ``_raw`` values if they are calibrated
(``energies_std`` is always raw). The second line also has ``step``, ``stage``, ``time`` (fs), and
``labels=predicted``, which marks energy and forces as those of a potential. One with charges adds the
column ``charges`` (e). Dynamics with a bias (:mod:`bnnp.potential.sigma_gradient`) leave it out of energy,
forces and stress, and tell its energy as ``bias_energy``.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import write_xyz

from bnnp.io.ase_atoms import from_atoms
from bnnp.io.ase_labels import PREDICTED
from bnnp.io.structure_block import format_structure
from bnnp.units import Units

TRAJECTORY = "trajectory.extxyz"
CANDIDATES = "candidates.data"
KNOWN = ("energy", "free_energy", "energies", "forces", "stress", "charges")


def format_frame(atoms: Atoms, step: int, stage: int, time: float) -> str:
    """One frame of a run, from `atoms` with the results of their calculator; `time` in fs."""
    frame = atoms.copy()
    frame.info |= {"step": step, "stage": stage, "time": time, **PREDICTED}
    known = atoms.calc.results
    bias = {name: known.get(f"bias_{name.removeprefix('free_')}", 0.0) for name in KNOWN}
    results = {name: value - bias[name] for name, value in known.items() if name in KNOWN}
    frame.info |= {name: known[name] for name in known.keys() & {"bias_energy"}}
    frame.calc = SinglePointCalculator(frame, **results)
    text = io.StringIO()
    write_xyz(text, frame)
    return text.getvalue()


def format_candidate(atoms: Atoms, units: Units, source: str, reasons: Sequence[str]) -> str:
    """One block of input.data with the total charge, without energy and forces; wrapped into the cell."""
    wrapped = atoms.copy()
    if wrapped.pbc.any():
        wrapped.wrap()
    wrapped.info = {"source": source, "charge": wrapped.info.get("charge", 0.0)}
    structure = from_atoms(wrapped, units, labels=False)
    info = dict(structure.info)
    if reasons:
        info["reason"] = ", ".join(reasons)
    return format_structure(replace(structure, info=info))
