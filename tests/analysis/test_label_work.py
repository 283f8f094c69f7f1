"""Contradictions of energies, forces and stresses along a run: found with their reason, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones

from bnnp.analysis.label_work import LabelWork, WorkTable, work_doubts
from bnnp.io.ase_atoms import from_atoms
from bnnp.structure import Structure
from bnnp.units import ATOMIC, METAL, Units

HARTREE, BOHR = 27.21138602, 0.52917721067  # eV, Angstrom, CODATA 2014
MOL_KCAL = 23.060548  # kcal/mol in one eV


def crystal(frames: int = 50, seed: int = 1, units: Units = METAL, group: str = "") -> list[Structure]:
    """Eight atoms in a harmonic potential E = 1/2 x K x, by the leapfrog scheme, 3 % of a period a step."""
    rng = np.random.default_rng(seed)
    random = rng.normal(size=(24, 24))
    constants = 0.5 * np.eye(24) + random @ random.T / 24.0  # eV/Angstrom^2
    sites = 3.0 * np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    x, v = rng.normal(scale=0.2, size=(2, 24))
    found = []
    for _ in range(frames):
        force = -constants @ x
        found.append(
            Structure(
                numbers=np.full(8, 14),
                positions=(sites + x.reshape(8, 3)) / units.angstrom,
                cell=6.0 * np.eye(3) / units.angstrom,
                energy=(0.5 * x @ constants @ x - 40.0) / units.ev,
                forces=force.reshape(8, 3) * (units.angstrom / units.ev),
                info={"group": group} if group else {},
            )
        )
        v = v + 0.1 * force
        x = x + 0.1 * v
    return found


def strained(strains: list[np.ndarray], rattle: float = 0.0) -> list[Structure]:
    """Copper by Lennard-Jones under strains (3, 3), with its stress; atoms drift to and fro by `rattle`."""
    crystal = bulk("Cu", "fcc", 3.61, cubic=True)
    away = np.random.default_rng(2).normal(size=(4, 3))
    found = []
    for number, strain in enumerate(strains):
        atoms = crystal.copy()
        atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
        atoms.positions += rattle * np.sin(0.3 * number) * away
        atoms.calc = LennardJones(sigma=2.3, epsilon=0.4, rc=6.0, smooth=True)
        atoms.get_stress()
        found.append(from_atoms(atoms, METAL))
    return found


def table(found: list[Structure]) -> WorkTable:
    work = LabelWork()
    for number, structure in enumerate(found):
        work.count(structure, number)
    return work.table()


def doubts(found: list[Structure], units: Units = METAL) -> list[str]:
    return list(work_doubts(table(found), units, lambda index: f"structure {index + 1}"))


class TestByHand:
    def test_an_atom_that_leaves_the_cell(self) -> None:
        """From x = 4.9 to 0.1 of a cell of 5 are 0.2; with forces of 2 and 4, E falls by 0.6."""
        cell = 5.0 * np.eye(3)
        frames = [
            Structure(
                np.array([18]), np.array([[x, 0.0, 0.0]]), cell, energy=e, forces=np.array([[f, 1, 7.0]])
            )
            for x, e, f in ((4.9, 1.0, 2.0), (0.1, 0.4, 4.0))
        ]
        steps = table(frames)
        np.testing.assert_allclose([steps.energy[0], steps.forces()[0]], [-0.6, -0.6], atol=1e-12)

    def test_the_image_in_a_primitive_cell(self) -> None:
        """Half of bcc iron's diagonal, -1.43 along x and 1.43 along y and z, is a lattice vector."""
        cell = 1.43 * np.array([[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]])
        here = np.array([[0.0, 0.0, 0.1]])
        frames = [
            Structure(np.array([26]), here + shift, cell, energy=0.0, forces=np.array([[1.0, 2.0, 4.0]]))
            for shift in (np.zeros(3), cell[0] + [0.0, 0.0, 0.1])
        ]
        assert table(frames).forces()[0] == pytest.approx(-0.4)

    def test_a_slab_is_no_crystal(self) -> None:
        """Along a vector that is not repeated, 4.9 to 0.1 is another structure."""
        frames = [
            Structure(
                np.array([18]),
                np.array([[0.0, 0.0, z]]),
                5.0 * np.eye(3),
                pbc=(True, True, False),
                energy=0.0,
                forces=np.ones((1, 3)),
            )
            for z in (4.9, 0.1)
        ]
        assert len(table(frames).frame) == 0

    def test_another_total_charge_is_another_run(self) -> None:
        frames = crystal(4)
        assert len(table(frames).frame) == 3
        ions = [replace(each, charge=float(n == 2)) for n, each in enumerate(frames)]
        assert table(ions).frame.tolist() == table(frames).frame[:1].tolist()

    def test_expansion_under_pressure(self) -> None:
        """A cube from 5 to 5.05, stress -0.02 and -0.01: 1/2 (125 -0.02 0.03 + 5.05^3 -0.01 0.15 / 5.05)."""
        frames = [
            Structure(
                np.array([18]),
                np.array([[0.2 * side, 0.0, 0.0]]),
                side * np.eye(3),
                energy=0.0,
                forces=np.array([[3.0, 2.0, 1.0]]),
                stress=np.array([sigma, sigma, sigma, 0.5, 0.5, 0.5]),
            )
            for side, sigma in ((5.0, -0.02), (5.05, -0.01))
        ]
        steps = table(frames)
        expected = 0.5 * (125.0 * -0.02 * 0.03 + 5.05**3 * -0.01 * 0.15 / 5.05)
        np.testing.assert_allclose([steps.forces()[0], steps.stress[0]], [0.0, expected], atol=1e-12)


class TestRight:
    @pytest.mark.parametrize("units", [METAL, ATOMIC], ids=lambda units: units.name)
    def test_a_run(self, units: Units) -> None:
        assert doubts(crystal(units=units), units) == []

    def test_the_same_in_free_space_and_wrapped(self) -> None:
        run = crystal()
        assert doubts([replace(one, cell=None) for one in run]) == []
        assert len(table([replace(one, cell=None) for one in run]).frame) == 49
        wrapped = [replace(one, positions=(one.positions - 2.9) % 6.0) for one in run]
        np.testing.assert_allclose(table(wrapped).forces(), table(run).forces(), atol=1e-12)

    def test_frames_in_any_order(self) -> None:
        run = crystal()
        order = np.random.default_rng(3).permutation(len(run))
        assert doubts([run[index] for index in order]) == []

    def test_short_runs_and_other_structures(self) -> None:
        """Wrong forces, but only a few steps, or none at all."""
        wrong = [replace(one, forces=-np.array(one.forces)) for one in crystal()]
        assert doubts(wrong[:6]) == []
        assert len(doubts(wrong[:8])) == 1
        assert doubts([replace(one, info={"group": str(k)}) for k, one in enumerate(wrong)]) == []

    def test_cells_that_change(self) -> None:
        """Strains to and fro, with and without moving atoms, and without the stress that would be needed."""
        shape = np.array([[0.02, 0.01, 0.0], [0.0, -0.03, 0.0], [0.0, 0.0, 0.04]])
        strains = [np.sin(0.2 * number) * shape for number in range(25)]
        for rattle in (0.0, 0.1):
            run = strained(strains, rattle)
            assert doubts(run) == []
            steps = table(run)
            assert len(steps.frame) == 24
            error = np.abs(steps.forces() + steps.stress - steps.energy)
            assert error.max() < 0.02 * np.abs(steps.energy).max()  # of third order in the step
            assert len(table([replace(one, stress=None) for one in run]).frame) == 0

    def test_a_relaxation_of_noise(self) -> None:
        """Energies of the size of the electronic convergence, after one step that is too long."""
        rng = np.random.default_rng(4)
        run = [replace(one, energy=1e-4 * rng.normal()) for one in crystal()]
        forces = [1e-3 * np.array(one.forces) for one in run]
        assert doubts([replace(one, forces=force) for one, force in zip(run, forces, strict=True)]) == []


class TestWrong:
    @pytest.mark.parametrize(
        ("energy", "force", "factor", "reason"),
        [
            (1.0, -1.0, "-1", "the forces with the other sign would fit"),
            (1.0 / HARTREE, 1.0, "0.0367", "energies in hartree"),
            (2.0 / HARTREE, 1.0, "0.0735", "energies in Rydberg"),
            (MOL_KCAL, 1.0, "23.1", "energies in kcal/mol"),
            (1.0, BOHR / HARTREE, "51.4", "forces in hartree/bohr"),
            (1.0, BOHR, "1.89", "forces in eV/bohr"),
            (1.0, MOL_KCAL, "0.0434", "forces in kcal/mol/Angstrom"),
            (1.0 / HARTREE, BOHR / HARTREE, "1.89", "energies and forces in hartree and hartree/bohr"),
            (1.0, -BOHR / HARTREE, "-51.4", "the forces with the other sign, and forces in hartree/bohr"),
            (0.125, 1.0, "0.125", "energies in eV/atom"),
            (1.0, 7.0, "0.1", "no unit that bnnp knows"),
        ],
    )
    def test_sign_or_unit(self, energy: float, force: float, factor: str, reason: str) -> None:
        wrong = [
            replace(one, energy=energy * (one.energy or 0.0), forces=force * np.array(one.forces))
            for one in crystal()
        ]
        (doubt,) = doubts(wrong)
        assert doubt.startswith(
            "energies and forces contradict each other from structure 1 to structure 50: "
        )
        assert f"by {factor} times the work" in doubt
        assert reason in doubt

    def test_electronvolt_in_a_file_in_hartree(self) -> None:
        wrong = [replace(one, energy=HARTREE * (one.energy or 0.0)) for one in crystal(units=ATOMIC)]
        (doubt,) = doubts(wrong, ATOMIC)
        assert "changes by 27.2 times" in doubt
        assert "energies in eV" in doubt

    def test_groups_in_two_units(self) -> None:
        cold = [replace(one, energy=(one.energy or 0.0) / HARTREE) for one in crystal(seed=5, group="cold")]
        (doubt,) = doubts([*crystal(group="hot"), *cold])
        assert doubt.startswith(
            "energies and forces contradict each other from structure 51 to structure 100: "
        )
        assert "energies in hartree would fit" in doubt

    def test_another_unit_from_the_middle_on(self) -> None:
        run = crystal(80)
        tail = [replace(one, forces=np.array(one.forces) * (BOHR / HARTREE)) for one in run[40:]]
        (doubt,) = doubts([*run[:40], *tail])
        first = int(doubt.split("structure ")[1].split()[0])
        assert 20 <= first <= 60  # known to a piece
        assert "to structure 80: between frames the energy changes by 51.4 times" in doubt

    @pytest.mark.parametrize(
        ("energy", "force", "reason"),
        [
            (0, -1, "the forces are those of the frame before"),
            (0, 1, "the forces are those of the frame after"),
            (-1, 0, "the energies are those of the frame before"),
            (1, 0, "the energies are those of the frame after"),
            (-1, -1, "energies and forces are those of the frame before"),
            (1, 1, "energies and forces are those of the frame after"),
        ],
    )
    def test_labels_of_another_frame(self, energy: int, force: int, reason: str) -> None:
        run = crystal()
        moved = [
            replace(run[k], energy=run[k + energy].energy, forces=run[k + force].forces) for k in range(1, 49)
        ]
        (doubt,) = doubts(moved)
        assert doubt.endswith(reason)
        assert "from structure 1 to structure 48: " in doubt

    def test_kinetic_energy_in_the_energy(self) -> None:
        """Kinetic and potential energy together stay, but for the errors of the integrator."""
        rng = np.random.default_rng(6)
        (doubt,) = doubts([replace(one, energy=-40.0 + 1e-3 * rng.normal()) for one in crystal()])
        assert "is the kinetic energy in the energy?" in doubt

    @pytest.mark.parametrize(
        ("factor", "shown", "reason"),
        [
            (-1.0, "-1", "the stress with the other sign would fit"),
            (160.21766, "0.00624", "stresses in GPa would fit"),
            (-1602.1766, "-0.000624", "the stress with the other sign, and stresses in kB would fit"),
        ],
    )
    @pytest.mark.parametrize("rattle", [0.0, 0.1])
    def test_stress(self, factor: float, shown: str, reason: str, rattle: float) -> None:
        strains = [np.sin(0.2 * number) * np.diag([0.03, 0.02, 0.04]) for number in range(25)]
        wrong = [replace(one, stress=factor * np.array(one.stress)) for one in strained(strains, rattle)]
        (doubt,) = doubts(wrong)
        assert f"the energy changes by {shown} times the work of the stress; {reason}" in doubt


def test_shares_of_ranks() -> None:
    """Tables of neighboring shares, each begun three structures earlier, are that of all."""
    run = [*crystal(9), *crystal(8, seed=7)]
    whole = table(run)
    for first in range(len(run) + 1):
        shares = []
        for start, stop in ((0, first), (first, len(run)), (len(run), len(run))):
            work = LabelWork()
            for number in range(max(start - 3, 0), stop):
                work.count(run[number], number)
            shares.append(work.table(start - 2))
        joined = WorkTable.joined(shares)
        for name, column in vars(whole).items():
            np.testing.assert_array_equal(getattr(joined, name), column, err_msg=f"{name}, {first}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gete/gete_900K", "mlearn/Si_train", "nbmotaw/Mo_aimd", "3bpa/train_300K", "gst/GeTe_1200K"]
)
def test_no_doubt_about_real_data(shared: Path, name: str) -> None:
    """DFT data: consecutive frames, every n-th, and single structures."""
    frames: list[Atoms] = list(ase.io.iread(shared / "data" / f"{name}.extxyz.gz", slice(0, 300)))
    assert doubts([from_atoms(atoms, METAL) for atoms in frames]) == []
