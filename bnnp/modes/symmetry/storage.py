"""symmetry_functions.h5: its size with and without derivatives, memory and time; and how it is computed.

Stored derivatives are read by mode 2, recomputed ones cost it time in every epoch. ``derivatives auto``
stores them if they fit ``memory_limit``. They are needed for training on forces only.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.descriptors.compiled import Blocks, Descriptor
from bnnp.descriptors.neighbors import NeighborList
from bnnp.descriptors.survey import cost
from bnnp.io.descriptor_allocation import Placement
from bnnp.io.descriptor_layout import DescriptorLayout, division_keywords
from bnnp.io.descriptor_writer import DescriptorWriter
from bnnp.io.input_data import StructureFile
from bnnp.log import Log, byte_count, duration
from bnnp.messages import count
from bnnp.modes.calibrate.sets import division_arguments
from bnnp.modes.symmetry.selection import Selection, Survey, has_forces
from bnnp.settings.settings import Settings
from bnnp.structure import Structure

SEARCH_BYTES = 150  # of a pair while the neighbors of a structure are found and sorted


class Features(NamedTuple):
    """What is computed of one structure, as :meth:`DescriptorWriter.write` takes it."""

    types: NDArray[np.int32]
    values: NDArray[np.float64]
    pairs: NeighborList | None = None
    blocks: Blocks | None = None


def lay_out(
    found: Survey, selection: Selection, structures: StructureFile, descriptor: Descriptor, settings: Settings
) -> DescriptorLayout:
    """The file's layout, with or without derivatives as the settings and the sizes say."""
    table = found.table[selection.kept]
    elements = settings.model.elements
    sensitive = [[len(descriptor.sensitive(x, y)) for y in elements] for x in elements]
    layout = DescriptorLayout(
        model=settings.model,
        input_digest=structures.digest,
        stored=True,
        source=selection.kept,
        subset=selection.subset,
        group=found.group[selection.kept],
        groups=found.groups,
        n_atoms=table["n_atoms"],
        n_pairs=table["n_pairs"],
        n_sensitive=np.array(sensitive, dtype=np.int64),
        pbc=table["pbc"],
        division=_division(table["subset"], settings),
    )
    stored, _ = choose_derivatives(layout.bytes_of_derivatives, settings, has_forces(found, selection))
    return replace(layout, stored=stored)


def _division(pinned: NDArray[np.int8], settings: Settings) -> str:
    """The keywords that divided the structures, if input.data leaves any open (-1)."""
    drawn = bool((pinned < 0).any())
    return division_keywords(*division_arguments(settings)) if drawn else ""


def choose_derivatives(needed: float, settings: Settings, forces: bool = True) -> tuple[bool, str]:
    """Whether derivatives, which take `needed` bytes, are stored, and why; `forces` is whether the data has
    any."""
    choice, limit = settings.structures.derivatives, settings.general.memory_limit
    if choice != "auto":
        return choice == "stored", f"`derivatives {choice}`"
    if not (settings.structures.use_short_forces and forces):
        return False, "no forces are trained"
    if needed > limit:
        return False, f"{byte_count(needed)} do not fit memory_limit {byte_count(limit)}"
    return True, f"they fit memory_limit {byte_count(limit)}"


def report_storage(layout: DescriptorLayout, settings: Settings, forces: bool, log: Log) -> None:
    """Bytes of each choice, before anything is allocated; `forces` as in :func:`choose_derivatives`."""
    model = settings.model
    log.section("Storage")
    n_atoms, n_pairs = int(layout.first_atom[-1]), int(layout.first_pair[-1])
    log.item("structures, atoms", f"{len(layout)}, {n_atoms}")
    within = f"within {model.largest_cutoff:g} {model.units.length}"
    log.item("neighbors", f"{n_pairs / n_atoms:.1f} per atom {within}")
    log.item("derivatives recomputed", f"{byte_count(layout.bytes_without_derivatives)} in all")
    both = layout.bytes_without_derivatives + layout.bytes_of_derivatives
    per_atom = layout.bytes_of_derivatives / n_atoms
    text = f"{byte_count(both)} in all, {byte_count(per_atom)} of derivatives per atom"
    log.item("derivatives stored", text)
    stored, reason = choose_derivatives(layout.bytes_of_derivatives, settings, forces)
    log.item("choice", f"derivatives {'stored' if stored else 'recomputed'}: {reason}")
    if stored and layout.bytes_of_derivatives > settings.general.memory_limit:
        log.warn(
            "stored derivatives are larger than memory_limit: mode 2 reads them from disk in every epoch"
        )
    log.item("memory", f"about {byte_count(_memory(layout))} each rank")


def _memory(layout: DescriptorLayout) -> float:
    """Bytes a rank needs: its present memory and the largest structure."""
    now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    width = max(len(functions) for functions in layout.model.functions.values())
    firsts = (layout.first_atom, layout.first_pair, layout.first_value)
    atoms, pairs, values = (np.diff(first) for first in firsts)
    return float(now + (atoms * (width + 16) * 8 + pairs * SEARCH_BYTES + values * 4 * layout.stored).max())


def missing_structures(
    placement: Placement, found: Survey, layout: DescriptorLayout
) -> tuple[list[int], list[int]]:
    """All structures still to be computed, and this rank's share of them by estimated triples."""
    missing = np.flatnonzero(~placement.done)
    costs = cost(found.table[layout.source[missing]])
    return missing.tolist(), [int(missing[k]) for k in parallel.deal(costs.tolist())]


def report_work(
    missing: Sequence[int],
    layout: DescriptorLayout,
    found: Survey,
    structures: StructureFile,
    compute: Callable[[Structure], object],
    log: Log,
) -> None:
    """What a former run has computed already, and how long the rest will take, from a typical structure."""
    if not missing:
        log.item("resumed", "all structures are there, from a run with the same input")
    elif len(missing) < len(layout):
        kept = count(len(layout) - len(missing), "structure is", "structures are")
        log.item("resumed", f"{kept} there from an interrupted run")
    if not missing or not parallel.is_root():
        return
    costs = cost(found.table[layout.source[missing]])
    typical = int(np.argsort(costs)[len(costs) // 2])
    structure = structures[int(layout.source[missing[typical]])]
    seconds = _seconds(compute, structure)
    if seconds < 0.05:  # the first call may be slower
        seconds = min(seconds, _seconds(compute, structure))
    total = seconds * float(costs.sum() / costs[typical]) / parallel.size()
    log.item("speed", f"{1e6 * seconds / len(structure):.0f} us/atom (structure {structure.index + 1})")
    log.item("time", f"about {duration(total)} and the time to write")


def symmetry_functions(structure: Structure, descriptor: Descriptor, derivatives: bool) -> Features:
    """Symmetry functions of one structure, and with `derivatives` its pairs and derivative blocks."""
    types, pairs = descriptor.environments(structure)
    values = descriptor.values(types, pairs)
    if not derivatives:
        return Features(types, values)
    return Features(types, values, pairs, descriptor.jacobian(types, pairs, dtype=np.float32))


def write_missing(
    mine: Sequence[int],
    layout: DescriptorLayout,
    placement: Placement,
    structures: StructureFile,
    compute: Callable[[Structure], Features],
    log: Log,
) -> None:
    """Compute this rank's share `mine` of the missing structures and write it."""
    start = time.process_time()
    with DescriptorWriter(placement, layout) as writer:
        read = structures.read(layout.source[mine].tolist())
        for number, structure in zip(log.progress(mine, "symmetry functions"), read, strict=True):
            writer.write(number, structure, *compute(structure))
    report_balance(time.process_time() - start, log)


def report_balance(seconds: float, log: Log) -> None:
    """How evenly the work was shared, from the processor time of every rank."""
    loads = parallel.gather(seconds)
    if len(loads) > 1 and sum(loads) > 0.0:
        ratio = max(loads) * len(loads) / sum(loads)
        log.item("balance", f"the busiest rank worked {ratio:.3f} times the mean")


def _seconds(compute: Callable[[Structure], object], structure: Structure) -> float:
    start = time.perf_counter()
    compute(structure)
    return time.perf_counter() - start
