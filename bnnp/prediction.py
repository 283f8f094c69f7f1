"""The prediction of a potential for one structure: values, each with its standard deviations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnnp.uncertainty.calibration import Calibration
from bnnp.uncertainty.ensemble import variances
from bnnp.uncertainty.hybrid import SigmaParts

Array = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Estimate(Generic[T]):
    """A predicted value with its standard deviations: floats, or float64 arrays of one shape.

    Parameters
    ----------
    value : float or array
        Mean over the samples; that of the plain network without samples.
    std : same, or None without samples or if not asked for
        The calibrated standard deviation if the potential has a calibration of this quantity, else `raw`.
    raw : same, or None
        Standard deviation over the samples (divisor S - 1); for an ensemble the total of
        :mod:`bnnp.uncertainty.ensemble`.
    between : same, or None
        The part of `raw` that is between the networks of an ensemble; None for one network.
    """

    value: T
    std: T | None = None
    raw: T | None = None
    between: T | None = None

    @classmethod
    def of(cls, samples: Array, sizes: Sequence[int]) -> Estimate[Array]:
        """Estimate of shape (...) from samples.

        Parameters
        ----------
        samples : (..., S) float64
            Network by network.
        sizes : sequence of int
            Number of samples of each network of an ensemble; their sum is S.
        """
        value = samples.mean(axis=-1)
        if samples.shape[-1] < 2:
            return Estimate(value)
        if len(sizes) == 1:
            raw = samples.std(axis=-1, ddof=1)
            return Estimate(value, raw, raw)
        within_squared, between_squared = variances(samples, sizes)
        raw = np.sqrt(within_squared + between_squared)
        return Estimate(value, raw, raw, np.sqrt(between_squared))

    def plus(self: Estimate[Array], constant: float) -> Estimate[float]:
        """Estimate of one number plus a constant without error, as Python floats."""
        spread = (None if each is None else float(each) for each in (self.std, self.raw, self.between))
        return Estimate(float(self.value) + constant, *spread)

    def calibrated(self, std: T | None) -> Estimate[T]:
        """The same value with the calibrated standard deviation `std`; unchanged for None."""
        return self if std is None else replace(self, std=std)


@dataclass(frozen=True, eq=False)
class SamplePredictions:
    """One structure by every Monte Carlo sample, network by network, in the units of the potential.

    Parameters
    ----------
    energies : (S,) float64
        Of all atoms, free-atom energies included.
    forces : (n_atoms, 3, S) float64
    stress : (6, S) float64, or None without a cell
        ASE's sign and order.
    """

    energies: Array
    forces: Array
    stress: Array | None

    def scaled(self, factor: float) -> SamplePredictions:
        """With deviations from the mean over the samples times `factor`."""

        def shrunk(part: Array) -> Array:
            mean = part.mean(axis=-1, keepdims=True)
            return np.asarray(mean + factor * (part - mean))

        stress = None if self.stress is None else shrunk(self.stress)
        return SamplePredictions(shrunk(self.energies), shrunk(self.forces), stress)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Energy, forces and stress of one structure, in the units of the potential.

    Parameters
    ----------
    energy : Estimate of float
        Of all atoms, free-atom energies included.
    atoms : Estimate of (n_atoms,) float64
        Atomic energies without the free-atom energies, with half of the electrostatic energy of each pair.
        Their `std` is always raw: there is no reference of an atomic energy to calibrate it by.
    forces : Estimate of (n_atoms, 3) float64, or None if not asked for
    stress : Estimate of (6,) float64, or None without a cell or if not asked for
        ASE's sign and order, see :class:`bnnp.structure.Structure`.
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions, zero-padded.
    free_atoms : (n_atoms,) float64
        Free-atom energy of every atom.
    charges : Estimate of (n_atoms,) float64, e, or None
        Of a potential with charges; its `std` is always raw.
    parts : SigmaParts or None
        Input of the calibration: sigma_MC and, if the potential has training statistics, sigma_LL and the
        distance d. None without samples.
    samples : (S,) float64, or None without samples
        The energy of each Monte Carlo sample.
    virials : (n_atoms, 3, 3) float64, energy, or None if not asked for
        Of the atoms, for the heat flux: :func:`bnnp.descriptors.pairs.virials_of_pairs`.
    """

    energy: Estimate[float]
    atoms: Estimate[Array]
    forces: Estimate[Array] | None
    stress: Estimate[Array] | None
    descriptors: Array
    free_atoms: Array
    charges: Estimate[Array] | None = None
    parts: SigmaParts | None = None
    samples: Array | None = None
    virials: Array | None = None

    @property
    def offset(self) -> float:
        """Sum of the free-atom energies, which the energy contains."""
        return float(self.free_atoms.sum())

    def calibrated(self, calibration: Calibration, symbols: Sequence[str]) -> Prediction:
        """The same prediction with calibrated standard deviations, where available.

        Parameters
        ----------
        symbols : sequence of str
            Element of every atom.
        """
        if self.parts is None:
            return self
        energy, forces, stress = calibration.apply(self.parts, symbols)  # that of the energy is per atom
        return replace(
            self,
            energy=self.energy.calibrated(None if energy is None else energy * len(symbols)),
            forces=self.forces and self.forces.calibrated(forces),
            stress=self.stress and self.stress.calibrated(stress),
        )
