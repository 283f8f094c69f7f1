"""Potentials with charges, random networks of sodium, chlorine and gold, and structures for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

import bnnp
from bnnp.io.uncertainty_data import UncertaintyData, write_uncertainty
from bnnp.io.weights import weights_name, write_weights
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure

INPUT = """\
number_of_elements 3
elements Cl Na Au
nnp_type 4G-HDNNP
check_units .false.
fixed_gausswidth Cl 1.9
fixed_gausswidth Na 1.4
fixed_gausswidth Au 2.2
screen_electrostatics 3.0 7.5 p4
ewald_prec 1e-12
atom_energy Na -3.5
cutoff_type 2
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t s l
global_hidden_layers_electrostatic 1
global_nodes_electrostatic 4
global_activation_electrostatic t l
global_symfunction_short 2 0.02 0.0 8.0
global_symfunction_short 2 0.20 3.0 8.0
global_symfunction_short 3 0.01 1.0 2.0 8.0
"""
THIRD = INPUT.replace("4G-HDNNP", "3G-HDNNP")
POINTS = "\n".join(line for line in THIRD.splitlines() if not line.startswith("fixed_gausswidth")) + "\n"
FIXED = THIRD + "fixed_charge Na 0.9\nfixed_charge Cl -0.8\nfixed_charge Au -0.1\n"  # neutral
GENERATIONS = {"4G": INPUT, "3G": THIRD, "points": POINTS, "fixed": FIXED}
HARDNESS = {"Na": 0.31, "Cl": 0.42, "Au": 0.27}
CELL = np.array([[11.0, 1.0, 0.0], [0.0, 10.0, 2.0], [1.0, 0.0, 12.0]])


def write_charged(folder: Path, text: str = INPUT, seed: int = 1, scale: float = 0.5) -> Path:
    """A potential with random networks of sodium, chlorine and gold, with the files that `text` needs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.nn").write_text(text)
    model, rng = load_settings(folder / "input.nn", 3).model, np.random.default_rng(seed)
    charges = model.electrostatics
    for element in model.elements:
        kinds = [("weights", model.architecture[element], model.n_network_inputs[element])]
        if charges is not None:
            kinds.append(("weightse", charges.architecture[element], model.n_inputs[element]))
        for kind, architecture, inputs in kinds:
            values = rng.normal(scale=scale, size=architecture.n_weights(inputs))
            network = Network.from_flat(values, architecture, inputs)
            write_weights(folder / weights_name(element, kind), network, element)
        if charges is not None and charges.equilibrated:
            name = f"hardness.{atomic_numbers[element]:03d}.data"
            (folder / name).write_text(f"# of {element}\n  {HARDNESS[element]}\n")
    return folder


def write_masks(folder: Path, rates: tuple[float, ...] = (0.0, 0.2, 0.2), centered: bool = True) -> Path:
    """Five masks on both networks of a potential; of centered ones the means are made up."""
    member, rng = bnnp.load(folder, samples=0).members[0], np.random.default_rng(2)
    assert member.charges is not None
    for name, networks in (("uncertainty", member.networks), ("uncertaintye", member.charges.networks)):
        sizes = {x: network.sizes for x, network in networks.items()}
        masks = Masks.draw(len(name), 5, rates, sizes)
        if centered:
            masks = masks.with_means({x: tuple(rng.normal(size=n) for n in own) for x, own in sizes.items()})
        write_uncertainty(folder / f"{name}.data", UncertaintyData.of(masks, networks))
    return folder


def structure(kind: str, seed: int = 4) -> Structure:
    """Twelve atoms with the total charge 0.7: a molecule, a crystal, or, neutral, a slab."""
    rng = np.random.default_rng(seed)
    grid = np.array([[i, j, k] for i in range(3) for j in range(2) for k in range(2)])
    positions = grid * [3.8, 5.0, 5.0] + rng.uniform(-0.4, 0.4, (12, 3))
    numbers = np.array([11, 17, 79] * 4)
    if kind == "molecule":
        return Structure(numbers, positions, charge=0.7)
    if kind == "slab":
        return Structure(numbers, positions, CELL, pbc=(True, False, True))
    return Structure(numbers, positions, CELL, charge=0.7)


TRAINING = """
random_seed 3
use_short_forces
scale_symmetry_functions
center_symmetry_functions
stress_weight 0.1
initial_hardness Cl 0.6
test_fraction 0.2
epochs 3
batch_size 2
"""


def labeled(folder: Path, count: int = 12, charge: float = 0.7, text: str = INPUT) -> list[Structure]:
    """Molecules, crystals and slabs with the charges, energies, forces and stresses of a potential that
    :func:`write_charged` writes into `folder`."""
    teacher = bnnp.load(write_charged(folder, text, seed=5, scale=0.2))
    found = []
    for index in range(count):
        own = structure(("molecule", "crystal", "slab")[index % 3], seed=10 + index)
        own = replace(own, charge=charge if own.charge else 0.0, subset=Set.TEST if index > 8 else Set.TRAIN)
        label = teacher.predict(own)
        assert label.charges is not None
        assert label.forces is not None
        stress = None if label.stress is None else label.stress.value
        known = label.energy.value, label.forces.value, label.charges.value
        found.append(replace(own, energy=known[0], forces=known[1], charges=known[2], stress=stress))
    return found
