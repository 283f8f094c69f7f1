"""From the settings of input.nn and symmetry_functions.h5 to the parts of a training.

The parts are of :mod:`bnnp.training`; only this module knows which keyword sets what.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.core import Descriptor
from bnnp.core.device import demand_device
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.scaling_data import read_scaling
from bnnp.modes.job import Job
from bnnp.modes.training_networks import parameters_of, random_networks
from bnnp.modes.training_optimizer import build_optimizer
from bnnp.modes.training_weights import training_weights
from bnnp.potential.loading import draw_masks, drop_rates
from bnnp.settings import Settings
from bnnp.training.checkpoint import Normalized
from bnnp.training.dense_blocks import DenseForces
from bnnp.training.evaluation import Evaluator
from bnnp.training.loop import Trainer
from bnnp.training.loss import Errors, Loss
from bnnp.training.model import Dropout, Forces, Model
from bnnp.training.normalization import Fold, as_scaled, principal
from bnnp.training.observations import Observer, Responses
from bnnp.training.pair_forces import PairForces
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Limits, Samples, derivatives_in_memory
from bnnp.training.statistics import References, force_size, references, scalings, whitened
from bnnp.training.weighting import Weights

Array = NDArray[np.float64]

MONITORED = 100  # training structures that are evaluated every epoch
EPOCH_SAMPLES = 20  # masks of that evaluation; the test set has all
PROBED = 8  # structures from which the size of untrained forces is taken


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What is trained on.

    Parameters
    ----------
    training, test : tuple of int
        Positions in the file.
    references : References
    scalings : mapping of str to Scaling
        What becomes scaling.data.
    forces : bool
        Whether forces (or stresses) are trained.
    weights : Weights
        Of structures and atoms in the loss.
    density_widths : mapping of str to float
        Widths of the Gaussians of ``force_weighting gdf``; empty without it.
    """

    training: tuple[int, ...]
    test: tuple[int, ...]
    references: References
    scalings: Mapping[str, Scaling]
    forces: bool
    weights: Weights
    density_widths: Mapping[str, float]

    @property
    def monitored(self) -> tuple[int, ...]:
        """Training structures that are evaluated every epoch, evenly spaced."""
        count = min(len(self.training), max(MONITORED, len(self.test)))
        return tuple(self.training[k] for k in np.linspace(0, len(self.training) - 1, count).astype(int))


def training_set(job: Job, file: DescriptorFile) -> TrainingSet:
    """Divide the file and take the statistics.

    Raises
    ------
    InputError
        Nothing to train on, an element without atoms, a symmetry function that never varies.
    """
    settings = job.settings
    training, test = (tuple(np.flatnonzero(file.subset == number).tolist()) for number in (0, 1))
    if not training:
        raise InputError(
            "symmetry_functions.h5: the training set is empty; lower test_fraction and run mode 1 again"
        )
    found = references(file, training, atom_energies(settings), limits(settings))
    ranges = scalings(file, training)
    if settings["use_old_scaling"]:
        counts = {element: len(settings.functions[element]) for element in settings.elements}
        path = job.directory / "scaling.data"
        ranges = dict(
            read_scaling(path, counts, settings.scaling.kind == "sigma", settings.fingerprint()).scalings
        )
    _demand_variation(settings, ranges)
    forces = settings["use_short_forces"] and found.spread.n_forces > 0
    if settings["use_short_forces"] and not forces:
        raise InputError(
            "use_short_forces asks to train on forces, but no training structure has any (or max_force "
            "excludes all); remove use_short_forces, or add forces to input.data and run mode 1 again"
        )
    weights, widths = training_weights(settings, file, training, ranges)
    return TrainingSet(training, test, found, ranges, forces, weights, widths)


def normalize(job: Job, file: DescriptorFile, data: TrainingSet, descriptor: Descriptor) -> Normalized:
    """Inputs whitened, targets offset and scaled so that untrained forces have the right size."""
    settings = job.settings
    if settings["dropout_rate_input"] > 0.0 or settings["network_inputs"] == "scaled":
        inputs = {x: as_scaled(data.scalings[x].affine(settings.scaling)) for x in settings.elements}
    else:
        inputs = whitened(file, data.training, scalings(file, data.training))
        wanted = settings["network_inputs"]
        if wanted == "principal" or (wanted == "auto" and settings["optimizer"] == "kalman"):
            ranges = scalings(file, data.training)
            inputs = {x: principal(z, ranges[x]) for x, z in inputs.items()}
    if any(settings.architecture[element].activations[-1] != "l" for element in settings.elements):
        conversion = settings.normalization  # an output that is not linear cannot take up a scale
        return Normalized(
            inputs, atom_energies(settings) + conversion.mean_energy, 1.0 / conversion.conv_energy
        )
    spread = data.references.spread
    size = np.sqrt(spread.force) if data.forces else np.sqrt(spread.energy)
    normalized = Normalized(inputs, data.references.offsets, 1.0)
    probe = Samples(file, inputs, atom_energies(settings), normalized.offsets, 1.0, data.forces)
    evaluator = Evaluator(settings.elements, inputs, None, descriptor, descriptor.width)
    chosen = data.training[:: max(1, len(data.training) // PROBED)][:PROBED]
    untrained = force_size(evaluator, random_networks(settings), [probe[index] for index in chosen])
    return Normalized(
        inputs, data.references.offsets, float(size / untrained) if untrained > 0.0 else float(size)
    )


def build_trainer(
    job: Job,
    file: DescriptorFile,
    data: TrainingSet,
    normalized: Normalized,
    descriptor: Descriptor,
    factors: Array | None = None,
) -> Trainer:
    """Everything the loop needs; `factors` of the step size of every weight, if they are not all 1."""
    settings = job.settings
    dtype = torch.float32 if settings["precision"] == "single" else torch.float64
    device = settings["device"]
    _demand_device(settings)
    parameters = parameters_of(settings)
    stored = settings["derivatives"] != "recomputed" and file.derivatives == "stored"
    kept = data.forces and not stored and device == "cpu"
    samples = Samples(
        file,
        normalized.inputs,
        atom_energies(settings),
        normalized.offsets,
        normalized.scale,
        data.forces,
        stored,
        descriptor if kept else None,
        derivatives_in_memory(file, descriptor, settings["memory_limit"]) if kept else None,
        limits(settings),
        data.weights,
        settings["memory_limit"] / parallel.size(),
        Ranks(parallel.rank(), parallel.size()).at_home,
        dtype,
        device,
    )
    forces: Forces = DenseForces(descriptor, dtype, device)
    if device == "cpu":
        forces = partial(core_forces, _sweeps(settings, descriptor))
    weights = (
        settings["energy_weight"],
        settings["force_weight"] if data.forces else 0.0,
        settings["stress_weight"],
    )
    spread = data.references.spread.scaled(normalized.scale)
    loss = Loss.of(spread, *weights, settings["huber_delta"])
    dropout = Dropout(settings["random_seed"], drop_rates(settings), settings["dropout_masks"])
    model = Model(parameters, normalized.inputs, descriptor.width, forces, dtype, device)
    ranks = Ranks(parallel.rank(), parallel.size(), parallel.sum_array)
    observer = Observer(parameters, normalized.inputs, dropout, Responses(descriptor, dtype))
    return Trainer(
        model=model,
        loss=loss,
        optimizer=build_optimizer(
            settings, samples, loss, spread, observer, ranks, len(data.training), factors
        ),
        dropout=dropout,
        samples=samples,
        evaluator=build_evaluator(job, normalized, descriptor),
        monitor=build_evaluator(job, normalized, descriptor, EPOCH_SAMPLES),
        training=data.training,
        test=data.test,
        monitored=data.monitored,
        criterion=partial(Errors.criterion, spread=spread, weights=weights),
        seed=settings["random_seed"],
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        ranks=ranks,
        patience=settings["early_stopping"],
        rests=(settings["epochs"] - settings["polish_epochs"],) if settings["polish_epochs"] else (),
    )


def build_evaluator(
    job: Job, normalized: Normalized, descriptor: Descriptor, samples: int | None = None
) -> Evaluator:
    """Monte Carlo mean over the first `samples` frozen masks, or over all."""
    settings, masks = job.settings, draw_masks(job.settings)
    if masks is not None and samples is not None:
        masks = masks.take(min(masks.samples, samples))
    return Evaluator(settings.elements, normalized.inputs, masks, descriptor, descriptor.width, job.threads)


def folds_of(settings: Settings, data: TrainingSet, normalized: Normalized) -> dict[str, Fold]:
    """The way from the networks in training to those of the files, by element."""
    conversion = settings.normalization
    free = atom_energies(settings)
    return {
        element: Fold(
            normalized.inputs[element],
            data.scalings[element].affine(settings.scaling),
            normalized.scale,
            float(normalized.offsets[number] - free[number]),
            conversion.conv_energy,
            conversion.mean_energy,
        )
        for number, element in enumerate(settings.elements)
    }


def atom_energies(settings: Settings) -> Array:
    """Free-atom energies in effect, (n_elements,) float64."""
    return np.array([settings.atom_energies[element] for element in settings.elements])


def limits(settings: Settings) -> Limits:
    """RuNNer's max_energy and max_force."""
    return Limits(settings["max_energy"], settings["max_force"])


def core_forces(
    descriptor: Descriptor, gradient: torch.Tensor, geometries: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forces (n_atoms, 3) and virials (n_structures, 6) of a batch by the C++ core, differentiable."""
    forces, virials = PairForces.apply(gradient, descriptor, geometries)
    return forces, virials


def _sweeps(settings: Settings, descriptor: Descriptor) -> Descriptor:
    """What recomputes derivatives in every step: in the precision of the training."""
    if settings["precision"] == "double":
        return descriptor
    return descriptor.with_dtype(np.float32)


def _demand_variation(settings: Settings, ranges: Mapping[str, Scaling]) -> None:
    """Stop if the scaling would divide by the range of a function that has none."""
    if settings.scaling.kind not in ("scale", "both", "sigma"):
        return
    bad = [
        f"    input.nn line {function.line}: symfunction_short {function.definition()}"
        for element, scaling in ranges.items()
        for function, constant in zip(settings.functions[element], scaling.constant, strict=True)
        if constant
    ]
    if bad:
        raise InputError(
            f"{len(bad)} symmetry functions never vary in the training set; scaling would divide by zero:\n"
            + "\n".join(bad[:20] + [f"    ... and {len(bad) - 20} more"] * (len(bad) > 20))
            + "\nRemove them from input.nn (or add structures in which they vary) and run mode 1 again."
        )


def _demand_device(settings: Settings) -> None:
    if settings["device"] != "cpu" and settings["optimizer"] == "kalman":
        raise InputError(
            f"{settings.origins['device']}: device is cuda, but the Kalman filter works on the CPU; use "
            "`device cpu`, or `optimizer adam`"
        )
    demand_device(settings["device"])
