"""bnnp vasp on made-up runs: every format gives the same steps, and what is no label is left out."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import benchmark_vasp
import numpy as np
import pytest
import vasp2data
from click.testing import CliRunner, Result

from bnnp.io.input_data import StructureFile, read_structures
from bnnp.structure import Structure

BOHR, HARTREE = 0.529177210903, 27.211386245988  # Angstrom and eV, CODATA 2018; 2014 differs by 9e-9
KILOBAR = 1e8 * 1e-30 / 1.602176634e-19  # 1e8 Pa in eV/Angstrom^3
VOIGT = [0, 1, 2, 4, 5, 3]  # VASP's XX YY ZZ XY YZ ZX to xx yy zz yz xz xy
NELM = 8  # of the made-up runs
FORMATS = {"vasprun.xml": "vasprun", "OUTCAR": "outcar", "ML_AB": "ml_ab"}


def convert(*arguments: object) -> Result:
    return CliRunner().invoke(vasp2data.main, [str(argument) for argument in arguments])


def write(run: Any, path: Path) -> Path:
    """A file of the kind that its name says."""
    kind = next(kind for kind in [*FORMATS, "vaspout.h5"] if kind.partition(".")[0] in path.name)
    if kind == "vaspout.h5":
        return run.vaspout(path)
    path.write_text(getattr(run, FORMATS[kind])())
    return path


def structures(result: Result, output: Path) -> list[Structure]:
    assert result.exit_code == 0, result.output
    return list(read_structures(output))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "input.data"


class TestFormats:
    @pytest.mark.parametrize("name", [*FORMATS, "vaspout.h5"])
    @pytest.mark.parametrize("units", ["metal", "atomic"])
    def test_every_number(self, run: Any, tmp_path: Path, output: Path, name: str, units: str) -> None:
        """Energies, forces, positions, cell and stress of all steps, converted by hand."""
        result = convert("--units", units, write(run, tmp_path / name), output)
        found = structures(result, output)
        length, ev = (1.0, 1.0) if units == "metal" else (BOHR, HARTREE)
        assert len(found) == len(run.steps)
        for structure, step in zip(found, run.steps, strict=True):
            assert structure.symbols == ["O", "H", "H"]
            assert structure.energy == pytest.approx(step.energy / ev, rel=1e-8)
            np.testing.assert_allclose(structure.cell, step.cell / length, rtol=2e-8, atol=1e-12)
            np.testing.assert_allclose(structure.positions, step.positions / length, atol=1e-6)
            np.testing.assert_allclose(structure.forces, step.forces * length / ev, atol=1e-7)
            stress = -KILOBAR * np.array(step.kilobar)[VOIGT] * length**3 / ev
            np.testing.assert_allclose(structure.stress, stress, rtol=1e-5, atol=1e-12)

    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml", "vaspout.h5"])
    def test_sigma0(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        result = convert("--units", "metal", "--energy", "sigma0", write(run, tmp_path / name), output)
        energies = [structure.energy for structure in structures(result, output)]
        assert energies == pytest.approx([step.sigma0 for step in run.steps], abs=1e-7)

    def test_sigma0_of_ml_ab_is_refused(self, run: Any, tmp_path: Path, output: Path) -> None:
        result = convert("--energies", "sigma0", write(run, tmp_path / "ML_AB"), output)
        assert result.exit_code == 1
        assert "one energy only" in result.output

    @pytest.mark.parametrize("name", [*FORMATS, "vaspout.h5"])
    @pytest.mark.parametrize(
        ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
    )
    def test_compressed(
        self, run: Any, tmp_path: Path, output: Path, name: str, suffix: str, pack: Any
    ) -> None:
        plain = write(run, tmp_path / name)
        packed = tmp_path / (name + suffix)
        packed.write_bytes(pack(plain.read_bytes()))
        assert len(structures(convert(packed, output), output)) == 4

    def test_known_by_content_not_by_name(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = tmp_path / "from_the_cluster.txt"
        path.write_bytes(gzip.compress(run.vasprun().encode()))
        assert len(structures(convert(path, output), output)) == 4

    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
    def test_runs_written_one_after_the_other(
        self, run: Any, tmp_path: Path, output: Path, name: str
    ) -> None:
        """Restarts into one file, with other atoms: each run has its own header."""
        other = replace(run, species=(("Ti", 3),))
        text = getattr(run, FORMATS[name])() + getattr(other, FORMATS[name])()
        (tmp_path / name).write_text(text)
        found = structures(convert(tmp_path / name, output), output)
        assert ["".join(structure.symbols) for structure in found] == ["OHH"] * 4 + ["TiTiTi"] * 4

    def test_numbers_that_touch(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Columns of fixed width run into each other when numbers are large."""
        forces = np.array([[-1000000.5, -1234567.25, -0.5], [0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
        positions = run.steps[1].positions - 100000.0
        kilobar = (-12345.5, -23456.25, -34567.125, -45678.5, 12.0, -0.25)
        changed = run.change(1, forces=forces, positions=positions, kilobar=kilobar)
        result = convert("--units", "metal", write(changed, tmp_path / "OUTCAR"), output)
        structure = structures(result, output)[1]
        np.testing.assert_allclose(structure.forces, forces)
        np.testing.assert_allclose(structure.positions, positions, atol=1e-5)
        np.testing.assert_allclose(structure.stress, -KILOBAR * np.array(kilobar)[VOIGT], rtol=1e-6)


class TestCases:
    def test_van_der_waals(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Nine columns, the last ones without the correction (and NaN): the first six count."""
        result = convert("--units", "metal", write(replace(run, vdw=True), tmp_path / "OUTCAR"), output)
        found = structures(result, output)
        assert found[3].energy == pytest.approx(run.steps[3].energy)
        np.testing.assert_allclose(found[3].forces, run.steps[3].forces)

    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml", "vaspout.h5"])
    def test_repeated_species(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        repeated = replace(run, species=(("Ti", 1), ("O", 1), ("Ti", 1)))
        found = structures(convert(write(repeated, tmp_path / name), output), output)
        assert found[0].symbols == ["Ti", "O", "Ti"]

    def test_more_than_ten_species(self, run: Any, tmp_path: Path, output: Path) -> None:
        """The line has room for ten counts; Fortran prints the others into a second table."""
        many = tuple((symbol, 1 + number % 2) for number, symbol in enumerate(["Ge", "Te"] * 6))
        n_atoms = sum(count for _, count in many)
        steps = tuple(
            replace(step, positions=np.arange(3.0 * n_atoms).reshape(-1, 3), forces=np.ones((n_atoms, 3)))
            for step in run.steps
        )
        many_run = replace(run, species=many, steps=steps)
        found = structures(convert(write(many_run, tmp_path / "OUTCAR"), output), output)
        assert found[0].symbols == many_run.symbols

    def test_nwrite_0(self, run: Any, tmp_path: Path, output: Path) -> None:
        """OUTCAR then has positions and forces of the first and the last step only; vasprun.xml has all."""
        result = convert(write(replace(run, nwrite=0), tmp_path / "OUTCAR"), output)
        assert [s.info["source"].rpartition(":")[2] for s in structures(result, output)] == ["1", "4"]
        assert "2 positions and forces not written (NWRITE)" in result.output

    def test_without_stress(self, run: Any, tmp_path: Path, output: Path) -> None:
        for name in ("OUTCAR", "vasprun.xml"):
            found = structures(
                convert("--overwrite", write(replace(run, isif=0), tmp_path / name), output), output
            )
            assert [structure.stress for structure in found] == [None] * 4

    def test_trace_only_is_no_stress(self, run: Any, tmp_path: Path, output: Path) -> None:
        """ISIF = 1 computes the pressure only."""
        found = structures(convert(write(replace(run, isif=1), tmp_path / "OUTCAR"), output), output)
        assert found[0].stress is None

    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
    @pytest.mark.parametrize("energy", ["free", "sigma0"])
    def test_enthalpy_is_not_the_energy(
        self, run: Any, tmp_path: Path, output: Path, name: str, energy: str
    ) -> None:
        """OUTCAR has the enthalpy in a line of its own, vasprun.xml in place of the energy."""
        path = write(replace(run, pstress=50.0), tmp_path / name)
        found = structures(convert("--units", "metal", "--energy", energy, path, output), output)
        expected = [step.energy if energy == "free" else step.sigma0 for step in run.steps]
        assert [structure.energy for structure in found] == pytest.approx(expected, abs=1e-6)

    def test_energy_of_vasprun_that_is_no_enthalpy(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Equal to that of the last electronic iteration: P V is not in it."""
        text = run.vasprun().replace('name="PSTRESS">       0.00', 'name="PSTRESS">      50.00')
        assert "50.00" in text
        (tmp_path / "vasprun.xml").write_text(text)
        found = structures(convert("--units", "metal", tmp_path / "vasprun.xml", output), output)
        assert found[0].energy == pytest.approx(run.steps[0].energy, abs=1e-7)

    def test_vaspout_under_pressure_is_refused(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = run.vaspout(tmp_path / "vaspout.h5", incar={"PSTRESS": 50.0})
        result = convert(path, output)
        assert result.exit_code == 1
        assert "does not say whether its energies contain P V" in result.output

    def test_zero_stress_of_ml_ab_is_a_stress(self, run: Any, tmp_path: Path, output: Path) -> None:
        changed = run.change(2, kilobar=(0.0,) * 6)
        found = structures(convert(write(changed, tmp_path / "ML_AB"), output), output)
        np.testing.assert_array_equal(found[2].stress, np.zeros(6))
        assert all(structure.stress is not None for structure in found)

    def test_elements_from_masses(self, run: Any, tmp_path: Path, output: Path) -> None:
        """All lines about POTCAR removed: the masses still tell, cobalt from nickel, too."""
        alloy = replace(run, species=(("Co", 1), ("Ni", 2)), titles=False)
        found = structures(convert(write(alloy, tmp_path / "OUTCAR"), output), output)
        assert found[0].symbols == ["Co", "Ni", "Ni"]

    def test_elements_by_hand(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = tmp_path / "OUTCAR"
        text = replace(run, titles=False).outcar()
        path.write_text(text.replace("POMASS", "STRIPPED"))
        result = convert(path, output)
        assert result.exit_code == 1
        assert "--elements" in result.output
        found = structures(convert("--elements", "Ge Te", path, output), output)
        assert found[0].symbols == ["Ge", "Te", "Te"]
        assert (
            "names 1, but the file has 2 species" in convert("--elements", "Ge", path, tmp_path / "b").output
        )
        assert convert("--elements", "Ge Xx", path, output).exit_code == 2

    def test_title_instead_of_an_unknown_symbol(self, run: Any, tmp_path: Path, output: Path) -> None:
        """VASP 5.2 wrote `r ` for zirconium; the title of POTCAR is right."""
        text = replace(run, species=(("O", 1), ("Zr", 2))).vasprun().replace("<c>Zr</c>", "<c>r </c>")
        (tmp_path / "vasprun.xml").write_text(text)
        assert structures(convert(tmp_path / "vasprun.xml", output), output)[0].symbols == ["O", "Zr", "Zr"]

    def test_characters_that_are_no_xml(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.vasprun().replace(">6.3.2 <", "> &#xD7FF; \x01 & < <")
        (tmp_path / "vasprun.xml").write_text(text)
        assert len(structures(convert(tmp_path / "vasprun.xml", output), output)) == 4


class TestLeftOut:
    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml", "vaspout.h5"])
    def test_unconverged(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        path = write(run.change(1, iterations=NELM), tmp_path / name)
        result = convert(path, output)
        assert len(structures(result, output)) == 3
        assert "1 of 4 steps left out:" in result.output
        assert "1  electronic loop not converged within NELM" in result.output
        largest = max(np.linalg.norm(run.steps[k].forces, axis=1).max() for k in (0, 2, 3))
        assert f"largest force (vector) {largest:.3f} eV/Angstrom" in result.output
        found = structures(convert("--overwrite", "--keep-unconverged", path, output), output)
        assert [structure.info.get("converged") for structure in found] == [None, "no", None, None]

    def test_unconverged_by_count_in_vaspout(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = run.change(3, iterations=NELM).vaspout(tmp_path / "vaspout.h5", flags=False)
        assert len(structures(convert(path, output), output)) == 3

    def test_vasp_6_says_so(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.outcar()
        loops = text.split("aborting loop because EDIFF is reached")
        text = loops[0] + "aborting loop EDIFF was not reached (unconverged)" + loops[1]
        (tmp_path / "OUTCAR").write_text(text + "aborting loop because EDIFF is reached".join(loops[2:]))
        assert "1 electronic loop not converged" in convert(tmp_path / "OUTCAR", output).output

    @pytest.mark.parametrize("name", ["OUTCAR", "vasprun.xml"])
    def test_machine_learned(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        result = convert(write(run.change(1, predicted=True), tmp_path / name), output)
        sources = [structure.info["source"] for structure in structures(result, output)]
        assert [source.rpartition(":")[2] for source in sources] == ["1", "3", "4"]
        assert "1  prediction of VASP's machine-learned force field" in result.output

    def test_prediction_before_a_computed_step(self, run: Any, tmp_path: Path, output: Path) -> None:
        """OUTCAR has a prediction for every geometry, also for those that are then computed: one step."""
        text = run.change(1, predicted=True).outcar()
        start = text.index("  ML FORCE on cell")
        prediction = text[start : text.index("     LOOP+", start)]
        (tmp_path / "OUTCAR").write_text(
            run.outcar().replace("--------- Iter", prediction + "--------- Iter", 1)
        )
        result = convert(tmp_path / "OUTCAR", output)
        assert len(structures(result, output)) == 4
        assert "4 structures of 4 steps" in result.output

    def test_machine_learned_vaspout_is_refused(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = run.vaspout(tmp_path / "vaspout.h5", incar={"ML_LMLFF": 1})
        result = convert(path, output)
        assert result.exit_code == 1
        assert "does not say which steps are from DFT" in result.output

    def test_only_predictions(self, run: Any, tmp_path: Path, output: Path) -> None:
        for index in range(4):
            run = run.change(index, predicted=True)
        result = convert(write(run, tmp_path / "OUTCAR"), output)
        assert result.exit_code == 1
        assert "none of 4 steps can be used: 4 prediction" in result.stderr
        assert not output.exists()

    @pytest.mark.parametrize("name", FORMATS)
    def test_cut_anywhere(self, run: Any, tmp_path: Path, output: Path, name: str) -> None:
        """Whole steps of a file that ends anywhere are taken, and no half one."""
        text = getattr(run, FORMATS[name])()
        whole = structures(convert(write(run, tmp_path / name), output), output)
        counts = []
        for size in range(len(text) // 5, len(text), max(1, len(text) // 37)):
            (tmp_path / name).write_text(text[:size])
            result = convert("--overwrite", tmp_path / name, output)
            if result.exit_code == 0:
                found = list(read_structures(output))
                counts.append(len(found))
                assert [s.energy for s in found] == [s.energy for s in whole[: len(found)]]
                for one, other in zip(found, whole, strict=False):
                    np.testing.assert_array_equal(one.forces, other.forces)
            else:
                assert "Not converted" in result.stderr
        assert counts == sorted(counts)
        assert {1, 2, 3} <= set(counts)

    def test_cut_off_is_counted(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.outcar()
        (tmp_path / "OUTCAR").write_text(text[: text.rindex("FREE ENERGIE")])
        assert "1 cut off: the file ends within the step" in convert(tmp_path / "OUTCAR", output).output

    def test_compressed_file_cut_off(self, run: Any, tmp_path: Path, output: Path) -> None:
        packed = gzip.compress(run.vasprun().encode())
        (tmp_path / "vasprun.xml.gz").write_bytes(packed[: len(packed) * 3 // 4])
        result = convert(tmp_path / "vasprun.xml.gz", output)
        assert 1 <= len(structures(result, output)) < 4

    @pytest.mark.parametrize("bad", ["************", "         NaN", "        -inf"])
    def test_numbers_that_are_none(self, run: Any, tmp_path: Path, output: Path, bad: str) -> None:
        text = run.vasprun()
        force = f"{run.steps[2].forces[1, 2]:16.8f}"
        assert text.count(force) == 1
        (tmp_path / "vasprun.xml").write_text(text.replace(force, f"{bad:>16}"))
        result = convert(tmp_path / "vasprun.xml", output)
        assert len(structures(result, output)) == 3
        assert "1 with numbers that cannot be read" in result.output

    def test_run_that_was_killed_and_started_again(self, run: Any, tmp_path: Path, output: Path) -> None:
        text = run.vasprun()
        (tmp_path / "vasprun.xml").write_text(text[: text.rindex('name="forces"')] + text)
        result = convert(tmp_path / "vasprun.xml", output)
        assert len(structures(result, output)) == 7
        assert "1 cut off" in result.output


class TestChoice:
    @pytest.mark.parametrize(
        ("options", "steps"),
        [
            (["--every", 2], [1, 3]),
            (["--skip", 1, "--every", 2], [2, 4]),
            (["--skip", 3], [4]),
            (["--last"], [4]),
        ],
    )
    def test_steps(
        self, run: Any, tmp_path: Path, output: Path, options: list[object], steps: list[int]
    ) -> None:
        found = structures(convert(*options, write(run, tmp_path / "OUTCAR"), output), output)
        assert [int(s.info["source"].rpartition(":")[2]) for s in found] == steps

    def test_steps_that_remain_are_counted(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = write(run.change(0, iterations=NELM).change(3, iterations=NELM), tmp_path / "OUTCAR")
        found = structures(convert("--skip", 1, path, output), output)
        assert [s.info["source"].rpartition(":")[2] for s in found] == ["3"]
        found = structures(convert("--overwrite", "--last", path, output), output)
        assert [s.info["source"].rpartition(":")[2] for s in found] == ["3"]

    def test_last_that_can_be_read(self, run: Any, tmp_path: Path, output: Path) -> None:
        force = f"{run.steps[3].forces[1, 2]:16.8f}"
        (tmp_path / "vasprun.xml").write_text(run.vasprun().replace(force, "*" * 16))
        found = structures(convert("--last", tmp_path / "vasprun.xml", output), output)
        assert found[0].info["source"].endswith(":3")

    def test_last_does_not_go_with_every(self, run: Any, tmp_path: Path, output: Path) -> None:
        assert convert("--last", "--every", 2, write(run, tmp_path / "OUTCAR"), output).exit_code == 2

    def test_nothing_chosen(self, run: Any, tmp_path: Path, output: Path) -> None:
        result = convert("--skip", 10, write(run, tmp_path / "OUTCAR"), output)
        assert result.exit_code == 1
        assert "4 steps, none of them chosen; check --skip (10)" in result.stderr

    def test_comment_line(self, run: Any, tmp_path: Path, output: Path) -> None:
        (tmp_path / "melt").mkdir()
        result = convert("--label", "900K", write(run, tmp_path / "melt" / "OUTCAR"), output)
        structure = structures(result, output)[1]
        method = "xc:PBE,O:PAW_PBE_O_08Apr2002,H:PAW_PBE_H_08Apr2002"
        assert dict(structure.info) == {"group": "900K", "method": method, "source": "melt/OUTCAR:2"}
        line = [line for line in output.read_text().splitlines() if line.startswith("comment")][1]
        assert line.startswith(f'comment group=900K method={method} source=melt/OUTCAR:2 stress="')

    def test_append(self, run: Any, tmp_path: Path, output: Path) -> None:
        path = write(run, tmp_path / "OUTCAR")
        assert convert("--append", "--label", "a", "--last", path, output).exit_code == 0
        result = convert("--append", "--label", "b", path, output)
        assert result.exit_code == 0, result.output
        n_steps = len(run.steps)
        assert [s.info["group"] for s in StructureFile(output)] == ["a"] + ["b"] * (n_steps - 1)
        assert f"as {output} has them already: 1 structure of " in result.stdout
        assert f"OUTCAR ({n_steps})" in result.stdout

    def test_append_compares_the_methods(self, run: Any, tmp_path: Path, output: Path) -> None:
        first = write(run, tmp_path / "OUTCAR")
        assert convert("--last", first, output).exit_code == 0
        output.write_text(output.read_text().replace("xc:PBE", "xc:LDA"))
        result = convert("--append", first, output)
        assert "do not belong together, functional: LDA in" in result.stderr
        assert str(output) in result.stderr
        assert str(first) in result.stderr

    def test_missing_input_beside_an_output_that_exists(self, tmp_path: Path, output: Path) -> None:
        output.write_text("precious\n")
        result = convert(tmp_path / "nothere", output)
        assert result.exit_code == 1
        assert result.stderr == f"ERROR: {tmp_path / 'nothere'}: no such file or directory\n"

    def test_append_in_other_units_is_refused(self, run: Any, tmp_path: Path, output: Path) -> None:
        """input.data does not say its units; the distances of the O-H bond do."""
        bond = np.array([[1.0, 2.0, 3.0], [1.96, 2.0, 3.0], [0.76, 2.93, 3.0]])
        water = replace(run, steps=tuple(replace(step, positions=bond) for step in run.steps))
        path = write(water, tmp_path / "OUTCAR")
        for units, other in (("metal", "atomic"), ("atomic", "metal")):
            assert convert("--overwrite", "--units", units, path, output).exit_code == 0
            before = output.read_bytes()
            result = convert("--append", "--units", other, path, output)
            assert result.exit_code == 1
            assert f"(--units {other}); add --units {units}" in result.output
            assert output.read_bytes() == before
            assert convert("--append", "--units", units, path, output).exit_code == 0


class TestManyFiles:
    def test_directories(self, run: Any, tmp_path: Path, output: Path) -> None:
        """One file of each run, the one with the most digits, in natural order; other files do not matter."""
        for folder in ("run10", "run9/deeper"):
            (tmp_path / folder).mkdir(parents=True)
        write(run, tmp_path / "run9/deeper/OUTCAR")
        write(run, tmp_path / "run9/deeper/vasprun.xml")
        write(run, tmp_path / "run10/OUTCAR.1")
        write(run, tmp_path / "run10/OUTCAR.2")
        write(run, tmp_path / "run10/vasprun.2.xml")
        (tmp_path / "run10/POSCAR").write_text("water\n1.0\n")
        (tmp_path / "run10/page.xml").write_text("<?xml version='1.0'?><html></html>")
        result = convert("--last", tmp_path, output)
        sources = [structure.info["source"] for structure in structures(result, output)]
        assert sources == ["deeper/vasprun.xml:4", "run10/OUTCAR.1:4", "run10/vasprun.2.xml:4"]
        assert "the same run, not read: OUTCAR.2" in result.output

    def test_next_file_of_a_run(self, run: Any, tmp_path: Path, output: Path) -> None:
        """vaspout.h5 goes first, but not if it is of no use and OUTCAR is there, too."""
        (tmp_path / "run").mkdir()
        run.vaspout(tmp_path / "run/vaspout.h5", incar={"ML_LMLFF": 1})
        write(run.change(1, predicted=True), tmp_path / "run/OUTCAR")
        result = convert(tmp_path / "run", output)
        assert len(structures(result, output)) == 3
        assert "OUTCAR is read instead" in result.output

    def test_directory_without_vasp(self, tmp_path: Path, output: Path) -> None:
        (tmp_path / "notes").mkdir()
        result = convert(tmp_path / "notes", output)
        assert result.exit_code == 1
        assert "no vaspout.h5, vasprun.xml, OUTCAR, ML_AB in this directory" in result.stderr

    def test_bad_files_do_not_cost_the_good_ones(self, run: Any, tmp_path: Path, output: Path) -> None:
        """Each bad one is named with its reason; exit code 1."""
        text = run.outcar()
        bad = {
            "OUTCAR.empty": b"",
            "OUTCAR.rubbish": bytes(range(256)) * 40,
            "XDATCAR": b"water\n1.0\n 6.0 0.0 0.0\n",
            "OUTCAR.header": text[: text.index(" Dimension of arrays")].encode(),
            "OUTCAR.started": text[: text.index("  in kB")].encode(),
            "vasprun.header.xml": run.vasprun()[:300].encode(),
            "page.xml": b"<?xml version='1.0'?><html></html>",
            "vaspout.h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
            "ML_AB": run.ml_ab()[:100].encode(),
            "broken.gz": gzip.compress(b"")[:8],
        }
        for name, data in bad.items():
            (tmp_path / name).write_bytes(data)
        first, second = write(run, tmp_path / "OUTCAR.a"), write(run, tmp_path / "OUTCAR.b")
        names = [tmp_path / name for name in bad]
        result = convert(first, *names, tmp_path / "missing", second, output)
        assert result.exit_code == 1
        assert len(StructureFile(output)) == 8
        lines = result.stderr.splitlines()
        reasons = {Path(line.split(": ")[1]).name: line.split(": ", 2)[2] for line in lines}
        assert reasons["OUTCAR.empty"] == "the file is empty"
        assert reasons["OUTCAR.rubbish"] == "binary, and not an HDF5 file"
        assert reasons["XDATCAR"].startswith("not recognised as one of")
        assert "before VASP has said which atoms" in reasons["OUTCAR.header"]
        assert "none of 1 step can be used: 1 cut off" in reasons["OUTCAR.started"]
        assert "before VASP has said which atoms" in reasons["vasprun.header.xml"]
        assert reasons["page.xml"] == "XML, but not of VASP: no <modeling>"
        assert reasons["vaspout.h5"].startswith("HDF5 cannot open the file")
        assert reasons["ML_AB"] == "the file ends before its first configuration"
        assert reasons["broken.gz"] == "the compressed file is damaged"
        assert reasons["missing"] == "no such file or directory"
        assert len(lines) == len(bad) + 1

    def test_nothing_is_written_if_nothing_was_found(self, tmp_path: Path, output: Path) -> None:
        (tmp_path / "OUTCAR").write_bytes(b"")
        output.write_text("precious\n")
        result = convert("--append", tmp_path / "OUTCAR", output)
        assert result.exit_code == 1
        assert output.read_text() == "precious\n"

    def test_output_that_is_no_output(self, run: Any, tmp_path: Path) -> None:
        """The last name forgotten: the last OUTCAR must not be written over."""
        first, second = write(run, tmp_path / "OUTCAR.1"), write(run, tmp_path / "OUTCAR.2")
        for options in ([], ["--append"], ["--overwrite"]):
            result = convert(*options, first, second)
            assert result.exit_code == 1
            assert (
                "OUTCAR.2 is an output of VASP (OUTCAR); the last name is the file to write" in result.output
            )
        assert second.read_text() == run.outcar()
        assert "is an input and the output" in convert("--append", first, second, second).output
        assert "is a directory; the last name is the file to write" in convert(first, tmp_path).output

    def test_existing_output_is_kept(self, run: Any, tmp_path: Path, output: Path) -> None:
        output.write_text("precious\n")
        result = convert(write(run, tmp_path / "OUTCAR"), output)
        assert result.exit_code == 1
        assert "--append or --overwrite" in result.output


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
def test_large_files_take_little_memory(run: Any, tmp_path: Path) -> None:
    """60 MB of OUTCAR, with a header longer than the window, in a process of its own."""
    filler = "    1      -17.2000      2.00000\n" * 30
    text = run.outcar().replace("  FREE ENERGIE OF", filler + "  FREE ENERGIE OF")
    header, body = text[: text.index("-----", 900)], text[text.index("-----", 900) :]
    path = tmp_path / "OUTCAR"
    with open(path, "w") as file:
        file.write(header + filler * 25_000)
        for number in range(30_000_000 // len(body)):  # four steps each, counted on
            pieces = re.split(r"(?<=Iteration )( *\d+)(?=\()", body)
            pieces[1::2] = [f"{int(each) + 4 * number:6d}" for each in pieces[1::2]]
            file.write("".join(pieces))
    code = (
        "import sys, vasp2data\n"
        "try:\n    vasp2data.main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    print('exit', stop.code)\n"
        "print(open('/proc/self/status').read())\n"
    )
    command = [sys.executable, "-c", code, "--every", "100", path, tmp_path / "input.data"]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    assert "exit 0" in done.stdout, done.stderr
    peak = int(done.stdout.split("VmHWM:")[1].split()[0])  # kB; numpy alone takes 30 000
    assert peak < 110_000


def _environment() -> dict[str, str]:
    import os

    tools = str(Path(vasp2data.__file__).parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([tools, *filter(None, sys.path)])}


@pytest.mark.slow
@pytest.mark.parametrize("source", ["OUTCAR", None])
def test_benchmark(run: Any, tmp_path: Path, source: str | None) -> None:
    """A large file made of repeated steps is converted whole, and its speed told."""
    arguments = [str(write(run, tmp_path / source))] if source else ["--atoms", "2"]
    result = CliRunner().invoke(benchmark_vasp.main, [*arguments, "--megabytes", "1", "--repeat", "1"])
    assert result.exit_code == 0, result.output
    names = [line.split()[0].rstrip(",") for line in result.output.splitlines()[1:]]
    assert names == ([source] if source else [*FORMATS])
