r"""Inputs and targets of the networks in training, and the exact way back to the networks of the files.

Reference energies and symmetry functions have awkward sizes: energies of -35 000 eV that differ by 0.1,
functions that vary by 10^-3 and are strongly correlated. Training therefore uses, for each element X,

    z = (G - mean_X) A_X          network inputs: centered, whitened (PCA)
    y = (E_i - offset_X) / scale  network output

and its weights W', b' (first layer on z, last layer giving y) fold exactly into a plain network on the inputs
x = (G - shift) factor + offset of the scaling chosen in input.nn, because all of these are affine::

    z = x T + t,              T = diag(1 / factor) A,    t = (shift - mean - offset / factor) A
    W_1 = T W'_1,             b_1 = b'_1 + t W'_1
    W_out = c scale W'_out,   b_out = c (scale b'_out + offset_X - mean_energy)

with c = conv_energy and mean_energy of n2p2's normalized files (1 and 0 otherwise).

A_X is the regularized whitening of the functions u = (G - mean) / (G_max - G_min) over the training atoms,
with eigenvectors V and eigenvalues l of <u u^T>: A = diag(1 / (G_max - G_min)) V / sqrt(l + r l_max). It is
what makes Adam converge fast (LeCun et al., Efficient BackProp, 1998, section 4.3): the Hessian of the first
layer becomes nearly round.

Element offsets are least-squares energies per atom of each element, of minimum norm around the common mean,
so that elements whose share never varies (one composition) get equal ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Affine, Scaling
from bnnp.network.dense import Network

Array = NDArray[np.float64]

RIDGE = 1e-4  # r: directions of smaller relative variance are not scaled up to unit size
SHARES = 1e-3  # relative spread of the composition below which it does not determine single elements


@dataclass(frozen=True, eq=False)
class Variables:
    """Variables of a training: z instead of G, y instead of the energy of an atom. They are kept in the
    checkpoint, because eigenvectors differ between machines.

    Parameters
    ----------
    inputs : mapping of element to Affine
        z of each element.
    offsets : (n_elements,) float64, energy
        Energy per atom of each element, free-atom energies included.
    scale : float, energy
    """

    inputs: Mapping[str, Affine]
    offsets: Array
    scale: float


def whitening_matrix(covariance: Array, scaling: Scaling) -> Array:
    """A, the regularized whitening of one element.

    Parameters
    ----------
    covariance : (n_functions, n_functions) float64
        <(G - mean)(G - mean)^T> over the training atoms.
    scaling : Scaling
        Ranges over the same atoms.

    Returns
    -------
    (n_functions, n_functions) float64
    """
    varying = np.flatnonzero(~scaling.constant)  # the others would mix with weak directions of these
    inverse, block = 1.0 / scaling.spread[varying], np.ix_(varying, varying)
    eigenvalues, vectors = np.linalg.eigh(inverse[:, None] * covariance[block] * inverse)
    largest = max(float(eigenvalues.max(initial=0.0)), float(np.finfo(np.float64).tiny))
    matrix = np.zeros_like(covariance)
    matrix[block] = inverse[:, None] * vectors / np.sqrt(np.maximum(eigenvalues, 0.0) + RIDGE * largest)
    return matrix


def as_scaled(affine: Affine) -> Affine:
    """z = x up to the constant of the scaling: for dropout of single inputs, which must not be mixed."""
    return Affine.mixing(affine.shift - affine.offset * _inverse(affine.factor), affine.matrix)


def principal(inputs: Affine, scaling: Scaling) -> Affine:
    """Whitened inputs brought back to their own spread, the largest 1: for the Kalman filter.

    Its steps do not depend on how the inputs are stretched, but its first covariance does: equal variances of
    all weights on whitened inputs would trust the weakest directions, mostly noise, as much as the strongest.
    """
    width = np.where(scaling.constant, 0.0, scaling.spread)
    stretch = np.linalg.norm(width[:, None] * inputs.matrix, axis=0)  # 1 / sqrt(l + r l_max)
    own = np.where(stretch > 0.0, 1.0 / np.where(stretch > 0.0, stretch, 1.0), 0.0)  # 0: never varied
    return Affine.mixing(inputs.shift, inputs.matrix * (own / (own.max() or 1.0)))


@dataclass(frozen=True, eq=False)
class ChangeOfVariables:
    """Change of variables between the network in training, y(z), and that of the files, E(x), of one element.

    Parameters
    ----------
    inputs : Affine
        z of the training.
    scaled : Affine
        x of the files.
    scale, offset : float, energy
        E_i = offset + scale y.
    conv_energy, mean_energy : float
        Normalization header of the file: output = conv_energy (E_i - mean_energy).
    """

    inputs: Affine
    scaled: Affine
    scale: float
    offset: float
    conv_energy: float = 1.0
    mean_energy: float = 0.0

    def on_functions(self) -> ChangeOfVariables:
        """The same for plain networks on G itself, whose output is the energy of an atom."""
        identity = Affine.identity(len(self.scaled.shift))
        return replace(self, scaled=identity, conv_energy=1.0, mean_energy=0.0)

    def to_plain(self, network: Network) -> Network:
        """The network of weights.XXX.data."""
        matrix, constant = self._first_layer()
        weights, biases = list(network.weights), list(network.biases)
        biases[0] = biases[0] + constant @ weights[0]  # before W_1 is replaced
        weights[0] = matrix @ weights[0]
        factor = self.conv_energy * self.scale
        weights[-1] = factor * weights[-1]
        biases[-1] = factor * biases[-1] + self._output_shift(network)
        return Network(tuple(weights), tuple(biases), network.activations, network.normalize_nodes)

    def from_plain(self, network: Network) -> Network:
        """Undo `to_plain`: a network of the files in the variables of the training."""
        matrix, constant = self._first_layer()
        weights, biases = list(network.weights), list(network.biases)
        factor = self.conv_energy * self.scale
        biases[-1] = (biases[-1] - self._output_shift(network)) / factor
        weights[-1] = weights[-1] / factor
        weights[0] = np.asarray(np.linalg.pinv(matrix) @ weights[0], dtype=np.float64)
        biases[0] = biases[0] - constant @ weights[0]
        return Network(tuple(weights), tuple(biases), network.activations, network.normalize_nodes)

    def _first_layer(self) -> tuple[Array, Array]:
        """T, (n_functions, n_functions), and t, (n_functions,)."""
        inverse = _inverse(self.scaled.factor)
        matrix = inverse[:, None] * self.inputs.matrix
        difference = self.scaled.shift - self.inputs.shift
        return matrix, difference @ self.inputs.matrix - self.scaled.offset @ matrix

    def _output_shift(self, network: Network) -> float:
        """Shift of the output bias, times the nodes by which `normalize_nodes` divides it again."""
        nodes = network.sizes[-1] if network.normalize_nodes else 1
        return nodes * self.conv_energy * (self.offset - self.mean_energy)


def element_offsets(counts: Array, energies: Array) -> Array:
    """Energy per atom of each element by least squares, minimum norm around the common mean.

    Parameters
    ----------
    counts : (n_structures, n_elements)
        Atoms of each element.
    energies : (n_structures,) float64
        Total energies.

    Returns
    -------
    (n_elements,) float64
    """
    if len(energies) == 0:
        return np.zeros(counts.shape[1])
    atoms = counts.sum(axis=1)
    per_atom = energies / atoms
    common = per_atom.mean()
    shares = counts / atoms[:, None]
    deviation = np.linalg.lstsq(shares, per_atom - common, rcond=SHARES)[0]
    offsets: Array = common + deviation
    return offsets


def _inverse(factor: Array) -> Array:
    return np.where(factor == 0.0, 0.0, 1.0 / np.where(factor == 0.0, 1.0, factor))
