"""Test errors of potentials trained by the defaults alone, over several seeds.

    python study.py --data DATA RESULTS [NAME ...] [--seeds 1 2 3 4 5]

DATA has NAME_train and one or more NAME_test..., as .extxyz or .extxyz.gz, for each NAME (Ni, Cu, Li, Mo, Si,
Ge by default, those that are there). input.nn names the units, the elements and the seed. Structures of a
test set that are also in the training set do not count. Results are appended to RESULTS/results.csv seed by
seed, and the same command goes on where the last one stopped. With --keywords FILE its lines are added to
input.nn, to try something else in another folder RESULTS.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import sys
from pathlib import Path

import ase.io
import numpy as np
from ase.data import atomic_numbers

from bnnp.io.input_data import read_structures, write_structures
from bnnp.io.prediction import read_columns

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from study_tools import append_rows, read_rows, rms, run_bnnp  # noqa: E402

NAMES = ("Ni", "Cu", "Li", "Mo", "Si", "Ge")
ERRORS = ("energy", "energy_mae", "force", "force_mae")  # meV/atom, meV/Angstrom
QUANTITIES = ("energy", "force")
RANKS = ("energy_rank", "energy_ceiling", "force_rank", "force_ceiling")  # Spearman, and what to expect of it
COLUMNS = ("name", "seed", "test", *ERRORS, *RANKS, "cpu")  # s


def files_of(data: Path, name: str) -> dict[str, Path]:
    """The files whose names begin so, packed or not, by what follows."""
    found = sorted(data.glob(f"{name}*.extxyz*"))
    return {path.name.partition(".extxyz")[0].removeprefix(name).strip("_"): path for path in found}


def leave_out(path: Path, known: Path) -> None:
    """Take the structures out of an input.data that are in another one, too."""
    seen = {(each.numbers.tobytes(), each.positions.round(4).tobytes()) for each in read_structures(known)}
    found = list(read_structures(path))
    new = [each for each in found if (each.numbers.tobytes(), each.positions.round(4).tobytes()) not in seen]
    if len(new) < len(found):
        print(f"{path}: {len(found) - len(new)} of {len(found)} structures are in {known.name}: left out")
        write_structures(path, new)


def ranking(log: Path) -> list[float]:
    """Rank correlations of mode 3's log and what to expect of them, of energies and forces; NaN without."""
    text = " ".join(log.read_text().split())
    pattern = r"these sigmas:.*?{} (-?[\d.]+) \((-?[\d.]+)\)"
    found = [re.search(pattern.format(name), text) for name in ("energies", "forces")]
    return [float(x) for match in found for x in (match.groups() if match else ("nan", "nan"))]


def run(name: str, seed: int, data: Path, folder: Path, more: str) -> list[list[object]]:
    """Modes 1, 2 and 3 by the defaults; a row of the results for each test set."""
    train = files_of(data, f"{name}_train")[""]
    folder.mkdir(parents=True, exist_ok=True)
    elements = {x for atoms in ase.io.iread(train) for x in atoms.symbols}
    names = " ".join(sorted(elements, key=atomic_numbers.__getitem__))
    (folder / "input.nn").write_text(
        f"units metal\nelements {names}\nrandom_seed {seed}\ncalculate_forces\n{more}"
    )
    run_bnnp(folder, "convert.log", "convert", "--overwrite", str(train), "input.data")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    run_bnnp(folder, "mode1.log", "--mode", "1")
    run_bnnp(folder, "mode2.log", "--mode", "2")
    cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    rows: list[list[object]] = []
    for label, path in files_of(data, f"{name}_test").items():
        run_bnnp(folder, "convert.log", "convert", "--overwrite", str(path), "test.data")
        leave_out(folder / "test.data", folder / "input.data")
        run_bnnp(folder, f"mode3_{label}.log", "--mode", "3", "--data", "test.data")
        energy = 1e3 * read_columns(folder / "energy.out")[0]["Ediff"]
        table = read_columns(folder / "nnforces.out")[0]
        force = 1e3 * np.concatenate([table[f"f{x}"] - table[f"f{x}Ref"] for x in "xyz"])
        errors = [rms(energy), float(np.abs(energy).mean()), rms(force), float(np.abs(force).mean())]
        rows.append([name, seed, label, *errors, *ranking(folder / f"mode3_{label}.log"), cpu])
    return rows


def arguments(text: str | None) -> argparse.ArgumentParser:
    """RESULTS [NAME ...] --data DATA; `text` is the help."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", type=Path, required=True)
    return parser


def main() -> None:
    """See the head of the file."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--keywords", type=Path, help="lines to add to input.nn")
    words = parser.parse_args()
    words.results.mkdir(parents=True, exist_ok=True)
    more = words.keywords.read_text() if words.keywords else ""
    names = words.names or [name for name in NAMES if files_of(words.data, f"{name}_train")]
    for seed in words.seeds:
        for name in names:
            if not any((row["name"], row["seed"]) == (name, str(seed)) for row in read_rows(words.results)):
                new = run(name, seed, words.data.resolve(), words.results / f"{name}_{seed}", more)
                append_rows(words.results, COLUMNS, new)
    print("| | energy RMSE | MAE | force RMSE | MAE | energy rank | force rank | CPU s |\n|" + "---|" * 8)
    found = read_rows(words.results)
    for name, test in dict.fromkeys((row["name"], row["test"]) for row in found if row["name"] in names):
        rows = [row for row in found if (row["name"], row["test"]) == (name, test)]
        values = {column: [float(row[column]) for row in rows] for column in COLUMNS[3:]}
        middle = {column: statistics.median(x) for column, x in values.items()}
        cells = [f"{middle[x]:.3g} ({min(values[x]):.3g}-{max(values[x]):.3g})" for x in (*ERRORS, "cpu")]
        cells[4:4] = [
            f"{middle[f'{x}_rank']:.2f} of {middle[f'{x}_ceiling']:.2f}" for x in ("energy", "force")
        ]
        print(f"| {name} {test} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
