"""What the studies of `bnnp --loop` share: campaigns by uncertainty and at random, with seeds, judged alike.

A study has a start set for each seed and sets to judge by, which no campaign has seen. Each arm has the same
start set, first potential and number of labels. Rows are added to RESULTS/results.csv; the same command goes
on where the last one stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from study_tools import append_rows, read_rows, rms, run_bnnp, with_keyword

from bnnp.io.input_data import StructureFile, write_structures
from bnnp.potential.loading import load
from bnnp.structure import Structure

ARMS = ("uncertainty", "random")
COLUMNS = ("arm", "seed", "generation", "labels", "quantity", "value")


@dataclass(frozen=True)
class Study:
    """A study.

    Parameters
    ----------
    settings : Path
        input.nn of the campaigns, but for random_seed, loop_select and loop_generations.
    start : callable
        Seed -> structures of the start set.
    sets : mapping of str to callable
        Structures to judge by, by their name in tables.
    equip : callable
        Writes into the directory of a campaign what it needs beside input.nn and input.data.
    judge : callable
        Directory of a potential -> further quantities by name, of the first and the last generation.
    """

    settings: Path
    start: Callable[[int], Iterable[Structure]]
    sets: Mapping[str, Callable[[], Iterable[Structure]]]
    equip: Callable[[Path], None] = lambda folder: None
    judge: Callable[[Path], Mapping[str, float]] = lambda potential: {}

    def prepare(self, results: Path, seed: int) -> None:
        """The start set of a seed, and the sets to judge by, those that are not there yet."""
        wanted: dict[str, Callable[[], Iterable[Structure]]] = {**self.sets}
        wanted[f"start_{seed}"] = lambda: self.start(seed)
        for name, make in wanted.items():
            path = results / f"{name}.data"
            if not path.is_file():
                write_structures(path, make())

    def campaign(self, results: Path, arm: str, seed: int, keywords: Mapping[str, str]) -> Path:
        """Run a campaign to its end, or go on with it."""
        own = results / f"{arm}_{seed}"
        own.mkdir(exist_ok=True)
        text = self.settings.read_text()
        for name, value in {**keywords, "random_seed": str(seed), "loop_select": arm}.items():
            text = with_keyword(text, name, value)
        (own / "input.nn").write_text(text)
        (own / "input.data").write_text((results / f"start_{seed}.data").read_text())
        self.equip(own)
        first = results / f"{ARMS[0]}_{seed}" / "generation_000"  # the same for all arms
        if (first / "judge" / "done.json").is_file() and not (own / "generation_000").exists():
            shutil.copytree(first, own / "generation_000")
        run_bnnp(own, "loop.log", "--loop")
        return own

    def quantities(self, results: Path, potential: Path, further: bool) -> Iterator[tuple[str, float]]:
        """Root mean square errors on each set, meV/atom and meV/Angstrom, and what `judge` finds."""
        model = load(potential)
        for name in self.sets:
            energies, forces = [], []
            for each in StructureFile(results / f"{name}.data"):
                found = model.predict(each, forces=True, stress=False)
                assert each.energy is not None
                assert each.forces is not None
                assert found.forces is not None
                energies.append((found.energy.value - each.energy) / len(each))
                forces.append(np.ravel(found.forces.value - each.forces))
            yield f"E, {name}", 1e3 * rms(np.array(energies))
            yield f"F, {name}", 1e3 * rms(np.concatenate(forces))
        if further:
            yield from self.judge(potential).items()


def in_force(own: Path, generation: int) -> Path:
    """The potential that a campaign has at the end of a generation: that of a former one, if it was better or
    nothing was labeled."""
    text = (own / f"generation_{generation:03d}" / "judge" / "done.json").read_text()
    return own / f"generation_{json.loads(text)['facts']['potential']:03d}" / "train" / "potential"


def labels(own: Path, generation: int) -> int:
    """Labels that a campaign has used up to a generation."""
    rows = np.loadtxt(own / "loop.out", ndmin=2)
    return int(rows[: generation + 1, 1].sum())


def table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Mean over the seeds, and its standard error, of all quantities of each arm and generation."""
    names = list(dict.fromkeys(row["quantity"] for row in rows))
    keys = sorted({(int(row["generation"]), row["arm"]) for row in rows})
    yield "| generation | arm | labels | " + " | ".join(names) + " |"
    yield "|---|---|---|" + "---|" * len(names)
    for generation, arm in keys:
        own = [row for row in rows if row["arm"] == arm and int(row["generation"]) == generation]
        cells = []
        for name in names:
            values = np.array([float(row["value"]) for row in own if row["quantity"] == name])
            several = len(values) > 1
            error = f" +- {values.std(ddof=1) / np.sqrt(len(values)):.2g}" if several else ""
            cells.append(f"{values.mean():.3g}{error}" if len(values) else "")
        mean = np.mean([float(row["labels"]) for row in own])
        yield f"| {generation} | {arm} | {mean:.0f} | " + " | ".join(cells) + " |"


def run(study: Study, words: argparse.Namespace) -> None:
    """Run what is missing, and print the table."""
    results = words.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    keywords = {**dict(words.keyword), "loop_generations": str(words.generations)}
    for seed in range(1, words.seeds + 1):
        study.prepare(results, seed)
        for arm in ARMS:
            done = {(row["arm"], row["seed"], row["generation"]) for row in read_rows(results)}
            wanted = [g for g in range(words.generations + 1) if (arm, str(seed), str(g)) not in done]
            if wanted:
                own = study.campaign(results, arm, seed, keywords)
            for generation in wanted:
                potential = in_force(own, generation)
                further = generation == words.generations or (generation == 0 and arm == ARMS[0])
                found = study.quantities(results, potential, further)
                number = labels(own, generation)
                append_rows(results, COLUMNS, [(arm, seed, generation, number, *each) for each in found])
    print("\n".join(table(read_rows(results))))


def arguments(text: str | None) -> argparse.ArgumentParser:
    """The options of all studies, with the help `text`."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument(
        "--keyword", nargs=2, action="append", default=[], help="NAME VALUE: another value in input.nn"
    )
    return parser
