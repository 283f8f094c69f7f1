"""A small potential in files: two elements, random networks, five masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.scaling import Scaling
from bnnp.io.scaling_data import ScalingData
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.network.initial import initial_network
from bnnp.network.masks import Masks
from bnnp.potential.files import PotentialFiles
from bnnp.settings.settings import load_settings

TEXT = """\
number_of_elements 2
elements Te Ge
units metal
scale_symmetry_functions
center_symmetry_functions
atom_energy fit
global_hidden_layers_short 2
global_nodes_short 5 4
global_activation_short t t l
global_symfunction_short 2 0.1 0.0 5.0
global_symfunction_short 2 1.0 2.5 5.0
global_symfunction_short 3 0.02 1 2 5.0
"""
ENERGIES = {"Ge": -1.5, "Te": 0.25}  # fitted by mode 2, in scaling.data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory as mode 2 leaves it with ``atom_energy fit``."""
    (tmp_path / "input.nn").write_text(TEXT)
    settings = load_settings(tmp_path / "input.nn", 3)
    rng = np.random.default_rng(1)
    networks, scalings = {}, {}
    for element, functions in settings.model.functions.items():
        networks[element] = initial_network(settings.model.architecture[element], len(functions), rng)
        scalings[element] = Scaling.of(rng.random((20, len(functions))))
    masks = Masks.draw(3, 5, (0.0, 0.2, 0.3), {x: network.sizes for x, network in networks.items()})
    data = UncertaintyData.of(masks, networks)
    spread = ScalingData(scalings, (-2.0, -1.0), settings.model.fingerprint, ENERGIES)
    definition = replace(settings.model, atom_energies=ENERGIES)
    PotentialFiles(definition, networks, spread, data).write(tmp_path)
    return tmp_path
