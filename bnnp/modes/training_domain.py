"""Statistics of the training atoms for the hybrid sigma, from symmetry_functions.h5 to uncertainty.data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.domain_section import SECTION, format_domain
from bnnp.io.identity import identity_line
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import UncertaintyData, replace_section, write_uncertainty
from bnnp.loader import parts_of_potential, read_potential
from bnnp.modes.job import Job
from bnnp.network.masks import Masks
from bnnp.potential.potential import Potential
from bnnp.uncertainty.training_statistics import TrainingStatistics, features

MOST_ATOMS = 50_000  # of an element: more tell the same covariance


def write_domain(job: Job, file: DescriptorFile, training: Sequence[int]) -> None:
    """Add the section to the uncertainty.data of one network, which is there if it has dropout masks."""
    path = job.directory / UNCERTAINTY
    if path.is_file():
        potential = read_potential(job.directory, job.settings, calibrated=False)
        _write(path, potential, file, training)


def write_without_masks(job: Job, file: DescriptorFile, training: Sequence[int]) -> None:
    """uncertainty.data of an ensemble without dropout: no masks, but a place for domain and calibration."""
    path = job.directory / UNCERTAINTY
    if path.is_file():
        return
    potential = read_potential(job.directory, job.settings, calibrated=False)
    sizes = {element: network.sizes for element, network in potential.members[0].networks.items()}
    rates = (0.0,) * max(map(len, sizes.values()))
    masks = Masks.draw(job.settings["random_seed"], 1, rates, sizes)
    parts = parts_of_potential(job.settings, potential.members[0].networks, potential.scalings)
    write_uncertainty(path, UncertaintyData.of(masks, potential.members[0].networks), identity_line(parts))
    _write(path, potential, file, training)


def _write(path: Path, potential: Potential, file: DescriptorFile, training: Sequence[int]) -> None:
    domains = {}
    for number, element in enumerate(potential.elements):
        values = _values(file, element, training)
        inputs = np.zeros((len(values), potential.descriptor.width))
        inputs[:, : values.shape[1]] = values
        scaled = potential.scaled(np.full(len(values), number, dtype=np.int32), inputs)
        network = potential.members[0].networks[element]
        domains[element] = TrainingStatistics.of(values, features(network, scaled[:, : network.n_inputs]))
    replace_section(path, SECTION, format_domain(domains))


def _values(file: DescriptorFile, element: str, training: Sequence[int]) -> NDArray[np.float64]:
    """Symmetry functions of training atoms, (n_atoms, n), of evenly spaced structures if there are many."""
    counts = np.array([file.rows(k, element).stop - file.rows(k, element).start for k in training])
    step = max(1, -(-int(counts.sum()) // MOST_ATOMS))
    table = file.descriptors(element)
    return np.concatenate([table[file.rows(k, element)] for k in training[::step]])
