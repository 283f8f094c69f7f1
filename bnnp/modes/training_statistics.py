"""Statistics of the training atoms for the hybrid sigma, from symmetry_functions.h5."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bnnp.io.descriptor_file import DescriptorFile
from bnnp.potential.definition import Member
from bnnp.potential.files import PotentialFiles
from bnnp.potential.potential import Potential
from bnnp.uncertainty.training_statistics import TrainingStatistics, features

MOST_ATOMS = 50_000  # of an element: more tell the same covariance


def with_statistics(files: PotentialFiles, file: DescriptorFile, training: Sequence[int]) -> PotentialFiles:
    """`files` with the statistics of the `training` structures, if an uncertainty.data can hold them."""
    if files.uncertainty is None:
        return files
    potential = Potential(files.definition, (Member(files.networks),), files.scalings)
    statistics = {}
    for number, element in enumerate(potential.elements):
        values = _values(file, element, training)
        inputs = np.zeros((len(values), potential.descriptor.width))
        inputs[:, : values.shape[1]] = values
        scaled = potential.scaled(np.full(len(values), number, dtype=np.int32), inputs)
        network = files.networks[element]
        statistics[element] = TrainingStatistics.of(values, features(network, scaled[:, : network.n_inputs]))
    return files.with_statistics(statistics)


def _values(file: DescriptorFile, element: str, training: Sequence[int]) -> NDArray[np.float64]:
    """Symmetry functions of training atoms, (n_atoms, n), of evenly spaced structures if there are many."""
    counts = np.array([file.rows(k, element).stop - file.rows(k, element).start for k in training])
    step = max(1, -(-int(counts.sum()) // MOST_ATOMS))
    table = file.descriptors(element)
    return np.concatenate([table[file.rows(k, element)] for k in training[::step]])
