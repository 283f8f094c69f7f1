"""bnnp vasp on other layouts, on damaged files, and on runs that are not what they seem."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import convert as convert_tool
import h5py
import numpy as np
import pytest
import vasp2data
from click.testing import CliRunner, Result
from vasp import window

from bnnp.io.input_data import read_structures
from bnnp.structure import Structure

RULE = " " + "-" * 83
RESPONSE = """  <scstep>
   <energy>
    <i name="e_fr_energy">   -99.00000000 </i>
   </energy>
  </scstep>
"""
BOTH = ["OUTCAR", "vasprun.xml"]


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(vasp2data.main, [str(argument) for argument in arguments])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "input.data"


def text_of(run: Any, name: str) -> str:
    return run.outcar() if name == "OUTCAR" else run.vasprun()


def converted(text: str, path: Path, output: Path, *options: object) -> list[Structure]:
    path.write_bytes(text.encode())
    result = convert("--overwrite", *options, path, output)
    assert result.exit_code == 0, result.output
    return list(read_structures(output))


def refused(text: str, path: Path, output: Path) -> str:
    path.write_text(text)
    result = convert("--overwrite", path, output)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    return result.stderr


def old_order(text: str) -> str:
    """OUTCAR as VASP 4.6 to 5.2 write it: the energies before stress, cell and forces."""
    *steps, end = text.split("     LOOP+")
    for number, step in enumerate(steps):
        labels, energies = step.index("  Direction"), step.index("  FREE ENERGIE")
        steps[number] = step[:labels] + step[energies:] + step[labels:energies]
    return "     LOOP+".join([*steps, end])


class TestLayouts:
    def test_energies_before_the_forces(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Each step keeps its own energy, forces, cell and stress."""
        text = old_order(run.outcar())
        assert text.index("FREE ENERGIE") < text.index("in kB") < text.index("TOTAL-FORCE")
        plain = converted(run.outcar(), tmp_path / "OUTCAR", output)
        found = converted(text, tmp_path / "OUTCAR", output)
        assert [s.energy for s in found] == pytest.approx([step.energy for step in run.steps])
        for one, other in zip(found, plain, strict=True):
            assert one.energy == other.energy
            for name in ("positions", "forces", "cell", "stress"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

    def test_old_order_without_some_forces(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = old_order(replace(run, nwrite=0).outcar())
        found = converted(text, tmp_path / "OUTCAR", output)
        assert [s.energy for s in found] == [run.steps[0].energy, run.steps[3].energy]
        np.testing.assert_allclose(found[1].forces, run.steps[3].forces)

    def test_stress_of_two_decimals(self, run: Any, tmp_path: Path, output: Path) -> None:
        """VASP 4.6."""
        text = re.sub(
            r"  in kB .*", "  in kB    1000.00-20000.00     30.00     40.00     50.00-60000.00", run.outcar()
        )
        (stress, *_) = (s.stress for s in converted(text, tmp_path / "OUTCAR", output))
        kilobar = 6.241509074e-4  # eV/Angstrom^3
        np.testing.assert_allclose(
            stress / -kilobar, [1000.0, -20000.0, 30.0, 50.0, -60000.0, 40.0], rtol=1e-6
        )

    @pytest.mark.parametrize("name", [*BOTH, "ML_AB"])
    def test_windows_line_ends(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        text = run.ml_ab() if name == "ML_AB" else text_of(run, name)
        found = converted(text.replace("\n", "\r\n"), tmp_path / name, output)
        np.testing.assert_allclose(found[3].forces, run.steps[3].forces)

    @pytest.mark.parametrize(
        ("line", "counts"),
        [
            ("10241024", (1024, 1024)),
            ("****1000", (10000, 1000)),
            ("   8****", (8, 12000)),
            ("****", (10001,)),
        ],
    )
    def test_numbers_of_atoms_that_touch(
        self, run: Any, tmp_path: Path, output: Path, line: str, counts: tuple[int, ...]
    ) -> None:
        """The field of a species has four digits."""
        species = tuple(zip(("Ge", "Te"), counts, strict=False))
        n_atoms = sum(counts)
        step = replace(
            run.steps[0], positions=np.arange(3.0 * n_atoms).reshape(-1, 3), forces=np.ones((n_atoms, 3))
        )
        text = replace(run, species=species, steps=(step,)).outcar()
        text = re.sub(r"(ions per type = {12}).*", rf"\g<1>{line}", text)
        (found,) = converted(text, tmp_path / "OUTCAR", output)
        assert [found.symbols.count(symbol) for symbol, _ in species] == list(counts)

    def test_number_of_atoms_beyond_its_column(self, run: Any, tmp_path: Path, output: Path) -> None:
        """10000 atoms of a type and more: the list of atoms counts."""
        text = run.vasprun().replace("<c>   2</c><c>H </c>", "<c>****</c><c>H </c>")
        assert converted(text, tmp_path / "vasprun.xml", output)[0].symbols == ["O", "H", "H"]

    def test_numbers_of_atoms_that_cannot_be_told(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = re.sub(r"(ions per type = {12}).*", r"\g<1>********", run.outcar())
        assert "`ions per type` is **** ****, which cannot be 3 atoms" in refused(
            text, tmp_path / "OUTCAR", output
        )

    def test_more_steps_than_the_column_has_digits(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = re.sub(r"Iteration +[234]\(", "Iteration ****(", run.outcar())
        assert len(converted(text, tmp_path / "OUTCAR", output)) == 4


class TestStreaming:
    """Numbers do not depend on the pieces in which a file is read, nor on the length of a step."""

    @pytest.mark.parametrize("size", [1, 7, 100, 5000])
    @pytest.mark.parametrize("name", [*BOTH, "ML_AB"])
    def test_pieces(
        self, run: Any, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, name: str, size: int
    ) -> None:
        text = run.ml_ab() if name == "ML_AB" else text_of(run, name)
        if name == "OUTCAR":  # eigenvalues
            text = text.replace("  Direction", "    1      -17.2000      2.00000\n" * 200 + "  Direction")
        text = text.replace("\n", "\r\n")
        whole = converted(text, tmp_path / name, output)
        monkeypatch.setattr(window, "CHUNK", size)
        monkeypatch.setattr(window, "SECTION", 1500)
        monkeypatch.setattr(window, "LIMIT", 3 * size)
        for one, other in zip(converted(text, tmp_path / name, output), whole, strict=True):
            assert one.energy == other.energy
            for array in ("positions", "forces", "cell", "stress"):
                np.testing.assert_array_equal(getattr(one, array), getattr(other, array))

    def test_tables_and_predictions_are_not_held(
        self, run: Any, tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Densities of states in each step, and many predictions between two steps, of vasprun.xml."""
        monkeypatch.setattr(window, "CHUNK", 1000)
        monkeypatch.setattr(window, "LIMIT", 20_000)
        held = []
        monkeypatch.setattr(window.Window, "take", watched(window.Window.take, held))
        text = run.change(2, predicted=True).vasprun()
        table = "  <dos>\n" + "   <r>   -1.0000     0.0000     0.0000 </r>\n" * 5000 + "  </dos>\n"
        text = text.replace("  <dos>\n  </dos>\n", table)
        end = text.rindex(" <calculation>")
        prediction = text[text.rindex("  <structure>", 0, end) : end]
        text = text.replace(prediction, prediction * 50)
        (tmp_path / "vasprun.xml").write_text(text)
        result = convert(tmp_path / "vasprun.xml", output)
        assert "3 structures of 53 steps (left out: 50 prediction" in result.output
        assert len(text) > 600_000
        assert max(held) < 50_000


def watched(take: Any, sizes: list[int]) -> Any:
    """The method `take` of a window, which notes how much is held before."""

    def noting(self: window.Window, size: int) -> bytes:
        sizes.append(len(self.held()))
        return take(self, size)

    return noting


class TestOtherLoops:
    """Linear response: electronic iterations, with energies, after the forces."""

    def test_outcar(self, run: Any, tmp_path: Path, output: Path) -> None:
        """They stand before the energies of the step, and are more than NELM."""
        response = "".join(
            f"--------------------------------------- Iteration      2({m:4d})  ----------\n"
            "  free energy    TOTEN  =        55.00000000 eV\n"
            "------------------------ aborting loop EDIFF was not reached (unconverged) -----\n"
            "  in kB       9.00000     9.00000     9.00000     9.00000     9.00000     9.00000\n"
            for m in [*range(1, 13), *range(1, 4)]
        )
        start, middle, end = run.outcar().partition(f"{run.steps[1].forces[2, 2]:14.6f}\n")
        at = end.index("  FREE ENERGIE")
        found = converted(start + middle + end[:at] + response + end[at:], tmp_path / "OUTCAR", output)
        assert [s.energy for s in found] == pytest.approx([step.energy for step in run.steps])
        assert abs(found[1].stress[0] / 6.241509074e-4) == pytest.approx(
            abs(run.steps[1].kilobar[0]), rel=1e-6
        )

    def test_vasprun(self, run: Any, tmp_path: Path, output: Path) -> None:
        """The energy of the step is the one outside of <scstep>, wherever it stands."""
        text = run.vasprun().replace("  <energy>\n   <i", RESPONSE * 20 + "  <energy>\n   <i")
        assert text.count("-99.0") == 80
        found = converted(text, tmp_path / "vasprun.xml", output)
        assert [s.energy for s in found] == pytest.approx([step.energy for step in run.steps], abs=1e-7)

    def test_vasprun_cut_off_in_the_response(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.vasprun()
        text = text[: text.rindex("  <energy>\n   <i")] + RESPONSE * 3
        (tmp_path / "vasprun.xml").write_text(text)
        result = convert(tmp_path / "vasprun.xml", output)
        assert "3 structures of 4 steps (left out: 1 cut off" in result.output


class TestNotSelfConsistent:
    @pytest.mark.parametrize(
        ("charge", "taken"), [(2, True), (1, True), (10, False), (11, False), (12, False)]
    )
    @pytest.mark.parametrize("name", [*BOTH, "vaspout.h5"])
    def test_fixed_charge_density(
        self, run: Any, tmp_path: Path, output: Path, name: str, charge: int, taken: bool
    ) -> None:
        path = tmp_path / name
        if name == "vaspout.h5":
            run.vaspout(path, incar={"ICHARG": charge})
        elif name == "OUTCAR":
            line = f"   ICHARG = {charge:6d}    charge: 1-file 2-atom 10-const\n   NELM "
            path.write_text(run.outcar().replace("   NELM ", line, 1))
        else:
            line = f'<parameters>\n <i type="int" name="ICHARG">{charge:6d}</i>'
            path.write_text(run.vasprun().replace("<parameters>", line))
        result = convert(path, output)
        assert result.exit_code == (0 if taken else 1), result.output
        assert (
            "none of 4 steps can be used: 4 charge density fixed (ICHARG >= 10)" in result.stderr
        ) != taken

    @pytest.mark.parametrize(
        "algorithm",
        ["EVGW0", "GW0", "scGW", "G0W0", "BSE", "TDHF", "CHI", "ACFDT", "None", "Eigenval", "Subrot", "MP2"],
    )
    @pytest.mark.parametrize("name", BOTH)
    def test_other_theories(self, run: Any, tmp_path: Path, output: Path, name: str, algorithm: str) -> None:
        """Complete files without energy and forces, as of a GW run, are not `cut off`."""
        text = text_of(run, name)
        if name == "OUTCAR":
            text = text.replace(" Dimension", f" INCAR:\n   ALGO = {algorithm}\n Dimension", 1)
            text = re.sub(r"  Direction.*?(?=     LOOP)", "", text, flags=re.DOTALL)
        else:
            line = f'<incar>\n  <i type="string" name="ALGO">{algorithm}</i>\n </incar>\n <parameters>'
            text = text.replace("<parameters>", line)
            text = re.sub(r"  <structure>\n.*?  </energy>\n", "", text, flags=re.DOTALL)
        reason = refused(text, tmp_path / name, output)
        assert f"4 no self-consistent DFT (ALGO = {algorithm})" in reason
        assert "cut off" not in reason

    @pytest.mark.parametrize(
        ("number", "taken"), [(38, True), (68, True), (2, False), (3, False), (4, False)]
    )
    @pytest.mark.parametrize("name", BOTH)
    def test_fixed_orbitals(
        self, run: Any, tmp_path: Path, output: Path, name: str, number: int, taken: bool
    ) -> None:
        """ALGO = None, Eigenval or Subrot, as VASP 5 lists them."""
        outcar = run.outcar().replace("   NELM ", f"   IALGO  = {number:6d}    algorithm\n   NELM ", 1)
        line = f'<parameters>\n <i type="int" name="IALGO">{number:6d}</i>'
        text = outcar if name == "OUTCAR" else run.vasprun().replace("<parameters>", line)
        if taken:
            assert len(converted(text, tmp_path / name, output)) == 4
        else:
            said = f"4 no self-consistent DFT (IALGO = {number})"
            assert said in refused(text, tmp_path / name, output)

    @pytest.mark.parametrize("algorithm", ["Normal", "N", " Very Fast", "Fast", "All", "Damped", "Exact"])
    def test_algorithms_of_dft(self, run: Any, tmp_path: Path, output: Path, algorithm: str) -> None:
        line = f'<parameters>\n <i type="string" name="ALGO">{algorithm}</i>'
        assert converted(run.vasprun().replace("<parameters>", line), tmp_path / "vasprun.xml", output)

    def test_no_forces(self, run: Any, tmp_path: Path, output: Path) -> None:
        """A dielectric run: complete, but with no forces in it."""
        text = re.sub(r'  <varray name="forces".*?</varray>\n', "", run.vasprun(), flags=re.DOTALL)
        assert "none of 4 steps can be used: 4 no forces" in refused(text, tmp_path / "vasprun.xml", output)


class TestStars:
    """A quantity that is not asked for does not cost the step."""

    def test_sigma0(self, run: Any, tmp_path: Path, output: Path) -> None:
        outcar = re.sub(r"(  energy  without.*sigma->0\) = ).*", r"\1" + "*" * 16, run.outcar())
        vasprun = re.sub(r'(name="e_0_energy"> ).*( </i>)', r"\1****************\2", run.vasprun())
        for name, text in (("OUTCAR", outcar), ("vasprun.xml", vasprun)):
            found = converted(text, tmp_path / name, output)
            assert [s.energy for s in found] == pytest.approx([step.energy for step in run.steps], abs=1e-7)
            result = convert("--energy", "sigma0", "--overwrite", tmp_path / name, output)
            assert result.exit_code == 1
            assert "4 one energy only" in result.stderr

    def test_stress_and_more(self, run: Any, tmp_path: Path, output: Path) -> None:
        """The stress is missing then; the volume, the reciprocal lattice and the drift are not used."""
        text = re.sub(r"(  in kB ).*", r"\1" + "*" * 72, run.outcar())
        text = re.sub(r"(volume of cell :).*", r"\1 ***********", text)
        text = re.sub(r"(total drift: ).*", r"\1 *************", text)
        text = re.sub(r"^(   (?: +-?\d+\.\d{9}){3}   ).*$", r"\1" + "*" * 39, text, flags=re.MULTILINE)
        assert text.count("*" * 39) > 11
        found = converted(text, tmp_path / "OUTCAR", output)
        assert [s.stress for s in found] == [None] * 4
        np.testing.assert_allclose(found[2].forces, run.steps[2].forces)

    def test_forces_cost_it(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.outcar().replace(f"{run.steps[2].forces[1, 2]:14.6f}", "*" * 14)
        (tmp_path / "OUTCAR").write_text(text)
        result = convert(tmp_path / "OUTCAR", output)
        assert (
            "3 structures of 4 steps (left out: 1 with numbers that cannot be read (*** or NaN))"
            in result.output
        )

    def test_zero_stress_is_one(self, run: Any, tmp_path: Path, output: Path) -> None:
        changed = run.change(2, kilobar=(0.0,) * 6)
        for name in BOTH:
            found = converted(text_of(changed, name), tmp_path / name, output)
            np.testing.assert_array_equal(found[2].stress, np.zeros(6))


def lost(text: str, run: Any) -> dict[str, str]:
    """The third of four steps of an OUTCAR, damaged in several ways."""
    force, energy = f"{run.steps[2].forces[1, 2]:14.6f}", f"{run.steps[2].energy:18.8f} eV"
    row = next(line for line in text.splitlines() if line.endswith(force))
    step = text.index(energy)
    cell = text.rindex("volume of cell", 0, step)
    return {
        "a number cut off": text.replace(force, force[:-2]),
        "a row cut off": text.replace(row, row[:40]),
        "a row missing": text.replace(row + "\n", ""),
        "a row twice": text.replace(row, f"{row}\n{row}"),
        "two rows in one": text.replace(row + "\n", row),
        "an energy cut off": text.replace(energy, energy[:-6] + " eV"),
        "another volume": text[:cell] + "volume of cell :      999.99" + text[text.index("\n", cell) :],
        "another stress": text[:cell] + "in kB" + " 1.00000" * 6 + "\n  " + text[cell:],
        "zero bytes": text.replace(row, row[:30] + "\0" * (len(row) - 30)),
        "no rule below the rows": text[:step][::-1].replace(RULE[::-1] + "\n", "", 1)[::-1] + text[step:],
        "the energies of another writer": text.replace(
            energy, energy + "\n  FREE ENERGIE OF THE ION-ELECTRON SYSTEM\n", 1
        ),
        "iterations of another writer": text.replace("Iteration      3(   4)", "Iteration      3(   1)"),
    }


LOST = [
    "a number cut off",
    "a row cut off",
    "a row missing",
    "a row twice",
    "two rows in one",
    "an energy cut off",
]
LOST += [
    "another stress",
    "another volume",
    "zero bytes",
    "no rule below the rows",
    "the energies of another writer",
]
LOST += ["iterations of another writer"]


class TestDamage:
    @pytest.mark.parametrize("how", LOST)
    def test_outcar(self, run: Any, tmp_path: Path, output: Path, how: str) -> None:
        """The damaged step is left out, the others keep their labels."""
        text = lost(run.outcar(), run)[how]
        assert text != run.outcar()
        (tmp_path / "OUTCAR").write_text(text)
        result = convert(tmp_path / "OUTCAR", output)
        assert result.exit_code == 0, result.output
        expected = [run.steps[k].energy for k in (0, 1, 3)]
        assert [s.energy for s in read_structures(output)] == pytest.approx(expected)
        assert re.search(r"1  (damaged: |with numbers that cannot be read)", result.output)

    @pytest.mark.parametrize(
        "how", ["shorter", "longer", "missing", "no end", "volume", "nested", "no point"]
    )
    def test_vasprun(self, run: Any, tmp_path: Path, output: Path, how: str) -> None:
        text = run.vasprun()
        force = f"{run.steps[2].forces[1, 2]:16.8f}"
        row = next(line for line in text.splitlines() if f"{force} </v>" in line)
        damaged = {
            "shorter": text.replace(force, ""),
            "longer": text.replace(force, force + force),
            "missing": text.replace(row + "\n", ""),
            "no point": text.replace(force, force.replace(".", "")),
            "no end": text.replace(f"{force} </v>", force),
            "volume": re.sub(r'"volume">[^<]*<', '"volume">    999.00000000 <', text, count=1),
            "nested": text.replace(row, row + "\n <calculation>"),
        }[how]
        kept = (1, 2, 3) if how == "volume" else (0, 1, 3)
        (tmp_path / "vasprun.xml").write_text(damaged)
        result = convert(tmp_path / "vasprun.xml", output)
        assert result.exit_code == 0, result.output
        expected = [run.steps[k].energy for k in kept]
        assert [s.energy for s in read_structures(output)] == pytest.approx(expected, abs=1e-7)
        assert "damaged: " in result.output or "no forces" in result.output

    @pytest.mark.parametrize("name", BOTH)
    @pytest.mark.parametrize("block", [64, 257, 1000])
    def test_two_writers(self, run: Any, tmp_path: Path, output: Path, name: str, block: int) -> None:
        """Blocks of two runs in turn: no energy with the forces of the other run, and no half table."""
        other = replace(
            run,
            steps=tuple(
                replace(s, energy=s.energy - 50.0, forces=s.forces + 7.0, sigma0=s.sigma0 - 50)
                for s in run.steps
            ),
        )
        one, two = text_of(run, name), text_of(other, name)
        pieces = [text[at : at + block] for at in range(0, len(one), block) for text in (one, two)]
        (tmp_path / name).write_text("".join(pieces))
        result = convert(tmp_path / name, output)
        assert "Traceback" not in result.output
        if result.exit_code == 0:
            for structure in read_structures(output):
                assert any(
                    abs(structure.energy - step.energy) < 1e-6
                    and np.allclose(structure.forces, step.forces, atol=1e-6)
                    and np.allclose(structure.cell, step.cell, atol=1e-6)
                    for step in (*run.steps, *other.steps)
                )

    def test_no_iterations(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = "\n".join(line for line in run.outcar().split("\n") if "Iteration" not in line)
        assert "damaged: no `Iteration` before the energies" in refused(text, tmp_path / "OUTCAR", output)

    def test_a_setting_that_is_no_number(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.outcar().replace("ISIF   =      2", "ISIF   =     2x")
        assert "the head of the file is damaged: ISIF is `2x`" in refused(text, tmp_path / "OUTCAR", output)


HEADS = {  # a damaged line of the head, and what is said about it
    "OUTCAR": [
        ("TITEL  = PAW_PBE O ", "TITEL  = PAW_PBE Os ", "species 1 is Os in TITEL, but O in VRHFIN"),
        ("VRHFIN =H:", "VRHFIN =He:", "species 2 is H in TITEL, but He in VRHFIN"),
        ("   VRHFIN =H: s2p4\n", "", "VRHFIN names 1 species (O), but the numbers of atoms are of 2"),
        (
            "   TITEL  = PAW_PBE H 08Apr2002\n",
            "",
            "TITEL names 1 species (O), but the numbers of atoms are of 2",
        ),
        (" POTCAR:    PAW_PBE H ", " POTCAR:    PAW_PBE Ho ", "but Ho in the list of POTCAR"),
        (" POTCAR:    PAW_PBE O ", " PO", "species 1 is O in TITEL, but H in the list of POTCAR"),
        ("   1   2\n", "   3\n", "TITEL names 2 species (O H), but the numbers of atoms are of 1"),
        ("   1   2\n", "   1   1   1\n", "TITEL names 2 species (O H), but the numbers of atoms are of 3"),
        ("   1   2\n", "   2   2\n", "`ions per type` is 2 2, which cannot be 3 atoms (NIONS)"),
    ],
    "vasprun.xml": [
        ("<c>H </c><c>   2</c>", "<c>He</c><c>   2</c>", "the atoms of type 2 are H and He in <atominfo>"),
        (
            "<c>   2</c><c>H </c>",
            "<c>   2</c><c>Ho</c>",
            "species 2 is Ho in <atomtypes>, but H in the titles",
        ),
        ("PAW_PBE O ", "PAW_PBE Os ", "species 1 is O in <atomtypes>, but Os in the titles of <atomtypes>"),
        (
            "<c>   2</c><c>H </c>",
            "<c>   3</c><c>H </c>",
            "<atomtypes> has 1 3 atoms of the species, but the list of atoms 1 2",
        ),
        ("<c>H </c><c>   2</c>", "<c>H </c><c>   1</c>", "the atoms of type 1 are H and O"),
        ("<atoms>       3", "<atoms>       4", "<atoms> says 4 atoms, but 3 are listed"),
    ],
}


class TestDamagedHeads:
    @pytest.mark.parametrize(
        ("name", "line", "damaged", "said"), [(name, *case) for name in HEADS for case in HEADS[name]]
    )
    def test_elements_that_differ(
        self, run: Any, tmp_path: Path, output: Path, name: str, line: str, damaged: str, said: str
    ) -> None:
        """Every place that names the elements has the same ones, in the same order."""
        text = text_of(run, name)
        assert line in text
        assert said in refused(text.replace(line, damaged, 1), tmp_path / name, output)

    def test_elements_of_vaspout(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = run.vaspout(tmp_path / "vaspout.h5")
        with h5py.File(path, "r+") as h5:
            h5["input/potcar/content"] = b"  TITEL  = PAW_PBE O 08Apr2002\n  TITEL  = PAW_PBE He 05Jan2001\n"
        result = convert(path, output)
        assert result.exit_code == 1
        assert "species 2 is H in results/positions, but He in input/potcar/content" in result.stderr

    @pytest.mark.parametrize("name", BOTH)
    def test_names_that_vasp_writes_wrong(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        """VRHFIN is X for xenon, and `r` for Zr_sv: no elements, so that the title alone names them."""
        text = text_of(replace(run, species=(("Xe", 1), ("Zr", 2))), name)
        text = text.replace("VRHFIN =Xe", "VRHFIN =X").replace("VRHFIN =Zr", "VRHFIN =r")
        text = text.replace("<c>Xe</c>", "<c>X </c>").replace("<c>Zr</c>", "<c>r </c>")
        assert converted(text, tmp_path / name, output)[0].symbols == ["Xe", "Zr", "Zr"]

    @pytest.mark.parametrize(
        ("damaged", "said"),
        [
            ("     He      2", "He is none of the elements"),
            ("     H       1", "the numbers of atoms do not add"),
        ],
    )
    def test_ml_ab(self, run: Any, tmp_path: Path, output: Path, damaged: str, said: str) -> None:
        (tmp_path / "ML_AB").write_text(run.ml_ab().replace("     H       2", damaged, 1))
        result = convert(tmp_path / "ML_AB", output)
        assert "3 structures of 4 steps" in result.output
        assert said in result.output


class TestNudgedElasticBand:
    def test_parent_is_refused_and_its_images_are_taken(self, run: Any, tmp_path: Path, output: Path) -> None:
        line = '<incar>\n  <i type="int" name="IMAGES">     2</i>\n </incar>\n <parameters>'
        band = tmp_path / "band"
        for image in ("01", "02"):
            (band / image).mkdir(parents=True)
            (band / image / "OUTCAR").write_text(
                run.outcar().replace(" Dimension", "   IMAGES =     2\n Dimension", 1)
            )
        for image in ("00", "03"):
            (band / image).mkdir()
        (band / "vasprun.xml").write_text(run.vasprun().replace("<parameters>", line))
        result = convert(band, output)
        assert result.exit_code == 1
        assert "IMAGES = 2" in result.stderr
        assert "folders of the images, 00, 01, 02, 03" in result.stderr
        assert len(list(read_structures(output))) == 8
        assert "no plain DFT: nudged_elastic_band" in result.stderr
        (tmp_path / "vasprun.xml").write_text(run.vasprun().replace("<parameters>", line))
        assert (
            "folders of the images, 01 to 02"
            in convert("--overwrite", tmp_path / "vasprun.xml", output).stderr
        )

    @pytest.mark.parametrize(
        ("line", "kept"),
        [
            (" NEB: projections on to tangent (spring, REAL)     0.006448    0.669386", 0),
            ("           CHAIN + TOTAL  (eV/Angst)", 4),
        ],
    )
    def test_springs(self, run: Any, tmp_path: Path, output: Path, line: str, kept: int) -> None:
        """With VTST's code the table of forces may have the springs in it; VASP adds them below."""
        drift = "     0.001200      0.017895     -0.013715"
        (tmp_path / "OUTCAR").write_text(run.outcar().replace(drift, f"{drift}\n\n{line}\n"))
        result = convert(tmp_path / "OUTCAR", output)
        assert result.exit_code == (0 if kept else 1)
        if kept:
            assert len(list(read_structures(output))) == kept
        else:
            assert "4 a nudged elastic band of VTST, whose forces may have those of the springs" in " ".join(
                result.stderr.split()
            )


HEAD = """   POMASS =   16.000; ZVAL   =    6.000    mass and valenz
   POMASS =    1.000; ZVAL   =    1.000    mass and valenz
   PREC   = accura    normal or accurate (medium, high low for compatibility)
   ISPIN  =      2    spin polarized calculation?
   ENCUT  =  {cutoff:5.1f} eV  38.22 Ry    6.18 a.u.  18.59 18.59 18.59*2*pi/ulx,y,z
   GGA     =    {gga}    GGA type
   EDIFF  = 0.1E-{digits}   stopping-criterion for ELM
   LREAL  =      {projection}    real-space projection
   LASPH  =      {aspherical}    aspherical Exc in radial PAW
   NELECT =       {electrons}    total number of electrons
   LDIPOL =      {potential}    correct potential (dipole corrections)
   IDIPOL =      {direction}    1-x, 2-y, 3-z, 4-all directions
   NUPDOWN=      {moment}    fix difference up-down
   ISMEAR =     0;   SIGMA  =   {width}  broadening in eV -4-tet -1-fermi 0-gaus
   {more}
   NELM """


class TestMethods:
    def outcar(self, run: Any, mesh: int = 4, **changes: Any) -> str:
        values = {
            **{"cutoff": 520.0, "gga": "--", "digits": "03", "projection": "T", "moment": "-1.0000"},
            **{"width": "0.05", "more": "", "aspherical": "F", "electrons": "8.0000"},
            **{"potential": "F", "direction": 0},
            **changes,
        }
        head = f" generate k-points for:    {mesh}    {mesh}    {mesh}\n" + HEAD.format(**values)
        return run.outcar().replace("   NELM ", head, 1)

    def vasprun(self, run: Any, extra: str = "") -> str:
        head = """<incar>
 </incar>
 <kpoints>
  <generation param="Gamma">
   <v type="int" name="divisions">       4        4        4 </v>
  </generation>
 </kpoints>
 <parameters>
   <i type="string" name="PREC">accura</i>
   <i name="ENMAX">    520.00000000</i>
   <i type="int" name="ISPIN">     2</i>
   <i type="string" name="GGA">--</i>
   <i name="EDIFF">      0.00010000</i>
   <i type="logical" name="LREAL"> T  </i>
   <i type="logical" name="LASPH"> F  </i>
   <i name="NELECT">      8.00000000</i>
   <i type="logical" name="LDIPOL"> F  </i>
   <i type="int" name="IDIPOL">     0</i>
   <i name="NUPDOWN">     -1.00000000</i>
   <i type="int" name="ISMEAR">     0</i>
   <i name="SIGMA">      0.05000000</i>
"""
        head = head.replace("<parameters>", f"<parameters>\n{extra}")  # the first is taken
        text = run.vasprun().replace("<parameters>", head)
        basis = text[text.index('  <varray name="basis"') : text.index('  <varray name="rec_basis"')]
        return text.replace('<structure name="initialpos" >', '<structure name="initialpos" >\n' + basis)

    def test_the_same_from_every_kind_of_file(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Water, PBE, 4 x 4 x 4: the largest |b| is 2 pi times an area over the volume."""
        text = self.outcar(run)
        lattice = text[text.index("  volume of cell") : text.index(" POSITION  ")]
        text = text.replace("--------------------------------------- Iter", lattice + "-" * 39 + " Iter", 1)
        incar = {"ENCUT": 520.0, "ISPIN": 2, "PREC": b"Accurate", "NELM": 8, "ISMEAR": 0, "SIGMA": 0.05}
        incar |= {"LREAL": b"Auto", "LASPH": 0, "EDIFF": 1e-4, "NUPDOWN": -1}
        run.vaspout(tmp_path / "vaspout.h5", incar=incar)
        with h5py.File(tmp_path / "vaspout.h5", "a") as h5:
            h5["input/potcar/content"] = (
                b"  TITEL  = PAW_PBE O 08Apr2002\n   POMASS =   16.000; ZVAL   =    6.000    mass\n end\n"
                b"  TITEL  = PAW_PBE H 08Apr2002\n   POMASS =    1.000; ZVAL   =    1.000    mass\n"
            )
            for axis in "xyz":
                h5[f"input/kpoints/nkp{axis}"] = 4
        words = [
            converted(text, tmp_path / "OUTCAR", output)[0].info["method"],
            converted(self.vasprun(run), tmp_path / "vasprun.xml", output)[0].info["method"],
        ]
        convert("--overwrite", tmp_path / "vaspout.h5", output)
        words.append(next(read_structures(output)).info["method"])
        a, b, c = run.steps[0].cell
        volume = abs(np.dot(a, np.cross(b, c)))
        longest = (
            2.0 * np.pi * max(np.linalg.norm(np.cross(*pair)) for pair in ((b, c), (c, a), (a, b))) / volume
        )
        expected = (
            f"xc:PBE,encut:520,prec:accurate,spin:2,charge:0,k:4x4x4@{longest / 4:.3g}-{longest / 3:.3g},"
            "smearing:0@0.05,moment:free,dipole:F,lasph:F,lreal:T,ediff:1e-04,O:PAW_PBE_O_08Apr2002,"
            "H:PAW_PBE_H_08Apr2002"
        )
        assert words == [expected] * 3

    def test_what_incar_sets_in_vaspout(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Seven electrons for the eight of water; nothing else is said of dipoles and moments."""
        run.vaspout(tmp_path / "vaspout.h5", incar={"ISPIN": 2, "NELM": 8, "NELECT": 7.0, "NUPDOWN": 3.0})
        with h5py.File(tmp_path / "vaspout.h5", "a") as h5:
            h5["input/potcar/content"] = (
                b"  TITEL  = PAW_PBE O 08Apr2002\n   POMASS =   16.000; ZVAL   =    6.000    mass\n end\n"
                b"  TITEL  = PAW_PBE H 08Apr2002\n   POMASS =    1.000; ZVAL   =    1.000    mass\n"
            )
        convert("--overwrite", tmp_path / "vaspout.h5", output)
        word = next(read_structures(output)).info["method"]
        assert "charge:+1,smearing:1@0.20,moment:1_an_atom,dipole:F,lasph:F," in word

    @pytest.mark.parametrize(
        ("extra", "part"),
        [
            ('<i type="string" name="METAGGA">SCAN</i>', "xc:SCAN,"),
            (
                '<i type="logical" name="LHFCALC"> T </i><i name="AEXX"> 0.25</i><i name="HFSCREEN"> .2</i>',
                "xc:PBE+HF0.25w0.2,",
            ),
            ('<i type="int" name="IVDW">    12</i>', "xc:PBE+IVDW12,"),
            ('<i type="logical" name="LVDW"> T  </i>', "xc:PBE+IVDW1,"),
            ('<i type="logical" name="LUSE_VDW"> T  </i>', "xc:PBE+vdW-DF,"),
            ('<i type="logical" name="LSOL"> T </i><i name="EFIELD"> 0.3</i>', "xc:PBE+solvent+field0.3,"),
            ('<i type="logical" name="LSORBIT"> T  </i>', "spin:spin-orbit,"),
            ('<i name="NELECT"> 9.0</i>', "charge:-1,"),
            ('<i type="int" name="IDIPOL"> 4</i>', "dipole:IDIPOL4,"),
            ('<i type="logical" name="LASPH"> T  </i>', "lasph:T,"),
            (
                '<i type="logical" name="LDAU"> T  </i><v type="int" name="LDAUL"> 2 -1</v>'
                '<v name="LDAUU"> 4.5 3.0</v><v name="LDAUJ"> 0.5 0.0</v>',
                "O:PAW_PBE_O_08Apr2002+U4.5+J0.5,H:PAW_PBE_H_08Apr2002",
            ),
        ],
    )
    def test_functionals(self, run: Any, tmp_path: Path, output: Path, extra: str, part: str) -> None:
        found = converted(self.vasprun(run, extra), tmp_path / "vasprun.xml", output)
        assert part in found[0].info["method"] + ","

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"cutoff": 400.0}, "ENCUT (eV): 520 in"),
            ({"gga": "PS"}, "functional: PBE in"),
            ({"mesh": 1}, "k-point density"),
            ({"digits": "01"}, "EDIFF (eV): 1e-02 in"),
            ({"projection": "F"}, "LREAL: T in"),
            ({"moment": " 1.5000"}, "(NUPDOWN): free in ... 0.5_an_atom in"),
            ({"electrons": "7.0000"}, "charge of the cell (NELECT, e): 0 in ... +1 in"),
            ({"electrons": "8.5000"}, "(NELECT, e): 0 in ... -0.5 in"),
            ({"aspherical": "T"}, "LASPH: F in ... T in"),
            ({"direction": 3}, "dipole correction (IDIPOL, LDIPOL): F in ... IDIPOL3 in"),
            ({"direction": 3, "potential": "T"}, "F in ... IDIPOL3+LDIPOL in"),
            ({"width": "0.20"}, "0@0.05 in"),
            ({"more": "IBRION =     44"}, "no plain DFT: IBRION_44 ("),
            ({"more": "ICHAIN = 2"}, "no plain DFT: ICHAIN_2 ("),
            ({"more": "MDALGO = 11"}, "no plain DFT: MDALGO_11 ("),
        ],
    )
    def test_runs_that_do_not_belong_together(
        self, run: Any, tmp_path: Path, output: Path, changes: dict[str, Any], text: str
    ) -> None:
        """A warning with both files; none if they are alike."""
        one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
        for folder, text_ in (
            (one, self.outcar(run)),
            (two, self.outcar(run, **changes)),
            (three, self.outcar(run)),
        ):
            folder.mkdir()
            start = text_.index("  volume of cell")
            lattice = text_[start : text_.index(" POSITION  ", start)]
            at = text_.index("-------- Iter") - 31
            (folder / "OUTCAR").write_text(text_[:at] + lattice + text_[at:])
        result = convert("--last", one, two, output)
        assert result.exit_code == 0, result.output
        warnings = [line for line in result.stderr.splitlines() if line.startswith("WARNING")]
        assert len(warnings) == 1
        assert all(part in warnings[0] for part in text.split(" ... "))
        assert "plain" in text or "one/OUTCAR" in warnings[0]
        assert "two/OUTCAR" in warnings[0]
        assert "WARNING" not in convert("--overwrite", "--last", one, three, output).stderr


@pytest.mark.parametrize(
    ("outcar", "vasprun", "reason"),
    [
        ("SCALEE = 0.5000    scale", '<i name="SCALEE"> 0.50000000</i>', "scaled (SCALEE = 0.5)"),
        ("EFOR = 2*0.0 1.0 5*0 -1.0", '<v name="EFOR"> 0.0 0.0 1.0 -1.0</v>', "external forces (EFOR)"),
        ("EFOR = 9*0.0", '<v name="EFOR"> 0.0 0.0 0.0</v>', None),
        ("SCALEE = 1.0000    scale", '<i name="SCALEE"> 1.00000000</i>', None),
    ],
)
def test_forces_that_are_no_derivative_of_the_energy(
    run: Any, tmp_path: Path, output: Path, outcar: str, vasprun: str, reason: str | None
) -> None:
    (tmp_path / "OUTCAR").write_text(run.outcar().replace("   NELM ", f"   {outcar}\n   NELM ", 1))
    (tmp_path / "vasprun.xml").write_text(run.vasprun().replace("<parameters>", f"<parameters>{vasprun}"))
    for name in BOTH:
        result = convert("--overwrite", tmp_path / name, output)
        assert (reason or "4 structures") in result.output
        assert result.exit_code == (0 if reason is None else 1)


class TestOneDoor:
    """bnnp convert reads files of VASP as vasp2data.py does, never by ASE."""

    @pytest.mark.parametrize("name", [*BOTH, "vaspout.h5", "ML_AB"])
    def test_same_structures(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        """Under any name, and without the step that did not converge."""
        changed = run.change(1, iterations=8)
        path = tmp_path / f"{name}.renamed"
        if name == "vaspout.h5":
            changed.vaspout(path)
        else:
            path.write_text(changed.ml_ab() if name == "ML_AB" else text_of(changed, name))
        assert convert(path, output).exit_code == 0
        result = CliRunner().invoke(convert_tool.main, [str(path), str(tmp_path / "other.data")])
        assert result.exit_code == 0, result.output
        one, other = list(read_structures(output)), list(read_structures(tmp_path / "other.data"))
        assert len(one) == len(other) == (4 if name == "ML_AB" else 3)
        for first, second in zip(one, other, strict=True):
            assert first.energy == second.energy
            assert dict(first.info) == dict(second.info)
            np.testing.assert_allclose(first.forces, second.forces, atol=1e-12)
            np.testing.assert_allclose(first.positions, second.positions, atol=1e-12)
        assert name == "ML_AB" or "left out, 1 electronic loop not converged" in result.output

    def test_nothing_that_can_be_used(self, run: Any, tmp_path: Path) -> None:
        for index in range(4):
            run = run.change(index, iterations=8)
        (tmp_path / "OUTCAR").write_text(run.outcar())
        result = CliRunner().invoke(convert_tool.main, [str(tmp_path / "OUTCAR"), str(tmp_path / "x.data")])
        assert result.exit_code == 1
        assert "none of 4 steps can be used: 4 electronic loop not converged" in result.stderr
        assert not (tmp_path / "x.data").exists()

    def test_frames_are_chosen(self, run: Any, tmp_path: Path, output: Path) -> None:
        (tmp_path / "OUTCAR").write_text(run.outcar())
        options = ["--skip", "1", "--every", "2", "--max", "1", "--no-stress", "--label", "melt"]
        arguments = [*options, str(tmp_path / "OUTCAR"), str(output)]
        assert CliRunner().invoke(convert_tool.main, arguments).exit_code == 0
        (structure,) = read_structures(output)
        assert structure.info["source"].endswith("OUTCAR:2")
        assert structure.info["group"] == "melt"
        assert structure.stress is None


class TestGroups:
    def test_each_directory_is_one(self, run: Any, tmp_path: Path, output: Path) -> None:
        for folder in ("runs/melt/900K", "runs/melt/1200K", "runs/bulk"):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "OUTCAR").write_text(run.outcar())
        convert("--last", tmp_path / "runs", output)
        groups = [structure.info["group"] for structure in read_structures(output)]
        assert groups == ["runs/bulk", "runs/melt/900K", "runs/melt/1200K"]
        convert("--last", "--overwrite", "--label", "all", tmp_path / "runs", output)
        assert {structure.info["group"] for structure in read_structures(output)} == {"all"}

    def test_a_file_by_name_has_none(self, run: Any, tmp_path: Path, output: Path) -> None:
        assert "group" not in converted(run.outcar(), tmp_path / "OUTCAR", output)[0].info

    def test_new_data_are_metal(self, run: Any, tmp_path: Path, output: Path) -> None:
        found = converted(run.outcar(), tmp_path / "OUTCAR", output)
        assert [s.energy for s in found] == pytest.approx([step.energy for step in run.steps])
