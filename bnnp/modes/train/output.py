"""The files of mode 2: the best potential, checkpoints, the learning curve, predictions and references."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.io.learning_curve import FILE_NAME as LEARNING_CURVE
from bnnp.io.learning_curve import LearningCurve
from bnnp.io.training_points import HEADER, forces_name, points_name, write_forces, write_points
from bnnp.io.weights import TITLE, write_weights
from bnnp.messages import count
from bnnp.potential.files import DIRECTORY, PotentialFiles, write_directory
from bnnp.structure import Set
from bnnp.training import CHECKPOINT
from bnnp.training.checkpoint import Checkpoint, write_checkpoint
from bnnp.training.loop import Record, State
from bnnp.training.loss import Errors
from bnnp.training.statistics import with_statistics
from bnnp.training.training import Training

Array = NDArray[np.float64]

SUBSETS = (Set.TRAIN, Set.TEST)
EPOCH_FILE = re.compile(
    r"(train|test)(?P<kind>points|forces)\.(?P<epoch>\d{6})\.out|(?P<first>\d{6})\.short\.\d{3}\.out"
)


class Point(NamedTuple):
    """Reference and prediction of one structure, file units, free-atom energies included."""

    subset: Set
    source: int
    n_atoms: int
    reference: float
    energy: float
    reference_forces: Array
    forces: Array


@dataclass(frozen=True, eq=False)
class Output:
    """Writer of all files, in the directory of the training; all ranks call it, only the root writes.

    Parameters
    ----------
    training : Training
    """

    training: Training

    @property
    def directory(self) -> Path:
        """Directory of the training."""
        return self.training.directory

    def save(self, state: State, checkpoint: bool = True) -> None:
        """The potential of the best epoch so far, and a checkpoint."""
        self.write_potential(state.best_weights)
        if checkpoint:
            self.save_checkpoint(state)

    def save_checkpoint(self, state: State) -> None:
        """What ``--restart`` needs."""
        training, trainer = self.training, self.training.trainer
        state = replace(state, optimizer=trainer.optimizer.arrays(state.optimizer))
        content = Checkpoint(state, training.variables, trainer.epochs)
        parallel.on_root(write_checkpoint, self.directory / CHECKPOINT, content, training.conditions)

    def remove_former(self, state: State | None = None) -> list[str]:
        """Remove predictions and weights of single epochs that a former training wrote, or that are not of
        the best epoch in `state` any more; returns the names on the root."""
        if not parallel.is_root():
            return []
        keywords, removed = self.training.settings.output, []
        due = {
            "short": keywords.write_weights_epoch,
            "points": keywords.write_trainpoints,
            "forces": keywords.write_trainforces,
        }
        for path in sorted(self.directory.iterdir()):
            if (found := EPOCH_FILE.fullmatch(path.name)) is None:
                continue
            if not _by_bnnp(path):
                continue
            epoch, kind = int(found["epoch"] or found["first"]), found["kind"] or "short"
            best = state is not None and kind != "short" and epoch == state.best_epoch
            own = state is not None and 0 < epoch <= state.epoch and due[kind].due(epoch)
            if not best and not own:
                path.unlink()
                removed.append(path.name)
        return removed

    def write_potential(self, weights: Array) -> None:
        """Write the files of the potential. Raises NumericalError, before any file is changed, if a weight is
        not finite."""
        files = self.training.files(weights)
        if parallel.is_root():
            files.write(self.directory, optweights=True)

    def write_trained(self, files: PotentialFiles) -> list[str]:
        """Write the potential with statistics of its training atoms, here and in potential/; returns what
        prevents n2p2 and LAMMPS from using it."""
        complete = with_statistics(files, self.training.file, self.training.data.training)
        complete.write(self.directory, optweights=True)
        return write_directory(self.directory / DIRECTORY, [complete])

    def write_epoch(self, state: State) -> None:
        """Write what is due after an epoch: ``write_weights_epoch``, ``write_trainpoints``,
        ``write_trainforces``, and a checkpoint by ``checkpoint_interval``."""
        keywords, epoch = self.training.settings.output, state.epoch
        weights = self.training.trainer.optimizer.evaluated(state.optimizer)
        if keywords.write_weights_epoch.due(epoch):
            networks = self.training.networks(weights)
            for element, network in networks.items() if parallel.is_root() else []:
                name = f"{epoch:06d}.short.{atomic_numbers[element]:03d}.out"
                write_weights(self.directory / name, network, element)
        energies, forces = keywords.write_trainpoints.due(epoch), keywords.write_trainforces.due(epoch)
        if energies or forces:
            points, _ = self.points(weights)
            parallel.on_root(self.write_points, points, epoch, energies, forces)
        if epoch % keywords.checkpoint_interval == 0:
            self.save(state)

    def learning_curve(self, records: Iterable[Record]) -> LearningCurve:
        """learning-curve.out with these epochs; further ones can be added."""
        settings, data, masks = self.training.settings, self.training.data, self.training.averaged_masks
        samples = f", mean over {count(masks.samples, 'dropout mask')}" if masks else ""
        comment = (
            f"Training errors over {len(data.monitored)} of {count(len(data.training), 'structure')}, "
            f"test errors over {len(data.test)}{samples}."
        )
        conversion = settings.model.normalization
        internal = (conversion.conv_energy, conversion.conv_energy / conversion.conv_length)
        given = internal if settings.given("conv_energy") else None
        path, units = self.directory / LEARNING_CURVE, settings.model.units
        curve = LearningCurve(path, units, comment, given, parallel.is_root())
        curve.start([(record.epoch, self.errors(record)) for record in records])
        return curve

    def errors(self, record: Record) -> Array:
        """The twelve columns of learning-curve.out, file units."""
        per_atom, total, force = 0, 1, 2
        rmse = np.stack([record.train_rmse, record.test_rmse])  # (2 sets, 4 quantities)
        mae = np.stack([record.train_mae, record.test_mae])
        energies = [rmse[:, per_atom], rmse[:, total], mae[:, per_atom], mae[:, total]]
        columns: Array = np.concatenate([*energies, rmse[:, force], mae[:, force]])
        return columns * self.training.variables.scale

    def points(self, weights: Array) -> tuple[list[Point], dict[Set, Errors]]:
        """Predictions of all structures, on the root, and their errors (normalized units) on all ranks."""
        points, errors, trainer = [], {}, self.training.trainer
        for subset, indices in zip(SUBSETS, (trainer.training, trainer.test), strict=True):
            errors[subset], row = Errors.none(len(indices)), {index: k for k, index in enumerate(indices)}
            for index, found in trainer.evaluations(weights, indices):
                found.count(errors[subset], row[index])
                points.append(self._point(subset, index, found.energy, found.forces))
            parallel.sum_array(errors[subset].rows)
        gathered = [point for share in parallel.gather(points) for point in share]
        return sorted(gathered, key=lambda point: point.source), errors

    def write_points(
        self, points: list[Point], epoch: int, energies: bool = True, forces: bool = True
    ) -> list[str]:
        """Write train/testpoints and train/testforces of `epoch`; returns the names of the files."""
        names, units = [], self.training.settings.model.units
        for subset in SUBSETS:
            mine = [point for point in points if point.subset == subset]
            if energies:
                names.append(points_name(subset.label, epoch))
                known = (point for point in mine if np.isfinite(point.reference))
                rows = ((point.source, point.n_atoms, point.reference, point.energy) for point in known)
                write_points(self.directory / names[-1], units, rows)
            if forces and self.training.data.forces:
                names.append(forces_name(subset.label, epoch))
                arrays = ((point.source, point.reference_forces, point.forces) for point in mine)
                write_forces(self.directory / names[-1], units, arrays)
        return names

    def _point(self, subset: Set, index: int, energy: float, forces: Array) -> Point:
        file, variables = self.training.file, self.training.variables
        offset = float(file.n_elements[index] @ variables.offsets)
        known = self.training.targets.known_part(file, index)
        return Point(
            subset=subset,
            source=int(file.source[index]),
            n_atoms=int(file.n_atoms[index]),
            reference=float(file.energy[index]),
            energy=offset + known.energy + variables.scale * energy,
            reference_forces=np.array(file.forces[file.atoms(index)]),
            forces=known.forces + variables.scale * forces,
        )


def _by_bnnp(path: Path) -> bool:
    """Whether the first line is that of bnnp, not of RuNNer or n2p2, which use the same names."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readline().startswith((HEADER, TITLE))
