"""tools/benchmark.py: the tables hold what was asked for, n2p2's tools are run as they are documented."""

from __future__ import annotations

import mmap
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import benchmark as tool
import benchmark_case
import benchmark_md
import benchmark_n2p2
import benchmark_timing
import make_benchmark_cases
import numpy as np
import pytest
from ase.build import bulk
from click.testing import CliRunner

from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.survey import element_types
from bnnp.errors import InputError
from bnnp.interfaces.input_data import write_bnnp_data
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
    output = run("--save", tmp_path / "rows.json", "train", tmp_path, *words)
    (row,) = benchmark_timing.Results.read(tmp_path / "rows.json").rows
    assert row == f"{tmp_path.name}, epochs 2"
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
    assert all(float(row["cpu us/atom"]) > 0.0 < float(row["wall us/atom"]) for row in rows)
    assert all(float(row["peak MB"]) > 10.0 for row in rows)
    assert "functions: 5 of Ge, 5 of Te; " in output
    assert re.search(r"kernel \S+", output)


def test_predict_with_random_weights(case: Path) -> None:
    output = run("predict", case / "input.nn", case / "input.data", "--repeat", 2)
    assert "Ge 5-4-1 (t l)" in output
    assert "random weights, samples: 1" in output
    times = {row["part"]: float(row["cpu us/atom"]) for row in table(output, "atoms")}
    assert {"neighbor list", "values", "vjp (reverse)", "all, plain network"} <= times.keys()
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


@pytest.fixture
def known_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """n2p2 takes 30 ms to start and 100 us for an atom, 400 with derivatives; each part of bnnp 10 us."""
    clock, run_tool = FakeTime(), benchmark_n2p2.N2p2._run

    def timed(n2p2: benchmark_n2p2.N2p2, name: str, argument: str, data: str) -> None:
        run_tool(n2p2, name, argument, data)
        forces = "use_short_forces" in (n2p2._path / "input.nn").read_text()
        structures = StructureFile(n2p2._path / "input.data").n_atoms
        atoms = structures[0] if name == "nnp-predict" else structures.sum()
        clock.processor += 0.03 + atoms * (400e-6 if forces else 100e-6)

    def parts(structure: Structure, *_: object) -> dict[str, Callable[[], object]]:
        def work() -> None:
            clock.processor += 10e-6 * len(structure)

        return dict.fromkeys(("neighbor list", "values", "jacobian", "all, plain network"), work)

    monkeypatch.setattr(benchmark_n2p2.N2p2, "_run", timed)
    monkeypatch.setattr(benchmark_timing, "_busy", lambda: clock.processor)
    for name in ("descriptor_parts", "prediction_parts"):
        monkeypatch.setattr(tool, name, parts)


def words_of(line: str) -> list[str]:
    """Cells of a row of a table."""
    return re.split(r" {2,}", line.strip())


@pytest.mark.usefixtures("known_times")
def test_n2p2_values_and_derivatives(case: Path, tmp_path: Path) -> None:
    """Start-up is not counted; list and values take bnnp 20 us, with derivatives 30."""
    tools = fake_n2p2(tmp_path / "bin", "nnp-scaling")
    lines = run("descriptors", case, "--repeat", 2, "--n2p2", tools).splitlines()[-2:]
    for line, theirs, ours, ratio in zip(
        lines, ("100.00", "400.00"), ("20.00", "30.00"), ("5.00", "13.33"), strict=True
    ):
        cells = words_of(line)
        assert cells[:3] == ["nnp-scaling 1", theirs, "0.00"]
        assert cells[4:] == [ours, "0.00", ratio, "0.00"]


@pytest.mark.usefixtures("known_times")
@pytest.mark.parametrize("names", [("nnp-dataset", "nnp-predict"), ("nnp-predict",)])
def test_n2p2_prediction(case: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    tools = fake_n2p2(tmp_path / "bin", *names)
    cells = words_of(run("predict", case, "--repeat", 3, "--n2p2", tools).splitlines()[-1])
    assert cells[:2] == [f"{names[0]} 0", "400.00"]
    assert cells[3:] == ["all, plain network", "10.00", "0.00", "40.00", "0.00"]


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


@pytest.mark.parametrize(
    ("repeat", "durations", "counted"),
    [
        (3, [0.5, 0.25, 0.125, 0.375], [0.25, 0.125, 0.375]),  # the first only warms up
        (2, [1.0, 0.5], [1.0, 0.5]),  # the first is long and counts
        (1, [0.125], [0.125]),
        (9, [8.0], [8.0]),  # longer than anybody waits
    ],
)
def test_rounds_that_count(
    repeat: int, durations: list[float], counted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, left = FakeTime(), iter(durations)
    monkeypatch.setattr(benchmark_timing, "time", clock)
    found = benchmark_timing.measure({"call": lambda: clock.work(next(left))}, repeat)["call"]
    assert list(found.wall) == counted
    assert list(found.processor) == pytest.approx([0.5 * seconds for seconds in counted])
    assert next(left, None) is None


def test_calls_alternate() -> None:
    order: list[str] = []
    found = benchmark_timing.measure({name: partial(order.append, name) for name in "abc"}, 2)
    assert "".join(order) == 3 * "abc"
    assert [len(each.wall) for each in found.values()] == [2, 2, 2]
    assert found["a"].yardstick == found["c"].yardstick
    assert min(found["a"].yardstick) > 0.0


def test_processor_time_of_a_child_counts() -> None:
    """The child works for 0.1 s by its own clock."""
    words = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.1: pass"]
    found = benchmark_timing.measure({"child": lambda: subprocess.run(words, check=True)}, 1)["child"]
    assert found.processor[0] > 0.099


def made_up(processor: Sequence[float], yardstick: float = 1e-3) -> benchmark_timing.Measurement:
    """Rounds with these processor times, microseconds."""
    seconds = [1e-6 * time for time in processor]
    return benchmark_timing.Measurement(seconds, seconds, [yardstick] * len(seconds), 1e6)


def test_median_and_spread_by_hand() -> None:
    """The quartiles of 10, 20, 30, 40, 150 are 20 and 40; one atom of two takes half of it."""
    found = made_up([20.0, 150.0, 10.0, 40.0, 30.0])
    assert found.cells() == ("30.00", "10.00", "30.00", "10.00", "1")
    assert found.per(2).cells()[:2] == ("15.00", "5.00")
    assert made_up([7.0]).cells()[:2] == ("7.00", "0.00")


def test_error_of_a_ratio_is_its_scatter() -> None:
    """Over many pairs of runs, each of 101 rounds with normal errors of 5 and 10 %."""
    rng = np.random.default_rng(1)
    now, then = 3.0 + 0.15 * rng.normal(size=(500, 101)), 2.0 + 0.2 * rng.normal(size=(500, 101))
    found = np.array([benchmark_timing.ratio(a, b) for a, b in zip(now, then, strict=True)])
    assert found[:, 0].mean() == pytest.approx(1.5, rel=0.005)
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.12)  # 500 pairs: known to 3 %


def test_compare_with_an_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The machine has become 1.5 times slower: what takes 1.5 times as long is the same."""
    rounds = np.array([98.0, 99.0, 100.0, 101.0, 102.0])
    then = benchmark_timing.Results(machine="Abacus 1")
    now = benchmark_timing.Results(machine="Abacus 2")
    for name, factor in (("same", 1.5), ("slower", 3.0), ("faster", 0.75), ("noise", 1.51)):
        then.add(made_up(rounds), "case", name)
        now.add(made_up(factor * rounds, 1.5e-3), "case", name)
    then.add(made_up(rounds[:2]), "case", "few")
    now.add(made_up(4 * rounds[:2], 1.5e-3), "case", "few")
    then.add(made_up(rounds), "gone")
    now.add(made_up(rounds), "new")
    then.save(tmp_path / "then.json")
    now.compare(benchmark_timing.Results.read(tmp_path / "then.json"))
    output = capsys.readouterr().out
    rows = {row["processor time"]: row for row in table(output, "processor time")}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        **{f"case, {name}": name for name in ("same", "slower", "faster")},
        "case, noise": "same",
        "case, few": "too few rounds",
    }
    ratios = {name.removeprefix("case, "): row["now / then"] for name, row in rows.items()}
    assert [ratios[name] for name in ("same", "slower", "faster")] == ["1.000", "2.000", "0.500"]
    assert (rows["case, slower"]["then (us)"], rows["case, slower"]["now (us)"]) == ("100.00", "300.00")
    # quartiles 99 and 101: (1 / 0.6745 / 100)^2 pi / 2 / 5 twice, the root of the sum times 2
    assert rows["case, slower"]["+-"] == "0.024"
    assert "Fixed work takes 1.50 times as long as then" in output
    assert "Then the processor was another one: Abacus 1; now Abacus 2." in output
    assert output.splitlines()[-2:] == ["only now: new", "only then: gone"]


def test_save_and_compare(tmp_path: Path) -> None:
    words = ["read", "--atoms", 400, "--size", 20, "--repeat", 3]
    output = run("--save", tmp_path / "then.json", *words)
    assert all(float(row["MB/s"]) > 0.0 for row in table(output, "part"))
    rows = table(run("--compare", tmp_path / "then.json", *words), "processor time")
    assert [row["processor time"] for row in rows] == [
        f"read, {row['part']}" for row in table(output, "part")
    ]
    lost = CliRunner().invoke(tool.main, ["--save", str(tmp_path / "no" / "x.json"), *map(str, words)])
    assert lost.exit_code == 1
    assert "no: No such file or directory. Make the directory" in lost.output


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", '{"rows": {}}', '{"machine": "x", "rows": {"a": {"processor": [1]}}}'],
    ids=range(5),
)
def test_a_file_of_something_else_is_refused(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "then.json").write_text(text)
    result = CliRunner().invoke(tool.main, ["--compare", str(tmp_path / "then.json"), "read"])
    assert result.exit_code == 1
    assert "then.json: is no file of results; expected what `benchmark.py --save FILE" in result.output


def test_parts_of_a_step_and_the_rest_are_a_step(solid: Path, tmp_path: Path) -> None:
    atoms = bulk("Cu", a=4.0, cubic=True)
    write_bnnp_data(tmp_path / "md.data", atoms, units="metal")
    output = run("md", solid, tmp_path / "md.data", "--steps", 30, "--temperature", 100)
    assert "4 atoms, 2 functions, 10 samples" in output
    shares = {row["part"]: float(row["% of a step"]) for row in table(output, "part")}
    assert shares["a step"] == 100.0
    (rest,) = re.findall(r"^integrator, ASE, the rest: (.*) %$", output, re.MULTILINE)
    parts = sum(shares[name] for name in benchmark_md.PARTS)
    assert parts + float(rest) == pytest.approx(100.0, abs=0.3)
    assert shares["a force call"] > 0.0


def test_measure_counts_memory_of_the_call_only() -> None:
    """150 MB are touched page by page, and gone when the next call is measured."""

    def touch() -> None:
        with mmap.mmap(-1, 150_000_000) as pages:
            for start in range(0, len(pages), 4096):
                pages[start] = 1

    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the largest memory of a process cannot be reset here")
    found = benchmark_timing.measure({"big": touch, "small": lambda: None}, 2)
    assert 140e6 < found["big"].peak - found["small"].peak < 200e6


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
