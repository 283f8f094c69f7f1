"""bnnp convert: outputs of quantum programs, their units and runs, and what did not converge."""

from __future__ import annotations

from pathlib import Path

import ase.io
import convert
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from click.testing import CliRunner, Result

from bnnp.io.input_data import read_structures
from bnnp.structure import Structure

BOHR, HARTREE = 0.529177210903, 27.211386245988  # Angstrom and eV, CODATA 2018

ESPRESSO = """
     Program PWSCF v.6.4.1 starts on  6Aug2019 at 15:40: 7

     bravais-lattice index     =            0
     lattice parameter (alat)  =      10.0000  a.u.
     number of atoms/cell      =            2
     number of atomic types    =            1

     celldm(1)=  10.000000  celldm(2)=   0.000000  celldm(3)=   0.000000

     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )

     site n.     atom                  positions (alat units)
         1           Si  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
         2           Si  tau(   2) = (   0.4500000   0.0000000   0.0000000  )

"""
CONVERGED = """
!    total energy              =     -15.00000000 Ry

     convergence has been achieved in   9 iterations

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.01000000    0.00000000    0.00000000
     atom    2 type  1   force =    -0.01000000    0.00000000    0.00000000

     total   stress  (Ry/bohr**3)                   (kbar)     P=   14.71
   0.00020000   0.00000000   0.00000000         29.42      0.00      0.00
   0.00000000   0.00010000   0.00000000          0.00     14.71      0.00
   0.00000000   0.00000000   0.00000000          0.00      0.00      0.00

"""
FAILED = """
     total energy              =     -14.90000000 Ry

     convergence NOT achieved after 100 iterations: stopping

"""
MOVED = """
ATOMIC_POSITIONS (angstrom)
Si       0.000000000   0.000000000   0.000000000
Si       2.390000000   0.000000000   0.000000000

"""
ORCA = """
                                 *****************
                                 * O   R   C   A *
                                 *****************
Number of atoms                             .... 2
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  H      0.000000    0.000000    0.000000
  H      0.000000    0.000000    {distance}

{remark}
-------------------------   --------------------
FINAL SINGLE POINT ENERGY{energy}
-------------------------   --------------------
CARTESIAN GRADIENT
------------------

   1   H   :    0.000000000    0.000000000    0.010000000
   2   H   :    0.000000000    0.000000000   -0.010000000

                             ****ORCA TERMINATED NORMALLY****
"""
HYDROGEN = ORCA.format(distance="0.740000", remark="", energy="        -1.160000000000")
POOR = ORCA.format(distance="0.750000", remark="", energy=" (Wavefunction not fully converged!) -1.15")
WORSE = ORCA.format(
    distance="0.750000", remark="SCF NOT CONVERGED AFTER 125 CYCLES", energy="        -1.150000000000"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(convert.main, ["--overwrite", *(str(argument) for argument in arguments)])


def converted(path: Path) -> tuple[list[Structure], str]:
    """What comes of a file, and what is said."""
    result = run(path, path.parent / "out.data")
    assert result.exit_code == 0, result.output
    return list(read_structures(path.parent / "out.data")), " ".join(result.output.split())


def refused(path: Path) -> str:
    result = run(path, path.parent / "out.data")
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


class TestEspresso:
    def test_units_and_signs(self, tmp_path: Path) -> None:
        """Rydberg, Rydberg/bohr, and a pressure (positive under compression) in Rydberg/bohr^3."""
        (tmp_path / "pw.out").write_text(ESPRESSO + CONVERGED)
        ((found,), said) = converted(tmp_path / "pw.out")
        assert "left out" not in said
        rydberg = HARTREE / 2.0
        assert found.energy == pytest.approx(-15.0 * rydberg)
        assert found.positions[1, 0] == pytest.approx(4.5 * BOHR)
        assert found.forces[0, 0] == pytest.approx(0.01 * rydberg / BOHR)
        np.testing.assert_allclose(
            found.stress, np.array([-2e-4, -1e-4, 0, 0, 0, 0]) * rydberg / BOHR**3, rtol=1e-5
        )

    def test_a_step_that_did_not_converge(self, tmp_path: Path) -> None:
        (tmp_path / "pw.out").write_text(ESPRESSO + CONVERGED + MOVED + FAILED + MOVED + CONVERGED)
        found, said = converted(tmp_path / "pw.out")
        assert [one.positions[1, 0] for one in found] == pytest.approx([4.5 * BOHR, 2.39])
        assert "left out, 1 electronic iterations not converged" in said

    def test_the_last_one(self, tmp_path: Path) -> None:
        (tmp_path / "pw.out").write_text(ESPRESSO + FAILED)
        assert "none of its 1 frame can be used" in refused(tmp_path / "pw.out")

    def test_a_restart_in_the_same_file(self, tmp_path: Path) -> None:
        """Steps of both runs, each with its own energy; the number in the file stays."""
        second = CONVERGED.replace("-15.0", "-16.0")
        (tmp_path / "pw.out").write_text(ESPRESSO + CONVERGED + MOVED + second + ESPRESSO + second)
        found, _ = converted(tmp_path / "pw.out")
        assert [one.energy for one in found] == pytest.approx([-7.5 * HARTREE, -8 * HARTREE, -8 * HARTREE])
        assert found[2].info["source"] == f"{tmp_path.name}/pw.out:3"


class TestOrca:
    def test_runs_one_after_the_other(self, tmp_path: Path) -> None:
        """dE/dr = 0.01 hartree/bohr of the first atom is a force of -0.01; the unconverged are left out."""
        (tmp_path / "orca.out").write_text(HYDROGEN + POOR + WORSE + HYDROGEN.replace("-1.16", "-1.17"))
        found, said = converted(tmp_path / "orca.out")
        assert [one.energy for one in found] == pytest.approx([-1.16 * HARTREE, -1.17 * HARTREE])
        assert found[0].forces[0, 2] == pytest.approx(-0.01 * HARTREE / BOHR)
        assert [one.info["source"][-2:] for one in found] == [":1", ":4"]
        assert "orca.out (ORCA): left out, 2 electronic iterations not converged" in said

    def test_it_is_not_said_which_frame(self, tmp_path: Path) -> None:
        """A relaxation is one run of many frames."""
        steps = HYDROGEN.replace("****ORCA TERMINATED NORMALLY****", "ORCA GEOMETRY RELAXATION STEP")
        worse = WORSE.partition("* O   R   C   A *")[2]
        (tmp_path / "orca.out").write_text(steps + worse)
        said = refused(tmp_path / "orca.out")
        line = (steps + worse).splitlines().index("SCF NOT CONVERGED AFTER 125 CYCLES") + 1
        assert f"orca.out line {line}: `SCF NOT CONVERGED AFTER 125 CYCLES`: of the 2 frames" in said

    def test_an_end_says_by_content_what_a_file_is(self, tmp_path: Path) -> None:
        """For ASE every .out is of Quantum ESPRESSO, and a .log of Gaussian."""
        (tmp_path / "orca.log").write_text(HYDROGEN)
        assert len(converted(tmp_path / "orca.log")[0]) == 1

    def test_without_labels(self, tmp_path: Path) -> None:
        (tmp_path / "orca.out").write_text(HYDROGEN + POOR)
        assert run("--no-labels", tmp_path / "orca.out", tmp_path / "out.data").exit_code == 0
        assert len(list(read_structures(tmp_path / "out.data", require_labels=False))) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (" CP2K| version string:          CP2K version 2023.1", "of CP2K, which ASE does not read; give its"),
        ("Siesta Version  : v4.1.5", "of SIESTA, which ASE does not read; write its steps"),
    ],
)
def test_logs_that_ase_does_not_read(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "run.out").write_text(f"\n{line}\n")
    assert reason in refused(tmp_path / "run.out")


def test_forces_of_fixed_atoms(tmp_path: Path) -> None:
    """Of a calculator the forces are taken as they are; zeros that something else wrote are doubted."""
    atoms = Atoms("Si4", [[0, 0, 0], [2.3, 0, 0], [4.6, 0, 0], [6.9, 0, 0]])
    forces = np.array([[0.5, 0, 0], [-0.2, 0, 0], [-0.1, 0, 0], [-0.2, 0, 0]])
    atoms.set_constraint(FixAtoms([0]))
    atoms.calc = SinglePointCalculator(atoms, energy=-4.0, forces=forces)
    ase.io.write(tmp_path / "a.traj", atoms)
    ((found,), said) = converted(tmp_path / "a.traj")
    assert found.forces[0, 0] == 0.5
    assert "fixed atoms" not in said
    assert "do not say whether the electronic iterations converged" in said
    atoms.calc = SinglePointCalculator(atoms, energy=-4.0, forces=atoms.get_forces())
    ase.io.write(tmp_path / "b.traj", atoms)
    assert (
        "1 structure has atoms without any force and a net force of the others, as structure 1 (1 of 4 atoms)"
        in (converted(tmp_path / "b.traj")[1])
    )
    forces[:2] = [[0, 0, 0], [0.3, 0, 0]]  # at rest by symmetry
    atoms.calc = SinglePointCalculator(atoms, energy=-4.0, forces=forces)
    ase.io.write(tmp_path / "c.traj", atoms)
    assert "without any force" not in converted(tmp_path / "c.traj")[1]


class TestCp2k:
    @staticmethod
    def frames(steps: dict[int, float], values: list[list[float]]) -> str:
        """Lines of steps with their energies."""
        rows = "".join(
            f"  {s} {x:18.10f} {y:18.10f} {z:18.10f}\n" for s, (x, y, z) in zip("OH", values, strict=True)
        )
        return "".join(
            f"       2\n i = {step:8d}, time = {0.5 * step:12.3f}, E = {energy:20.10f}\n{rows}"
            for step, energy in steps.items()
        )

    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        """Three steps; forces of every step; a cell of 5 Angstrom."""
        steps = {0: -17.0, 1: -17.1, 2: -17.2}
        path = tmp_path / "OH-pos-1.xyz"
        path.write_text(self.frames(steps, [[0.1, 0, 0], [0.1, 0, 0.97]]))
        (tmp_path / "OH-frc-1.xyz").write_text(self.frames(steps, [[0, 0, 0.02], [0, 0, -0.02]]))
        (tmp_path / "OH.inp").write_text(
            "&FORCE_EVAL\n  &SUBSYS\n    &CELL\n      ABC 5.0 6.0 7.0\n    &END CELL\n"
        )
        return path

    def test_units(self, project: Path) -> None:
        found, said = converted(project)
        assert [one.energy for one in found] == pytest.approx(
            [-17 * HARTREE, -17.1 * HARTREE, -17.2 * HARTREE]
        )
        assert found[0].symbols == ["O", "H"]
        np.testing.assert_allclose(found[1].positions, [[0.1, 0, 0], [0.1, 0, 0.97]])
        assert found[1].forces[0, 2] == pytest.approx(0.02 * HARTREE / BOHR)
        np.testing.assert_array_equal(found[2].cell, np.diag([5.0, 6.0, 7.0]))
        assert "the files do not say whether the electronic iterations converged" in said

    def test_forces_of_every_other_step_and_a_cut(self, project: Path) -> None:
        forces = self.frames({0: -17.0, 2: -17.2}, [[0, 0, 0.02], [0, 0, -0.02]])
        project.with_name("OH-frc-1.xyz").write_text(forces)
        project.write_text(
            project.read_text() + "       2\n i =        3, time = 1.5, E = -17.3\n  O 0.1 0.0 0.0\n"
        )
        found, said = converted(project)
        assert [one.info["source"][-2:] for one in found] == [":1", ":3"]
        assert "left out, 1 without forces; 1 not complete" in said

    def test_a_cell_that_changes(self, project: Path) -> None:
        rows = [f"{step} {0.5 * step} {5 + step} 0 0 0 6 0 0 0 7 210.0\n" for step in range(3)]
        project.with_name("OH-1.cell").write_text(
            "#   Step   Time [fs]   Ax [Angstrom] ...\n" + "".join(rows)
        )
        found, _ = converted(project)
        assert [one.cell[0, 0] for one in found] == [5.0, 6.0, 7.0]

    def test_a_restart_that_prints_the_cell(self, project: Path) -> None:
        """In PROJECT-1.restart what to print stands before the cell itself."""
        text = "&MOTION\n &PRINT\n  &CELL ON\n   &EACH\n    MD 1\n   &END EACH\n  &END CELL\n &END PRINT\n"
        cell = "&SUBSYS\n &CELL\n  A 5 0 0\n  B 1 6 0\n  C 0 0 7\n  PERIODIC XY\n &END CELL\n&END SUBSYS\n"
        project.with_name("OH-1.restart").write_text(text + cell)
        found = converted(project)[0][0]
        np.testing.assert_array_equal(found.cell, [[5, 0, 0], [1, 6, 0], [0, 0, 7]])
        assert found.pbc == (True, True, False)
        project.with_name("OH-1.restart").write_text(text)
        assert "the cell is missing" in refused(project)

    @pytest.mark.parametrize(
        ("lines", "diagonal"),
        [
            ("ABC 5 6 7 ! Angstrom\n &CELL_REF\n  ABC 9 9 9\n &END CELL_REF\n PERIODIC XYZ", (5, 6, 7)),
            ("ABC [angstrom] 5.0 6.0 7.0  # cubic", (5, 6, 7)),
            ("ABC [bohr] 10 20 30", (10 * BOHR, 20 * BOHR, 30 * BOHR)),
            ("ABC 5 6 7\n MULTIPLE_UNIT_CELL 1 2 3", (5, 12, 21)),
        ],
    )
    def test_cells_as_inputs_state_them(
        self, project: Path, lines: str, diagonal: tuple[float, float, float]
    ) -> None:
        project.with_name("OH.inp").write_text(f"&SUBSYS\n &CELL\n {lines}\n &END CELL\n&END SUBSYS\n")
        np.testing.assert_allclose(converted(project)[0][0].cell, np.diag(diagonal), atol=1e-9)

    def test_cells_that_cannot_be_told(self, project: Path) -> None:
        path = project.with_name("OH.inp")
        path.write_text("&CELL\n ABC [furlong] 1 2 3\n&END CELL\n")
        assert "got `ABC [furlong] 1 2 3`" in refused(project)
        path.write_text("&MD\n ENSEMBLE NPT_I\n&END MD\n&CELL\n ABC 5 6 7\n&END CELL\n")
        assert "the cell changes (`ENSEMBLE NPT_I` in OH.inp), and OH-1.cell" in refused(project)

    def test_a_molecule(self, project: Path) -> None:
        project.with_name("OH.inp").write_text("&CELL\n ABC 9 9 9\n PERIODIC NONE\n&END CELL\n")
        assert converted(project)[0][0].cell is None

    def test_what_is_missing(self, project: Path) -> None:
        assert "is of CP2K, but not its positions" in refused(project.with_name("OH-frc-1.xyz"))
        project.with_name("OH.inp").rename(project.with_name("other.inp"))
        assert "the cell is missing: none of OH-1.cell, OH-1.restart, OH.inp" in refused(project)
        project.with_name("other.inp").rename(project.with_name("OH.inp"))
        project.with_name("OH-frc-1.xyz").unlink()
        assert "there is no OH-frc-1.xyz beside it" in refused(project)

    def test_damage(self, project: Path) -> None:
        lines = project.read_text().splitlines(keepends=True)
        lines[6] = "  O 0.1 ***** 0.0\n"
        project.write_text("".join(lines))
        assert "OH-pos-1.xyz line 5: in the step that begins here a line is no symbol" in refused(project)
