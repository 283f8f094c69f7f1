"""Pictures of md.out: temperature, energies, the conserved quantity, pressure, and how sure the potential is.

Dotted lines divide the stages. Thresholds of ``md_uncertainty_warn`` and ``md_uncertainty_stop`` are taken
from the input.nn beside md.out, quantiles from uncertainty.data, the number of atoms from trajectory.extxyz.
Energies are in meV/atom and forces in meV/Angstrom whatever the units of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.md_out import FILE_NAME, read_md_out
from bnnp.io.trajectory import TRAJECTORY
from bnnp.io.uncertainty_data import FILE_NAME as UNCERTAINTY
from bnnp.io.uncertainty_data import read_uncertainty
from bnnp.settings.settings import Settings, load_settings
from bnnp.units import UNITS, Units
from plotting.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, figure, legend_above, save

Array = NDArray[np.float64]
Limits = dict[str, list[tuple[str, float]]]

MOST = 3  # mean temperatures in a legend
MANY = 400  # points from which lines are drawn thin


@dataclass(frozen=True, eq=False)
class Run:
    """What is drawn.

    Parameters
    ----------
    table : mapping of str to (n_lines,) float64
        Columns of md.out.
    units : Units
    n_atoms : int
    std : str
        Meaning of the standard deviations; empty without samples.
    limits : mapping of str to list of (str, float)
        For ``energy``, ``forces``, ``extrapolations``: ``warn`` or ``stop``, for a quantile ``stop q99``, for
        raw deviations beside calibrated ones ``stop raw``, and the value in the units of the file; NaN for a
        quantile without the calibration beside it.
    """

    table: dict[str, Array]
    units: Units
    n_atoms: int
    std: str
    limits: Limits

    @property
    def time(self) -> Array:
        """ps."""
        return self.table["time"] / 1000.0

    @property
    def stages(self) -> list[NDArray[np.bool_]]:
        """The lines of each stage."""
        return [self.table["stage"] == number for number in np.unique(self.table["stage"])]

    def per_atom(self, name: str) -> Array:
        """A total energy, meV/atom."""
        return self.units.mev * self.table[name] / self.n_atoms

    def change(self, name: str) -> Array:
        """The same less its first value in each stage."""
        values = self.per_atom(name)
        for mine in self.stages:
            values[mine] -= values[mine][0]
        return values


def draw(path: Path, output: Path) -> list[Path]:
    """The picture of a run, one panel a quantity; the files written.

    Parameters
    ----------
    path : Path
        An md.out, or the directory it is in.
    output : Path
        Without the ending.

    Raises
    ------
    InputError
        No md.out, or no trajectory.extxyz beside it, which says how many atoms there are.
    """
    run = read_run(path / FILE_NAME if path.is_dir() else path)
    return save(run_figure(run), output)


def read_run(path: Path) -> Run:
    """md.out and what is beside it."""
    table = read_md_out(path)
    if not len(table["step"]):
        raise InputError(f"{path}: has no line yet")
    header = path.read_text(encoding="utf-8").partition("\n")[0]
    units = next(u for u in UNITS.values() if f"E in {u.energy}," in header)
    frames = path.with_name(TRAJECTORY)
    try:
        with open(frames, encoding="utf-8") as file:
            n_atoms = int(file.readline())
    except (OSError, ValueError) as error:
        raise InputError(f"{frames}: the number of atoms cannot be read from it: {error}") from error
    std = header.partition("std: ")[2]
    return Run(table, units, n_atoms, std, read_limits(path.with_name("input.nn"), std))


def read_limits(path: Path, std: str) -> Limits:
    """Thresholds in the units of md.out."""
    found: Limits = {"energy": [], "forces": [], "extrapolations": []}
    if not path.is_file():
        return found
    settings = load_settings(path, 3)
    for kind in ("warn", "stop"):
        for limit in settings.value(f"md_uncertainty_{kind}") or ():
            if limit.value is not None:
                beside = limit.raw and not std.startswith("raw")
                found[limit.quantity].append((f"{kind}{' raw' * beside}", limit.value))
            elif limit.quantile is not None:
                value = _quantile(path.parent, settings, limit.quantity, limit.quantile)
                found[limit.quantity].append((f"{kind} q{limit.quantile:g}", value))
    return found


def _quantile(directory: Path, settings: Settings, quantity: str, percent: float) -> float:
    """That of the calibration in force; NaN without one."""
    path = directory / UNCERTAINTY
    data = read_uncertainty(path).calibration if path.is_file() else None
    if data is None:
        return float("nan")
    calibration = data.kinds.get(
        settings.calibration.uncertainty if settings.given("uncertainty") else data.use
    )
    known = calibration is not None and quantity in calibration.quantiles
    return calibration.quantile(quantity, percent) if calibration is not None and known else float("nan")


def run_figure(run: Run) -> Any:
    """One panel below the other for each quantity there is."""
    panels = [_temperature, _energies, _conserved]
    panels += [_pressure] * bool(np.isfinite(run.table["pressure"]).any())
    panels += [_energy_sigma] * bool(np.isfinite(run.table["E_std"]).any())
    panels += [_force_sigma] * bool(np.isfinite(run.table["F_std_max"]).any())
    panels += [_extrapolations] * bool(np.nansum(run.table["extrapolations"]) > 0)
    n_rows = -(-len(panels) // 2)
    drawn = figure(2, n_rows, width=4.2, height=2.1)
    for number, panel in enumerate(panels, start=1):
        axes = drawn.add_subplot(n_rows, 2, number)
        panel(axes, run)
        for k, mine in enumerate(run.stages[1:]):
            label = "next stage" if number == 1 and k == 0 else ""
            axes.axvline(run.time[mine][0], color=BLACK, linewidth=0.8, linestyle=":", label=label)
        legend_above(axes, n_columns=3)
        axes.set_xlim(run.time[0], run.time[-1] if len(run.time) > 1 else run.time[0] + 1e-3)
        axes.set(xlabel="time (ps)" if number > len(panels) - 2 else "")
    if run.std:
        drawn.supxlabel(f"sigma: {run.std}", fontsize=7.5)
    return drawn


def _line(axes: Axes, x: Array, y: Array, color: str, label: str = "", style: str = "-") -> None:
    known = np.isfinite(y)
    width = 1.2 if known.sum() < MANY else 0.7
    marker = "." if known.sum() < 3 else ""
    axes.plot(x[known], y[known], style, color=color, linewidth=width, label=label, marker=marker)


def _temperature(axes: Axes, run: Run) -> None:
    _line(axes, run.time, run.table["T"], BLUE)
    means = [run.table["T"][mine].mean() for mine in run.stages]
    shown = ", ".join(f"{mean:.0f} K" for mean in means[:MOST]) + " ..." * (len(means) > MOST)
    for k, (mine, mean) in enumerate(zip(run.stages, means, strict=True)):
        label = "" if k else f"mean of a stage: {shown}"
        axes.plot(run.time[mine][[0, -1]], [mean, mean], color=BLACK, linewidth=0.8, label=label)
    axes.set(ylabel="temperature (K)")


def _energies(axes: Axes, run: Run) -> None:
    for name, label, color in (("E_pot", "potential", BLUE), ("E_kin", "kinetic", VERMILLION)):
        energy = run.per_atom(name)
        _line(axes, run.time, energy - energy[0], color, label)
    axes.set(ylabel="energy - start\n(meV/atom)")


def _conserved(axes: Axes, run: Run) -> None:
    change = run.change("E_conserved")
    for mine in run.stages:
        _line(axes, run.time[mine], change[mine], VERMILLION)
    axes.set(ylabel="conserved - start of\nstage (meV/atom)")


def _pressure(axes: Axes, run: Run) -> None:
    _line(axes, run.time, run.table["pressure"], GREEN)
    axes.set(ylabel="pressure (GPa)")


def _energy_sigma(axes: Axes, run: Run) -> None:
    axes.set(ylabel="sigma of the energy\n(meV/atom)")
    _sigma(axes, run, "energy", "E_std", run.units.mev, ORANGE)


def _force_sigma(axes: Axes, run: Run) -> None:
    axes.set(ylabel="largest force sigma\n" r"(meV/$\mathrm{\AA}$)")
    _sigma(axes, run, "forces", "F_std_max", run.units.mev_per_angstrom, PURPLE)


def _sigma(axes: Axes, run: Run, quantity: str, column: str, factor: float, color: str) -> None:
    """Standard deviations in force, and the raw ones where a threshold is on them."""
    raw = factor * run.table.get(f"{column}_raw", np.full(len(run.time), np.nan))
    both = any("raw" in kind for kind, _ in run.limits[quantity]) and bool(np.isfinite(raw).any())
    _line(axes, run.time, factor * run.table[column], color, "calibrated" * both)
    if both:
        _line(axes, run.time, raw, color, "raw", ":")
    _thresholds(axes, run, quantity, factor)


def _extrapolations(axes: Axes, run: Run) -> None:
    _line(axes, run.time, run.table["extrapolations"], SKY)
    axes.set(ylabel="functions outside\ntheir training range")
    _thresholds(axes, run, "extrapolations", 1.0)


def _thresholds(axes: Axes, run: Run, quantity: str, factor: float) -> None:
    """Lines of warn and stop."""
    for kind, value in run.limits[quantity]:
        color, style = (VERMILLION, "-") if kind.startswith("stop") else (BLACK, "--")
        shown = f"{factor * value:.4g}" if np.isfinite(value) else f"{UNCERTAINTY} has no calibration"
        axes.axhline(factor * value, color=color, linewidth=1.0, linestyle=style, label=f"{kind}: {shown}")
