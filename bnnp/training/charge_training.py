r"""Stage 1 of a training with charges: their networks, and hardnesses, on reference charges.

.. math:: L = \frac{1}{n v c} \sum_{s, i} w_{si} (Q_{si} - Q_{si}^\mathrm{ref})^2

with the variance v of the references about the mean of their element, and c charges a structure in the mean.
In the loop, the loss and the Kalman filter charges take the place of force components.

The equations at the reference charges give the electronegativities they need, up to a constant of the
structure: their means by element are the offsets, and their spread is the scale of the networks. In the third
generation these are the means and the spread of the charges themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import ase.units
import numpy as np
import torch
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.charges import TOLERANCE
from bnnp.charges.electrostatics import ChargeModel, Electrostatics
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME as DESCRIPTORS
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.hardness import hardness_name, read_hardness
from bnnp.io.weights import demand_finite, read_weights, weights_name
from bnnp.network.dense import Network
from bnnp.network.tensors import hidden_values
from bnnp.potential.loading import draw_charge_masks
from bnnp.random import CHARGE_WEIGHTS
from bnnp.settings.settings import Settings
from bnnp.training.charge_model import (
    ChargedModel,
    ChargeEvaluator,
    ChargeObserver,
    ChargeParameters,
    ChargeVariables,
)
from bnnp.training.checkpoint import Checkpoint
from bnnp.training.initial import random_networks
from bnnp.training.loop import State, Trainer, clock
from bnnp.training.loss import Errors, Loss, Spread
from bnnp.training.methods import kalman_filter, optimizer_of
from bnnp.training.model import Dropout
from bnnp.training.normalization import ChangeOfVariables, Variables
from bnnp.training.optimizer import Optimizer
from bnnp.training.ranks import Ranks
from bnnp.training.samples import Derivatives, Interaction, MemoryBudget, Sample, Samples, Targets
from bnnp.training.statistics import unit_means
from bnnp.training.training import (
    atom_energies,
    divided,
    inputs_of,
    monitored,
    training_ranges,
    training_weights,
)
from bnnp.training.weighting import Weights

Array = NDArray[np.float64]

FITTED = 200  # structures to which offsets and scale of the electronegativities are fitted
WEIGHTS = (0.0, 1.0, 0.0)  # of energies, charges and stresses in the loss


class ChargeSamples(Samples):
    """Structures with their reference charges, (n_atoms, 1), in place of forces, and their interaction."""

    def __init__(self, electrostatics: Electrostatics, *arguments: object, threads: int = 1) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.with_forces = True
        self._electrostatics, self._threads = electrostatics, threads

    def _read(self, index: int) -> Sample:
        charges = self.file.charges
        assert charges is not None
        own = self._tensor(charges[self.file.atoms(index)][:, None])
        unknown = self._tensor(np.full(6, np.nan))
        interaction = interaction_of(self.file, self._electrostatics, index, self._threads)
        sample = super()._read(index)
        return replace(sample, energy=np.nan, forces=own, stress=unknown, interaction=interaction)


def interaction_of(
    file: DescriptorFile, electrostatics: Electrostatics, index: int, threads: int = 1
) -> Interaction:
    """The interaction of the charges of a structure; the third generation has none in its equations."""
    structure = file.structure(index)
    if not electrostatics.equilibrated:
        return Interaction(len(structure), None, structure.charge, structure.where)
    A, _ = electrostatics.interaction(structure, threads).matrices
    matrix = A / electrostatics.four_pi_epsilon
    return Interaction(len(structure), matrix, structure.charge, structure.where)


@dataclass(frozen=True, eq=False)
class ChargeTraining:
    """Stage 1 and the parts it needs, each made when it is first used.

    Parameters
    ----------
    settings : Settings
    file : DescriptorFile
    directory : Path
        Where networks to start from, and old ranges, are read.
    training, test : tuple of int
        Positions in the file.
    scalings : mapping of element to Scaling
    weights : Weights
        Of structures and atoms in the loss.
    variables : Variables
        Network inputs z; offsets and scale of the electronegativities.
    threads : int
    former : Checkpoint or None
        The interrupted training to continue.
    """

    settings: Settings
    file: DescriptorFile
    directory: Path
    training: tuple[int, ...]
    test: tuple[int, ...]
    scalings: Mapping[str, Scaling]
    weights: Weights
    variables: Variables
    threads: int = 1
    former: Checkpoint | None = None

    @classmethod
    def prepare(
        cls,
        settings: Settings,
        file: DescriptorFile,
        directory: Path,
        threads: int = 1,
        former: Checkpoint | None = None,
    ) -> ChargeTraining:
        """A training with new variables, or with those of the checkpoint it continues.

        Raises
        ------
        InputError
            A structure has no charges, or they do not add up to its total charge; or as for stage 2.
        """
        training, test = parallel.on_root(divided, file)
        parallel.on_root(demand_charges, file, [*training, *test])
        scalings = parallel.on_root(training_ranges, settings, file, directory)
        weights, _ = parallel.on_root(training_weights, settings, file, training, scalings, False)
        parts = settings, file, directory, training, test, scalings, weights
        if former is not None:
            return cls(*parts, former.variables, threads, former)
        inputs = parallel.on_root(inputs_of, settings, file, training, scalings)
        found = cls(*parts, Variables(inputs, np.zeros(len(inputs)), 1.0), threads)
        return replace(found, variables=parallel.on_root(found.fitted_variables))

    def start(self) -> State:
        """The state before the first step, or that of the checkpoint."""
        if self.former is None:
            return self.trainer.start(self.initial_weights())
        state = self.former.state
        return replace(state, optimizer=self.trainer.optimizer.state_of(state.optimizer))

    def run(self, state: State, stop: Callable[[], bool]) -> Iterator[State]:
        """The state after each epoch; see :meth:`bnnp.training.loop.Trainer.run`."""
        return self.trainer.run(state, stop)

    def initial_weights(self) -> Array:
        """Weights before training: random and initial_hardness, or those of weightse.XXX.data and
        hardness.XXX.data (``use_old_weights_charge``)."""
        networks, roots = self._random(), np.ones(self.parameters.n_roots)
        if self.settings.charges.use_old_weights_charge:
            for number, (element, change) in enumerate(self.changes.items()):
                path, shape = self.directory / weights_name(element, "weightse"), self.parameters
                architecture, n_inputs = shape.architectures[element], shape.n_inputs[element]
                plain = read_weights(path, element, architecture, n_inputs, shape.normalize_nodes)
                networks[element] = change.from_plain(plain)
                if shape.equilibrated:
                    hardness = read_hardness(self.directory / hardness_name(element), element)
                    roots[number] = np.sqrt(hardness / self._units[number])
        return np.append(self.parameters.pack(networks), roots)

    def charge_model(self, weights: Array) -> ChargeModel:
        """Networks, hardnesses and masks in the form of the files. Raises NumericalError if one is not
        finite."""
        trained = self.parameters.unpack(weights)
        networks = {element: change.to_plain(trained[element]) for element, change in self.changes.items()}
        for element, network in networks.items():
            demand_finite(network, element)
        n_weights = self.parameters.n_weights
        hardness = self.charge_variables.hardness(weights[n_weights:])
        masks = draw_charge_masks(self.settings)
        if masks is not None:
            scaled = {element: change.scaled for element, change in self.changes.items()}
            masks = masks.with_means(unit_means(self.file, self.training, networks, scaled))
        own = dict(zip(self.file.elements, hardness.tolist(), strict=True))
        return ChargeModel(networks, own if self.parameters.equilibrated else {}, masks)

    @property
    def epochs(self) -> int:
        """Number of epochs in effect."""
        return self.settings.training.n_epochs(len(self.training))

    @cached_property
    def parameters(self) -> ChargeParameters:
        """Shape of the vector of all weights and hardnesses."""
        model = self.settings.model
        assert model.electrostatics is not None
        architecture, equilibrated = model.electrostatics.architecture, model.electrostatics.equilibrated
        return ChargeParameters(architecture, model.n_inputs, model.normalize_nodes, equilibrated)

    @cached_property
    def changes(self) -> dict[str, ChangeOfVariables]:
        """Change of variables between the networks in training and those of the files, by element."""
        model, variables = self.settings.model, self.variables
        assert model.electrostatics is not None
        factor = model.electrostatics.conv_charge
        if self.parameters.equilibrated:
            factor = model.normalization.conv_energy / factor
        return {
            element: ChangeOfVariables(
                inputs=variables.inputs[element],
                scaled=self.scalings[element].affine(model.scaling),
                scale=variables.scale,
                offset=float(variables.offsets[number]),
                conv_energy=factor,
            )
            for number, element in enumerate(model.elements)
        }

    @cached_property
    def spread(self) -> Spread:
        """Spread of the reference charges, in the place of forces."""
        assert self.file.charges is not None
        atoms = np.concatenate([np.arange(*self.file.atoms(k).indices(2**62)) for k in self.training])
        charges, types = self.file.charges[atoms], self.file.types[atoms]
        parts = [charges[types == number] for number in range(len(self.file.elements))]
        variance = sum(float(((own - own.mean()) ** 2).sum()) for own in parts if len(own)) / len(charges)
        return Spread(
            1.0, variance if variance > 0.0 else 1.0, 1.0, 0.0, len(atoms) / len(self.training), 0.0
        )

    @cached_property
    def samples(self) -> ChargeSamples:
        """The structures, kept in memory up to ``memory_limit``."""
        electrostatics, memory = self.settings.model.electrostatics, self.settings.general.memory_limit
        assert electrostatics is not None
        return ChargeSamples(
            electrostatics,
            self.file,
            replace(self.variables, offsets=np.zeros(len(self.file.elements)), scale=1.0),
            Targets(atom_energies(self.settings), weights=self.weights),
            Derivatives(False),
            MemoryBudget(memory / parallel.size(), self._ranks.keeps),
            (self._dtype, "cpu"),
            threads=self.threads,
        )

    @cached_property
    def trainer(self) -> Trainer:
        """The training loop with all its parts."""
        keywords, width = self.settings.training, max(self.parameters.n_inputs.values())
        return Trainer(
            model=ChargedModel(self.parameters, self.charge_variables),
            loss=self.loss,
            optimizer=self.optimizer,
            dropout=self._dropout,
            samples=self.samples,
            evaluator=ChargeEvaluator(self.file.elements, width, self.charge_variables, threads=self.threads),
            training=self.training,
            test=self.test,
            monitored=monitored(self.training, self.test),
            criterion=partial(Errors.criterion, spread=self.spread, weights=WEIGHTS),
            seed=self.settings.general.random_seed,
            batch_size=keywords.batch_size,
            epochs=self.epochs,
            ranks=self._ranks,
            patience=keywords.early_stopping,
            rests=(self.epochs - keywords.polish_epochs,) if keywords.polish_epochs else (),
            late=clock(keywords.training_time),
        )

    @property
    def optimizer(self) -> Optimizer:
        """The method of ``optimizer``, its moving average, and the polish after it."""
        settings, keywords = self.settings, self.settings.charges
        own = settings.changed(  # a charge is an observation as a force component is
            short_force_fraction=keywords.charge_fraction,
            task_batch_size_force=keywords.task_batch_size_charge,
            short_force_group=1,
            short_force_error_threshold=0.0,
            fixed_short_force_error_threshold=0.0,
            noise_force=0.0,
            kalman_damp_force=1.0,
        )
        observer = ChargeObserver(self.parameters, self.charge_variables, self._dropout, self._dtype)
        filtered = partial(
            kalman_filter, own, self.samples, self.loss, self.spread, observer, self._ranks, per_atom=1
        )
        return optimizer_of(settings, self.parameters, len(self.training), self.epochs, filtered)

    @cached_property
    def loss(self) -> Loss:
        """The loss with its prefactors."""
        return Loss.of(self.spread, *WEIGHTS, self.settings.loss.huber_delta)

    def fitted_variables(self) -> Variables:
        """Offsets and scale of the electronegativities or charges that the reference charges need."""
        file, electrostatics = self.file, self.settings.model.electrostatics
        assert file.charges is not None
        assert electrostatics is not None
        step, n_elements = -(-len(self.training) // FITTED), len(file.elements)
        members, wanted = [], []
        for index in self.training[::step]:
            atoms = file.atoms(index)
            types, charges = file.types[atoms], file.charges[atoms]
            A = interaction_of(file, electrostatics, index, self.threads).matrix
            own = np.eye(n_elements)[types]
            if A is None:
                members.append(own)
                wanted.append(charges)
                continue
            chi = -(A @ charges + self._units[types] * charges)
            members.append(own - own.mean(axis=0))
            wanted.append(chi - chi.mean())
        x, y = np.concatenate(members), np.concatenate(wanted)
        offsets = np.linalg.lstsq(x, y, rcond=None)[0]
        spread, untrained = float(np.std(y - x @ offsets)), self._untrained_spread(self.training[::step])
        return replace(
            self.variables,
            offsets=np.asarray(offsets, dtype=np.float64),
            scale=spread / untrained if spread > 0.0 else 1.0,
        )

    def _untrained_spread(self, chosen: Sequence[int]) -> float:
        """Standard deviation of the outputs of random networks about the mean of each element."""
        squares, total = 0.0, 0
        for element, network in self._random().items():
            table = self.file.descriptors(element)
            values = np.concatenate([table[self.file.rows(index, element)] for index in chosen])
            hidden = hidden_values(network, self.variables.inputs[element].apply(values))[-1]
            outputs = hidden @ network.weights[-1][:, 0]
            squares, total = squares + float(((outputs - outputs.mean()) ** 2).sum()), total + len(outputs)
        return float(np.sqrt(squares / total)) or 1.0

    def _random(self) -> dict[str, Network]:
        return random_networks(self.settings, self.parameters, CHARGE_WEIGHTS)

    @property
    def _units(self) -> Array:
        """Hardness before the first step, (n_elements,)."""
        given = dict(self.settings.charges.initial_hardness)
        default = ase.units.Hartree / self.settings.model.units.ev
        return np.array([given.get(element, default) for element in self.file.elements])

    @property
    def charge_variables(self) -> ChargeVariables:
        """From outputs of the networks and roots to the equations of the charges."""
        variables, equilibrated = self.variables, self.parameters.equilibrated
        return ChargeVariables(variables.scale, variables.offsets, self._units, equilibrated)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32 if self.settings.training.precision == "single" else torch.float64

    @property
    def _ranks(self) -> Ranks:
        return Ranks(parallel.rank(), parallel.size(), parallel.sum_array)

    @property
    def _dropout(self) -> Dropout:
        return Dropout(self.settings.general.random_seed, (0.0,), 1)


def demand_charges(file: DescriptorFile, chosen: Sequence[int]) -> None:
    """Raise InputError unless these structures have charges that add up to their total charge."""
    if file.charges is None or file.charge is None:
        raise InputError(
            f"{DESCRIPTORS}: has no charges, as input.nn did not ask for any when mode 1 made it: run mode 1 "
            "again"
        )
    for index in chosen:
        own, total = file.charges[file.atoms(index)], float(file.charge[index])
        where = f"{DESCRIPTORS}, structure {int(file.source[index]) + 1} of input.data"
        if not np.isfinite(own).all():
            raise InputError(
                f"{where}: has no charges (the fifth number of its `atom` lines is 0 everywhere), on which "
                "their networks are trained. Add them to input.data, or remove the structure, and run mode 1 "
                "again; or write `train_charges joint`, which learns charges from energies and forces."
            )
        if abs(own.sum() - total) > TOLERANCE:
            raise InputError(
                f"{where}: the charges of the atoms add up to {own.sum():.4f}, but its line `charge` says "
                f"{total:g}. Correct one of them, and run mode 1 again."
            )
