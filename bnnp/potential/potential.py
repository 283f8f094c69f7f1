r"""The potential: energy, forces and stress of a structure, each with its standard deviation.

.. math::
    E = \sum_i \left[ \mathrm{net}_{X_i}(G_i) / c + m + E^0_{X_i} \right] + E_\mathrm{base}, \quad
    F_i = \sum_{p: i \to j} \frac{\partial E}{\partial D_p}
        - \sum_{p: j \to i} \frac{\partial E}{\partial D_p}, \quad
    \sigma = \frac{1}{V} \sum_p D_p \otimes \frac{\partial E}{\partial D_p}

with the scaled symmetry functions G_i, the vectors D_p of the neighbor pairs, the mean m and factor c of
n2p2's normalization (else 0 and 1), the free-atom energies E0, and the baseline, if there is one: repulsion
of close atoms, energy of fixed charges. With networks of charges see :mod:`bnnp.potential.charged`. Energy,
forces and stress are means over the S Monte Carlo samples, and the standard deviations, with S - 1, are those
of the total values (M. Wen, E. B. Tadmor, npj Comput. Mater. 6, 124 (2020)). If only mean forces are needed,
one reverse sweep with the mean dE/dG gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.descriptors.pairs import stress_of_pairs, sum_pairs, virials_of_pairs
from bnnp.descriptors.scaling import Affine, Scaling
from bnnp.errors import InputError, NumericalError
from bnnp.io.scaling_data import ScalingData
from bnnp.messages import count
from bnnp.model import Model
from bnnp.network.compiled import Networks
from bnnp.potential.member import Member, Options
from bnnp.prediction import Estimate, Prediction, SamplePredictions
from bnnp.structure import VOIGT, Structure
from bnnp.uncertainty.calibration import Calibration
from bnnp.uncertainty.ensemble import Committee, Sampler
from bnnp.uncertainty.extrapolation import TOLERANCE
from bnnp.uncertainty.hybrid import LastLayer, SigmaParts, distances
from bnnp.uncertainty.training_statistics import TrainingStatistics, probes
from bnnp.units import Normalization, Units

if TYPE_CHECKING:
    from bnnp.charges.electrostatics import ChargedEnergies
    from bnnp.charges.equilibration import ChargeEquations
    from bnnp.potential.charged import ChargedMember

Array = NDArray[np.float64]
Types = NDArray[np.int32]
ChargeStarts = dict[tuple[str, int], dict[str, Array]]  # solutions of the equations of charges, by network


@dataclass(frozen=True, eq=False)
class Potential:
    """Symmetry functions and networks; see the module for the equations. It can be pickled and copied.

    Parameters
    ----------
    model : Model
    members : tuple of Member
        One, or those of an ensemble, which have the same inputs.
    scalings : ScalingData or None
        Training ranges of the symmetry functions; None only if they are not scaled.
    calibration : Calibration or None
        From raw to calibrated standard deviations; set to None if there is only one sample.
    statistics : mapping of str to TrainingStatistics or None
        Of the training atoms, by element; with `scalings` they give the last-layer and distance parts of a
        hybrid calibration. Set to None if there is only one sample.
    options : Options
    spread_factor : float or None
        Calibrated over raw standard deviation of the energy far from the calibration set, by the calibration
        of the samples alone (kind ``mc``), for :mod:`bnnp.potential.sigma_gradient`.
    deviation_factor : float
        The same of the forces, root mean square over the elements; 1 without. Deviations of the samples from
        their mean, times this, have the size of errors. Curvatures of the energy, and averages over a
        trajectory, depend on what a sample does to forces, so that this is their factor, too.

    Raises
    ------
    InputError
        Torch has no such device.
    """

    model: Model
    members: tuple[Member, ...]
    scalings: ScalingData | None = None
    calibration: Calibration | None = None
    statistics: Mapping[str, TrainingStatistics] | None = None
    options: Options = Options()
    spread_factor: float | None = None
    deviation_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.options.device != "cpu":
            from bnnp.descriptors.device import demand_device

            demand_device(self.options.device)
        if self.samples < 2:
            object.__setattr__(self, "calibration", None)
            object.__setattr__(self, "statistics", None)

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: without the objects of the C++ core, which are built again when needed."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def with_options(self, **changes: Any) -> Potential:
        """A copy with other options (:class:`bnnp.potential.member.Options`)."""
        return replace(self, options=replace(self.options, **changes))

    def member(self, sample: int) -> Potential:
        """The potential of one sample, from 0, without standard deviations. With centered masks and a
        calibration it deviates from the network it is drawn from by the size of errors (`deviation_factor`,
        to first order), but a potential with networks of charges by the raw deviation.

        Raises
        ------
        IndexError
            There is no such sample.
        """
        if not 0 <= sample < self.samples or self.samples == 1:
            raise IndexError(f"sample {sample} of a potential with {count(self.samples, 'sample')}")
        number = int(np.searchsorted(np.cumsum(self.sizes), sample, side="right"))
        member = self.members[number].only(sample - sum(self.sizes[:number]), self.deviation_factor)
        return replace(self, members=(member,))

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Sorted by atomic number."""
        return self.model.elements

    @property
    def units(self) -> Units:
        """Units of all arguments and results."""
        return self.model.units

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Monte Carlo samples of each member."""
        return tuple(member.samples for member in self.members)

    @property
    def samples(self) -> int:
        """Monte Carlo samples of all members; 1 for a plain network."""
        return sum(self.sizes)

    @property
    def resample(self) -> bool:
        """Whether new masks are drawn for every structure."""
        return self.options.resample and self.members[0].masks is not None

    @property
    def kernel(self) -> str:
        """Instruction set of the core, or the device of torch."""
        return self.descriptor.kernel

    def describe_std(self) -> str:
        """Description of the standard deviations for headers; empty without samples."""
        if self.samples < 2:
            return ""
        if self.calibration is None:
            return f"raw (uncalibrated), {self.describe_raw()}"
        return self.calibration.describe(self.elements)

    def describe_raw(self) -> str:
        """Description of the raw standard deviations."""
        several = f"{count(len(self.members), 'network')}, " if len(self.members) > 1 else ""
        return f"{several}{self.samples} Monte Carlo samples"

    @cached_property
    def descriptor(self) -> Descriptor:
        """The symmetry functions, ready to be computed."""
        options = self.options
        return self.model.descriptor(options.threads, options.device, options.single)

    @cached_property
    def samplers(self) -> Sampler:
        """The networks and their samples, ready to be computed."""
        return self._sampler(self.members)

    @cached_property
    def inputs(self) -> Affine:
        """Scaling of the symmetry functions: shift, factor and offset, each (n_elements, width)."""
        shape = (len(self.elements), self.descriptor.width)
        found = Affine(np.zeros(shape), np.ones(shape), np.zeros(shape))
        for row, element in enumerate(self.elements):
            if (scaling := self.scaling(element)) is not None:
                own, n = scaling.affine(self.model.scaling), len(scaling)
                found.shift[row, :n], found.factor[row, :n] = own.shift, own.factor
                found.offset[row, :n] = own.offset
        return found

    def scaling(self, element: str) -> Scaling | None:
        """Training ranges of the symmetry functions of an element, if there are any."""
        return None if self.scalings is None else self.scalings.scalings[element]

    @cached_property
    def training_ranges(self) -> tuple[Array, Array]:
        """Smallest and largest symmetry functions of the training set, with n2p2's tolerance.

        Each (n_elements, width); infinite without scaling.data.
        """
        lower = np.full((len(self.elements), self.descriptor.width), -np.inf)
        upper = -lower
        for row, element in enumerate(self.elements):
            if (scaling := self.scaling(element)) is not None:
                lower[row, : len(scaling)] = scaling.minimum - TOLERANCE
                upper[row, : len(scaling)] = scaling.maximum + TOLERANCE
        return lower, upper

    def types(self, structure: Structure) -> Types:
        """Element index of each atom, (n_atoms,) int32; InputError for an element not in the model."""
        types = self._index[structure.numbers]
        if (types < 0).any():
            numbers = set(structure.numbers[types < 0].tolist())
            unknown = sorted(chemical_symbols[number] for number in numbers)
            raise InputError(
                f"{structure.where}: element {', '.join(unknown)} is not in this potential, which knows "
                f"{' '.join(self.elements)}. Remove the structure or train with this element."
            )
        return types

    def neighbors(self, structure: Structure) -> NeighborList:
        """Neighbor list within the largest cutoff."""
        radius, threads = self.descriptor.radius, self.options.threads
        return find_neighbors(
            structure.positions, structure.cell, radius, structure.numbers, threads, structure.pbc
        )

    def scaled(self, types: Types, descriptors: Array) -> Array:
        """Network inputs, (n_atoms, width), from unscaled symmetry functions."""
        inputs = self.inputs
        return (descriptors - inputs.shift[types]) * inputs.factor[types] + inputs.offset[types]

    def predict(
        self,
        structure: Structure,
        forces: bool = True,
        stress: bool = True,
        sigma: bool = True,
        pairs: NeighborList | None = None,
        virials: bool = False,
        starts: ChargeStarts | None = None,
    ) -> Prediction:
        """Energy, forces and stress with their standard deviations.

        Parameters
        ----------
        structure : Structure
        forces, stress : bool
            Whether to compute them; a structure without a cell has no stress.
        sigma : bool
            Whether to compute the standard deviations of forces and stress; that of the energy always is.
        pairs : NeighborList, optional
            Pairs of the structure within the largest cutoff, if they are already known.
        virials : bool
            Whether to compute those of the atoms.
        starts : dict, optional
            What the charges of many atoms start from, that of the last call in a trajectory; an empty one at
            its beginning. It saves time, and changes results within the precision of the charges only.

        Raises
        ------
        InputError, NumericalError
            Unknown element; coinciding atoms; a result that is not finite.
        """
        types = self.types(structure)
        pairs = self.neighbors(structure) if pairs is None else pairs
        self._check_distances(structure, pairs)
        volume = structure.volume if stress else None
        slopes: Array | None = None  # dE/dD of the mean
        if virials and self.model.charged:
            self._refuse_charges(structure, "virials of the atoms, and so a heat flux,")
        if self.model.electrostatics is not None:
            descriptors, energies, found = self._with_charges(
                structure, types, pairs, forces, volume, sigma, {} if starts is None else starts
            )
        else:
            descriptors, energies, found, slopes = self._short_range(
                structure, types, pairs, forces, volume, sigma, virials
            )
        known = self.model.baseline(structure, pairs, self.options.threads)
        energies = energies + known.energies[:, None]
        self._check_finite(structure, energies)
        added = {"forces": known.forces, "stress": known.virial[VOIGT] / (volume or np.inf)}
        for name in added.keys() & found.keys():
            found[name] = replace(found[name], value=found[name].value + added[name])
        if known.charges is not None:
            found["charges"] = Estimate(known.charges)
        free = self._free[types]
        totals = energies.sum(axis=0)
        energy = Estimate.of(totals, self.sizes).plus(float(free.sum()))
        atoms = Estimate.of(energies, self.sizes)
        raw = Prediction(
            energy, atoms, found.get("forces"), found.get("stress"), descriptors, free, found.get("charges")
        )
        if virials and slopes is not None:
            slopes = slopes if known.slopes is None else slopes + known.slopes
            raw = replace(raw, virials=virials_of_pairs(pairs, slopes))
        if self.samples < 2:
            return raw
        raw = replace(raw, parts=self._parts(raw, types, pairs, volume), samples=totals + free.sum())
        return raw if self.calibration is None else raw.calibrated(self.calibration, structure.symbols)

    def _short_range(
        self,
        structure: Structure,
        types: Types,
        pairs: NeighborList,
        forces: bool,
        volume: float | None,
        sigma: bool,
        virials: bool,
    ) -> tuple[Array, Array, dict[str, Estimate[Array]], Array | None]:
        """Symmetry functions, atomic energies of all samples (n_atoms, S), forces and stress, and dE/dD of
        the mean if that is needed."""
        core = self._redrawn(structure.index) if self.resample else self.samplers
        derivatives = forces or volume is not None
        sampled = sigma and derivatives and self.samples > 1
        fielded = virials or (derivatives and not sampled)
        normalization = self.model.normalization
        factors = self.inputs.factor / normalization.conv_energy  # dE/dG in units of the potential
        slopes = delta = None
        if fielded:
            descriptors, energies, slopes = self._mean_field(core, types, pairs, factors)
        else:
            descriptors = self.descriptor.values(types, pairs)
        if sampled or not fielded:
            energies, _, delta = core.sample(types, self.scaled(types, descriptors), False, sampled)
        energies = self._in_units(energies)
        found: dict[str, Estimate[Array]] = {}
        if sampled:
            samples, virial = core.forces(self.descriptor, types, pairs, factors, delta)
            if forces:
                found["forces"] = Estimate.of(samples, self.sizes)
            if volume is not None:
                found["stress"] = Estimate.of(virial[VOIGT] / volume, self.sizes)
        elif slopes is not None:
            if forces:
                found["forces"] = Estimate(sum_pairs(pairs, slopes))
            if volume is not None:
                found["stress"] = Estimate(stress_of_pairs(pairs, slopes, volume))
        return descriptors, energies, found, slopes

    def _with_charges(
        self,
        structure: Structure,
        types: Types,
        pairs: NeighborList,
        forces: bool,
        volume: float | None,
        sigma: bool,
        starts: ChargeStarts,
    ) -> tuple[Array, Array, dict[str, Estimate[Array]]]:
        """As :meth:`_short_range`, with the charges of the atoms: each sample has its own."""
        assert self.model.electrostatics is not None
        derivatives = forces or volume is not None
        descriptors = self.descriptor.values(types, pairs)
        coulomb = self.model.electrostatics.products(structure, self.options.threads)
        solvers: dict[bytes, ChargeEquations] = {}
        parts = structure, types, pairs, descriptors, coulomb

        def evaluated(networks: Sequence[ChargedMember], derivatives: bool, name: str) -> dict[str, Array]:
            found = [
                each.evaluate(*parts, derivatives, solvers, starts.setdefault((name, number), {}))
                for number, each in enumerate(networks)
            ]
            return _stacked(found, volume)

        sampled = derivatives and (sigma or not self._centered)
        samples = evaluated(self._redrawn_charged(structure.index), sampled, "samples")
        if self._centered:  # their mean is the plain network, whose forces cost one evaluation
            for name, own in evaluated(self._charged, derivatives, "plain").items():
                spread = samples[name] - _means(samples[name], self.sizes)
                samples[name] = np.repeat(own, self.sizes, axis=-1) + spread
        energies = samples.pop("energies")
        found = {name: Estimate.of(each, self.sizes) for name, each in samples.items()}
        if not sigma:
            found |= {name: Estimate(found[name].value) for name in found.keys() - {"charges"}}
        wanted = {"charges", *["forces"] * forces, *["stress"] * (volume is not None)}
        return descriptors, energies, {name: found[name] for name in wanted}

    @property
    def _centered(self) -> bool:
        """Whether the mean over the samples is the plain network."""
        masks = self.members[0].masks
        return masks is not None and masks.centered

    def _redrawn_charged(self, evaluation: int) -> Sequence[ChargedMember]:
        """All samples, with new masks for every structure if these are redrawn."""
        return self._charged_samples(evaluation) if self.resample else self._frozen_charged

    @cached_property
    def _frozen_charged(self) -> Sequence[ChargedMember]:
        """All samples with their frozen masks."""
        plain = all(member.masks is None for member in self.members)
        return self._charged if plain else self._charged_samples(None)

    def _charged_samples(self, evaluation: int | None) -> Sequence[ChargedMember]:
        """All samples, with frozen masks or those of one `evaluation`."""
        members = self.members if evaluation is None else [x.redrawn(evaluation) for x in self.members]
        return self._with_electrostatics([x.only(sample) for x in members for sample in range(x.samples)])

    def charge_responses(self, structure: Structure, pairs: NeighborList) -> Array:
        """Derivatives of the charges of one network, (3 n_atoms + 6, n_atoms) float64:
        :meth:`ChargedMember.responses`."""
        assert self.model.electrostatics is not None
        types = self.types(structure)
        coulomb = self.model.electrostatics.interaction(structure, self.options.threads)
        values = self.descriptor.values(types, pairs)
        return self._charged[0].responses(structure, types, pairs, values, coulomb)

    @cached_property
    def _charged(self) -> tuple[ChargedMember, ...]:
        """The networks of each member with charges, without masks."""
        return self._with_electrostatics([replace(member, masks=None) for member in self.members])

    def _with_electrostatics(self, members: Sequence[Member]) -> tuple[ChargedMember, ...]:
        """`members` with charges."""
        from bnnp.potential.charged import ChargedMember

        parts = self.model, self.descriptor, self.inputs, self.options.threads
        return tuple(ChargedMember(member, *parts) for member in members)

    def by_sample(self, structure: Structure) -> SamplePredictions:
        """Energy, forces and stress of every frozen sample, at two to three times the cost of the mean.

        Neighbors and symmetry functions are those of all samples. A plain network is one sample.

        Raises
        ------
        InputError, NumericalError
            As :meth:`predict`.
        """
        if self.model.electrostatics is not None:
            self._refuse_charges(structure, "energies and forces of every sample")
        types, pairs = self.types(structure), self.neighbors(structure)
        self._check_distances(structure, pairs)
        inputs, volume = self.scaled(types, self.descriptor.values(types, pairs)), structure.volume
        energies, _, delta = self.samplers.sample(types, inputs, False, True)
        known = self.model.baseline(structure, pairs, self.options.threads)
        energies = self._in_units(energies) + known.energies[:, None]
        self._check_finite(structure, energies)
        factors = self.inputs.factor / self.model.normalization.conv_energy
        forces, virial = self.samplers.forces(self.descriptor, types, pairs, factors, delta)
        forces = forces + known.forces[..., None]
        stress = None if volume is None else (virial[VOIGT] + known.virial[VOIGT][:, None]) / volume
        return SamplePredictions(energies.sum(axis=0) + self._free[types].sum(), forces, stress)

    def _refuse_charges(self, structure: Structure, what: str) -> None:
        raise InputError(f"{structure.where}: there are no {what} with a potential that has charges")

    def _in_units(self, outputs: Array) -> Array:
        """Atomic energies from network outputs, both (n_atoms, S)."""
        normalization = self.model.normalization
        if normalization == Normalization():
            return outputs
        return outputs / normalization.conv_energy + normalization.mean_energy

    def _mean_field(
        self, core: Sampler, types: Types, pairs: NeighborList, factors: Array
    ) -> tuple[Array, Array, Array]:
        """Symmetry functions, network outputs of all samples (n_atoms, S), and dE/dD of the mean energy."""
        if isinstance(core, Networks) and isinstance(self.descriptor, Descriptor):
            inputs = self.inputs
            scaling = (inputs.shift, inputs.factor, inputs.offset)
            return core.mean_field(self.descriptor, types, pairs, scaling, factors)
        descriptors = self.descriptor.values(types, pairs)
        energies, gradient, _ = core.sample(types, self.scaled(types, descriptors))
        return descriptors, energies, self.descriptor.vjp(types, pairs, gradient * factors[types])

    def _parts(self, raw: Prediction, types: Types, pairs: NeighborList, volume: float | None) -> SigmaParts:
        """Standard deviation of the samples and, with training statistics, last-layer and distance parts."""
        forces = None if raw.forces is None else raw.forces.raw
        stress = None if raw.stress is None else raw.stress.raw
        assert raw.energy.raw is not None
        parts = SigmaParts.of_samples(raw.energy.raw / len(types), forces, stress)
        if self._last_layer is None or self.statistics is None or self.scalings is None:
            return parts
        derivatives = forces is not None or stress is not None
        inputs = self.scaled(types, raw.descriptors)
        last = self._last_layer.parts(types, pairs, inputs, derivatives, volume)
        scalings, radius = self.scalings.scalings, self.descriptor.radius
        known = self.elements, self.statistics, scalings
        return parts.joined(last, distances(raw.descriptors, types, *known, pairs, radius))

    @cached_property
    def _last_layer(self) -> LastLayer | None:
        """Networks that differ only in the last layer; None without training statistics."""
        if self.statistics is None:
            return None
        networks, masks = probes(self.statistics, self.members[0].networks, self.elements)
        sampler = Networks(self.elements, networks, self.descriptor.width, masks, self.options.threads)
        return LastLayer(sampler, self.descriptor, self.inputs.factor, self.statistics, self.elements)

    @cached_property
    def _index(self) -> Types:
        """Element index by atomic number, -1 for unknown ones."""
        index = np.full(len(chemical_symbols), -1, dtype=np.int32)
        index[[atomic_numbers[element] for element in self.elements]] = range(len(self.elements))
        return index

    @cached_property
    def _free(self) -> Array:
        """Free-atom energies, (n_elements,)."""
        return np.array([self.model.atom_energies.get(element, 0.0) for element in self.elements])

    def _redrawn(self, evaluation: int) -> Sampler:
        """The networks with new masks for one evaluation."""
        return self._sampler(tuple(member.redrawn(evaluation) for member in self.members))

    def _sampler(self, members: tuple[Member, ...]) -> Sampler:
        """The networks of these members in the C++ core."""
        elements, width, threads = self.elements, self.descriptor.width, self.options.threads
        found: list[Sampler] = []
        for member in members:
            masks = member.masks
            factors = None if masks is None else {element: masks.scaled(element) for element in elements}
            means, centered = ({}, False) if masks is None else (masks.means, masks.centered)
            found.append(Networks(elements, member.networks, width, factors, threads, means, centered))
        return found[0] if len(found) == 1 else Committee(found)

    def _check_distances(self, structure: Structure, pairs: NeighborList) -> None:
        """Raise NumericalError for atoms that are closer than the option `closest`."""
        closest = self.options.closest
        if len(pairs) == 0 or closest <= 0.0:
            return
        x, y, z = pairs.vectors.T
        squares = x * x + y * y + z * z
        pair = int(np.argmin(squares))
        distance = float(np.sqrt(squares[pair]))
        if distance < closest:
            first, second = pairs.centers[pair] + 1, pairs.neighbors[pair] + 1
            raise NumericalError(
                f"{structure.where}: atoms {first} and {second} are {distance:.4g} {self.units.length} "
                f"apart, less than bond_threshold {closest:g}. Check positions, cell and units."
            )

    def _check_finite(self, structure: Structure, energies: Array) -> None:
        """Raise NumericalError for the first atom whose energy, (n_atoms, S), is not finite."""
        if not np.isfinite(energies.sum()):
            bad = ~np.isfinite(energies).all(axis=1)
            atom = int(np.argmax(bad))
            raise NumericalError(
                f"{structure.where}: the energy of atom {atom + 1} ({structure.symbols[atom]}) is not "
                "finite. Its environment may be far outside the training set, or a function overflows."
            )


def _stacked(found: Sequence[ChargedEnergies], volume: float | None) -> dict[str, Array]:
    """Atomic energies and charges (n_atoms, n), forces (n_atoms, 3, n) and stress (6, n) of n networks."""
    return {
        "energies": np.stack([each.energies for each in found], axis=-1),
        "charges": np.stack([each.charges for each in found], axis=-1),
        "forces": np.stack([each.forces for each in found], axis=-1),
        "stress": np.stack([each.virial[VOIGT] / (volume or np.inf) for each in found], axis=-1),
    }


def _means(samples: Array, sizes: Sequence[int]) -> Array:
    """Means over the samples of each member, repeated for each of them, (..., S)."""
    parts = np.split(samples, np.cumsum(sizes)[:-1], axis=-1)
    means = np.stack([part.mean(axis=-1) for part in parts], axis=-1)
    return np.repeat(means, sizes, axis=-1)
