"""What the input files hold: tables of the settings in force; statistics and faults of the structures."""

from __future__ import annotations

from collections import Counter
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
from bnnp.charges import TOLERANCE
from bnnp.descriptors.length_unit import unit_advice
from bnnp.errors import BnnpError
from bnnp.io.input_data import StructureFile
from bnnp.io.method import group_disagreements
from bnnp.log import Log
from bnnp.messages import count
from bnnp.modes.doubts import stops_for_units
from bnnp.settings.dialects import CHOOSING, used_keywords
from bnnp.settings.help import format_value
from bnnp.settings.keywords import KEYWORDS, SECTION_OF, Keyword
from bnnp.settings.settings import Settings
from bnnp.structure import Set, Structure
from bnnp.units import Units

_STRUCTURED = {  # shown in the header or in their own tables
    "runner_mode",
    "number_of_elements",
    "elements",
    "cutoff_alpha",
    "global_hidden_layers_short",
    "global_nodes_short",
    "global_activation_short",
    "element_hidden_layers_short",
    "element_nodes_short",
    "element_activation_short",
    "symfunction_short",
    "element_symfunction_short",
    "global_symfunction_short",
}


def report_settings(settings: Settings, log: Log) -> None:
    """Values of all keywords the mode uses, then symmetry functions, networks and free-atom energies."""
    log.section("Settings in force")
    log.table(("keyword", "value", "unit", "origin"), list(_rows(settings)))
    log.section("Symmetry functions")
    if settings.chooses_functions:
        count = settings.descriptors.most_functions(len(settings.model.elements))
        log.line(f"  chosen by mode 1 from the structures: at most {count} of each element")
        return
    log.table(("element", "type", "neighbors", "functions", "r_c"), list(_functions(settings)))
    log.section("Networks")
    log.table(("element", "layers", "activations", "weights"), list(_networks(settings)))
    if any(settings.model.atom_energies.values()):
        log.section("Free-atom energies")
        for element, energy in settings.model.atom_energies.items():
            log.item(element, f"{energy:.10g} {settings.model.units.energy}")


def _rows(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    method, kalman = settings.training.optimizer, settings.kalman
    used = used_keywords(method, "", kalman.kalman_updates, fading=kalman.kalman_type == 1) - {*CHOOSING}
    for name in sorted(SECTION_OF, key=lambda name: KEYWORDS[name].repeatable):
        keyword, value = KEYWORDS[name], settings.value(name)
        idle = name in settings.ignored or (settings.mode and str(settings.mode) not in keyword.modes)
        idle = idle or (SECTION_OF[name] == "kalman" and not (settings.given(name) or name in used))
        idle = idle or (SECTION_OF[name] == "charges" and not settings.model.charged)
        elsewhere = name in _STRUCTURED or (name == "atom_energy" and not settings.fits_atom_energies)
        if idle or elsewhere:
            continue
        if name == "cutoff_type":
            value = (settings.model.cutoff.type, settings.model.cutoff.alpha)
        yield name, format_value(value), _unit(keyword, settings.model.units), settings.origins[name]


def _unit(keyword: Keyword, units: Units) -> str:
    names = {
        "length": units.length,
        "energy": units.energy,
        "force": units.force,
        "energy/atom": f"{units.energy}/atom",
    }
    return names.get(keyword.unit, "")


def _functions(settings: Settings) -> Iterator[tuple[str, int, str, int, str]]:
    """One row for each element, type and neighbors."""
    for element in settings.model.elements:
        functions = settings.model.functions[element]
        for (type_, neighbors), number in Counter((f.type, f.neighbors) for f in functions).items():
            radii = sorted({f.r_c for f in functions if (f.type, f.neighbors) == (type_, neighbors)})
            shown = f"{radii[0]:g}" if len(radii) == 1 else f"{radii[0]:g} - {radii[-1]:g}"
            radius = f"{shown} {settings.model.units.length}"
            yield element, type_, " ".join(neighbors) or "all", number, radius


def _networks(settings: Settings) -> Iterator[tuple[str, str, str, int]]:
    for element, network in settings.model.architecture.items():
        n_inputs = settings.model.n_network_inputs[element]
        layers = "-".join(map(str, network.layer_sizes(n_inputs)))
        yield element, layers, " ".join(network.activations), network.n_weights(n_inputs)


def read_data(structures: StructureFile, settings: Settings, log: Log) -> DataSet:
    """Read every structure once and collect their statistics and faults."""
    log.section("Structures")
    data = DataSet(n_structures=len(structures), n_atoms=structures.n_atoms.tolist())
    for warning in structures.warnings:
        log.warn(warning)
    for index in log.progress(range(len(structures)), "reading"):
        try:
            _count(data, structures[index], settings)
        except BnnpError as error:
            data.faults.append(str(error))
    find_doubts(data, settings)
    return data


def _count(data: DataSet, structure: Structure, settings: Settings) -> None:
    """Add one structure to the statistics."""
    unknown = sorted(set(structure.symbols) - set(settings.model.elements))
    if unknown:
        line = settings.origins["elements"]
        data.faults.append(f"{structure.where}: {', '.join(unknown)} is not among `elements` of {line}")
        return
    data.groups.add(group := structure.info.get("group", ""))
    data.methods.setdefault(structure.info.get("method", ""), set()).add(group)
    data.n_periodic += structure.periodic
    data.n_stress += structure.stress is not None
    if structure.charges is not None:
        data.n_charges += abs(float(structure.charges.sum()) - structure.charge) <= TOLERANCE
    if settings.model.fixed_charges is not None:
        settings.model.fixed_charges.of(structure)
    if structure.subset:
        data.n_pinned[structure.subset] += 1
    if structure.forces is not None:
        data.n_forces += 1
        data.largest_force = max(data.largest_force, float(np.nanmax(np.abs(structure.forces))))
        net_force = np.linalg.norm(structure.forces.sum(axis=0))
        data.n_unbalanced += bool(net_force > settings.structures.check_input_forces)
    data.sizes.count(structure)
    count_composition(data, structure, settings.model.atom_energies)
    measure_distances(data, structure, settings.model.units, settings.structures.bond_threshold)


def find_doubts(data: DataSet, settings: Settings) -> None:
    """Set the doubts about units and labels; lengths for which the modes stop are told when that happens."""
    units, sizes = settings.model.units, data.sizes
    advice = unit_advice(data.reaches, units)
    if advice is not None and (data.faults or not stops_for_units(data.reaches, settings)):
        data.doubts.append(advice)
    named = sizes.doubts(units, lambda k: f"structure {sizes.positions[k] + 1}", certain=advice is None)
    data.doubts.extend((*named, *group_disagreements(data.methods)))


def report_data(data: DataSet, settings: Settings, log: Log) -> None:
    """Counts, compositions, shortest distances and warnings."""
    n, units = data.n_structures, settings.model.units
    log.item("structures", f"{n}, {data.n_periodic} of them periodic")
    log.item("atoms", f"{sum(data.n_atoms)}; {min(data.n_atoms)} to {max(data.n_atoms)} in a structure")
    log.item("with forces, stress", f"{data.n_forces}, {data.n_stress}")
    if settings.model.electrostatics is not None:
        log.item("with charges", data.n_charges)
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


def lacks_forces(data: DataSet, settings: Settings) -> bool:
    """Whether mode 2 stops because forces are to be trained, and there are none."""
    asked = settings.structures.use_short_forces and settings.given("use_short_forces")
    return asked and bool(data.compositions) and not data.largest_force


def lacks_charges(data: DataSet, settings: Settings) -> int:
    """How many structures have no charges, which mode 2 would train on."""
    trained = settings.model.electrostatics is not None and settings.charges.train_charges == "separate"
    return data.n_structures - data.n_charges if trained else 0


def _warnings(data: DataSet, settings: Settings) -> Iterator[str]:
    """What looks wrong with the data."""
    yield from data.doubts
    if data.n_close:
        yield (
            f"{count(data.n_close, 'structure has', 'structures have')} atoms closer than bond_threshold "
            f"({settings.structures.bond_threshold:.4g} {settings.model.units.length}): mode 1 drops them, "
            "mode 3 stops"
        )
    if data.n_unbalanced:
        yield (
            f"the forces of {count(data.n_unbalanced, 'structure')} add up to more than check_input_forces "
            f"({settings.structures.check_input_forces:.4g} {settings.model.units.force})"
        )
    counted = {symbol for formula in data.compositions for symbol in Formula(formula).count()}
    if counted and (absent := [element for element in settings.model.elements if element not in counted]):
        yield f"no structure contains {', '.join(absent)}"
    if lacking := lacks_charges(data, settings):
        yield (
            f"{count(lacking, 'structure has', 'structures have')} no charges (the fifth number of `atom` "
            "lines), on which generations 3 and 4 are trained, or charges that do not add up to the line "
            "`charge`: mode 2 stops if it trains on them (not with `train_charges joint`)"
        )
    if lacks_forces(data, settings):
        yield "use_short_forces asks to train on forces, but all forces are zero: mode 2 stops"
    if not settings.structures.use_short_forces and data.largest_force:
        where = settings.origins["use_short_forces"]
        yield f"input.data has forces, and they are not trained: {where}, use_short_forces .false."
