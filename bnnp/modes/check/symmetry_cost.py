"""What mode 1 would take: time, memory and disk, from a sample of the structures.

The neighbors of a few structures spread evenly over the file are counted and their symmetry functions
computed; everything grows with the number of atoms. Sizes come from the same layout that mode 1 writes.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass

import numpy as np

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.survey import survey
from bnnp.io.descriptor_layout import FileLayout
from bnnp.io.input_data import StructureFile
from bnnp.log import Log, byte_count, duration
from bnnp.modes.symmetry.storage import choose_derivatives
from bnnp.run import Run
from bnnp.settings.settings import Settings

SAMPLE = 20  # structures
PATIENCE = 3.0  # seconds after which the sample is large enough


@dataclass(frozen=True)
class SymmetryCost:
    """Cost of mode 1.

    Parameters
    ----------
    kernel : str
        Instruction set of the C++ core.
    neighbors : float
        Mean number within the largest cutoff.
    seconds_recomputed, seconds_stored : float
        On one core, without and with derivatives.
    bytes_recomputed, bytes_stored : float
        Size of symmetry_functions.h5.
    bytes_largest : float
        Memory of the largest structure, derivatives included.
    """

    kernel: str
    neighbors: float
    seconds_recomputed: float
    seconds_stored: float
    bytes_recomputed: float
    bytes_stored: float
    bytes_largest: float


def estimate(structures: StructureFile, settings: Settings) -> SymmetryCost:
    """Measure a sample and extrapolate by the number of atoms."""
    descriptor = settings.model.descriptor()
    records, values, derivatives = [], 0.0, 0.0
    start = time.perf_counter()
    for index in np.unique(np.linspace(0, len(structures) - 1, SAMPLE).astype(int)):
        structure = structures[int(index)]
        records.append(
            survey(
                structure,
                settings.model.elements,
                settings.model.largest_cutoff,
                settings.model.atom_energies,
            )
        )
        begun = time.perf_counter()
        types, pairs = descriptor.environments(structure)
        descriptor.values(types, pairs)
        values += time.perf_counter() - begun
        begun = time.perf_counter()
        descriptor.jacobian(types, pairs)
        derivatives += time.perf_counter() - begun
        if time.perf_counter() - start > PATIENCE:
            break
    layout = _layout(np.array(records), settings, descriptor)
    n_atoms = int(layout.first_atom[-1])
    whole = float(structures.n_atoms.sum()) / n_atoms
    return SymmetryCost(
        kernel=descriptor.kernel,
        neighbors=int(layout.first_pair[-1]) / n_atoms,
        seconds_recomputed=whole * values,
        seconds_stored=whole * (values + derivatives),
        bytes_recomputed=whole * layout.bytes_without_derivatives,
        bytes_stored=whole * layout.bytes,
        bytes_largest=int(structures.n_atoms.max()) / n_atoms * layout.bytes,
    )


def _layout(records: np.ndarray, settings: Settings, descriptor: Descriptor) -> FileLayout:
    """The file mode 1 would write of the sample."""
    n, elements = len(records), settings.model.elements
    return FileLayout(
        model=settings.model,
        input_digest="",
        stored=True,
        source=np.arange(n),
        subset=np.zeros(n, dtype=np.uint8),
        group=np.zeros(n, dtype=np.int32),
        groups=("",),
        n_atoms=records["n_atoms"],
        n_pairs=records["n_pairs"],
        n_sensitive=np.array([[len(descriptor.sensitive(x, y)) for y in elements] for x in elements]),
    )


def report_estimate(structures: StructureFile, run: Run, log: Log) -> bool:
    """Show time, memory and disk of mode 1 with and without derivatives; whether they are to be stored."""
    found, model = estimate(structures, run.settings), run.settings.model
    log.section("SymmetryCost for mode 1")
    log.item("kernel", found.kernel)
    log.item(
        "neighbors of an atom",
        f"{found.neighbors:.0f} within {model.largest_cutoff:g} {model.units.length}",
    )
    log.line()
    rows = [
        ("stored", duration(found.seconds_stored), byte_count(found.bytes_stored)),
        ("recomputed", duration(found.seconds_recomputed), byte_count(found.bytes_recomputed)),
    ]
    log.table(("derivatives", "time on one core", "symmetry_functions.h5"), rows)
    log.line()
    stored, reason = choose_derivatives(found.bytes_stored - found.bytes_recomputed, run.settings)
    log.item("derivatives", f"{'stored' if stored else 'recomputed'}: {reason}")
    log.item("memory of each process", f"about {byte_count(3e8 + 2 * found.bytes_largest)}")
    log.item("free on this disk", byte_count(shutil.disk_usage(run.directory).free))
    return stored
