"""Energies and forces of the training set sorted by their errors: n2p2's ``selection_mode 1``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnnp.training.kalman.updates import ENERGY
from bnnp.training.optimizer import Problem

Array = NDArray[np.float64]
Ranking = tuple[NDArray[np.int64], ...]


def ranking(problem: Problem, weights: Array, n_components: NDArray[np.int64]) -> Ranking:
    """Energies and force components, each from the largest error to the smallest.

    Parameters
    ----------
    weights : (n_weights,) float64
    n_components : (n_structures in the file,) int64
        Force components of each structure that are trained.

    Returns
    -------
    two arrays (n, 2) int64
        Structure and component of each observation. Energies are compared per atom; those without a
        reference come last.
    """
    order = np.array(problem.training)
    counts = (np.ones(len(order), dtype=np.int64), n_components[order])
    errors = [np.zeros(int(count.sum())) for count in counts]
    ends = [np.cumsum(count) for count in counts]
    place = {index: k for k, index in enumerate(order.tolist())}
    for index, found in problem.evaluations(weights, order.tolist()):
        k = place[index]
        energy = np.array([found.energy - found.reference_energy]) / len(found.forces)
        for quantity, difference in enumerate((energy, found.forces - found.reference_forces)):
            if n := int(counts[quantity][k]):
                own = slice(ends[quantity][k] - n, ends[quantity][k])
                errors[quantity][own] = np.nan_to_num(np.abs(difference).ravel(), nan=-1.0)
    total = problem.total(np.concatenate(errors))
    table = []
    for quantity, sizes in enumerate(np.split(total, [len(order)])):
        owners = np.repeat(np.arange(len(order)), counts[quantity])
        number = np.arange(len(sizes)) - (ends[quantity] - counts[quantity])[owners]
        components = number if quantity else np.full(len(sizes), ENERGY)
        descending = np.argsort(-sizes, kind="stable")
        table.append(np.stack([order[owners], components], axis=1)[descending])
    return tuple(table)
