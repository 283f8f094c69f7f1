"""Whether a label is of the structure that was wanted, of the same method, and near the prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.method import disagreements
from bnnp.potential.potential import Potential
from bnnp.structure import Structure
from learning.campaign import Campaign

MARGIN_FORCE, MARGIN_ENERGY = 1.0, 0.1  # eV/Angstrom, eV/atom: smaller differences are never doubtful
NEAR = 2e-4  # Angstrom: OUTCAR has five digits


def other_structure(wanted: Structure, found: Structure, campaign: Campaign) -> str:
    """Why a label is not that of the structure that was to be labeled; empty if it is."""
    if not np.array_equal(wanted.numbers, found.numbers):
        return "the label has other atoms, or in another order"
    if (wanted.cell is None) != (found.cell is None):
        return "the label has a cell where the structure has none, or the other way round"
    near, moved = NEAR / campaign.units.angstrom, found.positions - wanted.positions
    if wanted.cell is not None and found.cell is not None:
        if np.abs(wanted.cell - found.cell).max() > near:
            return "the label has another cell"
        scaled = moved @ np.linalg.inv(wanted.cell)
        moved = (scaled - np.round(scaled)) @ wanted.cell
    far = float(np.abs(moved).max()) * campaign.units.angstrom
    return f"the label is of other positions (an atom is {far:.3g} Angstrom away)" if far > NEAR else ""


def demand_one_method(campaign: Campaign, generation: int, labels: Sequence[Structure]) -> None:
    """Raise InputError if labels were not calculated as those of the campaign were."""
    places: dict[str, set[str]] = {}
    for path in campaign.labeled(generation - 1):
        for structure in StructureFile(path):
            places.setdefault(structure.info.get("method", ""), set()).add(campaign.shown(path))
    for structure in labels:
        places.setdefault(structure.info.get("method", ""), set()).add(f"labels of generation {generation}")
    if found := list(disagreements(places)):
        raise InputError(
            f"{found[0]}. Bring the INCAR, KPOINTS and POTCAR with which input.data was calculated to "
            f"label_template, remove generation_{generation:03d}/label, and run `bnnp --loop` again"
        )


def doubt(campaign: Campaign, potential: Potential, structure: Structure) -> str:
    """How far a label is from its prediction, if that is more than sigma can explain; else empty."""
    units, limit = campaign.units, campaign.settings.label.label_doubt
    found = potential.predict(structure, forces=True, stress=False, sigma=True)
    pairs = {}
    if structure.energy is not None:
        margin = MARGIN_ENERGY / units.ev * len(structure)
        pairs["energy"] = found.energy.value - structure.energy, found.energy.std, margin
    if found.forces is not None and structure.forces is not None:
        error = np.abs(found.forces.value - structure.forces)
        worst = np.unravel_index(int(np.nanargmax(error)), error.shape)
        spread = None if found.forces.std is None else float(found.forces.std[worst])
        pairs["force"] = float(error[worst]), spread, MARGIN_FORCE * units.angstrom / units.ev
    for name, (difference, spread, margin) in pairs.items():
        if spread is not None and abs(difference) > max(limit * spread, margin):
            unit = units.energy if name == "energy" else units.force
            return f"{name} {abs(difference):.4g} {unit}, sigma {spread:.3g}"
    return ""
