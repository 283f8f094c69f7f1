r"""The potential: a structure to its energy, forces, stress, and the standard deviation of each.

.. math::
    E = \sum_i \left[ \mathrm{net}_{X_i}(G_i) / c + m + E^0_{X_i} \right], \quad
    F_i = \sum_{p: i \to j} \frac{\partial E}{\partial D_p}
        - \sum_{p: j \to i} \frac{\partial E}{\partial D_p}, \quad
    \sigma = \frac{1}{V} \sum_p D_p \otimes \frac{\partial E}{\partial D_p}

with the scaled symmetry functions G_i, the displacement vectors D_p of the neighbour pairs, n2p2's
normalisation (mean m, factor c; 0 and 1 otherwise) and the free-atom energies E0. With masks, energies,
forces and stress are means over the samples (one reverse sweep with the mean of dE/dG) and the standard
deviations are those of the totals, with S - 1 (M. Wen, E. B. Tadmor, npj Comput. Mater. 6, 124 (2020)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.core import Descriptor, Networks, sum_pairs
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError, NumericalError, StaleFileError
from bnnp.io.identity import check_identity, parts_of
from bnnp.io.scaling_data import ScalingData, read_scaling
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.io.weights import read_weights, weights_name
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.settings import Settings
from bnnp.structure import Structure

Array = NDArray[np.float64]

VOIGT_ROWS, VOIGT_COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])  # xx yy zz yz xz xy


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the potential says about one structure, in the units of the potential.

    Every ``_std`` is the raw sample standard deviation (S - 1) over the masks, None without masks.

    Parameters
    ----------
    energy : float
        Free-atom energies included.
    energy_std : float or None
        Of the total energy.
    atomic_energies, atomic_energies_std : (n_atoms,) float64
        Without the free-atom energies.
    forces, forces_std : (n_atoms, 3) float64, or None if not asked for
    stress, stress_std : (6,) float64, or None without a cell or if not asked for
        ASE's sign and order, see :class:`bnnp.structure.Structure`.
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions, zero-padded.
    """

    energy: float
    energy_std: float | None
    atomic_energies: Array
    atomic_energies_std: Array | None
    forces: Array | None
    forces_std: Array | None
    stress: Array | None
    stress_std: Array | None
    descriptors: Array


class Potential:
    """Descriptors and networks joined; see the module for the equations.

    Parameters
    ----------
    settings : Settings
        Of the input.nn of the potential.
    networks : mapping of str to Network
    scalings : ScalingData or None
        None only if the symmetry functions are used as they are.
    masks : Masks or None
        The frozen samples; None for the plain networks.
    threads : int
    """

    def __init__(
        self,
        settings: Settings,
        networks: Mapping[str, Network],
        scalings: ScalingData | None,
        masks: Masks | None = None,
        threads: int = 1,
    ) -> None:
        self.settings = settings
        self.elements = settings.elements
        self.descriptor = Descriptor(self.elements, settings.functions, settings.cutoff, threads=threads)
        self.scalings = scalings
        self.networks = networks
        self.masks = masks if masks is not None and masks.active else None
        self.threads = threads
        self._shift, self._factor, self._offset = self._affine()
        self._core = self._samplers(self.masks)

    @classmethod
    def from_directory(cls, path: str | Path, settings: Settings, threads: int = 1) -> Potential:
        """Read scaling.data, weights.XXX.data and, if it is there, uncertainty.data.

        Raises
        ------
        InputError, StaleFileError
            A file is missing, damaged, or belongs to another network, another potential or another input.nn.
        """
        path = Path(path)
        files = [path / name for name in ("scaling.data", *map(weights_name, settings.elements))]
        counts = {element: len(settings.functions[element]) for element in settings.elements}
        scalings = None
        if settings.scaling.kind != "none" or (path / "scaling.data").exists():
            sigma = settings.scaling.kind == "sigma"
            scalings = read_scaling(path / "scaling.data", counts, sigma, settings.fingerprint())
        settings = with_fitted_energies(settings, scalings)
        networks = {}
        for element in settings.elements:
            if element not in settings.architecture:
                raise InputError(
                    "input.nn: no network is defined; give global_hidden_layers_short, global_nodes_short "
                    "and global_activation_short as they were in the training"
                )
            networks[element] = read_weights(
                path / weights_name(element),
                element,
                settings.architecture[element],
                counts[element],
                settings.normalize_nodes,
            )
        sampled = settings["mc_samples"] > 0 and (path / "uncertainty.data").exists()
        files += [path / "uncertainty.data"] * sampled
        check_identity(files, parts_of_potential(settings, networks, scalings))
        masks = None
        if sampled:
            data = read_uncertainty(path / "uncertainty.data", networks)
            masks = (data.take(settings["mc_samples"]) if settings.given("mc_samples") else data).masks
        return cls(settings, networks, scalings, masks, threads)

    @property
    def kernel(self) -> str:
        """Instruction set of the core."""
        return self.descriptor.kernel

    def scaling(self, element: str) -> Scaling | None:
        """Training statistics of the symmetry functions of an element, if there are any."""
        return None if self.scalings is None else self.scalings.scalings[element]

    def types(self, structure: Structure) -> NDArray[np.int32]:
        """Element index of each atom. Raises InputError for an element the potential does not know."""
        symbols = structure.symbols
        unknown = sorted(set(symbols) - set(self.elements))
        if unknown:
            raise InputError(
                f"{structure.where}: element {', '.join(unknown)} is not in this potential, which knows "
                f"{' '.join(self.elements)}. Remove the structure or train with this element."
            )
        index = {element: number for number, element in enumerate(self.elements)}
        return np.array([index[symbol] for symbol in symbols], dtype=np.int32)

    def neighbors(self, structure: Structure) -> NeighborList:
        """Neighbour list within the largest cutoff. Raises NumericalError for atoms that coincide."""
        radius = self.descriptor.radius
        pairs = find_neighbors(structure.positions, structure.cell, radius, structure.numbers, self.threads)
        if len(pairs.vectors):
            squares = np.einsum("pc,pc->p", pairs.vectors, pairs.vectors)
            closest = int(np.argmin(squares))
            self._check_distance(structure, pairs, closest, float(np.sqrt(squares[closest])))
        return pairs

    def predict(
        self, structure: Structure, forces: bool = True, stress: bool = True, sigma: bool = True
    ) -> Prediction:
        """Energy and, where asked for, forces and stress with their standard deviations.

        Parameters
        ----------
        sigma : bool
            Whether to give the standard deviations of forces and stress too (that of the energy is free).

        Raises
        ------
        InputError, NumericalError
            Unknown element; coinciding atoms; a result that is not finite.
        """
        types, pairs = self.types(structure), self.neighbors(structure)
        descriptors = self.descriptor.values(types, pairs)
        inputs = (descriptors - self._shift[types]) * self._factor[types] + self._offset[types]
        derivatives = forces or (stress and structure.periodic)
        sampled = sigma and derivatives and self.masks is not None and self.masks.samples > 1
        core = self._samplers(self._redrawn(structure.index)) if self._resampled else self._core
        scale, mean = 1.0 / self.settings.normalization.conv_energy, self.settings.normalization.mean_energy
        energies, gradient, delta = core.sample(types, inputs, derivatives, sampled)
        energies = energies * scale + mean  # (n_atoms, S)
        self._check_finite(structure, energies)
        result = _energies(energies, sum(self.settings.atom_energies[symbol] for symbol in structure.symbols))
        result["descriptors"] = descriptors
        if derivatives:
            slopes = self.descriptor.vjp(types, pairs, gradient * self._factor[types] * scale)
            result["forces"] = sum_pairs(pairs, slopes)
            result["stress"] = stress_from_pairs(pairs, slopes, structure.volume)
        if sampled:
            factors = self._factor * scale
            samples, virials = core.forces(self.descriptor, types, pairs, factors, delta)
            result["forces_std"] = samples.std(axis=-1, ddof=1)
            if structure.volume is not None:
                result["stress_std"] = (virials.std(axis=-1, ddof=1) / structure.volume)[
                    VOIGT_ROWS, VOIGT_COLUMNS
                ]
        if not forces:
            result["forces"] = result["forces_std"] = None
        if not stress:
            result["stress"] = result["stress_std"] = None
        return Prediction(**result)

    def _affine(self) -> tuple[Array, Array, Array]:
        """Shift, factor, offset of the scaling, each (n_elements, width)."""
        shape = (len(self.elements), self.descriptor.width)
        shift, factor, offset = np.zeros(shape), np.ones(shape), np.zeros(shape)
        for row, element in enumerate(self.elements):
            scaling = self.scaling(element)
            if scaling is None:
                continue
            affine, n = scaling.affine(self.settings.scaling), len(scaling)
            shift[row, :n], factor[row, :n], offset[row, :n] = affine.shift, affine.factor, affine.offset
        return shift, factor, offset

    def _samplers(self, masks: Masks | None) -> Networks:
        factors = None if masks is None else {element: masks.scaled(element) for element in self.elements}
        return Networks(self.elements, self.networks, self.descriptor.width, factors, self.threads)

    @property
    def _resampled(self) -> bool:
        """Whether every structure, by its `index`, has masks of its own (``mc_masks resample``)."""
        return self.masks is not None and self.settings["mc_masks"] == "resample"

    def _redrawn(self, evaluation: int) -> Masks:
        """Masks of one evaluation, independent of the frozen ones."""
        assert self.masks is not None
        sizes = {element: self.networks[element].sizes for element in self.elements}
        return Masks.draw(self.masks.seed, self.masks.samples, self.masks.rates, sizes, evaluation)

    def _check_distance(self, structure: Structure, pairs: NeighborList, pair: int, distance: float) -> None:
        threshold = self.settings["bond_threshold"]
        if distance >= threshold:
            return
        first, second = pairs.centers[pair] + 1, pairs.neighbors[pair] + 1
        raise NumericalError(
            f"{structure.where}: atoms {first} and {second} are {distance:.4g} {self.settings.units.length} "
            f"apart, less than bond_threshold {threshold:g}. Check the positions, the cell and the units."
        )

    def _check_finite(self, structure: Structure, energies: Array) -> None:
        bad = ~np.isfinite(energies).all(axis=1)
        if bad.any():
            atom = int(np.argmax(bad))
            raise NumericalError(
                f"{structure.where}: the energy of atom {atom + 1} ({structure.symbols[atom]}) is not "
                "finite. Its environment may be far outside the training set, or a function overflows."
            )


def with_fitted_energies(settings: Settings, scalings: ScalingData | None) -> Settings:
    """`settings` with the free-atom energies mode 2 has fitted, for ``atom_energy fit``.

    Raises
    ------
    StaleFileError
        scaling.data has none: it is of a training without the keyword.
    """
    if not settings.fits_atom_energies:
        return settings
    found = {} if scalings is None else scalings.atom_energies
    missing = [element for element in settings.elements if element not in found]
    if missing:
        raise StaleFileError(
            f"scaling.data: has no free-atom energy of {', '.join(missing)}, but input.nn "
            "says `atom_energy fit`. It was made without this keyword, or by another program: run mode 2 "
            "again, or give the energies."
        )
    return replace(settings, atom_energies=dict(found))


def parts_of_potential(
    settings: Settings, networks: Mapping[str, Network], scalings: ScalingData | None
) -> dict[str, str]:
    """What a prediction depends on, for the line ``# potential`` (:mod:`bnnp.io.identity`)."""
    return parts_of(
        networks,
        None if scalings is None else scalings.scalings,
        settings.scaling,
        astuple(settings.normalization),
        settings.atom_energies,
        settings.fingerprint(),
    )


def _energies(samples: Array, offset: float) -> dict:
    """Fields of a Prediction from the (n_atoms, S) sampled atomic energies; the rest None."""
    totals = samples.sum(axis=0)  # (S,)
    several = samples.shape[1] > 1
    result: dict = dict.fromkeys(("forces", "forces_std", "stress", "stress_std"))
    result["energy"] = float(totals.mean()) + offset
    result["energy_std"] = float(totals.std(ddof=1)) if several else None
    result["atomic_energies"] = samples.mean(axis=1)
    result["atomic_energies_std"] = samples.std(axis=1, ddof=1) if several else None
    return result


def stress_from_pairs(pairs: NeighborList, slopes: Array, volume: float | None) -> Array | None:
    """Stress +(1/V) dE/d(strain) in Voigt order, (6,) energy/length^3; None without a volume."""
    if volume is None:
        return None
    virial = np.einsum("pa,pb->ab", pairs.vectors, slopes)
    return virial[VOIGT_ROWS, VOIGT_COLUMNS] / volume
