"""Silicon to germanium: errors against the number of germanium structures, from scratch and transferred.

    python study.py --labels sw                 Stillinger-Weber labels, self-made (minutes of dynamics first)
    python study.py --labels dft FOLDER         DFT labels; FOLDER holds Si_train, Ge_train, Ge_test.extxyz.gz

For every split and number of structures the training set is drawn anew, with 22 more structures to choose
the epoch by. Each result is appended to results.csv in --out as it comes; the same command goes on where the
last one stopped. table.md has the medians and ranges over the splits.
"""

from __future__ import annotations

import csv
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from bnnp.descriptors.functions import SymmetryFunction
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.io.prediction import read_columns
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parents[1] / "tools"
sys.path.insert(0, str(TOOLS))

from study_tools import read_rows, run_bnnp  # noqa: E402

SIZES = (5, 10, 20, 50, 100, 200)
VALIDATION = 22
UPDATES = 2000  # of every training, in 40 to 500 epochs: small sets get more epochs, not less training
SCALES = {  # of lengths and energies from Si to Ge
    "sw": (2.181 / 2.0951, 1.92590365783 / 2.1683),  # sigma and epsilon: exact for the pair part
    "dft": (5.781 / 5.469, 4.48 / 5.42),  # lattice constants and energies of the crystals, PBE
}
ARMS = {  # name -> (functions stretched, lines of input.nn)
    "scratch": (True, ()),
    "transferred": (False, ("transfer_from {donor}", "transfer_map Ge Si")),
    "scaled": (
        True,
        (
            "transfer_from {donor}",
            "transfer_map Ge Si",
            "transfer_scale_length {length!r}",
            "transfer_scale_energy {energy!r}",
        ),
    ),
}
ARMS["scaled_frozen"] = (True, (*ARMS["scaled"][1], "transfer_freeze 1"))
COLUMNS = ("labels", "arm", "size", "split", "energy", "force", "seconds")


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--labels", type=click.Choice(["sw", "dft"]), required=True)
@click.option("--sizes", type=int, multiple=True, default=SIZES, show_default=True)
@click.option("--splits", default=5, show_default=True)
@click.option("--arms", type=click.Choice(list(ARMS)), multiple=True, default=tuple(ARMS), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("study"), show_default=True)
def main(
    folder: Path | None, labels: str, sizes: tuple[int, ...], splits: int, arms: tuple[str, ...], out: Path
) -> None:
    """Prepare, train silicon, then every germanium network that has no result yet."""
    base = out.resolve() / labels
    base.mkdir(parents=True, exist_ok=True)
    prepare(base, labels, folder)
    train_silicon(base)
    done = {tuple(row[name] for name in COLUMNS[:4]) for row in read_rows(base)}
    for split in range(1, splits + 1):
        for size in sizes:
            for arm in arms:
                if (labels, arm, str(size), str(split)) not in done:
                    run(base, labels, arm, size, split)
    write_table(base, read_rows(base))
    click.echo((base / "table.md").read_text())


def prepare(base: Path, labels: str, folder: Path | None) -> None:
    """silicon.data, germanium.data and test.data, once."""
    if (base / "test.data").exists():
        return
    if labels == "dft":
        if folder is None:
            raise click.UsageError("--labels dft needs the FOLDER with the extxyz files")
        names = {"silicon": "Si_train", "germanium": "Ge_train", "test": "Ge_test"}
        for name, source in names.items():
            call(
                [
                    TOOLS / "convert.py",
                    "--units",
                    "metal",
                    folder / f"{source}.extxyz.gz",
                    base / f"{name}.data",
                ]
            )
        return
    for element, name, frames, seed in (
        ("Si", "silicon", 8, 1),
        ("Ge", "germanium", 8, 2),
        ("Ge", "draft", 3, 3),
    ):
        command = [TOOLS / "stillinger_weber.py", element, base / f"{name}.data"]
        call([*command, "--frames", frames, "--seed", seed])
    (base / "draft.data").rename(base / "test.data")


def train_silicon(base: Path) -> None:
    """The potential everything is transferred from: all silicon but the structures that choose the epoch."""
    directory = base / "silicon"
    if (directory / "potential" / "input.nn").exists():
        return
    directory.mkdir(exist_ok=True)
    structures = list(StructureFile(base / "silicon.data"))
    order = np.random.default_rng(0).permutation(len(structures))
    write(directory / "input.data", structures, order[VALIDATION:], order[:VALIDATION])
    shutil.copy(HERE / "input.nn", directory / "input.nn")
    for mode in (1, 2):
        run_bnnp(directory, f"mode{mode}.log", "--mode", str(mode))


def run(base: Path, labels: str, arm: str, size: int, split: int) -> None:
    """One germanium network: train, predict test.data, append the errors."""
    directory = base / f"{arm}_{size}_{split}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    structures = list(StructureFile(base / "germanium.data"))
    order = np.random.default_rng(split).permutation(len(structures))  # a larger set holds the smaller ones
    write(directory / "input.data", structures, order[VALIDATION : VALIDATION + size], order[:VALIDATION])
    length, energy = SCALES[labels]
    stretched, lines = ARMS[arm]
    donor = base / "silicon" / "potential"
    extra = [line.format(donor=donor, length=length, energy=energy) for line in lines]
    text = germanium_input(length if stretched else 1.0, size, split)
    (directory / "input.nn").write_text("\n".join([text, *extra]) + "\n")
    run_bnnp(directory, "mode1.log", "--mode", "1")
    start = time.perf_counter()
    run_bnnp(directory, "mode2.log", "--mode", "2")
    seconds = time.perf_counter() - start
    run_bnnp(directory, "mode3.log", "--mode", "3", "--data", str(base / "test.data"))
    append(base, (labels, arm, size, split, *errors_of(directory), round(seconds)))
    shutil.rmtree(directory)


def germanium_input(length: float, size: int, seed: int) -> str:
    """input.nn of germanium: silicon's, with its functions multiplied in length and a fixed work to do."""
    silicon = load_settings(HERE / "input.nn", 2)
    replaced = ("elements ", "random_seed", "epochs", "symfunction_short")
    kept = [line for line in (HERE / "input.nn").read_text().splitlines() if not line.startswith(replaced)]
    epochs = min(500, max(40, UPDATES // -(-size // silicon["batch_size"])))
    lines = [*kept, "elements Ge", f"random_seed {seed}", f"epochs {epochs}", "threads 1"]
    for function in silicon.functions["Si"]:
        lines.append(f"symfunction_short {stretched_function(function, length).definition()}")
    return "\n".join(lines)


def stretched_function(function: SymmetryFunction, length: float) -> SymmetryFunction:
    """The function of germanium that sees a stretched structure as silicon's sees the structure."""
    return replace(
        function,
        element="Ge",
        neighbors=("Ge",) * len(function.neighbors),
        r_c=function.r_c * length,
        r_s=function.r_s * length,
        eta=function.eta / length**2,
    )


def write(path: Path, structures: list[Structure], training: np.ndarray, validation: np.ndarray) -> None:
    """input.data with these structures pinned to their sets."""
    pinned = [replace(structures[k], subset=Set.TRAIN) for k in training]
    write_structures(path, pinned + [replace(structures[k], subset=Set.TEST) for k in validation])


def errors_of(directory: Path) -> tuple[float, float]:
    """RMSE of energies (meV/atom) and force components (meV/Angstrom) of test.data."""
    energies, forces = (read_columns(directory / name)[0] for name in ("energy.out", "nnforces.out"))
    errors = [forces[f"f{x}Ref"] - forces[f"f{x}"] for x in "xyz"]
    energy = 1000 * np.sqrt(np.mean(energies["Ediff"] ** 2))
    return float(energy), float(1000 * np.sqrt(np.mean(np.square(errors))))


def append(base: Path, row: tuple[object, ...]) -> None:
    """One line of results.csv, the header before the first."""
    new = not (base / "results.csv").exists()
    with open(base / "results.csv", "a", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, row] if new else [row])


def write_table(base: Path, rows: list[dict[str, str]]) -> None:
    """table.md: one row a number of structures, two columns an arm."""
    arms = [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]
    head = "| Ge structures |" + "".join(f" {arm.replace('_', ', ')}: E | F |" for arm in arms)
    lines = [head, "|---|" + "---|" * (2 * len(arms))]
    for size in sorted({int(row["size"]) for row in rows}):
        cells = [cell for arm in arms for cell in summaries(rows, arm, size)]
        lines.append(f"| {size} |" + "".join(f" {cell} |" for cell in cells))
    (base / "table.md").write_text("\n".join(lines) + "\n")


def summaries(rows: list[dict[str, str]], arm: str, size: int) -> Iterator[str]:
    """Median (smallest - largest) of the errors over the splits, and how many if not five."""
    mine = [row for row in rows if row["arm"] == arm and int(row["size"]) == size]
    for name in ("energy", "force"):
        values = [float(row[name]) for row in mine]
        digits = 1 if name == "energy" else 0
        if not values:
            yield "-"
            continue
        few = f" [{len(values)}]" if len(values) != 5 else ""
        low, high = min(values), max(values)
        yield f"{statistics.median(values):.{digits}f} ({low:.{digits}f} - {high:.{digits}f}){few}"


def call(arguments: list[object]) -> None:
    """Run a tool."""
    subprocess.run([sys.executable, *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
