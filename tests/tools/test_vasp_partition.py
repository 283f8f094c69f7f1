"""Charges of bader and Chargemol beside a run of VASP: whose they are, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vasp2data
from click.testing import CliRunner, Result

from bnnp.io.input_data import read_structures
from bnnp.structure import Structure

DDEC6 = "DDEC6_even_tempered_net_atomic_charges.xyz"
CHARGES = np.array([-1.1, 0.6, 0.5])  # of O, H, H


def convert(
    run: Any, folder: Path, *options: str, name: str = "vasprun.xml"
) -> tuple[Result, list[Structure]]:
    """The run in a folder that has a partition of the charges already."""
    (folder / name).write_text(run.vasprun() if name == "vasprun.xml" else run.outcar())
    output = folder / "input.data"
    result = CliRunner().invoke(vasp2data.main, [*options, str(folder), str(output)])
    return result, list(read_structures(output)) if output.exists() else []


def acf(run: Any, charges: np.ndarray = CHARGES) -> str:
    """As bader writes it; ZVAL is 6 of oxygen and 1 of hydrogen."""
    rule = " " + "-" * 80
    lines = ["    #         X           Y           Z       CHARGE      MIN DIST   ATOMIC VOL", rule]
    electrons = np.array([6.0, 1.0, 1.0]) - charges
    for number, (r, own) in enumerate(zip(run.steps[-1].positions, electrons, strict=True), 1):
        lines.append(f"{number:5d}" + "".join(f"{x:12.6f}" for x in (*r, own, 0.9, 20.0)))
    total = f"    NUMBER OF ELECTRONS:  {electrons.sum():20.4f}"
    return "\n".join([*lines, rule, "    VACUUM CHARGE:               0.0000", total, ""])


def ddec6(run: Any) -> str:
    """As Chargemol writes it, with the text that follows."""
    rows = zip(run.symbols, run.steps[-1].positions, CHARGES, strict=True)
    lines = [f"{symbol:2} {r[0]:12.6f} {r[1]:12.6f} {r[2]:12.6f} {q:12.6f}" for symbol, r, q in rows]
    return "\n".join(["3", "Nonperiodic system", *lines, "", " See ........ for more", " 1 O 0.0 xx", ""])


@pytest.mark.parametrize("name", ["ACF.dat", DDEC6])
def test_the_last_step_gets_the_charges(run: Any, tmp_path: Path, name: str) -> None:
    """The others have none, and that is said."""
    (tmp_path / name).write_text(acf(run) if name == "ACF.dat" else ddec6(run))
    result, found = convert(run, tmp_path)
    assert result.exit_code == 0, result.output
    assert [each.charges is None for each in found] == [True, True, True, False]
    assert found[-1].charges == pytest.approx(CHARGES, abs=1e-6)
    assert found[-1].charge == 0.0
    assert f"{name} gives the charges of the last step, 3 others without" in result.output
    lines = (tmp_path / "input.data").read_text().splitlines()
    last = [line.split() for line in lines if line.startswith("atom")][-3:]
    assert [float(words[5]) for words in last] == pytest.approx(CHARGES, abs=1e-6)
    assert lines[-2] == "charge 0.0"


def test_the_charge_of_the_cell_is_that_of_nelect(run: Any, tmp_path: Path) -> None:
    """A cation: 7 electrons of 8, and charges that add up to 1."""
    text = run.vasprun().replace("<parameters>", '<parameters>\n   <i name="NELECT"> 7.0</i>')
    (tmp_path / "vasprun.xml").write_text(text)
    (tmp_path / "ACF.dat").write_text(acf(run, CHARGES + [0.0, 0.4, 0.6]))
    result = CliRunner().invoke(vasp2data.main, ["--last", str(tmp_path), str(tmp_path / "input.data")])
    assert result.exit_code == 0, result.output
    (found,) = read_structures(tmp_path / "input.data")
    assert found.charge == 1.0
    assert found.charges == pytest.approx([-1.1, 1.0, 1.1], abs=1e-6)


def test_electrons_need_the_zval_of_the_run(run: Any, tmp_path: Path) -> None:
    (tmp_path / "ACF.dat").write_text(acf(run))
    result, found = convert(run, tmp_path, name="OUTCAR")
    assert "gives electrons, and the run has no ZVAL" in result.output
    assert len(found) == 4
    assert result.exit_code == 1


def test_atoms_in_another_cell_are_the_same(run: Any, tmp_path: Path) -> None:
    moved = run.change(3, positions=run.steps[3].positions + run.steps[3].cell[1])
    (tmp_path / "ACF.dat").write_text(acf(moved))
    _, found = convert(run, tmp_path)
    assert found[-1].charges == pytest.approx(CHARGES, abs=1e-6)


def changed(text: str, row: int, **words: str) -> str:
    """A line of a file with some words replaced."""
    lines = text.splitlines()
    for old, new in words.items():
        lines[row] = lines[row].replace(old, new)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("ACF.dat", lambda text: text[: text.rindex(" ---")], "ACF.dat line 5: cut off"),
        ("ACF.dat", lambda text: "", "ACF.dat is no output of bader"),
        ("ACF.dat", lambda text: text.replace(text.splitlines()[3] + "\n", ""), "atom 3, expected 2"),
        ("ACF.dat", lambda text: text.replace("0.400000", "********"), "ACF.dat line 4: `2 "),
        (
            "ACF.dat",
            lambda text: text.replace("7.100000", "7.600000"),
            "add up to -0.500 e, but the cell has 0 e",
        ),
        (DDEC6, lambda text: text.replace("\nH ", "\nO ", 1), "atom 2 is O, but H in the run"),
        (DDEC6, lambda text: "\n".join(text.splitlines()[:4]), "cut off, 3 atoms announced and 2 there"),
        (DDEC6, lambda text: "4" + text[1:].replace("\n\n", "\nH 0 0 0 0\n", 1), "has 4 atoms, the run 3"),
        (DDEC6, lambda text: "O" + text, "line 1: expected the number of atoms, got `O3`"),
    ],
)
def test_bad_files_are_named_and_the_labels_kept(
    run: Any, tmp_path: Path, name: str, damage: Any, message: str
) -> None:
    """One sentence, no charges, exit code 1."""
    (tmp_path / name).write_text(damage(acf(run) if name == "ACF.dat" else ddec6(run)))
    result, found = convert(run, tmp_path)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert len(found) == 4
    assert all(each.charges is None for each in found)


def test_charges_of_another_structure_are_refused(run: Any, tmp_path: Path) -> None:
    """Those of the step before: the atoms are not where the last step has them."""
    other = run.change(3, positions=run.steps[2].positions)
    (tmp_path / "ACF.dat").write_text(acf(other))
    result, found = convert(run, tmp_path)
    assert "Angstrom away from that of the last step" in result.output
    assert found[-1].charges is None
    (tmp_path / "ACF.dat").write_text(acf(run))
    (tmp_path / DDEC6).write_text(ddec6(run))
    (tmp_path / "input.data").unlink()
    assert "give two charges for each atom" in convert(run, tmp_path)[0].output


def test_a_last_step_that_is_left_out_has_no_charges_to_give(run: Any, tmp_path: Path) -> None:
    (tmp_path / "ACF.dat").write_text(acf(run))
    result, found = convert(run.change(3, iterations=8), tmp_path)  # not converged
    assert "ACF.dat is of the last step, 4, which is not converted" in result.output
    assert [each.charges for each in found] == [None] * 3
