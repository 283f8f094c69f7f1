"""Is sigma of the right size? Errors and standard deviations by temperature, over all seeds, as one figure.

    python sizes.py study/results.txt [--arm dropout_0.05] [--target energy_and_forces]

Written are sizes.png and sizes.pdf beside the results. Lines are medians over the seeds, bands go
from the smallest to the largest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from tables import Row, read_results, values

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from plotting.style import BLACK, BLUE, GREEN, VERMILLION, figure, plain_numbers, save

GROUPS = {
    **{300: "300K_held_out", 450: "450K", 600: "600K_held_out", 750: "750K", 900: "900K_held_out"},
    **{t: f"{t}K" for t in (1200, 1350, 1500, 1800)},
}
TRAINED = (300, 600, 900)
LINES = (  # label, column, kind, color, line
    ("error against DFT", "RMSE", None, BLACK, "-"),
    ("sigma, raw", "raw", "mc", GREEN, ":"),
    ("sigma, calibrated, mc", "sigma", "mc", BLUE, "--"),
    ("sigma, calibrated, hybrid", "sigma", "hybrid", VERMILLION, "-"),
)
PANELS = {"E": "energy, root mean square (meV/atom)", "F": "forces, root mean square (meV/Å)"}


def main() -> None:
    """Read, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--arm", default="dropout_0.05")
    parser.add_argument("--target", default="energy_and_forces")
    options = parser.parse_args()
    rows = [row for row in read_results(options.results) if row["target"] == options.target]
    drawn = figure(2, width=4.0, height=3.4)
    for axes, (quantity, label) in zip(drawn.subplots(1, 2), PANELS.items(), strict=True):
        panel(axes, rows, options.arm, quantity)
        axes.set(xlabel="temperature of the frames (K)", ylabel=label)
    lines, labels = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(lines, labels, loc="outside upper center", ncols=len(lines))
    for path in save(drawn, options.results.with_name("sizes")):
        print(f"Written: {path}")


def panel(axes: Axes, rows: Sequence[Row], arm: str, quantity: str) -> None:
    """Lines over the temperature for E or F."""
    for label, column, kind, color, line in LINES:
        found = {t: values(rows, arm, kind, name, f"{quantity}_{column}") for t, name in GROUPS.items()}
        at = [t for t, seeds in found.items() if seeds]
        low, middle, high = (np.array([f(found[t]) for t in at]) for f in (np.min, np.median, np.max))
        axes.plot(at, middle, line, color=color, label=label)
        axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xticks([*GROUPS], [str(t) for t in GROUPS], fontsize=7)
    for t, tick in zip(GROUPS, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if t in TRAINED else "normal")
    axes.axvspan(min(TRAINED), max(TRAINED), color="#EEEEEE", zorder=0)
    middle_of_range = (min(TRAINED) + max(TRAINED)) / 2
    below = axes.get_xaxis_transform()
    axes.text(middle_of_range, 0.02, "trained on 300, 600, 900 K", transform=below, ha="center", fontsize=7)


if __name__ == "__main__":
    main()
