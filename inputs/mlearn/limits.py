"""What limits the errors: functions, nodes, structures, and a network ten times as large.

    python limits.py --data DATA RESULTS [NAME ...] [--seed 1]

Trains on NAME (Si and Ni by default) by the defaults but for one thing at a time, and appends the errors of
the training, validation and test set to RESULTS/results.csv; what is there is not repeated. Nothing is chosen
by these numbers.
"""

from __future__ import annotations

import numpy as np
from study import append_rows, arguments, read_rows, run  # type: ignore[import-not-found]

VARIED = {
    "the defaults": "",
    "15 functions": "symmetry_functions auto 15\n",
    "30 functions": "symmetry_functions auto 30\n",
    "100 functions": "symmetry_functions auto 100\n",
    "2 x 6 nodes": "global_nodes_short 6 6\n",
    "2 x 12 nodes": "global_nodes_short 12 12\n",
    "2 x 48 nodes": "global_nodes_short 48 48\n",
    "18 % of the structures": "calibration_fraction 0.72\n",
    "35 % of the structures": "calibration_fraction 0.55\n",
    "88 % of the structures": "calibration_fraction 0.02\n",
    "2 x 128 nodes, Adam": "global_nodes_short 128 128\noptimizer adam\npolish_epochs 20\n",
}
COLUMNS = ("name", "varied", "train_energy", "valid_energy", "train_force", "valid_force")  # meV
TEST = ("test_energy", "test_force", "cpu")  # meV/atom, meV/Angstrom, s
LAST = (1, 2, 9, 10)  # columns of learning-curve.out


def main() -> None:
    """See the head of the file."""
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    words.results.mkdir(parents=True, exist_ok=True)
    for name in words.names or ["Si", "Ni"]:
        for place, (varied, more) in enumerate(VARIED.items()):
            if any((row["name"], row["varied"]) == (name, varied) for row in read_rows(words.results)):
                continue
            folder = words.results / f"{name}_{place}"
            (row,) = run(name, words.seed, words.data.resolve(), folder, more)
            curve = 1e3 * np.loadtxt(folder / "learning-curve.out", ndmin=2)[-1, LAST]
            tested = [row[3], row[5], row[-1]]
            append_rows(words.results, (*COLUMNS, *TEST), [[name, varied, *map(float, curve), *tested]])
    print(f"| | {' | '.join((*COLUMNS[2:], *TEST))} |\n|{'---|' * 8}")
    for found in read_rows(words.results):
        values = " | ".join(found[x] for x in (*COLUMNS[2:], *TEST))
        print(f"| {found['name']}, {found['varied']} | {values} |")


if __name__ == "__main__":
    main()
