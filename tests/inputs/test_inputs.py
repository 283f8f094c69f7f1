"""The shipped cases: their files are read, belong together, and say what their READMEs say."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa
from case_scripts import load_script

from bnnp.io.input_data import StructureFile, read_structures, write_structures
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.uncertainty.calibration import FEWEST

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "inputs" / "quickstart"
GETE = ROOT / "inputs" / "gete"
CRYSTAL = ROOT / "inputs" / "paper_crystal"
MAGNITUDES = ROOT / "inputs" / "magnitudes"


@pytest.mark.parametrize("mode", [1, 2, 3])
@pytest.mark.parametrize("case", [QUICKSTART, GETE], ids=lambda path: path.name)
def test_input_nn_is_complete_and_without_warning(case: Path, mode: int) -> None:
    settings = load_settings(case / "input.nn", mode)
    assert settings.model.units.name == "metal"
    assert settings.warnings == ()


def test_gete_has_the_functions_of_the_reference(shared: Path) -> None:
    """The 23 compact lines stand for the 60 functions an element that n2p2 was trained with."""
    ours = load_settings(GETE / "input.nn", 1).model.functions
    theirs = load_settings(shared / "reference/gete_n2p2/input.nn", 1).model.functions
    assert {element: len(functions) for element, functions in ours.items()} == {"Ge": 60, "Te": 60}
    assert ours == theirs


def magnitudes() -> ModuleType:
    """The study of sizes as a module."""
    return load_script("magnitudes", "study")


def test_magnitudes_input() -> None:
    settings = load_settings(MAGNITUDES / "input.nn", 1)
    assert settings.warnings == ()
    assert {function.type for function in settings.model.functions["Ge"]} == {1, 2, 3, 4, 9}


def test_magnitudes_formula_is_gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The errors left against the steps themselves: w += X^T (y - X w) / s_max^2."""
    study = magnitudes()
    monkeypatch.setattr(study, "STEPS", (1, 7, 40))
    rng = np.random.default_rng(1)
    matrix = np.column_stack([np.ones(30), rng.normal(size=(30, 4)) * [3.0, 1.0, 0.3, 0.1] + 2.0])
    targets = rng.normal(size=(30, 2))
    targets = matrix @ np.linalg.lstsq(matrix, targets, rcond=None)[0]
    weights, errors = np.zeros((5, 2)), {}
    for step in range(1, 41):
        weights += matrix.T @ (targets - matrix @ weights) / np.linalg.norm(matrix, 2) ** 2
        left = np.square(targets - matrix @ weights).sum(axis=0) / np.square(targets).sum(axis=0)
        errors[step] = np.sqrt(left.mean())
    np.testing.assert_allclose(
        study.errors_left(matrix, targets)[1], [errors[k] for k in (1, 7, 40)], rtol=1e-9
    )


def test_magnitudes_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of G1, the cutoff function alone, from numbers told by hand."""
    study = magnitudes()
    values = np.array([[1.0, 10.0, 0.0, -4.0, 0.0], [3.0, 10.5, 0.5, 2.0, 0.1], [2.0, 11.0, 0.1, 2.0, 0.3]])
    study.print_magnitudes(values, [1, 9, 3, 4, 2])
    rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:] for line in capsys.readouterr().out.splitlines()}
    share = 100.0 * 1.0 / values.var(axis=0, ddof=1).sum()
    assert rows["G1"] == ["1", "1", "2", "1", "3", "1 - 1", f"{share:.2g} % |"]
    assert rows["G3"][2:5] == ["2.67", "-4", "2"]  # mean of 4, 2, 2


@pytest.fixture(scope="module")
def quickstart() -> StructureFile:
    return StructureFile(QUICKSTART / "input.data", load_settings(QUICKSTART / "input.nn", 1).model.elements)


def test_quickstart_data(quickstart: StructureFile) -> None:
    structures = list(quickstart)
    used = (Set.TRAIN, Set.TEST, Set.CALIBRATION)
    assert {s.subset for s in structures} == set(used)
    assert {s.periodic for s in structures} == {True, False}
    assert all((s.stress is not None) == s.periodic for s in structures)
    runs = [{s.info["source"] for s in structures if s.subset == subset} for subset in used]
    assert len(set.union(*runs)) == sum(map(len, runs))  # no run is in two sets
    assert sum(s.subset == Set.CALIBRATION for s in structures) >= FEWEST


def test_quickstart_files_are_small() -> None:
    sizes = [path.stat().st_size for path in QUICKSTART.rglob("*") if path.is_file()]
    assert sum(sizes) < 1.5e6


def test_quickstart_prediction_is_hotter(quickstart: StructureFile) -> None:
    """Forces, so also energies, of the structures to predict go beyond those of the training set."""

    def spread(file: StructureFile) -> float:
        return float(np.concatenate([s.forces for s in file if s.forces is not None]).std())

    unseen = StructureFile(QUICKSTART / "predict" / "input.data", quickstart.elements)
    assert all(s.subset is None for s in unseen)
    assert spread(unseen) > 1.3 * spread(quickstart)


@pytest.mark.slow
def test_gete_prepare(shared: Path, tmp_path: Path) -> None:
    """The split of the reference: 35 frames to fit, 12 held out, 10 of each other temperature."""
    command = ["sh", str(GETE / "prepare.sh"), str(shared / "data" / "gete")]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    groups: dict[tuple[str, Set | None], list[int]] = {}
    for name in ("input.data", "test.data"):
        for structure in StructureFile(tmp_path / name, ("Ge", "Te")):
            frame = int(structure.info["source"].rpartition(":")[2]) - 1
            groups.setdefault((structure.info["group"], structure.subset), []).append(frame)
    for t in (300, 600, 900):
        assert groups.pop((f"{t}K", Set.TRAIN)) == list(range(0, 137, 4))
        assert groups.pop((f"{t}K", Set.TEST)) == [140, 144, 148]
        assert groups.pop((f"{t}K_held_out", None)) == list(range(152, 197, 4))
    for t in (750, 1050, 1200, 1500):
        assert groups.pop((f"{t}K", None)) == list(range(0, 37, 4))
    assert groups == {}


@pytest.mark.slow
def test_drift_is_measured(tmp_path: Path, solid: Path) -> None:
    """The script of the GeTe case on a small crystal whose energy is known to be conserved."""
    from ase.build import bulk

    from bnnp.io.ase_atoms import from_atoms
    from bnnp.io.input_data import write_structures
    from bnnp.units import METAL

    write_structures(
        tmp_path / "input.data", [from_atoms(bulk("Cu", a=4.05, cubic=True) * 2, METAL, labels=False)]
    )
    options = ["--structure", "1", "--temperature", "200", "--ps", "0.4", "--timestep", "4"]
    command = [sys.executable, str(GETE / "drift.py"), str(solid), "--data", "input.data", *options]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert "32 atoms, 0.4 ps NVE" in result.stdout
    drift = float(result.stdout.split("drift ")[1].split()[0])
    fluctuation = float(result.stdout.split("energy fluctuates by ")[1].split()[0])
    assert abs(drift) < 0.2  # meV/atom/ps, of a potential energy that moves by several meV/atom
    assert fluctuation > 1.0


class TestGeteStructure:
    """The parts of inputs/gete/rdf.py that compute something, on trajectories with known answers."""

    @pytest.fixture
    def script(self, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
        monkeypatch.syspath_prepend(str(GETE))
        return importlib.import_module("rdf")

    @pytest.mark.parametrize("fs", [4.0, 10.0])
    def test_time_between_frames_follows_from_the_forces(
        self, fs: float, script: ModuleType, solid: Path
    ) -> None:
        """And the run from DFT's velocities is DFT's trajectory, if DFT is the same potential."""
        from ase import units
        from ase.build import bulk
        from ase.calculators.singlepoint import SinglePointCalculator
        from ase.md.verlet import VelocityVerlet

        from bnnp import BNNP

        atoms = bulk("Cu", a=4.05, cubic=True) * 2
        atoms.calc = BNNP(solid)
        atoms.rattle(0.05, seed=1)
        frames = []
        for _ in range(9):
            frame = atoms.copy()
            frame.wrap()
            frame.calc = SinglePointCalculator(frame, forces=atoms.get_forces())
            frames.append(frame)
            VelocityVerlet(atoms, fs / 4 * units.fs).run(4)
        assert script.interval(frames) == pytest.approx(fs * units.fs)
        followed = script.follow(solid, frames)
        assert len(followed) == 8
        moved = script.displacement(frames[1], frames[8])
        assert np.abs(script.displacement(frames[8], followed[7])).max() < 0.03 * np.abs(moved).max()

    def test_band_covers_the_mean_of_correlated_frames(self, script: ModuleType) -> None:
        """An autoregressive series of mean 0; frames taken as independent would cover it half as often."""
        rng, covered = np.random.default_rng(3), []
        for _ in range(60):
            noise, series = rng.normal(size=(800, 5)), np.zeros((800, 5))
            for k in range(1, 800):
                series[k] = 0.8 * series[k - 1] + noise[k]
            low, high = script.bootstrap(series, rng)
            covered.append((low < 0.0) & (high > 0.0))
        assert 0.8 < np.mean(covered) < 0.99

    def test_first_peak_of_a_parabola_is_exact(self, script: ModuleType) -> None:
        r = (np.arange(script.BINS) + 0.5) * script.R_MAX / script.BINS
        position, height = script.first_peak(2.5 - 3.0 * (r - 2.83) ** 2)
        assert position == pytest.approx(2.83)
        assert height == pytest.approx(2.5)


def paper_crystal() -> ModuleType:
    """The script that makes silicon, as a module."""
    return load_script("paper_crystal", "prepare")


def test_silicon_is_divided_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 frames at each temperature those that are named in the script; the melt has groups of its own."""
    prepare = paper_crystal()
    asked = []

    def dynamics(path: Path, temperatures: Sequence[int], frames: int, seed: int) -> list[Structure]:
        asked.append(seed)
        first, last, count = temperatures
        return [
            Structure(
                np.array([14]),
                np.full((1, 3), 0.01 * k),
                np.eye(3) * 9,
                energy=0.0,
                forces=np.zeros((1, 3)),
                info={"group": f"{kelvin:.0f}K"},
            )
            for kelvin in np.linspace(first, last, count)
            for k in range(frames)
        ]

    monkeypatch.setattr(prepare, "dynamics", dynamics)
    prepare.main(tmp_path)
    found: dict[tuple[str, Set | None], list[int]] = {}
    for structure in read_structures(tmp_path / "input.data"):
        frame = round(structure.positions[0, 0] / 0.01)
        found.setdefault((structure.info["group"], structure.subset), []).append(frame)
    sets = {Set.TRAIN: [*range(0, 40, 2)], Set.TEST: [*range(42, 48)], Set.CALIBRATION: [*range(48, 60)]}
    assert found == {(f"{t}K", s): frames for t in (300, 600, 900) for s, frames in sets.items()}
    tested = [structure.info["group"] for structure in read_structures(tmp_path / "test.data")]
    solid, melt = (300, 600, 900, 1200, 1500), (3000, 2500, 2000)
    names = [*(f"{t}K" for t in solid), *(f"melt_{t}K" for t in melt)]
    assert tested == [name for name in names for _ in range(20)]
    assert len(set(asked)) == 3  # runs that share no frame
    assert all("random_seed" in warning for warning in load_settings(tmp_path / "input.nn", 2).warnings)


def test_structures_of_the_training_set_are_no_test(tmp_path: Path) -> None:
    """mlearn/study.py: the same atoms at the same places, whatever the energy says."""
    study = load_script("mlearn", "study")
    rng = np.random.default_rng(4)
    one, two, three = (
        Structure(np.array([1, 8]), rng.uniform(0.0, 2.0, (2, 3)), None, -float(k), np.zeros((2, 3)))
        for k in range(3)
    )
    write_structures(tmp_path / "input.data", [one, two])
    write_structures(
        tmp_path / "test.data", [three, replace(two, energy=-9.0), replace(one, numbers=np.array([8, 1]))]
    )
    study.leave_out(tmp_path / "test.data", tmp_path / "input.data")
    left = list(read_structures(tmp_path / "test.data"))
    assert [each.numbers.tolist() for each in left] == [[1, 8], [8, 1]]
    np.testing.assert_allclose(left[0].positions, three.positions)


def test_rank_correlations_are_read_from_the_log(tmp_path: Path) -> None:
    study = load_script("mlearn", "study")
    line = "error, in brackets that of errors drawn\n  from these sigmas: {}forces -0.45\n  (0.52)\n"
    (tmp_path / "log").write_text(line.format("energies 0.31 (0.38), "))
    assert study.ranking(tmp_path / "log") == [0.31, 0.38, -0.45, 0.52]
    (tmp_path / "log").write_text(line.format(""))
    assert np.isnan(study.ranking(tmp_path / "log")[:2]).all()
    assert study.ranking(tmp_path / "log")[2:] == [-0.45, 0.52]


def test_elastic_constants_of_a_known_energy() -> None:
    """mlearn/elastic.py: a rotated fcc crystal under one strain at a time, E = V (C11 / 2 e_1^2 + ...).
    Frames with atoms moved, or with strains beyond the limit, do not count."""
    elastic = load_script("mlearn", "elastic")
    rng = np.random.default_rng(6)
    turn, c11, c44 = np.linalg.qr(rng.normal(size=(3, 3)))[0], 160.0, 80.0
    crystal = bulk("Cu", cubic=True)
    frames = []
    for component, amount in [(0, 0.0), *((k, x) for k in range(6) for x in (-0.08, -0.04, 0.04, 0.08, 0.2))]:
        green = np.zeros(6)
        green[component] = amount
        square = np.eye(3) + np.diag(2 * green[:3])
        for (i, j), shear in zip(((1, 2), (0, 2), (0, 1)), green[3:], strict=True):
            square[i, j] = square[j, i] = shear
        frame = crystal.copy()
        frame.set_cell(crystal.cell.array @ np.linalg.cholesky(square) @ turn, scale_atoms=True)
        density = (
            0.5 * c11 * (green[:3] ** 2).sum() + 0.5 * c44 * (green[3:] ** 2).sum() + 2.0 * green[:3].sum()
        )
        energy = crystal.get_volume() * GPa * density - 9.0
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=np.zeros((4, 3)))
        frames.append(frame)
    moved = frames[0].copy()
    moved.positions[1] += 0.1
    moved.calc = SinglePointCalculator(moved, energy=5.0, forces=np.ones((4, 3)))
    chosen, strains, volume = elastic.strained_crystals([*frames, moved])
    assert len(chosen) == 25
    assert volume == pytest.approx(crystal.get_volume())
    energies = np.array([atoms.get_potential_energy() for atoms in chosen])
    assert elastic.elastic_constants(strains, energies, volume) == pytest.approx((c11, c44), rel=1e-6)


def test_vacancy_of_a_pair_potential() -> None:
    """mlearn/properties.py: with pairs of nearest neighbors at their best distance a vacancy costs 12 pairs
    and gives back 6, its share of the crystal; nothing moves."""
    properties = load_script("mlearn", "properties")
    sigma, depth, cutoff = 2.6, 0.3, 3.4  # Angstrom, eV; the second shell is at 4.1
    calculator = LennardJones(sigma=sigma, epsilon=depth, rc=cutoff)
    edge = 2 ** (1 / 6) * sigma * np.sqrt(2)
    shift = 4 * depth * ((sigma / cutoff) ** 12 - (sigma / cutoff) ** 6)
    assert properties.vacancy(calculator, "Cu", edge) == pytest.approx(6 * (depth + shift), rel=1e-6)


def test_properties_are_read_from_the_files_of_phonons(tmp_path: Path) -> None:
    """The labels of the path stand in the header of the bands, at distances of the first column."""
    properties = load_script("mlearn", "properties")
    elastic = "# quantity value std | GPa\nC11  1.5e+02 nan\nC12  6e+01 nan\nC13  7e+01 nan\nC44  8e+01 nan\n"
    (tmp_path / "elastic.out").write_text(elastic)
    assert properties.constants(tmp_path / "elastic.out") == {"C11": 150.0, "C12": 60.0, "C44": 80.0}
    (tmp_path / "bands.out").write_text(
        "# distance q_a f_1 f_1_std f_2 f_2_std | 1/Angstrom; path: GAMMA 0.000000 X 1.150099 L 2.3; std\n"
        "0.0 0.0 -1e-8 9.0 15.5 9.0\n1.1500991 0.5 13.0 9.0 12.0 99.0\n2.3 0.5 4.0 9.0 6.0 9.0\n"
    )
    assert properties.highest(tmp_path / "bands.out") == {"nu(GAMMA)": 15.5, "nu(X)": 13.0, "nu(L)": 6.0}


def test_limits_varies_one_thing_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """mlearn/limits.py: rows by the last epoch of the learning curve and the test set, none a second time."""
    monkeypatch.setitem(sys.modules, "study", load_script("mlearn", "study"))  # other cases have one, too
    limits, asked = load_script("mlearn", "limits"), []

    def trained(name: str, seed: int, data: Path, folder: Path, more: str) -> list[list[object]]:
        asked.append((name, seed, more))
        folder.mkdir(parents=True)
        rows = np.arange(26.0).reshape(2, 13) / 1000
        np.savetxt(folder / "learning-curve.out", rows)
        return [[name, seed, "", 4.5, 0.0, 99.5, 0.0, 0, 0, 0, 0, 61.5]]

    monkeypatch.setattr(limits, "run", trained)
    monkeypatch.setattr(sys, "argv", ["limits.py", "--data", "data", str(tmp_path / "results"), "Ge"])
    limits.main()
    limits.main()
    assert asked == [("Ge", 1, more) for more in limits.VARIED.values()]
    line = "| Ge, 2 x 12 nodes | 14 | 15 | 22 | 23 | 4.5 | 99.5 | 61.5 |"  # columns 1, 2, 9, 10
    assert capsys.readouterr().out.count(line) == 2
