"""The repulsion of Ziegler, Biersack and Littmark: formula, switch, where it is added and subtracted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bnnp.cli import main
from bnnp.descriptors.neighbors import find_neighbors
from bnnp.descriptors.pairs import stress_of_pairs, sum_pairs
from bnnp.errors import InputError, StaleFileError
from bnnp.interfaces.hdnnp import write_hdnnp
from bnnp.io.descriptor_file import DescriptorFile
from bnnp.io.input_data import StructureFile, write_structures
from bnnp.potential.loading import load
from bnnp.repulsion import Repulsion
from bnnp.settings.settings import load_settings
from bnnp.structure import Set, Structure
from bnnp.training.training import targets
from bnnp.units import ATOMIC, METAL

INNER, OUTER = 0.9, 1.8
SILICON, GOLD = 14, 79


def pair(repulsion: Repulsion, z1: int, z2: int, r: float) -> tuple[float, float]:
    """Energy and slope of one pair."""
    energy, slope = repulsion(np.array([z1]), np.array([z2]), np.array([r]))
    return float(energy[0]), float(slope[0])


def zbl(z1: int, z2: int, r: float) -> float:
    """The formula of the book, in eV and Angstrom, a term at a time."""
    x = r / (0.46850 / (z1**0.23 + z2**0.23))
    phi = 0.18175 * math.exp(-3.19980 * x) + 0.50986 * math.exp(-0.94229 * x)
    phi += 0.28022 * math.exp(-0.40290 * x) + 0.02817 * math.exp(-0.20162 * x)
    return z1 * z2 * 14.399645 / r * phi


@pytest.mark.parametrize(("z1", "z2"), [(SILICON, SILICON), (SILICON, GOLD)])
def test_differences_below_the_inner_radius_are_those_of_the_formula(z1: int, z2: int) -> None:
    """There the switch is a constant."""
    repulsion = Repulsion(INNER, OUTER, METAL)
    found = pair(repulsion, z1, z2, 0.3)[0] - pair(repulsion, z1, z2, 0.8)[0]
    assert found == pytest.approx(zbl(z1, z2, 0.3) - zbl(z1, z2, 0.8), rel=1e-6)


def test_close_nuclei_are_not_screened() -> None:
    r = 1e-5
    energy = pair(Repulsion(INNER, OUTER, METAL), SILICON, GOLD, r)[0]
    assert energy * r == pytest.approx(SILICON * GOLD * 14.399645, rel=1e-3)


def test_energy_slope_and_curvature_vanish_at_the_outer_radius() -> None:
    """From below, as E ~ (r_2 - r)^3."""
    repulsion = Repulsion(INNER, OUTER, METAL)
    energies = [pair(repulsion, SILICON, GOLD, OUTER - h)[0] for h in (0.04, 0.02, 0.01)]
    assert energies[0] / energies[1] == pytest.approx(8.0, rel=0.1)
    assert energies[1] / energies[2] == pytest.approx(8.0, rel=0.05)
    assert pair(repulsion, SILICON, GOLD, OUTER - 1e-6)[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("r", [0.2, 0.85, 0.95, 1.3, 1.75])
def test_slope_is_the_derivative(r: float) -> None:
    repulsion, h = Repulsion(INNER, OUTER, METAL), 1e-4
    below, above = (pair(repulsion, SILICON, GOLD, r + step)[0] for step in (-h, h))
    assert pair(repulsion, SILICON, GOLD, r)[1] == pytest.approx((above - below) / (2 * h), rel=1e-5)


def test_units() -> None:
    metal = pair(Repulsion(INNER, OUTER, METAL), SILICON, GOLD, 1.1)
    bohr = ATOMIC.angstrom
    atomic = pair(Repulsion(INNER / bohr, OUTER / bohr, ATOMIC), SILICON, GOLD, 1.1 / bohr)
    assert atomic[0] * ATOMIC.ev == pytest.approx(metal[0], rel=1e-12)
    assert atomic[1] * ATOMIC.ev / bohr == pytest.approx(metal[1], rel=1e-12)


def crystal(shift: float = 0.0) -> Structure:
    """Copper, some atoms of which are close to each other."""
    positions = np.array([[0.0, 0.0, 0.0], [1.1 + shift, 0.3, 0.2], [2.5, 2.4, 2.6], [3.4, 3.3, 2.9]])
    return Structure(np.full(4, 29), positions, np.diag([5.5, 5.7, 6.0]))


def test_forces_and_stress_of_a_potential_with_it(solid_writer, tmp_path: Path) -> None:  # noqa: ANN001
    """The sum of the same potential without it and of a sum over pairs; the sigmas stay."""
    plain = load(solid_writer(tmp_path / "plain"))
    both = load(solid_writer(tmp_path / "both", extra=f"zbl_repulsion {INNER} {OUTER}\n"))
    structure, repulsion = crystal(), Repulsion(INNER, OUTER, METAL)
    pairs = find_neighbors(structure.positions, structure.cell, OUTER, structure.numbers)
    energies, slopes = repulsion.of_pairs(structure.numbers, pairs)
    assert energies.sum() > 10.0
    alone, added = plain.predict(structure), both.predict(structure)
    expected = {
        "energy": energies.sum(),
        "forces": sum_pairs(pairs, slopes),
        "stress": stress_of_pairs(pairs, slopes, structure.volume),
    }
    for name, by in expected.items():
        one, other = getattr(alone, name), getattr(added, name)
        np.testing.assert_allclose(other.value - one.value, by, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(other.std, one.std, rtol=1e-9, atol=1e-12)
    without_sigma = both.predict(structure, sigma=False)
    np.testing.assert_allclose(without_sigma.forces.value, added.forces.value, rtol=1e-9, atol=1e-9)


def test_forces_are_the_gradient(solid_writer, tmp_path: Path) -> None:  # noqa: ANN001
    model = load(solid_writer(tmp_path / "both", extra=f"zbl_repulsion {INNER} {OUTER}\n"))
    h = 1e-4
    below, above = (model.predict(crystal(step)).energy.value for step in (-h, h))
    assert model.predict(crystal()).forces.value[1, 0] == pytest.approx((below - above) / (2 * h), rel=1e-6)


def test_a_changed_line_is_another_potential(solid_writer, tmp_path: Path) -> None:  # noqa: ANN001
    folder = solid_writer(tmp_path / "both", extra=f"zbl_repulsion {INNER} {OUTER}\n")
    text = (folder / "input.nn").read_text()
    for other in (text.replace(f" {OUTER}\n", " 1.9\n"), text[: text.index("zbl_repulsion")]):
        (folder / "input.nn").write_text(other)
        with pytest.raises(StaleFileError, match="belong together"):
            load(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("zbl_repulsion 1.0", "expects two numbers"),
        ("zbl_repulsion 1.0 0.5", "expects 0 <= r_in < r_out"),
        ("zbl_repulsion -1.0 0.5", "expects 0 <= r_in < r_out"),
        ("zbl_repulsion 1.0 9.0", "beyond the longest cutoff of the symmetry functions, 5"),
    ],
)
def test_wrong_radii(solid_writer, tmp_path: Path, line: str, message: str) -> None:  # noqa: ANN001
    folder = solid_writer(tmp_path / "solid")
    with open(folder / "input.nn", "a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=message):
        load_settings(folder / "input.nn", 3)


def test_programs_without_it_are_refused(solid_writer, tmp_path: Path) -> None:  # noqa: ANN001
    model = load(solid_writer(tmp_path / "both", extra=f"zbl_repulsion {INNER} {OUTER}\n"))
    with pytest.raises(InputError, match="zbl_repulsion"):
        write_hdnnp(tmp_path / "hdnnp", model)


TRAINING = """\
number_of_elements 1
elements Cu
units metal
atom_energy fit
zbl_repulsion {inner} {outer}
cutoff_type 2
scale_symmetry_functions
use_short_forces
global_hidden_layers_short 1
global_nodes_short 4
global_activation_short t l
dropout_rate 0
calibration_fraction 0
epochs {epochs}
symfunction_short Cu 2 Cu 0.2 0.0 5.0
symfunction_short Cu 2 Cu 1.0 2.0 5.0
"""


def labeled(inner: float, outer: float) -> list[Structure]:
    """Structures whose only energy is the repulsion and 3.5 eV an atom."""
    repulsion, rng, found = Repulsion(inner, outer, METAL), np.random.default_rng(3), []
    for _ in range(12):
        positions = crystal().positions + rng.uniform(-0.1, 0.1, (4, 3))
        structure = replace(crystal(), positions=positions, subset=Set.TRAIN)
        pairs = find_neighbors(positions, structure.cell, outer, structure.numbers)
        energies, slopes = repulsion.of_pairs(structure.numbers, pairs)
        stress = stress_of_pairs(pairs, slopes, structure.volume)
        energy, forces = float(energies.sum()) + 14.0, sum_pairs(pairs, slopes)
        found.append(replace(structure, energy=energy, forces=forces, stress=stress))
    return found


def test_training_subtracts_what_the_prediction_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """References that are the repulsion and a constant leave nothing to learn but the constant."""
    (tmp_path / "input.nn").write_text(TRAINING.format(inner=INNER, outer=OUTER, epochs=0))
    write_structures(tmp_path / "input.data", labeled(INNER, OUTER))
    monkeypatch.chdir(tmp_path)
    for mode in ("1", "2"):
        result = CliRunner().invoke(main, ["--mode", mode])
        assert result.exit_code == 0, result.output
    settings = load_settings(tmp_path / "input.nn", 2)
    with DescriptorFile.open(tmp_path / "symmetry_functions.h5") as file:
        references = targets(settings.with_atom_energies({"Cu": 3.5}))
        for index in range(len(file)):
            for left in references.of(file, index):
                np.testing.assert_allclose(left, 0.0, atol=1e-9)
    assert "free-atom energies, fitted Cu 3.50000000 eV" in result.output
    points = np.loadtxt(next(tmp_path.glob("trainpoints.*")), ndmin=2)
    predicted = load(tmp_path / "potential")
    for row, structure in zip(points, StructureFile(tmp_path / "input.data", ("Cu",)), strict=True):
        assert row[2] == pytest.approx(structure.energy, rel=1e-8)
        assert row[3] == pytest.approx(predicted.predict(structure).energy.value, rel=1e-8)
