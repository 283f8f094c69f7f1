"""The networks of a training before its first step, as input.nn describes them."""

from __future__ import annotations

from ase.data import atomic_numbers

from bnnp.network.dense import Network
from bnnp.network.initial import initial_network
from bnnp.random import CHARGE_WEIGHTS, WEIGHTS, stream
from bnnp.settings.settings import Settings
from bnnp.training.parameters import Parameters


def random_networks(
    settings: Settings, shape: Parameters | None = None, purpose: int = WEIGHTS
) -> dict[str, Network]:
    """Initial networks by the scheme input.nn asks for, in the variables of the training.

    Parameters
    ----------
    shape : Parameters, optional
        By default that of the networks of the energy.
    purpose : int
        Of the random numbers.
    """
    shape = parameters_of(settings) if shape is None else shape
    network, charges = settings.network, purpose == CHARGE_WEIGHTS
    scheme = "glorot"
    if settings.charges.nguyen_widrow_weights_charge if charges else network.nguyen_widrow_weights_short:
        scheme = "nguyen_widrow"
    elif settings.given("weights_min") or settings.given("weights_max"):
        scheme = "uniform"
    return {
        element: initial_network(
            architecture,
            shape.n_inputs[element],
            stream(settings.general.random_seed, purpose, atomic_numbers[element]),
            scheme,
            (network.weights_min, network.weights_max),
            shape.normalize_nodes,
        )
        for element, architecture in shape.architectures.items()
    }


def parameters_of(settings: Settings) -> Parameters:
    """Shape of the vector of all weights."""
    model = settings.model
    architectures = {element: model.architecture[element] for element in model.elements}
    return Parameters(architectures, model.n_network_inputs, model.normalize_nodes)
