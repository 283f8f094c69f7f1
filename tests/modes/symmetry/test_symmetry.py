"""Mode 1 as a user runs it: one file for any number of ranks and after a kill, clear ends of bad runs."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from bnnp.descriptors.neighbors import NeighborList
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure

MPIEXEC = Path(sys.executable).with_name("mpiexec")
NAME = "symmetry_functions.h5"
RANKS = [pytest.param(n, marks=pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec")) for n in (2, 4)]
INPUT = """\
units metal
nn_type_short 1
use_short_nn
use_short_forces
number_of_elements 2
elements Te Ge
random_seed 7
test_fraction 0.3
threads 1
cutoff_type 1
global_symfunction_short 2 0.05 0.0 6.0
global_symfunction_short 2 0.5 1.0 6.0
global_symfunction_short 3 0.01 1 1 6.0
global_symfunction_short 3 0.01 -1 4 6.0
global_symfunction_short 9 0.05 1 2 6.0
"""


def lattices(count: int, edge: int = 3, seed: int = 4) -> list[Structure]:
    """Rattled cubes of Ge and Te, 3 Angstrom apart; every third is a free cluster."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        n = edge + index % 2
        sites = 3.0 * np.stack(np.meshgrid(*[np.arange(n)] * 3), axis=-1).reshape(-1, 3)
        forces = rng.normal(0.0, 0.5, sites.shape)
        found.append(
            Structure(
                numbers=rng.choice([32, 52], len(sites)),
                positions=sites + rng.normal(0.0, 0.15, sites.shape),
                cell=None if index % 3 == 2 else 3.0 * n * np.eye(3),
                energy=float(rng.normal()),
                forces=forces - forces.mean(axis=0),
                info={"group": f"run{index % 2}"},
            )
        )
    return found


def command(ranks: int = 1) -> list[str]:
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    return [*launcher, sys.executable, "-m", "bnnp", "--mode", "1"]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def run(folder: Path, ranks: int = 1, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run mode 1; with `limit` no file may grow beyond that many bytes."""
    return subprocess.run(
        command(ranks),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=None
        if limit is None
        else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def prepare(folder: Path, structures: list[Structure], settings: str = INPUT) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "input.nn").write_text(settings)
    write_structures(folder / "input.data", structures)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where mode 1 has run on one process; its log is mode1.out."""
    folder = prepare(tmp_path_factory.mktemp("case") / "one", lattices(30))
    done = run(folder)
    assert done.returncode == 0, done.stderr
    (folder / "mode1.out").write_text(done.stdout)
    return folder


def twin(finished: Path, folder: Path) -> Path:
    """The input of a finished run in a fresh folder."""
    folder.mkdir(exist_ok=True)
    for name in ("input.nn", "input.data"):
        shutil.copy(finished / name, folder / name)
    return folder


def test_values_are_those_of_the_formulas(finished: Path) -> None:
    """Against the torch reference, which shares no code with the kernel that wrote the file."""
    acsf = pytest.importorskip("bnnp.descriptors.acsf")
    settings = load_settings(finished / "input.nn", 1)
    reference = acsf.TorchDescriptor(settings.model.elements, settings.model.functions, settings.model.cutoff)
    with DescriptorFile.open(finished / NAME, settings.model) as file:
        for index in (0, 2):
            types, pairs = file.types[file.atoms(index)], file.pairs(index)
            expected = np.asarray(reference.values(types, pairs))
            for x, element in enumerate(settings.model.elements):
                got = file.descriptors(element)[file.rows(index, element)]
                np.testing.assert_allclose(got, expected[types == x], rtol=1e-12, atol=1e-14)


def test_stored_derivatives_are_the_slope_of_the_values(finished: Path) -> None:
    """(G(D + h d) - G(D - h d)) / 2h along a random direction d of all pairs; blocks are float32 (6e-8)."""
    settings = load_settings(finished / "input.nn", 1)
    descriptor = settings.model.descriptor()
    with DescriptorFile.open(finished / NAME, settings.model) as file:
        assert file.derivatives == "stored"
        types, pairs, blocks = file.types[file.atoms(1)], file.pairs(1), file.blocks(1)
    direction = np.random.default_rng(1).normal(size=pairs.vectors.shape)
    h = 1e-5

    def at(step: float) -> np.ndarray:
        moved = NeighborList(pairs.first, pairs.centers, pairs.neighbors, pairs.vectors + step * direction)
        return descriptor.values(types, moved)

    slope = (at(h) - at(-h)) / (2 * h)
    stored = descriptor.block_jvp(types, pairs, blocks, direction)
    np.testing.assert_allclose(stored, slope, rtol=1e-5, atol=1e-6)


def test_file_holds_the_input(finished: Path) -> None:
    structures = StructureFile(finished / "input.data")
    with DescriptorFile.open(finished / NAME) as file:
        assert file.elements == ("Ge", "Te")
        assert file.input_digest == structures.digest
        assert file.source.tolist() == list(range(30))
        assert 0 < file.subset.sum() < 30
        for index, structure in enumerate(structures):
            atoms = file.atoms(index)
            np.testing.assert_array_equal(file.positions[atoms], structure.positions)
            np.testing.assert_array_equal(file.forces[atoms], structure.forces)
            assert file.energy[index] == structure.energy
            assert file.groups[file.group[index]] == structure.info["group"]
            assert np.isnan(file.cell[index]).all() == (structure.cell is None)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", RANKS)
def test_same_bytes_for_any_number_of_ranks(finished: Path, tmp_path: Path, ranks: int) -> None:
    folder = twin(finished, tmp_path)
    done = run(folder, ranks)
    assert done.returncode == 0, done.stderr
    assert (folder / NAME).read_bytes() == (finished / NAME).read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["input.data", "input.nn", NAME]


SETS = (Set.TRAIN, Set.TEST)


def table(log: str) -> str:
    """The ranges as the log shows them."""
    return log[log.index("Symmetry functions, all structures") : log.index("Written")]


def test_log(finished: Path) -> None:
    """One line a group, one range per function, plain text."""
    log = (finished / "mode1.out").read_text()
    assert "Point is used for" not in log
    assert max(map(len, log.splitlines())) <= 80
    with DescriptorFile.open(finished / NAME) as file:
        counts = {
            label: [np.count_nonzero((file.subset == kind) & (file.group == k)) for kind in SETS]
            for k, label in enumerate(file.groups)
        }
        values, definition = file.descriptors("Te")[:, 0], file.definitions["Te"][0]
    rows = [line.split() for line in log.splitlines()]
    shown = {label or "(no group)": found for label, found in counts.items() if any(found)}
    assert sum(map(sum, shown.values())) == 30
    assert all([*label.split(), *map(str, found)] in rows for label, found in shown.items())
    (first,) = [line.split() for line in table(log).splitlines() if line.endswith(f"  {definition}")]
    expected = [values.min(), values.max(), values.mean(), values.std(ddof=1)]
    np.testing.assert_allclose([float(word) for word in first[1:5]], expected, rtol=1e-3)
    assert "derivatives recomputed" in log
    assert "derivatives stored" in log
    assert "\x1b" not in log
    assert "\r" not in log
    assert "Normal termination" in log.splitlines()[-1]


def marks(folder: Path) -> int:
    """Structures the unfinished file says are done."""
    try:
        with h5py.File(folder / f"{NAME}.part", "r", locking=False) as file:
            return int(file["structures/done"][:].sum())
    except OSError:
        return 0


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a run of some seconds was left alone; its log is mode1.out."""
    lines = [
        f"global_symfunction_short 3 0.0{k} {s} {z} 9.0"
        for k in (1, 2, 3)
        for s in (1, -1)
        for z in (1, 2, 4)
    ]
    settings = INPUT + "derivatives recomputed\n" + "\n".join(lines) + "\n"
    folder = prepare(tmp_path_factory.mktemp("case") / "slow", lattices(80, edge=5), settings)
    (folder / "mode1.out").write_text(run(folder).stdout)
    return folder


# Mode 1 that is killed when it has written its 30th structure.
KILLED = """
import os, signal
from bnnp.cli import main
from bnnp.io import descriptor_writer

descriptor_writer.FLUSH_SECONDS = 0.0
plain, left = descriptor_writer.DescriptorWriter.write, [30]

def write(self, *arguments):
    plain(self, *arguments)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)

descriptor_writer.DescriptorWriter.write = write
main(["--mode", "1"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, *RANKS[:1]])
def test_killed_and_resumed_is_uninterrupted(slow: Path, tmp_path: Path, ranks: int) -> None:
    """The rerun after kill -9 keeps what is marked; bytes and report are those of a run left alone."""
    folder = twin(slow, tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=folder, env=environment(), capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    kept = marks(folder)
    assert 20 < kept <= 30
    assert not (folder / NAME).exists()

    resumed = run(folder, ranks)
    assert resumed.returncode == 0, resumed.stderr
    assert f"{kept} structures are there from an interrupted run" in resumed.stdout
    assert (folder / NAME).read_bytes() == (slow / NAME).read_bytes()
    assert table(resumed.stdout) == table((slow / "mode1.out").read_text())
    assert "repeat another, which" in " ".join(
        resumed.stdout.split()
    )  # of all structures, those of the killed run as well


@pytest.mark.slow
def test_new_input_replaces_the_file(finished: Path, tmp_path: Path) -> None:
    """No resume where nothing is unfinished, and none of the former run's numbers."""
    folder = twin(finished, tmp_path)
    shutil.copy(finished / NAME, folder / NAME)
    (folder / "input.nn").write_text(INPUT + "global_symfunction_short 2 0.9 0.0 5.0\n")
    done = run(folder)
    assert "interrupted run" not in done.stdout
    with DescriptorFile.open(folder / NAME, load_settings(folder / "input.nn", 1).model) as file:
        assert len(file.definitions["Ge"]) == 15


@pytest.mark.slow
def test_recomputed_takes_less_and_gives_the_same_pairs(finished: Path, tmp_path: Path) -> None:
    folder = twin(finished, tmp_path)
    (folder / "input.nn").write_text(INPUT + "memory_limit 10 kB\n")  # too little: auto recomputes
    done = run(folder)
    assert "derivatives recomputed: " in done.stdout
    assert "do not fit memory_limit" in " ".join(done.stdout.split())
    assert (folder / NAME).stat().st_size < (finished / NAME).stat().st_size / 10
    with DescriptorFile.open(folder / NAME) as small, DescriptorFile.open(finished / NAME) as large:
        for index in range(len(large)):
            np.testing.assert_array_equal(small.pairs(index).vectors, large.pairs(index).vectors)
        np.testing.assert_array_equal(small.descriptors("Ge")[:], large.descriptors("Ge")[:])


@pytest.mark.slow
def test_no_derivatives_without_force_training(finished: Path, tmp_path: Path) -> None:
    folder = twin(finished, tmp_path)
    (folder / "input.nn").write_text(INPUT.replace("use_short_forces\n", "use_short_forces .false.\n"))
    assert "no forces are trained" in run(folder).stdout
    with DescriptorFile.open(folder / NAME) as file:
        assert file.derivatives == "recomputed"


@pytest.mark.slow
def test_runner_files(finished: Path, tmp_path: Path) -> None:
    """function.data holds the same numbers, read as RuNNer's tools do: by white space."""
    folder = twin(finished, tmp_path)
    (folder / "input.nn").write_text(INPUT + "write_runner_files\n")
    plain = StructureFile(folder / "input.data")
    charged = [replace(one, charges=np.linspace(-0.1, 0.2, len(one))) for one in plain]
    write_structures(folder / "input.data", charged)
    assert run(folder).returncode == 0
    structures = StructureFile(folder / "input.data")
    with DescriptorFile.open(folder / NAME) as file:
        for subset, name in enumerate(("function.data", "testing.data")):
            words = iter((folder / name).read_text().split())
            for index in np.flatnonzero(file.subset == subset):
                structure = structures[int(file.source[index])]
                rows = {x: iter(file.descriptors(x)[file.rows(index, x)]) for x in file.elements}
                assert int(next(words)) == len(structure)
                for symbol, number in zip(structure.symbols, structure.numbers, strict=True):
                    assert int(next(words)) == number
                    row = next(rows[symbol])
                    np.testing.assert_allclose([float(next(words)) for _ in row], row, atol=6e-11)
                totals = [float(next(words)) for _ in range(4)]
                per_atom = structure.energy / len(structure)
                np.testing.assert_allclose(totals, [0.0, per_atom, per_atom, 0.0], atol=6e-11)
            assert next(words, None) is None
        n_training = int((file.subset == 0).sum())
    headers = [
        line.split()
        for line in (folder / "trainstruct.data").read_text().splitlines()
        if len(line.split()) == 2
    ]
    assert [int(words[0]) for words in headers] == list(range(1, n_training + 1))
    first = np.flatnonzero(file.subset == 0)[0]
    forces = np.array(
        (folder / "trainforces.data").read_text().split()[1 : 1 + 3 * file.n_atoms[first]], dtype=float
    )
    np.testing.assert_allclose(forces.reshape(-1, 3), structures[int(first)].forces, atol=6e-11)
    block = (folder / "trainstruct.data").read_text().splitlines()[: 4 + file.n_atoms[first]]
    rows_of_atoms = np.array([line.split() for line in block if len(line.split()) == 9], dtype=float)
    np.testing.assert_allclose(rows_of_atoms[:, 4], charged[int(file.source[first])].charges, atol=6e-11)


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """The one message of a run that failed because of its user."""
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.count("ERROR:") == 1, done.stderr
    return done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, *RANKS[:1]])
@pytest.mark.parametrize("where", [0, 19])
def test_mistake_that_one_rank_finds_ends_all(tmp_path: Path, ranks: int, where: int) -> None:
    """An unknown element in one structure: one message, exit code 1, no file."""
    structures = lattices(20)
    odd = structures[where]
    numbers = odd.numbers.copy()
    numbers[3] = 30
    structures[where] = Structure(numbers, odd.positions, odd.cell, odd.energy, odd.forces)
    folder = prepare(tmp_path, structures)
    assert f"(structure {where + 1}): element Zn is not among" in failure(run(folder, ranks))
    assert sorted(path.name for path in folder.iterdir()) == ["input.data", "input.nn"]


@pytest.mark.slow
def test_coincident_atoms_are_dropped_and_named(tmp_path: Path) -> None:
    structures = lattices(14)
    odd = structures[5]
    positions = odd.positions.copy()
    positions[8] = positions[2]
    structures[5] = Structure(odd.numbers, positions, odd.cell, odd.energy, odd.forces)
    done = run(prepare(tmp_path, structures))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "group training test too short bond" in text
    assert "structure 6 (input.data line" in text
    assert "atoms 3 and 9 are 0 Angstrom apart" in text
    with DescriptorFile.open(tmp_path / NAME) as file:
        assert file.source.tolist() == [0, 1, 2, 3, 4, *range(6, 14)]


@pytest.mark.slow
def test_constant_functions_and_empty_test_set_are_named(tmp_path: Path) -> None:
    """Ge only, no Te: every function with a Te neighbor is zero; line numbers are those of input.nn."""
    pure = [Structure(np.full(len(s), 32), s.positions, s.cell, s.energy, s.forces) for s in lattices(4)]
    lines = INPUT.replace("0.3", "0").splitlines()
    lines = [line for line in lines if not line.startswith("global")]
    lines += ["symfunction_short Ge 2 Ge 0.05 0.0 6.0", "symfunction_short Ge 2 Te 0.05 0.0 6.0"]
    lines += ["symfunction_short Te 2 Te 0.05 0.0 6.0"]
    done = run(prepare(tmp_path, pure, "\n".join(lines) + "\n"))
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert text.count("never varies") == 1
    line = lines.index("symfunction_short Ge 2 Te 0.05 0.0 6.0") + 1
    assert "1 symmetry function never varies (no such neighbors in the data)" in text
    assert (
        f"`symfunction_short Ge 2 Te 0.05 0 6`. This tells the network nothing: remove input.nn line {line},"
        in text
    )
    assert "the test set is empty" in text
    assert "contains Te, which `elements` lists" in text


@pytest.mark.slow
def test_negligible_functions_are_told_as_mode_2_will(tmp_path: Path) -> None:
    """eta = 500 / A^2 gives G of 1e-307 and less: both modes refuse it, with the same lines of input.nn."""
    settings = INPUT + "scale_symmetry_functions\n" + "global_symfunction_short 2 500.0 0.0 6.0\n"
    settings += "global_hidden_layers_short 1\nglobal_nodes_short 2\nglobal_activation_short t l\nepochs 1\n"
    line = settings.splitlines().index("global_symfunction_short 2 500.0 0.0 6.0") + 1
    folder = prepare(tmp_path, lattices(14), settings)
    done = run(folder)
    text = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stderr
    assert text.count("never vary") == 1
    assert "4 symmetry functions never vary (smaller than 1e-12" in text
    assert f"Mode 2 will refuse this: remove input.nn line {line}," in text
    refusal = subprocess.run(
        [*command()[:-1], "2"], cwd=folder, env=environment(), capture_output=True, text=True, timeout=120
    )
    assert f"line {line}: symfunction_short Ge 2 Te 500 0 6" in failure(refusal)


@pytest.mark.slow
def test_file_that_may_not_grow(finished: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a quota: a sentence, and nothing under the final name."""
    folder = twin(finished, tmp_path)
    assert "cannot be written" in failure(run(folder, limit=1_000_000))
    assert sorted(path.name for path in folder.iterdir()) == ["input.data", "input.nn"]


@pytest.mark.slow
def test_directory_that_cannot_be_written(finished: Path) -> None:
    """/sys takes no files, not even from root."""
    words = ["--input", str(finished / "input.nn"), "--data", str(finished / "input.data")]
    done = subprocess.run(
        [*command(), *words], cwd="/sys", env=environment(), capture_output=True, text=True, timeout=60
    )
    assert "bnnp.lock: cannot be written in /sys" in failure(done)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, *RANKS[:1]])
def test_missing_and_truncated_data(finished: Path, tmp_path: Path, ranks: int) -> None:
    folder = twin(finished, tmp_path)
    text = (folder / "input.data").read_text()
    (folder / "input.data").write_text(text[: len(text) // 2])
    assert "truncated" in failure(run(folder, ranks))
    (folder / "input.data").unlink()
    assert "input.data: no such file" in failure(run(folder, ranks))
