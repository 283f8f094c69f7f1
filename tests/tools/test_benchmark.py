"""tools/benchmark.py: the tables hold what was asked for, n2p2's tools are run as they are documented."""

from __future__ import annotations

import mmap
import re
import sys
from dataclasses import replace
from pathlib import Path

import benchmark as tool
import benchmark_case
import benchmark_n2p2
import benchmark_timing
import make_benchmark_cases
import numpy as np
import pytest
from click.testing import CliRunner

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.survey import element_types
from bnnp.errors import InputError
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure

INPUTS = Path(__file__).resolve().parents[2] / "inputs" / "benchmark"
INPUT = """\
units metal
number_of_elements 2
elements Te Ge
use_short_forces
calculate_forces
test_fraction 0.2
random_seed 1
cutoff_type 1
scale_symmetry_functions
global_hidden_layers_short 1
global_nodes_short 4
global_activation_short t l
global_symfunction_short 2 0.1 0 5
global_symfunction_short 3 0.02 1 2 5
"""
# stands for n2p2: reads the files it documents
FAKE = """\
#!{python}
import sys
from pathlib import Path
name, argument = Path(sys.argv[0]).name, sys.argv[1]
assert len(sys.argv) == 2 and argument == {{"nnp-scaling": "1"}}.get(name, "0")
settings = Path("input.nn").read_text().split("\\n")
assert any(line.startswith("symfunction_short Ge 2 Te 0.1") for line in settings)
assert not any(line.startswith("global_symfunction") for line in settings)
forces = "use_short_forces" in settings
if name != "nnp-scaling":
    assert forces and Path("scaling.data").exists() and Path("weights.032.data").exists()
assert "begin" in Path("input.data").read_text()
"""


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """27 rattled atoms of Ge and Te."""
    rng = np.random.default_rng(1)
    sites = 3.0 * np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)
    positions = sites + rng.normal(0.0, 0.1, sites.shape)
    numbers = np.where(np.arange(27) % 2, 32, 52)
    structure = Structure(numbers, positions, 9.0 * np.eye(3), 0.0, np.zeros((27, 3)))
    (tmp_path / "input.nn").write_text(INPUT)
    write_structures(tmp_path / "input.data", [structure])
    return tmp_path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(tool.main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def table(output: str, first: str) -> list[dict[str, str]]:
    """Rows of the table whose head starts with the column `first`; columns are two blanks apart."""
    lines = [re.split(r" {2,}", line.strip()) for line in output.splitlines()]
    start = next(number for number, words in enumerate(lines) if words[0] == first)
    rows = []
    for words in lines[start + 2 :]:
        if len(words) != len(lines[start]):
            break
        rows.append(dict(zip(lines[start], words, strict=True)))
    return rows


def test_train_tells_errors_of_structures_that_had_no_part(tmp_path: Path) -> None:
    """Those of the held-out file are what the potential of the best epoch predicts, by group."""
    rng, structures = np.random.default_rng(2), []
    for number in range(8):
        cell = (3.0 + 0.05 * number) * np.eye(3)
        positions = (np.array([[0, 0, 0], [0.5, 0.5, 0.5]]) @ cell) + rng.normal(0.0, 0.1, (2, 3))
        forces, info = rng.normal(0.0, 0.1, (2, 3)), {"group": "ab"[number % 2]}
        labels = (float(rng.normal()), forces, None, 0.0, "", info)
        structures.append(Structure(np.array([32, 52]), positions, cell, *labels, subset=Set.TRAIN))
    (tmp_path / "input.nn").write_text(INPUT + "dropout_rate 0\n")
    write_structures(tmp_path / "input.data", structures)
    far = [replace(s, forces=1e3 * np.ones((2, 3)), energy=2e3) for s in structures]
    write_structures(tmp_path / "far.data", far)
    words = ["--set", "epochs 2", "--every", 1, "--held-out", tmp_path / "far.data"]
    output = run("train", tmp_path, *words)
    assert "GB at the peak" in output
    rows = dict(re.findall(r"^ +([ab]) +\S+ +(\S+)$", output, re.MULTILINE))
    assert rows.keys() == {"a", "b"}
    assert all(float(force) == pytest.approx(1e6, rel=0.01) for force in rows.values())  # meV/Angstrom


def test_descriptors(case: Path) -> None:
    words = ["--threads", 1, "--threads", 2, "--precision", "float32", "--precision", "float64"]
    output = run("descriptors", case, *words, "--replicate", 50, "--replicate", 0, "--repeat", 2)
    rows = table(output, "atoms")
    assert len(rows) == 2 * 2 * 2 * 6
    keys = {(row["atoms"], row["threads"], row["precision"]) for row in rows}
    assert keys == {(n, t, p) for n in ("54", "27") for t in "12" for p in ("float32", "float64")}
    assert all(0.0 < float(row["us/atom"]) <= float(row["median"]) for row in rows)
    assert all(float(row["peak MB"]) > 10.0 for row in rows)
    assert "functions: 5 of Ge, 5 of Te; " in output
    assert re.search(r"kernel \S+", output)


def test_predict_with_random_weights(case: Path) -> None:
    output = run("predict", case / "input.nn", case / "input.data", "--repeat", 2)
    assert "Ge 5-4-1 (t l)" in output
    assert "random weights, samples: 1" in output
    times = {row["part"]: float(row["us/atom"]) for row in table(output, "atoms")}
    assert {"neighbour list", "values", "vjp (reverse)", "all, plain network"} <= times.keys()
    assert min(times.values()) > 0.0


def test_supercell_has_the_environments_of_the_cell(case: Path) -> None:
    structure = benchmark_case.load_case(case, None, 1).structure
    large = benchmark_case.supercell(structure, 100)
    assert len(large) == 27 * 4
    settings = load_settings(case / "input.nn", 1)
    descriptor = settings.model.descriptor()

    def values(atoms: Structure) -> np.ndarray:
        pairs = find_neighbors(atoms.positions, atoms.cell, 5.0, atoms.numbers)
        return descriptor.values(element_types(atoms, settings.model.elements), pairs)

    np.testing.assert_allclose(values(large), np.tile(values(structure), (4, 1)), rtol=1e-11)
    assert benchmark_case.supercell(structure, 20) is structure
    with pytest.raises(InputError, match="a free molecule cannot be repeated to 100 atoms"):
        benchmark_case.supercell(Structure(structure.numbers, structure.positions), 100)


@pytest.mark.slow
def test_mode_1(case: Path) -> None:
    words = ["--structures", 12, "--repeat", 1, "--derivatives", "recomputed"]
    rows = table(run("mode1", case, *words), "structures")
    assert [(row["structures"], row["atoms"], row["ranks"]) for row in rows] == [("12", "324", "1")]
    # type, position, force, 5 functions an atom; 17 numbers a structure; HDF5's own headers
    assert 0.092 < float(rows[0]["kB/atom"]) < 0.2
    assert 20.0 < float(rows[0]["peak MB"]) < 2000.0
    assert float(rows[0]["wall s"]) > 0.0
    assert sorted(path.name for path in case.iterdir()) == ["input.data", "input.nn"]


def fake_n2p2(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(FAKE.format(python=sys.executable))
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tools run, but are said to take 30 ms to start and a known time for every atom."""
    run_tool = benchmark_n2p2.N2p2._run

    def timed(
        n2p2: benchmark_n2p2.N2p2, name: str, argument: str, structures: list[Structure]
    ) -> tuple[float, float]:
        _, peak = run_tool(n2p2, name, argument, structures)
        forces = "use_short_forces" in (n2p2._path / "input.nn").read_text()
        read = structures[:1] if name == "nnp-predict" else structures
        return 0.03 + sum(map(len, read)) * (400e-6 if forces else 100e-6), peak

    monkeypatch.setattr(benchmark_n2p2.N2p2, "_run", timed)


@pytest.mark.usefixtures("known_times")
def test_n2p2_values_and_derivatives(case: Path, tmp_path: Path) -> None:
    """100 us for values, 400 us with derivatives: start-up is not counted."""
    tools = fake_n2p2(tmp_path / "bin", "nnp-scaling")
    lines = run("descriptors", case, "--repeat", 2, "--n2p2", tools).splitlines()[-2:]
    for line, expected in zip(lines, (100.0, 400.0), strict=True):
        words = re.split(r" {2,}", line.strip())
        assert words[0] == "nnp-scaling 1"
        assert float(words[1]) == pytest.approx(expected, abs=0.02)
        assert float(words[5]) == pytest.approx(float(words[1]) / float(words[4]), rel=0.02)


@pytest.mark.usefixtures("known_times")
@pytest.mark.parametrize("names", [("nnp-dataset", "nnp-predict"), ("nnp-predict",)])
def test_n2p2_prediction(case: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    tools = fake_n2p2(tmp_path / "bin", *names)
    line = run("predict", case, "--repeat", 3, "--n2p2", tools).splitlines()[-1]
    words = re.split(r" {2,}", line.strip())
    assert words[0] == f"{names[0]} 0"
    assert words[3] == "all, plain network"
    assert float(words[1]) == pytest.approx(400.0, abs=0.02)


def test_n2p2_is_not_there_or_fails(case: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    result = CliRunner().invoke(tool.main, ["predict", str(case), "--n2p2", str(tmp_path / "bin")])
    assert result.exit_code == 1
    assert "none of nnp-scaling, nnp-dataset, nnp-predict is there" in result.output
    (tmp_path / "bin" / "nnp-predict").write_text("#!/bin/sh\necho No map entry found\nexit 3\n")
    (tmp_path / "bin" / "nnp-predict").chmod(0o755)
    result = CliRunner().invoke(tool.main, ["predict", str(case), "--n2p2", str(tmp_path / "bin")])
    assert result.exit_code == 1
    assert "nnp-predict ended with exit code 3:\nNo map entry found" in result.output


class FakeTime:
    """Stands for the module time: a clock that only :meth:`work` moves."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def work(self, seconds: float) -> None:
        """Work on half a processor."""
        self.wall += seconds
        self.processor += 0.5 * seconds

    def perf_counter(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.processor


@pytest.mark.parametrize(
    ("repeat", "durations", "best", "median"),
    [
        (3, [0.5, 0.25, 0.125, 0.375], 0.125, 0.25),  # the first only warms up
        (2, [1.0, 0.5], 0.5, 0.75),  # the first is long and counts
        (1, [0.125], 0.125, 0.125),
        (9, [8.0], 8.0, 8.0),  # longer than anybody waits
    ],
)
def test_measure_takes_the_best_and_the_median(
    repeat: int, durations: list[float], best: float, median: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, left = FakeTime(), iter(durations)
    monkeypatch.setattr(benchmark_timing, "time", clock)
    found = benchmark_timing.measure(lambda: clock.work(next(left)), repeat)
    assert (found.best, found.median, found.processor) == (best, median, 0.5 * best)
    assert next(left, None) is None


def test_measure_counts_memory_of_the_call_only() -> None:
    """150 MB are touched page by page, and gone when the next call is measured."""

    def touch() -> None:
        with mmap.mmap(-1, 150_000_000) as pages:
            for start in range(0, len(pages), 4096):
                pages[start] = 1

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the largest memory of a process cannot be reset here")
    big = benchmark_timing.measure(touch, 2)
    small = benchmark_timing.measure(lambda: None, 3)
    assert 140e6 < big.peak - small.peak < 200e6


@pytest.mark.parametrize(
    ("name", "counts", "neighbors"),
    [
        ("water", {"H": 27, "O": 30}, 103),
        ("sulfide", {"S": 69, "Cu": 69}, 56),
        ("telluride", {"Ge": 60, "Te": 60}, 33),
        ("compact", {"H": 123, "C": 123, "O": 123}, 186),
    ],
)
def test_shipped_cases(name: str, counts: dict[str, int], neighbors: int, tmp_path: Path) -> None:
    """Functions and neighbors are those of the published numbers; input.nn is what the tool writes."""
    for mode in (1, 2, 3):
        settings = load_settings(INPUTS / name / "input.nn", mode)
        assert settings.warnings == ()
    assert {element: len(functions) for element, functions in settings.model.functions.items()} == counts
    structure = StructureFile(INPUTS / name / "input.data", settings.model.elements)[0]
    pairs = find_neighbors(
        structure.positions, structure.cell, settings.model.largest_cutoff, structure.numbers
    )
    assert len(pairs) / len(structure) == pytest.approx(neighbors, abs=1.5)
    assert np.linalg.norm(pairs.vectors, axis=1).min() * settings.model.units.angstrom > 0.9
    assert sum(path.stat().st_size for path in (INPUTS / name).iterdir()) < 200_000
    text = make_benchmark_cases.input_nn(make_benchmark_cases.CASES[name])
    assert (INPUTS / name / "input.nn").read_text() == text


def test_seed_decides(tmp_path: Path) -> None:
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        words = [str(tmp_path / folder), "--seed", seed, "--case", "sulfide"]
        assert CliRunner().invoke(make_benchmark_cases.main, words).exit_code == 0
    first, second, third = ((tmp_path / x / "sulfide" / "input.data").read_text() for x in "abc")
    assert first == second != third
