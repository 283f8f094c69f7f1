"""Pictures of standard deviations: against errors, reliability, confidence curve, detection.

One row for the energies per atom, one for the force components. Sigma is the one in force (calibrated if
there is a calibration); dashed lines are those of the raw one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bnnp.errors import InputError
from bnnp.io.output import replace_file
from bnnp.uncertainty.detection import roc_auc, roc_curve
from bnnp.uncertainty.ranking import confidence_curve
from bnnp.uncertainty.reliability import half_width, reliability
from plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    figure,
    legend_above,
    plain_numbers,
    save,
)
from plotting.uncertainty_sets import Predicted, kinds_of, read_sets, report

Array = NDArray[np.float64]

COLORS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
DASHES = {"std": "-", "raw": "--"}
LABELS = {"energy": "energy", "forces": "force"}
UNITS_SHOWN = {"energy": "meV/atom", "forces": r"meV/$\mathrm{\AA}$"}
MANY = 200  # points that are drawn small
SHOWN = 1500  # points of a set at most
SHORT = 16  # characters of a label of which three stand beside each other
FEWEST = 5  # values that a bin of the reliability diagram needs


def draw(directories: Sequence[Path], output: Path, outside: Sequence[str] = ()) -> list[Path]:
    """The figure and the text report; the files written.

    Parameters
    ----------
    outside : sequence of str
        Names of the sets (groups or directories) that are out of the domain.

    Raises
    ------
    InputError
        No mode 3 output, no standard deviations, no references, or no set of such a name.
    """
    sets = read_sets(directories)
    written = save(figure_of(sets, outside), output / "uncertainty")
    path = output / "uncertainty.txt"
    with replace_file(path) as file:
        file.write(report(sets, outside))
    return [*written, path]


def figure_of(sets: Sequence[Predicted], outside: Sequence[str] = ()) -> Any:
    """The figure. Raises InputError without references, or if there is no set of such a name."""
    names = [each.name for each in sets]
    if unknown := [name for name in outside if name not in names]:
        raise InputError(f"--outside {unknown[0]}: there is no such set; there are {', '.join(names)}")
    quantities = [q for q in LABELS if any(len(s.values[q].known("std")[0]) for s in sets if q in s.values)]
    if not quantities:
        raise InputError("no references: errors are needed to judge standard deviations by")
    return panels(sets, quantities, outside)


def panels(sets: Sequence[Predicted], quantities: Sequence[str], outside: Sequence[str]) -> Any:
    """One row a quantity; the fourth panel only if there are sets out of the domain."""
    width = 3 + bool(outside)
    drawn = figure(width, len(quantities), height=3.7)
    for row, quantity in enumerate(quantities):
        known = [each for each in sets if quantity in each.values]
        axes = [drawn.add_subplot(len(quantities), width, row * width + k) for k in range(1, width + 1)]
        errors_panel(axes[0], known, quantity)
        reliability_panel(axes[1], known, quantity)
        confidence_panel(axes[2], known, quantity)
        if outside:
            detection_panel(axes[3], known, quantity, outside)
    return drawn


def errors_panel(axes: Axes, sets: Sequence[Predicted], quantity: str) -> None:
    """Sigma against the size of the error, and the lines below which that share of them is if they are
    normally distributed."""
    every = []
    for each, color in _colored(sets):
        errors, sigma = each.values[quantity].known("std")
        chosen = np.random.default_rng(1).permutation(len(errors))[:SHOWN]
        size = np.abs(errors[chosen])
        width, opacity = (3.0, 0.5) if len(size) > MANY else (6.0, 0.9)
        (points,) = axes.plot(sigma[chosen], size, ".", color=color, markeredgewidth=0, label=each.name)
        points.set(markersize=width, alpha=opacity)
        every.append((sigma, np.abs(errors)))
    sigma, size = (np.concatenate(column) for column in zip(*every, strict=True))
    ends = np.array([sigma.min(), sigma.max()]) * [0.8, 1.25]
    for level, dashes in ((0.68, "-"), (0.95, ":")):
        line = half_width(level) * ends
        axes.plot(ends, line, dashes, color=BLACK, linewidth=0.9, label=f"{level:.0%} if normal")
    bottom = max(float(np.quantile(size, 0.01)), 1e-3 * float(size.max()))
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=(bottom, 1.5 * max(size.max(), line.max())))
    _name(axes, quantity, r"$\sigma$", "|error|")
    _legend(axes, markerscale=2.5)


def reliability_panel(axes: Axes, sets: Sequence[Predicted], quantity: str) -> None:
    """Root mean square error against root mean variance, in bins of equal number."""
    ends = [np.inf, 0.0]
    for each, color in _colored(sets):
        for kind in kinds_of(sets):
            errors, sigma = each.values[quantity].known(kind)
            if len(errors) < FEWEST:
                continue
            found = reliability(errors, sigma, min(10, len(errors) // FEWEST or 1))
            label = f"{each.name}, {found.ence:.2f}" if kind == "std" else None
            marker = "o" if kind == "std" else "x"
            axes.plot(
                found.sigma, found.error, DASHES[kind], marker=marker, markersize=3, color=color, label=label
            )
            ends = [
                min(ends[0], found.sigma.min(), found.error.min()),
                max(ends[1], found.sigma.max(), found.error.max()),
            ]
    if ends[1] > 0.0:
        line = np.array([max(ends[0], 1e-3 * ends[1]), ends[1]]) * [0.8, 1.25]  # errors may be 0
        axes.plot(line, line, color=BLACK, linewidth=0.8, zorder=1.5, label="right size")
        if len(kinds_of(sets)) > 1:
            axes.plot([], [], DASHES["raw"], marker="x", markersize=3, color="0.5", label="raw")
        axes.set(xscale="log", yscale="log", xlim=line, ylim=line)
        _legend(axes, "set, expected normalized calibration error (ENCE)")
    _name(axes, quantity, r"root mean $\sigma^2$", "RMSE")


def confidence_panel(axes: Axes, sets: Sequence[Predicted], quantity: str) -> None:
    """RMSE of all sets together when the values with the largest sigma are left out."""
    for kind in kinds_of(sets):
        pairs = [each.values[quantity].known(kind) for each in sets]
        errors, sigma = (np.concatenate(column) for column in zip(*pairs, strict=True))
        curve = confidence_curve(errors, sigma)
        title = {"std": "largest sigma first", "raw": "largest raw sigma first"}[kind]
        axes.plot(
            100 * curve.removed,
            curve.error,
            DASHES[kind],
            color=BLUE,
            label=f"{title}, area to black (AUSE) {curve.ause:.2f}",
        )
    axes.plot(100 * curve.removed, curve.oracle, color=BLACK, linewidth=0.9, label="largest error first")
    axes.axhline(1.0, color=BLACK, linewidth=0.6, linestyle=":", label="at random")
    axes.set(xlabel="left out (%)", ylabel=f"{LABELS[quantity]} RMSE of the rest / of all", xlim=(0, 100))
    axes.set_ylim(bottom=0.0)
    _legend(axes)


def detection_panel(axes: Axes, sets: Sequence[Predicted], quantity: str, outside: Sequence[str]) -> None:
    """Receiver operating characteristic of each set out of the domain against all others."""
    for kind in kinds_of(sets):
        inside = np.concatenate([e.values[quantity].largest(kind) for e in sets if e.name not in outside])
        for each, color in _colored(sets):
            if each.name in outside and len(inside):
                scores = inside, each.values[quantity].largest(kind)
                label = f"{each.name}{', raw' * (kind == 'raw')} {roc_auc(*scores):.3f}"
                axes.plot(*roc_curve(*scores), DASHES[kind], color=color, label=label)
    axes.plot([0, 1], [0, 1], color=BLACK, linewidth=0.6, linestyle=":", label="by chance")
    what = {"energy": r"$\sigma$ of the energy", "forces": r"largest force $\sigma$"}[quantity]
    axes.set(xlabel="false positives", ylabel="true positives", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    _legend(axes, f"ROC-AUC by {what} of a structure")


def _legend(axes: Axes, title: str = "", markerscale: float = 1.0) -> None:
    """Above the panel, where there are no data."""
    _, labels = axes.get_legend_handles_labels()
    n_columns = 3 if max(map(len, labels), default=0) < SHORT else 2
    legend_above(axes, title, n_columns, fontsize=6.5, title_fontsize=7, markerscale=markerscale)


def _colored(sets: Sequence[Predicted]) -> list[tuple[Predicted, str]]:
    return list(zip(sets, islice(cycle(COLORS), len(sets)), strict=True))


def _name(axes: Axes, quantity: str, x: str, y: str) -> None:
    """Labels with quantity and unit."""
    unit = UNITS_SHOWN[quantity]
    axes.set(xlabel=f"{LABELS[quantity]} {x} ({unit})", ylabel=f"{LABELS[quantity]} {y} ({unit})")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
