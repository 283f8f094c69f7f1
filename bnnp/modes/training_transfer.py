"""``transfer_from``: the networks a training starts from, out of another potential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Affine
from bnnp.errors import InputError
from bnnp.modes.job import Job
from bnnp.modes.log import Log
from bnnp.modes.training_networks import parameters_of, random_networks
from bnnp.network.dense import Network
from bnnp.potential.loading import read_potential
from bnnp.potential.potential import Potential
from bnnp.settings import Settings, load_settings
from bnnp.training.loop import Trainer
from bnnp.training.normalization import Fold, element_offsets
from bnnp.training.transfer import Donor, partners, step_factors, transferred, unscaled

Array = NDArray[np.float64]

FITTED = 200  # structures that the new zero of the energies is fitted to


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


def read_transfer(job: Job) -> Transfer:
    """Read the potential of ``transfer_from`` and match its functions.

    Raises
    ------
    InputError, StaleFileError
        There is no complete potential, or it does not fit: units, cutoff function, hidden layers, elements.
    """
    settings = job.settings
    where = settings.origins["transfer_from"]
    if settings["use_old_weights_short"]:
        raise InputError(f"{where}: transfer_from and use_old_weights_short exclude each other; remove one")
    directory = (job.directory / " ".join(settings["transfer_from"])).resolve()
    if not (directory / "input.nn").is_file():
        raise InputError(
            f"{where}: transfer_from names {directory}, where there is no input.nn; give the directory of a "
            "potential, such as the potential/ that mode 2 leaves"
        )
    theirs = load_settings(directory / "input.nn", 3)
    potential = read_potential(directory, theirs)
    names = old_names(settings, theirs)
    _demand_fit(settings, theirs, names)
    donor = Donor(
        theirs.functions,
        potential.members[0].networks,
        {x: _affine(potential, theirs, x) for x in theirs.elements},
        theirs.normalization.conv_energy,
        theirs.normalization.mean_energy,
    )
    networks, matched = {}, {}
    for element, old in names.items():
        here, there = settings.functions[element], theirs.functions[old]
        places = partners(here, there, names, settings["transfer_scale_length"])
        found = {place for place in places if place is not None}
        if not found:
            raise InputError(
                f"{where}: no symmetry function of {element} has a partner among those of {old} there, so "
                "nothing can be transferred. Use the same functions, with lengths multiplied by "
                "transfer_scale_length."
            )
        matched[element] = (sum(place is not None for place in places), len(here), len(there))
        networks[element] = transferred(donor.on_functions(old), places, settings["transfer_scale_energy"])
    return Transfer(names, networks, matched)


def old_names(settings: Settings, theirs: Settings) -> dict[str, str]:
    """Old element of each new one: as ``transfer_map`` says, else itself if it is there."""
    names = {element: element for element in settings.elements if element in theirs.elements}
    for new, old in settings["transfer_map"]:
        if new not in settings.elements or old not in theirs.elements:
            raise InputError(
                f"{settings.origins['transfer_map']}: transfer_map {new} {old}: the elements here are "
                f"{' '.join(settings.elements)}, those there {' '.join(theirs.elements)}"
            )
        names[new] = old
    if not names:
        raise InputError(
            f"{settings.origins['transfer_from']}: the potential there has {' '.join(theirs.elements)}, none "
            f"of the elements here; say what starts from what: `transfer_map {settings.elements[0]} "
            f"{theirs.elements[0]}`"
        )
    return {element: names[element] for element in settings.elements if element in names}


def transferred_weights(
    transfer: Transfer, trainer: Trainer, folds: Mapping[str, Fold], settings: Settings
) -> Array:
    """Initial weights: the networks of `transfer`, random ones for other elements, and a new zero of energy.

    The outputs are shifted, element by element, so that the energies of the training set have no mean error.
    """
    networks = random_networks(settings)
    for element, network in transfer.networks.items():
        n = len(settings.functions[element])
        target = folds[element]
        fold = Fold(target.inputs, unscaled(n), target.scale, target.offset)
        networks[element] = fold.from_plain(network)
    parameters = trainer.model.parameters
    weights = parameters.pack(networks)
    chosen = trainer.training[:: -(-len(trainer.training) // FITTED)]
    residuals = np.zeros(len(chosen))
    places = {index: place for place, index in enumerate(chosen)}
    for index, found in trainer.evaluations(weights, chosen):
        residuals[places[index]] = found.reference_energy - found.energy
    trainer.ranks.sum_array(residuals)
    known = np.isfinite(residuals)
    counts = trainer.samples.file.n_elements[list(chosen)].astype(np.float64)
    shifts = element_offsets(counts[known], residuals[known])
    for network, shift in zip(networks.values(), shifts, strict=True):
        network.biases[-1][:] += shift * (network.sizes[-1] if network.normalize_nodes else 1)
    return parameters.pack(networks)


def factors_of(settings: Settings, names: Mapping[str, str]) -> Array | None:
    """Factors of the step size of every weight, None if all are 1."""
    rates = settings["transfer_rates"]
    if len(rates) == 1:
        layers = max(len(network.activations) for network in settings.architecture.values())
        rates = rates * layers
    return step_factors(parameters_of(settings), tuple(names), settings["transfer_freeze"], rates)


def report_transfer(log: Log, settings: Settings, transfer: Transfer) -> None:
    """What starts from what."""
    log.section("Transfer")
    log.item("from", " ".join(settings["transfer_from"]))
    for element, old in transfer.names.items():
        matched, here, there = transfer.matched[element]
        log.item(f"network of {element}", f"that of {old}; {matched} of {here} functions have a partner")
        if matched < here:
            log.warn(f"{here - matched} functions of {element} have no partner and start with weights of 0")
        if matched < there:
            log.warn(f"{there - matched} functions of {old} there are lost: they have no partner here")
    for element in settings.elements:
        if element not in transfer.names:
            log.item(f"network of {element}", "random weights")
    scales = (
        f"lengths x {settings['transfer_scale_length']:g}, energies x {settings['transfer_scale_energy']:g}"
    )
    log.item("scaled", scales)
    if settings["transfer_freeze"]:
        log.item("frozen", f"the first {settings['transfer_freeze']} layers")


def _affine(potential: Potential, theirs: Settings, element: str) -> Affine:
    scaling = potential.scaling(element)
    if scaling is None:
        return unscaled(len(theirs.functions[element]))
    return scaling.affine(theirs.scaling)


def _demand_fit(settings: Settings, theirs: Settings, names: Mapping[str, str]) -> None:
    """Stop where the potentials cannot mean the same."""
    where = settings.origins["transfer_from"]
    pairs = [
        ("units", settings.units.name, theirs.units.name),
        ("cutoff_type", settings.cutoff, theirs.cutoff),
        ("normalize_nodes", settings.normalize_nodes, theirs.normalize_nodes),
    ]
    for element, old in names.items():
        mine, other = settings.architecture[element], theirs.architecture[old]
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
