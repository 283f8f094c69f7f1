"""Plain networks, dropout, ensembles: train each several times on the same data, and tabulate the errors.

\b
python tools/compare_arms.py CASE                    all arms, energies alone and with forces, eight seeds
python tools/compare_arms.py CASE --seeds 3 --arms plain --arms dropout_0.1 --targets energy

CASE holds input.nn, input.data with every structure pinned to train, test or calibration, and test.data,
whose groups are predicted. Groups that are trained on count as inside the domain, all others as outside.
Each run adds its lines to results.csv of CASE as it ends; the same command goes on where the last one
stopped. table.md has medians and ranges over the seeds.

\b
plain               dropout_rate 0
masks_after         trained like plain, masks afterwards (mc_dropout after, the default)
dropout_0.05, 0.1   Monte Carlo dropout on both hidden layers
ensemble            four plain networks
ensemble_dropout    four networks with dropout 0.05
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from arm_results import COLUMNS, KEY, write_table
from numpy.typing import NDArray
from study_tools import append_rows, read_rows, rms, with_keyword

from bnnp import cli, parallel
from bnnp.errors import BnnpError
from bnnp.io.input_data import read_structures
from bnnp.potential.assessment import extrapolations, group_of
from bnnp.potential.loading import load
from bnnp.potential.potential import Potential
from bnnp.structure import Set, Structure
from bnnp.uncertainty.detection import roc_auc
from bnnp.uncertainty.ranking import spearman
from bnnp.uncertainty.reliability import coverage
from bnnp.uncertainty.scores import zms

Array = NDArray[np.float64]

ARMS = {
    "plain": {"dropout_rate": "0"},
    "masks_after": {"mc_dropout": "after", "dropout_rate": "0.05"},
    "dropout_0.05": {"dropout_rate": "0.05"},
    "dropout_0.1": {"dropout_rate": "0.1"},
    "ensemble": {"dropout_rate": "0", "ensemble_size": "4"},
    "ensemble_dropout": {"dropout_rate": "0.05", "ensemble_size": "4"},
}
TARGETS = ("energy", "forces")
ENERGY_EPOCHS = 5  # times as many without forces: an update is one energy then
SEED_STEP = 100  # an ensemble uses the seeds that follow its own


@dataclass(frozen=True, eq=False)
class Predicted:
    """One structure: errors and sigmas in meV/atom and meV/Angstrom; NaN without samples.

    Parameters
    ----------
    energy, force : (3,) and (n_atoms * 3, 3) float64
        Error, raw sigma, calibrated sigma.
    extrapolations : int
        Values of symmetry functions beyond the training range.
    """

    energy: Array
    force: Array
    extrapolations: int


DETECTORS: tuple[Callable[[Predicted], float], ...] = (  # of structures outside the domain, as in `COLUMNS`
    lambda p: p.energy[1],
    lambda p: p.force[:, 1].max(),
    lambda p: p.energy[2],
    lambda p: p.force[:, 2].max(),
    lambda p: p.extrapolations,
)


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("case", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--seeds", default=8, show_default=True)
@click.option("--arms", type=click.Choice(list(ARMS)), multiple=True, default=tuple(ARMS), show_default=True)
@click.option("--targets", type=click.Choice(TARGETS), multiple=True, default=TARGETS, show_default=True)
@click.option("--set", "changes", multiple=True, metavar="KEYWORD=VALUE", help="Change input.nn.")
def main(
    case: Path, seeds: int, arms: tuple[str, ...], targets: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """Prepare, then every run that has no result yet, seed by seed, then the table."""
    case = case.resolve()
    parallel.pin_threads(1)
    importlib.import_module("bnnp.training.training")  # PyTorch, for all copies of this process
    try:
        for target in targets:
            prepare(case, target, changes)
        inside = {group_of(s) for s in read_structures(case / "input.data") if s.subset == Set.TRAIN}
        test = list(read_structures(case / "test.data"))
        done = {tuple(row[name] for name in KEY) for row in read_rows(case)}
        for seed in range(1, seeds + 1):
            for target in targets:
                for arm in arms:
                    if (target, arm, str(seed)) not in done:
                        run(case, target, arm, seed, test, inside)
    except BnnpError as error:
        click.echo(f"ERROR: {error}", err=True)
        sys.exit(error.exit_code)
    write_table(case)
    click.echo((case / "table.md").read_text())


def prepare(case: Path, target: str, changes: Sequence[str]) -> None:
    """Symmetry functions for one target, once for all runs."""
    directory = case / target
    if (directory / "symmetry_functions.h5").exists():
        return
    directory.mkdir(exist_ok=True)
    text = (case / "input.nn").read_text()
    for change in changes:
        text = with_keyword(text, *change.split("=", 1))
    text = with_keyword(text, "use_short_forces", ".true." if target == "forces" else ".false.")
    if target != "forces":
        text = re.sub(
            r"^epochs\s+(\d+)", lambda m: f"epochs {ENERGY_EPOCHS * int(m[1])}", text, flags=re.MULTILINE
        )
    (directory / "input.nn").write_text(text)
    if not (directory / "input.data").exists():
        os.link(case / "input.data", directory / "input.data")
    call(directory, 1)


def run(case: Path, target: str, arm: str, seed: int, test: Sequence[Structure], inside: set[str]) -> None:
    """Train once, predict, append a line for each group."""
    directory = case / f"{target}_{arm}_{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    text = (case / target / "input.nn").read_text()
    for name, value in {**ARMS[arm], "random_seed": str(SEED_STEP * seed), "threads": "1"}.items():
        text = with_keyword(text, name, value)
    (directory / "input.nn").write_text(text)
    for name in ("input.data", "symmetry_functions.h5", "input.nn.auto"):
        if (case / target / name).exists():
            os.link(case / target / name, directory / name)
    start = time.perf_counter()
    call(directory, 2)
    seconds = time.perf_counter() - start
    predicted: dict[str, list[Predicted]] = {}
    potential = load(directory)
    for structure in test:
        predicted.setdefault(group_of(structure), []).append(judge(potential, structure))
    known = [each for group, several in predicted.items() if group in inside for each in several]
    rows = [
        (target, arm, seed, group, len(several), *scores(several, known, group in inside), round(seconds, 1))
        for group, several in predicted.items()
    ]
    append_rows(case, COLUMNS, rows)
    shutil.rmtree(directory)


def judge(potential: Potential, structure: Structure) -> Predicted:
    """Predict one labeled structure and compare; the sigmas of no samples or no calibration are NaN."""
    assert structure.energy is not None  # read_structures
    assert structure.forces is not None
    found = potential.predict(structure, stress=False)
    assert found.forces is not None  # the default
    assert potential.scalings is not None  # of mode 1, just run
    nothing = np.full_like(structure.forces, np.nan)
    raw = (found.energy.raw, found.forces.raw) if potential.samples > 1 else (np.nan, nothing)
    calibrated = (found.energy.std, found.forces.std) if potential.calibration else (np.nan, nothing)
    errors = found.energy.value - structure.energy, found.forces.value - structure.forces
    energy, forces = zip(errors, raw, calibrated, strict=True)
    tallies, _ = extrapolations(
        structure, found.descriptors, potential.scalings.scalings, potential.model.functions, 0
    )
    return Predicted(
        potential.units.mev / len(structure) * np.array(energy, dtype=np.float64),
        potential.units.mev_per_angstrom * np.array(forces, dtype=np.float64).reshape(3, -1).T,
        sum(int(tally.count.sum()) for tally in tallies.values()),
    )


def scores(group: Sequence[Predicted], known: Sequence[Predicted], is_known: bool) -> list[float]:
    """From energy_rmse to auc_extrapolations of `COLUMNS`; `known` are all structures inside the domain."""
    energy = np.array([each.energy for each in group])
    force = np.concatenate([each.force for each in group])
    detection = [
        np.nan if is_known else area(*([detector(each) for each in some] for some in (known, group)))
        for detector in DETECTORS
    ]
    errors, raw = force[:, 0], force[:, 1]
    return [
        rms(energy[:, 0]),
        float(energy[:, 0].mean()),
        *sizes(energy),
        rms(errors),
        *sizes(force),
        spearman(raw, errors) if np.isfinite(raw).all() else np.nan,
        *detection,
    ]


def sizes(values: Array) -> list[float]:
    """Mean sigma and sqrt(ZMS), both raw and calibrated, and % in the calibrated 90 % interval; (n, 3)."""
    errors, raw, calibrated = values.T
    found = [float(raw.mean()), float(calibrated.mean())]
    found += [float(np.sqrt(zms(errors, s))) if (s > 0.0).all() else np.nan for s in (raw, calibrated)]
    return [*found, 100.0 * coverage(errors, calibrated, 0.9) if (calibrated > 0.0).all() else np.nan]


def area(inside: Sequence[float], outside: Sequence[float]) -> float:
    """ROC-AUC; NaN without scores."""
    both = np.asarray(inside, dtype=np.float64), np.asarray(outside, dtype=np.float64)
    return np.nan if np.isnan(np.concatenate(both)).any() else roc_auc(*both)


def call(directory: Path, mode: int) -> None:
    """Run a mode in a copy of this process, which has PyTorch loaded already, its output to a log file."""
    child = multiprocessing.get_context("fork").Process(target=_call, args=(directory, mode))
    child.start()
    child.join()
    if child.exitcode:
        sys.exit(f"mode {mode} failed in {directory}; see mode{mode}.log there")


def _call(directory: Path, mode: int) -> None:
    os.chdir(directory)
    with open(f"mode{mode}.log", "w") as log, redirect_stdout(log), redirect_stderr(log):
        cli.main(["--mode", str(mode)])


if __name__ == "__main__":
    main()
