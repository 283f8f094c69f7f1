"""Table 1 and Fig. 2 of the paper with GeTe: trains all arms, judges them, and tabulates.

    python study.py FOLDER [--seeds 1 2 ... 8] [--arms NAME ...] [--targets NAME ...] [--out study]

FOLDER holds gete_300K.extxyz.gz, ... (see README.md). Every run (target, arm, seed) adds its lines to
results.txt when it is done; the same command continues where it was stopped. Last, tables.md is written:
medians and ranges over the seeds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from judgement import COLUMNS, judge
from tables import read_results, write_tables
from training import ARMS, TARGETS, Arm, prepare, train

KEYS = ("target", "arm", "seed", "kind", "set")
HEADER = """\
# E_: energies per atom, meV/atom; F_: force components, meV/Angstrom. kind: of the calibration. raw, sigma:
# root mean squares before and after it; ZMS, cov (of intervals), area, ENCE, NLL, CRPS after it, ZMS_raw
# before. rho: Spearman's correlation of sigma and |error| (atom: of vectors; ceiling: of errors of just these
# sigmas). beyond: share of symmetry functions out of their range. AUC: ROC-AUC of the set against "inside" by
# sigma of the energy, largest and mean force sigma, and `beyond`. fall: of sigma on the cold curve.
"""


def main() -> None:
    """Prepare, train, judge, tabulate."""
    options = parse_arguments()
    base = options.out.resolve()
    prepare(options.folder.resolve(), base, dict(change.split("=", 1) for change in options.settings))
    results = base / "results.txt"
    for target, arm, seed in runs(options.targets, options.arms, options.seeds):
        if (target, arm.name, str(seed)) not in done(results):
            start = time.perf_counter()
            directory = train(base, target, arm, seed)
            rows = [
                {"target": target, "arm": arm.name, "seed": seed, **row}
                for row in judge(directory, base / "test.data")
            ]
            append(results, rows)
            print(f"{target} {arm.name} seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
    write_tables(results, base / "tables.md")
    print((base / "tables.md").read_text())


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [arm.name for arm in ARMS]
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--arms", nargs="+", choices=names, default=names)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument(
        "--set", dest="settings", nargs="*", default=[], metavar="KEYWORD=VALUE", help="change input.nn"
    )
    return parser.parse_args()


def runs(targets: Iterable[str], names: Iterable[str], seeds: Iterable[int]) -> list[tuple[str, Arm, int]]:
    """All runs; single networks come before ensembles, which take longest."""
    arms = sorted((arm for arm in ARMS if arm.name in set(names)), key=lambda arm: arm.size)
    return list(itertools.product(targets, arms, seeds))


def done(results: Path) -> set[tuple[str, str, str]]:
    """Runs that are in the file: target, arm, seed."""
    if not results.exists():
        return set()
    return {(line["target"], line["arm"], line["seed"]) for line in read_results(results)}


def append(results: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """One line a row; all lines of a run at once."""
    text = "" if results.exists() else HEADER + " ".join((*KEYS, *COLUMNS)) + "\n"
    for row in rows:
        values = (row.get(column, math.nan) for column in COLUMNS)
        text += " ".join((*(str(row[key]) for key in KEYS), *(f"{value:.4g}" for value in values))) + "\n"
    with open(results, "a", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
