"""The compiled core, bnnp/core/, as Python sees it.

Shapes and units: :mod:`bnnp.descriptors.compiled`, :mod:`bnnp.network.compiled`. `read_potential` gives the
fields of PotentialData, core/potential/potential.hpp, by name.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Pairs = tuple[Ints, Longs, Ints, Array]  # types of the atoms; first pair, neighbors and vectors of the list

class FunctionSpec:
    def __init__(self, **parameters: Any) -> None: ...

class Descriptor:
    width: int
    kernel: str
    def __init__(
        self,
        numbers: Sequence[float],
        functions: Sequence[FunctionSpec],
        cutoff_type: int,
        cutoff_alpha: float,
        single: bool,
        threads: int,
    ) -> None: ...
    def sensitive(self, center: int, neighbor: int) -> list[int]: ...
    def values(self, pairs: Pairs) -> Array: ...
    def vjp(self, pairs: Pairs, dE_dG: Array) -> Array: ...
    def jvp(self, pairs: Pairs, dD: Array) -> Array: ...
    def jacobian(self, pairs: Pairs, double: bool) -> NDArray[np.float32] | Array: ...
    def block_vjp(self, pairs: Pairs, blocks: NDArray[Any], dE_dG: Array) -> Array: ...
    def block_jvp(self, pairs: Pairs, blocks: NDArray[Any], dD: Array) -> Array: ...

class Layer:
    def __init__(
        self, weights: Array, biases: Array, activation: str, factors: Array | None, means: Array | None
    ) -> None: ...

class Networks:
    def __init__(
        self,
        layers: Sequence[Sequence[Layer]],
        samples: int,
        width: int,
        normalize: bool,
        centered: bool,
        threads: int,
    ) -> None: ...
    def sample(
        self, types: Ints, inputs: Array, gradient: bool, delta: bool
    ) -> tuple[Array, Array, Array]: ...
    def mean_field(
        self,
        descriptor: Descriptor,
        pairs: Pairs,
        scaling: tuple[Array, Array, Array],
        slopes: Array,
    ) -> tuple[Array, Array, Array]: ...
    def forces(
        self,
        descriptor: Descriptor,
        pairs: Pairs,
        factors: Array,
        delta: Array,
    ) -> tuple[Array, Array]: ...

class ChargeSums:
    def slopes(self, screened: bool) -> Array: ...
    def __init__(
        self,
        positions: Array,
        widths: Array,
        spreads: Array,
        images: Array,
        cutoff: float,
        inner: float,
        outer: float,
        core: int,
        threads: int,
    ) -> None: ...
    def matrices(self) -> tuple[Array, Array]: ...
    def products(self, right: Array) -> Array: ...
    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]: ...

class NearCharges:
    def __init__(
        self,
        positions: Array,
        cell: Array,
        widths: Array,
        spreads: Array,
        radius: float,
        reach: float,
        inner: float,
        outer: float,
        core: int,
        threads: int,
    ) -> None: ...
    def times_A(self, right: Array) -> Array: ...
    def times_B(self, right: Array) -> Array: ...
    def derivatives(self, left: Array, right: Array) -> tuple[Array, Array]: ...

class ChargeMesh:
    def __init__(self, fractional: Array, shape: tuple[int, int, int], order: int, threads: int) -> None: ...
    def spread(self, charges: Array) -> Array: ...
    def values(self, mesh: Array) -> Array: ...
    def gradients(self, mesh: Array) -> Array: ...

def physical_memory() -> float: ...
def instruction_sets() -> list[str]: ...
def find_neighbors(
    positions: Array, points: Array, box: Array | None, numbers: Longs, cutoff: float, threads: int
) -> tuple[Any, ...]: ...
def narrow(
    first: Longs, neighbors: Ints, images: Array, positions: Array, cutoff: float
) -> tuple[Any, ...]: ...
def sum_pairs(first: Longs, neighbors: Ints, derivatives: Array) -> Array: ...
def neighbor_virials(first: Longs, neighbors: Ints, vectors: Array, derivatives: Array) -> Array: ...
def pair_differences(first: Longs, neighbors: Ints, values: Array) -> Array: ...
def read_potential(directory: str) -> dict[str, Any]: ...
def find_words(text: bytes, words: Sequence[bytes], start: int = 0) -> tuple[list[int], bytes]: ...
def parse_rows(
    text: bytes, columns: int, start: bytes = b"", stop: bytes = b"", aligned: bool = False
) -> Array: ...
def within(values: Array, limit: float) -> bool: ...
def format_atoms(symbols: list[str], positions: Array, forces: Array, decimals: int) -> str: ...
