"""A training with ``train_charges joint``: charges as hidden outputs, fitted with the energies.

The networks of the charges and those of the energy are trained together on energies, forces and stresses; no
reference charges are needed. Charges begin with half the difference of Pauling's electronegativities to the
mean of the structure, and random networks: at zero charges the energy would not depend on them. The sign of
all together, which energies of neutral structures do not tell, is that of chemistry, or of the dipole moments
or Born charges of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import ase.units
import numpy as np
import torch
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.charges.electronegativity import PAULING, UNKNOWN
from bnnp.charges.electrostatics import ChargeModel
from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.scaling import Affine
from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME as DESCRIPTORS
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.messages import count
from bnnp.settings.settings import Settings
from bnnp.training.charge_training import ChargeTraining
from bnnp.training.charges import TrainedCharges
from bnnp.training.checkpoint import Checkpoint
from bnnp.training.joint_model import (
    ElectrostaticMatrices,
    JointEvaluator,
    JointLoss,
    JointModel,
    JointObserver,
    JointParameters,
    JointSamples,
)
from bnnp.training.normalization import Variables
from bnnp.training.samples import Batch, Samples
from bnnp.training.training import (
    Training,
    divided,
    inputs_of,
    training_ranges,
    training_set,
    variables_of,
)
from bnnp.training.weighting import Weights

Array = NDArray[np.float64]

HALF = 0.5  # e for a difference of 1 in Pauling's electronegativity
SPREAD = 0.1  # e: outputs of order 1 change a charge by so much


@dataclass(frozen=True, eq=False)
class JointTraining(Training):
    """One training of charges and energies together.

    Parameters
    ----------
    of_charges : ChargeTraining
        Networks and hardnesses of the charges before the first step; its own training is not used.
    """

    of_charges: ChargeTraining = field(kw_only=True)

    @classmethod
    def begin(
        cls,
        settings: Settings,
        file: DescriptorFile,
        directory: Path,
        descriptor: Descriptor,
        former: Checkpoint | None = None,
    ) -> JointTraining:
        """A training with new variables, or with those of the checkpoint it continues.

        Raises
        ------
        InputError
            As :func:`bnnp.training.training.training_set` and :func:`demand_moments`.
        """
        training, test = parallel.on_root(divided, file)
        parallel.on_root(demand_moments, settings, file, [*training, *test])
        ranges = parallel.on_root(training_ranges, settings, file, directory)
        inputs: Mapping[str, Affine]
        if former is None:
            inputs = parallel.on_root(inputs_of, settings, file, training, ranges)
        else:
            inputs = _of_functions(former.variables, settings.model.charge_input).inputs
        start, threads = _variables(settings, inputs), descriptor.threads
        weights = Weights.of(file, {})
        of_charges = ChargeTraining(
            settings, file, directory, training, test, ranges, weights, start, threads
        )
        model = of_charges.charge_model(of_charges.initial_weights())
        charges = TrainedCharges(file, settings.model, model, ranges, threads)
        if _opposite(charges.values, file, training):
            start = replace(start, offsets=-start.offsets)
            of_charges = replace(of_charges, variables=start)
            model = of_charges.charge_model(of_charges.initial_weights())
            charges = TrainedCharges(file, settings.model, model, ranges, threads)
        data = parallel.on_root(training_set, settings, file, directory, charges)
        if settings.ensemble.ensemble_bootstrap:
            data = data.resampled(settings.general.random_seed)
        variables = None if former is None else former.variables
        if variables is None:
            known = replace(data, charges=charges)
            variables = parallel.on_root(variables_of, settings, file, known, descriptor)
        parts = settings, file, directory, descriptor, data, variables
        return cls(*parts, former=former, of_charges=of_charges)

    def initial_weights(self) -> Array:
        """Weights before training: those of the energy, then those of the charges."""
        return np.concatenate([super().initial_weights(), self.of_charges.initial_weights()])

    def charges_of(self, weights: Array) -> TrainedCharges:
        """Charges of all structures; every rank calls this."""
        data, threads = self.data, self.descriptor.threads
        model = self.charge_model(weights)
        return TrainedCharges(self.file, self.settings.model, model, data.scalings, threads)

    def charge_model(self, weights: Array) -> ChargeModel:
        """What gives the charges."""
        return self.of_charges.charge_model(weights[self.parameters.n_short :])

    def charge_inputs(self, weights: Array) -> Array | None:
        """Charges of all atoms of the file, (N,) float64, e, if they are inputs of the networks; every rank
        calls this."""
        return self.charges_of(weights).inputs if self.settings.model.charge_input else None

    def moment_errors(self, weights: Array, indices: Sequence[int]) -> tuple[float, float]:
        """Root mean square errors of the components of dipole moments (e length) and Born charges (e) of some
        structures; NaN where there are none. Every rank calls this."""
        sums, vector = np.zeros((2, 2)), torch.from_numpy(weights).to(self._dtype)
        for index in self._ranks.share(indices):
            sample = self.samples[index]
            each = sample.interaction
            assert isinstance(each, ElectrostaticMatrices)
            if not torch.isfinite(each.dipole).any() and each.born_charges is None:
                continue
            found = self.trained_model(vector, Batch.of([sample]), {})[3]
            pairs = [(found.dipoles[0], each.dipole)]
            if each.born_charges is not None and found.born_charges[0] is not None:
                pairs.append((found.born_charges[0], each.born_charges))
            for place, (own, reference) in enumerate(pairs):
                errors = (own.detach() - reference)[torch.isfinite(reference)]
                sums[place] += errors.numel(), float(errors.square().sum())
        parallel.sum_array(sums)
        with np.errstate(invalid="ignore"):
            dipole, born_charge = np.sqrt(sums[:, 1] / sums[:, 0]).tolist()
        return dipole, born_charge

    @cached_property
    def parameters(self) -> JointParameters:
        """Shape of the vector of all weights."""
        short = super().parameters
        return JointParameters(
            short.architectures,
            short.n_inputs,
            short.normalize_nodes,
            of_charges=self.of_charges.parameters,
        )

    @cached_property
    def trained_model(self) -> JointModel:
        """From the weights and a batch to energies and forces."""
        model, n_inputs = JointModel.like(super().trained_model), self.settings.model.n_inputs
        model.scale, model.variables = self.variables.scale, self.of_charges.charge_variables
        model.charge_inputs, model.descriptor = {}, self.descriptor
        if self.settings.model.charge_input:
            model.charge_inputs = {
                x: Affine(z.shift[n_inputs[x] :], z.matrix[n_inputs[x] :, n_inputs[x] :], np.zeros(1))
                for x, z in self.variables.inputs.items()
            }
        return model

    @cached_property
    def loss(self) -> JointLoss:
        """The loss with its prefactors; those of moments from their mean squares over the training set."""
        loss, file, training = super().loss, self.file, list(self.data.training)
        atoms = np.concatenate([np.arange(*file.atoms(k).indices(2**62)) for k in training])
        weight = self.settings.charges.dipole_weight
        prefactors = []
        for values in (
            file.dipole[training],
            file.born_charges[:][atoms] if self.data.forces else np.empty(0),
        ):
            total = float(np.nansum(values**2))  # v c n
            prefactors.append(weight * len(training) / total if total > 0.0 else 0.0)
        return JointLoss(**vars(loss), dipole=prefactors[0], born_charge=prefactors[1])

    @property
    def network_inputs(self) -> Variables:
        """The variables without the charge, which the model adds."""
        return _of_functions(self.variables, self.settings.model.charge_input)

    @property
    def evaluator(self) -> JointEvaluator:
        """Of the prediction: the plain networks."""
        return JointEvaluator(self.trained_model)

    @property
    def observer(self) -> JointObserver:
        """What gives the rows of a Kalman filter."""
        return JointObserver(self.trained_model, self._dtype)

    @property
    def _samples(self) -> Callable[..., Samples]:
        electrostatics = self.settings.model.electrostatics
        assert electrostatics is not None
        return partial(JointSamples, electrostatics, threads=self.descriptor.threads)


def demand_moments(settings: Settings, file: DescriptorFile, chosen: Sequence[int]) -> None:
    """Raise InputError unless the dipole moments and Born charges of these structures can be trained on."""
    if file.charge is None:
        raise InputError(
            f"{DESCRIPTORS}: has no total charges, as input.nn did not ask for any when mode 1 made it: run "
            "mode 1 again"
        )
    model = settings.model
    assert model.electrostatics is not None
    undefined: list[str] = []
    for index in chosen:
        where = f"{DESCRIPTORS}, structure {int(file.source[index]) + 1} of input.data"
        if np.isfinite(file.dipole[index]).any():
            if file.periodic_cell(index) is not None:
                reason = "is periodic, where a dipole moment is not defined (Born charges are)"
                undefined.append(f"{where}, {reason}")
            elif charge := file.charge[index]:
                reason = f"has the total charge {charge:g}, so that its dipole moment depends on the origin"
                undefined.append(f"{where}, {reason}")
        if model.electrostatics.equilibrated and np.isfinite(file.born_charges[file.atoms(index)]).any():
            raise InputError(
                f"{where}: has Born charges, which are trained with `nnp_type 3G-HDNNP` only. Remove "
                "`born_charges=` of its comment and run mode 1 again, or change the generation."
            )
    if undefined:
        raise InputError(
            f"{count(len(undefined), 'structure')} cannot be trained on with a dipole moment. The first, "
            f"{undefined[0]}. Remove `dipole=` of such comments, and run mode 1 again."
        )


def _variables(settings: Settings, inputs: Mapping[str, Affine]) -> Variables:
    """Inputs, offsets and scale of the networks of the charges before the first step.

    Electronegativities have the same numbers, in the unit of the hardness, which is one hartree.
    """
    model = settings.model
    assert model.electrostatics is not None
    chi = np.array([PAULING.get(element, UNKNOWN) for element in model.elements])
    if not model.electrostatics.equilibrated:
        return Variables(inputs, -HALF * chi, SPREAD)
    hartree = ase.units.Hartree / model.units.ev
    return Variables(inputs, HALF * chi * hartree, SPREAD * hartree)


def _opposite(charges: Array, file: DescriptorFile, training: Sequence[int]) -> bool:
    """Whether dipole moments, or without any Born charges, say that all charges have the opposite sign."""
    dipoles = born_charges = 0.0
    for index in training:
        own, atoms = charges[file.atoms(index)], file.atoms(index)
        dipoles += float(np.nan_to_num(file.dipole[index] @ (own @ file.positions[atoms])))
        traces = np.trace(file.born_charges[atoms], axis1=1, axis2=2)
        born_charges += float(np.nan_to_num(own @ traces))
    return (dipoles or born_charges) < 0.0


def _of_functions(variables: Variables, charged: bool) -> Variables:
    """The variables without the charge as an input, which is the last if they have it."""
    if not charged:
        return variables
    inputs = {x: Affine.mixing(z.shift[:-1], z.matrix[:-1, :-1]) for x, z in variables.inputs.items()}
    return replace(variables, inputs=inputs)
