"""The verb `train` of tools/benchmark.py: processor time of mode 2, from reading the data to given errors.

\b
python tools/benchmark.py train FOLDER --set "optimizer kalman" --set "epochs 8" --goal 4.08 874
python tools/benchmark.py train FOLDER --set "epochs 60" --each "optimizer adam" --each "optimizer lbfgs"
python tools/benchmark.py train FOLDER --set "epochs 3" --held-out test.data
python tools/benchmark.py train FOLDER --each "derivatives stored" --each "derivatives recomputed"
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from benchmark_timing import Results, measure, peak_memory, reset_peak, show_table

from bnnp.errors import InputError
from bnnp.io.descriptor_file import FILE_NAME, DescriptorFile
from bnnp.io.input_data import StructureFile
from bnnp.potential.potential import Potential
from bnnp.settings.settings import Settings, load_settings
from bnnp.training.charge_training import ChargeTraining
from bnnp.training.charges import TrainedCharges
from bnnp.training.loop import Record, Trainer
from bnnp.training.training import Training, training_set

SECONDS = ("cpu s", "cpu +-", "wall s", "wall +-", "peak MB")
COLUMNS = (
    "  epoch    prepared  training  evaluation   ms/step     E train  E test (meV/atom)   "
    "F train  F test (meV/A)"
)


@dataclass
class Clock:
    """Processor time of this process, all threads, in seconds.

    Parameters
    ----------
    preparing, training, evaluating : float
        Reading and normalizing; steps of the optimizer; errors of every epoch.
    steps : int
    """

    preparing: float = 0.0
    training: float = 0.0
    evaluating: float = 0.0
    steps: int = 0

    @property
    def total(self) -> float:
        """Everything after the imports."""
        return self.preparing + self.training + self.evaluating

    def describe(self) -> str:
        """The columns of the times."""
        return (
            f"{self.preparing:9.2f} s {self.training:7.2f} s {self.evaluating:9.2f} s "
            f"{1e3 * self.training / max(self.steps, 1):9.2f}"
        )


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--set", "lines", multiple=True, metavar="'KEYWORD VALUE'", help="Change input.nn.")
@click.option("--each", "variants", multiple=True, metavar="'KEYWORD VALUE'", help="One training for each.")
@click.option(
    "--goal", type=(float, float), metavar="E F", help="Errors of the training set, meV/atom and meV/A."
)
@click.option("--held-out", type=click.Path(path_type=Path), help="Errors of these, by group.")
@click.option("--threads", default=1, show_default=True)
@click.option("--every", default=0, help="Epochs between lines; 0: ten lines.")
@click.option("--repeat", default=1, show_default=True, help="Rounds of all trainings, in alternation.")
@click.pass_obj
def train(
    results: Results,
    folder: Path,
    lines: Sequence[str],
    variants: Sequence[str],
    goal: tuple[float, float] | None,
    held_out: Path | None,
    threads: int,
    every: int,
    repeat: int,
) -> None:
    """Time the training of FOLDER (input.nn, input.data; symmetry_functions.h5 if it is there).

    Times are processor times of one process without imports and mode 1, and the wall time and the largest
    resident memory of all of it; stage 1 of a training with charges comes first. --goal also ends a training.
    --held-out tells the errors of the best epoch for structures that had no part in the training. Memory that
    one --each frees is kept for the next: for the memory of one setting, run it alone. --repeat and --save
    count all of it, --held-out included.
    """
    torch.set_num_threads(1)  # as the program: the core has threads of its own
    if held_out is not None and not held_out.is_file():
        raise InputError(f"--held-out {held_out}: no such file")
    with TemporaryDirectory() as scratch:
        calls = {}
        for number, variant in enumerate(variants or ("",)):
            changes = [*lines, *filter(None, variant.split(";"))]
            title = "; ".join(changes) or "input.nn as it is"
            place = Path(scratch) / str(number)
            place.mkdir()
            settings = changed_settings(folder, place, changes)
            data = folder if (folder / FILE_NAME).exists() else place
            if data != folder:
                path = (folder / "input.data").resolve()
                command = [sys.executable, "-m", "bnnp", "--mode", "1", "--data", str(path)]
                subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
            calls[title] = partial(train_once, title, settings, data, goal, threads, every, held_out)
        rows = []
        for title, found in measure(calls, repeat, math.inf).items():
            results.add(found, folder.resolve().name, title)
            rows.append((*found.cells(1.0), title))
        if repeat > 1:
            show_table((*SECONDS, "training"), rows)


def train_once(
    title: str,
    settings: Settings,
    directory: Path,
    goal: tuple[float, float] | None,
    threads: int,
    every: int,
    held_out: Path | None,
) -> None:
    """One training, and what its potential makes of the structures held out."""
    click.echo(title)
    reset_peak()
    found = timed_training(settings, directory, goal, threads, every)
    if held_out is not None:
        show_held_out(found, settings, held_out)


def changed_settings(folder: Path, scratch: Path, lines: Sequence[str]) -> Settings:
    """input.nn of `folder` with other values of some keywords."""
    text = (folder / "input.nn").read_text()
    for line in lines:
        text = re.sub(rf"^{line.split()[0]}\b.*\n", "", text, flags=re.MULTILINE)
    (scratch / "input.nn").write_text("\n".join([text, *lines, ""]))
    return load_settings(scratch / "input.nn", 2)


def timed_training(
    settings: Settings, directory: Path, goal: tuple[float, float] | None, threads: int, every: int
) -> Potential:
    """Train once and print; the potential of the best epoch."""
    clock, units = Clock(), settings.model.units
    begun, start = time.perf_counter(), time.process_time()
    descriptor = settings.model.descriptor(threads)
    with DescriptorFile.open(directory / FILE_NAME, settings.model) as file:
        charges = None
        if settings.model.electrostatics is not None:
            charges = measure_charges(settings, file, directory, threads)
        data = replace(training_set(settings, file, directory, charges), charges=charges)
        training = Training.prepare(settings, file, directory, descriptor, data)
        trainer = training.trainer
        for name, text in trainer.optimizer.describe().items():
            click.echo(f"    {name:20}{text}")
        timed_evaluation(trainer, clock)
        state = training.start()
        clock.preparing = time.process_time() - start
        clock.evaluating, start = 0.0, time.process_time()
        energy, force = (training.variables.scale * u for u in (units.mev, units.mev_per_angstrom))
        click.echo(COLUMNS)
        for reached_state in training.run(state, lambda: False):
            state, record = reached_state, reached_state.history[-1]
            clock.training = time.process_time() - start - clock.evaluating
            clock.steps += trainer.optimizer.n_steps(trainer, record.epoch)
            errors = (record.train_rmse[0] * energy, record.train_rmse[2] * force)
            reached = goal is not None and errors[0] <= goal[0] and not errors[1] > goal[1]
            if reached or record.epoch % (every or max(1, trainer.epochs // 10)) == 0:
                show(clock, record, energy, force)
            if reached:
                click.echo(f"    goal reached after {clock.total:.2f} s")
                break
        wall, peak = time.perf_counter() - begun, peak_memory()
        click.echo(f"    {clock.total:.2f} s, wall time {wall:.2f} s, memory {peak / 1e9:.2f} GB at the peak")
        return training.potential(state.best_weights)


def measure_charges(
    settings: Settings, file: DescriptorFile, directory: Path, threads: int
) -> TrainedCharges:
    """Do stage 1 of a potential with charges, print a line for each epoch; the charges of the best one."""
    clock, start = Clock(), time.process_time()
    training = ChargeTraining.prepare(settings, file, directory, threads)
    trainer = training.trainer
    timed_evaluation(trainer, clock)
    state = training.start()
    clock.preparing = time.process_time() - start
    clock.evaluating, start = 0.0, time.process_time()
    click.echo("    stage 1: charges")
    click.echo("  epoch    prepared  training  evaluation   ms/step     Q train  Q test (0.001 e)")
    for reached in training.run(state, lambda: False):
        state = reached
        clock.training = time.process_time() - start - clock.evaluating
        clock.steps += trainer.optimizer.n_steps(trainer, state.epoch)
        train, test = 1e3 * state.last.train_rmse[2], 1e3 * state.last.test_rmse[2]
        click.echo(f"{state.epoch:7d} {clock.describe()} {train:11.3f} {test:7.3f}")
    start = time.process_time()
    model = training.charge_model(state.best_weights)
    found = TrainedCharges(file, settings.model, model, training.scalings, threads)
    click.echo(f"    charges of all structures: {time.process_time() - start:.2f} s; stage 2:")
    return found


def show_held_out(found: Potential, settings: Settings, path: Path) -> None:
    """Root mean square errors of structures that had no part in the training, one line a group."""
    units = settings.model.units
    squares: dict[str, list[tuple[float, float]]] = {}
    for structure in StructureFile(path):
        prediction = found.predict(structure)
        if structure.energy is None or structure.forces is None or prediction.forces is None:
            continue
        energy = (prediction.energy.value - structure.energy) / len(structure.numbers) * units.mev
        force = float(np.mean((prediction.forces.value - structure.forces) ** 2)) * units.mev_per_angstrom**2
        squares.setdefault(structure.info.get("group", "-"), []).append((energy**2, force))
    click.echo("    held out             meV/atom     meV/A")
    for group, values in squares.items():
        energy, force = np.sqrt(np.mean(values, axis=0))
        click.echo(f"    {group:18}{energy:11.2f}{force:10.1f}")


def timed_evaluation(trainer: Trainer, clock: Clock) -> None:
    """Let `clock` count what `trainer` spends on errors."""
    evaluate = trainer.errors

    def errors(*arguments: object) -> object:
        start = time.process_time()
        try:
            return evaluate(*arguments)  # type: ignore[arg-type]
        finally:
            clock.evaluating += time.process_time() - start

    trainer.errors = errors  # type: ignore[assignment, method-assign]


def show(clock: Clock, record: Record, energy: float, force: float) -> None:
    """One line."""
    energies = np.array([record.train_rmse[0], record.test_rmse[0]]) * energy
    forces = np.array([record.train_rmse[2], record.test_rmse[2]]) * force
    click.echo(
        f"{record.epoch:7d} {clock.describe()} {energies[0]:11.3f} {energies[1]:7.3f} {forces[0]:19.1f} "
        f"{forces[1]:7.1f}"
    )
