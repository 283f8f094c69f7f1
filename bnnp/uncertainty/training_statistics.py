r"""Distance of an atom from the training set, and the variance of the last layer.

A tanh network is bounded, and so is the spread of its Monte Carlo samples, which is no measure of the error
far from the training set. Two others are, for the atoms of one element (dimensionless, about 1 within the
set):

*Distance.* Mahalanobis distance of the n symmetry functions G, with mean and covariance C over the training
atoms, and the excess x_f beyond the training range in units of that range, for every function f:

.. math:: d^2 = \frac{1}{n} (G - \bar G)^T C^{-1} (G - \bar G) + \sum_f x_f^2 + x_r^2, \quad
    x_r = \max_j \left[ (r^\mathrm{min}_{XY} / r_{ij})^6 - 1, 0 \right]

(P. C. Mahalanobis, Proc. Natl. Inst. Sci. India 2, 49 (1936)). Symmetry functions hardly change any more when
two atoms come very close, while the energy rises steeply. Therefore x_r counts, too, with the shortest
distance of the two elements in training, and a power that is between those of the repulsion of nuclei and of
closed shells.

*Surroundings.* The force on an atom is made of the energies of all atoms around it, and so is its error:
beside a vacancy it is wrong where the atom's own d is usual. Its distance is the root mean square over atom
and neighbors, weighted by the square of a cutoff function f(r) = (cos(pi r / r_c) + 1) / 2:

.. math:: a_i^2 = \frac{d_i^2 + \sum_j f(r_{ij})^2 d_j^2}{1 + \sum_j f(r_{ij})^2}

*Structure.* In the total energy of usual structures errors of atoms cancel. They do not where all atoms are
unusual in the same direction, as in a strained crystal, each of whose atoms could be found in a hotter one.
So the distance of a structure is that of the means of G over its atoms of each element X, n_X of n:

.. math:: D^2 = \sum_X \frac{n_X}{n} \frac{1}{n_f} (\bar G_X - \bar G)^T S_X^{-1} (\bar G_X - \bar G)
    + \frac{1}{n} \sum_i x_{r,i}^2, \quad S_X = \mathrm{cov}\, \bar G_X + C_X / \bar n_X

with the covariance of such means over the training structures and what independent atoms would add, which
keeps S from being singular where structures are few.

*Unseen.* A function that never varied in training has neither variance nor range, so d cannot count it, and
the network does not feel it. Nor does it feel two elements that never met, if there is no function for them.
An atom is unseen where such a function leaves its value by more than a hundredth of the usual range, or
where its surroundings hold two elements that never were neighbors in training.

*Last layer.* With the values h of the last hidden nodes, of which the energy is a linear function, and their
covariance C_h over the training atoms, the variance of a linear fit is proportional to

.. math:: \sigma_{LL}^2 = \sum_X H_X^T C_{h,X}^{-1} H_X = \sum_k (u_k \cdot H)^2, \quad
    H_X = \sum_{i \in X} (h_i - \bar h_X)

and for forces and stress likewise with the derivatives of H (V. Zaverkin, J. Kaestner, Mach. Learn.: Sci.
Technol. 2, 035009 (2021), last-layer features). The rows u_k with sum u u^T = C_h^-1 are samples of a network
with one more layer (:func:`probes`), so that their energies, forces and virials are computed like those of
the Monte Carlo samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Scaling
from bnnp.network.dense import Network

Array = NDArray[np.float64]

SMALLEST = 1e-4  # eigenvalue of the correlations of G, in units of their mean; smaller ones are noise
SMALLEST_FEATURE = 1e-6  # the same for the covariance of the last hidden nodes
UNUSUAL = 0.01  # change of a function that never varied, in units of the median range, that is something new


@dataclass(frozen=True, eq=False)
class TrainingStatistics:
    """Statistics of the training atoms of one element.

    Parameters
    ----------
    mean : (n,) float64
    covariance : (n, n) float64
        Of the unscaled symmetry functions.
    feature_mean : (h,) float64
    feature_covariance : (h, h) float64
        Of the last hidden nodes of the network without masks.
    structure_covariance : (n, n) float64
        S, of the means of the unscaled symmetry functions over the atoms of a structure.
    shortest : mapping of element to float, length
        To the nearest neighbor of each element in training; elements never seen beside this one are missing.
    """

    mean: Array
    covariance: Array
    feature_mean: Array
    feature_covariance: Array
    structure_covariance: Array
    shortest: Mapping[str, float] = field(default_factory=dict)
    _roots: dict[tuple[bool, bytes], Array] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        values: Array,
        features: Array,
        structures: NDArray[np.int64],
        shortest: Mapping[str, float] | None = None,
    ) -> TrainingStatistics:
        """Of (n_atoms, n) symmetry functions, (n_atoms, h) last hidden nodes, and the structure of each atom,
        (n_atoms,), counted in any way."""
        mean, covariance = values.mean(axis=0), _covariance(values)
        _, owner, sizes = np.unique(structures, return_inverse=True, return_counts=True)
        sums = np.zeros((len(sizes), values.shape[1]))
        np.add.at(sums, owner, values)
        weighted = np.sqrt(sizes)[:, None] * (sums / sizes[:, None] - mean)
        between = weighted.T @ weighted / len(values) + covariance / sizes.mean()
        return cls(mean, covariance, features.mean(axis=0), _covariance(features), between, shortest or {})

    def distance(self, values: Array, scaling: Scaling) -> Array:
        """d of every atom, (n_atoms,), from unscaled symmetry functions, (n_atoms, n)."""
        square = np.square(excess(values, scaling)[:, ~scaling.constant]).sum(axis=1)
        return np.asarray(np.sqrt(square + self._square(values, self.covariance, scaling)))

    def structure_square(self, values: Array, scaling: Scaling) -> float:
        """The part of D^2 of these atoms, (n_atoms, n) unscaled symmetry functions, of one structure."""
        mean = values.mean(axis=0, keepdims=True)
        return float(self._square(mean, self.structure_covariance, scaling)[0])

    def _square(self, values: Array, covariance: Array, scaling: Scaling) -> Array:
        """Mahalanobis distance squared over the number of functions, (n_rows,), of (n_rows, n) values."""
        sigma = np.sqrt(np.diag(self.covariance))
        vary = (sigma > 0.0) & ~scaling.constant
        if not vary.any():
            return np.zeros(len(values))
        whitened = (values[:, vary] - self.mean[vary]) @ self._whitening(covariance, vary).T
        return np.asarray(np.square(whitened).mean(axis=1))

    def unseen(self, values: Array, scaling: Scaling) -> NDArray[np.bool_]:
        """Whether a function that never varied does so now, (n_atoms,), from (n_atoms, n) functions."""
        return np.asarray((excess(values, scaling)[:, scaling.constant] > 1.0).any(axis=1))

    def _whitening(self, covariance: Array, vary: NDArray[np.bool_]) -> Array:
        """Inverse root of the covariance of some functions; cached, as most predictions need the same."""
        key = (covariance is self.covariance, vary.tobytes())
        if key not in self._roots:
            sigma = np.sqrt(np.diag(covariance)[vary])
            correlation = covariance[np.ix_(vary, vary)] / np.outer(sigma, sigma)
            self._roots[key] = inverse_root(correlation, SMALLEST) / sigma
        return self._roots[key]

    @property
    def directions(self) -> Array:
        """The rows u_k, (h, h)."""
        return inverse_root(self.feature_covariance, SMALLEST_FEATURE)


def excess(values: Array, scaling: Scaling) -> Array:
    """How far each function is beyond its training range in units of the range, (n_atoms, n).

    Of a function that never varied in units of UNUSUAL of the median range.
    """
    beyond = np.maximum(np.maximum(scaling.minimum - values, values - scaling.maximum), 0.0)
    constant = scaling.constant
    usual = float(np.median(scaling.spread[~constant])) if (~constant).any() else 1.0
    found: Array = beyond / np.where(constant, UNUSUAL * usual, scaling.spread)
    return found


def inverse_root(matrix: Array, smallest: float) -> Array:
    """Rows u_k with sum_k u_k u_k^T the inverse of a symmetric `matrix`.

    Eigenvalues below `smallest` times their mean are raised to it.
    """
    values, vectors = np.linalg.eigh(matrix)
    floor = smallest * max(float(values.mean()), np.finfo(np.float64).tiny)
    return np.asarray((vectors / np.sqrt(np.maximum(values, floor))).T)


def with_directions(network: Network, directions: Array) -> Network:
    """The network with its last hidden nodes projected on `directions`, (n_directions, h), by a linear layer.

    The new nodes are added up, so that a mask that keeps node k only gives u_k h.
    """
    count, hidden = directions.shape
    first, last = (float(hidden), float(count)) if network.normalize_nodes else (1.0, 1.0)
    return replace(
        network,
        weights=(*network.weights[:-1], first * directions.T, np.full((count, 1), last)),
        biases=(*network.biases[:-1], np.zeros(count), np.zeros(1)),
        activations=(*network.activations[:-1], "l", "l"),
    )


def probes(
    statistics: Mapping[str, TrainingStatistics], networks: Mapping[str, Network], elements: Sequence[str]
) -> tuple[dict[str, Network], dict[str, tuple[Array, ...]]]:
    """Networks and masks (factors 0 or 1) whose samples are the u_k h of all elements in turn.

    An atom of another element gives 0.
    """
    rows = [statistics[element].directions for element in elements]
    total = sum(map(len, rows))
    found, masks, first = {}, {}, 0
    for element, own in zip(elements, rows, strict=True):
        directions = np.zeros((total, own.shape[1]))
        directions[first : first + len(own)] = own
        first += len(own)
        found[element] = with_directions(networks[element], directions)
        masks[element] = (*(np.ones((total, size)) for size in networks[element].sizes), np.eye(total))
    return found, masks


def _covariance(values: Array) -> Array:
    deviation = values - values.mean(axis=0)
    return np.asarray(deviation.T @ deviation / max(len(values) - 1, 1))
