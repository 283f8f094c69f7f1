"""Symmetry functions and their derivatives from the C++ core.

Four sweeps over the pairs of a neighbor list, whose displacement vectors are D:

=========  ====================  =============================================================
values     D -> G                what mode 1 needs
vjp        D, dE/dG -> dE/dD     forces and virial, in one reverse sweep that never forms dG/dD
jvp        D, dD -> dG           derivative of the forces with respect to network weights
jacobian   D -> dG/dD            only to store it
=========  ====================  =============================================================

:mod:`bnnp.descriptors.acsf` computes the same numbers from the formulas as printed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import DTypeLike, NDArray

import bnnp._core as _core
from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import COMPACT, SymmetryFunction
from bnnp.descriptors.neighbors import NeighborList, find_neighbors
from bnnp.descriptors.survey import element_types
from bnnp.structure import Structure

Array = NDArray[np.float64]
Types = NDArray[np.int32]
Blocks = NDArray[np.float32] | NDArray[np.float64]


class Descriptor:
    """Symmetry functions of a set of elements.

    Parameters
    ----------
    elements : tuple of str
        Sorted by atomic number; `types` below are indices into it.
    functions : mapping of str to tuple of SymmetryFunction
        Functions of each central element in their final order.
    cutoff : Cutoff
        Cutoff function shared by all of them.
    dtype : float64 or float32
        Precision inside; all arrays that go in or out are float64.
    threads : int
        Threads over atoms. The results do not depend on their number.
    """

    def __init__(
        self,
        elements: tuple[str, ...],
        functions: Mapping[str, tuple[SymmetryFunction, ...]],
        cutoff: Cutoff,
        dtype: DTypeLike = np.float64,
        threads: int = 1,
    ) -> None:
        self.elements = elements
        self.functions = functions
        self.n_functions = tuple(len(functions[element]) for element in elements)
        self.radius = max(function.r_c for element in elements for function in functions[element])
        specifications = [
            _specification(function, column, elements)
            for element in elements
            for column, function in enumerate(functions[element])
        ]
        numbers = [float(atomic_numbers[element]) for element in elements]
        single = np.dtype(dtype) == np.float32
        self._cutoff, self._threads = cutoff, max(1, threads)
        self._core = _core.Descriptor(
            numbers, specifications, cutoff.type, cutoff.alpha, single, self._threads
        )
        self._sensitive = {
            (x, y): np.array(self._core.sensitive(elements.index(x), elements.index(y)), dtype=np.int64)
            for x in elements
            for y in elements
        }

    def with_dtype(self, dtype: DTypeLike) -> Descriptor:
        """The same functions, computed in another precision."""
        return Descriptor(self.elements, self.functions, self._cutoff, dtype, self._threads)

    @property
    def width(self) -> int:
        """Largest number of functions of an element: columns of the arrays over functions."""
        return self._core.width

    @property
    def threads(self) -> int:
        """Threads over atoms."""
        return self._threads

    @property
    def kernel(self) -> str:
        """Instruction set in use, for example ``x86-64-v4``."""
        return self._core.kernel

    def environments(self, structure: Structure) -> tuple[Types, NeighborList]:
        """Element index of every atom, (n_atoms,) int32, and the pairs within the largest cutoff."""
        types = element_types(structure, self.elements)
        return types, find_neighbors(
            structure.positions, structure.cell, self.radius, structure.numbers, self._threads, structure.pbc
        )

    def sensitive(self, center: str, neighbor: str) -> NDArray[np.int64]:
        """Columns of the functions of `center` that can depend on a neighbor of element `neighbor`."""
        return self._sensitive[center, neighbor]

    def block_sizes(self, types: Types, pairs: NeighborList) -> NDArray[np.int64]:
        """Numbers in each pair's block, 3 times the number of sensitive functions: (n_pairs,) int64."""
        counts = np.array([[3 * len(self._sensitive[x, y]) for y in self.elements] for x in self.elements])
        return counts[types[pairs.centers], types[pairs.neighbors]]

    def values(self, types: Types, pairs: NeighborList) -> Array:
        """Symmetry functions G. (n_atoms, width) float64, zero beyond the functions of the atom's element."""
        return self._core.values(pair_arrays(types, pairs))

    def vjp(self, types: Types, pairs: NeighborList, dE_dG: Array) -> Array:
        """Reverse sweep: dE/dD = sum over functions of dE/dG dG/dD. (n_pairs, 3) float64, energy/length.

        Parameters
        ----------
        dE_dG : (n_atoms, width) float64, energy
        """
        return self._core.vjp(pair_arrays(types, pairs), dE_dG)

    def jvp(self, types: Types, pairs: NeighborList, dD: Array) -> Array:
        """Forward sweep: dG = sum over pairs of dG/dD dD. (n_atoms, width) float64.

        Parameters
        ----------
        dD : (n_pairs, 3) float64
        """
        return self._core.jvp(pair_arrays(types, pairs), dD)

    def jacobian(self, types: Types, pairs: NeighborList, dtype: DTypeLike = np.float32) -> Blocks:
        """dG/dD as flat blocks, one a pair, in the order of the pairs.

        Returns
        -------
        (sum of block sizes,) float32 or float64, 1/length
            Block of a pair: C order (3, n_sensitive), columns as :meth:`sensitive` lists them.
        """
        double = np.dtype(dtype) == np.float64
        return self._core.jacobian(pair_arrays(types, pairs), double)

    def block_vjp(self, types: Types, pairs: NeighborList, blocks: Blocks, dE_dG: Array) -> Array:
        """:meth:`vjp` from stored blocks instead of from the geometry."""
        return self._core.block_vjp(pair_arrays(types, pairs), blocks, dE_dG)

    def block_jvp(self, types: Types, pairs: NeighborList, blocks: Blocks, dD: Array) -> Array:
        """:meth:`jvp` from stored blocks instead of from the geometry."""
        return self._core.block_jvp(pair_arrays(types, pairs), blocks, dD)


def pair_arrays(types: Types, pairs: NeighborList) -> tuple[Types, NDArray[np.int64], Types, Array]:
    """Types and the three arrays of a neighbor list that the core takes."""
    return types, pairs.first, pairs.neighbors, pairs.vectors


def _specification(function: SymmetryFunction, column: int, elements: tuple[str, ...]) -> _core.FunctionSpec:
    """One function for the core, with indices of elements and the number of its core polynomial."""
    neighbors = [elements.index(element) for element in function.neighbors] + [-1, -1]
    core = 0
    if function.type in COMPACT:
        core = 5 if function.subtype == "e" else int(function.subtype[1])
    return _core.FunctionSpec(
        element=elements.index(function.element),
        column=column,
        type=function.type,
        neighbor1=neighbors[0],
        neighbor2=neighbors[1],
        eta=function.eta,
        r_s=function.r_s,
        lambda_=function.lambda_,
        zeta=function.zeta,
        r_c=function.r_c,
        r_l=function.r_l,
        angle_left=function.angle_left,
        angle_right=function.angle_right,
        core=core,
        asymmetric=function.subtype.endswith("a"),
    )
