"""Energy of a gold dimer above MgO against its height, without and with Al far below: wetting.png.

python figure.py RESULTS/surface_1/curve.csv
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from plotting.style import BLACK, BLUE, GREEN, VERMILLION, figure  # noqa: E402

STYLES = {"model": (BLACK, "-"), "2G": (VERMILLION, "--"), "3G": (GREEN, "-."), "4G": (BLUE, ":")}


def main() -> None:
    """See the head of the file."""
    if len(sys.argv) != 2:
        sys.exit(f"expected one table, curve.csv of a study, got {len(sys.argv) - 1} arguments")
    with open(sys.argv[1], newline="") as file:
        rows = list(csv.DictReader(file))
    drawn = figure(2, height=2.8)
    both = drawn.subplots(1, 2, sharey=True)
    for axes, (surface, title) in zip(both, (("plain", "MgO"), ("doped", "MgO with Al")), strict=True):
        own = [row for row in rows if row["surface"] == surface]
        for name in (column for column in STYLES if column in own[0]):
            color, line = STYLES[name]
            heights, energies = ([float(row[column]) for row in own] for column in ("height", name))
            axes.plot(heights, energies, color=color, linestyle=line, label=name, linewidth=2.0)
        axes.set_title(title, loc="left")
        axes.set_xlabel(r"height of the dimer, $\mathrm{\AA}$")
    both[0].set_ylabel("energy, eV")
    both[0].legend(loc="lower right", frameon=False)
    drawn.savefig(HERE / "wetting.png", dpi=130)


if __name__ == "__main__":
    main()
