"""Statistics of the training set: ranges and covariances of the symmetry functions, spread of the references.

All are computed once before the first step, from pieces of symmetry_functions.h5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnnp.descriptors.scaling import Affine, Scaling
from bnnp.descriptors.statistics import Moments
from bnnp.errors import InputError
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.messages import count
from bnnp.network.dense import Network
from bnnp.network.tensors import hidden_values
from bnnp.potential.files import PotentialFiles
from bnnp.training.evaluation import Evaluator
from bnnp.training.loss import Spread
from bnnp.training.normalization import element_offsets, whitening_matrix
from bnnp.training.samples import Limits, Sample, Targets
from bnnp.uncertainty.training_statistics import TrainingStatistics

Array = NDArray[np.float64]

ROWS = 16384  # atoms read at a time
MOST_ATOMS = 50_000  # of an element: more do not change the covariance of the functions


@dataclass(frozen=True, eq=False)
class References:
    """Reference values of the training set.

    Parameters
    ----------
    offsets : (n_elements,) float64, energy
        Energy per atom of each element, free-atom energies included.
    spread : Spread
        In the units of the file.
    energy_range : (float, float), energy
        Smallest and largest energy per atom without free-atom energies.
    """

    offsets: Array
    spread: Spread
    energy_range: tuple[float, float]


def references(file: DescriptorFile, training: Sequence[int], targets: Targets) -> References:
    """Statistics of all references of the training set.

    Raises
    ------
    InputError
        No structure has an energy, or the limits of `targets` leave none.
    """
    counts = file.n_elements[list(training)].astype(np.float64)
    kept = [targets.of(file, index)[::2] for index in training]
    energies, stresses = np.array([energy for energy, _ in kept]), np.stack([stress for _, stress in kept])
    used = np.isfinite(energies)
    if not np.isfinite(file.energy[list(training)]).any():
        raise InputError(
            f"none of the {count(len(energies), 'training structure')} has an energy (`energy=none` in the "
            "comment): forces alone do not give the energy its zero. Add structures with energies"
        )
    if not used.any():
        raise InputError(
            f"max_energy {targets.limits.energy:g} excludes all "
            f"{count(len(energies), 'training structure')}: the smallest energy per atom is "
            f"{_lowest(file, training, targets):g}"
        )
    offsets = element_offsets(counts[used], energies[used])
    per_atom = (energies - counts @ offsets) / counts.sum(axis=1)
    forces = (targets.of(file, index)[1] for index in training)  # not all in memory
    spread = Spread.of(per_atom, forces, stresses)
    whole = file.energy[list(training)] - counts @ targets.atom_energies
    total = whole[used] / counts[used].sum(axis=1)
    return References(offsets + targets.atom_energies, spread, (float(total.min()), float(total.max())))


def scalings(file: DescriptorFile, training: Sequence[int]) -> dict[str, Scaling]:
    """Ranges of the symmetry functions over the training atoms, by element.

    Raises
    ------
    InputError
        An element does not occur in the training set.
    """
    found = {}
    for element in file.elements:
        moments = Moments.nothing(len(file.definitions[element]))
        for values in _pieces(file, element, training):
            moments = moments.merge(Moments.of(values))
        if moments.count == 0:
            raise InputError(
                f"no training structure contains {element}, so its network cannot be trained: remove "
                f"{element} from `elements` and its symmetry functions, or add structures with it, and run "
                "mode 1 again"
            )
        found[element] = moments.scaling()
    return found


def whitened(
    file: DescriptorFile, training: Sequence[int], ranges: Mapping[str, Scaling]
) -> dict[str, Affine]:
    """Inputs of the networks in training: centered and whitened over the training atoms, by element."""
    found = {}
    for element, scaling in ranges.items():
        covariance, count = np.zeros((len(scaling), len(scaling))), 0
        for values in _pieces(file, element, training):
            difference = values - scaling.mean
            covariance += difference.T @ difference
            count += len(values)
        found[element] = Affine.mixing(scaling.mean, whitening_matrix(covariance / count, scaling))
    return found


def _pieces(file: DescriptorFile, element: str, training: Sequence[int]) -> Iterator[Array]:
    """Symmetry functions of the training atoms of `element`, some rows at a time."""
    number = file.elements.index(element)
    chosen = np.zeros(len(file), dtype=bool)
    chosen[list(training)] = True
    rows = np.repeat(chosen, file.n_elements[:, number])
    data = file.descriptors(element)
    for start in range(0, len(rows), ROWS):
        wanted = rows[start : start + ROWS]
        if wanted.any():
            yield data[start : start + ROWS][wanted]


def _lowest(file: DescriptorFile, training: Sequence[int], targets: Targets) -> float:
    every = replace(targets, limits=Limits())
    return float(np.nanmin([every.of(file, index)[0] / int(file.n_atoms[index]) for index in training]))


def force_size(evaluator: Evaluator, networks: Mapping[str, Network], samples: Sequence[Sample]) -> float:
    """Root mean square force component of `networks`; without geometries the deviation of E/N."""
    core = evaluator.load(networks)
    found = [evaluator(core, sample) for sample in samples]
    components = np.concatenate([each.forces.ravel() for each in found])
    if np.isfinite(components).all():
        return float(np.sqrt(np.mean(components**2)))
    return float(np.std([each.energy / len(each.forces) for each in found]))


def with_statistics(files: PotentialFiles, file: DescriptorFile, training: Sequence[int]) -> PotentialFiles:
    """`files` with the statistics of the `training` structures, if an uncertainty.data can hold them. A
    potential with charges has none."""
    if files.uncertainty is None or files.charges is not None:
        return files
    shortest = _shortest(file, training)
    statistics = {}
    for element, network in files.networks.items():
        values, structures = _functions_of(file, element, training)
        inputs = values
        if files.scalings is not None:
            inputs = files.scalings.scalings[element].affine(files.model.scaling).apply(values)
        hidden = hidden_values(network, inputs)[-1]
        statistics[element] = TrainingStatistics.of(values, hidden, structures, shortest[element])
    return files.with_statistics(statistics)


def unit_means(
    file: DescriptorFile,
    training: Sequence[int],
    networks: Mapping[str, Network],
    inputs: Mapping[str, Affine],
    charges: Array | None = None,
) -> dict[str, tuple[Array, ...]]:
    """Means of the inputs and hidden nodes over training atoms, by element, layer by layer (n_l,).

    Parameters
    ----------
    inputs : mapping of element to Affine
        From symmetry functions to the inputs of `networks`.
    charges : (n_atoms in the file,) float64, optional
        Which are inputs, too, behind the functions.
    """
    found = {}
    for element, network in networks.items():
        values = inputs[element].apply(_functions_of(file, element, training, charges)[0])
        found[element] = tuple(each.mean(axis=0) for each in hidden_values(network, values))
    return found


def _functions_of(
    file: DescriptorFile, element: str, training: Sequence[int], charges: Array | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """Symmetry functions of training atoms, (n_atoms, n), of evenly spaced structures if there are many, with
    the charge behind them if there are `charges`; and the structure of each, (n_atoms,)."""
    counts = np.array([file.rows(k, element).stop - file.rows(k, element).start for k in training])
    step = max(1, -(-int(counts.sum()) // MOST_ATOMS))
    table, chosen = file.descriptors(element), training[::step]
    number, atoms = file.elements.index(element), [file.atoms(k) for k in chosen]
    own = [_trained_on(file, k)[file.types[a] == number] for k, a in zip(chosen, atoms, strict=True)]
    values = np.concatenate([table[file.rows(k, element)][kept] for k, kept in zip(chosen, own, strict=True)])
    if charges is not None:
        beside = [charges[a][file.types[a] == number][kept] for a, kept in zip(atoms, own, strict=True)]
        values = np.column_stack([values, np.concatenate(beside)])
    return values, np.repeat(np.asarray(chosen, dtype=np.int64), [np.count_nonzero(kept) for kept in own])


def _trained_on(file: DescriptorFile, index: int) -> NDArray[np.bool_]:
    """Atoms of a structure of which the energy, or the force on the atom, is known, (n_atoms,)."""
    if np.isfinite(file.energy[index]):
        return np.ones(int(file.n_atoms[index]), dtype=np.bool_)
    return np.asarray(np.isfinite(file.forces[file.atoms(index)]).all(axis=1))


def _shortest(file: DescriptorFile, training: Sequence[int]) -> dict[str, dict[str, float]]:
    """Shortest distance in the training set of every element to every neighboring one, length."""
    n = len(file.elements)
    found = np.full((n, n), np.inf)
    for index in training:
        types, pairs = file.types[file.atoms(index)], file.pairs(index)
        squares = np.einsum("pk,pk->p", pairs.vectors, pairs.vectors)
        squares[~_trained_on(file, index)[pairs.centers]] = np.inf
        np.minimum.at(found, (types[pairs.centers], types[pairs.neighbors]), squares)
    return {
        x: {y: float(np.sqrt(r)) for y, r in zip(file.elements, row, strict=True) if np.isfinite(r)}
        for x, row in zip(file.elements, found, strict=True)
    }
