"""The networks of a training before its first step, as input.nn describes them."""

from __future__ import annotations

from ase.data import atomic_numbers

from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.random import WEIGHTS, stream
from bnnp.settings.settings import Settings
from bnnp.training.parameters import Parameters


def random_networks(settings: Settings) -> dict[str, Network]:
    """Initial networks by the scheme input.nn asks for, in the variables of the training."""
    model, network = settings.model, settings.network
    scheme = "glorot"
    if network.nguyen_widrow_weights_short:
        scheme = "nguyen_widrow"
    elif settings.given("weights_min") or settings.given("weights_max"):
        scheme = "uniform"
    return {
        element: initial_network(
            model.architecture[element],
            len(model.functions[element]),
            stream(settings.general.random_seed, WEIGHTS, atomic_numbers[element]),
            scheme,
            (network.weights_min, network.weights_max),
            model.normalize_nodes,
        )
        for element in model.elements
    }


def parameters_of(settings: Settings) -> Parameters:
    """Shape of the vector of all weights."""
    model = settings.model
    architectures = {element: model.architecture[element] for element in model.elements}
    return Parameters(architectures, model.n_inputs, model.normalize_nodes)
