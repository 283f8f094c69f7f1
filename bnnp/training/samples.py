"""Structures as the training sees them: normalized inputs and targets, read once and kept while memory
allows; what does not fit is read again each time, by a thread ahead of the training.

A :class:`Sample` is one structure, a :class:`Batch` several laid end to end, with indices that say which atom
belongs to which element and structure. All that does not change during training is computed when a sample is
first read. Energies are without element offsets; energies, forces and stresses are divided by the common
scale.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnp.descriptors.compiled import Descriptor
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.messages import count
from bnnp.model import Model
from bnnp.structure import VOIGT
from bnnp.training.charges import TrainedCharges
from bnnp.training.normalization import Variables
from bnnp.training.pair_forces import Geometry
from bnnp.training.weighting import Weights

Array = NDArray[np.float64]

AHEAD = 0.125  # share of the memory for samples that are read ahead
MOST_AHEAD = 128 * 10**6  # bytes, the most for them
PROBED = 8  # structures from which the size of derivatives is estimated


@dataclass(frozen=True, eq=False)
class Interaction:
    """What the charges of a structure depend on, apart from networks and hardnesses.

    Parameters
    ----------
    n_atoms : int
    matrix : (n_atoms, n_atoms) float64, energy/e^2, or None
        A of :mod:`bnnp.charges.coulomb` over 4 pi epsilon; None in the third generation.
    total : float, e
    where : str
        The structure, for messages.
    """

    n_atoms: int
    matrix: Array | None
    total: float
    where: str

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0 if self.matrix is None else self.matrix.nbytes


@dataclass(frozen=True, eq=False)
class Sample:
    """One structure.

    Parameters
    ----------
    index : int
        Position in symmetry_functions.h5.
    source : int
        Position in input.data; random masks are counted by it.
    inputs : tuple of (n_X, n_functions_X) float
        z of the atoms of each element.
    rows : tuple of (n_X,) int64
        Which atoms they are.
    n_atoms : int
    energy_weight, stress_weight : float
    force_weight : (n_atoms,) float
    energy : float
        Normalized; NaN if it is not used.
    forces : (n_atoms, 3) float
        Normalized; NaN where they are not used. Of a training of charges these, (n_atoms, 1).
    stress : (6,) float
        Normalized; NaN if there is none.
    volume : float
        Of the cell; 1 without.
    geometry : Geometry or None
        None if only energies are trained.
    interaction : Interaction or None
        Only of a training of charges, alone or with the energies.
    """

    index: int
    source: int
    inputs: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    n_atoms: int
    energy_weight: float
    force_weight: Tensor
    stress_weight: float
    energy: float
    forces: Tensor
    stress: Tensor
    volume: float
    geometry: Geometry | None
    interaction: Interaction | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        tensors = (*self.inputs, *self.rows, self.force_weight, self.forces, self.stress)
        geometry = self.geometry.nbytes if self.geometry else 0
        if self.interaction is not None:
            geometry += self.interaction.nbytes
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) + geometry


@dataclass(frozen=True, eq=False)
class Batch:
    """Structures laid end to end.

    Parameters
    ----------
    sources : tuple of int
        Position in input.data of each structure.
    inputs, rows : tuple of tensors
        As in :class:`Sample`, rows counted through the batch.
    owners : tuple of (n_X,) int64
        Structure (position in the batch) of each of these atoms.
    n_atoms, energy, volume : (n_structures,) float
    energy_weight, stress_weight : (n_structures,) float
    force_weight : (n_atoms,) float
    forces : (n_atoms, 3) float
    atom_owner : (n_atoms,) int64
        Structure of every atom.
    stress : (n_structures, 6) float
    geometries : tuple of Geometry
        Empty if only energies are trained.
    interactions : tuple of Interaction
        Only of a training of charges, alone or with the energies.
    """

    sources: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    rows: tuple[Tensor, ...]
    owners: tuple[Tensor, ...]
    n_atoms: Tensor
    energy_weight: Tensor
    force_weight: Tensor
    stress_weight: Tensor
    energy: Tensor
    volume: Tensor
    forces: Tensor
    atom_owner: Tensor
    stress: Tensor
    geometries: tuple[Geometry, ...]
    interactions: tuple[Interaction, ...] = ()

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Batch:
        """Lay `samples` end to end."""
        first = np.cumsum([0, *(sample.n_atoms for sample in samples[:-1])]).tolist()
        like = samples[0].forces
        elements = range(len(samples[0].rows))

        def owner(counts: Sequence[int]) -> Tensor:
            counted = torch.tensor(counts, device=like.device)
            return torch.repeat_interleave(torch.arange(len(counts), device=like.device), counted)

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, dtype=like.dtype, device=like.device)

        return cls(
            sources=tuple(sample.source for sample in samples),
            inputs=tuple(torch.cat([sample.inputs[x] for sample in samples]) for x in elements),
            rows=tuple(
                torch.cat([sample.rows[x] + start for sample, start in zip(samples, first, strict=True)])
                for x in elements
            ),
            owners=tuple(owner([len(sample.rows[x]) for sample in samples]) for x in elements),
            n_atoms=column([sample.n_atoms for sample in samples]),
            energy_weight=column([sample.energy_weight for sample in samples]),
            force_weight=torch.cat([sample.force_weight for sample in samples]),
            stress_weight=column([sample.stress_weight for sample in samples]),
            energy=column([sample.energy for sample in samples]),
            volume=column([sample.volume for sample in samples]),
            forces=torch.cat([sample.forces for sample in samples]),
            atom_owner=owner([sample.n_atoms for sample in samples]),
            stress=torch.stack([sample.stress for sample in samples]),
            geometries=tuple(sample.geometry for sample in samples if sample.geometry is not None),
            interactions=tuple(sample.interaction for sample in samples if sample.interaction is not None),
        )


@dataclass(frozen=True)
class Limits:
    """RuNNer's ``max_energy`` (per atom, without free atoms) and ``max_force``.

    A structure of a higher energy is not used at all, nor is a larger force component.
    """

    energy: float = np.inf
    force: float = np.inf


@dataclass(frozen=True, eq=False)
class Targets:
    """Which references are trained on, and what they weigh.

    Parameters
    ----------
    atom_energies : (n_elements,) float64, energy
        Free-atom energies in effect; `limits` count without them.
    limits : Limits
    model : Model or None
        Its baseline is subtracted from the references, before `limits`.
    weights : Weights or None
        Of structures and atoms; by default those of the structures.
    charges : TrainedCharges or None
        Their electrostatic energy is subtracted, too, and in the fourth generation they are inputs.
    """

    atom_energies: Array
    limits: Limits = field(default_factory=Limits)
    model: Model | None = None
    weights: Weights | None = None
    charges: TrainedCharges | None = None

    def of(self, file: DescriptorFile, index: int) -> tuple[float, Array, Array]:
        """References of a structure that are to be used, in the units of the file.

        Returns
        -------
        energy : float
            Without free-atom energies, baseline and electrostatic energy; NaN above the limit.
        forces : (n_atoms, 3) float64
            NaN where missing or beyond the limit, and everywhere if the energy is.
        stress : (6,) float64
            NaN if missing, or if the energy is above the limit.
        """
        known = self.known_part(file, index)
        energy = float(file.energy[index] - file.n_elements[index] @ self.atom_energies - known.energy)
        forces = file.forces[file.atoms(index)] - known.forces
        stress = file.stress[index] - known.stress
        with np.errstate(invalid="ignore"):
            forces[np.abs(forces) > self.limits.force] = np.nan
        if energy / len(forces) > self.limits.energy:
            return np.nan, np.full_like(forces, np.nan), np.full_like(stress, np.nan)
        return energy, forces, stress

    def known_part(self, file: DescriptorFile, index: int) -> KnownPart:
        """Baseline and electrostatic energy of a structure, in the units of the file."""
        known = baseline_of(file, index, self.model)
        if self.charges is None:
            return known
        energy, forces, stress = self.charges.part(index)
        return KnownPart(known.energy + energy, known.forces + forces, known.stress + stress)


@dataclass(frozen=True, eq=False)
class Derivatives:
    """Where the derivatives of the symmetry functions come from, if forces are trained.

    Parameters
    ----------
    trained : bool
        Whether forces are trained, so that pairs are needed.
    stored : bool
        Whether to use stored derivatives, if the file has them.
    descriptor : Descriptor or None
        Computes those of the structures `in_memory`.
    in_memory : (n,) bool or None
        Structures whose derivatives, if they are not stored, are computed when they are read, and not in
        every step: those for which there is memory.
    """

    trained: bool = True
    stored: bool = True
    descriptor: Descriptor | None = None
    in_memory: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class MemoryBudget:
    """What a rank may keep in memory.

    Parameters
    ----------
    bytes : float
    keeps : callable
        Index of a structure -> whether this rank keeps it if there is no memory for all it needs.
    """

    bytes: float = np.inf
    keeps: Callable[[int], bool] = lambda index: True


class Samples:
    """Samples by their position in the file, kept in memory up to a limit and read again beyond it.

    Samples that will be needed next may be announced; a thread then reads them ahead. They are the same, bit
    for bit, whether they are kept, read ahead or read when they are needed.

    Parameters
    ----------
    file : DescriptorFile
    variables : Variables
        z of each element, offsets removed from the energies in all, and the scale.
    targets : Targets
    derivatives : Derivatives
    budget : MemoryBudget
    tensors : (torch.dtype, str)
        Type and device of the tensors.
    """

    def __init__(
        self,
        file: DescriptorFile,
        variables: Variables,
        targets: Targets,
        derivatives: Derivatives | None = None,
        budget: MemoryBudget | None = None,
        tensors: tuple[torch.dtype, str] = (torch.float64, "cpu"),
    ) -> None:
        self.file, self.variables, self._targets = file, variables, targets
        self._derivatives, budget = derivatives or Derivatives(), budget or MemoryBudget()
        self.with_forces = self._derivatives.trained
        self.stored = self._derivatives.stored and file.derivatives == "stored"
        self._weights = targets.weights or Weights.of(file, {})
        self._dtype, self._device = tensors
        self._free, self._keeps = budget.bytes, budget.keeps
        self._kept: dict[int, Sample] = {}
        self._seen: set[int] = set()
        self._largest, self._buffer = 0, min(AHEAD * budget.bytes, MOST_AHEAD)
        self._streaming = False  # whether something has been left out
        self._thread = ThreadPoolExecutor(1, "samples")
        self._coming: deque[int] = deque()
        self._ahead: dict[int, Future[Sample]] = {}

    def announce(self, indices: Iterable[int]) -> None:
        """Begin to read those of `indices` that are not kept, in this order, instead of earlier ones."""
        for future in self._ahead.values():
            future.cancel()
        self._ahead.clear()
        self._coming = deque(indices)
        self._read_ahead()

    def __getitem__(self, index: int) -> Sample:
        """Sample at position `index` of the file."""
        sample = self._kept.get(index)
        if sample is None:
            future = self._ahead.pop(index, None)
            sample = self._read(index) if future is None else future.result()
            self._keep(sample)
            self._read_ahead()
        return sample

    @property
    def nbytes(self) -> int:
        """Bytes of all samples in memory."""
        return sum(sample.nbytes for sample in self._kept.values())

    @property
    def derivatives(self) -> str:
        """Where the derivatives of the symmetry functions come from, for the log."""
        if self.stored:
            return "stored in symmetry_functions.h5"
        in_memory = self._derivatives.in_memory
        kept = 0 if in_memory is None else int(in_memory.sum())
        if kept == len(self.file):
            return "computed once, as memory_limit allows"
        some = f", those of {kept} of {count(len(self.file), 'structure')} once" if kept else ""
        return f"recomputed in every step{some}"

    @property
    def n_left_out(self) -> int:
        """Structures that were read and are not kept."""
        return len(self._seen) - len(self._kept)

    def _keep(self, sample: Sample) -> None:
        """Keep a sample if it fits; when the first one does not, free memory for reading ahead."""
        self._seen.add(sample.index)
        self._largest = max(self._largest, sample.nbytes)
        if sample.nbytes <= self._free and (not self._streaming or self._keeps(sample.index)):
            self._kept[sample.index] = sample
            self._free -= sample.nbytes
        elif not self._streaming:
            self._streaming = True
            self._free -= self._buffer
            for index in sorted(self._kept, key=self._keeps):
                if not self._keeps(index) or self._free < 0:
                    self._free += self._kept.pop(index).nbytes

    def _read_ahead(self) -> None:
        """Queue as many announced samples as fit into the buffer for reading ahead."""
        most = max(1, self._buffer // self._largest) if self._largest else 1
        while self._coming and len(self._ahead) < most:
            index = self._coming.popleft()
            if index not in self._kept and index not in self._ahead:
                self._ahead[index] = self._thread.submit(self._read, index)

    def _read(self, index: int) -> Sample:
        file = self.file
        atoms = file.atoms(index)
        types = file.types[atoms]
        rows = [np.flatnonzero(types == number) for number in range(len(file.elements))]
        inputs, trained = [], self._targets.charges
        charges = None if trained is None else trained.inputs_of(index)
        for own, (element, normalized) in zip(rows, self.variables.inputs.items(), strict=True):
            values = file.descriptors(element)[file.rows(index, element)]
            if charges is not None:
                values = np.column_stack([values, charges[own]])
            inputs.append(normalized.apply(values))
        free, scale = self._targets.atom_energies, self.variables.scale
        energy, forces, stress = self._targets.of(file, index)
        counts = file.n_elements[index]
        return Sample(
            index=index,
            source=int(file.source[index]),
            inputs=tuple(self._tensor(z) for z in inputs),
            rows=tuple(torch.from_numpy(row).to(self._device) for row in rows),
            n_atoms=len(types),
            energy_weight=float(self._weights.energy[index]),
            force_weight=self._tensor(self._weights.force[atoms]),
            stress_weight=float(self._weights.stress[index]),
            energy=float(energy - counts @ (self.variables.offsets - free)) / scale,
            forces=self._tensor(forces / scale),
            stress=self._tensor(stress / scale),
            volume=file.volume(index) or 1.0,
            geometry=self._geometry(index, types) if self._derivatives.trained else None,
        )

    def _geometry(self, index: int, types: NDArray[np.int32]) -> Geometry:
        types, pairs = np.ascontiguousarray(types), self.file.pairs(index)
        charges = None if self._targets.charges is None else self._targets.charges.responses(index)
        if self.stored:
            return Geometry(types, pairs, self.file.blocks(index), charges)
        descriptor, in_memory = self._derivatives.descriptor, self._derivatives.in_memory
        if descriptor is None or in_memory is None or not in_memory[index]:
            return Geometry(types, pairs, None, charges)
        blocks = np.asarray(descriptor.jacobian(types, pairs), dtype=np.float32)
        return Geometry(types, pairs, blocks, charges)

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=self._dtype, device=self._device)


def derivatives_in_memory(file: DescriptorFile, descriptor: Descriptor, memory: float) -> NDArray[np.bool_]:
    """Which structures may keep their derivatives in `memory` bytes, (n,) bool: the first of the file.

    The size is estimated from a few structures and the numbers of atoms: the same for any number of ranks and
    after a restart, so that these are the same training.
    """
    per_atom = 0.0
    for index in np.unique(np.linspace(0, len(file) - 1, PROBED).astype(int)).tolist():
        types, pairs = file.types[file.atoms(index)], file.pairs(index)
        blocks = 4.0 * float(descriptor.block_sizes(types, pairs).sum())
        per_atom = max(per_atom, (blocks + 32.0 * len(pairs.vectors)) / len(types))
    per_atom += 8.0 * (descriptor.width + 8)
    return np.cumsum(file.n_atoms * per_atom) <= (1.0 - 2.0 * AHEAD) * memory


@dataclass(frozen=True, eq=False)
class KnownPart:
    """Energy, forces and stress of one structure that no network has to learn."""

    energy: float
    forces: Array  # (n_atoms, 3)
    stress: Array  # (6,)


def baseline_of(file: DescriptorFile, index: int, model: Model | None) -> KnownPart:
    """The baseline of a structure, in the units of the file."""
    if model is None or not model.has_baseline:
        return KnownPart(0.0, np.zeros((len(file.types[file.atoms(index)]), 3)), np.zeros(6))
    found = model.baseline(file.structure(index), file.pairs(index))
    stress = found.virial[VOIGT] / (file.volume(index) or np.inf)
    return KnownPart(float(found.energies.sum()), found.forces, stress)
