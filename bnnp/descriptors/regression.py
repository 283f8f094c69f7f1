r"""Which symmetry functions tell the forces: orthogonal least squares.

With an energy that is linear in the functions, :math:`E = \sum_i c_{X(i)} \cdot G_i`, the force along a
displacement u of all atoms is linear in the coefficients, too,

.. math:: F \cdot u = \sum_i c_{X(i)} \cdot v_i, \qquad v_i = -\sum_j (\partial G_i / \partial r_j) u_j ,

and each such equation is a row of a least-squares problem. One after the other, the function is taken that
lowers the squared error most, beside those taken before (S. Chen, S. A. Billings, W. Luo, Int. J. Control 50,
1873 (1989)). Networks are not linear, and where CUR leaves nothing untold they gain nothing by this; but what
varies most, which is what CUR takes, need not matter at all. Displacements are random, so that a row has all
atoms of a structure (or of a part of a large one), and their mean squared error is that of the force
components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.pairs import pair_differences
from bnnp.structure import Structures

Array = NDArray[np.float64]

ATOMS = 3000  # of all structures whose forces are fitted: the derivatives of their functions take the time
ROWS, ROWS_PER_FUNCTION = 2000, 3
LARGE = 500  # atoms of a structure from which only an atom and its neighbors are moved
NEW = 1e-6  # share of a function's squares that those before it must leave over
RIDGE = 1e-6  # of the squares of each function, so that repeated ones share a coefficient


class Products(NamedTuple):
    """Sums over the rows of a linear fit.

    Parameters
    ----------
    functions : (n, n) float64
        Products of the functions of all elements, one element after the other.
    targets : (n,) float64
        Those with the forces.
    square : float
        Of the forces; 0 without any.
    """

    functions: Array
    targets: Array
    square: float


def force_products(
    structures: Structures,
    indices: Sequence[int],
    functions: Mapping[str, tuple[SymmetryFunction, ...]],
    cutoff: Cutoff,
    seed: int,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Products:
    """Normal equations of a linear fit of forces.

    Parameters
    ----------
    structures : Structures
        Those without forces do not count; atoms whose force is not known (NaN) do not move.
    indices : sequence of int
        From which structures are drawn, until they have :data:`ATOMS` atoms.
    functions : mapping of element to its functions, elements by atomic number
    cutoff : Cutoff
    seed : int
        Of the draw of structures and displacements.
    progress : callable
        Iterates over a sequence, for example with a progress bar.
    """
    elements = tuple(functions)
    descriptor = Descriptor(elements, functions, cutoff)
    first = np.cumsum([0, *descriptor.n_functions])
    rng = np.random.default_rng(seed)
    drawn, n_atoms = list[int](), 0
    for index in rng.permutation(indices).tolist():
        if n_atoms >= ATOMS:
            break
        drawn.append(index)
        n_atoms += min(len(structures[index]), LARGE)
    each = -(-max(ROWS, ROWS_PER_FUNCTION * int(first[-1])) // max(len(drawn), 1))  # rows of a structure
    products, targets, square = np.zeros((first[-1], first[-1])), np.zeros(first[-1]), 0.0
    for index in progress(sorted(drawn)):
        structure = structures[index]
        if structure.forces is None:
            continue
        known = np.asarray(np.isfinite(structure.forces).all(axis=1))
        if not structure.forces[known].any():
            continue
        types, pairs = descriptor.environments(structure)
        moved = np.arange(len(structure))
        if len(structure) > LARGE:
            center = int(rng.integers(len(structure)))
            moved = np.union1d(pairs.neighbors[pairs.first[center] : pairs.first[center + 1]], center)
            pairs = pairs.of_centers(np.union1d(pairs.centers[np.isin(pairs.neighbors, moved)], moved))
        moved = moved[known[moved]]
        blocks = descriptor.jacobian(types, pairs)
        rows, forces = np.zeros((min(each, 3 * len(moved)), first[-1])), []
        for row in rows:
            moves = np.zeros((len(structure), 3))
            moves[moved] = rng.standard_normal((len(moved), 3))
            changes = descriptor.block_jvp(types, pairs, blocks, pair_differences(pairs, moves))
            for x, width in enumerate(descriptor.n_functions):
                row[first[x] : first[x + 1]] = changes[types == x, :width].sum(axis=0)
            forces.append(np.vdot(structure.forces[known], moves[known]))
        products += rows.T @ rows
        targets += forces @ rows
        square += np.vdot(forces, forces)
    return Products(products, targets, float(square))


def most_telling(fitted: Products, owners: NDArray[np.int64], most: int) -> list[int]:
    """Functions in the order in which they lower the squared error most.

    Parameters
    ----------
    fitted : Products
    owners : (n,) int64
        Central element of each function.
    most : int
        Functions of an element at most.

    Returns
    -------
    list of int
        Columns; fewer than `most` of an element where the others repeat them.
    """
    products, targets, _ = fitted
    chosen: list[int] = []
    own, left, gain = np.diag(products).copy(), targets.copy(), np.zeros(len(targets))
    known, open_ = np.zeros((len(targets), len(targets))), own > 0.0  # columns of the Cholesky factor
    least = NEW * own
    while True:
        open_ &= own > least
        np.divide(left**2, own, out=gain, where=open_)
        gain[~open_] = 0.0
        k, n = int(np.argmax(gain)), len(chosen)
        if gain[k] == 0.0:
            return chosen
        column = (products[k] - known[:, :n] @ known[k, :n]) / np.sqrt(own[k])
        left -= column * (left[k] / np.sqrt(own[k]))
        own -= column**2
        known[:, n] = column
        chosen.append(k)
        open_[k] = False
        if np.count_nonzero(owners[chosen] == owners[k]) >= most:
            open_[owners == owners[k]] = False


def relative_error(fitted: Products, test: Products, chosen: Sequence[int]) -> float:
    """Root mean square error of the forces of `test` by the `chosen` functions with the coefficients of
    `fitted`, in units of their root mean square; NaN without forces."""
    if not chosen or test.square == 0.0:
        return float("nan")
    unit = np.sqrt(np.diag(fitted.functions)[chosen])
    matrix = fitted.functions[np.ix_(chosen, chosen)] / np.multiply.outer(unit, unit)
    found = np.linalg.solve(matrix + RIDGE * np.eye(len(chosen)), fitted.targets[chosen] / unit) / unit
    gain = float(2.0 * found @ test.targets[chosen] - found @ test.functions[np.ix_(chosen, chosen)] @ found)
    return float(np.sqrt(max(test.square - gain, 0.0) / test.square))
