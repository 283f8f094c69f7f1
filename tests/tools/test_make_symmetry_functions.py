"""bnnp functions: it writes a legal input.nn, and what is chosen reproduces the rest."""

from __future__ import annotations

import re
from pathlib import Path

import make_symmetry_functions as tool
import numpy as np
import pytest
from click.testing import CliRunner, Result

from bnnp.descriptors.compiled import Descriptor
from bnnp.descriptors.functions import SymmetryFunction
from bnnp.descriptors.generate import RECIPES
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure


def run(*arguments: object) -> Result:
    return CliRunner().invoke(tool.main, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """60 boxes of 16 disordered atoms, half of them Ge, at two densities."""
    rng = np.random.default_rng(2)
    boxes = []
    for index in range(60):
        edge = 8.5 + index % 2
        sites = np.indices((3, 3, 3)).reshape(3, -1).T[rng.permutation(27)[:16]]
        positions = edge / 3 * (sites + rng.uniform(-0.12, 0.12, (16, 3)))
        boxes.append(Structure(np.repeat([32, 52], 8), positions, edge * np.eye(3), -1.0))
    write_structures(tmp_path / "input.data", boxes)
    return tmp_path / "input.data"


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("elements", ["Si", "H O", "Ge Te Bi"])
def test_complete_block_is_an_input(tmp_path: Path, recipe: str, elements: str) -> None:
    path = tmp_path / "input.nn"
    words = [
        "--cutoff",
        12,
        "--size",
        "small",
        "--recipe",
        recipe,
        "--complete",
        "--units",
        "atomic",
        "-o",
        path,
    ]
    result = run(*elements.split(), *words)
    assert result.exit_code == 0, result.output
    settings = load_settings(path, 1)
    assert set(settings.model.elements) == set(elements.split())
    assert settings.model.largest_cutoff == 12.0
    assert settings.model.units.name == "atomic"
    text = path.read_text()
    assert f"# Recipe {recipe}: " in text
    assert max(map(len, text.splitlines())) <= 100


def test_piece_is_stable_and_has_no_other_keyword() -> None:
    first = run("Ge", "Te", "--cutoff", 6.5, "--units", "metal", "--size", 60)
    second = run("Te", "Ge", "--cutoff", 6.5, "--units", "metal", "--size", 60)
    lines = [line for line in first.output.splitlines() if line and not line.startswith("#")]
    assert len(lines) == 120
    assert {line.split()[0] for line in lines} == {"symfunction_short"}
    assert lines == [line for line in second.output.splitlines() if line and not line.startswith("#")]


def values_of(data: Path, functions: dict[str, tuple[SymmetryFunction, ...]], element: str) -> np.ndarray:
    """Functions of all atoms of `element`."""
    settings = load_settings(data.with_name("pool.nn"), 1)
    descriptor = Descriptor(settings.model.elements, functions, settings.model.cutoff)
    found = []
    for structure in StructureFile(data, require_labels=False):
        types = (structure.numbers == 52).astype(np.int32)
        pairs = find_neighbors(structure.positions, structure.cell, descriptor.radius, structure.numbers)
        values = descriptor.values(types, pairs)
        found.append(values[types == settings.model.elements.index(element), : len(functions[element])])
    return np.concatenate(found)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cur", "fps"])
def test_chosen_functions_reproduce_the_pool(data: Path, method: str) -> None:
    """The errors of the table, against least squares on all atoms; twice the run gives the same file."""
    folder = data.parent
    common = ("--cutoff", 6, "--units", "metal", "--size", 60, "--data", data, "--complete")
    pool = run("Ge", "Te", *common, "--min-range", 0, "--max-correlation", 1, "-o", folder / "pool.nn")
    assert pool.exit_code == 0, pool.output
    result = run(
        "--input", folder / "pool.nn", "--data", data, "--keep", 20, "--method", method, "--min-range", 0,
        "--max-correlation", 1, "--complete", "-o", folder / "few.nn", "--table", folder / "table.txt",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    everything, few = (load_settings(folder / name, 1).model.functions for name in ("pool.nn", "few.nn"))
    table = (folder / "table.txt").read_text()
    for element in ("Ge", "Te"):
        assert len(few[element]) == 20
        assert set(few[element]) < set(everything[element])
        whole = values_of(data, everything, element)
        kept = values_of(data, few, element)
        basis = np.column_stack([np.ones(len(kept)), kept])
        left = whole - basis @ np.linalg.lstsq(basis, whole, rcond=None)[0]
        expected = np.sqrt(np.mean(left.var(axis=0) / whole.var(axis=0)))
        summary = next(line for line in table.splitlines() if line.startswith(f"{element}: "))
        told = float(summary.split(" to ")[1].split()[0]) / 100
        assert told == pytest.approx(expected, rel=0.15)  # four fifths of the atoms were fitted to
        assert summary in " ".join((folder / "few.nn").read_text().replace("#", " ").split())
        for function in everything[element]:
            assert function.definition() in table


def test_error_decides_how_many(data: Path) -> None:
    few, many = (
        run("Ge", "Te", "--cutoff", 6, "--units", "metal", "--data", data, "--error", error).stdout
        for error in (0.5, 0.1)
    )
    assert 2 < few.count("symfunction_short") < many.count("symfunction_short") < 128


def test_a_budget_decides_how_many(data: Path) -> None:
    """More microseconds, more functions; what they cost is said, and wide functions have no triples."""
    common = ("Ge", "Te", "--cutoff", 6, "--units", "metal", "--data", data, "--recipe", "wide")
    results = [run(*common, "--budget", budget) for budget in (6, 7)]
    few, many = (result.stdout.count("\nsymfunction_short") for result in results)
    assert 2 < few < many
    for result, budget in zip(results, (6, 7), strict=True):
        assert f"not chosen by gain per cost ({budget} microseconds an atom)\n" in result.stderr
        told = [float(x) for x in re.findall(r"(\S+) microseconds an atom, modelled", result.stderr)]
        assert len(told) == 2
        assert all(0.5 * budget < each <= budget for each in told)
        zetas = re.findall(r"^symfunction_short \w+ 9 \w+ \w+ \S+ \S+ (\S+)", result.stdout, re.MULTILINE)
        assert {float(zeta) for zeta in zetas} <= {1.0, 2.0, 3.0, 4.0}
    result = run(*common, "--budget", 0.01)
    assert result.exit_code != 0
    assert "--budget is 0.01 microseconds an atom but Ge needs more than" in result.stderr
    result = run(*common, "--budget", 6, "--method", "fps")
    assert result.exit_code == 2
    assert "not by --method fps" in " ".join(result.stderr.split())


def test_distances_come_from_the_data(data: Path) -> None:
    text = run("Ge", "Te", "--cutoff", 6, "--units", "metal", "--data", data, "--keep", 5).stdout
    assert "shortest distances (of the data): Ge-Ge 2.2" in " ".join(text.replace("#", " ").split())


def test_data_that_tells_nothing(tmp_path: Path) -> None:
    """One crystal, all of whose atoms are alike; one atom; two atoms on top of each other."""
    common = ("--cutoff", 6, "--units", "metal", "--data", tmp_path / "input.data")
    crystal = Structure(np.array([32]), np.zeros((1, 3)), 3.0 * np.eye(3), 0.0)
    write_structures(tmp_path / "input.data", 30 * [crystal])
    result = run("Ge", *common)
    assert result.exit_code == 1
    assert "no function of Ge varies by more than --min-range" in result.output
    write_structures(tmp_path / "input.data", [crystal])
    assert run("Ge", *common).exit_code == 1
    pair = Structure(np.array([32, 32]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1e-9]]), None, 0.0)
    write_structures(tmp_path / "input.data", [pair, crystal])
    result = run("Ge", *common, "--recipe", "centred")
    assert result.exit_code == 0, result.output
    assert "Ge-Ge 1.22" in result.output  # 0.6 x 0.85 x 2.4
    assert "WARNING: 3 atoms are few for 24 functions" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("Ge", 2, "--cutoff is missing"),
        ("--cutoff 6", 2, "name either the elements or an --input file"),
        ("Ge --cutoff 6 --keep 5", 2, "--data is missing"),
        ("Ge --cutoff 6 --size tiny", 2, "`tiny` is neither small, medium, large nor a number"),
        (
            "Ge --cutoff 3 --units atomic",
            1,
            "must be larger than the shortest distance to Ge, 3.855; are the units right?",
        ),
        ("Ge Xx --cutoff 6", 1, "`Xx` is not an element symbol"),
        ("Ge Te --cutoff 9 --size 5", 1, "at least 10 functions"),
        ("Ge --cutoff 9 --data nothing.data", 1, "nothing.data: no such file"),
    ],
)
def test_mistakes(arguments: str, code: int, message: str) -> None:
    result = run(*arguments.split())
    assert result.exit_code == code
    assert message in result.output
    assert "Traceback" not in result.output


def test_the_shortest_distance_is_that_of_all_structures(tmp_path: Path) -> None:
    """The second of 300 pairs is the closest one: 2.02 Angstrom."""
    pairs = [
        Structure(np.array([14, 14]), np.array([[0.0, 0, 0], [0, 0, 2.4 + 0.002 * k]]), energy=-1.0)
        for k in range(300)
    ]
    pairs[1] = Structure(np.array([14, 14]), np.array([[0.0, 0, 0], [0, 0, 2.02]]), energy=-1.0)
    write_structures(tmp_path / "input.data", pairs)
    words = ["Si", "--cutoff", 5, "--data", tmp_path / "input.data", "--units"]
    result = run(*words, "metal")
    assert "Si-Si 2.02." in result.output
    assert "WARNING: this looks like" not in result.output


def test_units_that_do_not_fit_the_data_are_doubted(tmp_path: Path) -> None:
    pair = Structure(np.array([14, 14]), np.array([[0.0, 0, 0], [0, 0, 2.35]]), energy=-1.0)
    write_structures(tmp_path / "input.data", [pair] * 3)
    result = run("Si", "--cutoff", 9, "--data", tmp_path / "input.data", "--units", "atomic")
    assert "WARNING: this looks like Angstrom" in result.output
    assert "Is --units atomic right?" in result.output


@pytest.mark.parametrize(
    ("settings", "words", "unit", "reason"),
    [
        ("units metal\n", (), "Angstrom", "`units metal` of the input.nn beside it"),
        ("units atomic\n", (), "bohr", "`units atomic` of the input.nn beside it"),
        ("elements Si\n", (), "bohr", "the default of the input.nn beside it"),
        (None, (), "Angstrom", "the default"),
        (None, ("--units", "atomic"), "bohr", "--units atomic"),
    ],
)
def test_units_are_those_of_the_data(
    tmp_path: Path, settings: str | None, words: tuple[str, ...], unit: str, reason: str
) -> None:
    """Two Si atoms at 4.4, which are bohr, at 2.35 where the unit is Angstrom."""
    distance = 4.4 if unit == "bohr" else 2.35
    pair = Structure(np.array([14, 14]), np.array([[0.0, 0, 0], [0, 0, distance]]), energy=-1.0)
    write_structures(tmp_path / "input.data", [pair] * 3)
    if settings is not None:
        (tmp_path / "input.nn").write_text(settings)
    for place in ("--data", "-o"):
        path = tmp_path / ("input.data" if place == "--data" else "functions.nn")
        result = run("Si", "--cutoff", 9, place, path, *words)
        told = f"Lengths are in {unit}: {reason}." in " ".join(result.stderr.split())
        assert told is not bool(words)
    assert f"# Lengths in {unit} (`units " in (tmp_path / "functions.nn").read_text()


def test_units_that_contradict_the_input_are_refused(tmp_path: Path) -> None:
    (tmp_path / "input.nn").write_text("units metal\n")
    result = run("Si", "--cutoff", 9, "--units", "atomic", "-o", tmp_path / "functions.nn")
    assert result.exit_code == 1
    assert "--units atomic contradicts `units metal`" in result.stderr
