"""Scaling of symmetry functions to network inputs.

With the statistics of G over the training atoms of one element (n2p2's formulas; RuNNer's where both exist)::

    none      G
    scale     S_min + (S_max - S_min) (G - G_min)  / (G_max - G_min)
    center    G - G_mean
    both      S_min + (S_max - S_min) (G - G_mean) / (G_max - G_min)
    sigma     S_min + (S_max - S_min) (G - G_mean) / G_sigma

RuNNer has no S_min, S_max in `both`; with the defaults 0 and 1 it is the same. All are affine,
``scaled = (G - shift) * factor + offset``, so dE/dG = factor * dE/dscaled.

The factor of a function that never varied in the training set is 0, as its range would divide by zero.
`constant` adds those whose range is far below one term of G, which is of order 1: a network would be trained
on their rounding. A potential that was trained with such a function is still evaluated with its range.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SCHEMES = ("none", "scale", "center", "both", "sigma")
CONSTANT = 1e-10  # spread relative to the largest value below which only rounding is left
NEGLIGIBLE = 1e-12  # spread (dimensionless) below which no neighbor contributes
SMALL = 1e-4  # spread, or spread relative to the largest value, below which a function is nearly constant


@dataclass(frozen=True)
class ScalingScheme:
    """One of the formulas, and the interval it maps to.

    Parameters
    ----------
    kind : str
        ``none``, ``scale``, ``center``, ``both`` or ``sigma``.
    s_min, s_max : float
        Target interval; not used by ``none`` and ``center``.
    """

    kind: str = "none"
    s_min: float = 0.0
    s_max: float = 1.0

    @property
    def has_interval(self) -> bool:
        """Whether `s_min` and `s_max` act."""
        return self.kind not in ("none", "center")

    def __post_init__(self) -> None:
        if self.kind not in SCHEMES:
            raise ValueError(f"unknown scaling `{self.kind}`, expected one of {', '.join(SCHEMES)}")
        if not self.s_min < self.s_max:
            raise ValueError(
                f"scaling interval is {self.s_min:g} ... {self.s_max:g}, but the minimum must be smaller"
            )


@dataclass(frozen=True, eq=False)
class Affine:
    """x = (G - shift) A + offset: the inputs of a network from the symmetry functions of its element.

    Parameters
    ----------
    shift : (n_functions,) float64
    factor : (n_functions,) or (n_functions, n_inputs) float64
        A: a factor for each function, or a matrix that mixes them; 0 for a function that never varies.
    offset : (n_inputs,) float64
    """

    shift: Array
    factor: Array
    offset: Array

    @classmethod
    def mixing(cls, shift: Array, matrix: Array) -> Affine:
        """(G - shift) A with a matrix A, (n_functions, n_inputs)."""
        return cls(shift, matrix, np.zeros(matrix.shape[1]))

    @classmethod
    def identity(cls, n_functions: int) -> Affine:
        """G itself."""
        return cls(np.zeros(n_functions), np.ones(n_functions), np.zeros(n_functions))

    def beside(self, other: Affine) -> Affine:
        """Both, for the values of `other` behind those of this one."""
        shift, offset = (
            np.concatenate(pair) for pair in ((self.shift, other.shift), (self.offset, other.offset))
        )
        if self.factor.ndim == other.factor.ndim == 1:
            return Affine(shift, np.concatenate([self.factor, other.factor]), offset)
        matrix = np.zeros((len(shift), len(offset)))
        first, last = self.matrix.shape
        matrix[:first, :last], matrix[first:, last:] = self.matrix, other.matrix
        return Affine(shift, matrix, offset)

    @property
    def matrix(self) -> Array:
        """A, (n_functions, n_inputs)."""
        return self.factor if self.factor.ndim == 2 else np.diag(self.factor)

    def apply(self, values: Array) -> Array:
        """x of `values`, (..., n_functions) symmetry functions."""
        centered = values - self.shift
        x: Array = (centered @ self.factor if self.factor.ndim == 2 else centered * self.factor) + self.offset
        return x


@dataclass(frozen=True, eq=False)
class Scaling:
    """Statistics of the symmetry functions of one element over the training atoms.

    Parameters
    ----------
    minimum, maximum, mean, sigma : (n_functions,) float64
        In n2p2's order of functions; sigma with n - 1 in the denominator, NaN where unknown (RuNNer's
        5-column file).
    """

    minimum: Array
    maximum: Array
    mean: Array
    sigma: Array

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.minimum, self.maximum, self.mean, self.sigma)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(
                f"minimum, maximum, mean and sigma have shapes {sorted(shapes)}, expected one (n_functions,)"
            )

    def __len__(self) -> int:
        return len(self.minimum)

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Scaling:
        """Statistics of `values`, (n_atoms, n_functions) with at least one atom."""
        if len(values) == 0:
            raise ValueError("no atoms to take statistics of")
        mean = values.mean(axis=0, dtype=np.float64)
        square = np.square(values - mean).sum(axis=0, dtype=np.float64)
        sigma = np.sqrt(square / max(len(values) - 1, 1))
        return cls(values.min(axis=0).astype(np.float64), values.max(axis=0).astype(np.float64), mean, sigma)

    @property
    def spread(self) -> Array:
        """G_max - G_min, (n_functions,)."""
        return self.maximum - self.minimum

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Functions without information, (n_functions,) bool: their spread is rounding or negligible."""
        return np.asarray(self._rounding | (self.spread <= NEGLIGIBLE))

    @property
    def nearly_constant(self) -> NDArray[np.bool_]:
        """Which others hardly vary, (n_functions,) bool: by 10^-4 of a neighbor, or of their size."""
        size = np.maximum(np.abs(self.minimum), np.abs(self.maximum))
        return np.asarray(~self.constant & (self.spread <= SMALL * np.maximum(1.0, size)))

    @property
    def _rounding(self) -> NDArray[np.bool_]:
        """Which functions have a spread that nothing can be divided by, (n_functions,) bool."""
        size = np.maximum(np.abs(self.minimum), np.abs(self.maximum))
        return np.asarray(self.spread <= np.maximum(CONSTANT * size, np.finfo(np.float64).tiny))

    def affine(self, scheme: ScalingScheme) -> Affine:
        """Shift, factor and offset of `scheme`; factor 0 where a constant function would divide by zero.

        Raises
        ------
        ValueError
            `sigma` is asked for but not known.
        """
        one, zero = np.ones(len(self)), np.zeros(len(self))
        if scheme.kind == "none":
            return Affine(zero, one, zero)
        if scheme.kind == "center":
            return Affine(self.mean, one, zero)
        if scheme.kind == "sigma" and not np.isfinite(self.sigma).all():
            raise ValueError("scaling by sigma needs sigma, which is not known for every function")
        shift = self.minimum if scheme.kind == "scale" else self.mean
        width = self.sigma if scheme.kind == "sigma" else self.spread
        dead = self._rounding | (width <= 0.0)
        factor = np.where(dead, 0.0, (scheme.s_max - scheme.s_min) / np.where(dead, 1.0, width))
        return Affine(shift, factor, np.full(len(self), scheme.s_min))
