"""Element networks and their Monte Carlo samples from the C++ core.

One sample is one network: its masks are shared by all atoms. Layers below the first masked one are computed
once for all samples; that one as the full sum minus the terms each sample drops (``networks.hpp``).
:func:`bnnp.network.tensors.evaluate` is the readable reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

import bnnp._core as _core
from bnnp.descriptors.compiled import Descriptor, pair_arrays
from bnnp.descriptors.neighbors import NeighborList
from bnnp.network.dense import Network

Array = NDArray[np.float64]
Types = NDArray[np.int32]
Affine = tuple[Array, Array, Array]


class Networks:
    """The networks of all elements, plain or with a frozen set of masks.

    Parameters
    ----------
    elements : tuple of str
        Sorted by atomic number.
    networks : mapping of str to Network
    width : int
        Columns of the input arrays: the largest number of inputs.
    masks : mapping of str to sequence of arrays, or None
        For each layer of an element's network the (n_samples, n_inputs of the layer) factors, 0 or 1/(1-p),
        on its inputs; an array of ones means no dropout there. None: the plain networks, one sample.
    means : mapping of str to sequence of (n_inputs of the layer,) float64
        What a dropped unit is replaced by; empty: by 0.
    centered : bool
        Whether the samples are shifted so that their mean is the plain network (:mod:`bnnp.network.masks`).
    threads : int
    """

    def __init__(
        self,
        elements: tuple[str, ...],
        networks: Mapping[str, Network],
        width: int,
        masks: Mapping[str, Sequence[Array]] | None = None,
        threads: int = 1,
        means: Mapping[str, Sequence[Array]] = MappingProxyType({}),
        centered: bool = False,
    ) -> None:
        self.n_samples = 1 if masks is None else len(masks[elements[0]][0])
        layers = []
        for element in elements:
            own = networks[element]
            factors = [None] * len(own.weights) if masks is None else [_columns(m) for m in masks[element]]
            replaced = means.get(element, [None] * len(own.weights))
            columns = zip(own.weights, own.biases, own.activations, factors, replaced, strict=True)
            layers.append([_core.Layer(*layer) for layer in columns])
        normalize = networks[elements[0]].normalize_nodes
        self._core = _core.Networks(layers, self.n_samples, width, normalize, centered, max(1, threads))
        dropped = masks is not None and any(np.any(masks[element][0] != 1.0) for element in elements)
        first = [networks[element].weights[0] for element in elements]
        self._first = None if dropped else [w / (len(w) if normalize else 1) for w in first]
        self._width = width

    def sample(
        self, types: Types, inputs: Array, gradient: bool = True, delta: bool = False
    ) -> tuple[Array, Array, Array]:
        """Atomic energies of every sample, and derivatives.

        Parameters
        ----------
        types : (n_atoms,) int32
        inputs : (n_atoms, width) float64
            Scaled symmetry functions.

        Returns
        -------
        energies : (n_atoms, n_samples) float64
        gradient : (n_atoms, width) float64
            Mean over the samples of dE/dinput; empty if not asked for.
        delta : (n_atoms, nodes of layer 1, n_samples padded with zeros) float64
            dE/d(pre-activation of layer 1) of every sample; empty if not asked for. With masks on the inputs:
            dE/dinput, (n_atoms, inputs, ...).
        """
        return self._core.sample(types, inputs, gradient, delta)

    def weighted_gradient(self, types: Types, delta: Array, weights: Array) -> Array:
        """sum_s w_s dE_s/dinput, (n_atoms, width), of the `delta` of :meth:`sample` and `weights`,
        (n_samples,)."""
        sums = delta[..., : self.n_samples] @ weights  # (n_atoms, nodes of layer 1, or inputs)
        found = np.zeros((len(types), self._width))
        if self._first is None:
            found[:, : sums.shape[1]] = sums
            return found
        for number, first in enumerate(self._first):
            own = np.flatnonzero(types == number)
            found[own, : len(first)] = sums[own, : first.shape[1]] @ first.T
        return found

    def mean_field(
        self, descriptor: Descriptor, types: Types, pairs: NeighborList, scaling: Affine, slopes: Array
    ) -> tuple[Array, Array, Array]:
        """Symmetry functions, networks and reverse sweep at once, each atom on one thread.

        The numbers are those of :meth:`Descriptor.values`, :meth:`sample` and :meth:`Descriptor.vjp`.

        Parameters
        ----------
        scaling : shift, factor, offset, each (n_elements, width) float64
            The networks get (G - shift) factor + offset.
        slopes : (n_elements, width) float64
            Factors of dE/dinput.

        Returns
        -------
        values : (n_atoms, width) float64
        energies : (n_atoms, n_samples) float64
        derivatives : (n_pairs, 3) float64
            dE/dD of the mean over the samples, in the unit of `slopes`.
        """
        return self._core.mean_field(descriptor._core, pair_arrays(types, pairs), scaling, slopes)

    def forces(
        self, descriptor: Descriptor, types: Types, pairs: NeighborList, factors: Array, delta: Array
    ) -> tuple[Array, Array]:
        """Forces and virials of every sample.

        Parameters
        ----------
        factors : (n_elements, width) float64
            d(scaled)/d(unscaled) symmetry function.
        delta : as :meth:`sample` returns it

        Returns
        -------
        forces : (n_atoms, 3, n_samples) float64
        virials : (3, 3, n_samples) float64
            sum over pairs of D (x) dE/dD.
        """
        forces, virials = self._core.forces(descriptor._core, pair_arrays(types, pairs), factors, delta)
        return forces[..., : self.n_samples], virials[..., : self.n_samples]


def _columns(factors: Array) -> Array | None:
    """(n_samples, n_in) factors as the core's (n_in, n_samples); None where nothing is dropped."""
    return None if np.all(factors == 1.0) else np.ascontiguousarray(factors.T)
