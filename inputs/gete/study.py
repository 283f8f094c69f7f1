"""Trains GeTe several times, with dropout and without, and tabulates the errors by temperature.

    python study.py FOLDER [--seeds 1 2 3] [--rates 0 0.1 "0 0.1"] [--jobs 2] [--out study]

FOLDER holds gete_300K.extxyz.gz, ... (see README.md). Mode 1 runs once; each seed and dropout rate is
trained in a directory of its own (mode 2) and predicts test.data (mode 3). Finished runs are kept, so the
same command continues. Other temperatures: TRAIN and OTHER in the environment, as for prepare.sh.
Results: results.csv, one row a run and temperature, and table.md, medians and ranges over the seeds.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bnnp.io.input_data import StructureFile
from bnnp.io.prediction import read_columns

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

from study_tools import run_bnnp, with_keyword  # noqa: E402

# n2p2's RMSE (meV/atom, meV/Angstrom): same functions, network, training and test structures, one seed
N2P2 = {
    "300K_held_out": (7.3, 177),
    "600K_held_out": (3.3, 198),
    "900K_held_out": (3.5, 227),
    "750K": (9.5, 207),
    "1050K": (3.9, 278),
    "1200K": (8.6, 289),
    "1500K": (9.4, 314),
}
COLUMNS = ("group", "energy_rmse", "energy_sigma", "force_rmse", "force_sigma")


def main() -> None:
    """Prepare, train, predict, tabulate."""
    options = parse_arguments()
    base = options.out.resolve()
    prepare(options.folder.resolve(), base)
    arms = [(rate, seed) for seed in options.seeds for rate in options.rates]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda arm: train_and_predict(base, *arm, options.settings), arms))
    rows = [row for arm in arms for row in evaluate(base, *arm)]
    write_results(base, rows)
    print((base / "table.md").read_text())


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rates", nargs="+", default=["0", "0.1", "0 0.1"], help="values of dropout_rate")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time, one core each")
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument(
        "--set", dest="settings", nargs="*", default=[], metavar="KEYWORD=VALUE", help="change input.nn"
    )
    return parser.parse_args()


def prepare(folder: Path, base: Path) -> None:
    """input.data, test.data and symmetry_functions.h5, once for all runs."""
    base.mkdir(parents=True, exist_ok=True)
    if not (base / "test.data").exists():
        environment = {**os.environ, "PYTHON": sys.executable}
        subprocess.run(["sh", str(HERE / "prepare.sh"), str(folder)], cwd=base, env=environment, check=True)
    shutil.copy(HERE / "input.nn", base / "input.nn")
    run_bnnp(base, "mode1.log", "--mode", "1")


def train_and_predict(base: Path, rate: str, seed: int, changes: list[str]) -> None:
    """Modes 2 and 3 of one run, unless it is complete."""
    directory = run_directory(base, rate, seed)
    if (directory / "energy.out").exists():
        return
    directory.mkdir(exist_ok=True)
    text = (base / "input.nn").read_text()
    for change in [f"dropout_rate={rate}", f"random_seed={seed}", "threads=1", *changes]:
        text = with_keyword(text, *change.split("=", 1))
    (directory / "input.nn").write_text(text)
    target = directory / "symmetry_functions.h5"
    if not target.exists():
        os.link(base / "symmetry_functions.h5", target)
    start = time.perf_counter()
    run_bnnp(directory, "mode2.log", "--mode", "2")
    (directory / "seconds").write_text(f"{time.perf_counter() - start:.0f}\n")
    run_bnnp(directory, "mode3.log", "--mode", "3", "--data", str(base / "test.data"))


def run_directory(base: Path, rate: str, seed: int) -> Path:
    """Where a run lies."""
    return base / f"dropout_{rate.replace(' ', '_')}_seed_{seed}"


def evaluate(base: Path, rate: str, seed: int) -> Iterator[dict[str, object]]:
    """RMSE and mean sigma (per atom, per force component) of one run by group, meV/atom and meV/Angstrom."""
    directory = run_directory(base, rate, seed)
    groups = np.array([structure.info["group"] for structure in StructureFile(base / "test.data")])
    energy, forces = (read_columns(directory / name)[0] for name in ("energy.out", "nnforces.out"))
    owner = groups[forces["Conf."].astype(int) - 1]
    for group in dict.fromkeys(groups.tolist()):
        mine, atoms = groups == group, owner == group
        errors = [forces[f"f{x}Ref"][atoms] - forces[f"f{x}"][atoms] for x in "xyz"]
        sigmas = [forces[f"f{x}_std"][atoms] for x in "xyz" if f"f{x}_std" in forces]
        yield {
            "rate": rate,
            "seed": seed,
            "group": group,
            "energy_rmse": 1000 * np.sqrt(np.mean(energy["Ediff"][mine] ** 2)),
            "energy_sigma": 1000 * energy["Ennp_std_per_atom"][mine].mean() if sigmas else float("nan"),
            "force_rmse": 1000 * np.sqrt(np.mean(np.square(errors))),
            "force_sigma": 1000 * np.mean(sigmas) if sigmas else float("nan"),
            "seconds": int((directory / "seconds").read_text()),
        }


def write_results(base: Path, rows: list[dict[str, object]]) -> None:
    """results.csv and table.md."""
    with open(base / "results.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    cells: dict[tuple[object, object, str], list[float]] = defaultdict(list)
    for row in rows:
        for name in COLUMNS[1:]:
            cells[row["rate"], row["group"], name].append(float(str(row[name])))
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    lines = ["| | n2p2: E, F |" + "".join(f" dropout {rate}: E | sigma E | F | sigma F |" for rate in rates)]
    lines.append("|---|---|" + "---|" * (4 * len(rates)))
    for group in dict.fromkeys(str(row["group"]) for row in rows):
        yardstick = ", ".join(map(str, N2P2.get(group, ("-",))))
        line = f"| {group.replace('_', ' ')} | {yardstick} |"
        for rate in rates:
            line += "".join(f" {summary(cells[rate, group, name])} |" for name in COLUMNS[1:])
        lines.append(line)
    (base / "table.md").write_text("\n".join(lines) + "\n")


def summary(values: list[float]) -> str:
    """Median (smallest - largest)."""
    if not values or np.isnan(values).any():
        return "-"
    digits = 1 if max(values) < 100 else 0
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} - {high:.{digits}f})"


if __name__ == "__main__":
    main()
