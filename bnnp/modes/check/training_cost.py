"""What mode 2 would take: one gradient of one structure is timed, everything grows with the number of atoms.

The structure nearest to the mean size goes through random networks, with the dropout masks and the
derivatives (stored or recomputed) the settings ask for. Not counted: reading, and the errors of every epoch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.io.input_data import StructureFile
from bnnp.log import Log, byte_count, duration
from bnnp.potential.loading import drop_rates
from bnnp.run import Run
from bnnp.settings.settings import Settings
from bnnp.structure import Structure
from bnnp.training.initial import parameters_of, random_networks
from bnnp.training.model import Dropout, TrainedModel
from bnnp.training.pair_forces import Geometry
from bnnp.training.samples import Batch, Sample
from bnnp.training.training import core_forces

OUTPUT = "the potential, learning-curve.out, checkpoint.npz, t*points, t*forces"


@dataclass(frozen=True)
class TrainingCost:
    """Cost of mode 2.

    Parameters
    ----------
    seconds : float
        Of one epoch on one core.
    data : float
        Bytes of all structures, if they are kept in memory.
    """

    seconds: float
    data: float


def estimate_training(structures: StructureFile, settings: Settings, stored: bool) -> TrainingCost:
    """Time a structure and extrapolate by the number of atoms; a share `test_fraction` is not trained on."""
    sizes = structures.n_atoms
    structure = structures[int(np.abs(sizes - sizes.mean()).argmin())]
    descriptor = settings.model.descriptor()
    sample = _sample(structure, settings, descriptor, stored)
    _seconds(sample, settings, descriptor)  # the first one has things to set up
    seconds = min(_seconds(sample, settings, descriptor) for _ in range(2))
    whole = float(sizes.sum()) / len(structure)
    return TrainingCost(whole * seconds * (1.0 - settings.structures.test_fraction), whole * sample.nbytes)


def report_training_estimate(structures: StructureFile, run: Run, stored: bool, log: Log) -> None:
    """Memory, time and files of mode 2."""
    found = estimate_training(structures, run.settings, stored)
    epochs, limit = run.settings.training.epochs, run.settings.general.memory_limit
    log.section("Estimate for mode 2")
    reread = f"; what is beyond memory_limit {byte_count(limit)} is read again" if found.data > limit else ""
    log.item("memory of the data", f"about {byte_count(found.data)}, over all processes{reread}")
    log.item("time of an epoch", f"about {duration(found.seconds)} on one core, without its evaluation")
    log.item(f"time of {epochs} epochs", f"about {duration(epochs * found.seconds)} on one core")
    log.item("writes", OUTPUT)


def _sample(structure: Structure, settings: Settings, descriptor: Descriptor, stored: bool) -> Sample:
    """A structure as the training has it, but for the scale of its numbers."""
    types, pairs = descriptor.environments(structure)
    values = descriptor.values(types, pairs)
    rows = [np.flatnonzero(types == number) for number in range(len(settings.model.elements))]
    blocks = np.asarray(descriptor.jacobian(types, pairs), dtype=np.float32) if stored else None
    widths = [len(settings.model.functions[element]) for element in settings.model.elements]
    dtype = torch.float32 if settings.training.precision == "single" else torch.float64
    return Sample(
        index=0,
        source=0,
        inputs=tuple(torch.tensor(values[r, :n], dtype=dtype) for r, n in zip(rows, widths, strict=True)),
        rows=tuple(torch.from_numpy(row) for row in rows),
        n_atoms=len(types),
        energy_weight=1.0,
        force_weight=torch.ones(len(types), dtype=dtype),
        stress_weight=1.0,
        energy=0.0,
        forces=torch.zeros(len(types), 3, dtype=dtype),
        stress=torch.full((6,), torch.nan, dtype=dtype),
        volume=1.0,
        geometry=Geometry(types, pairs, blocks) if settings.structures.use_short_forces else None,
    )


def _seconds(sample: Sample, settings: Settings, descriptor: Descriptor) -> float:
    """One gradient of a loss."""
    parameters = parameters_of(settings)
    plain = {x: Affine.mixing(np.zeros(n), np.eye(n)) for x, n in parameters.n_inputs.items()}
    dtype = sample.forces.dtype
    model = TrainedModel(parameters, plain, descriptor.width, partial(core_forces, descriptor), dtype)
    dropout = Dropout(settings.general.random_seed, drop_rates(settings), settings.dropout.dropout_masks)
    weights = torch.tensor(parameters.pack(random_networks(settings)), dtype=dtype, requires_grad=True)
    start = time.perf_counter()
    batch = Batch.of([sample])
    masks = dropout.masks(parameters, 1, batch.sources, batch.energy)
    energy, forces, _ = model(weights, batch, masks)
    loss = (energy * energy).sum() if forces is None else (energy * energy).sum() + (forces * forces).sum()
    torch.autograd.grad(loss, weights)
    return time.perf_counter() - start
