"""pair_style bnnp where a step has more energies than one: Monte Carlo, minimizers, rerun; excluded atoms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import units
from lammps_case import Run, load_potential, random_structure, run, run_lammps, write_data

from bnnp.structure import Structure

pytestmark = pytest.mark.slow  # compiles the plugin

pytest.importorskip("lammps")

TYPES = ("Te", "Ge", "Sb")  # not the order of the potential
STRUCTURE = random_structure(("Ge", "Sb", "Te"), seed=1)
CASE = Path(__file__).resolve().parents[2] / "inputs" / "lammps"


def without(structure: Structure, atoms: list[int]) -> tuple[Structure, np.ndarray]:
    kept = np.setdiff1d(np.arange(len(structure)), atoms)
    return Structure(structure.numbers[kept], structure.positions[kept], structure.cell), kept


def table(text: str, *columns: str) -> np.ndarray:
    """All lines of thermo output of the first run, (lines, columns)."""
    lines = [line.split() for line in text.splitlines()]
    starts = [number for number, words in enumerate(lines) if words[:1] == ["Step"]]
    header = lines[starts[0]]
    own = lines[starts[0] + 1 : [*starts, len(lines)][1]]
    rows = [words for words in own if len(words) == len(header) and words[0].isdigit()]
    return np.array([[float(words[header.index(name)]) for name in columns] for words in rows])


def said(done: Run) -> str:
    return " ".join(done.text.split())


# ----- excluded atoms -----

DEAD = [4, 5, 17]  # the first two are neighbors
BY_GROUP = "group dead id 5 6 18\ngroup live subtract all dead\n"
EXCLUDED = {
    "all": "neigh_modify exclude group dead all",
    "all, other order": "neigh_modify exclude group all dead",
    "in two lines": "neigh_modify exclude group dead live\nneigh_modify exclude group dead dead",
    "types": "\n".join(f"neigh_modify exclude type 4 {number}" for number in (1, 2, 3, 4)),
}


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("way", EXCLUDED)
def test_excluded_atoms_are_not_there(
    tmp_path: Path, plugin: Path, ternary: Path, way: str, ranks: int
) -> None:
    """Energy, forces, stress and sigmas are those of the structure without them."""
    rest, kept = without(STRUCTURE, DEAD)
    expected = load_potential(ternary).predict(rest)
    types, elements = (*TYPES, "X"), (*TYPES, "Te")
    after = f"{BY_GROUP}{'set group dead type 4' if way == 'types' else ''}\n{EXCLUDED[way]}"
    done = run(tmp_path, plugin, ternary, STRUCTURE, types, ranks, elements=elements, after=after)
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
    assert done.thermo["c_sum"] == pytest.approx(expected.energy.value, rel=1e-13)
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-10)
    assert done.thermo["c_sigma[2]"] == pytest.approx(expected.energy.std / len(rest), rel=1e-10)
    forces = done.rows("fx", "fy", "fz")
    np.testing.assert_allclose(forces[kept], expected.forces.value, rtol=0, atol=1e-10)
    assert (forces[DEAD] == 0.0).all()
    sigma = done.rows("f_sigma[1]", "f_sigma[2]", "f_sigma[3]", "f_sigma[4]")
    np.testing.assert_allclose(sigma[kept, :3], expected.forces.std, rtol=1e-9, atol=1e-12)
    assert (sigma[DEAD] == 0.0).all()
    pressure = [done.thermo[name] for name in ("Pxx", "Pyy", "Pzz", "Pyz", "Pxz", "Pxy")]
    np.testing.assert_allclose(-np.array(pressure) / 1.6021765e6, expected.stress.value, rtol=2e-7)
    assert "neigh_modify exclude" not in said(done)


@pytest.mark.parametrize("ranks", [1, 2])
def test_parts_that_do_not_see_each_other(tmp_path: Path, plugin: Path, ternary: Path, ranks: int) -> None:
    """Two groups that are excluded from each other, but not from themselves, are two systems."""
    first = list(range(0, 24, 2))
    half, _ = without(STRUCTURE, first)
    other, _ = without(STRUCTURE, [atom for atom in range(24) if atom not in first])
    potential = load_potential(ternary)
    expected = potential.predict(half).energy.value + potential.predict(other).energy.value
    after = "group one id 1:23:2\ngroup two subtract all one\nneigh_modify exclude group one two"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, ranks, after=after)
    assert done.thermo["PotEng"] == pytest.approx(expected, rel=1e-13)
    assert "neigh_modify exclude" not in said(done)


@pytest.mark.parametrize("command", ["exclude group dead dead", "exclude type 1 1", "exclude type 1 2"])
def test_environments_with_holes_have_a_warning(
    tmp_path: Path, plugin: Path, ternary: Path, command: str
) -> None:
    after = f"{BY_GROUP}neigh_modify {command}"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, 2, after=after)
    assert said(done).count("WARNING: neigh_modify exclude takes out pairs of atoms") == 1


def far_apart(cell: float = 40.0) -> Structure:
    """A cluster, and an atom that has no neighbor."""
    cluster = random_structure(("Ge", "Sb", "Te"), seed=3, n=6, periodic=False)
    positions = np.vstack([cluster.positions, [0.7 * cell] * 3])
    return Structure(np.append(cluster.numbers, 51), positions, np.eye(3) * cell)


def test_an_isolated_atom_has_its_energy(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """With exclusions of others, and by itself."""
    structure = far_apart()
    for dead, command in (([], ""), ([0], "group dead id 1\nneigh_modify exclude group dead all")):
        rest, _ = without(structure, dead)
        expected = load_potential(ternary).predict(rest)
        done = run(tmp_path, plugin, ternary, structure, TYPES, 2, after=command)
        assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-13)
        assert abs(expected.atoms.value[-1]) > 1e-3


# ----- Monte Carlo -----

IDEAL_GAS = """\
units metal
atom_style atomic
atom_modify map array
read_data data.lammps
plugin load {plugin}
pair_style bnnp showewsum 0
pair_coeff * * {potential} Cu
neigh_modify delay 0 every 1 check yes
compute_modify thermo_temp dynamic/dof yes
{fix}
thermo 1
thermo_style custom step atoms pe f_mc[1]
run {steps}
"""
MASS = 50.0  # of write_data


def isolated_energy() -> float:
    atom = Structure(np.array([29]), np.zeros((1, 3)))
    return float(load_potential(CASE / "potential").predict(atom).energy.value)


def ideal_gas(directory: Path, plugin: Path, fix: str, steps: int, cell: float) -> Run:
    """Some copper atoms in a large box."""
    positions = np.array([[0.1, 0.2, 0.3], [0.7, 0.8, 0.4]]) * cell
    structure = Structure(np.full(2, 29), positions, np.eye(3) * cell)
    write_data(directory / "data.lammps", structure, ("Cu",))
    words = {"plugin": plugin, "potential": CASE / "potential", "fix": fix, "steps": steps}
    return run_lammps(directory, IDEAL_GAS.format(**words))


def test_fix_gcmc_has_the_number_of_an_ideal_gas(tmp_path: Path, plugin: Path) -> None:
    """<N> = z V exp(-beta E_iso): z V = 20, beta E_iso = 2, so 2.71; 7.36 if deletions did not gain E_iso.

    D. Frenkel, B. Smit, Understanding Molecular Simulation (2002), section 5.6: z = exp(beta mu) / Lambda^3.
    """
    cell = 150.0
    energy = isolated_energy()
    assert energy > 0.1
    thermal = energy / 2.0  # kT, eV
    temperature = thermal / units.kB
    # Lambda = h / sqrt(2 pi m kT) in Angstrom; h = 2 pi hbar in eV s, m in eV s^2/Angstrom^2
    mass = MASS * units._amu / units._e * 1e-20
    wavelength = 2.0 * np.pi * units._hbar / units._e / np.sqrt(2.0 * np.pi * mass * thermal)
    mu = thermal * np.log(20.0 / cell**3 * wavelength**3)
    fix = f"fix mc all gcmc 1 50 0 1 4711 {temperature} {mu} 0.5"
    done = ideal_gas(tmp_path, plugin, fix, 600, cell)
    atoms, energies = table(done.text, "Atoms", "PotEng")[50:].T
    blocks = atoms[: len(atoms) // 10 * 10].reshape(10, -1).mean(axis=1)
    error = blocks.std(ddof=1) / np.sqrt(10)
    assert error < 0.25
    assert abs(atoms.mean() - 20.0 * np.exp(-2.0)) < 4.0 * error
    np.testing.assert_allclose(energies, atoms * energy, atol=0.3 * energy)  # hardly any neighbors


def test_fix_widom_gives_the_energy_of_an_atom(tmp_path: Path, plugin: Path) -> None:
    """The excess chemical potential of an ideal gas is E_iso; some of the insertions meet an atom."""
    temperature = isolated_energy() / 2.0 / units.kB
    done = ideal_gas(tmp_path, plugin, f"fix mc all widom 1 200 1 4711 {temperature} full_energy", 20, 150.0)
    potentials = table(done.text, "f_mc[1]")[1:, 0]
    assert potentials.mean() == pytest.approx(isolated_energy(), rel=2e-3)


def test_trials_that_overlap_are_rejected(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """Insertions into a dense system: most are closer than bond_threshold. The run goes on, and its state is
    one without a close pair, whose energy is that of the Python potential."""
    potential = tmp_path / "potential"
    potential.mkdir()
    for file in ternary.iterdir():
        (potential / file.name).write_text(file.read_text())
    with open(potential / "input.nn", "a") as file:
        file.write("bond_threshold 2.0\n")
    after = (
        "dump_modify all format float %.17g\nthermo 1\n"
        "fix mc all gcmc 1 40 0 3 4711 500.0 -1.0 0.5 full_energy group all\n"
        "dump more all custom 5 more.out id type x y z\ndump_modify more sort id format float %.17g\nrun 5"
    )
    done = run(tmp_path, plugin, potential, STRUCTURE, TYPES, 2, after=after)
    text = (tmp_path / "more.out").read_text().split("ITEM: ATOMS id type x y z\n")[-1]
    rows = np.array([line.split() for line in text.splitlines()], dtype=np.float64)
    numbers = np.array([52, 32, 51])[rows[:, 1].astype(int) - 1]
    final = Structure(numbers, rows[:, 2:], STRUCTURE.cell)
    expected = load_potential(potential).predict(final)
    assert done.thermo["PotEng"] == pytest.approx(expected.energy.value, rel=1e-12)
    assert done.thermo["c_sigma[1]"] == pytest.approx(expected.energy.std, rel=1e-9)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_state_that_overlaps_ends_the_run(tmp_path: Path, plugin: Path, ternary: Path, ranks: int) -> None:
    """Atom 1 is moved towards atom 2, 2.9 Angstrom away; bond_threshold is 0.26 Angstrom."""
    toward = STRUCTURE.positions[1] - STRUCTURE.positions[0]
    velocity = " ".join(map(str, toward / 0.010))  # there in 10 steps
    after = f"group one id 1\nfix one one move linear {velocity}\ntimestep 0.001\nthermo 1\nrun 10"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, ranks, after=after, check=False)
    assert done.code != 0
    assert re.search(
        r"at step 10 atoms [12] and [12] are \S+ Angstrom apart, less than bond_threshold", said(done)
    )
    assert max(table(done.text, "Step")[:, 0]) == 9


SWAP = (
    "thermo 1\nfix mc all atom/swap 1 10 4711 {} ke no types 1 2\n"
    "thermo_style custom step pe c_sigma[*] f_mc[*]\nrun 8"
)


@pytest.mark.parametrize("ranks", [1, 2])
def test_stop_rule_looks_at_states_only(tmp_path: Path, plugin: Path, ternary: Path, ranks: int) -> None:
    """At 1 K all swaps that cost energy are rejected; some of them have more sigma than any state."""
    options = "showewsum 0 showew yes"
    after = SWAP.format(1.0)
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, ranks, options=options, after=after)
    states = table(done.text, "c_sigma[2]", "c_sigma[4]", "c_sigma[5]", "f_mc[1]", "f_mc[2]")
    assert states[-1, 3] == 80
    assert 0 < states[-1, 4] < 70
    np.testing.assert_array_equal(np.cumsum(states[:, 1]), states[:, 2])  # counted once a step
    lines = done.text.count("### NNP EXTRAPOLATION WARNING ###")
    assert lines == states[-1, 2] + states[-1, 1]  # `run 0` follows
    limit = states[:, 0].max() * 1.0001
    every_energy = f"showewsum 0 maxsigma {limit} maxew {int(states[-1, 2])}"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, ranks, options=every_energy, after=after)
    assert "The run ends here" not in done.text
    np.testing.assert_array_equal(table(done.text, "c_sigma[2]")[:, 0], states[:, 0])


def test_patience_counts_steps(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """All states and trials are above: the third look in a row is that of step 2, however many trials."""
    options = "showewsum 0 maxsigma 1e-9 patience 3"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, options=options, after=SWAP.format(1.0))
    assert "bnnp at step 2: sigma of the energy per atom is" in done.text


# ----- minimizers and rerun -----


@pytest.mark.parametrize("style", ["cg", "sd", "fire", "quickmin"])
def test_minimizers_count_steps(tmp_path: Path, plugin: Path, ternary: Path, style: str) -> None:
    """A step of cg has a line search of several energies."""
    after = f"thermo 1\nmin_style {style}\nmin_modify dmax 0.8\ntimestep 0.001\nminimize 0 0 6 100"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, 2, after=after)
    energies, now, all_ = table(done.text, "PotEng", "c_sigma[4]", "c_sigma[5]").T
    assert len(energies) > 3
    assert energies[-1] < energies[0]
    np.testing.assert_array_equal(np.cumsum(now), all_)


def test_a_line_search_may_meet_atoms(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    """A first trial of 1.5 Angstrom along the force makes some atoms overlap: it is a bad one, no mistake."""
    potential = tmp_path / "potential"
    potential.mkdir()
    for file in ternary.iterdir():
        (potential / file.name).write_text(file.read_text())
    with open(potential / "input.nn", "a") as file:
        file.write("bond_threshold 2.1\n")
    after = "thermo 1\nmin_modify dmax 1.5 line backtrack\nminimize 0 0 20 400"
    done = run(tmp_path, plugin, potential, STRUCTURE, TYPES, after=after)
    energies = table(done.text, "PotEng")[:, 0]
    assert energies[-1] < energies[0]
    assert np.diff(energies).max() < 1e-9


def test_maxsigma_ends_a_minimization(tmp_path: Path, plugin: Path, ternary: Path) -> None:
    options = "showewsum 0 maxsigma 1e-9 patience 3"
    after = "thermo 1\nminimize 0 0 20 400\nprint 'the script goes on'"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, options=options, after=after)
    assert "bnnp at step 2: sigma of the energy per atom is" in done.text
    assert done.text.count("The run ends here") == 1
    assert "the script goes on" in done.text
    assert table(done.text, "Step")[:, 0].max() <= 3


@pytest.mark.parametrize("action", ["stop", "warn"])
def test_rerun(tmp_path: Path, plugin: Path, ternary: Path, action: str) -> None:
    """Energies and sigmas of each frame; a limit is reported, and with `stop` once."""
    frames = [random_structure(("Ge", "Sb", "Te"), seed=1)]
    frames.append(
        Structure(frames[0].numbers, frames[0].positions + 0.01 * STRUCTURE.positions[::-1], frames[0].cell)
    )
    frames.append(STRUCTURE)
    (ax, _, _), (bx, by, _), (cx, cy, cz) = STRUCTURE.cell.tolist()
    text = ""
    for step, frame in enumerate(frames):
        low, high = min(0.0, bx, cx, bx + cx), max(0.0, bx, cx, bx + cx)
        text += (
            f"ITEM: TIMESTEP\n{step * 10}\nITEM: NUMBER OF ATOMS\n24\nITEM: BOX BOUNDS xy xz yz pp pp pp\n"
        )
        text += f"{low} {ax + high} {bx}\n{min(0.0, cy)} {by + max(0.0, cy)} {cx}\n0.0 {cz} {cy}\n"
        text += "ITEM: ATOMS id x y z\n"
        rows = enumerate(frame.positions.tolist(), start=1)
        text += "".join(f"{number} {' '.join(map(repr, row))}\n" for number, row in rows)
    (tmp_path / "frames.dump").write_text(text)
    options = f"showewsum 0 maxsigma 1e-9 action {action}"
    after = "thermo 1\nrerun frames.dump dump x y z box yes format native"
    done = run(tmp_path, plugin, ternary, STRUCTURE, TYPES, options=options, after=after)
    energies, sigmas, now, all_ = table(done.text, "PotEng", "c_sigma[1]", "c_sigma[4]", "c_sigma[5]").T
    expected = [load_potential(ternary).predict(frame).energy for frame in frames]
    np.testing.assert_allclose(energies, [found.value for found in expected], rtol=1e-12)
    np.testing.assert_allclose(sigmas, [found.std for found in expected], rtol=1e-8)
    np.testing.assert_array_equal(np.cumsum(now), all_)
    assert said(done).count("The run ends here") == (action == "stop")
    assert said(done).count("WARNING: bnnp at step") == (4 if action == "warn" else 0)  # `run 0` follows
