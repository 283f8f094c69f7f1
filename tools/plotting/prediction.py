"""Pictures of mode 3: predictions against references, and errors beside standard deviations by group.

Read are energy.out and, where they are, nnforces.out and output.data (for the groups). Energies are in
meV/atom and forces in meV/Angstrom whatever the units of the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import read_columns
from bnnp.uncertainty.metrics import ErrorSum, zero_by_symmetry
from plotting.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, figure, legend_above, save, short
from plotting.training import MANY, diagonal

Array = NDArray[np.float64]

COLORS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = "osD^vP"
UNGROUPED = "(no group)"
LABELS = {
    "energy": ("energy", "meV/atom"),
    "force": ("force", r"meV/$\mathrm{\AA}$"),
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """What mode 3 wrote.

    Parameters
    ----------
    n_atoms : (n,) int64
    energies : (n, 2) float64, meV/atom
        Reference and prediction; the reference is NaN without one.
    energy_sigmas : (n,) float64, meV/atom; None without samples
    owners : (m,) int64
        Structure, from 0, of each atom; empty without forces.
    forces : (m, 3, 2) float64, meV/Angstrom
        Reference and prediction.
    force_sigmas : (m, 3) float64, meV/Angstrom; None without samples
    symmetric : (m, 3) bool
        Force components that symmetry makes zero.
    groups : list of str
        Label of each structure.
    meaning : str
        What the standard deviations are, as the files say it.
    """

    n_atoms: NDArray[np.int64]
    energies: Array
    energy_sigmas: Array | None
    owners: NDArray[np.int64]
    forces: Array
    force_sigmas: Array | None
    symmetric: NDArray[np.bool_]
    groups: list[str]
    meaning: str

    def labels(self) -> list[str]:
        """The groups, in the order in which they appear."""
        return list(dict.fromkeys(self.groups))

    def sums(self, group: str | None = None) -> dict[str, ErrorSum]:
        """Errors and sigmas of energies per atom and force components of one group, or of all."""
        chosen = np.array([group in (None, name) for name in self.groups])
        atoms = chosen[self.owners]
        return {
            "energy": _sum(self.energies[chosen], _of(self.energy_sigmas, chosen)),
            "force": _sum(self.forces[atoms], _of(self.force_sigmas, atoms), self.symmetric[atoms]),
        }


def _of(values: Array | None, chosen: NDArray[np.bool_]) -> Array | None:
    return None if values is None else values[chosen]


def _sum(values: Array, sigmas: Array | None, symmetric: NDArray[np.bool_] | None = None) -> ErrorSum:
    """Errors of (..., 2) references and predictions, where both are known."""
    known = np.isfinite(values).all(axis=-1)
    zeros = None if symmetric is None else symmetric[known]
    return ErrorSum.of(values[known, 1], values[known, 0], None if sigmas is None else sigmas[known], zeros)


def read_predictions(directory: Path) -> Predictions:
    """The files of mode 3 in `directory`.

    Raises
    ------
    InputError
        There are none, or they belong to different runs.
    """
    table, meaning, units = read_columns(directory / "energy.out")
    n_atoms = table["natoms"].astype(np.int64)
    energies = units.mev * np.stack([table["Eref"], table["Ennp"]], axis=1) / n_atoms[:, None]
    sigmas = units.mev * table["Ennp_std_per_atom"] if "Ennp_std_per_atom" in table else None
    owners, forces, force_sigmas = np.empty(0, np.int64), np.empty((0, 3, 2)), None
    symmetric = np.empty((0, 3), dtype=bool)
    path = directory / "nnforces.out"
    if path.is_file():
        table = read_columns(path)[0]
        owners = table["Conf."].astype(np.int64) - 1
        if not np.array_equal(np.bincount(owners, minlength=len(n_atoms)), n_atoms):
            raise InputError(f"{path} and energy.out are of different runs; run `bnnp --mode 3` again")
        factor = units.mev_per_angstrom
        forces = factor * np.array([[table[f"f{x}Ref"], table[f"f{x}"]] for x in "xyz"]).transpose(2, 0, 1)
        symmetric = np.zeros((len(owners), 3), dtype=bool)
        if "fx_std" in table:
            force_sigmas = factor * np.stack([table[f"f{x}_std"] for x in "xyz"], axis=1)
            raw = np.stack([table.get(f"f{x}_std_raw", table[f"f{x}_std"]) for x in "xyz"], axis=1)
            symmetric = zero_by_symmetry("forces", (forces[..., 1] - forces[..., 0]) / factor, raw, units)
    groups = groups_of(directory, len(n_atoms))
    return Predictions(n_atoms, energies, sigmas, owners, forces, force_sigmas, symmetric, groups, meaning)


def groups_of(directory: Path, count: int) -> list[str]:
    """Label of every structure of output.data; one label for all if it is not there."""
    path = directory / "output.data"
    if not path.is_file():
        return [UNGROUPED] * count
    found = [
        structure.info.get("group", UNGROUPED) for structure in StructureFile(path, require_labels=False)
    ]
    if len(found) != count:
        raise InputError(f"{path} and energy.out are of different runs; run `bnnp --mode 3` again")
    return found


def draw_errors(directory: Path, output: Path) -> list[Path]:
    """Errors by group, as a picture; the files written."""
    return save(errors_figure(_with_references(directory)), output / "prediction_errors")


def draw_parity(directory: Path, output: Path) -> list[Path]:
    """Predictions against references; the files written."""
    return save(parity_figure(_with_references(directory)), output / "prediction_parity")


def _with_references(directory: Path) -> Predictions:
    found = read_predictions(directory)
    if not _kinds(found):
        raise InputError(f"{directory}: the structures have no reference energies or forces to compare with")
    return found


def _kinds(found: Predictions) -> list[str]:
    """What has references."""
    return [kind for kind, total in found.sums().items() if total.count]


def errors_figure(found: Predictions) -> Any:
    """RMSE of each group as a bar, the mean standard deviation as a tick on it."""
    kinds, labels = _kinds(found), found.labels()
    drawn = figure(len(kinds), width=4.4, height=1.3 + 0.3 * len(labels))
    panels = drawn.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    rows = np.arange(len(labels))
    sums = [found.sums(label) for label in labels]
    for axes, kind in zip(panels, kinds, strict=True):
        rmse = np.array([total[kind].rmse for total in sums])
        sigma = np.array([total[kind].mean_sigma for total in sums])
        axes.barh(rows, rmse, 0.6, color=SKY, label="RMSE")
        if np.isfinite(sigma).any():
            axes.vlines(
                sigma,
                rows - 0.4,
                rows + 0.4,
                colors=VERMILLION,
                linewidth=2.0,
                label="mean standard deviation (sigma)",
            )
        ends = np.fmax(rmse, sigma)
        for row, value, width in zip(rows, rmse, sigma, strict=True):
            if np.isfinite(value):  # behind bar and tick, where nothing hides it
                more = f", sigma {short(width)}" if np.isfinite(width) else ""
                axes.text(ends[row], row, f"  {short(value)}{more}", va="center", fontsize=7)
        axes.set_xlim(0.0, 1.4 * max(np.nanmax(ends), 1e-12))
        name, unit = LABELS[kind]
        axes.set(xlabel=f"{name} error ({unit})", ylim=(len(labels) - 0.4, -0.6))
        axes.grid(visible=False, axis="y")
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    panels[0].set_yticks(rows, [f"{label} ({found.groups.count(label)})" for label in labels])
    if found.meaning:
        drawn.supxlabel(f"standard deviation: {found.meaning.partition('; std_raw')[0]}", fontsize=7)
    return drawn


def parity_figure(found: Predictions) -> Any:
    """Energies by group with their standard deviations as bars, and all force components."""
    kinds = _kinds(found)
    drawn = figure(len(kinds), width=4.2, height=3.8)
    for number, kind in enumerate(kinds, start=1):
        axes = drawn.add_subplot(1, len(kinds), number)
        if kind == "energy":
            _energies(axes, found)
        else:
            _forces(drawn, axes, found)
        name, unit = LABELS[kind]
        total = found.sums()[kind]
        diagonal(axes)
        many = kind == "energy" and len(found.labels()) > 1
        legend_above(axes, f"{name}, RMSE {short(total.rmse)} {unit}", 3 if many else 1, fontsize=6)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5))
    return drawn


def _energies(axes: Any, found: Predictions) -> None:
    """Energies relative to the mean reference, one color and marker a group."""
    values = found.energies - np.nanmean(found.energies[:, 0])
    for k, label in enumerate(found.labels()):
        chosen = np.array([name == label for name in found.groups])
        style = {"color": COLORS[k % len(COLORS)], "marker": MARKERS[(k // len(COLORS) + k) % len(MARKERS)]}
        sigmas = None if found.energy_sigmas is None else found.energy_sigmas[chosen]
        axes.errorbar(
            *values[chosen].T,
            sigmas,
            linestyle="none",
            markersize=3.5,
            elinewidth=0.5,
            label=f"{label}, +- sigma" if sigmas is not None else label,
            **style,
        )
    axes.set(xlabel="reference - mean (meV/atom)", ylabel="predicted - mean (meV/atom)")


def _forces(drawn: Any, axes: Any, found: Predictions) -> None:
    """Force components, as a density if there are many."""
    pairs = found.forces.reshape(-1, 2) / 1000.0
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) > MANY:
        shown = axes.hexbin(*pairs.T, gridsize=70, cmap="cividis_r", norm=LogNorm(), linewidths=0.1)
        drawn.colorbar(shown, ax=axes, label="components")
    else:
        axes.plot(*pairs.T, ".", color=BLUE, markersize=3.0, alpha=0.6)
    unit = r"eV/$\mathrm{\AA}$"
    axes.set(xlabel=f"reference ({unit})", ylabel=f"predicted ({unit})")


def table_rows(found: Predictions) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Heading and rows of the table of errors, meV/atom and meV/Angstrom: a row a group, then all."""
    heading = [
        *("group", "structures"),
        *("E RMSE", "E bias", "E sigma", "E sqrt(ZMS)"),
        *("F RMSE", "F MAE", "F sigma", "F sqrt(ZMS)"),
    ]
    labels: list[str | None] = [*found.labels(), None]
    return heading, [_row(found, label) for label in labels]


def _row(found: Predictions, label: str | None) -> list[str]:
    sums: Mapping[str, ErrorSum] = found.sums(label)
    number = found.groups.count(label) if label is not None else len(found.groups)
    row = ["all" if label is None else label, str(number)]
    for kind, total in sums.items():
        second = total.bias if kind == "energy" else total.mae
        row += [short(x) for x in (total.rmse, second, total.mean_sigma, total.zms**0.5)]
    return row
