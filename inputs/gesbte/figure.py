"""Error and calibrated standard deviation from crystal to melt to alloy: error_and_sigma.png (Figs. 2 and 3).

    python figure.py CRYSTALS ENDS [--target forces]

CRYSTALS and ENDS are the two studies of that name, with the results.csv of tools/compare_arms.py. For each
set that was asked about: the root mean square error of the plain network and the mean calibrated standard
deviation of the masks after training, medians and ranges over the seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from plotting.style import BLUE, VERMILLION, figure, legend_above, plain_numbers, save  # noqa: E402
from study_tools import read_rows  # noqa: E402

PANELS = {
    "energy": "energy, meV/atom",
    "force": r"force component, meV/$\mathrm{\AA}$",
}
BLOCKS = (  # study, groups that begin with, temperatures, title
    ("crystals", "GeTe", (300, 600, 750), "GeTe\ncrystal, known"),
    ("crystals", "GeTe", (900, 1200, 1500), "GeTe\nmelt, unknown"),
    ("ends", "Sb2Te3", (300, 600, 900, 1200, 1500), "Sb$_2$Te$_3$\nknown"),
    ("ends", "Ge2Sb2Te5", (300, 600, 900, 1200, 1500), "Ge$_2$Sb$_2$Te$_5$\nunknown"),
)
CURVES = {  # arm, column, color
    "error": ("plain", "rmse", VERMILLION),
    "calibrated sigma": ("masks_after", "sigma_calibrated", BLUE),
}

Rows = Sequence[dict[str, str]]


def main() -> None:
    """Read, draw, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("crystals", type=Path)
    parser.add_argument("ends", type=Path)
    parser.add_argument("--target", choices=("energy", "forces"), default="forces")
    words = parser.parse_args()
    studies = {
        name: [row for row in read_rows(getattr(words, name)) if row["target"] == words.target]
        for name in ("crystals", "ends")
    }
    drawn = figure(len(PANELS), width=4.6, height=3.4)
    for (quantity, label), axes in zip(PANELS.items(), drawn.subplots(1, len(PANELS)), strict=True):
        panel(axes, studies, quantity)
        axes.set_ylabel(label)
    for path in save(drawn, Path("error_and_sigma")):
        print(path)


def panel(axes: Axes, studies: dict[str, Rows], quantity: str) -> None:
    """One quantity: blocks of temperatures beside each other."""
    ticks: list[tuple[float, int]] = []
    for gap, (study, material, kelvins, title) in enumerate(BLOCKS):
        places = np.arange(len(kelvins)) + len(ticks) + 0.5 * gap
        groups = [f"{material}_{kelvin}K" for kelvin in kelvins]
        for name, (arm, column, color) in CURVES.items():
            found = [of_seeds(studies[study], arm, group, f"{quantity}_{column}") for group in groups]
            low, middle, high = np.array(found).T
            label = None if ticks else name
            axes.plot(places, middle, color=color, marker="o", markersize=3.5, label=label)
            axes.fill_between(places, low, high, color=color, alpha=0.2, linewidth=0)
        below = axes.get_xaxis_transform()
        axes.text(places.mean(), 0.01, title, ha="center", va="bottom", fontsize=7, transform=below)
        ticks += zip(places.tolist(), kelvins, strict=True)
    axes.set_xticks(*zip(*ticks, strict=True), rotation=90)
    axes.set_xlabel("temperature, K")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.3 * axes.get_ylim()[0])
    plain_numbers(axes.yaxis)
    legend_above(axes)


def of_seeds(rows: Rows, arm: str, group: str, column: str) -> tuple[float, float, float]:
    """Smallest, median and largest of one column."""
    values = [float(row[column]) for row in rows if row["arm"] == arm and row["group"] == group]
    if not values:
        sys.exit(f"results.csv has no {arm} for {group}: run tools/compare_arms.py first")
    return min(values), float(np.median(values)), max(values)


if __name__ == "__main__":
    main()
