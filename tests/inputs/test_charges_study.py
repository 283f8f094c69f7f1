"""inputs/charges: the model it labels by, and that charges know what symmetry functions do not."""

from __future__ import annotations

import csv
from math import erf, pi, sqrt
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from case_scripts import load_script

from bnnp.io.input_data import read_structures

study = load_script("charges", "study")
COULOMB = 14.399645  # eV Angstrom / e^2
SILVER = {"Ag": study.Element(4.4, 3.0, 1.45)}
BOND = {"AgAg": study.Bond(1.0, 1.5, 2.7, 0.3)}


def test_charges_of_two_atoms_are_those_of_the_closed_form() -> None:
    """Without a bond: Q = (chi_2 - chi_1) / (J_1 + J_2 + A_11 + A_22 - 2 A_12), E = -Q^2 / 2 times that."""
    chi, J, sigma, r = (-3.0, 5.0), (7.0, 9.0), (0.9, 0.6), 1.7
    elements = {x: study.Element(chi[n], J[n], sigma[n]) for n, x in enumerate(("Na", "Cl"))}
    atoms = Atoms("NaCl", [(0.0, 0.0, 0.0), (0.0, r, 0.0)])
    atoms.calc = study.Equilibrating(elements, {})
    own = [COULOMB / (each * sqrt(pi)) for each in sigma]
    both = COULOMB * erf(r / sqrt(2.0 * (sigma[0] ** 2 + sigma[1] ** 2))) / r
    stiffness = sum(J) + sum(own) - 2.0 * both
    charge = (chi[1] - chi[0]) / stiffness
    assert atoms.get_charges() == pytest.approx([charge, -charge], rel=1e-12)
    assert atoms.get_potential_energy() == pytest.approx(-0.5 * stiffness * charge**2, rel=1e-12)


@pytest.mark.parametrize("name", ["surface", "trimer"])
def test_forces_of_the_model_are_finite_differences(name: str) -> None:
    """Also through charges that change the bonds."""
    if name == "surface":
        atoms, calculator = study.surface()[1], study.model(0.0)
        atoms = study.raised(atoms, 2.2)
    else:
        atoms, calculator = Atoms("Ag3", 2.6 * np.eye(3)), study.Equilibrating(SILVER, BOND, -1.0)
    atoms.positions += np.random.default_rng(3).normal(scale=0.1, size=atoms.positions.shape)
    atoms.calc = calculator
    forces, h = atoms.get_forces(), 1e-4
    assert atoms.get_charges().sum() == pytest.approx(calculator.charge, abs=1e-12)
    for atom, axis in ((0, 0), (len(atoms) - 1, 2)):
        energies = []
        for shift in (h, -h):
            moved = atoms.copy()
            moved.positions[atom, axis] += shift
            moved.calc = calculator
            energies.append(moved.get_potential_energy())
        assert -(energies[0] - energies[1]) / (2 * h) == pytest.approx(forces[atom, axis], abs=1e-6)


def test_the_dopant_is_beyond_the_cutoff_of_the_dimer_and_charges_it() -> None:
    plain, doped = (study.raised(each, 2.2) for each in study.surface())
    changed = np.flatnonzero(plain.numbers != doped.numbers)
    assert [doped.symbols[atom] for atom in changed] == ["Al"]
    assert doped.get_distances(int(changed[0]), [-2, -1]).min() > study.CUTOFF
    charges = []
    for atoms in (plain, doped):
        atoms.calc = study.model(0.0)
        charges.append(atoms.get_charges()[-2:].sum())
    assert charges[1] < charges[0] - 0.1


@pytest.mark.slow
def test_only_charges_tell_two_ions_of_the_same_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ag3+ and Ag3- of the model: without charges the best are the means of both."""
    corners = 2.7 * np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.5, 0.866, 0.0)])

    def starts() -> list[Atoms]:
        return [Atoms("Ag3", corners, info={"charge": charge}) for charge in (1.0, -1.0)]

    trimer = study.Situation(starts, 0.1, lambda charge: study.Equilibrating(SILVER, BOND, charge))
    monkeypatch.setitem(study.SITUATIONS, "trimer", trimer)
    study.prepare("trimer", 1, 80, tmp_path)
    more = "mc_samples 5\nepochs 8\n"
    rows = {}
    for generation in (2, 4):
        row = study.run("trimer", generation, 1, tmp_path, more)
        rows[generation] = dict(zip(study.COLUMNS, row, strict=True))
    test = list(read_structures(tmp_path / "test.data"))
    of_charge = [
        np.mean([each.energy for each in test if each.charge == charge]) / 3 for charge in (1.0, -1.0)
    ]
    gap = 1e3 * abs(of_charge[0] - of_charge[1])  # meV/atom
    assert rows[2]["energy"] > 0.4 * gap
    assert rows[4]["energy"] < 0.05 * gap
    assert rows[4]["force"] < 0.5 * rows[2]["force"]
    assert rows[4]["charge"] < 0.02
    assert np.isnan(rows[2]["charge"])


def test_what_is_in_the_results_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []

    def run(name: str, generation: int, seed: int, data: Path) -> list[object]:
        done.append((name, generation, seed))
        return [name, generation, seed, 80, *[float(seed)] * 8]

    monkeypatch.setattr(study, "run", run)
    monkeypatch.setattr(study, "prepare", lambda *words: None)
    for seeds in (["1"], ["1", "3"]):
        monkeypatch.setattr("sys.argv", ["study.py", str(tmp_path), "salt", "--seeds", *seeds])
        study.main()
    assert done == [("salt", generation, seed) for seed in (1, 3) for generation in (2, 3, 4)]
    assert f"| salt | 4 {'| 2 ' * 8}|" in capsys.readouterr().out  # the mean of both seeds


def test_another_number_of_structures_needs_another_folder(tmp_path: Path) -> None:
    study.prepare("surface", 1, 5, tmp_path / "surface_1")
    study.prepare("surface", 1, 5, tmp_path / "surface_1")
    with pytest.raises(SystemExit, match="has 5 structures, expected 6"):
        study.prepare("surface", 1, 6, tmp_path / "surface_1")


def test_the_curve_of_the_model_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The charged dimer is bound more strongly; energies count from the largest height."""
    pytest.importorskip("matplotlib")
    study.write_curve(1, tmp_path, ())
    with open(tmp_path / "curve.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    depths = {}
    for surface in ("plain", "doped"):
        own = [row for row in rows if row["surface"] == surface]
        assert float(own[-1]["model"]) == 0.0
        depths[surface] = min(float(row["model"]) for row in own)
    assert depths["doped"] < depths["plain"] - 0.1
    assert depths["plain"] < -0.1
    drawing = load_script("charges", "figure")
    monkeypatch.setattr(drawing, "HERE", tmp_path)
    monkeypatch.setattr("sys.argv", ["figure.py", str(tmp_path / "curve.csv")])
    drawing.main()
    assert (tmp_path / "wetting.png").stat().st_size > 1000
