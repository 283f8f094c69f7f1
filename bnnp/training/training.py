"""One training: everything between symmetry_functions.h5 and the networks of a potential.

:class:`Training` owns the settings, the descriptor file, the training set, the variables, the descriptor and
the frozen masks, and puts the trainer together from the other modules of this package::

    data = training_set(settings, file, directory)
    training = Training.prepare(settings, file, directory, settings.model.descriptor(), data)
    *_, state = training.run(training.start(), stop)
    networks = training.networks(state.best_weights)          # as weights.XXX.data has them

Every rank calls these; only the root writes files, elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.charges.electrostatics import ChargeModel
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.device import demand_device
from bnnp.descriptors.scaling import Affine, Scaling
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.scaling_data import ScalingData, read_scaling
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.io.weights import demand_finite, read_weights, weights_name
from bnnp.messages import count
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.files import PotentialFiles
from bnnp.potential.loading import assemble, draw_masks, training_rates
from bnnp.potential.potential import Potential
from bnnp.random import BOOTSTRAP, stream
from bnnp.settings.settings import Settings
from bnnp.structure import Set
from bnnp.training.charges import TrainedCharges
from bnnp.training.checkpoint import Checkpoint, conditions
from bnnp.training.dense_blocks import DenseForces
from bnnp.training.evaluation import Evaluator, Predictors
from bnnp.training.initial import parameters_of, random_networks
from bnnp.training.kalman.observations import Observer, Observers, Responses
from bnnp.training.loop import State, Trainer, clock
from bnnp.training.loss import Errors, Loss, Spread
from bnnp.training.methods import kalman_filter, optimizer_of
from bnnp.training.model import Dropout, Forces, TrainedModel
from bnnp.training.normalization import ChangeOfVariables, Variables, as_scaled, element_offsets, principal
from bnnp.training.optimizer import Optimizer
from bnnp.training.pair_forces import PairForces
from bnnp.training.parameters import Parameters
from bnnp.training.ranks import Ranks
from bnnp.training.samples import (
    Derivatives,
    Limits,
    MemoryBudget,
    Samples,
    Targets,
    baseline_of,
    derivatives_in_memory,
)
from bnnp.training.statistics import (
    References,
    force_size,
    references,
    scalings,
    unit_means,
    whitened,
)
from bnnp.training.transfer import Transfer
from bnnp.training.weighting import Weights, force_rarity

Array = NDArray[np.float64]

MONITORED = 100  # training structures that are evaluated every epoch
PROBED = 8  # structures from which the size of untrained forces is estimated
DECIMALS = 8  # fitted energies are rounded: the same text in every file, the same number on every machine
SMALLEST_SPREAD = 1e-3  # e: charges that vary less are no larger an input
FITTED = 200  # structures to which the zero of transferred energies is fitted


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The structures to train on and to test with, and their statistics.

    Parameters
    ----------
    training, test : tuple of int
        Positions in the file.
    references : References
    scalings : mapping of element to Scaling
        Ranges of the symmetry functions, written to scaling.data.
    forces : bool
        Whether forces (or stresses) are trained.
    weights : Weights
        Of structures and atoms in the loss.
    density_widths : mapping of element to float
        Widths of the Gaussians of ``force_weighting gdf``; empty without it.
    charges : TrainedCharges or None
        Of a potential with charges: what stage 1 has trained.
    """

    training: tuple[int, ...]
    test: tuple[int, ...]
    references: References
    scalings: Mapping[str, Scaling]
    forces: bool
    weights: Weights
    density_widths: Mapping[str, float]
    charges: TrainedCharges | None = None

    @property
    def monitored(self) -> tuple[int, ...]:
        """Training structures that are evaluated every epoch."""
        return monitored(self.training, self.test)

    def resampled(self, seed: int) -> TrainingSet:
        """As many training structures, drawn with replacement (``ensemble_bootstrap``). Ranges and spreads
        stay those of the whole set, so that all members of an ensemble have the same scaling.data."""
        count = len(self.training)
        chosen = stream(seed, BOOTSTRAP).integers(count, size=count)
        return replace(self, training=tuple(self.training[k] for k in sorted(chosen.tolist())))


@dataclass(frozen=True, eq=False)
class Training:
    """One training and the parts it needs, each made when it is first used.

    Parameters
    ----------
    settings : Settings
        With the free-atom energies and the dropout rate in effect.
    file : DescriptorFile
    directory : Path
        Where networks to start from, and old ranges, are read.
    descriptor : Descriptor
    data : TrainingSet
    variables : Variables
        Network inputs z, energy offsets and scale.
    transfer : Transfer or None
        Networks of another potential to start from.
    former : Checkpoint or None
        The interrupted training to continue.
    """

    settings: Settings
    file: DescriptorFile
    directory: Path
    descriptor: Descriptor
    data: TrainingSet
    variables: Variables
    transfer: Transfer | None = None
    former: Checkpoint | None = None

    @classmethod
    def prepare(
        cls,
        settings: Settings,
        file: DescriptorFile,
        directory: Path,
        descriptor: Descriptor,
        data: TrainingSet,
        former: Checkpoint | None = None,
    ) -> Training:
        """A training with new variables, or with those of the checkpoint it continues."""
        if former is not None:
            return cls(settings, file, directory, descriptor, data, former.variables, former=former)
        variables = parallel.on_root(variables_of, settings, file, data, descriptor)
        return cls(settings, file, directory, descriptor, data, variables)

    def start(self) -> State:
        """The state before the first step, or that of the checkpoint."""
        if self.former is not None:
            state = self.former.state
            return replace(state, optimizer=self.trainer.optimizer.state_of(state.optimizer))
        return self.trainer.start(self.initial_weights())

    def run(self, state: State, stop: Callable[[], bool]) -> Iterator[State]:
        """The state after each epoch; see :meth:`bnnp.training.loop.Trainer.run`."""
        return self.trainer.run(state, stop)

    def initial_weights(self) -> Array:
        """Weights before training: random, those of weights.XXX.data (``use_old_weights_short``), or those of
        another potential (``transfer_from``)."""
        networks, model = random_networks(self.settings), self.settings.model
        if self.transfer is not None:
            return self._transferred(self.transfer, networks)
        if self.settings.network.use_old_weights_short:
            for element, change in self.changes.items():
                path, architecture = self.directory / weights_name(element), model.architecture[element]
                n_inputs = model.n_network_inputs[element]
                plain = read_weights(path, element, architecture, n_inputs, model.normalize_nodes)
                networks[element] = change.from_plain(plain)
        return self.parameters.pack(networks)

    def networks(self, weights: Array) -> dict[str, Network]:
        """The networks in the form of the files. Raises NumericalError if one is not finite."""
        trained = self.parameters.unpack(weights)
        plain = {element: change.to_plain(trained[element]) for element, change in self.changes.items()}
        for element, network in plain.items():
            demand_finite(network, element)
        return plain

    def files(self, weights: Array) -> PotentialFiles:
        """Contents of scaling.data, weights.XXX.data and uncertainty.data for these weights.

        Raises
        ------
        NumericalError
            A weight is not finite.
        """
        settings, model, networks = self.settings, self.settings.model, self.networks(weights)
        fitted = model.atom_energies if settings.fits_atom_energies else {}
        energies = self.data.references.energy_range
        spread = ScalingData(self.data.scalings, energies, model.fingerprint, fitted)
        masks = self.masks_of(networks, None if self.masks is None else self.charge_inputs(weights))
        uncertainty = None if masks is None else UncertaintyData.of(masks, networks)
        return PotentialFiles(model, networks, spread, uncertainty, charges=self.charge_model(weights))

    def charge_model(self, weights: Array) -> ChargeModel | None:
        """What gives the charges; None without charges."""
        return None if self.data.charges is None else self.data.charges.model

    def charge_inputs(self, weights: Array) -> Array | None:
        """Charges of all atoms of the file, (N,) float64, e, if they are inputs of the networks."""
        return None if self.data.charges is None else self.data.charges.inputs

    def potential(self, weights: Array) -> Potential:
        """The potential of these weights, not calibrated."""
        return assemble([self.files(weights)], self.settings, self.descriptor.threads)

    @property
    def conditions(self) -> dict[str, object]:
        """What a checkpoint must have in common with the run that continues it."""
        charges = None if self.data.charges is None else self.data.charges.model
        return conditions(self.settings, self.file, charges)

    @property
    def epochs(self) -> int:
        """Number of epochs in effect."""
        return self.settings.training.n_epochs(len(self.data.training))

    @cached_property
    def parameters(self) -> Parameters:
        """Shape of the vector of all weights."""
        return parameters_of(self.settings)

    @cached_property
    def masks(self) -> Masks | None:
        """The frozen masks of the potential, without the means of its nodes; None without dropout."""
        return draw_masks(self.settings)

    def masks_of(self, networks: Mapping[str, Network], charges: Array | None = None) -> Masks | None:
        """The masks of these networks, which have the form of the files: with ``mc_dropout after`` those that
        are centered on them.

        Parameters
        ----------
        charges : (N,) float64, e, optional
            Of all atoms of the file, if they are inputs.
        """
        if self.masks is None or not self.settings.dropout.after:
            return self.masks
        scaled = {x: self._scaled(x) for x in networks}
        return self.masks.with_means(unit_means(self.file, self.data.training, networks, scaled, charges))

    @property
    def averaged_masks(self) -> Masks | None:
        """The masks whose mean is the prediction; None where it is that of the plain networks."""
        return None if self.settings.dropout.after else self.masks

    @cached_property
    def changes(self) -> dict[str, ChangeOfVariables]:
        """Change of variables between the networks in training and those of the files, by element."""
        model, variables = self.settings.model, self.variables
        free, conversion = atom_energies(self.settings), model.normalization
        return {
            element: ChangeOfVariables(
                inputs=variables.inputs[element],
                scaled=self._scaled(element),
                scale=variables.scale,
                offset=float(variables.offsets[number] - free[number]),
                conv_energy=conversion.conv_energy,
                mean_energy=conversion.mean_energy,
            )
            for number, element in enumerate(model.elements)
        }

    def _scaled(self, element: str) -> Affine:
        """The inputs of the network of the files: scaled functions, and a charge in n2p2's units."""
        model = self.settings.model
        found = self.data.scalings[element].affine(model.scaling)
        if model.electrostatics is None or not model.charge_input:
            return found
        return found.beside(Affine(np.zeros(1), np.array([model.electrostatics.conv_charge]), np.zeros(1)))

    @cached_property
    def spread(self) -> Spread:
        """Spread of the normalized references."""
        return self.data.references.spread.scaled(self.variables.scale)

    @cached_property
    def loss_weights(self) -> tuple[float, float, float]:
        """W_E, W_F and W_S in effect: without force training only energies count."""
        keywords, derivatives = self.settings.training, self.data.forces
        return (
            keywords.energy_weight,
            keywords.force_weight * derivatives,
            keywords.stress_weight * derivatives,
        )

    @property
    def targets(self) -> Targets:
        """Which references are trained on."""
        return replace(targets(self.settings, self.data.charges), weights=self.data.weights)

    @cached_property
    def samples(self) -> Samples:
        """The structures, kept in memory up to ``memory_limit``."""
        settings, file = self.settings, self.file
        memory, device = settings.general.memory_limit, settings.training.device
        stored = settings.structures.derivatives != "recomputed" and file.derivatives == "stored"
        kept = self.data.forces and not stored and device == "cpu"
        in_memory = derivatives_in_memory(file, self.descriptor, memory) if kept else None
        return self._samples(
            file,
            self.network_inputs,
            self.targets,
            Derivatives(self.data.forces, stored, self.descriptor if kept else None, in_memory),
            MemoryBudget(memory / parallel.size(), self._ranks.keeps),
            (self._dtype, device),
        )

    @cached_property
    def trainer(self) -> Trainer:
        """The training loop with all its parts.

        Raises
        ------
        InputError
            There is no such device, or the optimizer cannot use it.
        """
        keywords = self.settings.training
        self._demand_device()
        return Trainer(
            model=self.trained_model,
            loss=self.loss,
            optimizer=self.optimizer,
            dropout=self._dropout,
            samples=self.samples,
            evaluator=self.evaluator,
            training=self.data.training,
            test=self.data.test,
            monitored=self.data.monitored,
            criterion=partial(Errors.criterion, spread=self.spread, weights=self.loss_weights),
            seed=self.settings.general.random_seed,
            batch_size=keywords.batch_size,
            epochs=self.epochs,
            ranks=self._ranks,
            patience=keywords.early_stopping,
            rests=(self.epochs - keywords.polish_epochs,) if keywords.polish_epochs else (),
            late=clock(keywords.training_time),
        )

    @cached_property
    def trained_model(self) -> TrainedModel:
        """From the weights and a batch to energies and forces."""
        device, variables = self.settings.training.device, self.network_inputs
        forces: Forces = DenseForces(self.descriptor, self._dtype, device)
        if device == "cpu":
            single = self.settings.training.precision == "single"
            forces = partial(
                core_forces, self.descriptor.with_dtype(np.float32) if single else self.descriptor
            )
        width = max(self.descriptor.width, *(len(z.shift) for z in variables.inputs.values()))
        return TrainedModel(self.parameters, variables.inputs, width, forces, self._dtype, device)

    @property
    def network_inputs(self) -> Variables:
        """The variables of what :attr:`samples` gives to the model."""
        return self.variables

    @property
    def _samples(self) -> Callable[..., Samples]:
        """What makes the samples of their parts."""
        return Samples

    @property
    def observer(self) -> Observers:
        """What gives the rows of a Kalman filter."""
        responses = Responses(self.descriptor, self._dtype)
        return Observer(self.parameters, self.variables.inputs, self._dropout, responses)

    @property
    def optimizer(self) -> Optimizer:
        """The method of ``optimizer``, its moving average, and the polish after it."""
        settings, transfer = self.settings, self.transfer
        factors = None if transfer is None else transfer.step_factors(settings, self.parameters)
        filtered = partial(
            kalman_filter, settings, self.samples, self.loss, self.spread, self.observer, self._ranks
        )
        n_training = len(self.data.training)
        return optimizer_of(settings, self.parameters, n_training, self.epochs, filtered, factors)

    @property
    def evaluator(self) -> Predictors:
        """Of the prediction: the Monte Carlo mean over all frozen masks, or the plain networks."""
        inputs, threads = self.variables.inputs, self.descriptor.threads
        return Evaluator(inputs, self.averaged_masks, self.descriptor, threads)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32 if self.settings.training.precision == "single" else torch.float64

    @property
    def _ranks(self) -> Ranks:
        return Ranks(parallel.rank(), parallel.size(), parallel.sum_array)

    @property
    def _dropout(self) -> Dropout:
        settings = self.settings
        return Dropout(settings.general.random_seed, training_rates(settings), settings.dropout.dropout_masks)

    @cached_property
    def loss(self) -> Loss:
        """The loss with its prefactors."""
        return Loss.of(self.spread, *self.loss_weights, self.settings.loss.huber_delta)

    def _demand_device(self) -> None:
        device = self.settings.training.device
        if device != "cpu" and self.settings.training.optimizer == "kalman":
            raise InputError(
                f"{self.settings.origins['device']}: device is cuda, but the Kalman filter works on the CPU; "
                "use `device cpu`, or `optimizer adam`"
            )
        demand_device(device)

    def _transferred(self, transfer: Transfer, networks: dict[str, Network]) -> Array:
        """Initial weights: the networks of `transfer`, random ones for other elements, and a new zero of
        energy. The outputs are shifted, element by element, so that the energies of the training set have no
        mean error."""
        for element, network in transfer.networks.items():
            networks[element] = self.changes[element].on_functions().from_plain(network)
        weights, trainer = self.parameters.pack(networks), self.trainer
        chosen = trainer.training[:: -(-len(trainer.training) // FITTED)]
        residuals = np.zeros(len(chosen))
        places = {index: place for place, index in enumerate(chosen)}
        for index, evaluation in trainer.evaluations(weights, chosen):
            residuals[places[index]] = evaluation.reference_energy - evaluation.energy
        trainer.ranks.sum_array(residuals)
        known = np.isfinite(residuals)
        counts = self.file.n_elements[list(chosen)].astype(np.float64)
        shifts = element_offsets(counts[known], residuals[known])
        for network, shift in zip(networks.values(), shifts, strict=True):
            network.biases[-1][:] += shift * (network.sizes[-1] if network.normalize_nodes else 1)
        return self.parameters.pack(networks)


def monitored(training: Sequence[int], test: Sequence[int]) -> tuple[int, ...]:
    """Some of the training structures, evenly spaced, as many as are tested or MONITORED."""
    count = min(len(training), max(MONITORED, len(test)))
    return tuple(training[k] for k in np.linspace(0, len(training) - 1, count).astype(int))


def training_set(
    settings: Settings, file: DescriptorFile, directory: Path, charges: TrainedCharges | None = None
) -> TrainingSet:
    """Read the division of the file into sets, and compute the statistics of the training set.

    Parameters
    ----------
    charges : TrainedCharges, optional
        Of a potential with charges; the result is without them.

    Raises
    ------
    InputError
        Nothing to train on, an element without atoms, a symmetry function that never varies.
    """
    training, test = divided(file)
    found = references(file, training, targets(settings, charges))
    ranges = training_ranges(settings, file, directory)
    wanted = settings.structures.use_short_forces
    forces = wanted and found.spread.n_forces > 0 and has_forces(file, training)
    if settings.given("use_short_forces") and wanted and not forces:
        raise InputError(
            f"{settings.origins['use_short_forces']}: use_short_forces asks to train on forces, but no "
            "training structure has any (all are zero, or max_force excludes them); remove use_short_forces, "
            "or add forces to input.data and run mode 1 again"
        )
    weights, widths = training_weights(settings, file, training, ranges, forces)
    return TrainingSet(training, test, found, ranges, forces, weights, widths)


def divided(file: DescriptorFile) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions in the file of training and test set. Raises InputError if there is nothing to train on."""
    training, test = (
        tuple(np.flatnonzero(file.subset == subset).tolist()) for subset in (Set.TRAIN, Set.TEST)
    )
    if not training:
        raise InputError(
            "symmetry_functions.h5: the training set is empty; lower test_fraction and run mode 1 again"
        )
    return training, test


def training_ranges(settings: Settings, file: DescriptorFile, directory: Path) -> dict[str, Scaling]:
    """Ranges of the symmetry functions by element: of the training set, or of an old scaling.data."""
    ranges, model = scalings(file, divided(file)[0]), settings.model
    if settings.scaling.use_old_scaling:
        path, sigma = directory / "scaling.data", model.scaling.kind == "sigma"
        ranges = dict(read_scaling(path, model.n_inputs, sigma, model.fingerprint).scalings)
    _demand_variation(settings, ranges)
    return ranges


def has_forces(file: DescriptorFile, training: Sequence[int]) -> bool:
    """Whether any force of these structures is not zero: files without forces have zeros."""
    return any(np.nan_to_num(file.forces[file.atoms(index)]).any() for index in training)


def variables_of(
    settings: Settings, file: DescriptorFile, data: TrainingSet, descriptor: Descriptor
) -> Variables:
    """Whitened inputs, and an offset and scale of the targets with which untrained forces have the size of
    the reference forces."""
    model, inputs = settings.model, inputs_of(settings, file, data.training, data.scalings)
    if data.charges is not None and data.charges.inputs is not None:
        spreads = charge_inputs(file, data.training, data.charges.inputs)
        inputs = {x: z.beside(spreads[x]) for x, z in inputs.items()}
    if any(model.architecture[element].activations[-1] != "l" for element in model.elements):
        conversion = model.normalization  # the layer before a nonlinear output cannot absorb a scale
        offsets = atom_energies(settings) + conversion.mean_energy
        return Variables(inputs, offsets, 1.0 / conversion.conv_energy)
    spread = data.references.spread
    size = np.sqrt(spread.force) if data.forces else np.sqrt(spread.energy)
    variables = Variables(inputs, data.references.offsets, 1.0)
    every = replace(targets(settings, data.charges), limits=Limits())
    probe = Samples(file, variables, every, Derivatives(data.forces))
    evaluator, networks = Evaluator(inputs, None, descriptor), random_networks(settings)
    chosen = data.training[:: max(1, len(data.training) // PROBED)][:PROBED]
    untrained = force_size(evaluator, networks, [probe[index] for index in chosen])
    return replace(variables, scale=float(size / untrained) if untrained > 0.0 else float(size))


def inputs_of(
    settings: Settings, file: DescriptorFile, training: Sequence[int], ranges: Mapping[str, Scaling]
) -> dict[str, Affine]:
    """The inputs z of the networks in training, from the symmetry functions, by element."""
    if settings.dropout.dropout_rate_input > 0.0 or settings.loss.network_inputs == "scaled":
        return {x: as_scaled(own.affine(settings.model.scaling)) for x, own in ranges.items()}
    own, wanted = scalings(file, training), settings.loss.network_inputs
    inputs = whitened(file, training, own)
    if wanted == "principal" or (wanted == "auto" and settings.training.optimizer == "kalman"):
        inputs = {x: principal(z, own[x]) for x, z in inputs.items()}
    return inputs


def charge_inputs(file: DescriptorFile, training: Sequence[int], charges: Array) -> dict[str, Affine]:
    """The charge as an input of the networks in training: centered, of variance 1, by element."""
    found = {}
    for number, element in enumerate(file.elements):
        parts = [charges[file.atoms(k)][file.types[file.atoms(k)] == number] for k in training]
        own = np.concatenate(parts)
        spread = max(float(own.std()), SMALLEST_SPREAD)
        found[element] = Affine(np.array([own.mean()]), np.array([1.0 / spread]), np.zeros(1))
    return found


def with_fitted_energies(settings: Settings, file: DescriptorFile) -> Settings:
    """`settings` with the least-squares free-atom energies of the training set, for ``atom_energy fit``."""
    if not settings.fits_atom_energies:
        return settings
    training = np.flatnonzero((file.subset == Set.TRAIN) & np.isfinite(file.energy))
    known = [baseline_of(file, int(k), settings.model).energy for k in training]
    counts = file.n_elements[training].astype(np.float64)
    offsets = element_offsets(counts, file.energy[training] - known)
    energies = {x: round(float(e), DECIMALS) for x, e in zip(file.elements, offsets, strict=True)}
    return settings.with_atom_energies(energies)


def training_weights(
    settings: Settings,
    file: DescriptorFile,
    training: Sequence[int],
    ranges: Mapping[str, Scaling],
    forces: bool,
) -> tuple[Weights, dict[str, float]]:
    """Weights of all structures and atoms, and, if `forces` are trained, the widths of the Gaussians of
    ``force_weighting gdf``.

    Raises
    ------
    InputError
        ``group_weight`` names a group that no structure has, or leaves nothing to train on.
    """
    keywords = settings.loss
    groups = {label: (energy, force, stress) for label, energy, force, stress in keywords.group_weight}
    for label in groups:
        if label not in file.groups[1:]:
            known = ", ".join(file.groups[1:]) or "none"
            raise InputError(
                f"{settings.origins['group_weight']}: `group_weight {label}`, but no structure has "
                f"`group={label}` in its comment line. The groups of symmetry_functions.h5: {known}."
            )
    rarity: Array | None = None
    widths: dict[str, float] = {}
    if keywords.force_weighting == "gdf" and forces:
        sigma = None if isinstance(keywords.gdf_sigma, str) else keywords.gdf_sigma
        rarity, widths = force_rarity(file, training, ranges, sigma, keywords.gdf_sigmoid)
    weights = Weights.of(file, groups, rarity)
    chosen = list(training)
    if not weights.energy[chosen].any() and not weights.stress[chosen].any() and not weights.force.any():
        raise InputError(
            "every weight of the training set is 0, so there is nothing to train on: raise group_weight in "
            "input.nn or weight= in input.data"
        )
    return weights, widths


def atom_energies(settings: Settings) -> Array:
    """Free-atom energies in effect, (n_elements,) float64."""
    return np.array([settings.model.atom_energies[element] for element in settings.model.elements])


def targets(settings: Settings, charges: TrainedCharges | None = None) -> Targets:
    """References without free atoms, baseline and electrostatic energy, within ``max_energy`` and
    ``max_force``."""
    limits = Limits(settings.training.max_energy, settings.training.max_force)
    return Targets(atom_energies(settings), limits, settings.model, charges=charges)


def core_forces(
    descriptor: Descriptor, gradient: torch.Tensor, geometries: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """Forces (n_atoms, 3) and virials (n_structures, 6) of a batch by the C++ core, differentiable."""
    forces, virials = PairForces.apply(gradient, descriptor, geometries)  # type: ignore[no-untyped-call]
    return forces, virials


def _demand_variation(settings: Settings, ranges: Mapping[str, Scaling]) -> None:
    """Raise InputError if the scaling would divide by the zero range of a constant function."""
    if settings.model.scaling.kind not in ("scale", "both", "sigma"):
        return
    bad = [
        f"    input.nn line {function.line}: symfunction_short {function.definition()}"
        for element, scaling in ranges.items()
        for function, constant in zip(settings.model.functions[element], scaling.constant, strict=True)
        if constant
    ]
    if bad:
        raise InputError(
            f"{count(len(bad), 'symmetry function never varies', 'symmetry functions never vary')} in the "
            "training set; scaling would divide by zero:\n"
            + "\n".join(bad[:20] + [f"    ... and {len(bad) - 20} more"] * (len(bad) > 20))
            + "\nRemove them from input.nn (or add structures in which they vary) and run mode 1 again."
        )
