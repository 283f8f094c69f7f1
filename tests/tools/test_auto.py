"""bnnp auto: from files to a judged potential, by commands that can be repeated."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from bnnp.io.input_data import read_structures


def bnnp(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bnnp", *map(str, words)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def copper(folder: Path, count: int) -> None:
    """Rattled and strained copper by EMT, in two files."""
    rng = np.random.default_rng(4)
    images = []
    for _ in range(count):
        atoms = bulk("Cu", cubic=True) * (2, 2, 1)
        atoms.set_cell(atoms.cell * rng.uniform(0.97, 1.05), scale_atoms=True)
        atoms.rattle(rng.uniform(0.02, 0.15), rng=rng)
        atoms.calc = EMT()
        atoms.get_forces()
        images.append(atoms)
    ase.io.write(folder / "first.extxyz", images[::2])
    ase.io.write(folder / "second.extxyz", images[1::2])


@pytest.mark.slow
def test_a_potential_in_one_command(tmp_path: Path) -> None:
    copper(tmp_path, 44)
    done = bnnp(tmp_path, "--auto", "first.extxyz", "second.extxyz", "--minutes", 0.5, "--folder", "copper")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "copper"
    held = {each.positions.tobytes() for each in read_structures(folder / "held_out.data")}
    trained = {each.positions.tobytes() for each in read_structures(folder / "input.data")}
    assert 3 <= len(held) <= 6  # a tenth, to the nearest block of frames that resemble each other
    assert (len(held) + len(trained), len(held & trained)) == (44, 0)
    assert (folder / "report.html").is_file()
    assert (folder / "potential" / "weights.029.data").is_file()
    verdict = done.stdout.partition("Verdict")[2]
    assert f"(RMSE) of {len(held)} structures" in " ".join(verdict.split())
    assert "what to do next" in verdict
    # EMT of rattled copper is easy: a tenth of the size of the forces (rms 0.9 eV/Angstrom)
    table = np.loadtxt(folder / "nnforces.out")
    names = next(x for x in (folder / "nnforces.out").read_text().splitlines() if x.startswith("#"))
    column = names.strip("# ").split("|")[0].split().index
    errors = table[:, column("fx")] - table[:, column("fxRef")]
    assert np.sqrt(np.mean(errors**2)) < 0.1 * np.std(table[:, column("fxRef")])

    commands = [shlex.split(line[2:]) for line in done.stdout.splitlines() if line.startswith("$ bnnp")]
    assert len(commands) == 7
    names = ("input.nn.auto", "energy.out", "nnforces.out")
    former = [(folder / name).read_text() for name in names]
    for words in (commands[3], commands[5]):  # modes 1 and 3 by hand
        assert words[-2] == ">"
        again = bnnp(folder, *words[1:-2])
        assert again.returncode == 0, again.stdout
    assert [(folder / name).read_text() for name in names] == former


@pytest.mark.slow
def test_too_few_structures(tmp_path: Path) -> None:
    copper(tmp_path, 12)
    done = bnnp(tmp_path, "auto", "first.extxyz", "second.extxyz")
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert "ERROR: 12 structures with energies: at least 30 are needed" in text
    assert "compute 18 to 288 more" in text


@pytest.mark.slow
def test_a_step_that_fails_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "bad.extxyz").write_text("3\nno lattice\nCu 0 0 0\n")
    done = bnnp(tmp_path, "auto", "bad.extxyz")
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert text.startswith("ERROR: bnnp convert failed, see auto/1_convert.log: ")
    assert "bad.extxyz" in text
    again = bnnp(tmp_path, "auto", "bad.extxyz")
    assert "auto exists and is not empty" in " ".join(again.stderr.split())
