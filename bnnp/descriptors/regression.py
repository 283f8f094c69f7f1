r"""Which symmetry functions tell the forces: orthogonal least squares.

With an energy that is linear in the functions, :math:`E = \sum_i c_{X(i)} \cdot G_i`, the force along a
displacement u of all atoms is linear in the coefficients, too,

.. math:: F \cdot u = \sum_i c_{X(i)} \cdot v_i, \qquad v_i = -\sum_j (\partial G_i / \partial r_j) u_j ,

and each such equation is a row of a least-squares problem. One after the other, the function is taken that
lowers the squared error most, beside those taken before (S. Chen, S. A. Billings, W. Luo, Int. J. Control 50,
1873 (1989)). Networks are not linear, but what no linear model sees hardly matters to them; what varies most,
which is what CUR takes, need not matter at all. Displacements are random, so that a row has all atoms of a
structure, and their mean squared error is that of the force components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.pairs import pair_differences
from bnnp.structure import Structures

Array = NDArray[np.float64]

ATOMS = 6000  # of all structures whose forces are fitted: the derivatives of their functions take the time
ROWS, ROWS_PER_FUNCTION = 2000, 3
NEW = 1e-6  # share of a function's squares that those before it must leave over


def force_products(
    structures: Structures,
    functions: Mapping[str, tuple[SymmetryFunction, ...]],
    cutoff: Cutoff,
    seed: int,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> tuple[Array, Array]:
    """Normal equations of a linear fit of forces.

    Parameters
    ----------
    structures : Structures
        Those without forces do not count.
    functions : mapping of element to its functions, elements by atomic number
    cutoff : Cutoff
    seed : int
        Of the draw of structures and displacements.
    progress : callable
        Iterates over a sequence, for example with a progress bar.

    Returns
    -------
    products : (n, n) float64
        Sums over the rows; n is the number of functions of all elements, one element after the other.
    targets : (n,) float64
        Those with the forces; all 0 if there are none.
    """
    elements = tuple(functions)
    descriptor = Descriptor(elements, functions, cutoff)
    first = np.cumsum([0, *descriptor.n_functions])
    rng = np.random.default_rng(seed)
    drawn, n_atoms = list[int](), 0
    for index in rng.permutation(len(structures)).tolist():
        if n_atoms >= ATOMS:
            break
        drawn.append(index)
        n_atoms += len(structures[index])
    each = -(-max(ROWS, ROWS_PER_FUNCTION * int(first[-1])) // max(len(drawn), 1))  # rows of a structure
    products, targets = np.zeros((first[-1], first[-1])), np.zeros(first[-1])
    for index in progress(sorted(drawn)):
        structure = structures[index]
        if structure.forces is None or not structure.forces.any():
            continue
        types, pairs = descriptor.environments(structure)
        blocks = descriptor.jacobian(types, pairs)
        rows, forces = np.zeros((min(each, 3 * len(structure)), first[-1])), []
        for row in rows:
            moves = rng.standard_normal((len(structure), 3))
            changes = descriptor.block_jvp(types, pairs, blocks, pair_differences(pairs, moves))
            for x, width in enumerate(descriptor.n_functions):
                row[first[x] : first[x + 1]] = changes[types == x, :width].sum(axis=0)
            forces.append(np.vdot(structure.forces, moves))
        products += rows.T @ rows
        targets += forces @ rows
    return products, targets


def most_telling(products: Array, targets: Array, owners: NDArray[np.int64], most: int) -> list[int]:
    """Functions in the order in which they lower the squared error most.

    Parameters
    ----------
    products, targets : arrays
        As :func:`force_products` returns them.
    owners : (n,) int64
        Central element of each function.
    most : int
        Functions of an element at most.

    Returns
    -------
    list of int
        Columns; fewer than `most` of an element where the others repeat them.
    """
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
