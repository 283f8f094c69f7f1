r"""The potential: a structure to its energy, forces, stress, and the standard deviation of each.

.. math::
    E = \sum_i \left[ \mathrm{net}_{X_i}(G_i) / c + m + E^0_{X_i} \right], \quad
    F_i = \sum_{p: i \to j} \frac{\partial E}{\partial D_p}
        - \sum_{p: j \to i} \frac{\partial E}{\partial D_p}, \quad
    \sigma = \frac{1}{V} \sum_p D_p \otimes \frac{\partial E}{\partial D_p}

with the scaled symmetry functions G_i, the displacement vectors D_p of the neighbour pairs, n2p2's
normalisation (mean m, factor c; 0 and 1 otherwise) and the free-atom energies E0. With masks, energies,
forces and stress are means over the samples (one reverse sweep with the mean of dE/dG, where the forces of
every sample are not asked for) and the standard deviations are those of the totals, with S - 1 (M. Wen, E. B.
Tadmor, npj Comput. Mater. 6, 124 (2020)).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.device import descriptor_on
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.descriptors.pairs import sum_pairs
from bnnp.descriptors.scaling import Scaling, ScalingScheme
from bnnp.errors import InputError, NumericalError
from bnnp.io.scaling_data import ScalingData
from bnnp.network.compiled import Networks
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.prediction import Prediction
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration
from bnnp.uncertainty.domain import Domain, probes
from bnnp.uncertainty.ensemble import Committee, Deviation, Sampler
from bnnp.uncertainty.hybrid import VOIGT, LastLayer, Parts, distances
from bnnp.units import ATOMIC, Units

Array = NDArray[np.float64]

UNSCALED = ScalingScheme("none")
ARGUMENTS = (  # of the constructor of a potential
    *("networks", "functions", "cutoff", "scheme", "scalings", "masks", "resample", "atom_energies"),
    *("mean_energy", "conv_energy", "units", "closest", "device", "threads", "others"),
    *("calibration", "domain"),
)


class Potential:
    """Descriptors and networks joined; see the module for the equations. It can be pickled and copied.

    Parameters
    ----------
    networks : mapping of str to Network
        One an element.
    functions : mapping of str to tuple of SymmetryFunction
        Of each element in n2p2's order, which is that of the network inputs.
    cutoff : Cutoff
    scheme : ScalingScheme
        How the functions are scaled.
    scalings : ScalingData or None
        Training statistics of the functions; None only if they are used as they are.
    masks : Masks or None
        The frozen samples; None for the plain networks.
    resample : bool
        Masks of its own for every structure, by its `index`, instead of the frozen ones.
    atom_energies : mapping of str to float, energy
        Free-atom energies in effect; 0 for elements that are missing.
    mean_energy, conv_energy : float
        n2p2's normalization of the network output, E* = (E - mean_energy) conv_energy an atom.
    units : Units
        Of every number that goes in or out.
    closest : float, length
        Atoms closer than this are an error.
    device : str
        Where symmetry functions and mean forces are computed: ``cpu`` is the C++ core, others are torch's.
    threads : int
    others : sequence of (networks, masks or None)
        Further members of an ensemble, on the same inputs.
    calibration : Calibration or None
        From raw to calibrated standard deviations; without effect if there is one sample only.
    domain : mapping of str to Domain or None
        Statistics of the training atoms, for the parts beside the samples; needed for a calibration of kind
        hybrid, and `scalings` with it.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        functions: Mapping[str, tuple[SymmetryFunction, ...]],
        cutoff: Cutoff,
        scheme: ScalingScheme = UNSCALED,
        scalings: ScalingData | None = None,
        masks: Masks | None = None,
        *,
        resample: bool = False,
        atom_energies: Mapping[str, float] | None = None,
        mean_energy: float = 0.0,
        conv_energy: float = 1.0,
        units: Units = ATOMIC,
        closest: float = 0.0,
        device: str = "cpu",
        threads: int = 1,
        others: Sequence[tuple[Mapping[str, Network], Masks | None]] = (),
        calibration: Calibration | None = None,
        domain: Mapping[str, Domain] | None = None,
    ) -> None:
        self.elements = tuple(sorted(networks, key=atomic_numbers.__getitem__))
        self.networks, self.functions, self.cutoff = networks, functions, cutoff
        self.scheme, self.scalings = scheme, scalings
        self.masks = masks if masks is not None and masks.active else None
        self.resample = resample and self.masks is not None
        energies = atom_energies or {}
        self.atom_energies = {element: energies.get(element, 0.0) for element in self.elements}
        self.mean_energy, self.conv_energy = mean_energy, conv_energy
        self.units, self.closest, self.device, self.threads = units, closest, device, threads
        self.descriptor = descriptor_on(device, self.elements, functions, cutoff, threads)
        self._index = np.full(len(chemical_symbols), -1, dtype=np.int32)  # by atomic number
        self._index[[atomic_numbers[element] for element in self.elements]] = range(len(self.elements))
        self._free = np.array([self.atom_energies[element] for element in self.elements])
        self._shift, self._factor, self._offset = self._affine()
        self.others = tuple((own, m if m is not None and m.active else None) for own, m in others)
        self.sizes = tuple(1 if masks is None else masks.samples for _, masks in self._members)
        self.samplers = self._samplers()
        self.calibration = calibration if self.samples > 1 else None
        self.domain = domain if self.samples > 1 else None
        self._last_layer = self._build_last_layer()

    def replace(self, **changes: Any) -> Potential:
        """The same potential with other arguments of the constructor, for example ``masks=None``."""
        return Potential(**{**self._arguments(), **changes})

    def member(self, sample: int) -> Potential:
        """The potential of one sample, from 0: one network, without standard deviations.

        Raises
        ------
        IndexError
            There is no such sample.
        """
        if not 0 <= sample < self.samples or self.samples == 1:
            raise IndexError(f"sample {sample} of a potential with {self.samples} samples")
        number = int(np.searchsorted(np.cumsum(self.sizes), sample, side="right"))
        networks, masks = self._members[number]
        own = None if masks is None else masks.only(sample - sum(self.sizes[:number]))
        return self.replace(networks=networks, masks=own, others=(), calibration=None, domain=None)

    @property
    def samples(self) -> int:
        """Monte Carlo samples, of all networks of an ensemble; 1 for a plain network."""
        return sum(self.sizes)

    @property
    def members(self) -> tuple[Mapping[str, Network], ...]:
        """Networks of all members of an ensemble, or those of the one there is."""
        return tuple(networks for networks, _ in self._members)

    @property
    def _members(self) -> tuple[tuple[Mapping[str, Network], Masks | None], ...]:
        """Networks and masks of all members."""
        return ((self.networks, self.masks), *self.others)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._arguments(),)

    def _arguments(self) -> dict[str, Any]:
        """What the constructor was given."""
        return {name: getattr(self, name) for name in ARGUMENTS}

    @property
    def kernel(self) -> str:
        """Instruction set of the core, or the device of torch."""
        return self.descriptor.kernel

    def scaling(self, element: str) -> Scaling | None:
        """Training statistics of the symmetry functions of an element, if there are any."""
        return None if self.scalings is None else self.scalings.scalings[element]

    def same_inputs(self, other: Potential) -> bool:
        """Whether the networks of `other` get the same inputs, so that they can be an ensemble."""
        tables = ((self._shift, other._shift), (self._factor, other._factor), (self._offset, other._offset))
        return all(np.array_equal(one, two) for one, two in tables)

    def types(self, structure: Structure) -> NDArray[np.int32]:
        """Element index of each atom. Raises InputError for an element the potential does not know."""
        types = self._index[structure.numbers]
        if (types < 0).any():
            unknown = sorted(
                chemical_symbols[number] for number in set(structure.numbers[types < 0].tolist())
            )
            raise InputError(
                f"{structure.where}: element {', '.join(unknown)} is not in this potential, which knows "
                f"{' '.join(self.elements)}. Remove the structure or train with this element."
            )
        return types

    def free_atoms(self, structure: Structure) -> Array:
        """Free-atom energy of every atom, (n_atoms,) float64."""
        return self._free[self.types(structure)]

    def neighbors(self, structure: Structure) -> NeighborList:
        """Neighbour list within the largest cutoff."""
        radius = self.descriptor.radius
        return find_neighbors(structure.positions, structure.cell, radius, structure.numbers, self.threads)

    def scaled(self, types: NDArray[np.int32], descriptors: Array) -> Array:
        """What the networks get, (n_atoms, width), from unscaled symmetry functions."""
        return (descriptors - self._shift[types]) * self._factor[types] + self._offset[types]

    def predict(
        self,
        structure: Structure,
        forces: bool = True,
        stress: bool = True,
        sigma: bool = True,
        pairs: NeighborList | None = None,
    ) -> Prediction:
        """Energy and, where asked for, forces and stress with their standard deviations.

        Parameters
        ----------
        sigma : bool
            Whether to give the standard deviations of forces and stress too; that of the energy is
            always given.
        pairs : NeighborList, optional
            That of the structure within the largest cutoff, if it is known already.

        Raises
        ------
        InputError, NumericalError
            Unknown element; coinciding atoms; a result that is not finite.
        """
        types = self.types(structure)
        pairs = self.neighbors(structure) if pairs is None else pairs
        self._check_distances(structure, pairs)
        derivatives = forces or (stress and structure.periodic)
        sampled = sigma and derivatives and self.samples > 1
        core = self._samplers(structure.index) if self.resample else self.samplers
        factors = self._factor / self.conv_energy  # dE/dG in units of the potential
        slopes = delta = None
        if derivatives and not sampled:
            descriptors, energies, slopes = self._mean_field(core, types, pairs, factors)
        else:
            descriptors = self.descriptor.values(types, pairs)
            energies, _, delta = core.sample(types, self.scaled(types, descriptors), False, sampled)
        if (self.mean_energy, self.conv_energy) != (0.0, 1.0):
            energies = energies / self.conv_energy + self.mean_energy  # (n_atoms, S)
        self._check_finite(structure, energies)
        result = _energies(energies, self.sizes, float(self._free[types].sum()))
        if sampled:
            samples, virials = core.forces(self.descriptor, types, pairs, factors, delta)
            if forces:
                deviation = Deviation.of(samples, self.sizes)
                result["forces"], result["forces_std"] = samples.mean(axis=-1), deviation.total
                result["forces_between"] = deviation.between if self.others else None
            if stress and structure.volume is not None:
                stresses = virials[VOIGT] / structure.volume
                result["stress"] = stresses.mean(axis=-1)
                result["stress_std"] = Deviation.of(stresses, self.sizes).total
        elif slopes is not None:
            result["forces"] = sum_pairs(pairs, slopes) if forces else None
            result["stress"] = stress_from_pairs(pairs, slopes, structure.volume) if stress else None
        prediction = Prediction(descriptors=descriptors, **result)
        if self.samples < 2:
            return prediction
        return self._calibrated(prediction, self._parts(prediction, structure, types, pairs), structure)

    def _mean_field(
        self, core: Sampler, types: NDArray[np.int32], pairs: NeighborList, factors: Array
    ) -> tuple[Array, Array, Array]:
        """Symmetry functions, energies of all samples without units, and dE/dD of their mean."""
        if isinstance(core, Networks) and isinstance(self.descriptor, Descriptor):
            return core.mean_field(
                self.descriptor, types, pairs, (self._shift, self._factor, self._offset), factors
            )
        descriptors = self.descriptor.values(types, pairs)
        energies, gradient, _ = core.sample(types, self.scaled(types, descriptors))
        return descriptors, energies, self.descriptor.vjp(types, pairs, gradient * factors[types])

    def _parts(
        self, raw: Prediction, structure: Structure, types: NDArray[np.int32], pairs: NeighborList
    ) -> Parts:
        """Monte Carlo sigmas and, with a domain, last layer and distance."""
        assert raw.energy_std is not None
        parts = Parts.of_samples(raw.energy_std / len(types), raw.forces_std, raw.stress_std)
        if self._last_layer is None or self.domain is None or self.scalings is None:
            return parts
        derivatives = parts.forces is not None or parts.stress is not None
        inputs = self.scaled(types, raw.descriptors)
        last = self._last_layer.parts(
            self.descriptor, types, pairs, inputs, self._factor, derivatives, structure.volume
        )
        far = distances(raw.descriptors, types, self.elements, self.domain, self.scalings.scalings)
        return parts.beside(last, far)

    def _calibrated(self, raw: Prediction, parts: Parts, structure: Structure) -> Prediction:
        """`raw` with its sigmas kept as raw, and the calibrated ones in their place where there are any."""
        fields: dict[str, Any] = {
            f"{name}_std_raw": getattr(raw, f"{name}_std") for name in ("energy", "forces", "stress")
        }
        if self.calibration is not None:
            energy, forces, stress = self.calibration.apply(parts, structure.symbols)
            total = None if energy is None else energy * len(structure)
            found: dict[str, Any] = {"energy_std": total, "forces_std": forces, "stress_std": stress}
            fields |= {name: value for name, value in found.items() if value is not None}
        return replace(raw, parts=parts, **fields)

    def _build_last_layer(self) -> LastLayer | None:
        """Networks that differ in the last layer only, if there is a domain."""
        if self.domain is None:
            return None
        networks, masks = probes(self.domain, self.networks, self.elements)
        sampler = Networks(self.elements, networks, self.descriptor.width, masks, self.threads)
        return LastLayer(sampler, self.domain, self.elements)

    def _affine(self) -> tuple[Array, Array, Array]:
        """Shift, factor, offset of the scaling, each (n_elements, width)."""
        shape = (len(self.elements), self.descriptor.width)
        shift, factor, offset = np.zeros(shape), np.ones(shape), np.zeros(shape)
        for row, element in enumerate(self.elements):
            scaling = self.scaling(element)
            if scaling is None:
                continue
            affine, n = scaling.affine(self.scheme), len(scaling)
            shift[row, :n], factor[row, :n], offset[row, :n] = affine.shift, affine.factor, affine.offset
        return shift, factor, offset

    def _samplers(self, evaluation: int | None = None) -> Sampler:
        """The networks with their samples; with masks redrawn for one `evaluation`."""
        width = self.descriptor.width
        found: list[Sampler] = []
        for networks, masks in self._members:
            own = masks if masks is None or evaluation is None else self._redrawn(masks, evaluation)
            factors = None if own is None else {element: own.scaled(element) for element in self.elements}
            found.append(Networks(self.elements, networks, width, factors, self.threads))
        return found[0] if len(found) == 1 else Committee(found)

    def _redrawn(self, masks: Masks, evaluation: int) -> Masks:
        """Masks of one evaluation, independent of the frozen ones."""
        sizes = {element: self.networks[element].sizes for element in self.elements}
        return Masks.draw(masks.seed, masks.samples, masks.rates, sizes, evaluation)

    def _check_distances(self, structure: Structure, pairs: NeighborList) -> None:
        if len(pairs) == 0 or self.closest <= 0.0:
            return
        x, y, z = pairs.vectors.T
        squares = x * x + y * y + z * z
        pair = int(np.argmin(squares))
        distance = float(np.sqrt(squares[pair]))
        if distance < self.closest:
            first, second = pairs.centers[pair] + 1, pairs.neighbors[pair] + 1
            raise NumericalError(
                f"{structure.where}: atoms {first} and {second} are {distance:.4g} {self.units.length} "
                f"apart, less than bond_threshold {self.closest:g}. Check positions, cell and units."
            )

    def _check_finite(self, structure: Structure, energies: Array) -> None:
        if not np.isfinite(energies.sum()):
            bad = ~np.isfinite(energies).all(axis=1)
            atom = int(np.argmax(bad))
            raise NumericalError(
                f"{structure.where}: the energy of atom {atom + 1} ({structure.symbols[atom]}) is not "
                "finite. Its environment may be far outside the training set, or a function overflows."
            )


def _rebuild(arguments: dict[str, Any]) -> Potential:
    """For pickle: the core objects are built anew."""
    return Potential(**arguments)


def _energies(samples: Array, sizes: Sequence[int], offset: float) -> dict:
    """Fields of a Prediction from the (n_atoms, S) sampled atomic energies; the rest None."""
    totals = samples.sum(axis=0)  # (S,)
    several = samples.shape[1] > 1
    result: dict = dict.fromkeys(("forces", "forces_std", "stress", "stress_std"))
    result["energy"] = float(totals.mean()) + offset
    deviation = Deviation.of(totals, sizes) if several else None
    result["energy_std"] = None if deviation is None else float(deviation.total)
    result["energy_between"] = None if deviation is None or len(sizes) == 1 else float(deviation.between)
    result["atomic_energies"] = samples.mean(axis=1)
    result["atomic_energies_std"] = Deviation.of(samples, sizes).total if several else None
    return result


def stress_from_pairs(pairs: NeighborList, slopes: Array, volume: float | None) -> Array | None:
    """Stress +(1/V) dE/d(strain) in Voigt order, (6,) energy/length^3; None without a volume."""
    if volume is None:
        return None
    virial = np.array([column @ slopes for column in pairs.vectors.T])  # three times as fast as one product
    return virial[VOIGT] / volume
