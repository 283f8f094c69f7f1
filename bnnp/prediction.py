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
        Mean over the samples.
    std : same, or None without samples or if not asked for
        The calibrated standard deviation if the potential has a calibration of this quantity, else `raw`.
    raw : same, or None
        Standard deviation (S - 1) over the samples.
    between : same, or None
        The part of `raw` that is between the networks of an ensemble; None for one network.
    """

    value: T
    std: T | None = None
    raw: T | None = None
    between: T | None = None

    @classmethod
    def of(cls, samples: Array, sizes: Sequence[int]) -> Estimate[Array]:
        """From `samples`, (..., S), whose last axis has `sizes` samples of each network of an ensemble."""
        value = samples.mean(axis=-1)
        if samples.shape[-1] < 2:
            return Estimate(value)
        if len(sizes) == 1:
            raw = samples.std(axis=-1, ddof=1)
            return Estimate(value, raw, raw)
        within, between = variances(samples, sizes)
        raw = np.sqrt(within + between)
        return Estimate(value, raw, raw, np.sqrt(between))

    def plus(self: Estimate[Array], constant: float) -> Estimate[float]:
        """The estimate of one number, as floats, plus a constant."""
        spread = (None if each is None else float(each) for each in (self.std, self.raw, self.between))
        return Estimate(float(self.value) + constant, *spread)

    def calibrated(self, std: T | None) -> Estimate[T]:
        """The same value with the calibrated standard deviation `std`; unchanged for None."""
        return self if std is None else replace(self, std=std)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Energy, forces and stress of one structure, in the units of the potential.

    Parameters
    ----------
    energy : Estimate of float
        Of all atoms, free-atom energies included.
    atoms : Estimate of (n_atoms,) float64
        Atomic energies without the free-atom energies. Their `std` is always raw: there is no reference of an
        atomic energy to calibrate it by.
    forces : Estimate of (n_atoms, 3) float64, or None if not asked for
    stress : Estimate of (6,) float64, or None without a cell or if not asked for
        ASE's sign and order, see :class:`bnnp.structure.Structure`.
    descriptors : (n_atoms, width) float64
        Unscaled symmetry functions, zero-padded.
    free_atoms : (n_atoms,) float64
        Free-atom energy of every atom.
    parts : SigmaParts or None
        From which a calibration makes sigma: that of the samples and, if the potential has statistics of its
        training atoms, last layer and distance. None without samples.
    """

    energy: Estimate[float]
    atoms: Estimate[Array]
    forces: Estimate[Array] | None
    stress: Estimate[Array] | None
    descriptors: Array
    free_atoms: Array
    parts: SigmaParts | None = None

    @property
    def offset(self) -> float:
        """Sum of the free-atom energies, which the energy contains."""
        return float(self.free_atoms.sum())

    def calibrated(self, calibration: Calibration, symbols: Sequence[str]) -> Prediction:
        """With calibrated standard deviations where the calibration has any; `symbols` of the atoms."""
        if self.parts is None:
            return self
        energy, forces, stress = calibration.apply(self.parts, symbols)
        return replace(
            self,
            energy=self.energy.calibrated(None if energy is None else energy * len(symbols)),
            forces=self.forces and self.forces.calibrated(forces),
            stress=self.stress and self.stress.calibrated(stress),
        )
