r"""Networks for new elements from a potential of other elements.

A network is a function of the unscaled symmetry functions G, so it means the same for another element if its
inputs do. Function k' of the old element takes the place of function k of the new one if it is the same after
the elements are renamed and, for a transfer to other lengths l -> s l,

    r_c = s r_c',    r_s = s r_s',    r_l = s r_l',    eta = eta' / s^2

(types 4 and 8 have their own dimensions). For a structure stretched by s each G is then the same, and if the
energies are also multiplied by e, the new potential is E(s R) = e E'(R): exact for potentials that differ in
their length and energy only, as the pair part of the Stillinger-Weber potential does between Si and Ge.

With the old network on G, W_G = diag(factor') W' and b_G = b' + (offset' - shift' factor') W', the row of
every function without a partner is 0; the rest of the layers is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.functions import ETA_POWER, SymmetryFunction
from bnnp.descriptors.scaling import Affine
from bnnp.errors import InputError
from bnnp.network.dense import Network
from bnnp.potential.loading import read_potential
from bnnp.potential.potential import Potential
from bnnp.settings.settings import Settings, load_settings
from bnnp.training.normalization import ChangeOfVariables
from bnnp.training.parameters import Parameters

Array = NDArray[np.float64]

TOLERANCE = 2e-3  # relative difference of parameters that are the same but for rounding in input.nn
COMPARED = ("r_c", "eta", "r_s", "lambda_", "zeta", "r_l", "angle_left", "angle_right")


@dataclass(frozen=True, eq=False)
class Donor:
    """The potential the networks are taken from.

    Parameters
    ----------
    functions : mapping of str to tuple of SymmetryFunction
        By element of the old potential.
    networks : mapping of str to Network
        Of its files.
    affines : mapping of str to Affine
        Its scaling of the inputs.
    conv_energy, mean_energy : float
        Its normalization header.
    """

    functions: Mapping[str, tuple[SymmetryFunction, ...]]
    networks: Mapping[str, Network]
    affines: Mapping[str, Affine]
    conv_energy: float = 1.0
    mean_energy: float = 0.0

    def on_functions(self, element: str) -> Network:
        """The network of `element` on unscaled G, its output the energy of an atom."""
        n = len(self.functions[element])
        affine, network = self.affines[element], self.networks[element]
        constant = (affine.offset - affine.shift * affine.factor) @ network.weights[0]
        first = affine.factor[:, None] * network.weights[0]
        biases = (network.biases[0] + constant, *network.biases[1:])
        whole = replace(network, weights=(first, *network.weights[1:]), biases=biases)
        change = ChangeOfVariables(
            inputs=Affine.mixing(np.zeros(n), np.eye(n)),
            scaled=Affine.identity(n),
            scale=1.0,
            offset=0.0,
            conv_energy=self.conv_energy,
            mean_energy=self.mean_energy,
        )
        return change.from_plain(whole)


@dataclass(frozen=True, eq=False)
class Transfer:
    """Networks from another potential.

    Parameters
    ----------
    names : mapping of str to str
        Old element of each new one that has one.
    networks : mapping of str to Network
        Of these, on unscaled symmetry functions, their outputs energies of atoms.
    matched : mapping of str to (int, int, int)
        Functions with a partner, functions here, functions there.
    """

    names: Mapping[str, str]
    networks: Mapping[str, Network]
    matched: Mapping[str, tuple[int, int, int]]

    def step_factors(self, settings: Settings, parameters: Parameters) -> Array | None:
        """Factors of the step size of every weight, (n_weights,); None if all are 1."""
        rates = settings.transfer.transfer_rates
        if len(rates) == 1:
            layers = max(len(network.activations) for network in settings.model.architecture.values())
            rates = rates * layers
        return step_factors(parameters, tuple(self.names), settings.transfer.transfer_freeze, rates)


def read_transfer(settings: Settings, folder: Path) -> Transfer:
    """Read the potential of ``transfer_from``, a path from `folder`, and match its functions.

    Raises
    ------
    InputError, StaleFileError
        There is no complete potential, or it does not fit: units, cutoff function, hidden layers, elements.
    """
    where = settings.origins["transfer_from"]
    if settings.network.use_old_weights_short:
        raise InputError(f"{where}: transfer_from and use_old_weights_short exclude each other; remove one")
    directory = (folder / " ".join(settings.transfer.transfer_from)).resolve()
    if not (directory / "input.nn").is_file():
        raise InputError(
            f"{where}: transfer_from names {directory}, where there is no input.nn; give the directory of a "
            "potential, such as the potential/ that mode 2 leaves"
        )
    theirs = load_settings(directory / "input.nn", 3)
    if theirs.model.electrostatics is not None:
        raise InputError(
            f"{where}: {directory} is a potential with networks of charges; take one without them"
        )
    potential = read_potential(directory, theirs)
    names = old_names(settings, theirs)
    _demand_fit(settings, theirs, names)
    donor = Donor(
        functions=theirs.model.functions,
        networks=potential.members[0].networks,
        affines={x: _affine(potential, theirs, x) for x in theirs.model.elements},
        conv_energy=theirs.model.normalization.conv_energy,
        mean_energy=theirs.model.normalization.mean_energy,
    )
    networks, matched = {}, {}
    for element, old in names.items():
        here, there = settings.model.functions[element], theirs.model.functions[old]
        places = partners(here, there, names, settings.transfer.transfer_scale_length)
        found = {place for place in places if place is not None}
        if not found:
            raise InputError(
                f"{where}: no symmetry function of {element} has a partner among those of {old} there, so "
                "nothing can be transferred. Use the same functions, with lengths multiplied by "
                "transfer_scale_length."
            )
        matched[element] = (sum(place is not None for place in places), len(here), len(there))
        networks[element] = transferred(
            donor.on_functions(old), places, settings.transfer.transfer_scale_energy
        )
    return Transfer(names, networks, matched)


def old_names(settings: Settings, theirs: Settings) -> dict[str, str]:
    """Old element of each new one: as ``transfer_map`` says, else itself if it is there."""
    names = {element: element for element in settings.model.elements if element in theirs.model.elements}
    for new, old in settings.transfer.transfer_map:
        if new not in settings.model.elements or old not in theirs.model.elements:
            raise InputError(
                f"{settings.origins['transfer_map']}: transfer_map {new} {old}: the elements here are "
                f"{' '.join(settings.model.elements)}, those there {' '.join(theirs.model.elements)}"
            )
        names[new] = old
    if not names:
        here, there = settings.model.elements, theirs.model.elements
        raise InputError(
            f"{settings.origins['transfer_from']}: the potential there has {' '.join(there)}, none of the "
            f"elements here; say what starts from what: `transfer_map {here[0]} {there[0]}`"
        )
    return {element: names[element] for element in settings.model.elements if element in names}


def partners(
    functions: Sequence[SymmetryFunction],
    old: Sequence[SymmetryFunction],
    names: Mapping[str, str],
    length: float = 1.0,
) -> list[int | None]:
    """For each new function the position of the old one in its place, or None.

    Parameters
    ----------
    functions, old : sequences of SymmetryFunction
        Of one new element and of the old element it is made from.
    names : mapping of str to str
        Old element of each new one.
    length : float
        s.
    """
    renamed = [shrunk(function, names, length) for function in functions]
    return [None if f is None else _nearest(f, old) for f in renamed]


def shrunk(function: SymmetryFunction, names: Mapping[str, str], length: float) -> SymmetryFunction | None:
    """A new function in the old potential's elements and lengths; None if it cannot be there: an element
    without an old one, or neighbors that are weighted by their own atomic numbers."""
    if function.is_weighted or any(x not in names for x in (function.element, *function.neighbors)):
        return None
    power = ETA_POWER.get(function.type, 2)
    return replace(
        function,
        element=names[function.element],
        neighbors=tuple(names[neighbor] for neighbor in function.neighbors),
        r_c=function.r_c / length,
        r_s=function.r_s if function.type == 8 else function.r_s / length,
        r_l=function.r_l / length,
        eta=function.eta * length**power,
    )


def _nearest(function: SymmetryFunction, old: Sequence[SymmetryFunction]) -> int | None:
    """Position of the function of the same type and neighbors and, within rounding, the same parameters."""
    best, distance = None, TOLERANCE
    kind = attrgetter("type", "neighbors", "subtype")
    for position, other in enumerate(old):
        same = kind(other) == kind(function)
        if same and (found := _difference(function, other)) < distance:
            best, distance = position, found
    return best


def _difference(one: SymmetryFunction, other: SymmetryFunction) -> float:
    """Largest relative difference of the parameters; of lengths relative to the cutoff radius."""
    found = 0.0
    for name in COMPARED:
        a, b = getattr(one, name), getattr(other, name)
        size = one.r_c if name in ("r_s", "r_l") and one.type != 8 else max(abs(a), abs(b))
        found = max(found, abs(a - b) / size if size else 0.0)
    return found


def transferred(network: Network, places: Sequence[int | None], energy: float) -> Network:
    """A network on new G from the old one on its G, energies times `energy`.

    Parameters
    ----------
    network : Network
        :meth:`Donor.on_functions`.
    places : sequence of int or None
        :func:`partners`.
    """
    first = np.zeros((len(places), network.weights[0].shape[1]))
    for row, place in enumerate(places):
        if place is not None:
            first[row] = network.weights[0][place]
    weights, biases = [first, *network.weights[1:]], list(network.biases)
    weights[-1], biases[-1] = energy * weights[-1], energy * biases[-1]
    return replace(network, weights=tuple(weights), biases=tuple(biases))


def step_factors(
    parameters: Parameters, elements: Sequence[str], frozen: int, rates: Sequence[float]
) -> Array | None:
    """Factors of the step size of every weight, (n_weights,): 0 in the first `frozen` layers of `elements`,
    `rates` layer by layer in the others (1 where there are fewer). None if all are 1."""
    parts = []
    for element, architecture in parameters.architectures.items():
        sizes = architecture.layer_sizes(parameters.n_inputs[element])
        for layer, (n_in, n_out) in enumerate(zip(sizes, sizes[1:], strict=False)):
            factor = 1.0
            if element in elements:
                rate = rates[layer] if layer < len(rates) else 1.0
                factor = 0.0 if layer < frozen else rate
            parts.append(np.full((n_in + 1) * n_out, factor))
    factors = np.concatenate(parts)
    return None if (factors == 1.0).all() else factors


def _affine(potential: Potential, theirs: Settings, element: str) -> Affine:
    scaling = potential.scaling(element)
    if scaling is None:
        return Affine.identity(theirs.model.n_inputs[element])
    return scaling.affine(theirs.model.scaling)


def _demand_fit(settings: Settings, theirs: Settings, names: Mapping[str, str]) -> None:
    """Raise InputError if units, cutoff function or hidden layers of the potentials differ."""
    where = settings.origins["transfer_from"]
    pairs = [
        ("units", settings.model.units.name, theirs.model.units.name),
        ("cutoff_type", settings.model.cutoff, theirs.model.cutoff),
        ("normalize_nodes", settings.model.normalize_nodes, theirs.model.normalize_nodes),
    ]
    for element, old in names.items():
        mine, other = settings.model.architecture[element], theirs.model.architecture[old]
        pairs.append(
            (f"hidden layers of {element}", (mine.nodes, mine.activations), (other.nodes, other.activations))
        )
    for name, here, there in pairs:
        if here != there:
            raise InputError(
                f"{where}: {name} is {_shown(here)} here, but {_shown(there)} in the potential of "
                "transfer_from; a transfer needs the same: change input.nn here"
            )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(" ".join(map(str, part)) for part in value)
    return str(value)
