"""Pictures of symmetry functions: their shapes, and how their values are distributed over the atoms.

Shapes are those of the formulas: a radial function against the distance of one neighbor; an angular one
against the angle of two neighbors that are both half the cutoff radius away, divided by its largest value.
Values come from symmetry_functions.h5 (mode 1), training and test set together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from bnnp.descriptors.cutoffs import Cutoff
from bnnp.descriptors.formulas import ANGULAR, RADIAL, Triples
from bnnp.descriptors.functions import SymmetryFunction, parse_function
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.messages import count
from bnnp.settings.settings import load_settings
from plotting.style import BLACK, BLUE, ORANGE, figure, legend_above, save

Array = NDArray[np.float64]

MOST_ATOMS = 20_000  # of an element; more are thinned evenly
POINTS = 300
PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


def draw(directory: Path, output: Path) -> list[Path]:
    """Shapes and distributions of the functions of every element; the files written.

    Raises
    ------
    InputError
        Mode 1 has not run there.
    StaleFileError
        Its file belongs to another input.nn.
    """
    settings = load_settings(directory / "input.nn", 1)
    written = []
    with DescriptorFile.open(directory / FILE_NAME, settings.model) as file:
        for element in file.elements:
            functions = [parse_function(text.split()) for text in file.definitions[element]]
            shapes = shapes_figure(functions, settings.model.cutoff, settings.model.units.length)
            written += save(shapes, output / f"symmetry_shapes_{element}")
            values = some_rows(file, element)
            drawn = distributions_figure(functions, values)
            written += save(drawn, output / f"symmetry_distributions_{element}")
    return written


def some_rows(file: DescriptorFile, element: str) -> Array:
    """Symmetry functions of at most `MOST_ATOMS` atoms of an element, (n_atoms, n_functions)."""
    dataset = file.descriptors(element)
    step = max(1, -(-len(dataset) // MOST_ATOMS))
    return np.asarray(dataset[::step], dtype=np.float64)


def radial_curve(function: SymmetryFunction, cutoff: Cutoff) -> tuple[Array, Array]:
    """Distances up to the cutoff and the contribution of one neighbor there."""
    r = torch.linspace(1e-3, function.r_c, POINTS, dtype=torch.float64)
    return r.numpy(), RADIAL[function.type](function, r, cutoff).numpy()


def angular_curve(function: SymmetryFunction, cutoff: Cutoff) -> tuple[Array, Array]:
    """Angles in degrees and the contribution of two neighbors at r_c / 2, divided by its maximum."""
    theta = torch.linspace(0.0, torch.pi, POINTS + 2, dtype=torch.float64)[1:-1]
    r = 0.5 * function.r_c
    flat = torch.zeros_like(theta)
    ij = torch.stack([flat + r, flat, flat], dim=1)
    ik = torch.stack([r * theta.cos(), r * theta.sin(), flat], dim=1)
    values = ANGULAR[function.type](function, Triples(ij, ik), cutoff).numpy()
    return np.degrees(theta.numpy()), values / (np.abs(values).max() or 1.0)


def distinct(functions: Sequence[SymmetryFunction], angular: bool) -> list[SymmetryFunction]:
    """One function of each shape: those that differ only in their neighbors have the same."""
    found: dict[tuple[str, ...], SymmetryFunction] = {}
    for function in functions:
        if function.is_angular == angular:
            words = function.definition().split()
            del words[2 : 2 + len(function.neighbors)]
            found.setdefault(tuple(words), function)
    return list(found.values())


def shapes_figure(functions: Sequence[SymmetryFunction], cutoff: Cutoff, length: str) -> Any:
    """Radial functions beside angular ones, each shape once."""
    panels = [angular for angular in (False, True) if distinct(functions, angular)]
    drawn = figure(len(panels), width=4.4)
    unit = length.replace("Angstrom", r"$\mathrm{\AA}$")
    for number, angular in enumerate(panels, start=1):
        axes = drawn.add_subplot(1, len(panels), number)
        shapes = distinct(functions, angular)
        curve = angular_curve if angular else radial_curve
        for k, function in enumerate(shapes):
            style = ("-", "--", ":", "-.")[k % 4]
            axes.plot(*curve(function, cutoff), style, color=_color(k, len(shapes)), label=_label(function))
        label = "angle (degrees)" if angular else f"distance ({unit})"
        axes.set(xlabel=label, ylabel="one pair, of its largest" if angular else "one neighbor")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        title = f"{functions[0].element}, {'angular' if angular else 'radial'}: type and parameters"
        legend_above(axes, title, 3, fontsize=6)
    return drawn


def _color(k: int, count: int) -> Any:
    """Colour of curve k: dark to light with equal steps of lightness, without the palest."""
    from matplotlib import colormaps

    return colormaps["cividis"](0.9 * k / max(count - 1, 1))


def _label(function: SymmetryFunction) -> str:
    """Type and parameters, without elements."""
    words = function.definition().split()
    return " ".join(["G" + words[1], *words[2 + len(function.neighbors) :]])


def distributions_figure(functions: Sequence[SymmetryFunction], values: Array) -> Any:
    """A row a function: where its values lie, in units of its range, and how far they spread."""
    size = len(functions)
    drawn = figure(1, width=8.4, height=1.4 + 0.17 * size)
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    levels = np.percentile(values, PERCENTILES, axis=0)  # (7, n_functions)
    width = np.where(levels[-1] > levels[0], levels[-1] - levels[0], 1.0)
    rows = np.arange(size)
    colors = [ORANGE if function.is_angular else BLUE for function in functions]
    _boxes(left, rows, (levels - levels[0]) / width, colors)
    left.set_yticks(rows, [function.definition() for function in functions], fontsize=6)
    left.set(ylim=(size - 0.3, -0.7), xlim=(-0.02, 1.02), xlabel="value, from its minimum to its maximum")
    left.set_title(f"{functions[0].element}, {count(len(values), 'atom')}", fontsize=9)
    spread = values.std(axis=0)
    for color, name in ((BLUE, "radial"), (ORANGE, "angular")):
        chosen = [k for k in rows if colors[k] == color and spread[k] > 0.0]
        if chosen:
            right.plot(spread[chosen], chosen, "o", color=color, markersize=3.5, label=name)
    right.set(xscale="log", xlabel="standard deviation")
    left.grid(visible=False, axis="y")
    left.plot([], [], color=BLACK, linewidth=1.0, label="median")
    left.plot([], [], color="0.5", linewidth=4.0, label="half of the atoms")
    left.plot([], [], color="0.5", linewidth=1.0, label="90 %")
    left.plot([], [], ".", color="0.5", markersize=3.0, label="smallest, largest")
    drawn.legend(fontsize=7, loc="outside upper center", ncols=6)
    return drawn


def _boxes(axes: Axes, rows: NDArray[np.int64], levels: Array, colors: Sequence[str]) -> None:
    """Line from 5 to 95 %, bar from 25 to 75 %, tick at the median; dots at the ends of the range."""
    low, p5, p25, p50, p75, p95, high = levels
    axes.hlines(rows, p5, p95, colors=colors, linewidth=1.0)
    axes.hlines(rows, p25, p75, colors=colors, linewidth=4.0)
    axes.vlines(p50, rows - 0.35, rows + 0.35, colors=BLACK, linewidth=1.0)
    axes.scatter(np.concatenate([low, high]), np.tile(rows, 2), s=2.0, c=list(colors) * 2)
