"""Several networks as one sampler, and the variance within and between them.

M networks have S_m samples (dropout masks) each. With the mean and the variance (S_m - 1) of every network's
own samples, the standard deviation of the ensemble is that of the law of total variance::

    within^2 = 1/M sum_m var_m,    between^2 = 1/(M - 1) sum_m (mean_m - mean)^2
    total^2 = within^2 + between^2

Networks with one sample have var_m = 0; one network alone has total = within. The mean is that over all
samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def in_turn(sizes: Sequence[int], count: int) -> list[int]:
    """Numbers, from 0, of `count` samples taken in turn from networks that have `sizes` samples.

    >>> in_turn((3, 3), 4)
    [0, 3, 1, 4]
    """
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1].tolist()
    numbers = sorted(
        (own, start + own) for start, size in zip(starts, sizes, strict=True) for own in range(size)
    )
    return [number for _, number in numbers[:count]]


class Sampler(Protocol):
    """Networks with their samples; :class:`bnnp.network.compiled.Networks` is one."""

    n_samples: int

    def sample(
        self, types: Any, inputs: Array, gradient: bool = True, delta: bool = False
    ) -> tuple[Array, Array, Any]: ...

    def weighted_gradient(self, types: Any, delta: Any, weights: Array) -> Array: ...

    def forces(
        self, descriptor: Any, types: Any, pairs: Any, factors: Array, delta: Any
    ) -> tuple[Array, Array]: ...


class Committee:
    """Several samplers as one, with their samples in order.

    Parameters
    ----------
    members : sequence of Sampler
    """

    def __init__(self, members: Sequence[Sampler]) -> None:
        self.members = tuple(members)
        self.n_samples = sum(member.n_samples for member in members)

    def sample(
        self, types: Any, inputs: Array, gradient: bool = True, delta: bool = False
    ) -> tuple[Array, Array, list[Any]]:
        """As :meth:`bnnp.network.compiled.Networks.sample`; delta is a list with an array for each member."""
        found = [member.sample(types, inputs, gradient, delta) for member in self.members]
        shares = [member.n_samples / self.n_samples for member in self.members]
        slopes = sum(share * each[1] for share, each in zip(shares, found, strict=True))
        return np.concatenate([each[0] for each in found], axis=1), np.asarray(slopes), [x[2] for x in found]

    def weighted_gradient(self, types: Any, delta: Sequence[Any], weights: Array) -> Array:
        """As :meth:`bnnp.network.compiled.Networks.weighted_gradient`."""
        parts = np.split(weights, np.cumsum([member.n_samples for member in self.members])[:-1])
        found = zip(self.members, delta, parts, strict=True)
        return np.asarray(sum(member.weighted_gradient(types, own, part) for member, own, part in found))

    def forces(
        self, descriptor: Any, types: Any, pairs: Any, factors: Array, delta: Sequence[Any]
    ) -> tuple[Array, Array]:
        """As :meth:`bnnp.network.compiled.Networks.forces`."""
        found = [
            member.forces(descriptor, types, pairs, factors, own)
            for member, own in zip(self.members, delta, strict=True)
        ]
        forces, virials = zip(*found, strict=True)
        return np.concatenate(forces, axis=-1), np.concatenate(virials, axis=-1)


def variances(samples: Array, sizes: Sequence[int]) -> tuple[Array, Array]:
    """within^2 and between^2, (...) each, of `samples`, (..., S), of M > 1 networks with `sizes` samples."""
    parts = np.split(samples, np.cumsum(sizes)[:-1], axis=-1)
    own = [p.var(axis=-1, ddof=1) if p.shape[-1] > 1 else np.zeros(p.shape[:-1]) for p in parts]
    means = np.stack([part.mean(axis=-1) for part in parts], axis=-1)
    return np.mean(own, axis=0), means.var(axis=-1, ddof=1)


def sigma_slopes(samples: Array, sizes: Sequence[int]) -> Array:
    """d sigma / d(sample), (S,), of the total standard deviation sigma of `samples`, (S,), of networks with
    `sizes` samples; zeros where sigma is 0."""
    if len(sizes) == 1:
        square, slopes = samples.var(ddof=1), (samples - samples.mean()) / (len(samples) - 1)
    else:
        square = float(sum(variances(samples, sizes)))
        parts = np.split(samples, np.cumsum(sizes)[:-1])
        own = [(part - part.mean()) / max(len(part) - 1, 1) / len(sizes) for part in parts]
        means = np.array([part.mean() for part in parts])
        between = (means - means.mean()) / (len(sizes) - 1) / np.array(sizes)
        slopes = np.concatenate(own) + np.repeat(between, sizes)
    return np.asarray(slopes / np.sqrt(square) if square > 0.0 else np.zeros(len(samples)))
