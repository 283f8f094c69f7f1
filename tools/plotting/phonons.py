"""Pictures of bnnp phonons: bands with the density of states, and thermal properties, each with its sigma.

A band is what 95 % of a normal distribution lies in: 1.96 standard deviations to both sides.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnp.io.tables import read_table
from plotting.distributions import WIDTH
from plotting.style import BLACK, BLUE, VERMILLION, figure, save

Array = NDArray[np.float64]

THERMAL = {"Cv": "heat capacity ($k_B$/atom)", "S": "entropy ($k_B$/atom)", "F": "free energy (eV/atom)"}
EXPANSION = {"V": r"volume ($\mathrm{\AA}^3$)", "alpha": "expansion ($10^{-6}$/K)", "B": "bulk modulus (GPa)"}


def draw(prefix: str, output: Path) -> list[Path]:
    """The pictures OUTPUT_bands and OUTPUT_thermal of the files PREFIX_*.out; the files written.

    Raises
    ------
    InputError
        A file is missing or no table.
    """
    bands, text = read_table(Path(f"{prefix}_bands.out"))
    dos, _ = read_table(Path(f"{prefix}_dos.out"))
    thermal, _ = read_table(Path(f"{prefix}_thermal.out"))
    expansion = Path(f"{prefix}_qha.out")
    tables = [(thermal, THERMAL)]
    if expansion.is_file():
        tables.append((read_table(expansion)[0], EXPANSION))
    written = save(bands_figure(bands, text, dos), output.with_name(f"{output.name}_bands"))
    return written + save(thermal_figure(tables), output.with_name(f"{output.name}_thermal"))


def bands_figure(bands: dict[str, Array], text: str, dos: dict[str, Array]) -> Any:
    """Frequencies along the path, and the density of states beside them on the same axis."""
    drawn = figure(2, width=3.4)
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    branches = [name for name in bands if name.startswith("f_") and not name.endswith("_std")]
    jumps = np.flatnonzero(np.diff(bands["distance"]) == 0.0) + 1
    x = np.insert(bands["distance"], jumps, np.nan)  # no line across a jump
    for name in branches:
        y, std = (np.insert(bands[column], jumps, np.nan) for column in (name, f"{name}_std"))
        _banded(left, x, y, std, BLUE)
    places: dict[float, list[str]] = {}
    words = text.partition("path: ")[2].partition(";")[0].split()
    for name, distance in zip(words[::2], words[1::2], strict=True):
        names = places.setdefault(float(distance), [])
        if name not in names:
            names.append(name)
    for place in places:
        left.axvline(place, color=BLACK, linewidth=0.6)
    labels = ["|".join(names).replace("GAMMA", r"$\Gamma$") for names in places.values()]
    left.set_xticks(list(places), labels)
    left.set(xlim=(0.0, bands["distance"][-1]), ylabel="frequency (THz), imaginary below 0")
    left.axhline(0.0, color=BLACK, linewidth=0.6, linestyle=":")
    _banded(right, dos["frequency"], dos["dos"], dos["dos_std"], BLUE, upright=True)
    right.set(xlabel="DOS (1/THz)", xlim=(0.0, None))
    return drawn


def thermal_figure(tables: list[tuple[dict[str, Array], dict[str, str]]]) -> Any:
    """One panel a quantity, over the temperature; a row of panels a file."""
    drawn = figure(3, len(tables), width=2.8, height=2.6)
    panels = iter(drawn.subplots(len(tables), 3, squeeze=False).ravel())
    for table, names in tables:
        for name, label in names.items():
            axes = next(panels)
            _banded(axes, table["T"], table[name], table[f"{name}_std"], VERMILLION)
            axes.set(xlabel="T (K)", ylabel=label)
    return drawn


def _banded(axes: Any, x: Array, y: Array, std: Array, color: str, upright: bool = False) -> None:
    """A line with its band; `upright`: x is drawn upwards."""
    low, high = y - WIDTH * std, y + WIDTH * std
    if upright:
        axes.plot(y, x, color=color)
        axes.fill_betweenx(x, np.maximum(low, 0.0), high, color=color, alpha=0.25, lw=0)
    else:
        axes.plot(x, y, color=color)
        axes.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
