r"""A potential for n2p2 and LAMMPS ``pair_style hdnnp``, which have no dropout.

Each element gets its plain network (all nodes kept), or one network that is the exact mean over K masks, with
the K sampled networks as blocks: with masks m^k on the inputs of every layer,

.. math::
    W_1' = W_1, \quad
    W_2' = [\mathrm{diag}(m_1^1) W_2, \ldots, \mathrm{diag}(m_1^K) W_2], \quad
    W_l' = \mathrm{diag}_k\left(\mathrm{diag}(m_{l-1}^k) W_l\right), \quad
    w_\mathrm{out}' = \frac{1}{K} [\mathrm{diag}(m_L^k) w_\mathrm{out}]_k

so layer 1 is shared unless inputs are dropped. Where `normalize_nodes` divides by the number of nodes of the
layer before, weights and biases are multiplied by the ratio of the new number to the old.

Features that n2p2 lacks are translated where that is exact: type 1 (cosine cutoff alone) becomes type 2 with
eta = 0, smaller networks of single elements get additional nodes with zero outgoing weights, and symmetry
functions that are constant over the training set, where n2p2 divides by zero, are absorbed in the biases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.functions import N2P2_TYPES, SymmetryFunction, sort_functions
from bnnp.descriptors.scaling import Scaling
from bnnp.errors import InputError
from bnnp.io.input_nn import write_input_nn
from bnnp.io.output import make_folder
from bnnp.io.scaling_data import ScalingData, write_scaling
from bnnp.io.weights import weights_name, write_weights
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.potential import Potential
from bnnp.units import Units

Array = NDArray[np.float64]

MARGIN = 1.0001  # factor of the cutoff in LAMMPS, which must not be below that of any symmetry function


def write_hdnnp(directory: Path, potential: Potential, masks: Masks | None = None) -> str:
    """Write input.nn, scaling.data and weights.XXX.data with n2p2's keywords only.

    Parameters
    ----------
    directory : Path
        Created if it does not exist.
    potential : Potential
        Only the first member of an ensemble is written.
    masks : Masks or None
        The masks to average over; None for the plain networks.

    Returns
    -------
    str
        The lines for a LAMMPS input.

    Raises
    ------
    InputError
        The potential has a feature that n2p2 lacks.
    OutputError
        The directory cannot be written.
    """
    model, scalings, networks = potential.model, potential.scalings, potential.members[0].networks
    if scalings is None:
        raise InputError(
            "scaling.data is missing: n2p2 reads the ranges of the symmetry functions from it, even if they "
            "are not scaled. Bring the file of this training."
        )
    if model.repulsion is not None:
        raise InputError(
            "`zbl_repulsion`: n2p2 and pair_style hdnnp have no repulsion between nuclei, and would give "
            "other energies. Use pair_style bnnp (bnnp --lammps-plugin), or train without it."
        )
    functions, new, ranges = _translated(model, networks, scalings.scalings, masks)
    architecture = _common(new)
    units = model.units
    lines = lammps_lines(directory, model.elements, model.largest_cutoff, units)
    make_folder(directory)
    write_scaling(directory / "scaling.data", ScalingData(ranges, scalings.energy_range))
    for element, network in new.items():
        write_weights(directory / weights_name(element), _padded(network, architecture), element)
    what = "plain networks" if masks is None else f"mean over {masks.samples} dropout masks"
    comment = f"Written by bnnp, in {units.length} and {units.energy}: {what}.\n{lines}"
    write_input_nn(directory / "input.nn", replace(model, functions=functions), architecture, comment=comment)
    return lines


def _translated(
    model: Model, networks: Mapping[str, Network], scalings: Mapping[str, Scaling], masks: Masks | None
) -> tuple[dict[str, tuple[SymmetryFunction, ...]], dict[str, Network], dict[str, Scaling]]:
    """Symmetry functions, networks and ranges by element, in n2p2's types and order."""
    functions, orders = _functions(model)
    new: dict[str, Network] = {}
    ranges: dict[str, Scaling] = {}
    for element in model.elements:
        mean = networks[element]
        if masks is not None:
            mean = mean_network(mean, masks.scaled(element), masks.drops_inputs)
        scaling = _rows(scalings[element], orders[element])
        constant = scaling.affine(model.scaling).factor == 0.0
        new[element] = _folded(_reordered(mean, orders[element]), constant, model.scaling.s_min)
        ranges[element] = _widened(scaling, constant)
    return functions, new, ranges


def lammps_lines(directory: Path, elements: Sequence[str], cutoff: float, units: Units) -> str:
    """The two lines of a LAMMPS input with ``units metal``.

    Parameters
    ----------
    cutoff : float, length
        The largest of the symmetry functions.
    units : Units
        Of the potential; cflength and cfenergy convert from Angstrom and eV.
    """
    radius = cutoff * units.angstrom * MARGIN
    return (
        f'pair_style hdnnp {radius:.6g} dir "{directory}" showew no showewsum 100 resetew yes maxew 1000 '
        f"cflength {1.0 / units.angstrom:.12g} cfenergy {1.0 / units.ev:.12g}\n"
        f"pair_coeff * * {' '.join(elements)}"
    )


def mean_network(network: Network, masks: Sequence[Array], drops_inputs: bool) -> Network:
    """One network that gives the mean over the sampled networks.

    Parameters
    ----------
    masks : sequence of (K, n_l) float64
        Factors of the inputs and of each hidden layer.
    drops_inputs : bool
        Whether the masks of the inputs differ from 1.
    """
    samples = len(masks[0])
    n_layers = len(network.weights)
    weights, biases = [], []
    split = drops_inputs  # whether the layer before has a block for each sample
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        blocks = [mask[:, None] * weight for mask in masks[layer]]  # K of (n_in, n_out)
        if layer == n_layers - 1:
            new = np.concatenate(blocks) / samples if split and layer > 0 else np.mean(blocks, axis=0)
            new_bias = bias
        elif layer == 0 and not split:
            new, new_bias = weight, bias
        else:
            new = _block_diagonal(blocks) if split and layer > 0 else np.concatenate(blocks, axis=1)
            new_bias, split = np.tile(bias, samples), True
        ratio = len(new) / len(weight) if network.normalize_nodes else 1.0
        weights.append(new * ratio)
        biases.append(new_bias * ratio)
    return _network(weights, biases, network)


def _network(weights: Sequence[Array], biases: Sequence[Array], like: Network) -> Network:
    """A network of these arrays with the activations of `like`."""
    nodes = tuple(weight.shape[1] for weight in weights[:-1])
    values = np.concatenate(
        [part for pair in zip(weights, biases, strict=True) for part in map(np.ravel, pair)]
    )
    return Network.from_flat(
        values, Architecture(nodes, like.activations), len(weights[0]), like.normalize_nodes
    )


def _block_diagonal(blocks: Sequence[Array]) -> Array:
    n_in, n_out = blocks[0].shape
    result = np.zeros((len(blocks), n_in, len(blocks), n_out))
    for k, block in enumerate(blocks):
        result[k, :, k] = block
    return result.reshape(len(blocks) * n_in, len(blocks) * n_out)


def _functions(model: Model) -> tuple[dict[str, tuple[SymmetryFunction, ...]], dict[str, list[int]]]:
    """Functions in n2p2's types and order, and the column each had before."""
    functions, orders = {}, {}
    for element in model.elements:
        old = [_as_n2p2(function, model.cutoff) for function in model.functions[element]]
        if len(set(old)) < len(old):
            raise InputError(
                f"two symmetry functions of {element} are the same for n2p2 (type 1, and type 2 with eta = "
                "r_s = 0): such a potential cannot be exported"
            )
        functions[element] = sort_functions(old)
        orders[element] = [old.index(function) for function in functions[element]]
    return functions, orders


def _as_n2p2(function: SymmetryFunction, cutoff: Cutoff) -> SymmetryFunction:
    """The function in a type that n2p2 has."""
    if function.type not in N2P2_TYPES or (function.type == 1 and (cutoff.type != 1 or cutoff.alpha)):
        reason = f" with cutoff_type {cutoff.type}" if function.type == 1 else ""
        raise InputError(
            f"input.nn line {function.line}: n2p2 has no symmetry function of type {function.type}{reason}, "
            "so pair_style hdnnp cannot run this potential. Use pair_style bnnp (bnnp --lammps-plugin), or "
            "train without this function."
        )
    return replace(function, type=2, eta=0.0, r_s=0.0) if function.type == 1 else function


def _reordered(network: Network, order: list[int]) -> Network:
    weights = [network.weights[0][order], *network.weights[1:]]
    return _network(weights, network.biases, network)


def _rows(scaling: Scaling, order: list[int]) -> Scaling:
    return Scaling(scaling.minimum[order], scaling.maximum[order], scaling.mean[order], scaling.sigma[order])


def _folded(network: Network, constant: NDArray[np.bool_], value: float) -> Network:
    """An equal network with zero weights of the inputs that always have this `value`."""
    weight = network.weights[0].copy()
    bias = network.biases[0] + value * weight[constant].sum(axis=0)
    weight[constant] = 0.0
    return _network([weight, *network.weights[1:]], [bias, *network.biases[1:]], network)


def _widened(scaling: Scaling, constant: NDArray[np.bool_]) -> Scaling:
    """Ranges without zeros, by which n2p2 can divide."""
    maximum, sigma = scaling.maximum + constant, np.where(constant, 1.0, scaling.sigma)
    return Scaling(scaling.minimum, maximum, scaling.mean, sigma)


def _common(networks: Mapping[str, Network]) -> Architecture:
    """The smallest architecture that contains that of every element, as n2p2 has one for all."""
    shapes = {element: network.architecture for element, network in networks.items()}
    if len({shape.activations for shape in shapes.values()}) > 1:
        text = ", ".join(f"{element} {' '.join(shape.activations)}" for element, shape in shapes.items())
        raise InputError(
            "n2p2 needs the same number of hidden layers and the same activations for every element, but "
            f"they are {text}: pair_style hdnnp cannot run this potential. Use pair_style bnnp, or train "
            "with equal layers."
        )
    nodes = tuple(max(sizes) for sizes in zip(*(shape.nodes for shape in shapes.values()), strict=True))
    return Architecture(nodes, next(iter(shapes.values())).activations)


def _padded(network: Network, architecture: Architecture) -> Network:
    """An equal network with the nodes of `architecture`; added nodes have zero outgoing weights."""
    weights, biases = [], []
    sizes = architecture.layer_sizes(network.n_inputs)
    for weight, bias, n_in, n_out in zip(network.weights, network.biases, sizes, sizes[1:], strict=False):
        grown = np.zeros((n_in, n_out))
        grown[: weight.shape[0], : weight.shape[1]] = weight
        ratio = n_in / len(weight) if network.normalize_nodes else 1.0
        weights.append(grown * ratio)
        biases.append(np.concatenate([bias, np.zeros(n_out - len(bias))]) * ratio)
    return _network(weights, biases, network)
