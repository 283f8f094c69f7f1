"""learning-curve.out: errors of training and test set in every epoch, in n2p2's columns.

After a ``#`` header one line per epoch (``%10d``, then ``%16.8E``)::

    epoch  RMSEpa_Etrain RMSEpa_Etest RMSE_Etrain RMSE_Etest MAEpa_Etrain MAEpa_Etest MAE_Etrain MAE_Etest
           RMSE_Ftrain RMSE_Ftest MAE_Ftrain MAE_Ftest

Columns 2 and 3 are the energy RMSE per atom, 10 and 11 the force RMSE, in the units of input.data. For an
n2p2-normalized potential the same twelve columns follow in internal units (E conv_energy, F conv_energy /
conv_length). Without test set or forces their errors are NaN. The charges of a potential that has any are
trained before: their errors are in learning-curve.out.stage-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnp.io.output import cannot_write, replace_file
from bnnp.units import Units

Array = NDArray[np.float64]

FILE_NAME = "learning-curve.out"
ENERGY_COLUMNS = [
    f"{kind}_E{part}" for kind in ("RMSEpa", "RMSE", "MAEpa", "MAE") for part in ("train", "test")
]
COLUMNS = [*ENERGY_COLUMNS, "RMSE_Ftrain", "RMSE_Ftest", "MAE_Ftrain", "MAE_Ftest"]


CHARGES = "learning-curve.out.stage-1"


class LearningCurve:
    """Writes the file: all former epochs at once, then one line per epoch.

    Parameters
    ----------
    path : Path
    units : Units
    comment : str
        For the header: which networks the errors are those of. May have several lines.
    internal : (float, float) or None
        Factors of energies and forces to n2p2's normalized units.
    enabled : bool
        Whether this process writes; only the root does.
    """

    columns = COLUMNS

    def __init__(
        self,
        path: Path,
        units: Units,
        comment: str,
        internal: tuple[float, float] | None = None,
        enabled: bool = True,
    ) -> None:
        self._path, self._internal, self._enabled = path, internal, enabled
        suffixes = ["_pu"] if internal is None else ["_pu", "_iu"]
        names = [column + suffix for suffix in suffixes for column in self.columns]
        texts = (
            f"Learning curve written by bnnp. {self._describe(units)}",
            comment,
            "pa: per atom, pu: physical units" + (", iu: normalised units" if internal else ""),
        )
        self._header = "".join(f"# {line}\n" for text in texts for line in text.splitlines())
        self._header += "#" + "epoch".rjust(9) + "".join(f" {name:>16}" for name in names) + "\n"

    def _describe(self, units: Units) -> str:
        return f"Energies in {units.energy}, forces in {units.force}."

    def start(self, epochs: list[tuple[int, Array]]) -> None:
        """Replace the file by the header and the former `epochs`, each with its (12,) float64 errors."""
        if not self._enabled:
            return
        with replace_file(self._path) as file:
            file.write(self._header + "".join(self._line(*epoch) for epoch in epochs))

    def add(self, epoch: int, errors: Array) -> None:
        """Append one epoch, (12,) float64 in the order of :data:`COLUMNS`."""
        if not self._enabled:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(self._line(epoch, errors))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def _line(self, epoch: int, errors: Array) -> str:
        blocks = [errors]
        if self._internal is not None:
            energy, force = self._internal
            blocks.append(errors * np.repeat([energy, force], [8, 4]))
        return f"{epoch:10d}" + "".join(f" {value:16.8E}" for value in np.concatenate(blocks)) + "\n"


class ChargeCurve(LearningCurve):
    """learning-curve.out.stage-1: (4,) errors of the charges in e, in n2p2's columns."""

    columns = ["RMSE_Qtrain", "RMSE_Qtest", "MAE_Qtrain", "MAE_Qtest"]

    def _describe(self, units: Units) -> str:
        return "Charges in e."
