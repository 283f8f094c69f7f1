"""Pictures of a training: learning curves, predictions against references, errors, and the worst structures.

Read are the files mode 2 leaves in its directory: learning-curve.out, and points and forces of training and
test set of the best epoch (checkpoint.npz names it). Errors are in meV/atom and meV/Angstrom whatever the
units of the files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile
from bnnp.io.output import replace_file
from bnnp.io.training_points import forces_name, points_name
from bnnp.messages import count
from bnnp.units import UNITS, Units
from plotting.style import BLACK, BLUE, VERMILLION, figure, legend_above, plain_numbers, save

Array = NDArray[np.float64]

COLORS = {"train": BLUE, "test": VERMILLION}
TITLES = {"train": "training", "test": "test"}
MANY = 3000  # points from which a density is drawn instead
WORST = 20


@dataclass(frozen=True, eq=False)
class Subset:
    """Training or test set of one epoch.

    Parameters
    ----------
    index, n_atoms : (n,) int
        Position in input.data, from 1.
    energies : (n, 2) float64, meV/atom
        Reference and prediction.
    owners : (m,) int
        Structure (position in input.data) of every atom; empty without forces.
    forces : (m, 3, 2) float64, meV/Angstrom
    """

    index: NDArray[np.int64]
    n_atoms: NDArray[np.int64]
    energies: Array
    owners: NDArray[np.int64]
    forces: Array

    @property
    def energy_errors(self) -> Array:
        """Prediction minus reference, (n,), meV/atom."""
        return self.energies[:, 1] - self.energies[:, 0]

    @property
    def force_errors(self) -> Array:
        """Prediction minus reference of every component, (m, 3), meV/Angstrom."""
        return self.forces[..., 1] - self.forces[..., 0]


def draw(directory: Path, output: Path, epoch: int | None = None) -> list[Path]:
    """All pictures and the list of the worst structures; the files written.

    Raises
    ------
    InputError
        Mode 2 has not run there, or not to its end.
    """
    curve, units = read_curve(directory)
    epoch = best_epoch(directory) if epoch is None else epoch
    subsets = {name: read_subset(directory, name, epoch, units) for name in COLORS}
    written = save(curves_figure(curve, units, epoch), output / "training_curves")
    written += save(parity_figure(subsets), output / "training_parity")
    written += save(errors_figure(subsets), output / "training_errors")
    path = output / "training_worst.txt"
    with replace_file(path) as file:
        file.write(worst_structures(subsets, groups_of(directory)))
    return [*written, path]


def read_curve(directory: Path) -> tuple[dict[str, Array], Units]:
    """Columns of learning-curve.out by their names, and its units."""
    path = directory / "learning-curve.out"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `bnnp --mode 2` there first")
    header = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    match = re.search(r"Energies in (\w+)", " ".join(header))
    units = next((u for u in UNITS.values() if match and u.energy == match[1]), UNITS["atomic"])
    rows = np.loadtxt(path, ndmin=2)
    return dict(zip(header[-1][1:].split(), rows.T, strict=True)), units


def best_epoch(directory: Path) -> int:
    """The epoch of the potential: as the checkpoint says, else the last that has predictions."""
    checkpoint = directory / "checkpoint.npz"
    if checkpoint.is_file():
        with np.load(checkpoint, allow_pickle=False) as archive:
            return int(archive["best_epoch"])
    found = sorted(directory.glob("trainpoints.*.out"))
    if not found:
        raise InputError(f"{directory}: has no trainpoints.EEEEEE.out; run `bnnp --mode 2` to its end")
    return int(found[-1].name.split(".")[1])


def read_subset(directory: Path, subset: str, epoch: int, units: Units) -> Subset:
    """References and predictions of one set; empty if the set is."""
    points = _rows(directory / points_name(subset, epoch), 5)
    n_atoms, index = points[:, 1].astype(np.int64), points[:, 0].astype(np.int64)
    path = directory / forces_name(subset, epoch)
    forces = _rows(path, 8) if path.is_file() else np.empty((0, 8))
    return Subset(
        index,
        n_atoms,
        units.mev * points[:, 2:4] / n_atoms[:, None],
        forces[:, 0].astype(np.int64),
        units.mev_per_angstrom * forces[:, 2:].reshape(-1, 2, 3).swapaxes(1, 2),
    )


def _rows(path: Path, n_columns: int) -> Array:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; run `bnnp --mode 2` to its end, or name an epoch that has one (--epoch)"
        )
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return np.array([line.split() for line in lines], dtype=np.float64).reshape(-1, n_columns)


def groups_of(directory: Path) -> list[str]:
    """Label of every structure of input.data, for the list; none if the file is not there."""
    path = directory / "input.data"
    return [s.info.get("group", "") for s in StructureFile(path)] if path.is_file() else []


def curves_figure(curve: dict[str, Array], units: Units, best: int) -> Any:
    """RMSE of energies and forces over the epochs."""
    panels = [("RMSEpa_E", "energy RMSE (meV/atom)", units.mev)]
    if np.isfinite(curve["RMSE_Ftrain_pu"]).any():
        panels.append(("RMSE_F", r"force RMSE (meV/$\mathrm{\AA}$)", units.mev_per_angstrom))
    drawn = figure(len(panels))
    for number, (name, label, factor) in enumerate(panels, start=1):
        axes = drawn.add_subplot(1, len(panels), number)
        for subset, color in COLORS.items():
            values = factor * curve[f"{name}{subset}_pu"]
            if np.isfinite(values).any():
                dashes = "-" if subset == "train" else "--"
                axes.plot(curve["epoch"], values, dashes, color=color, label=TITLES[subset])
        axes.axvline(best, color=BLACK, linewidth=0.8, linestyle=":", label=f"best epoch, {best}")
        axes.set(xlabel="epoch", ylabel=label, yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain_numbers(axes.yaxis)
        legend_above(axes, n_columns=3)
    return drawn


def parity_figure(subsets: dict[str, Subset]) -> Any:
    """Predictions against references: energies of both sets, forces of each."""
    known = [name for name in COLORS if len(subsets[name].owners)]
    drawn = figure(1 + len(known))
    axes = drawn.add_subplot(1, 1 + len(known), 1)
    mean = subsets["train"].energies[:, 0].mean()
    found = []
    for name, marker in (("train", "o"), ("test", "s")):
        energies = subsets[name].energies - mean
        if len(energies):
            axes.plot(*energies.T, marker, color=COLORS[name], markersize=3.0, alpha=0.7, label=TITLES[name])
            found.append(f"{TITLES[name]} {np.sqrt(np.mean(subsets[name].energy_errors ** 2)):.2f}")
    diagonal(axes)
    axes.set(xlabel="reference energy - mean (meV/atom)", ylabel="predicted energy - mean (meV/atom)")
    legend_above(axes, f"energies, RMSE {', '.join(found)} meV/atom", 3)
    for number, name in enumerate(known, start=2):
        axes = drawn.add_subplot(1, 1 + len(known), number)
        reference, prediction = subsets[name].forces.reshape(-1, 2).T / 1000.0
        keep = np.isfinite(reference) & np.isfinite(prediction)
        if keep.sum() > MANY:
            shown = axes.hexbin(
                reference[keep],
                prediction[keep],
                gridsize=70,
                cmap="cividis_r",
                norm=LogNorm(),
                linewidths=0.1,
            )
            drawn.colorbar(shown, ax=axes, label="components")
        else:
            axes.plot(reference[keep], prediction[keep], ".", color=COLORS[name], markersize=3.0, alpha=0.6)
        diagonal(axes)
        rmse = np.sqrt(np.nanmean(subsets[name].force_errors ** 2))
        legend_above(axes, rf"{TITLES[name]} forces, RMSE {rmse:.1f} meV/$\mathrm{{\AA}}$")
        axes.set(xlabel=r"reference force (eV/$\mathrm{\AA}$)", ylabel=r"predicted force (eV/$\mathrm{\AA}$)")
    return drawn


def diagonal(axes: Axes) -> None:
    """Equal axes and the line of perfect predictions."""
    low = min(axes.get_xlim()[0], axes.get_ylim()[0])
    high = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color=BLACK, linewidth=0.8, zorder=1.5, label="perfect prediction")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def errors_figure(subsets: dict[str, Subset]) -> Any:
    """Histograms of the errors, beside normal distributions of the same width."""
    found = [("energy error (meV/atom)", {n: s.energy_errors for n, s in subsets.items()})]
    if any(len(s.owners) for s in subsets.values()):
        label = r"force error (meV/$\mathrm{\AA}$)"
        found.append((label, {n: s.force_errors.ravel() for n, s in subsets.items()}))
    drawn = figure(len(found))
    for number, (label, errors) in enumerate(found, start=1):
        axes = drawn.add_subplot(1, len(found), number)
        finite = {name: values[np.isfinite(values)] for name, values in errors.items()}
        largest = max(values.size for values in finite.values())
        widest = max(float(np.abs(values).max()) for values in finite.values() if values.size) or 1.0
        bins = np.linspace(-widest, widest, 2 * int(np.clip(largest**0.5, 5, 40)) + 2)
        for name, values in finite.items():
            if values.size:
                axes.hist(values, bins.tolist(), histtype="step", color=COLORS[name], label=TITLES[name])
                _normal(axes, values, bins[1] - bins[0], COLORS[name])
        kind = "structures" if number == 1 else "components"
        axes.set(xlabel=label, ylabel=f"number of {kind}")
        axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
        if largest > MANY // 10:
            axes.set(
                yscale="log", ylim=(0.5, 4.0 * max(np.histogram(v, bins)[0].max() for v in finite.values()))
            )
            plain_numbers(axes.yaxis)
        axes.plot([], [], ":", color=BLACK, linewidth=1.0, label="normal distribution")
        legend_above(axes, n_columns=3)
    return drawn


def _normal(axes: Axes, values: Array, width: float, color: str) -> None:
    """Normal distribution of the mean and standard deviation of `values`, counted in bins of `width`."""
    sigma = max(float(values.std()), 1e-12)
    x = np.linspace(*axes.get_xlim(), 500)
    count = values.size * width / (sigma * (2 * np.pi) ** 0.5)
    axes.plot(x, count * np.exp(-0.5 * ((x - values.mean()) / sigma) ** 2), ":", color=color, linewidth=1.0)


def worst_structures(subsets: dict[str, Subset], groups: list[str], most: int = WORST) -> str:
    """Two tables: the `most` largest energy errors and force errors, with the source index."""
    lines = []
    for title, key in (("energy error", 3), ("force RMSE", 4)):
        rows = [
            row for name in COLORS for row in _table(name, subsets[name], groups) if np.isfinite(row[key])
        ]
        rows.sort(key=lambda row, key=key: -abs(row[key]))  # type: ignore[misc]
        lines += [f"# {count(min(most, len(rows)), 'structure')} with the largest {title}, of {len(rows)}"]
        lines += ["# index: position in input.data, from 1; energy error in meV/atom, forces in meV/Angstrom"]
        lines += ["#  index  set      atoms    E error     F RMSE      F max  atom  group"]
        for index, name, n_atoms, energy, rmse, largest, atom, group in rows[:most]:
            numbers = f"{n_atoms:8d} {energy:10.2f} {rmse:10.1f} {largest:10.1f} {atom:5d}"
            lines.append(f"{index:8d}  {name:<5} {numbers}  {group}".rstrip())
        lines.append("")
    return "\n".join(lines)


def _table(name: str, subset: Subset, groups: list[str]) -> list[tuple[Any, ...]]:
    """Index, set, atoms, energy error, force RMSE, largest force error, its atom, group of each structure."""
    rows = []
    for index, n_atoms, error in zip(subset.index, subset.n_atoms, subset.energy_errors, strict=True):
        errors = subset.force_errors[subset.owners == index]
        known = np.isfinite(errors).any()
        rmse = float(np.sqrt(np.nanmean(errors**2))) if known else np.nan
        largest = float(np.nanmax(np.abs(errors))) if known else np.nan
        atom = int(np.nanargmax(np.abs(errors).max(axis=1))) + 1 if known else 0
        group = groups[index - 1] if index <= len(groups) else ""
        rows.append((int(index), name, int(n_atoms), float(error), rmse, largest, atom, group))
    return rows
