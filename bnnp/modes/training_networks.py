"""The networks of a training before its first step, as input.nn describes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp.io.weights import read_weights, weights_name
from bnnp.modes.job import Job
from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.network.streams import WEIGHTS, stream
from bnnp.settings import Settings
from bnnp.training.normalization import Fold
from bnnp.training.parameters import Parameters

Array = NDArray[np.float64]


def initial_weights(job: Job, folds: Mapping[str, Fold]) -> Array:
    """Weights before training: random, or with ``use_old_weights_short`` those of weights.XXX.data."""
    settings = job.settings
    networks = random_networks(settings)
    if settings["use_old_weights_short"]:
        for element, fold in folds.items():
            plain = read_weights(
                job.directory / weights_name(element),
                element,
                settings.architecture[element],
                len(settings.functions[element]),
                settings.normalize_nodes,
            )
            networks[element] = fold.from_plain(plain)
    return parameters_of(settings).pack(networks)


def random_networks(settings: Settings) -> dict[str, Network]:
    """Initial networks of the scheme input.nn asks for, in the variables of the training."""
    interval = (settings["weights_min"], settings["weights_max"])
    scheme = "glorot"
    if settings["nguyen_widrow_weights_short"]:
        scheme = "nguyen_widrow"
    elif settings.given("weights_min") or settings.given("weights_max"):
        scheme = "uniform"
    return {
        element: initial_network(
            settings.architecture[element],
            len(settings.functions[element]),
            stream(settings["random_seed"], WEIGHTS, atomic_numbers[element]),
            scheme,
            interval,
            settings.normalize_nodes,
        )
        for element in settings.elements
    }


def parameters_of(settings: Settings) -> Parameters:
    """Shape of the vector of all weights."""
    n_inputs = {element: len(settings.functions[element]) for element in settings.elements}
    architectures = {element: settings.architecture[element] for element in settings.elements}
    return Parameters(architectures, n_inputs, settings.normalize_nodes)
