"""What the verbs print is no wider than 80 columns where no terminal says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from click.testing import CliRunner

from bnnp import cli

WIDTH = 80
INPUT = """\
number_of_elements 2
elements Ge Te
units metal
global_hidden_layers_short 1
global_nodes_short 2
global_activation_short t l
"""
INPUT += "".join(
    f"symfunction_short {a} 3 {b} {c} 0.0{eta} {sign} 4.0 6.0\n"
    for a in ("Ge", "Te")
    for b, c in (("Ge", "Ge"), ("Ge", "Te"), ("Te", "Te"))
    for eta in ("1", "10000001", "3")
    for sign in (1.0, -1.0)
)
VERBS = ("convert", "vasp", "functions", "select", "analyze", "plot")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """Frames, a data set, settings and a run of VASP, in a working directory."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    frames = []
    for number in range(24):
        atoms = Atoms("Ge4Te4", rng.uniform(size=(8, 3)) * 0.4 + np.indices((2, 2, 2)).reshape(3, -1).T * 3.0)
        atoms.set_cell(np.eye(3) * 6.0)
        atoms.pbc = True
        forces = rng.normal(size=(8, 3))
        labels = {"energy": -30.0 + rng.normal(), "forces": forces, "stress": rng.normal(size=6)}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        atoms.info = {"time": 10.0 * number, "other_energy": 1.0, "group": f"melt_at_{900 + number % 3}K"}
        frames.append(atoms)
    ase.io.write("frames.extxyz", frames)
    Path("input.nn").write_text(INPUT)
    Path("OUTCAR").write_text(run.outcar())


def output(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == code, result.output
    return result.output


def assert_narrow(text: str) -> None:
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    assert text
    assert not wide


@pytest.mark.parametrize("words", [(), *((verb,) for verb in VERBS)])
def test_help(words: tuple[str, ...]) -> None:
    assert_narrow(output(*words, "--help"))


@pytest.mark.parametrize(
    "verb", ["training", "rdf", "adf", "md", "uncertainty", "symmetry", "errors", "parity", "report"]
)
def test_help_of_plots(verb: str) -> None:
    assert_narrow(output("plot", verb, "--help"))


def test_keywords() -> None:
    from bnnp.settings.keywords import KEYWORDS

    assert_narrow(output("--keywords"))
    for name in KEYWORDS:
        assert_narrow(output("--keywords", name))


def test_verbs_on_data() -> None:
    texts = [output("convert", "frames.extxyz", "input.data")]
    texts += [output("convert", "--append", "frames.extxyz", "input.data")]
    texts += [output("convert", "--check", "input.data")]
    texts += [output("vasp", "--units", "metal", "OUTCAR", "OUTCAR", "water.data")]
    texts += [output("select", "--number", "8", "input.data", "few.data")]
    texts += [output("select", "--number", "99", "input.data", "all.data")]
    texts += [output("analyze", "frames.extxyz", "--r-max", "5")]
    texts += [output("functions", "--input", "input.nn", "--data", "input.data", "-o", "functions.nn")]
    texts += [output("functions", "Ge", "Te", "--cutoff", "5", "--units", "metal")]
    texts += [output("plot", "rdf", "rdf.out")]
    for text in texts:
        assert_narrow(text)
    comments = [line for line in Path("functions.nn").read_text().splitlines() if line.startswith("#")]
    assert_narrow("\n".join(comments))


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "nothing.xyz", "new.data"),
        ("convert", "--energy-key", "e", "frames.extxyz", "new.data"),
        ("convert", "input.nn", "new.data"),
        ("convert", "frames.extxyz", "new.nonsense"),
        ("vasp", "frames.extxyz", "new.data"),
        ("vasp", "--units", "atomic", "OUTCAR", "new.data"),
        ("select", "--number", "3", "--input", "no.nn", "OUTCAR", "new.data"),
        ("analyze", "OUTCAR", "frames.extxyz"),
        ("functions", "--input", "no.nn", "--data", "input.data"),
        ("plot", "training"),
        ("plot", "md"),
        ("--keywords", "droput"),
        ("--mode", "1"),
        ("--check", "--input", "no.nn"),
        ("--export", "hdnnp", "out"),
    ],
)
def test_errors(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code != 0
    assert "ERROR: " in result.stderr
    assert "Traceback" not in result.stderr
    assert_narrow(result.output)


@pytest.mark.parametrize(
    "words", [("convrt",), ("convert", "--mode", "1", "a", "b"), ("select", "a", "b"), ("--mode", "9")]
)
def test_wrong_use(words: tuple[str, ...]) -> None:
    assert_narrow(output(*words, code=2))
