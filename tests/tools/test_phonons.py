"""bnnp phonons against closed forms, phonopy and the members, and what it says of bad input."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from ase.units import GPa
from click.testing import CliRunner, Result

import bnnp
from bnnp import BNNP
from bnnp.analysis.elasticity import strained
from bnnp.analysis.phonons import THZ
from bnnp.cli import main
from bnnp.io.calibration_section import CalibrationData, checksums, format_calibration
from bnnp.io.tables import read_table
from bnnp.potential.loading import load
from bnnp.uncertainty.calibration import Calibration, Quantity
from bnnp.uncertainty.maps import Quadratic

ROOT = Path(__file__).resolve().parents[2]
ALLOY = ROOT / "inputs" / "lammps" / "potential"  # copper and gold, cutoff 6 Angstrom, 100 samples


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where seekpath is missing."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    pytest.importorskip("seekpath")


def call(folder: Path, *words: object) -> Result:
    return CliRunner().invoke(main, ["phonons", *map(str, words), "--out", str(folder / "phonons")])


def phonons(folder: Path, *words: object) -> str:
    result = call(folder, *words)
    assert result.exit_code == 0, result.output
    return result.output


def pair(r: float) -> tuple[float, float, float]:
    """Twice phi of the closed-form potential of conftest.py (the energy of one pair), and two derivatives."""
    h = 1e-4

    def phi(r: float) -> float:
        value = 800.0 * np.exp(-(r**2)) - 1.25 * np.exp(-1.5 * (r - 2.9) ** 2)
        return 2.0 * value * np.tanh(1 - r / 5.0) ** 3 if r < 5.0 else 0.0

    return phi(r), (phi(r + h) - phi(r - h)) / (2 * h), (phi(r + h) - 2 * phi(r) + phi(r - h)) / h**2


def fcc_vectors(cell: np.ndarray) -> np.ndarray:
    steps = np.array([n for n in itertools.product(range(-4, 5), repeat=3) if any(n)])
    vectors = steps @ cell
    return vectors[np.linalg.norm(vectors, axis=1) < 5.0]


@pytest.fixture(scope="module")
def copper(tmp_path_factory: pytest.TempPathFactory, solid_writer) -> tuple[Path, Path, str]:
    """The folder of a run of the closed-form crystal (one sample: the closed form), and its output."""
    folder = tmp_path_factory.mktemp("copper")
    potential = solid_writer(folder / "potential", samples=0)
    write(folder / "start.vasp", bulk("Cu", a=4.05))
    pytest.importorskip("seekpath")
    sys.path.insert(0, str(ROOT / "tools"))
    text = phonons(folder, folder / "start.vasp", "--potential", potential, "--relax", "--points", 40)
    return folder, potential, text


def relaxed_cell(folder: Path) -> np.ndarray:
    header = (folder / "phonons_elastic.out").read_text().splitlines()[0]
    rows = header.partition("lattice vectors ")[2].split("; std")[0].split("; ")
    return np.array([[float(x) for x in row.split()] for row in rows])


def test_bands_of_a_pair_potential(copper: tuple[Path, Path, str]) -> None:
    """D(q) = sum_R Phi(R) (1 - cos q.R), Phi = phi'' RR/R^2 + phi'/R (1 - RR/R^2)."""
    folder, _, _ = copper
    cell = relaxed_cell(folder)
    table, text = read_table(folder / "phonons_bands.out")
    assert "GAMMA 0.000000 X" in text
    q = np.stack([table["q_a"], table["q_b"], table["q_c"]], axis=1) @ np.linalg.inv(cell).T * 2 * np.pi
    matrices = np.zeros((len(q), 3, 3))
    for vector in fcc_vectors(cell):
        r = np.linalg.norm(vector)
        _, first, second = pair(r)
        along = np.outer(vector, vector) / r**2
        phi = second * along + first / r * (np.eye(3) - along)
        matrices += (1.0 - np.cos(q @ vector))[:, None, None] * phi
    mass = bulk("Cu").get_masses()[0]
    expected = THZ * np.sqrt(np.linalg.eigvalsh(matrices / mass).clip(0.0))
    found = np.stack([table[f"f_{branch}"] for branch in (1, 2, 3)], axis=1)
    assert expected.max() > 5.0
    np.testing.assert_allclose(found, expected, atol=0.005)
    assert np.isnan(table["f_1_std"]).all()


def test_elastic_constants_of_a_pair_potential(copper: tuple[Path, Path, str]) -> None:
    """Second differences of the energy; Cauchy's relation C12 = C44 without pressure; B of the volume."""
    folder, _, _ = copper
    cell = relaxed_cell(folder)
    volume = abs(np.linalg.det(cell))

    def energy(deformed: np.ndarray) -> float:
        return 0.5 * sum(pair(np.linalg.norm(vector))[0] for vector in fcc_vectors(deformed))

    def second(component: int) -> float:
        h = 0.002
        high, low = (energy(strained(cell, component, x)) for x in (h, -h))
        return (high - 2 * energy(cell) + low) / h**2 / volume / GPa

    rows = [line.split() for line in (folder / "phonons_elastic.out").read_text().splitlines()[1:]]
    found = {name: float(value) for name, value, _ in rows}
    assert found["C11"] == pytest.approx(second(0), rel=0.01)
    assert found["C44"] == pytest.approx(second(3), rel=0.01)
    assert found["C12"] == pytest.approx(found["C44"], rel=0.01)
    assert found["B"] == pytest.approx((found["C11"] + 2 * found["C12"]) / 3, rel=1e-9)
    eos = (folder / "phonons_eos.out").read_text().splitlines()[0]
    assert float(eos.partition("V0 ")[2].split(",")[0]) == pytest.approx(volume, rel=2e-3)
    assert float(eos.partition("B0 ")[2].split(",")[0]) == pytest.approx(found["B"], rel=0.05)


def test_dos_and_thermal_properties_belong_together(copper: tuple[Path, Path, str]) -> None:
    """The integral of the DOS is 3, and that with the oscillator's heat capacity is Cv."""
    folder, _, _ = copper
    dos, _ = read_table(folder / "phonons_dos.out")
    step = dos["frequency"][1] - dos["frequency"][0]
    assert dos["dos"].sum() * step == pytest.approx(3.0, rel=1e-4)
    thermal, _ = read_table(folder / "phonons_thermal.out")
    row = int(np.argmin(np.abs(thermal["T"] - 300.0)))
    x = 47.99243073 * np.maximum(dos["frequency"], 1e-3) / 300.0  # h THz / k_B in K, CODATA 2018
    weight = dos["dos"] * step * x**2 * np.exp(x) / np.expm1(x) ** 2
    assert thermal["Cv"][row] == pytest.approx(weight.sum(), rel=2e-3)
    assert thermal["Cv"][-1] == pytest.approx(3.0, rel=0.01)


@pytest.fixture(scope="module")
def alloy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """B2 copper-gold by a potential with samples, which has imaginary modes there."""
    folder = tmp_path_factory.mktemp("alloy")
    write(folder / "start.vasp", bulk("CuAu", "cesiumchloride", a=3.03))
    pytest.importorskip("seekpath")
    words = "--relax", "--supercell", "4 4 4", "--samples", 5, "--points", 30, "--mesh", 20
    return folder, phonons(folder, folder / "start.vasp", "--potential", ALLOY, *words)


def test_imaginary_modes_are_named(alloy: tuple[Path, str]) -> None:
    _, text = alloy
    assert "imaginary: branch 1 -" in text
    assert "not in the thermal file" in text
    assert "warning: force constants reach twice the cutoff" in text
    assert "std: raw, over 5 Monte Carlo samples" in text


def test_standard_deviation_is_that_of_the_members(alloy: tuple[Path, str]) -> None:
    """Each member alone at the geometry of the potential: frequencies and elastic constants."""
    from crystal import Lattice, primitive_cell, relax

    folder, _ = alloy
    potential = bnnp.load(ALLOY, 5)
    cell, _ = primitive_cell(relax(potential, bulk("CuAu", "cesiumchloride", a=3.03)), 1e-3)
    lattice = Lattice(cell, (4, 4, 4))
    table, _ = read_table(folder / "phonons_bands.out")
    q = np.stack([table["q_a"], table["q_b"], table["q_c"]], axis=1)[[3, 11]]
    whole = lattice.force_constants(potential, 0.01).frequencies(q)[..., -1]
    alone = [lattice.force_constants(potential.member(s), 0.01).frequencies(q)[..., 0] for s in range(5)]
    for branch in range(6):
        found = table[f"f_{branch + 1}"][[3, 11]], table[f"f_{branch + 1}_std"][[3, 11]]
        np.testing.assert_allclose(found[0], whole[:, branch], atol=1e-3)
        np.testing.assert_allclose(found[1], np.std(alone, axis=0, ddof=1)[:, branch], atol=1e-3)


@pytest.mark.filterwarnings("ignore")  # of phonopy
@pytest.mark.parametrize("crystal", [bulk("Cu", a=3.6), bulk("CuAu", "cesiumchloride", a=3.03)])
def test_frequencies_are_phonopys(crystal: Atoms) -> None:
    """Force constants of phonopy, by its own displacements and symmetry, from the ASE calculator."""
    pytest.importorskip("phonopy")
    from crystal import Lattice
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    potential, repeats = bnnp.load(ALLOY, 0), (4, 4, 4)
    cell = PhonopyAtoms(
        symbols=list(crystal.symbols),
        cell=crystal.cell.array,
        scaled_positions=crystal.get_scaled_positions(),
        masses=crystal.get_masses(),
    )
    oracle = Phonopy(cell, np.diag(repeats), primitive_matrix=np.eye(3), log_level=0)
    oracle.generate_displacements(distance=0.01)
    calc = BNNP(potential, warn=False)
    oracle.forces = [
        calc.get_property("forces", Atoms(each.symbols, each.positions, cell=each.cell, pbc=True))
        for each in oracle.supercells_with_displacements
    ]
    oracle.produce_force_constants()
    oracle.symmetrize_force_constants()
    q = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.5, 0.5, 0.0], [0.1, 0.27, -0.4], [0.25, 0.25, 0.5]])
    oracle.run_qpoints(q)
    found = Lattice(crystal, repeats).force_constants(potential, 0.01).frequencies(q)[..., -1]
    np.testing.assert_allclose(found, oracle.qpoints.frequencies, atol=2e-3)


def test_thermal_expansion_follows_grueneisen(copper: tuple[Path, Path, str], tmp_path: Path) -> None:
    """alpha B V = sum gamma_i c_i (E. Grueneisen): both from the same potential, at a temperature where the
    crystal is harmonic enough."""
    folder, potential, _ = copper
    phonons(
        *(tmp_path, folder / "start.vasp", "--potential", potential, "--relax", "--quasi-harmonic"),
        *("--temperatures", "0:200:50", "--mesh", 25, "--points", 10),
    )
    table, _ = read_table(tmp_path / "phonons_qha.out")
    assert (np.diff(table["V"]) > 0.0).all()
    assert table["V"][0] > abs(np.linalg.det(relaxed_cell(tmp_path)))  # zero-point motion
    assert (np.diff(table["B"]) < 0.0).all()


BAD = {
    "residual": (bulk("Cu", a=4.4), (), "residual stress .* GPa, but at most 0.01 .* Add --relax"),
    "supercell": (
        bulk("Cu", a=4.05),
        ("--relax", "--supercell", "3 3 3"),
        r"shortest lattice vector is 8\.\d+ Angstrom, but must be twice the cutoff of 5.00",
    ),
    "words": (bulk("Cu", a=4.05), ("--relax", "--supercell", "3 3"), "expected three numbers"),
    "molecule": (molecule("H2O"), (), "H, O is not in this potential"),
    "slab": (Atoms("Cu", pbc=(True, True, False), cell=[3, 3, 9]), (), "molecule, a wire or a slab"),
    "reference": (bulk("Cu", a=4.05), ("--reference", "C11"), "expected NAME=VALUE"),
    "temperatures": (bulk("Cu", a=4.05), ("--temperatures", "300"), "expected T1:T2:step"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told(case: str, copper: tuple[Path, Path, str], tmp_path: Path) -> None:
    crystal, words, message = BAD[case]
    write(tmp_path / "bad.xyz", crystal, format="extxyz")
    result = call(tmp_path, tmp_path / "bad.xyz", "--potential", copper[1], *words)
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert re.search(message, result.output), result.output


def test_small_displacements_to_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strains of 1 %, displacements that grow from 0.01 to 0.1 Angstrom, in a cell of 10 Angstrom; the
    same for the same seed. Neither a potential nor seekpath is needed; labels of the crystal are left out."""
    monkeypatch.setitem(sys.modules, "seekpath", None)
    start = bulk("Si", a=5.431)
    start.info["REF_energy"] = -1.0
    write(tmp_path / "start.xyz", start, format="extxyz")
    words = tmp_path / "start.xyz", "--structures", 60
    phonons(tmp_path, *words, "--seed", 3)
    path = tmp_path / "phonons_structures.extxyz"
    found, first = ase.io.read(path, ":"), path.read_bytes()
    assert len(found) == 60
    assert not any("REF_energy" in each.info for each in found)
    ideal = bulk("Si", a=5.431) * 3
    assert all(len(each) == 54 and each.info["group"] == "small_displacements" for each in found)
    assert np.linalg.norm(found[0].cell[0]) > 10.0
    strains = np.array([np.linalg.solve(ideal.cell.array, each.cell.array) - np.eye(3) for each in found])
    np.testing.assert_allclose(strains, strains.transpose(0, 2, 1), atol=1e-7)
    assert strains[:, range(3), range(3)].std() == pytest.approx(0.01, rel=0.2)
    sizes = []
    for each in found:
        there = ideal.copy()
        there.set_cell(each.cell, scale_atoms=True)
        moved = each.positions - there.positions
        sizes.append(np.sqrt(np.mean((moved - moved.mean(axis=0)) ** 2)))
    assert sizes[0] == pytest.approx(0.01, rel=0.15)
    assert sizes[-1] == pytest.approx(0.1, rel=0.15)
    phonons(tmp_path, *words, "--seed", 3)
    assert path.read_bytes() == first
    phonons(tmp_path, *words, "--seed", 4, "--supercell", "1 2 3")
    assert len(ase.io.read(path, 0)) == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--structures", 3, "--relax"), "does not use --relax/--check"),
        (
            ("--structures", 3, "--lifetimes", "rta", "--potential", "p"),
            "does not use --potential, --lifetimes",
        ),
        (("--seed", 2), "--seed is that of --structures"),
        (("--at", 300), "--at: only --lifetimes uses it"),
        (("--third-mesh", 20), "--third-mesh: only --lifetimes uses it"),
        (("--lifetimes", "rta", "--at", "nan"), "expected temperatures above 0 K"),
        (("--lifetimes", "rta", "--at", "300 inf"), "expected temperatures above 0 K"),
        (("--lifetimes", "rta", "--third-supercell", "3 3"), "--third-supercell '3 3': expected three"),
        (("--temperatures", "0:inf:20"), "expected T1:T2:step"),
        (("--reference", "C11=nan"), "expected NAME=VALUE"),
    ],
)
def test_words_are_checked_first(
    words: tuple[object, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before packages, the crystal and the potential are looked for."""
    monkeypatch.setitem(sys.modules, "seekpath", None)
    result = call(tmp_path, tmp_path / "missing.vasp", *words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_reference_and_factor(solid: Path, tmp_path: Path) -> None:
    """The factor makes the root mean square of error / std one."""
    write(tmp_path / "start.vasp", bulk("Cu", a=4.05))
    words = "start.vasp", "--potential", solid, "--relax", "--points", 10, "--mesh", 10
    words = (tmp_path / words[0], *words[1:])
    text = phonons(tmp_path, *words, "--reference", "C11=50", "--reference", "B=20")
    factor = float(text.partition("--factor ")[2].split()[0])
    rows = [line.split() for line in (tmp_path / "phonons_elastic.out").read_text().splitlines()[1:]]
    found = {name: (float(value), float(std)) for name, value, std in rows}
    ratios = [(found["C11"][0] - 50) / found["C11"][1], (found["B"][0] - 20) / found["B"][1]]
    assert factor == pytest.approx(np.sqrt(np.mean(np.square(ratios))), rel=0.01)
    phonons(tmp_path, *words, "--factor", 2.0)
    again = [line.split() for line in (tmp_path / "phonons_elastic.out").read_text().splitlines()[1:]]
    for (name, value, std), (_, same, twice) in zip(rows, again, strict=True):
        assert float(same) == pytest.approx(float(value), rel=1e-9, abs=1e-9), name
        assert float(twice) == pytest.approx(2.0 * float(std), rel=1e-6, abs=1e-9), name


def test_deviations_by_the_calibration_of_the_forces(solid: Path, tmp_path: Path) -> None:
    """A calibration that takes a fifth of the raw sigma of forces: the samples then deviate a fifth as much
    before anything follows from them, and the value stays. --factor 1 has the raw ones again."""
    shutil.copytree(solid, tmp_path / "calibrated")
    (member,) = load(solid).members
    energy, forces = (Quantity(Quadratic(0.0, a, 0.0, 1e-9), np.ones(1), {}) for a in (9.0, 0.2**2))
    kind = Calibration("mc", energy, {"Cu": forces}, None, 10, 40)
    data = CalibrationData("mc", checksums([member.networks]), {"mc": kind})
    with open(tmp_path / "calibrated" / "uncertainty.data", "a") as file:
        file.write("\n".join(["[calibration]", *format_calibration(data), ""]))
    write(tmp_path / "start.vasp", bulk("Cu", a=4.05))
    words = (tmp_path / "start.vasp", "--relax", "--points", 10, "--mesh", 10)
    texts, tables = [], []
    for folder, more in (
        (solid, ()),
        (tmp_path / "calibrated", ()),
        (tmp_path / "calibrated", ("--factor", 1)),
    ):
        texts.append(phonons(tmp_path, *words, "--potential", folder, *more))
        rows = [line.split() for line in (tmp_path / "phonons_elastic.out").read_text().splitlines()[1:]]
        tables.append(np.array([row[1:] for row in rows], dtype=float))
    assert "std: raw, over" in texts[0]
    assert "std: deviations times 0.2 (calibration of the forces), over" in " ".join(texts[1].split())
    large = tables[0][:, 1] > 0.1
    assert large.sum() > 5
    np.testing.assert_allclose(tables[1][:, 0], tables[0][:, 0], atol=1e-6)
    np.testing.assert_allclose(tables[1][large, 1], 0.2 * tables[0][large, 1], rtol=1e-6)
    np.testing.assert_allclose(tables[2][large, 1], tables[0][large, 1], rtol=1e-6)


def test_pictures_have_bands_around_lines(alloy: tuple[Path, str]) -> None:
    """A filled band for each branch and the DOS, ticks at the special points; files in two formats."""
    pytest.importorskip("matplotlib")
    from plotting.phonons import bands_figure

    folder, _ = alloy
    done = CliRunner().invoke(main, ["plot", "phonons", str(folder / "phonons")])
    assert done.exit_code == 0, done.output
    assert {f"phonons_{kind}.{name}" for kind in ("bands", "thermal") for name in ("png", "pdf")} <= {
        path.name for path in folder.iterdir()
    }
    table, text = read_table(folder / "phonons_bands.out")
    left, right = bands_figure(table, text, read_table(folder / "phonons_dos.out")[0]).axes
    assert (len(left.collections), len(right.collections)) == (6, 1)
    assert left.get_xticklabels()[0].get_text() == r"$\Gamma$"
    band = np.concatenate([path.vertices for path in left.collections[5].get_paths()])
    row = int(np.argmax(table["f_6"]))
    there = band[np.isclose(band[:, 0], table["distance"][row])][:, 1]
    assert there.max() - there.min() == pytest.approx(2 * 1.96 * table["f_6_std"][row], rel=1e-5)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, solid: Path) -> None:
    monkeypatch.setitem(sys.modules, "seekpath", None)
    result = call(tmp_path, tmp_path / "any.vasp", "--potential", solid)
    assert result.exit_code == 1
    assert "seekpath is not installed" in result.output
    assert "pip install seekpath" in result.output
