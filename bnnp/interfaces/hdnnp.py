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
from bnnp.descriptors.scaling import Scaling, ScalingScheme
from bnnp.errors import InputError
from bnnp.io.input_nn import write_input_nn
from bnnp.io.output import make_folder
from bnnp.io.scaling_data import ScalingData, write_scaling
from bnnp.io.weights import weights_name, write_weights
from bnnp.messages import count
from bnnp.model import Model
from bnnp.network.architecture import Architecture
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.potential import Potential
from bnnp.units import ATOMIC, Normalization, Units

Array = NDArray[np.float64]

MARGIN = 1.0001  # factor of the cutoff in LAMMPS, which must not be below that of any symmetry function


def write_hdnnp(
    directory: Path,
    potential: Potential,
    masks: Masks | None = None,
    units: Units | None = None,
    fold: bool = False,
) -> str:
    """Write input.nn, scaling.data and weights.XXX.data with n2p2's keywords only.

    Parameters
    ----------
    directory : Path
        Created if it does not exist.
    potential : Potential
        Only the first member of an ensemble is written.
    masks : Masks or None
        The masks to average over; None for the plain networks.
    units : Units or None
        Of the new files; by default those of the potential.
    fold : bool
        Whether weights and biases take up the free-atom energies, the normalization, ``normalize_nodes`` and
        the interval of the scaling, which not every program knows.

    Returns
    -------
    str
        The lines for the inputs of LAMMPS and, if it can run this potential, of CP2K.

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
    model, energy_range = replace(model, functions=functions), scalings.energy_range
    if units not in (None, model.units):
        ratio = model.units.over(units)[1]
        energy_range = energy_range and (energy_range[0] * ratio, energy_range[1] * ratio)
        model, new = _in_units(model, new, units)
    if fold:
        model, new = _without_extras(model, new)
    architecture, units = _common(new), model.units
    lines = lammps_lines(directory, model.elements, model.largest_cutoff, units)
    if fold:
        lines += f"\n\n{cp2k_lines(directory, model)}"
    make_folder(directory)
    write_scaling(directory / "scaling.data", ScalingData(ranges, energy_range))
    for element, network in new.items():
        write_weights(directory / weights_name(element), _padded(network, architecture), element)
    what = "plain networks" if masks is None else f"mean over {count(masks.samples, 'dropout mask')}"
    comment = f"Written by bnnp, in {units.length} and {units.energy}: {what}.\n{lines}"
    write_input_nn(directory / "input.nn", model, architecture, comment=comment)
    return lines


def _in_units(
    model: Model, networks: Mapping[str, Network], units: Units
) -> tuple[Model, dict[str, Network]]:
    """The same potential in other units."""
    length, energy = model.units.over(units)
    functions = {x: tuple(f.in_units(length) for f in own) for x, own in model.functions.items()}
    old = model.normalization
    normalization = Normalization(
        old.mean_energy * energy, old.conv_energy / energy, old.conv_length / length
    )
    if old == Normalization():  # the networks give energies in units of the file
        normalization, networks = old, {x: _rescaled(net, energy) for x, net in networks.items()}
    energies = {x: each * energy for x, each in model.atom_energies.items()}
    changed = replace(
        model, functions=functions, normalization=normalization, atom_energies=energies, units=units
    )
    return changed, dict(networks)


def _without_extras(model: Model, networks: Mapping[str, Network]) -> tuple[Model, dict[str, Network]]:
    """The same energies from weights and biases alone, with inputs scaled to [0, 1]."""
    scaling, normalization = model.scaling, model.normalization
    found = {}
    for element, network in networks.items():
        sizes = network.sizes if network.normalize_nodes else (1,) * len(network.sizes)
        weights = [weight / n for weight, n in zip(network.weights, sizes, strict=True)]
        biases = [bias / n for bias, n in zip(network.biases, sizes, strict=True)]
        if scaling.has_interval:
            biases[0] = biases[0] + scaling.s_min * weights[0].sum(axis=0)
            weights[0] = weights[0] * (scaling.s_max - scaling.s_min)
        plain = _network(weights, biases, replace(network, normalize_nodes=False))
        constant = normalization.mean_energy + model.atom_energies.get(element, 0.0)
        found[element] = _rescaled(plain, 1.0 / normalization.conv_energy, constant)
    interval = ScalingScheme(scaling.kind) if scaling.has_interval else scaling
    changed = replace(
        model, scaling=interval, normalization=Normalization(), atom_energies={}, normalize_nodes=False
    )
    return changed, found


def _rescaled(network: Network, factor: float, constant: float = 0.0) -> Network:
    """The network whose output is `factor` times the former one plus `constant`."""
    if factor == 1.0 and constant == 0.0:
        return network
    if network.activations[-1] != "l":
        raise InputError(
            f"--fold and --units: the output of the networks is not linear (activation "
            f"{network.activations[-1]}), so that nothing can be folded into it. Export without them."
        )
    *inner, last = network.weights
    *below, bias = network.biases
    n = network.sizes[-1] if network.normalize_nodes else 1
    return replace(network, weights=(*inner, last * factor), biases=(*below, bias * factor + constant * n))


def cp2k_lines(directory: Path, model: Model) -> str:
    """The section of a CP2K input (METHOD NNP), or why CP2K cannot run this potential.

    CP2K 2023.1 takes the reciprocal of the derivative of softplus (p): right energies, wrong forces.
    """
    functions = [function for own in model.functions.values() for function in own]
    letters = {letter for shape in model.architecture.values() for letter in shape.activations}
    reasons = {
        "symmetry functions of other types than 2 and 3": any(f.type not in (2, 3) for f in functions),
        "functions of type 3 with rs": any(f.type == 3 and f.r_s for f in functions),
        "another cutoff_type than 1 or 2, or alpha": model.cutoff.type > 2 or model.cutoff.alpha > 0.0,
        "Angstrom and eV (see --units)": model.units != ATOMIC,
        f"the activations {' '.join(sorted(letters & {'p', 'r'}))} with right forces": letters & {"p", "r"},
    }
    if lacking := [reason for reason, applies in reasons.items() if applies]:
        return f"CP2K (METHOD NNP) cannot run this potential. It lacks: {'; '.join(lacking)}."
    return (
        f"In CP2K (METHOD NNP):\n\n&NNP\n  NNP_INPUT_FILE_NAME {directory}/input.nn\n"
        f"  SCALE_FILE_NAME {directory}/scaling.data\n"
        f"  &MODEL\n    WEIGHTS {directory}/weights\n  &END MODEL\n&END NNP"
    )


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
