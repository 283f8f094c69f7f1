"""The files mode 2 leaves behind: the best potential, the learning curve, predictions beside references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bnnp import parallel
from bnnp.io.learning_curve import FILE_NAME as LEARNING_CURVE
from bnnp.io.learning_curve import LearningCurve
from bnnp.io.scaling_data import ScalingData
from bnnp.io.training_points import forces_name, points_name, write_forces, write_points
from bnnp.io.uncertainty_data import UncertaintyData
from bnnp.io.weights import demand_finite, write_weights
from bnnp.modes.training_setup import EPOCH_SAMPLES, TrainingSet
from bnnp.network.dense import Network
from bnnp.network.masks import Masks
from bnnp.potential.files import PotentialFiles, definition_of
from bnnp.potential.loading import draw_masks
from bnnp.settings import Settings
from bnnp.training.checkpoint import Normalized
from bnnp.training.loop import Record, Trainer
from bnnp.training.loss import Errors
from bnnp.training.normalization import Fold

Array = NDArray[np.float64]

SUBSETS = ("train", "test")


class Point(NamedTuple):
    """Reference and prediction of one structure, file units, free-atom energies included."""

    subset: str
    source: int
    n_atoms: int
    reference: float
    energy: float
    reference_forces: Array
    forces: Array


@dataclass(frozen=True, eq=False)
class Files:
    """Writer of everything; only the root writes.

    Parameters
    ----------
    directory : Path
    settings : Settings
    data : TrainingSet
    normalized : Normalized
    folds : mapping of str to Fold
    """

    directory: Path
    settings: Settings
    data: TrainingSet
    normalized: Normalized
    folds: Mapping[str, Fold]

    def plain(self, networks: Mapping[str, Network]) -> dict[str, Network]:
        """Networks of the training as they stand in the files. Raises NumericalError if one is not finite."""
        plain = {element: fold.to_plain(networks[element]) for element, fold in self.folds.items()}
        for element, network in plain.items():
            demand_finite(network, element)
        return plain

    @cached_property
    def masks(self) -> Masks | None:
        """The Monte Carlo masks of the potential."""
        return draw_masks(self.settings)

    def potential(self, networks: Mapping[str, Network]) -> PotentialFiles:
        """What scaling.data, weights.XXX.data, optweights.XXX.out and uncertainty.data are to hold.

        Raises
        ------
        NumericalError
            Weights are not finite.
        """
        settings, plain = self.settings, self.plain(networks)
        fitted = settings.atom_energies if settings.fits_atom_energies else {}
        energies = self.data.references.energy_range
        spread = ScalingData(self.data.scalings, energies, settings.fingerprint(), fitted)
        uncertainty = None if self.masks is None else UncertaintyData.of(self.masks, plain)
        return PotentialFiles(definition_of(settings), plain, spread, uncertainty)

    def write_potential(self, networks: Mapping[str, Network]) -> None:
        """Write these files. Raises NumericalError if weights are not finite; no file has been touched."""
        found = self.potential(networks)
        if parallel.is_root():
            found.write(self.directory, optweights=True)

    def write_epoch(self, networks: Mapping[str, Network], epoch: int) -> None:
        """YYYYYY.short.XXX.out, if ``write_weights_epoch`` asks for this epoch."""
        settings = self.settings
        if not settings["write_weights_epoch"].due(epoch):
            return
        for element, network in self.plain(networks).items() if parallel.is_root() else []:
            name = f"{epoch:06d}.short.{atomic_numbers[element]:03d}.out"
            write_weights(self.directory / name, network, element)

    def learning_curve(self, records: Iterable[Record]) -> LearningCurve:
        """learning-curve.out with these epochs, to be continued."""
        settings, data, masks = self.settings, self.data, self.masks
        few = masks is not None and masks.samples > EPOCH_SAMPLES and data.test
        samples = f" (mean over {EPOCH_SAMPLES} dropout masks)" if few else ""
        comment = (
            f"Training errors over {len(data.monitored)} of {len(data.training)} structures{samples}, "
            f"test errors over {len(data.test)}" + (f" (over {masks.samples} masks)." if masks else ".")
        )
        conversion = settings.normalization
        internal = (conversion.conv_energy, conversion.conv_energy / conversion.conv_length)
        given = internal if settings.given("conv_energy") else None
        curve = LearningCurve(
            self.directory / LEARNING_CURVE, settings.units, comment, given, parallel.is_root()
        )
        curve.start([(record.epoch, self.errors(record)) for record in records])
        return curve

    def errors(self, record: Record) -> Array:
        """The twelve columns of learning-curve.out, file units."""
        per_atom, total, force = 0, 1, 2
        rmse = np.stack([record.train_rmse, record.test_rmse])  # (2 sets, 4 quantities)
        mae = np.stack([record.train_mae, record.test_mae])
        energies = [rmse[:, per_atom], rmse[:, total], mae[:, per_atom], mae[:, total]]
        columns: Array = np.concatenate([*energies, rmse[:, force], mae[:, force]])
        return columns * self.normalized.scale

    def points(self, trainer: Trainer, weights: Array) -> tuple[list[Point], dict[str, Errors]]:
        """Predictions of all structures, on the root, and their errors (normalised units) on all ranks."""
        points, errors = [], {}
        for subset, indices in zip(SUBSETS, (trainer.training, trainer.test), strict=True):
            errors[subset] = Errors()
            for index, found in trainer.evaluations(weights, indices):
                found.count(errors[subset])
                points.append(self._point(trainer, subset, index, found.energy, found.forces))
            parallel.sum_array(errors[subset].sums)
        gathered = [point for share in parallel.gather(points) for point in share]
        return sorted(gathered, key=lambda point: point.source), errors

    def write_points(
        self, points: list[Point], epoch: int, energies: bool = True, forces: bool = True
    ) -> list[str]:
        """train/testpoints and train/testforces of `epoch`; the names."""
        names = []
        for subset in SUBSETS:
            mine = [point for point in points if point.subset == subset]
            if energies:
                names.append(points_name(subset, epoch))
                rows = ((point.source, point.n_atoms, point.reference, point.energy) for point in mine)
                write_points(self.directory / names[-1], self.settings.units, rows)
            if forces and self.data.forces:
                names.append(forces_name(subset, epoch))
                arrays = ((point.source, point.reference_forces, point.forces) for point in mine)
                write_forces(self.directory / names[-1], self.settings.units, arrays)
        return names

    def _point(self, trainer: Trainer, subset: str, index: int, energy: float, forces: Array) -> Point:
        file, scale = trainer.samples.file, self.normalized.scale
        offset = float(file.n_elements[index] @ self.normalized.offsets)
        return Point(
            subset,
            int(file.source[index]),
            int(file.n_atoms[index]),
            float(file.energy[index]),
            offset + scale * energy,
            np.array(file.forces[file.atoms(index)]),
            scale * forces,
        )
