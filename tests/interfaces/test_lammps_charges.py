"""pair_style bnnp with charges: energy, forces, stress, charges and their sigmas are those of the Python
potential, on any number of ranks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from charged_case import FIXED, GENERATIONS, INPUT, structure, write_charged, write_masks
from lammps_case import Run, run_lammps, write_data

import bnnp
from bnnp.interfaces.export import export
from bnnp.io.ase_atoms import to_atoms
from bnnp.potential.files import read_members, write_directory
from bnnp.prediction import Prediction
from bnnp.settings.settings import load_settings
from bnnp.structure import Structure
from bnnp.units import ATOMIC

pytest.importorskip("lammps")
pytestmark = pytest.mark.slow

TYPES = ("Au", "Na", "Cl")
BAR = 1.6021765e6  # one eV/Angstrom^3, as LAMMPS has it
LOWER = np.array([[11.0, 0, 0], [1.0, 10.0, 0], [1.0, 2.0, 12.0]])  # as LAMMPS wants it
BOUNDARIES = {"molecule": "f f f", "crystal": "p p p", "slab": "p p f"}
SCRIPT = """\
units {units}
atom_style {atom_style}
atom_modify map array
boundary {boundary}
{before}
read_data data.lammps
plugin load {plugin}
pair_style {style}bnnp showewsum 0 {options}
pair_coeff * * {hybrid}{potential} {elements}
{after}
compute sigma all pair bnnp
fix own all pair 1 bnnp charges 1 {fix}
thermo_style custom step pe ke etotal pxx pyy pzz pyz pxz pxy c_sigma[*]
thermo_modify format float %.17g
dump all all custom 1 dump.out id fx fy fz f_own{columns} {q}
dump_modify all sort id format float %.17g
run {steps}
"""


def case(kind: str, charge: float = 0.0) -> Structure:
    """The twelve atoms of `charged_case` in a cell for LAMMPS."""
    found = structure(kind)
    cell = None if kind == "molecule" else LOWER if kind == "crystal" else np.diag([11.0, 10.0, 14.0])
    positions = found.positions + [0.0, 0.0, 4.0 * (kind == "slab")]  # within a box that is not periodic
    return replace(found, positions=positions, cell=cell, charge=charge, pbc=(True, True, kind != "slab"))


def exported(folder: Path, text: str = INPUT, masks: bool | None = None, scale: float = 0.5) -> Path:
    """A directory for pair_style bnnp; `masks`: centered or not."""
    write_charged(folder / "source", text, scale=scale)
    if masks is not None:
        write_masks(folder / "source", centered=masks)
    (files,) = read_members(folder / "source", load_settings(folder / "source" / "input.nn", 3))
    write_directory(folder / "potential", [replace(files, marked=True)])
    return folder / "potential"


def run(
    directory: Path,
    plugin: Path,
    potential: Path,
    atoms: Structure,
    ranks: int = 1,
    q: float | None = None,
    check: bool = True,
    **words: str | int,
) -> Run:
    """One evaluation, or `steps`, in LAMMPS; `q` is the charge of each atom in the data file."""
    kind = "molecule" if atoms.cell is None else "crystal" if all(atoms.pbc) else "slab"
    write_data(directory / "data.lammps", atoms, TYPES, ATOMIC.angstrom, q)
    known: dict[str, str | int] = {
        "units": "metal",
        "atom_style": "atomic" if q is None else "charge",
        "boundary": BOUNDARIES[kind],
        "options": f"charge {atoms.charge!r}" if atoms.charge else "",
        "q": "" if q is None else "q",
        "elements": " ".join(TYPES),
        "columns": "[*]" if words.get("fix") else "",
        "steps": 0,
    }
    known |= dict.fromkeys(("before", "after", "fix", "style", "hybrid"), "")
    filled = SCRIPT.format_map(known | {"plugin": plugin, "potential": potential} | words)
    return run_lammps(directory, filled, ranks, check)


def compare(done: Run, expected: Prediction, atoms: Structure) -> None:
    """Energy, forces, charges and stress, in LAMMPS' units metal, to 1e-8 or better."""
    ev, force = ATOMIC.ev, ATOMIC.ev / ATOMIC.angstrom
    assert expected.forces is not None
    assert expected.charges is not None
    assert done.thermo["PotEng"] == pytest.approx(ev * expected.energy.value, rel=1e-11, abs=1e-9)
    scale = max(1.0, np.abs(expected.forces.value).max())
    np.testing.assert_allclose(
        done.rows("fx", "fy", "fz"), force * expected.forces.value, rtol=0, atol=1e-9 * scale
    )
    own = "f_own" if "f_own" in done.dump else "f_own[1]"
    np.testing.assert_allclose(done.dump[own], expected.charges.value, rtol=0, atol=1e-10)
    if atoms.cell is None:
        return
    assert expected.stress is not None
    names = ("Pxx", "Pyy", "Pzz", "Pyz", "Pxz", "Pxy")
    pressure = np.array([done.thermo[name] for name in names])
    stress = -BAR * ev / ATOMIC.angstrom**3 * expected.stress.value
    np.testing.assert_allclose(pressure, stress, rtol=0, atol=1e-8 * np.abs(stress).max())


@pytest.fixture(scope="module")
def fourth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("fourth"))


@pytest.mark.parametrize(
    ("kind", "charge", "ranks"),
    [
        ("crystal", 0.0, 1),
        ("crystal", 0.7, 2),
        ("crystal", -1.0, 4),
        ("slab", 0.0, 1),
        ("slab", 0.0, 2),
        ("molecule", 0.7, 1),
        ("molecule", 0.7, 4),
    ],
)
def test_the_fourth_generation_is_that_of_python(
    tmp_path: Path, plugin: Path, fourth: Path, kind: str, charge: float, ranks: int
) -> None:
    atoms = case(kind, charge)
    done = run(tmp_path, plugin, fourth, atoms, ranks, q=charge / len(atoms))
    expected = bnnp.load(fourth).predict(atoms)
    compare(done, expected, atoms)
    assert done.dump["q"] == pytest.approx(done.dump["f_own"], abs=1e-15)
    assert done.dump["q"].sum() == pytest.approx(charge, abs=1e-12)


@pytest.mark.parametrize("name", ["3G", "points", "fixed"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_other_charges_are_those_of_python(tmp_path: Path, plugin: Path, name: str, ranks: int) -> None:
    potential = exported(tmp_path, GENERATIONS[name])
    kind = "crystal" if ranks == 1 else "slab" if name == "3G" else "molecule"
    atoms = case(kind, 0.7 if kind == "crystal" and name != "fixed" else 0.0)
    done = run(tmp_path, plugin, potential, atoms, ranks)
    compare(done, bnnp.load(potential).predict(atoms), atoms)


def test_many_atoms_are_several_panels(tmp_path: Path, plugin: Path, fourth: Path) -> None:
    """The matrix of 324 atoms is more than one panel of each rank, of a length that fills no register."""
    one = case("crystal", 0.0)
    shifts = np.array([[i, j, k] for i in range(3) for j in range(3) for k in range(3)]) @ LOWER
    positions = (one.positions + shifts[:, None]).reshape(-1, 3)[1:]  # and a vacancy
    numbers = np.tile(one.numbers, 27)[1:]
    large = Structure(numbers, positions, 3 * LOWER, charge=1.0)
    done = run(tmp_path, plugin, fourth, large, 2)
    compare(done, bnnp.load(fourth).predict(large), large)


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("ewald_truncation_error_method 1\newald_prec 1e-9 1.5\n", "crystal"),
        ("ewald_truncation_error_method 1\newald_prec 1e-5 1.5 20.0\n", "crystal"),
        ("ewald_alpha 0.25\newald_cutoff 20.0\newald_kmax 6\n", "crystal"),
        (
            "units metal\nfour_pi_epsilon 0.07\nconv_charge 2.0\n",
            "molecule",
        ),
        ("screen_electrostatics 2.0 9.0 e\n", "slab"),
        ("normalize_nodes\nmean_energy 0.25\nconv_energy 1.75\nconv_length 1.25\n", "crystal"),
    ],
)
def test_every_sum_and_normalization(tmp_path: Path, plugin: Path, lines: str, kind: str) -> None:
    """Those of the input, whatever their precision."""
    given = {line.split()[0] for line in lines.splitlines()}
    text = INPUT
    for name in given & {"screen_electrostatics"} | ({"ewald_prec"} if "ewald" in lines else set()):
        text = re.sub(f"{name} .*\n", "", text)
    potential = exported(tmp_path, text + lines)
    atoms = case(kind)
    units = bnnp.load(potential).units
    if units is not ATOMIC:
        scaled = atoms.positions * ATOMIC.angstrom
        expected = bnnp.load(potential).predict(replace(atoms, positions=scaled))
        done = run(tmp_path, plugin, potential, atoms)
        assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-11)
        np.testing.assert_allclose(done.dump["f_own"], expected.charges.value, rtol=0, atol=1e-10)
        np.testing.assert_allclose(done.rows("fx", "fy", "fz"), expected.forces.value, rtol=0, atol=1e-8)
        return
    compare(run(tmp_path, plugin, potential, atoms), bnnp.load(potential).predict(atoms), atoms)


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("ranks", [1, 2])
def test_sigmas_are_those_of_python(tmp_path: Path, plugin: Path, centered: bool, ranks: int) -> None:
    potential, atoms = exported(tmp_path, masks=centered), case("crystal", 0.7)
    expected = bnnp.load(potential).predict(atoms)
    fix = {"fix": "charges_std 1 forces_std 1 energies_std 1"}
    done = run(tmp_path, plugin, potential, atoms, ranks, options="samples charge 0.7", **fix)
    compare(done, expected, atoms)
    sigmas = [done.thermo[f"c_sigma[{n}]"] for n in (1, 2)]
    assert sigmas == pytest.approx(ATOMIC.ev * expected.energy.std * np.array([1.0, 1.0 / 12]), rel=1e-8)
    energies = np.array([done.thermo[f"c_sigma[{n}]"] for n in range(6, 11)])
    np.testing.assert_allclose(energies, ATOMIC.ev * expected.samples, rtol=1e-11)
    np.testing.assert_allclose(done.dump["f_own[2]"], expected.charges.std, rtol=1e-7, atol=1e-11)
    force = ATOMIC.ev / ATOMIC.angstrom
    found = done.rows("f_own[3]", "f_own[4]", "f_own[5]")
    np.testing.assert_allclose(found, force * expected.forces.std, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(done.dump["f_own[6]"], ATOMIC.ev * expected.atoms.std, rtol=1e-7)
    plain = run(tmp_path, plugin, potential, atoms, ranks)
    compare(plain, expected, atoms)
    assert plain.thermo["c_sigma[1]"] == pytest.approx(sigmas[0], rel=1e-10)


def test_energy_is_conserved_and_charges_follow(tmp_path: Path, plugin: Path) -> None:
    """A tenth of a picosecond of moving ions: the total energy stays while the potential energy changes.
    Three ranks, among which atoms move, go the same way."""
    potential, atoms = exported(tmp_path, scale=0.1), case("crystal", 1.0)
    after = "velocity all create 600 5 loop all\nfix nve all nve\ntimestep 0.0005\nthermo 10"
    done = run(tmp_path, plugin, potential, atoms, after=after, steps=200)
    rows = [line.split() for line in done.text.splitlines() if re.match(r"\s+\d+\s+-?\d", line)]
    table = np.array([row[:4] for row in rows], dtype=float)
    assert table[:, 0].tolist() == list(range(0, 201, 10))
    potential_energy, total = table[:, 1], table[:, 3]
    assert np.ptp(potential_energy) > 0.02
    assert np.ptp(total) < 1e-3 * np.ptp(potential_energy)
    assert done.dump["f_own"].sum() == pytest.approx(1.0, abs=1e-12)
    words = {"after": f"{after}\nneigh_modify every 1 delay 0 check no", "before": "processors 3 1 1"}
    three = run(tmp_path, plugin, potential, atoms, 3, steps=10, **words)
    assert three.thermo["PotEng"] == pytest.approx(potential_energy[1], abs=1e-9)


def test_hybrid_and_null_types(tmp_path: Path, plugin: Path, fourth: Path) -> None:
    """With another pair style beside it the virial is still that of the charges; a type NULL has none."""
    atoms, style = case("crystal", 0.7), "hybrid/overlay zero 5.0 "
    words = {"style": style, "hybrid": "bnnp ", "after": "pair_coeff * * zero"}
    done = run(tmp_path, plugin, fourth, atoms, 2, **words)
    compare(done, bnnp.load(fourth).predict(atoms), atoms)
    gone = run(tmp_path, plugin, fourth, atoms, 2, elements="NULL Na Cl")
    rest = atoms.numbers != 79
    less = replace(atoms, numbers=atoms.numbers[rest], positions=atoms.positions[rest])
    expected = bnnp.load(fourth).predict(less)
    np.testing.assert_allclose(gone.dump["f_own"][rest], expected.charges.value, rtol=0, atol=1e-10)
    assert not gone.dump["f_own"][~rest].any()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"options": "charge x"}, "Expected floating point"),
        ({"boundary": "p f f"}, "periodic along three vectors, two (a slab) or none"),
        ({"boundary": "p p f", "options": "charge 1"}, "a charged slab has no finite energy"),
        ({"after": "pair_modify tail yes"}, "`pair_modify tail yes` and `shift yes` are for pair potentials"),
        ({"after": "kspace_style ewald 1e-4"}, "KSpace style is incompatible with Pair style"),
        (
            {"after": "compute s all stress/atom NULL\nfix s all ave/atom 1 1 1 c_s[1]"},
            "there are no virials of the atoms",
        ),
    ],
)
def test_mistakes_in_the_script(
    tmp_path: Path, plugin: Path, fourth: Path, words: dict[str, str], message: str
) -> None:
    atoms = case("slab")
    atoms = replace(atoms, positions=atoms.positions + [0.0, 2.0, 0.0])  # within the box along y, too
    q = 0.0 if "kspace" in words.get("after", "") else None
    done = run(tmp_path, plugin, fourth, atoms, q=q, check=False, **{"boundary": "p p p", **words})
    assert done.code != 0
    assert message in " ".join(done.text.split())


def test_charges_that_contradict_each_other(tmp_path: Path, plugin: Path, fourth: Path) -> None:
    """The charges of the data file or of the elements do not add up to `charge`; a potential without any."""
    atoms = case("crystal")
    done = run(tmp_path, plugin, fourth, atoms, q=0.25, check=False)
    assert "the charges of the atoms add up to 3, but the potential gives them new" in " ".join(
        done.text.split()
    )
    assert done.code != 0
    fixed = exported(tmp_path / "fixed", FIXED)
    done = run(tmp_path, plugin, fixed, atoms, 2, options="charge 1", check=False)
    assert "add up to" in done.text
    assert "but the total charge (`charge` of pair_style bnnp) is 1." in " ".join(done.text.split())
    assert done.code != 0


def test_charge_needs_charges(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    atoms = case("crystal")
    words = {"elements": "Te Ge Sb", "fix": ""}
    done = run(tmp_path, plugin, ternary, replace(atoms, charge=1.0), check=False, **words)
    assert "`charge 1` needs a potential with charges, and this has none" in " ".join(done.text.split())
    done = run(tmp_path, plugin, ternary, atoms, check=False, **words)
    assert "this potential has no charges, so it gives none to fix pair" in " ".join(done.text.split())


def test_files_that_are_missing_or_damaged(tmp_path: Path, plugin: Path) -> None:
    potential, atoms = exported(tmp_path, masks=True), case("crystal")
    for name, text, message in (
        ("hardness.011.data", None, "hardness.011.data cannot be read"),
        ("hardness.011.data", "0.4 ", "Changed since mode 2 wrote them: charges"),
        ("hardness.011.data", "-0.3", "the hardness of Na is `-0.3`, expected a positive number"),
        ("weightse.079.data", None, "weightse.079.data cannot be read"),
        ("uncertaintye.data", None, "uncertaintye.data cannot be read, but uncertainty.data has"),
    ):
        path = potential / name
        before = path.read_text()
        path.unlink()
        if text is not None:
            path.write_text(re.sub("^ *[0-9].*", text, before, flags=re.MULTILINE))
        done = run(tmp_path, plugin, potential, atoms, check=False)
        assert done.code != 0
        assert message in " ".join(done.text.split())
        path.write_text(before)


def test_more_atoms_than_the_matrix_may_have(tmp_path: Path, plugin: Path, fourth: Path) -> None:
    sites = np.stack(np.meshgrid(*[np.arange(16)] * 3), axis=-1).reshape(-1, 3)[:4001]
    gas = Structure(np.full(4001, 11), 10.0 * sites)  # farther apart than the cutoff
    done = run(tmp_path, plugin, fourth, gas, 2, check=False)
    assert done.code != 0
    assert "there are 4001 atoms with charges" in " ".join(done.text.split())
    assert "4000 at most. Take a smaller cell, or mode 3 or ASE" in " ".join(done.text.split())


def test_no_equilibrium(tmp_path: Path, plugin: Path) -> None:
    """An Ewald sum with no pair and hardly a wave has a matrix that is not positive definite."""
    lines = "ewald_alpha 2.0\newald_cutoff 0.5\newald_kmax 1"
    potential = exported(tmp_path, INPUT.replace("ewald_prec 1e-12", lines))
    done = run(tmp_path, plugin, potential, case("crystal"), 2, check=False)
    assert done.code != 0
    assert "at step 0 the charges have no equilibrium" in " ".join(done.text.split())


@pytest.mark.parametrize("ranks", [1, 2])
def test_files_of_n2p2_are_exported_and_run(tmp_path: Path, plugin: Path, shared: Path, ranks: int) -> None:
    """AlAuMgO_4G of n2p2 by ``--export bnnp``: the numbers of the calculator of ASE."""
    source = shared / "reference" / "4g" / "AlAuMgO_4G" / "predict"
    if not source.is_dir():
        pytest.skip("no 4G potentials of n2p2 in ../shared")
    (atoms,) = bnnp.read_data(source / "input.data")
    export("bnnp", tmp_path / "potential", source / "input.nn")
    types = tuple(dict.fromkeys(atoms.symbols))
    write_data(tmp_path / "data.lammps", atoms, types, ATOMIC.angstrom, 0.0)
    ase_atoms = to_atoms(atoms, ATOMIC)
    ase_atoms.calc = bnnp.BNNP(tmp_path / "potential", warn=False)
    words = {"units": "metal", "atom_style": "charge", "boundary": "p p p", "before": "", "plugin": plugin}
    words |= {"style": "", "options": "", "hybrid": "", "potential": tmp_path / "potential", "after": ""}
    words |= {"elements": " ".join(types), "fix": "", "columns": "", "q": "q", "steps": 0}
    done = run_lammps(tmp_path, SCRIPT.format_map(words), ranks)
    assert done.thermo["PotEng"] == pytest.approx(ase_atoms.get_potential_energy(), rel=1e-13)  # 1.5e6 eV
    forces = ase_atoms.get_forces()
    np.testing.assert_allclose(done.rows("fx", "fy", "fz"), forces, rtol=0, atol=1e-8)
    np.testing.assert_allclose(done.dump["q"], ase_atoms.get_charges(), rtol=0, atol=1e-8)
    xx = -BAR * ase_atoms.get_stress()[0]
    assert done.thermo["Pxx"] == pytest.approx(xx, rel=1e-8)
