"""`bnnp convert --check`: what is planted in a data set is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import convert
import numpy as np
import pytest
from click.testing import CliRunner, Result
from data_check import DataCheck, far, fingerprint

from bnnp.io.input_data import write_structures
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL


def run(*arguments: object) -> Result:
    return CliRunner().invoke(convert.main, [str(argument) for argument in arguments])


def crystal(rng: np.random.Generator, number: int) -> Structure:
    """Eight atoms, Ge4Te4 or Ge6Te2 near a cubic grid; energies follow the composition; no net force."""
    n_te = 4 if number % 2 else 2
    grid = 3.0 * np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    forces = rng.normal(size=(8, 3))
    return Structure(
        numbers=np.array([32] * (8 - n_te) + [52] * n_te),
        positions=grid + rng.normal(scale=0.05, size=(8, 3)),
        cell=6.0 * np.eye(3),
        energy=-5.0 * (8 - n_te) - 3.0 * n_te + rng.normal(scale=0.02),
        forces=forces - forces.mean(axis=0),
        stress=rng.normal(scale=0.001, size=6),
        info={"group": "300K" if number < 20 else "900K", "source": f"OUTCAR:{number}"},
    )


@pytest.fixture
def structures() -> list[Structure]:
    rng = np.random.default_rng(11)
    return [crystal(rng, number) for number in range(40)]


def check(structures: list[Structure]) -> DataCheck:
    found = DataCheck(METAL)
    found.watch(structures)
    return found


class TestFindings:
    def test_nothing_in_good_data(self, structures: list[Structure]) -> None:
        found = check(structures)
        doubts = [found.duplicates(), found.conflicts(), found.unbalanced()]
        assert [*doubts, found.label_doubts(), found.force_outliers()] == [[]] * 5

    def test_duplicate_however_it_is_written(self, structures: list[Structure]) -> None:
        """Shifted, other images, atoms in another order, rounded to 5 digits: still the same."""
        old = structures[7]
        order = np.array([3, 1, 2, 0, 6, 5, 4, 7])
        positions = np.round(old.positions + [0.4, -1.0, 2.0] - 6.0 * (np.arange(8) % 2)[:, None], 5)
        copy = replace(
            old, positions=positions[order], forces=old.forces[order], numbers=old.numbers[order], info={}
        )
        assert check([*structures, copy]).duplicates() == ["structure 41 as structure 8, OUTCAR:7"]

    def test_neighboring_frames_are_no_duplicates(self, structures: list[Structure]) -> None:
        moved = structures[7].positions.copy()
        moved[2, 1] += 0.002
        assert check([*structures, replace(structures[7], positions=moved)]).duplicates() == []

    def test_other_orders_of_an_alloy_are_no_duplicates(self, structures: list[Structure]) -> None:
        """The fingerprint cannot tell all of them, as on a small lattice; the labels can."""
        one = structures[3]
        assert check([*structures, replace(one, info={})]).duplicates() == [
            "structure 41 as structure 4, OUTCAR:3"
        ]
        for change in ({"energy": one.energy + 8 * 2e-4}, {"forces": 1.05 * one.forces}):
            found = check([*structures, replace(one, info={}, **change)])
            assert found.duplicates() == found.conflicts() == []

    def test_conflict(self, structures: list[Structure]) -> None:
        other = replace(structures[3], energy=structures[3].energy + 0.5)
        found = check([*structures, other])
        assert found.duplicates() == []
        assert found.conflicts() == ["structure 4, OUTCAR:3 and structure 41, OUTCAR:3"]

    def test_an_ion_is_no_conflict(self, structures: list[Structure]) -> None:
        other = replace(structures[3], energy=structures[3].energy + 0.5, charge=1.0)
        assert check([*structures, other]).conflicts() == []

    def test_net_force(self, structures: list[Structure]) -> None:
        forces = structures[5].forces + [0.05, 0.0, 0.0]
        found = check([*structures[:5], replace(structures[5], forces=forces)])
        assert found.unbalanced() == ["structure 6, OUTCAR:5 (0.05)"]

    def test_energy_outlier_of_either_composition(self, structures: list[Structure]) -> None:
        """Ge4Te4 and Ge6Te2 differ by 0.5 eV/atom, which the fit takes out; 0.3 eV/atom more is found."""
        for index in (10, 11):
            structures[index] = replace(structures[index], energy=structures[index].energy + 2.4)
        (doubt,) = check(structures).label_doubts()
        assert doubt.startswith("2 structures have an energy far from the others")
        assert [doubt.count(f"structure {number}, OUTCAR") for number in (11, 12)] == [1, 1]
        assert doubt.count("(+0.3") + doubt.count("(+0.29") == 2

    def test_force_outlier_and_threshold(self, structures: list[Structure]) -> None:
        forces = structures[9].forces.copy()
        forces[0, 2] += 80.0
        structures[9] = replace(structures[9], forces=forces)
        found = check(structures)
        assert [line.partition(",")[0] for line in found.force_outliers()] == ["structure 10"]
        usual = max(np.abs(s.forces).max() for number, s in enumerate(structures) if number != 9)
        thresholds = {keyword: value for keyword, value, _ in found.thresholds()}
        assert thresholds["force_threshold"] == pytest.approx(1.1 * usual)

    def test_force_of_a_liquid_among_crystals(self, structures: list[Structure]) -> None:
        """12 eV/Angstrom are far above 1, but nothing is wrong with them."""
        forces = structures[9].forces.copy()
        forces[:2, 2] += [12.0, -12.0]
        structures[9] = replace(structures[9], forces=forces)
        found = check(structures)
        assert found.force_outliers() == []
        assert "force_threshold" not in {keyword for keyword, _, _ in found.thresholds()}

    def test_bond_threshold(self, structures: list[Structure]) -> None:
        """Nine tenths of the shortest distance, from a sum over images."""
        shortest = np.inf
        for structure in structures:
            shifts = 6.0 * np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
            vectors = structure.positions[None, :, None] - structure.positions[:, None, None] + shifts
            lengths = np.linalg.norm(vectors, axis=-1)
            shortest = min(shortest, lengths[lengths > 0].min())
        thresholds = {keyword: value for keyword, value, _ in check(structures).thresholds()}
        assert thresholds["bond_threshold"] == pytest.approx(0.9 * shortest)


def test_far_needs_a_crowd() -> None:
    assert len(far(np.array([0.0, 0.1, 50.0]))) == 0
    values = np.append(np.linspace(-1, 1, 21), [40.0, -40.0, np.nan])
    assert far(values) == [21]


def test_fingerprint_has_no_units(structures: list[Structure]) -> None:
    from formats.change_units import change_units

    metal, atomic = structures[0], change_units(structures[0], METAL, ATOMIC)
    np.testing.assert_allclose(fingerprint(metal, METAL), fingerprint(atomic, ATOMIC), rtol=1e-12)


def test_force_of_a_group_is_the_mean_over_all_components(structures: list[Structure]) -> None:
    """Not over structures: 24 components of 1 eV/A and three of 4 have a root mean square of 1.63 eV/A."""
    one = replace(structures[0], forces=np.ones((8, 3)), info={})
    other = Structure(
        np.array([32]), np.zeros((1, 3)), 6.0 * np.eye(3), energy=-5.0, forces=4.0 * np.ones((1, 3))
    )
    ((_, number, _, _, rms, largest, _),) = check([one, other])._group_rows()
    assert (number, rms, largest) == (2, f"{np.sqrt((24 + 3 * 16) / 27):.3f}", "4.000")


class TestReport:
    def test_what_a_user_sees(self, structures: list[Structure], tmp_path: Path) -> None:
        path = tmp_path / "input.data"
        write_structures(path, [*structures, structures[0]])
        result = run("--check", "--units", "metal", path)
        assert result.exit_code == 0, result.output
        for text in (
            "41, 41 of them periodic",
            "Ge3Te ",
            "GeTe ",
            "300K ",
            "900K ",
            "Ge-Te",
            "rms f (eV/A)  largest f  pressure (GPa)",
            "f: force components",
            "WARNING: 1 structure is the same as another one: structure 41, OUTCAR:0 as structure 1",
            "bond_threshold",
        ):
            assert text in result.output or text in " ".join(result.output.split())
        assert sorted(file.name for file in tmp_path.iterdir()) == ["input.data"]

    def test_stress_in_kilobar_and_an_energy(self, structures: list[Structure], tmp_path: Path) -> None:
        """0.001 eV/A^3 are 1.6 kB; the doubt says which unit would fit."""
        found = [replace(s, stress=s.stress * 1602.1766) for s in structures[:12]]
        found[5] = replace(found[5], energy=8 * 6e7)
        write_structures(tmp_path / "input.data", found)
        result = run("--check", "--units", "metal", tmp_path / "input.data")
        text = " ".join(result.output.split())
        assert "WARNING: the stresses are too large for a calculation" in text
        assert "GPa if the numbers are in kB" in text
        assert "WARNING: 1 structure has an energy far from the others" in text
        assert "structure 6, OUTCAR:5 (+6000000" in text

    def test_a_run_in_another_unit(self, tmp_path: Path) -> None:
        """A spring of 2 eV/Angstrom^2; of the second group the energies are in hartree, 27.2114 eV."""
        found = []
        for group, unit in (("300K", 1.0), ("900K", 27.2114)):
            for x in 0.2 * np.sin(0.3 * np.arange(20) + 0.15):
                positions = np.array([[0.0, 0.0, 0.0], [2.3 + x, 0.0, 0.0]])
                forces = np.array([[2.0 * x, 0.0, 0.0], [-2.0 * x, 0.0, 0.0]])
                silicon = Structure(np.array([14, 14]), positions, energy=x**2 / unit, forces=forces)
                found.append(replace(silicon, info={"group": group}))
        write_structures(tmp_path / "input.data", found)
        for arguments in (("--check",), ()):
            target = () if arguments else (tmp_path / "all.extxyz",)
            result = run(*arguments, "--units", "metal", tmp_path / "input.data", *target)
            text = " ".join(result.output.split())
            assert text.count("contradict each other") == 1
            assert "from structure 21 to structure 40: between frames the energy changes by 0.0367" in text
            assert "energies in hartree would fit" in text

    def test_wrong_units(self, structures: list[Structure], tmp_path: Path) -> None:
        write_structures(tmp_path / "input.data", structures)
        result = run("--check", "--units", "atomic", tmp_path / "input.data")
        assert "this looks like Angstrom" in result.output.replace("\n", " ")

    def test_one_guess_of_units(self, structures: list[Structure], tmp_path: Path) -> None:
        """Stresses of 4 eV/Angstrom^3 (641 GPa) are doubted, unless the unit is doubted already."""
        pressed = [replace(s, stress=np.full(6, 4.0)) for s in structures]
        write_structures(tmp_path / "input.data", pressed)
        right, wrong = (
            " ".join(run("--check", "--units", units, tmp_path / "input.data").output.split())
            for units in ("metal", "atomic")
        )
        assert "the stresses are too large for a calculation" in right
        assert "this looks like Angstrom" in wrong
        assert "too large for a calculation" not in wrong

    def test_free_molecules_without_labels(self, structures: list[Structure], tmp_path: Path) -> None:
        free = [replace(s, cell=None, stress=None, energy=None, forces=None) for s in structures[:3]]
        write_structures(tmp_path / "a.data", [*free, free[0]])
        result = run("--check", "--units", "metal", "--no-labels", tmp_path / "a.data")
        assert result.exit_code == 0, result.output
        assert "1 structure is the same" in result.output
        assert "nan" not in result.output.lower()

    def test_nothing_to_report(self, tmp_path: Path) -> None:
        result = run("--check", tmp_path / "missing.data")
        assert result.exit_code == 1
