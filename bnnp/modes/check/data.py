"""What input.data holds: compositions, labels, shortest distances, and what cannot be right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase.formula import Formula

from bnnp.analysis.data_set import (
    DataSet,
    composition_table,
    count_composition,
    distance_table,
    measure_distances,
)
from bnnp.descriptors.length_unit import unit_advice
from bnnp.errors import BnnpError
from bnnp.io.input_data import StructureFile
from bnnp.log import Log
from bnnp.settings.settings import Settings
from bnnp.structure import Set, Structure


def look_at(structures: StructureFile, settings: Settings, log: Log) -> DataSet:
    """Read every structure once; what is wrong with one is noted and the next is read."""
    log.section("Structures")
    data = DataSet(n_structures=len(structures), n_atoms=structures.n_atoms.tolist())
    for warning in structures.warnings:
        log.warn(warning)
    for index in log.progress(range(len(structures)), "reading"):
        try:
            _look_at_one(data, structures[index], settings)
        except BnnpError as error:
            data.faults.append(str(error))
    return data


def _look_at_one(data: DataSet, structure: Structure, settings: Settings) -> None:
    unknown = sorted(set(structure.symbols) - set(settings.model.elements))
    if unknown:
        data.faults.append(f"{structure.where}: {', '.join(unknown)} is not among `elements` of input.nn")
        return
    data.groups.add(structure.info.get("group", ""))
    data.n_periodic += structure.periodic
    data.n_stress += structure.stress is not None
    if structure.subset:
        data.n_pinned[structure.subset] += 1
    if structure.forces is not None:
        data.n_forces += 1
        data.largest_force = max(data.largest_force, float(np.abs(structure.forces).max()))
        data.n_unbalanced += bool(
            np.linalg.norm(structure.forces.sum(axis=0)) > settings.structures.check_input_forces
        )
    count_composition(data, structure, settings.model.atom_energies)
    measure_distances(data, structure, settings.model.units, settings.structures.bond_threshold)


def report_data(data: DataSet, settings: Settings, log: Log) -> None:
    """Counts, compositions, shortest distances and warnings."""
    n, units = data.n_structures, settings.model.units
    log.item("structures", f"{n}, {data.n_periodic} of them periodic")
    log.item("atoms", f"{sum(data.n_atoms)}; {min(data.n_atoms)} to {max(data.n_atoms)} in a structure")
    log.item("with forces, stress", f"{data.n_forces}, {data.n_stress}")
    log.item("pinned train, test", f"{data.n_pinned[Set.TRAIN]}, {data.n_pinned[Set.TEST]}")
    if kept := data.n_pinned[Set.CALIBRATION] + data.n_pinned[Set.OUTSIDE]:
        log.item("pinned calibration", f"{kept}, {data.n_pinned[Set.OUTSIDE]} of them out of the domain")
    log.item("largest force component", f"{data.largest_force:.4g} {units.force}")
    log.line()
    log.table(*composition_table(data, units))
    if data.closest:
        log.section("Shortest distances")
        log.table(*distance_table(data, units))
    for warning in _warnings(data, settings):
        log.warn(warning)


def _warnings(data: DataSet, settings: Settings) -> Iterator[str]:
    if (advice := unit_advice(data.reaches, settings.model.units)) is not None:
        yield advice
    if data.n_close:
        yield (
            f"{data.n_close} structures have atoms closer than bond_threshold "
            f"({settings.structures.bond_threshold:.4g} "
            f"{settings.model.units.length}): mode 1 drops them, mode 3 stops"
        )
    if data.n_unbalanced:
        yield (
            f"the forces of {data.n_unbalanced} structures add up to more than check_input_forces "
            f"({settings.structures.check_input_forces:.4g} {settings.model.units.force})"
        )
    counted = {symbol for formula in data.compositions for symbol in Formula(formula).count()}
    if counted and (absent := [element for element in settings.model.elements if element not in counted]):
        yield f"no structure contains {', '.join(absent)}"
    if settings.structures.use_short_forces and data.compositions and not data.largest_force:
        yield "use_short_forces asks to train on forces, but all forces are zero"
