"""A small training set with exact labels: Si and Ge atoms that attract and repel in pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import write_structures
from bnnp.modes.symmetry import run as symmetry
from bnnp.run import Run
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.training.training import Training, training_set

INPUT = """\
units metal
number_of_elements 2
elements Si Ge
random_seed 5
threads 1
use_short_forces
cutoff_type 2
scale_symmetry_functions
center_symmetry_functions
global_hidden_layers_short 2
global_nodes_short 6 5
global_activation_short t t l
global_symfunction_short 2 0.01 0.0 4.5
global_symfunction_short 2 0.6 2.5 4.5
global_symfunction_short 2 0.6 3.2 4.5
global_symfunction_short 3 0.01 -1 1 4.5
global_symfunction_short 9 0.02 1 2 4.5
epochs 6
batch_size 4
warmup_epochs 1
mc_samples 8
"""
DEPTH = {(14, 14): 0.5, (14, 32): 0.35, (32, 14): 0.35, (32, 32): 0.25}  # eV
RADIUS = 4.5


def labeled(
    numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None, **extra: object
) -> Structure:
    """Energy, forces and stress of phi = depth (1 - x)^4 (e^(4 - 2r) - 2 e^(2 - r)), x = r / 4.5."""
    pairs = find_neighbors(positions, cell, RADIUS, numbers)
    r = np.linalg.norm(pairs.vectors, axis=1)
    depth = np.array(
        [DEPTH[a, b] for a, b in zip(numbers[pairs.centers], numbers[pairs.neighbors], strict=True)]
    )
    fade, slope = (1 - r / RADIUS) ** 4, -4 / RADIUS * (1 - r / RADIUS) ** 3
    well, dwell = np.exp(4 - 2 * r) - 2 * np.exp(2 - r), -2 * np.exp(4 - 2 * r) + 2 * np.exp(2 - r)
    dphi = (depth * (fade * dwell + slope * well))[:, None] * pairs.vectors / r[:, None]
    forces = np.zeros((len(numbers), 3))
    np.add.at(forces, pairs.centers, dphi)  # full list: both directions of a pair together give dphi/dr
    stress = None
    if cell is not None:
        matrix = 0.5 * pairs.vectors.T @ dphi / abs(np.linalg.det(cell))
        stress = matrix[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    reference = np.where(numbers == 14, -5.0, -4.0).sum()
    energy = float(0.5 * (depth * fade * well).sum() + reference)
    return Structure(numbers, positions, cell, energy=energy, forces=forces, stress=stress, **extra)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def label() -> Callable[..., Structure]:
    """:func:`labeled`, for other test modules."""
    return labeled


def crystals(count: int, seed: int = 3) -> list[Structure]:
    """Rattled 8-atom cells of changing composition; every fifth is a cluster, every fourth is for testing."""
    rng = np.random.default_rng(seed)
    sites = np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3)
    found = []
    for index in range(count):
        edge = 2.7 + 0.2 * rng.random()
        cell = 2 * edge * np.eye(3) + rng.normal(0.0, 0.1, (3, 3))
        numbers = np.where(rng.random(8) < (0.35 + 0.3 * rng.random()), 14, 32)
        numbers[:2] = 14, 32
        positions = sites @ (cell / 2) + rng.normal(0.0, 0.12, (8, 3))
        subset = Set.TEST if index % 4 == 3 else Set.TRAIN
        box = None if index % 5 == 4 else cell
        found.append(labeled(numbers, positions, box, subset=subset))
    return found


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the structures."""
    folder = tmp_path_factory.mktemp("training")
    write_structures(folder / "input.data", crystals(20))
    return folder


@pytest.fixture(scope="session")
def case(directory: Path) -> Callable[..., Training]:
    """Make a training from extra lines of input.nn (``X off`` takes switch X out); derivatives are stored."""

    def make(*lines: str) -> Training:
        text = INPUT
        for line in lines:
            text = text.replace(line.removesuffix(" off") + "\n", "") if line.endswith(" off") else text
        kept = [line for line in lines if not line.endswith(" off")]
        (directory / "input.nn").write_text(text + "\n".join(kept) + "\n")
        settings = load_settings(directory / "input.nn", 2)
        if not (directory / FILE_NAME).exists():
            first = load_settings(directory / "input.nn", 1)
            symmetry.compute(Run(first, directory / "input.data", directory))
        file = DescriptorFile.open(directory / FILE_NAME, settings.model)
        data = training_set(settings, file, directory)
        return Training.prepare(settings, file, directory, settings.model.descriptor(), data)

    return make
